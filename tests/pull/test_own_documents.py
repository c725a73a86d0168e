"""Check references to our own documents: they are read from the store or their handlers, and never fetched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.errors import ApcoreError
from apcore.federation import Federation
from apcore.http import Request, Response
from apcore.node import AsyncNode, Node
from apcore.remote import Gone, NotFound, WrongId
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Article, Create, Delete, Document, Note, Person, Tombstone

HERE, ALIAS = "https://local.example", "https://alias.example"
ALICE, BOB = f"{HERE}/users/alice", "https://remote.example/users/bob"


class NoNetwork:
    """A transport that fails the test if anything is sent."""

    checks_addresses = "enforced"
    never_waits = True

    def send(self, request: Request) -> Response:
        raise AssertionError(f"{request.url} was requested")

    def close(self) -> None:
        """Do nothing: no connection is open."""


def make_federation() -> Federation[str]:
    federation: Federation[str] = Federation(software="test/1.0", authorized_fetch="required")

    @federation.actor("/users/{identifier}")
    def actor(ctx: Any, identifier: str) -> Person | Tombstone | None:
        if identifier == "gone":
            return Tombstone()
        return Person(name=f"Alice of {ctx.data}") if identifier == "alice" else None

    @federation.object(Article, "/articles/{number}")
    def article(ctx: Any, number: str) -> Article | None:
        return Article(name=f"Article {number} of {ctx.data}") if number == "1" else None

    return federation


def resolve_blocking(uri: str, fresh: bool, prepare: Callable[[Any], Any] | None = None) -> Document:
    @contextmanager
    def data() -> Iterator[str]:
        yield "the site"

    options: dict[str, Any] = {"transport": NoNetwork(), "signer": ReusedKeys(), "data": data}
    with Node(make_federation(), [HERE, ALIAS], MemoryStore(), **options) as node:
        if prepare is not None:
            uri = prepare(node)
        return node.reference(uri).resolve(fresh=fresh)


def resolve_async(uri: str, fresh: bool, prepare: Callable[[Any], Any] | None = None) -> Document:
    @asynccontextmanager
    async def data() -> Any:
        yield "the site"

    async def resolve() -> Document:
        options: dict[str, Any] = {"transport": NoNetwork(), "signer": ReusedKeys(), "data": data}
        async with AsyncNode(make_federation(), [HERE, ALIAS], MemoryStore(), **options) as node:
            ident = uri if prepare is None else await prepare(node)
            return await node.reference(ident).resolve(fresh=fresh)

    return asyncio.run(resolve())


both_nodes = pytest.mark.parametrize("resolve", [resolve_blocking, resolve_async])


@both_nodes
@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize(
    ("uri", "name"),
    [
        (ALICE, "Alice of the site"),
        (f"{ALIAS}/users/alice", "Alice of the site"),
        (f"{HERE}/articles/1", "Article 1 of the site"),
        ("HTTPS://Local.Example:443/users/alice", "Alice of the site"),
    ],
)
def test_own_document_is_made_by_its_handler_without_a_request(
    resolve: Callable[..., Document], uri: str, name: str, fresh: bool
) -> None:
    assert resolve(uri, fresh).words["name"] == name


@both_nodes
@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        (f"{ALICE}/followers", "OrderedCollection"),
        (f"{ALICE}/outbox", "OrderedCollection"),
        (f"{HERE}/actor", "Application"),
    ],
)
def test_own_collections_and_instance_actor_have_documents(
    resolve: Callable[..., Document], uri: str, kind: str
) -> None:
    assert resolve(uri, False).words["type"] == kind


@both_nodes
@pytest.mark.parametrize(
    ("uri", "error"),
    [
        (f"{HERE}/users/nobody", NotFound),
        (f"{HERE}/users/gone", Gone),
        (f"{HERE}/articles/2", NotFound),
        (f"{HERE}/elsewhere", NotFound),
        (f"{ALICE}/inbox", NotFound),
        (f"{HERE}/.well-known/webfinger?resource=acct:alice@local.example", NotFound),
        (f"{ALICE}#main-key", WrongId),
    ],
)
def test_own_id_without_a_document_is_an_error_without_a_request(
    resolve: Callable[..., Document], uri: str, error: type[ApcoreError]
) -> None:
    with pytest.raises(error):
        resolve(uri, False)


def test_object_for_a_limited_audience_is_read_by_its_own_application() -> None:
    def publish(node: Any) -> str:
        return node.publish(Note(content="secret", to=[f"{ALICE}/followers"]), by="alice", origin=HERE)

    assert resolve_blocking("", False, publish).words["content"] == "secret"

    async def publish_async(node: Any) -> str:
        return await node.publish(Note(content="secret", to=[f"{ALICE}/followers"]), by="alice", origin=HERE)

    assert resolve_async("", False, publish_async).words["content"] == "secret"


def test_collections_of_an_own_object_have_documents() -> None:
    def publish(node: Any) -> str:
        return node.publish(Note(content="public"), by="alice", origin=HERE) + "/likes"

    likes = resolve_blocking("", False, publish).words
    assert (likes["type"], likes["totalItems"]) == ("OrderedCollection", 0)


def test_deleted_object_is_gone() -> None:
    def publish_and_delete(node: Any) -> str:
        ident = node.publish(Note(content="soon gone"), by="alice", origin=HERE)
        node.send(Delete(object=ident), by="alice", to=[], origin=HERE)
        return ident

    with pytest.raises(Gone):
        resolve_blocking("", False, publish_and_delete)


def test_listener_resolves_our_own_object_without_a_request() -> None:
    """A remote activity embeds a false copy of our object: the stored object counts."""
    network = PeerNetwork()
    bob = network.peer(BOB)
    federation = make_federation()
    contents: list[Any] = []

    @federation.on(Create)
    def created(ctx: Any, activity: Create) -> None:
        assert activity.object is not None
        contents.append(ctx.resolve(activity.object).words["content"])

    with Node(federation, HERE, MemoryStore(), transport=network, signer=ReusedKeys(), data="the site") as node:
        ident = node.publish(Note(content="ours"), by="alice")
        forged = {"id": ident, "type": "Note", "content": "forged", "attributedTo": ALICE}
        request = bob.request(bob.activity("Create", object=forged), f"{ALICE}/inbox")
        assert node.handle(request).status == 202
        node.work(until_idle=True)
    assert contents == ["ours"]
