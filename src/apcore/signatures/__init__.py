"""Sign and check, never fetch."""
