"""Check the memory of compiled contexts: it is shared by content, bounded, and safe from a flood of contexts."""

import pytest

from apcore.jsonld import BUNDLED, DEFAULT_LIMITS, ContextTable, WorkBudget, expand
from apcore.jsonld.cache import Memory
from apcore.jsonld.compiler import Compiler, compiler_of, content_key
from apcore.jsonld.terms import INITIAL, NotCovered

AS = "https://www.w3.org/ns/activitystreams"
USUAL = [AS, "https://w3id.org/security/v1", {"toot": "http://joinmastodon.org/ns#", "Emoji": "toot:Emoji"}]
BUDGET = WorkBudget(DEFAULT_LIMITS, 0)


def compile_context(compiler, context):
    return compiler.local(INITIAL, context, content_key(context), WorkBudget(DEFAULT_LIMITS, 0))


def test_equal_contexts_are_compiled_once():
    compiler = Compiler(BUNDLED)
    assert compile_context(compiler, USUAL) is compile_context(compiler, [*USUAL[:2], dict(USUAL[2])])


@pytest.mark.parametrize(("first", "second"), [(1, 1.0), (1, True), (0, False), ("1", 1), ([], {}), (None, False)])
def test_different_values_have_different_content_keys(first, second):
    assert content_key({"x": first}) != content_key({"x": second})


def test_value_outside_json_has_no_content_key():
    with pytest.raises(NotCovered):
        content_key({"x": object()})


def test_inline_context_shares_the_terms_of_named_contexts():
    compiler = Compiler(BUNDLED)
    first, second = compile_context(compiler, USUAL), compile_context(compiler, [*USUAL[:2], {"x": "as:x"}])
    assert first.terms["Note"] is second.terms["Note"]


def test_derived_table_shares_compiled_contexts():
    derived = BUNDLED.with_context("https://x.example/ns", {"x": "https://x.example/#x"})
    assert compiler_of(derived) is not compiler_of(BUNDLED)
    assert compile_context(compiler_of(derived), AS) is compile_context(compiler_of(BUNDLED), AS)


def test_tables_never_share_the_contexts_of_an_address():
    document = {"@context": "https://x.example/ns", "name": "n"}
    for iri in ("https://one.example/", "https://two.example/"):
        table = BUNDLED.with_context("https://x.example/ns", {"name": iri})
        assert expand(document, contexts=table) == [{iri: [{"@value": "n"}]}]


def test_flood_of_contexts_leaves_the_usual_one_in_memory():
    compiler = Compiler(ContextTable(BUNDLED._contexts))
    usual = compile_context(compiler, USUAL)
    assert compile_context(compiler, USUAL) is usual  # The second request makes it a known context.
    for number in range(2_000):
        compile_context(compiler, [AS, {f"t{number}": f"as:t{number}"}])
    assert compile_context(compiler, USUAL) is usual


def test_memory_size_is_bounded():
    memory = Memory[int](size=10)
    for number in range(1_000):
        memory.put(number, number)
        if number % 2:
            assert memory.get(number) == number
    assert len(memory) <= 20


def test_memory_keeps_entries_in_use():
    memory = Memory[int](size=4)
    memory.put("usual", 1)
    assert memory.get("usual") == 1
    for number in range(100):
        memory.put(number, number)
        assert memory.get("usual") == 1
    assert memory.get("never") is None


def test_large_contexts_are_not_kept():
    compiler = Compiler(BUNDLED)
    large = {f"t{number}": f"https://x.example/{number}" for number in range(301)}
    assert compile_context(compiler, large) is not compile_context(compiler, large)


def test_scoped_context_inside_itself_is_reused():
    compiler = compiler_of(BUNDLED)
    active = compile_context(compiler, ["https://www.w3.org/ns/did/v1"])
    service = active.terms["service"].scoped
    inner = compiler.scoped(active, service, BUDGET, of_type=False)
    assert inner is not active
    assert compiler.scoped(inner, service, BUDGET, of_type=False) is inner


def test_term_named_like_a_language_does_not_spoil_language_maps():
    expand({"@context": AS, "en": "x", "de": {"en": 1}})
    [node] = expand({"@context": AS, "contentMap": {"en": "x"}})
    assert node == {f"{AS}#content": [{"@value": "x", "@language": "en"}]}


def test_context_of_many_addresses_takes_the_slow_path():
    addresses = [f"https://x.example/{number}" for number in range(12)]
    table = ContextTable({address: {"x": "as:x"} for address in addresses})
    compile_context(Compiler(table), addresses[:10])
    with pytest.raises(NotCovered):
        compile_context(Compiler(table), addresses)


def test_circular_contexts_take_the_slow_path():
    table = ContextTable({"https://a.example/": ["https://b.example/"], "https://b.example/": ["https://a.example/"]})
    with pytest.raises(NotCovered):
        compile_context(Compiler(table), "https://a.example/")
