"""Check the cost of a peer's document: its CPU time is bounded for any context, and a refusal has a typed error."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

import context_grammar as grammar
import cpu_budget
from apcore.errors import LimitExceeded
from apcore.jsonld import BUNDLED, DEFAULT_LIMITS, ProcessingLimits, WorkBudget, canonicalize, compact, expand
from apcore.vocab import read_document

AS = grammar.AS
SCHEMA = grammar.SCHEMA
ACTIVITY = {"id": "https://a.example/1", "type": "Create", "actor": "https://a.example/alice"}


@cache
def warm_up() -> None:
    """Load registered contexts, the vocabulary and the slow path, which a process loads once."""
    for address in grammar.REGISTERED:
        cpu_budget.read(json.dumps({"@context": [address], "@graph": [], "type": "x"}).encode())


def check(body: bytes) -> None:
    warm_up()
    spent_ms = cpu_budget.cpu_ms(lambda: cpu_budget.read(body))
    assert cpu_budget.excess(body, cpu_budget.read, spent_ms) <= 1, (len(body), spent_ms, body[:300])


@pytest.mark.parametrize("name", grammar.SHAPES)
def test_context_shape_stays_within_its_time_bound(name):
    for number, size in enumerate((1, 7, 40, 300, 1_500)):
        rng = grammar.Random(f"{name}:{number}")
        members = grammar.sign(rng, {**ACTIVITY, **grammar.SHAPES[name](rng, size)})
        body = json.dumps(members).encode()
        if len(body) <= grammar.BYTES_MAX:
            check(body)


def test_random_documents_stay_within_their_time_bound():
    for number in range(80):
        check(grammar.document(8, number))


def document_with_scoped_context(address: str, times: int) -> dict[str, Any]:
    term = {"@id": "https://x.example/T", "@context": [address] * times}
    return {**ACTIVITY, "@context": [AS, {"T": term}], "tag": [{"type": "T", "name": "x"}] * 500}


REPEATED = {
    "at the top": {**ACTIVITY, "@context": [AS, *[SCHEMA] * 9_999]},
    "in the context of a type": document_with_scoped_context(SCHEMA, 200),
    "in the context of a type, a few": document_with_scoped_context(SCHEMA, 10),
    "Activity Streams in the context of a type": document_with_scoped_context(AS, 50),
    "in the context of a property": {
        **ACTIVITY,
        "@context": [AS, {"p": {"@id": "https://x.example/p", "@context": [SCHEMA] * 50}}],
        "p": [{"p": {"name": "x"}}] * 100,
    },
    "at every node": {
        **ACTIVITY,
        "@context": AS,
        "tag": [{"@context": [SCHEMA, {f"t{n}": "x:y"}]} for n in range(100)],
    },
}


@pytest.mark.parametrize("name", REPEATED)
@pytest.mark.parametrize("other_members", [{}, {"@reverse": {}}], ids=["fast", "slow"])
def test_repeated_contexts_stay_within_the_time_bound(name, other_members):
    check(json.dumps({**REPEATED[name], **other_members}).encode())


@pytest.mark.parametrize("length", [33, 400, 1_900])
@pytest.mark.parametrize("other_definitions", [{}, {"@base": "https://x.example/"}], ids=["fast", "slow"])
@pytest.mark.parametrize("definition", [str, lambda iri: {"@id": iri, "@prefix": True}], ids=["plain", "object"])
def test_long_chain_of_definitions_is_refused_in_words(length, other_definitions, definition):
    chain = {f"c{n}": definition(f"c{n + 1}:x") for n in range(length)} | {f"c{length}": "https://x.example/#"}
    document = {**ACTIVITY, "@context": [AS, {**chain, **other_definitions}], "c0": "x"}
    for function in (expand, canonicalize, read_document):
        with pytest.raises(LimitExceeded, match=r"chain of more than 32 terms \(chain_max\)|work_base|at most 512"):
            function({**document, "as:name": "x"})


def test_short_chain_of_definitions_has_one_meaning_in_every_order():
    chain = {f"c{n}": f"c{n + 1}:x#" for n in range(20)} | {"c20": "https://x.example/#"}
    expanded = expand({"@context": chain, "c0:y": "z"})
    assert expanded == expand({"@context": dict(reversed(chain.items())), "c0:y": "z"})
    assert list(expanded[0]) == [f"https://x.example/#{'x#' * 20}y"]


def test_ordered_chain_of_definitions_may_be_long():
    chain = {"c0": "https://x.example/#"} | {f"c{n + 1}": f"c{n}:x#" for n in range(100)}
    assert expand({"@context": chain, "c100": "z"})


# --- the budget itself ----------------------------------------------------------------------------------------------


def test_work_budget_grows_with_the_document_up_to_a_bound():
    limits = ProcessingLimits(work_base=1_000, work_per_kb=100, work_max=1_500)
    assert [WorkBudget(limits, size).steps_max for size in (0, 10_240, 11_264, 1 << 20)] == [1_000, 1_000, 1_100, 1_500]


def test_refusal_names_the_size_the_limit_and_its_settings():
    budget = WorkBudget(ProcessingLimits(work_base=10), 77)
    budget.spend(10)
    with pytest.raises(
        LimitExceeded, match=r"of 77 bytes .* more than 10 steps .* \(work_base\).*\(work_per_kb\).*\(work_max\)"
    ):
        budget.spend(1)


USUAL = [
    {**ACTIVITY, "@context": AS, "object": {"type": "Note", "content": "x"}},
    {**ACTIVITY, "@context": [AS, SCHEMA], "as:name": "x"},
    {**ACTIVITY, "@context": [AS, {"p": "https://x.example/#"}], "p:q": [{"as:name": "x", "@index": "y"}]},
]


@pytest.mark.parametrize("document", USUAL)
def test_reading_a_document_costs_the_same_each_time(document):
    def cost() -> int:
        budget = WorkBudget(DEFAULT_LIMITS, 0)
        read_document(document, work=budget)
        return budget.steps_max - budget.steps_left

    first = cost()
    assert cost() == cost() == first
    # Ordinary documents stay far below the limit.
    assert first < DEFAULT_LIMITS.work_base / 2


def test_all_passes_over_a_document_share_one_budget():
    document = {**ACTIVITY, "@context": AS, "to": ["https://b.example/"] * 50}
    budget = WorkBudget(DEFAULT_LIMITS, 0)
    steps_left = [budget.steps_left]
    for step in (
        lambda: read_document(document, work=budget),
        lambda: expand(document, work=budget),
        lambda: compact(expand(document), AS, work=budget),
        lambda: canonicalize(document, work=budget),
        lambda: expand({**document, "@included": []}, work=budget),
    ):
        step()
        steps_left.append(budget.steps_left)
    assert steps_left == sorted(set(steps_left), reverse=True)


@pytest.mark.parametrize("other_definitions", [{}, {"@base": "https://x.example/"}], ids=["fast", "slow"])
def test_contexts_are_counted_before_any_is_processed(other_definitions):
    class Untouched(dict):
        def __getitem__(self, url):
            raise AssertionError("a context was processed")

    table = BUNDLED.with_context("https://x.example/ns", {"x": "a:x"})
    document = {"@context": ["https://x.example/ns"] * 257, **({"@graph": []} if other_definitions else {})}
    object.__setattr__(table, "_contexts", Untouched(dict(table._contexts)))
    for function in (expand, read_document):
        with pytest.raises(LimitExceeded, match="names 257 contexts; the limit is 256"):
            function(document, contexts=table)


def test_context_shared_by_all_nodes_counts_once():
    nodes = [{"@context": [AS, {"x": "https://x.example/"}], "type": "Note"}] * 1_000
    assert read_document({**ACTIVITY, "@context": AS, "tag": nodes})


# --- bundled contexts over others -----------------------------------------------------------------------------------


@pytest.mark.parametrize("address", sorted(set(grammar.REGISTERED)))
@pytest.mark.parametrize(
    "context_before",
    [
        {"name": "https://x.example/name", "schema": "https://y.example/#", "as": "https://z.example/#"},
        {"_": "https://x.example/", "http": "https://x.example/", "https": "https://x.example/#"},
        {"@vocab": "https://x.example/", "@language": "de", "name": {"@id": "https://x.example/n", "@type": "@id"}},
        {"schema:name": "http://schema.org/name", "type": {"@id": "@type", "@protected": True}},
        {"xsd:date": "https://x.example/d", "xsd": "https://x.example/#"},
    ],
)
def test_bundled_context_over_any_context_agrees_with_the_slow_path(address, context_before):
    terms = [
        "name",
        "type",
        "id",
        "as:x",
        "schema:x",
        "owner",
        "to",
        "published",
        "startDate",
        "url",
        "unknown",
        "https:x",
    ]
    document = {
        "@context": [context_before, address],
        **dict.fromkeys(terms, "x"),
        "type": "y",
        "id": "https://a.example/",
    }

    def outcome(members: dict[str, Any]) -> Any:
        try:
            return expand(members, limits=ProcessingLimits(work_base=10**6, work_max=10**6))
        except Exception as error:
            return type(error)

    by_table, by_pyld = outcome(document), outcome({**document, "@included": []})
    if isinstance(by_pyld, list):
        by_pyld[0].pop("@included", None)
    assert by_table == by_pyld
