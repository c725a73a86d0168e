"""The embedded core for ActivityPub: sans-IO, any framework, any store."""
