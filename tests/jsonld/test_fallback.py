"""Check the slow path: it gives the same results, is bounded, and raises only apcore's own errors."""

import subprocess
import sys
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apcore.errors import ApcoreError, DocumentError, LimitExceeded
from apcore.jsonld import (
    BUNDLED,
    DEFAULT_LIMITS,
    ContextNeeded,
    ProcessingLimits,
    WorkBudget,
    canonicalize,
    compact,
    expand,
    normalize,
)
from apcore.jsonld.fallback import slow_compact, slow_expand

AS = "https://www.w3.org/ns/activitystreams"
SETTINGS = {"contexts": BUNDLED, "limits": DEFAULT_LIMITS, "base": None}


def slow(document, **settings):
    work = WorkBudget.for_document(document, DEFAULT_LIMITS)
    return slow_expand(document, **{**SETTINGS, "expand_context": None, "work": work, **settings})


def test_pyld_is_imported_only_when_needed():
    program = (
        "import sys\n"
        "from apcore.jsonld import expand, compact\n"
        f"compact(expand({{'@context': '{AS}', 'type': 'Note', 'name': 'x'}}), '{AS}')\n"
        "assert 'pyld' not in sys.modules\n"
        "expand({'@graph': []})\n"
        "assert 'pyld' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"@context": {"@vocab": None}}, id="KeyError"),
        pytest.param({"@context": {"x": {"@id": "y:z", "@context": "relative"}}}, id="ValueError"),
        pytest.param({"@context": AS, "name": 10**400}, id="OverflowError"),
        pytest.param({"@context": {"a": "@none", "b": None, "b:c": {"@type": "@id"}}, "b:c": 1}, id="TypeError"),
        pytest.param({"@id": 5}, id="its own error"),
        pytest.param(None, id="nothing"),
    ],
)
def test_errors_of_pyld_become_document_errors(document):
    with pytest.raises(DocumentError, match="not linked data"):
        slow(document)


def test_nested_unknown_context_is_requested():
    document = {"@context": {"x": {"@id": "a:x", "@context": ["https://deep.example/ns"]}}, "@graph": []}
    with pytest.raises(ContextNeeded) as exc_info:
        expand(document)
    assert exc_info.value.url == "https://deep.example/ns"


def test_terms_like_keywords_are_ignored_without_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert expand({"@context": {"@foo": "a:b", "x": "a:x"}, "x": 1}) == [{"a:x": [{"@value": 1}]}]


def test_calls_never_share_contexts():
    first_table = BUNDLED.with_context("https://x.example/ns", {"x": "https://one.example/"})
    second_table = BUNDLED.with_context("https://x.example/ns", {"x": "https://two.example/"})
    document = {"@context": "https://x.example/ns", "@graph": [{"x": 1}]}
    assert slow(document, contexts=first_table) == [{"https://one.example/": [{"@value": 1}]}]
    assert slow(document, contexts=second_table) == [{"https://two.example/": [{"@value": 1}]}]


def test_registered_context_is_never_changed():
    context = [{"x": {"@id": "a:x", "@context": {"@propagate": True, "y": "a:y"}}}, "https://www.w3.org/ns/did/v1"]
    table = BUNDLED.with_context("https://x.example/ns", context)
    slow({"@context": "https://x.example/ns", "x": {"y": 1}}, contexts=table)
    assert table.get("https://x.example/ns") == context


def test_import_is_read_from_the_table():
    table = BUNDLED.with_context("https://x.example/ns", {"x": "a:x"})
    document = {"@context": {"@version": 1.1, "@import": "https://x.example/ns", "y": "a:y"}, "x": 1, "y": 2}
    assert expand(document, contexts=table) == [{"a:x": [{"@value": 1}], "a:y": [{"@value": 2}]}]
    assert table.get("https://x.example/ns") == {"x": "a:x"}


@pytest.mark.parametrize(
    ("document", "name"),
    [
        pytest.param({"@graph": [{}] * 5_001}, "slow_nodes_max", id="nodes"),
        pytest.param(
            {"@graph": [{"@context": [{f"t{n}": "a:b"}, AS]} for n in range(120)]},
            "work_base",
            id="a context at every node",
        ),
        pytest.param({"@graph": [{"@context": [AS] * 400}]}, "contexts_max", id="a context repeated"),
    ],
)
def test_expensive_document_is_refused_before_work_starts(document, name):
    with pytest.raises(LimitExceeded, match=name):
        slow(document)


def test_multiplying_contexts_are_refused():
    table = BUNDLED
    for level in range(9):
        table = table.with_context(f"https://x.example/{level}", [f"https://x.example/{level + 1}"] * 50)
    table = table.with_context("https://x.example/9", {"x": "a:x"})
    with pytest.raises(ApcoreError):
        expand({"@context": "https://x.example/0", "@graph": []}, contexts=table)


def test_slow_compaction_is_bounded():
    with pytest.raises(LimitExceeded, match="slow_nodes_max"):
        slow_compact(
            [{"a:b": [{}] * 20}],
            AS,
            compact_arrays=True,
            contexts=BUNDLED,
            limits=ProcessingLimits(slow_nodes_max=20),
            base=None,
            work=WorkBudget(DEFAULT_LIMITS, 0),
        )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "a", "@id", "x:y", AS]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["@id", "@type", "@value", "@context", "@list", "@graph", "@reverse", "name", "to", "x:y"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@settings(max_examples=50, deadline=None)
@given(JSON)
def test_any_document_is_expanded_or_refused_with_our_error(document):
    try:
        expanded = expand(document)
        compact(expanded, AS)
    except ApcoreError:
        return
    assert isinstance(expanded, list)


@settings(max_examples=50, deadline=None)
@given(st.lists(JSON, max_size=2))
def test_any_expanded_form_is_compacted_or_refused_with_our_error(expanded):
    try:
        compacted = compact(expanded, AS)
    except ApcoreError:
        return
    assert isinstance(compacted, dict)


@pytest.mark.parametrize(
    ("document", "types"),
    [
        ({"@context": {"t": None, "@vocab": "https://v.example/"}, "@type": ["t", "u"]}, ["https://v.example/u"]),
        ({"@context": {"t": None, "@vocab": "https://v.example/"}, "@type": ["u", "t", "t"]}, ["https://v.example/u"]),
        ({"@type": ["@unheardOf", "https://v.example/u"]}, ["https://v.example/u"]),
    ],
)
def test_undefined_types_are_dropped(document, types):
    document |= {"@id": "https://a.example/1", "https://v.example/p": 1}
    [expanded] = expand(document)
    assert expanded["@type"] == types
    assert normalize(document, {})["@type"] == types[0]


def test_undefined_key_of_a_type_map_is_dropped():
    context = {"p": {"@id": "https://v.example/p", "@container": "@type"}}
    [expanded] = expand({"@context": context, "p": {"@unheardOf": {"https://v.example/q": 1}}})
    assert expanded == {"https://v.example/p": [{"https://v.example/q": [{"@value": 1}]}]}


def test_keyword_like_reference_is_null():
    assert expand({"https://v.example/p": {"@id": "@unheardOf"}}) == [{"https://v.example/p": [{"@id": None}]}]
    assert canonicalize({"https://v.example/p": {"@id": "@unheardOf"}}) == ""
