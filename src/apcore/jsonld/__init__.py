"""What a document means: contexts, expansion, compaction, graphs and their canonical form."""

from apcore.jsonld.canonicalisation import CanonicalHash, CanonicalQuads, canonicalize, canonicalize_quads
from apcore.jsonld.jcs import es6_number, jcs
from apcore.jsonld.limits import DEFAULT_LIMITS, Limits
from apcore.jsonld.nquads import Quad, parse_nquads, to_nquads
from apcore.jsonld.parsing import Json, JsonObject, parse_document, parse_json
from apcore.jsonld.processing import compact, expand, normalize, unknown_terms
from apcore.jsonld.rdf import RdfDirection, quads_of, to_rdf
from apcore.jsonld.tables import BUNDLED, Context, ContextNeeded, ContextTable
from apcore.jsonld.work import WorkBudget

__all__ = [
    "BUNDLED",
    "DEFAULT_LIMITS",
    "CanonicalHash",
    "CanonicalQuads",
    "Context",
    "ContextNeeded",
    "ContextTable",
    "Json",
    "JsonObject",
    "Limits",
    "Quad",
    "RdfDirection",
    "WorkBudget",
    "canonicalize",
    "canonicalize_quads",
    "compact",
    "es6_number",
    "expand",
    "jcs",
    "normalize",
    "parse_document",
    "parse_json",
    "parse_nquads",
    "quads_of",
    "to_nquads",
    "to_rdf",
    "unknown_terms",
]
