"""Check that 100 kB with contexts that expand to gigabytes are refused before the expansion."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from apcore.errors import LimitExceeded
from apcore.jsonld import BUNDLED, canonicalize, expand
from apcore.jsonld.limits import IRI_CHARS_MAX

AS2 = "https://www.w3.org/ns/activitystreams"
LONG = f"https://x.example/{'y' * 60_000}/"
CHAIN = {"c0": "https://x.example/"} | {f"c{i}": f"c{i - 1}:{'z' * 400}/" for i in range(1, 150)}
PLAIN = {f"k{i}": 1 for i in range(5_000)}
"""Terms that have a meaning only under a vocabulary."""
SLOW = {"@base": "https://x.example/"}

AMPLIFIERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "vocabulary": ({"@vocab": LONG}, PLAIN),
    "vocabulary, slow": (SLOW | {"@vocab": LONG}, PLAIN),
    "prefix": ({"p": LONG}, {f"p:{i}": 1 for i in range(5_000)}),
    "prefixes on prefixes": (CHAIN, {f"c149:{i}": 1 for i in range(3_000)}),
    "prefixes on prefixes, slow": (SLOW | CHAIN, {f"c149:{i}": 1 for i in range(3_000)}),
    "term": ({"t": LONG}, {"tag": [{"t": 1} for _ in range(5_000)]}),
    "type": ({"t": {"@id": "https://x.example/t", "@type": LONG}}, {"t": ["x"] * 5_000}),
    "type of node": ({"T": LONG}, {"tag": [{"type": "T"} for _ in range(5_000)]}),
    "language": ({"@language": "-".join(["aaaaaaaa"] * 6_000)}, {"name": ["x"] * 5_000}),
    "language of a term": ({"t": {"@id": "as:t", "@language": "-".join(["aaaaaaaa"] * 6_000)}}, {"t": ["x"] * 5_000}),
    "base": ({"@base": LONG}, {"to": [str(i) for i in range(5_000)]}),
    "bases on bases": (
        [{"@base": "https://x.example/"}, *[{"@base": f"{'y' * 400}/"} for _ in range(60)]],
        {"to": [str(i) for i in range(5_000)]},
    ),
    "vocabularies on vocabularies": (
        [SLOW, {"@vocab": "https://x.example/"}, *[{"@vocab": f"{'y' * 400}/"} for _ in range(60)]],
        PLAIN,
    ),
}


@pytest.mark.parametrize("name", AMPLIFIERS)
def test_context_cannot_expand_short_terms_into_long_ones(name):
    context, members = AMPLIFIERS[name]
    context = context if isinstance(context, list) else [context]
    document = {"@context": [AS2, *context], "id": "https://a.example/1", "type": "Note", **members}
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded):
            expand(document)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("slow_context", [{}, SLOW], ids=["fast", "slow"])
def test_iri_length_is_bounded(slow_context):
    name = "https://x.example/".ljust(IRI_CHARS_MAX, "y")
    document = {"@context": [{**slow_context, "t": name}], "@id": "https://a.example/1", "t": "x"}
    assert expand(document) == [{"@id": "https://a.example/1", name: [{"@value": "x"}]}]
    with pytest.raises(LimitExceeded, match="at most 512"):
        expand({**document, "@context": [{**slow_context, "t": f"{name}y"}]})


def test_long_id_is_not_written_for_each_of_its_statements():
    node = {"id": LONG, "to": [f"https://x.example/{i}" for i in range(2_000)]}
    with pytest.raises(LimitExceeded, match="canonical_chars_max"):
        canonicalize({"@context": AS2, "id": "https://a.example/1", "type": "Create", "object": node})


def test_fetched_context_with_an_overlong_term_is_refused():
    """A document that names such a context is then read like one with an unavailable context."""
    with pytest.raises(LimitExceeded, match="expands a term to"):
        BUNDLED.with_document("https://b.example/context", {"@context": [{"a": {"@id": LONG}}]})
