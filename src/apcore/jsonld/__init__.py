"""JSON-LD: parsing, contexts, expansion, compaction, RDF graphs and their canonical form."""

from apcore.jsonld.api import compact, expand, normalize, unknown_terms
from apcore.jsonld.canonicalisation import CanonicalHash, CanonicalQuads, canonicalize, canonicalize_quads
from apcore.jsonld.jcs import es6_number, jcs
from apcore.jsonld.limits import DEFAULT_LIMITS, ProcessingLimits
from apcore.jsonld.nquads import Quad, parse_nquads, to_nquads
from apcore.jsonld.parser import Json, JsonObject, parse_document, parse_json
from apcore.jsonld.rdf import RdfDirection, quads_of, to_rdf
from apcore.jsonld.tables import BUNDLED, ContextNeeded, ContextTable, ContextValue
from apcore.jsonld.work import WorkBudget

__all__ = [
    "BUNDLED",
    "DEFAULT_LIMITS",
    "CanonicalHash",
    "CanonicalQuads",
    "ContextNeeded",
    "ContextTable",
    "ContextValue",
    "Json",
    "JsonObject",
    "ProcessingLimits",
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
