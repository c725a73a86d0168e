"""Serve clients of our own users: the client-to-server side of ActivityPub (ActivityPub §6)."""
