"""Load and run the JSON-LD API test suite of the W3C."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from attrs import frozen

from apcore.jsonld import ContextTable, canonicalize_quads, compact, expand, parse_nquads, to_rdf
from vector_files import VECTORS

SUITE = VECTORS / "json-ld-api"
HOME = "https://w3c.github.io/json-ld-api/tests/"


@frozen
class ApiTest:
    kind: str
    id: str
    name: str
    types: tuple[str, ...]
    input: str
    expect: str | None
    error: str | None
    context: str | None
    options: dict[str, Any]

    @property
    def base(self) -> str:
        return self.options.get("base", HOME + self.input)


def load_tests(kind: str) -> list[ApiTest]:
    """Return the 1.1 tests of ``kind``; none if there are no vectors."""
    path = SUITE / f"{kind}-manifest.jsonld"
    if not path.is_file():
        return []
    return [
        ApiTest(
            kind,
            entry["@id"].lstrip("#"),
            entry["name"],
            tuple(entry["@type"]),
            entry["input"],
            entry.get("expect"),
            entry.get("expectErrorCode"),
            entry.get("context"),
            entry.get("option", {}),
        )
        for entry in json.loads(path.read_text(encoding="utf-8"))["sequence"]
        # apcore supports JSON-LD 1.1 only.
        if "json-ld-1.0"
        not in (entry.get("option", {}).get("specVersion"), entry.get("option", {}).get("processingMode"))
    ]


def read(relative: str) -> Any:
    return json.loads((SUITE / relative).read_text(encoding="utf-8"))


@cache
def suite_contexts() -> ContextTable:
    """Return every document of the suite that can be referred to as a context."""
    contexts = {}
    for path in [*SUITE.glob("*/*.jsonld"), *SUITE.glob("*/*/*.jsonld"), SUITE / "context.jsonld"]:
        document = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(document, dict):
            contexts[HOME + path.relative_to(SUITE).as_posix()] = document.get("@context", {})
    return ContextTable(contexts)


def run(test: ApiTest, **functions: Any) -> Any:
    """Run ``test`` and return the result in a form in which equal results compare equal."""
    do_expand = functions.get("expand", expand)
    do_compact = functions.get("compact", compact)
    expand_context = test.options.get("expandContext")
    settings: dict[str, Any] = {
        "contexts": suite_contexts(),
        "base": test.base,
        "expand_context": read(expand_context)["@context"] if expand_context else None,
    }
    if test.kind == "toRdf":
        quads = to_rdf(
            read(test.input),
            rdf_direction=test.options.get("rdfDirection"),
            generalized=test.options.get("produceGeneralizedRdf", False),
            **settings,
        )
        return canonicalize_quads(quads).nquads
    if test.kind == "expand":
        return comparable(do_expand(read(test.input), **settings))
    expanded = do_expand(read(test.input), **settings)
    context = read(test.context) if test.context else {}
    return comparable(
        do_compact(
            expanded,
            context.get("@context", {}) if isinstance(context, dict) else context,
            contexts=suite_contexts(),
            base=test.base if test.options.get("compactToRelative", True) else None,
            compact_arrays=test.options.get("compactArrays", True),
        )
    )


def expected(test: ApiTest) -> Any:
    if test.kind == "toRdf":
        return canonicalize_quads(parse_nquads((SUITE / test.expect).read_text(encoding="utf-8"))).nquads
    return comparable(read(test.expect))


def comparable(value: Any, *, ordered: bool = False) -> Any:
    """Sort arrays without a meaningful order, and tag numbers and booleans with their type."""
    if isinstance(value, dict):
        return {name: comparable(member, ordered=name == "@list") for name, member in value.items()}
    if isinstance(value, list):
        members = [comparable(member) for member in value]
        return members if ordered else sorted(members, key=lambda member: json.dumps(member, sort_keys=True))
    return (type(value).__name__, value) if isinstance(value, (bool, int, float)) else value
