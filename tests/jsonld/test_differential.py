"""Check that the tables agree with PyLD on real documents and on seeded mutations; `fuzz.py` has the long run."""

import sys
from pathlib import Path

import pytest

from apcore.errors import ApcoreError
from apcore.jsonld import DEFAULT_LIMITS, WorkBudget, parse_json
from apcore.jsonld.compaction import Compactor
from apcore.jsonld.compiler import compiler_of
from apcore.jsonld.expansion import Expander
from apcore.jsonld.fallback import slow_compact, slow_expand
from apcore.jsonld.terms import NotCovered
from jsonld_api_suite import load_tests, read, suite_contexts
from vector_files import VECTORS, needs_vectors

sys.path.insert(0, str(Path(__file__).parent))

import fuzz

PAYLOADS = sorted(VECTORS.glob("payloads/*/*.json"))
LIMITS = {"contexts": fuzz.TABLE, "limits": DEFAULT_LIMITS, "base": None}


def budget():
    return WorkBudget(DEFAULT_LIMITS, DEFAULT_LIMITS.bytes_max)


def slow(document):
    try:
        return slow_expand(document, expand_context=None, work=budget(), **LIMITS)
    except ApcoreError as error:
        return error


def fast_and_slow(path):
    document = parse_json(path.read_bytes())
    return fuzz.fast_expand(document), slow(document)


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_tables_agree_with_pyld_on_every_payload(path):
    fast, expected = fast_and_slow(path)
    if isinstance(expected, ApcoreError):
        assert isinstance(fast, NotCovered)
        return
    assert fuzz.exact(fast) == fuzz.exact(expected)
    for target in fuzz.TARGETS[1:3]:
        compacted = fuzz.fast_compact(expected, target)
        if not isinstance(compacted, NotCovered):
            assert fuzz.exact(compacted) == fuzz.exact(
                slow_compact(expected, target, compact_arrays=True, work=budget(), **LIMITS)
            )


@needs_vectors
def test_few_payloads_need_the_slow_path_at_all():
    documents = [parse_json(path.read_bytes()) for path in PAYLOADS]
    expanded = [fuzz.fast_expand(document) for document in documents]
    not_covered = [result for result in expanded if isinstance(result, NotCovered)]
    compacted = [fuzz.fast_compact(result, fuzz.TARGETS[1]) for result in expanded if isinstance(result, list)]
    not_covered += [result for result in compacted if isinstance(result, NotCovered)]
    assert len(documents) >= 304
    assert len(not_covered) <= 2, f"{len(not_covered)} of {len(documents)} payloads need the slow path"


SUITE = [test for kind in ("expand", "compact") for test in load_tests(kind)]


@needs_vectors
def test_tables_agree_with_pyld_on_the_w3c_suite():
    """Run with and without the base that the suite prescribes. The base sends relative references to the slow path."""
    settings = {"contexts": suite_contexts(), "limits": DEFAULT_LIMITS}
    covered_counts = {"expand": 0, "compact": 0}
    for test in SUITE:
        document = read(test.input)
        for base in (None, test.base):
            try:
                expanded = Expander(compiler_of(suite_contexts()), DEFAULT_LIMITS, base, budget()).expand(
                    document, None
                )
            except (NotCovered, ApcoreError):
                continue
            assert fuzz.exact(expanded) == fuzz.exact(
                slow_expand(document, base=base, expand_context=None, work=budget(), **settings)
            )
            covered_counts["expand"] += base is None
        context = read(test.context)["@context"] if test.context and isinstance(read(test.context), dict) else {}
        try:
            expanded = slow_expand(document, base=None, expand_context=None, work=budget(), **settings)
            compacted = Compactor(compiler_of(suite_contexts()), DEFAULT_LIMITS, budget()).compact(expanded, context)
        except (NotCovered, ApcoreError):
            continue
        expected = slow_compact(expanded, context, base=None, compact_arrays=True, work=budget(), **settings)
        assert fuzz.exact(compacted) == fuzz.exact(expected)
        covered_counts["compact"] += 1
    # Lower counts would mean that the tables no longer cover some documents.
    assert covered_counts == {"expand": 158, "compact": 247}


def test_tables_agree_with_pyld_on_2000_mutations():
    run = fuzz.Run(seed=20240601)
    for number in range(2_000):
        run.check(number)
    assert run.differences == []
    # The comparison is useful only if the tables covered many of the mutations.
    assert run.counts["expand: equal"] > 800
    assert run.counts["compact: equal"] > 600
