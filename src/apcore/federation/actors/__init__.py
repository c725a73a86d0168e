"""Our actors: their documents, keys and rotation."""
