"""The bundled contexts, as tables of definitions."""

from apcore.jsonld.contexts.bundle import BUNDLED_CONTEXTS, SERVED_BY_EVERY_HOST

__all__ = ["BUNDLED_CONTEXTS", "SERVED_BY_EVERY_HOST"]
