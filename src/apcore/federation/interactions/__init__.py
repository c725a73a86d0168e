"""Interactions: the likes, boosts and replies that activities add to the collections of our objects and actors."""
