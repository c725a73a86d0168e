"""Check the upkeep of the graph: the hook for changed documents, forgetting, pruning, and the list of due copies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.errors import ConfigurationError, RequestError
from apcore.federation import Federation
from apcore.handlers import operation
from apcore.http import Response
from apcore.node import AsyncNode, Node
from apcore.remote import FetchPolicy, Gone, UnauthenticatedClient, load
from apcore.remote.records import CACHED_DOCUMENTS
from apcore.testing.keys import ReusedKeys
from apcore.vocab import Document, Person
from inbox_fixture import BOB, Ground
from scripted_web import ScriptedWeb, document

A, B = "https://a.example", "https://b.example"
NOTE = f"{A}/notes/1"
Change = tuple[str | None, str | None]


def note(content: str, ident: str = NOTE, **members: Any) -> Response:
    return document({"id": ident, "type": "Note", "attributedTo": f"{A}/bob", "content": content, **members})


def texts(old: Document | None, new: Document | None) -> Change:
    return (
        None if old is None else old.words["content"],
        None if new is None else new.words["content"],
    )


class Reader:
    """A node that only pulls, and the changes that its hook has seen."""

    def __init__(self, kind: str = "blocking", **fetching: Any) -> None:
        self.web = ScriptedWeb({NOTE: note("first")})
        self.changes: list[Change] = []
        self.failures: list[Exception] = []
        federation: Federation[str] = Federation()

        def blocking(ctx: Any, old: Document | None, new: Document | None) -> None:
            assert ctx.data == "the index"
            if self.failures:
                raise self.failures.pop()
            self.changes.append(texts(old, new))

        @operation
        def op(ctx: Any, old: Document | None, new: Document | None) -> Any:
            self.changes.append(texts(old, new))
            return None
            yield

        _ = federation.on_document(blocking if kind == "blocking" else op)
        self.store = MemoryStore(clock=self.web.clock)
        options: dict[str, Any] = {"transport": self.web, "runtime": self.web.runtime, "signer": ReusedKeys()}
        policy = FetchPolicy(**fetching)
        self.node: Node[str] = Node(federation, None, self.store, data="the index", fetching=policy, **options)

    def read(self, *, fresh: bool = False) -> str:
        content: str = self.node.reference(NOTE).resolve(fresh=fresh).words["content"]
        return content


# --- the hook -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["blocking", "operation"])
def test_hook_sees_each_change_of_a_document_once(kind: str) -> None:
    reader = Reader(kind)
    assert [reader.read(), reader.read(), reader.read(fresh=True)] == ["first"] * 3
    reader.web.pages[NOTE] = note("second")
    assert reader.read(fresh=True) == "second"
    reader.web.pages[NOTE] = Response(410)
    for _ in range(2):
        with pytest.raises(Gone):
            _ = reader.read(fresh=True)
    assert reader.changes == [(None, "first"), ("first", "second"), ("second", None)]


def test_document_is_stored_only_after_the_hook_has_returned() -> None:
    reader = Reader()
    reader.failures.append(RuntimeError("the index is locked"))
    with pytest.raises(RuntimeError, match="locked"):
        _ = reader.read()
    assert reader.node.reference(NOTE).state().name == "unknown"
    assert reader.read() == "first"
    assert reader.changes == [(None, "first")]


def test_hook_sees_deliveries_and_deletions() -> None:
    ground = Ground()
    changes: list[Change] = []
    federation: Federation[None] = Federation()
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person() if identifier == "alice" else None)
    _ = federation.on_document(lambda ctx, old, new: changes.append(texts(old, new)))
    ground.node = Node(
        federation, "https://local.example", ground.store, transport=ground.network, runtime=ground.clock,
        signer=ReusedKeys(), slots=0,
    )  # fmt: skip
    uri = "https://remote.example/posts/1"
    public = "https://www.w3.org/ns/activitystreams#Public"
    tree = {"id": uri, "type": "Note", "attributedTo": BOB, "to": public}
    for kind, object_ in (
        ("Update", tree | {"content": "pushed"}),
        ("Update", tree | {"content": "edited"}),
        ("Delete", uri),
        ("Delete", uri),
    ):
        ground.clock.pass_s(2)
        assert ground.bob.deliver(ground.node, ground.bob.activity(kind, object=object_), to="alice").status == 202
        ground.node.work(until_idle=True)
    assert changes == [(None, "pushed"), ("pushed", "edited"), ("edited", None)]


def test_document_that_a_stranger_had_us_load_is_announced_when_we_load_it_ourselves() -> None:
    reader = Reader()
    client = UnauthenticatedClient("203.0.113.9")
    _ = reader.node.run(load(NOTE, policy=FetchPolicy(unauthenticated_client=client)))
    assert reader.changes == []
    assert reader.read(fresh=True) == "first"
    assert reader.changes == [(None, "first")]


def test_second_hook_and_a_hook_of_another_form_are_refused() -> None:
    federation: Federation[None] = Federation()
    _ = federation.on_document(lambda ctx, old, new: None)
    with pytest.raises(ConfigurationError, match="a hook already"):
        _ = federation.on_document(lambda ctx, old, new: None)
    other: Federation[None] = Federation()
    with pytest.raises(ConfigurationError, match="3 arguments"):
        _ = other.on_document(lambda ctx: None)  # type: ignore[arg-type, misc]


# --- forgetting and pruning -----------------------------------------------------------------------------------------


def test_documents_are_forgotten_by_id_actor_or_server() -> None:
    reader = Reader()
    node = reader.node
    reader.web.pages |= {f"{B}/1": document({"id": f"{B}/1", "type": "Note", "content": "other"})}
    for forgotten in ({"id": "HTTPS://a.example/notes/1"}, {"actor": f"{A}/bob"}, {"server": A}):
        _ = node.resolve_many([NOTE, f"{B}/1"])
        assert node.forget_documents(**forgotten) == 1
        assert node.reference(NOTE).state().name == "unknown"
        assert node.reference(f"{B}/1").state().name == "fresh"


@pytest.mark.parametrize("named", [{}, {"id": NOTE, "actor": NOTE}])
def test_exactly_one_of_id_actor_and_server_is_named(named: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        Reader().node.forget_documents(**named)
    with pytest.raises(RequestError):
        Reader().node.forget_documents(id="urn:x:1")


def test_graph_keeps_to_its_bound_by_itself() -> None:
    reader = Reader(graph_documents_max=10)
    uris = [f"{A}/notes/{number:03}" for number in range(40)]
    reader.web.pages |= {uri: note("text", uri) for uri in uris}
    for uri in uris:
        _ = reader.node.reference(uri).resolve()
        reader.web.pass_s(1)
    assert len(reader.store.scan(CACHED_DOCUMENTS.prefix, limit=100)) == 40, "one commit in two thousand prunes"
    reader.web.runtime.random_bytes = lambda count, /: b"\xff" * count  # type: ignore[method-assign]
    assert reader.read() == "first"
    copies = [
        CACHED_DOCUMENTS.decode(entry.value).uri for entry in reader.store.scan(CACHED_DOCUMENTS.prefix, limit=99)
    ]
    assert sorted(copies) == sorted([*uris[-9:], NOTE])


def test_node_prunes_on_request_and_lists_due_documents() -> None:
    reader = Reader()
    timeline = f"{A}/outbox"
    reader.web.pages[timeline] = document({"id": timeline, "type": "OrderedCollection", "content": "-"})
    _ = reader.node.resolve_many([NOTE, timeline])
    reader.web.pass_s(7200)
    assert [(state.uri, state.name) for state in reader.node.due_for_refresh()] == [(timeline, "stale")]
    assert reader.node.prune_documents() == 0
    assert reader.node.prune_documents(documents_max=1) == 1
    assert reader.node.due_for_refresh() == ()
    assert reader.node.prune_documents(age_s_max=60.0) == 1


def test_async_node_has_the_same_methods() -> None:
    web = ScriptedWeb({NOTE: note("first")})
    changes: list[Change] = []

    async def run() -> None:
        federation: Federation[None] = Federation()

        async def changed(ctx: Any, old: Document | None, new: Document | None) -> None:
            changes.append(texts(old, new))

        _ = federation.on_document(changed)
        options: dict[str, Any] = {"transport": web, "signer": ReusedKeys()}
        async with AsyncNode(federation, "https://local.example", MemoryStore(), **options) as node:
            _ = await node.reference(NOTE).resolve()
            assert await node.due_for_refresh() == ()
            assert await node.refresh_due() == 0
            assert await node.prune_documents() == 0
            assert await node.forget_documents(id=NOTE) == 1

    asyncio.run(run())
    assert changes == [(None, "first")]
