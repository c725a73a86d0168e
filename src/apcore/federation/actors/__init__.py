"""The documents, keys and key rotation of local actors."""
