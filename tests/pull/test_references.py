"""Check references and pointers: equality by address, states, looking again, and walks with a budget."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.effects import Raised, Returned
from apcore.errors import ContractError, RequestError
from apcore.federation import Federation
from apcore.handlers import operation
from apcore.http import Response
from apcore.node import AsyncNode, Node
from apcore.remote import FetchPolicy, NotFound
from apcore.remote.budgets import BudgetSpent
from apcore.testing.keys import ReusedKeys
from apcore.vocab import Article, Note, Object, Person, Reference
from scripted_web import ScriptedWeb, document, redirect

A, B, HERE = "https://a.example", "https://b.example", "https://local.example"
NOTE = f"{A}/notes/1"


def note(ident: str = NOTE, content: str = "hi", **members: Any) -> Response:
    return document({"id": ident, "type": "Note", "content": content, **members})


def person(ident: str) -> Response:
    return document({"id": ident, "type": "Person", "name": ident[-1]})


def make_node(web: ScriptedWeb, origin: Any = None, **fetching: Any) -> Node[None]:
    federation: Federation[None] = Federation()

    @federation.actor("/users/{identifier}")
    def actor(ctx: Any, identifier: str) -> Person | None:
        return Person(name="Alice") if identifier == "alice" else None

    store = MemoryStore(clock=web.clock)
    options: dict[str, Any] = {"transport": web, "runtime": web.runtime, "signer": ReusedKeys()}
    return Node(federation, origin, store, fetching=FetchPolicy(**fetching), **options)


# --- references -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "is_equal"),
    [
        (NOTE, "HTTPS://A.Example:443/notes/1", True),
        ("https://bücher.example/1", "https://xn--bcher-kva.example/1", True),
        (A, f"{A}/", True),
        (NOTE, f"{NOTE}#part", False),
        (NOTE, f"{NOTE}?page=1", False),
        (NOTE, f"{NOTE}/", False),
        (NOTE, "http://a.example/notes/1", False),
        (NOTE, f"{A}/Notes/1", False),
        ("urn:uuid:A", "urn:uuid:a", False),
        ("not an address", "not an address", True),
        (NOTE, None, False),
    ],
)
def test_references_are_equal_by_normalised_address(one: str, other: str | None, is_equal: bool) -> None:
    references = Reference(one), Reference(other)
    assert (references[0] == references[1]) is is_equal
    assert len(set(references)) == (1 if is_equal else 2)
    assert references[0].uri == one


def test_making_a_reference_or_a_pointer_reads_nothing() -> None:
    web = ScriptedWeb()
    with make_node(web) as node:
        pointer = node.reference("no address at all")
        assert pointer.uri == "no address at all"
        with pytest.raises(RequestError):
            pointer.state()
    assert web.asked() == []


@pytest.mark.parametrize(
    ("uri", "is_local"),
    [
        (f"{HERE}/users/alice", True),
        ("https://LOCAL.example:443/x", True),
        ("https://alias.example/x", True),
        (NOTE, False),
        ("urn:x:1", False),
    ],
)
def test_pointer_knows_whether_its_address_is_ours(uri: str, is_local: bool) -> None:
    with make_node(ScriptedWeb(), [HERE, "https://alias.example"]) as node:
        assert node.reference(uri).is_local is is_local


# --- states ---------------------------------------------------------------------------------------------------------


def test_state_follows_a_document_through_its_life_without_a_request() -> None:
    actor = f"{A}/users/bob"
    web = ScriptedWeb({actor: person(actor)})
    with make_node(web) as node:
        pointer = node.reference(actor)
        assert pointer.state().name == "unknown"
        pointer.resolve()
        state = pointer.state()
        assert (state.name, state.rule, state.provenance, state.age_s) == ("fresh", "profile", "fetched", 0)
        web.pass_s(3 * 86400)
        assert (pointer.state().name, pointer.state().age_s) == ("stale", 3 * 86400)
        web.pass_s(29.5 * 86400)
        assert pointer.state().name == "unknown"  # dropped after 30 days
        web.pages[actor] = Response(404)
        with pytest.raises(NotFound):
            pointer.resolve()
        state = pointer.state()
        assert (state.name, state.reason) == ("failed", "document-not-found")
        assert state.retry_at is not None
        web.pass_s(600)
        web.pages[actor] = Response(410)
        with pytest.raises(Exception, match="410"):
            pointer.resolve()
        assert (pointer.state().name, pointer.state().reason) == ("gone", "gone")
    assert len(web.requests) == 3


def test_timeline_is_expired_after_its_time_for_errors() -> None:
    uri = f"{A}/outbox"
    web = ScriptedWeb({uri: document({"id": uri, "type": "OrderedCollection"})})
    with make_node(web) as node:
        node.reference(uri).resolve()
        web.pass_s(8 * 86400)
        assert node.reference(uri).state().name == "expired"


def test_moved_address_is_redirected() -> None:
    web = ScriptedWeb({NOTE: redirect(f"{B}/1", status=301), f"{B}/1": note(f"{B}/1")})
    with make_node(web) as node:
        node.reference(NOTE).resolve()
        state = node.reference(NOTE).state()
        assert (state.name, state.target) == ("redirected", f"{B}/1")
        assert node.reference(f"{B}/1").state().name == "fresh"


def test_document_of_our_own_is_fresh_or_unknown_to_us() -> None:
    with make_node(ScriptedWeb(), HERE) as node:
        assert node.reference(f"{HERE}/users/alice").state().name == "fresh"
        assert node.reference(f"{HERE}/users/alice").state().provenance == "own"
        assert node.reference(f"{HERE}/users/nobody").state().name == "failed"


# --- looking again --------------------------------------------------------------------------------------------------


def test_pointer_looks_again_when_its_document_is_stale() -> None:
    uri = f"{A}/outbox"
    web = ScriptedWeb({uri: document({"id": uri, "type": "OrderedCollection", "totalItems": 1})})
    with make_node(web) as node:
        pointer = node.reference(uri)
        assert pointer.resolve().words["totalItems"] == 1
        web.pages[uri] = document({"id": uri, "type": "OrderedCollection", "totalItems": 2})
        assert pointer.resolve().words["totalItems"] == 1
        web.pass_s(3601)
        assert pointer.resolve().words["totalItems"] == 2
        assert pointer.document.words["totalItems"] == 2


def test_several_views_of_one_document_cost_one_request() -> None:
    web = ScriptedWeb({NOTE: note(name="a title")})
    with make_node(web) as node:
        pointer = node.reference(NOTE)
        pointer.resolve()
        assert (pointer.view(Note).content, pointer.view(Object).name) == ("hi", "a title")
        assert pointer.document.is_a(Article) is False
    assert web.asked() == [NOTE]


def test_reference_is_resolved_as_a_chosen_actor() -> None:
    web = ScriptedWeb({NOTE: note()})
    with make_node(web, HERE) as node:
        node.reference(NOTE, by="alice").resolve()
        assert f'keyId="{HERE}/users/alice#main-key"' in (web.requests[-1].headers.get("signature") or "")
        node.reference(NOTE).resolve()
        assert f'keyId="{HERE}/actor#main-key"' in (web.requests[-1].headers.get("signature") or "")
        assert node.reference(NOTE, by="alice").state().viewer == f"{HERE}/users/alice"
        node.reference(NOTE, by="alice").resolve()
    assert len(web.requests) == 2


# --- several at once ------------------------------------------------------------------------------------------------


def test_many_references_are_resolved_in_order_and_equal_ones_once() -> None:
    uris = [f"{A}/notes/{number}" for number in range(5)]
    web = ScriptedWeb({uri: note(uri, content=uri[-1]) for uri in uris} | {f"{B}/1": Response(404)})
    with make_node(web) as node:
        outcomes = node.resolve_many([*uris, f"{B}/1", Reference(uris[0].replace("https", "HTTPS")), Reference(None)])
    texts = [outcome.value.words["content"] for outcome in outcomes if isinstance(outcome, Returned)]
    assert texts == ["0", "1", "2", "3", "4", "0"]
    assert [type(outcome.error).__name__ for outcome in outcomes if isinstance(outcome, Raised)] == [
        "NotFound",
        "DocumentError",
    ]
    assert len(web.requests) == 6


@pytest.mark.parametrize(("count", "per_host"), [(1001, 2), (1, 0)])
def test_too_many_references_at_once_are_refused(count: int, per_host: int) -> None:
    with make_node(ScriptedWeb()) as node, pytest.raises(ValueError, match=r"at most 1000|at least 1"):
        node.resolve_many([NOTE] * count, per_host=per_host)


# --- walks ----------------------------------------------------------------------------------------------------------

PARENT, BOB, CAROL = f"{B}/notes/0", f"{B}/bob", f"{B}/carol"
THREAD = {
    NOTE: note(inReplyTo=PARENT),
    PARENT: note(PARENT, attributedTo=[BOB, CAROL]),
    BOB: person(BOB),
    CAROL: person(CAROL),
}


def ids(outcomes: Any) -> list[Any]:
    return [outcome.value.id if isinstance(outcome, Returned) else type(outcome.error) for outcome in outcomes]


def test_walk_follows_a_path_and_caches_the_documents_on_the_way() -> None:
    web = ScriptedWeb(dict(THREAD))
    with make_node(web) as node:
        assert ids(node.reference(NOTE).walk("in_reply_to.attributed_to")) == [BOB, CAROL]
        assert web.asked() == [NOTE, PARENT, BOB, CAROL]
        assert ids(node.reference(NOTE).walk("in_reply_to.attributed_to")) == [BOB, CAROL]
        assert node.reference(PARENT).resolve().id == PARENT
    assert web.asked() == []


def test_walk_ends_within_its_budget() -> None:
    web = ScriptedWeb(dict(THREAD))
    with make_node(web) as node:
        assert ids(node.reference(NOTE).walk("in_reply_to.attributed_to", requests_max=3)) == [BOB, BudgetSpent]
        assert len(web.asked()) == 3
        assert ids(node.reference(NOTE).walk("in_reply_to.attributed_to", requests_max=3)) == [BOB, CAROL]


def test_branch_of_a_walk_ends_at_its_error_or_where_the_property_is_missing() -> None:
    web = ScriptedWeb({**THREAD, BOB: Response(404), CAROL: note(CAROL)})
    with make_node(web) as node:
        assert ids(node.reference(NOTE).walk("in_reply_to.attributed_to.in_reply_to")) == [NotFound]


@pytest.mark.parametrize(
    "path", ["", "no_such_thing", "in_reply_to..attributed_to", "__class__", ".".join(["tag"] * 11)]
)
def test_path_that_names_no_property_is_refused(path: str) -> None:
    with make_node(ScriptedWeb(dict(THREAD))) as node, pytest.raises(ValueError, match="path"):
        node.reference(NOTE).walk(path)


def test_walk_in_a_circle_ends() -> None:
    web = ScriptedWeb({NOTE: note(inReplyTo=NOTE)})
    with make_node(web) as node:
        assert ids(node.reference(NOTE).walk(".".join(["in_reply_to"] * 10))) == [NOTE]
    assert web.asked() == [NOTE]


def test_walk_is_awaited_on_an_event_loop() -> None:
    web = ScriptedWeb(dict(THREAD))

    async def walk() -> list[Any]:
        async with AsyncNode(Federation(), None, MemoryStore(), transport=web) as node:
            pointer = node.reference(NOTE)
            outcomes = ids(await pointer.walk("in_reply_to.attributed_to"))
            assert ids(await node.resolve_many([NOTE])) == [NOTE]
            assert (await pointer.state()).name == "fresh"
            return outcomes

    assert asyncio.run(walk()) == [BOB, CAROL]


@pytest.mark.parametrize("kind", ["blocking", "operation"])
def test_handler_walks_and_resolves_within_the_budget_of_its_run(kind: str) -> None:
    web = ScriptedWeb({**THREAD, f"{A}/2": note(f"{A}/2")})
    results: list[Any] = []
    federation: Federation[None] = Federation()

    def blocking(ctx: Any, identifier: str) -> Person:
        results.append(ids(ctx.reference(NOTE).walk("in_reply_to.attributed_to")))
        results.append(ids(ctx.resolve_many([f"{A}/2"])))
        return Person()

    @operation
    def op(ctx: Any, identifier: str) -> Any:
        results.append(ids((yield from ctx.walk(NOTE, "in_reply_to.attributed_to"))))
        results.append(ids((yield from ctx.resolve_many([f"{A}/2"]))))
        return Person()

    federation.actor("/users/{identifier}")(blocking if kind == "blocking" else op)
    options: dict[str, Any] = {"transport": web, "signer": ReusedKeys(), "fetching": FetchPolicy(fetches_a_job=4)}
    with Node(federation, HERE, MemoryStore(), **options) as node:
        node.reference(f"{HERE}/users/alice").resolve()
    assert results == [[BOB, CAROL], [BudgetSpent]]


def test_view_of_an_unresolved_pointer_is_refused() -> None:
    with make_node(ScriptedWeb()) as node, pytest.raises(ContractError, match="resolve"):
        node.reference(NOTE).view(Note)
