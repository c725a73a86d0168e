"""Poll collections of other servers: durable subscriptions, their schedule, and the activities that they find."""
