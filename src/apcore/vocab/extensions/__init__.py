"""Define the extensions of ActivityStreams, by software or proposal. `apcore.vocab` exports all of them."""
