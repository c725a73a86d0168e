"""The memory of compiled contexts: shared by content, bounded, and not for a sender to spoil."""

import pytest

from apcore.jsonld import BUNDLED, DEFAULT_LIMITS, ContextTable, WorkBudget, expand
from apcore.jsonld.cache import Memory
from apcore.jsonld.compiler import Compiler, compiler_of, content_key
from apcore.jsonld.terms import INITIAL, NotCovered

AS = "https://www.w3.org/ns/activitystreams"
USUAL = [AS, "https://w3id.org/security/v1", {"toot": "http://joinmastodon.org/ns#", "Emoji": "toot:Emoji"}]
BUDGET = WorkBudget(DEFAULT_LIMITS, 0)


def local(compiler, context):
    return compiler.local(INITIAL, context, content_key(context), WorkBudget(DEFAULT_LIMITS, 0))


def test_equal_contexts_are_one():
    compiler = Compiler(BUNDLED)
    assert local(compiler, USUAL) is local(compiler, [*USUAL[:2], dict(USUAL[2])])


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, True), (0, False), ("1", 1), ([], {}), (None, False)])
def test_different_contexts_are_two(one, other):
    assert content_key({"x": one}) != content_key({"x": other})


def test_what_is_no_json_has_no_key():
    with pytest.raises(NotCovered):
        content_key({"x": object()})


def test_an_inline_context_stands_upon_the_compiled_ones():
    compiler = Compiler(BUNDLED)
    one, other = local(compiler, USUAL), local(compiler, [*USUAL[:2], {"x": "as:x"}])
    assert one.terms["Note"] is other.terms["Note"]


def test_tables_share_what_was_compiled():
    derived = BUNDLED.with_context("https://x.example/ns", {"x": "https://x.example/#x"})
    assert compiler_of(derived) is not compiler_of(BUNDLED)
    assert local(compiler_of(derived), AS) is local(compiler_of(BUNDLED), AS)


def test_tables_do_not_share_what_addresses_hold():
    document = {"@context": "https://x.example/ns", "name": "n"}
    for iri in ("https://one.example/", "https://two.example/"):
        table = BUNDLED.with_context("https://x.example/ns", {"name": iri})
        assert expand(document, contexts=table) == [{iri: [{"@value": "n"}]}]


def test_a_flood_leaves_the_usual_context_in_place():
    compiler = Compiler(ContextTable(BUNDLED._contexts))
    usual = local(compiler, USUAL)
    assert local(compiler, USUAL) is usual  # asked for twice: proven
    for number in range(2_000):
        local(compiler, [AS, {f"t{number}": f"as:t{number}"}])
    assert local(compiler, USUAL) is usual


def test_memory_is_bounded():
    memory = Memory[int](size=10)
    for number in range(1_000):
        memory.put(number, number)
        if number % 2:
            assert memory.get(number) == number
    assert len(memory) <= 20


def test_memory_keeps_what_is_asked_for():
    memory = Memory[int](size=4)
    memory.put("usual", 1)
    assert memory.get("usual") == 1
    for number in range(100):
        memory.put(number, number)
        assert memory.get("usual") == 1
    assert memory.get("never") is None


def test_large_contexts_are_not_remembered():
    compiler = Compiler(BUNDLED)
    large = {f"t{number}": f"https://x.example/{number}" for number in range(301)}
    assert local(compiler, large) is not local(compiler, large)


def test_nesting_a_scoped_context_in_itself_adds_nothing():
    compiler = compiler_of(BUNDLED)
    active = local(compiler, ["https://www.w3.org/ns/did/v1"])
    service = active.terms["service"].scoped
    inner = compiler.scoped(active, service, BUDGET, of_type=False)
    assert inner is not active
    assert compiler.scoped(inner, service, BUDGET, of_type=False) is inner


def test_a_document_with_a_key_called_like_a_language_spoils_nothing():
    expand({"@context": AS, "en": "x", "de": {"en": 1}})
    [node] = expand({"@context": AS, "contentMap": {"en": "x"}})
    assert node == {f"{AS}#content": [{"@value": "x", "@language": "en"}]}


def test_many_addresses_are_left_to_the_slow_path():
    addresses = [f"https://x.example/{number}" for number in range(12)]
    table = ContextTable({address: {"x": "as:x"} for address in addresses})
    local(Compiler(table), addresses[:10])
    with pytest.raises(NotCovered):
        local(Compiler(table), addresses)


def test_contexts_that_lead_to_one_another_end():
    table = ContextTable({"https://a.example/": ["https://b.example/"], "https://b.example/": ["https://a.example/"]})
    with pytest.raises(NotCovered):
        local(Compiler(table), "https://a.example/")
