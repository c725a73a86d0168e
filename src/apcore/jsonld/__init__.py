"""Parse, expand and compact JSON-LD documents, convert them to RDF graphs, and canonicalise these."""

from apcore.jsonld.api import (
    compact,
    expand,
    normalize,
    unknown_terms as unknown_terms,
)
from apcore.jsonld.canonicalisation import (
    CanonicalHash as CanonicalHash,
    CanonicalQuads as CanonicalQuads,
    canonicalize,
    canonicalize_quads as canonicalize_quads,
)
from apcore.jsonld.jcs import (
    es6_number as es6_number,
    jcs,
)
from apcore.jsonld.limits import DEFAULT_LIMITS, ProcessingLimits
from apcore.jsonld.nquads import (
    Quad as Quad,
    parse_nquads as parse_nquads,
    to_nquads as to_nquads,
)
from apcore.jsonld.parser import (
    Json,
    JsonObject,
    parse_document,
    parse_json as parse_json,
)
from apcore.jsonld.rdf import (
    RdfDirection as RdfDirection,
    quads_of as quads_of,
    to_rdf as to_rdf,
)
from apcore.jsonld.tables import BUNDLED, ContextNeeded, ContextTable, ContextValue as ContextValue
from apcore.jsonld.work import WorkBudget

__all__ = [
    "BUNDLED",
    "DEFAULT_LIMITS",
    "ContextNeeded",
    "ContextTable",
    "Json",
    "JsonObject",
    "ProcessingLimits",
    "WorkBudget",
    "canonicalize",
    "compact",
    "expand",
    "jcs",
    "normalize",
    "parse_document",
]
