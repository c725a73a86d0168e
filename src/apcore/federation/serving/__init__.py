"""Serve actors, objects, collections and discovery documents."""
