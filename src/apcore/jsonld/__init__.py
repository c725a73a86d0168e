"""What a document means: contexts, expansion, compaction, graphs and their canonical form."""

from apcore.jsonld.jcs import es6_number, jcs
from apcore.jsonld.limits import DEFAULT_LIMITS, Limits
from apcore.jsonld.parsing import Json, JsonObject, parse_document, parse_json
from apcore.jsonld.processing import compact, expand, normalize
from apcore.jsonld.tables import BUNDLED, Context, ContextNeeded, ContextTable

__all__ = [
    "BUNDLED",
    "DEFAULT_LIMITS",
    "Context",
    "ContextNeeded",
    "ContextTable",
    "Json",
    "JsonObject",
    "Limits",
    "compact",
    "es6_number",
    "expand",
    "jcs",
    "normalize",
    "parse_document",
    "parse_json",
]
