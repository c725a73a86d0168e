"""Check that malformed objects and activities are refused at the call, and that nothing of them is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.errors import ContractError
from apcore.federation import Federation
from apcore.node import AsyncNode, Node
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import (
    Accept,
    Activity,
    Article,
    Block,
    Create,
    Follow,
    Like,
    Link,
    Note,
    Person,
    Question,
    Undo,
    Update,
    View,
    read_document,
)

HOME = "https://home.example"
ANNA = f"{HOME}/people/anna"
MILA = "https://away.example/@mila"
NOTE = f"{HOME}/notes/1"

UNPUBLISHABLE: dict[str, tuple[Callable[[], View], str]] = {
    "a Create": (lambda: Create(object=Note(content="hi")), "not the activity Create"),
    "a Follow": (lambda: Follow(object=MILA), r"send\(\) takes activities"),
    "an activity of an unknown type": (
        lambda: View.over(read_document({"type": "Lock", "actor": ANNA, "object": NOTE})),
        "not the activity Lock",
    ),
    "an actor": (lambda: Person(name="Anna"), "takes an object, not Person"),
    "a link": (lambda: Link(href=NOTE), "takes an object, not Link"),
    "no type": (lambda: View.over(read_document({"content": "hi"})), "with a type"),
    "an id of another origin": (lambda: Note(id="https://away.example/notes/1", content="hi"), "another origin"),
    "an id of another scheme": (lambda: Note(id="http://home.example/notes/1", content="hi"), "another origin"),
    "an id without a route": (lambda: Note(id=f"{HOME}/nothing/1", content="hi"), "nothing is served at"),
    "an id at the root": (lambda: Note(id=f"{HOME}/", content="hi"), "nothing is served at"),
    "an id with a query": (lambda: Note(id=f"{NOTE}?x=1", content="hi"), "nothing is served at"),
    "an id with a fragment": (lambda: Note(id=f"{NOTE}#part", content="hi"), "part of a document"),
    "an id that is no URL": (lambda: Note(id="urn:uuid:1", content="hi"), "is no address"),
    "the actor's id": (lambda: Note(id=ANNA, content="hi"), "nothing is served at"),
    "a collection's id": (lambda: Note(id=f"{ANNA}/followers", content="hi"), "nothing is served at"),
    "an id of another actor": (lambda: Note(id=f"{HOME}/people/otto/objects/1", content="hi"), "belongs to 'otto'"),
    "an id of another type": (lambda: Article(id=NOTE, content="hi"), "is one of Note"),
}

UNSENDABLE: dict[str, tuple[Callable[[], View], str]] = {
    "a Note": (lambda: Note(content="hi"), "an activity, not Note"),
    "a Question": (lambda: Question(content="hi?"), "an activity, not Question"),
    "an actor": (lambda: Person(name="Anna"), "an activity, not Person"),
    "no type": (lambda: View.over(read_document({"object": NOTE})), "an activity, not something of no type"),
    "a Follow of nothing": (Follow, "Follow needs an object"),
    "an Undo of nothing": (Undo, "Undo needs an object"),
    "an Accept of nothing": (Accept, "Accept needs an object"),
    "a Block of nothing": (Block, "Block needs an object"),
    "an id of another origin": (lambda: Like(id="https://away.example/likes/1", object=NOTE), "another origin"),
    "an id without a route": (lambda: Like(id=f"{HOME}/nothing/1", object=NOTE), "nothing is served at"),
    "a fragment without a route": (lambda: Like(id=f"{HOME}/nothing#like", object=NOTE), "nothing is served at"),
    "the actor's id": (lambda: Like(id=ANNA, object=NOTE), "nothing is served at"),
    "a fragment of another actor": (lambda: Like(id=f"{HOME}/people/otto#like", object=NOTE), "belongs to 'otto'"),
    "an id that is no URL": (lambda: Like(id="like-1", object=NOTE), "is no address"),
    "a Create of a foreign object": (
        lambda: Create(object=Note(id="https://away.example/notes/1", content="hi")),
        "another origin",
    ),
    "an Update of a foreign object": (
        lambda: Update(object=Note(id="https://away.example/notes/1", content="hi")),
        "another origin",
    ),
    "an Update of a foreign actor": (lambda: Update(object=Person(id=MILA, name="Mila")), "another origin"),
}

CONTRADICTIONS: dict[str, tuple[str, Callable[[], View], str]] = {
    "another author": ("publish", lambda: Note(content="hi", attributed_to=MILA), "is attributed to"),
    "another actor": ("send", lambda: Like(object=NOTE, actor=MILA), "has the actor"),
    "an id of a missing activity": (
        "send",
        lambda: Like(id=f"{ANNA}/activities/1", object=NOTE),
        "'anna' has no object at",
    ),
}

REFUSED: dict[str, tuple[str, Callable[[], View], str, type[Exception]]] = {
    **{f"publish {name}": ("publish", *case, ValueError) for name, case in UNPUBLISHABLE.items()},
    **{f"send {name}": ("send", *case, ValueError) for name, case in UNSENDABLE.items()},
    **{f"{case[0]} {name}": (*case, ContractError) for name, case in CONTRADICTIONS.items()},
}
ALL = pytest.mark.parametrize(("method", "make_view", "words", "error"), REFUSED.values(), ids=REFUSED)


def federation(*, listen: Any = None) -> Federation[None]:
    rules: Federation[None] = Federation(software="test/1.0")
    rules.actor("/people/{identifier}")(lambda ctx, identifier: Person(preferred_username=identifier))
    rules.object(Note, "/notes/{number}")(lambda ctx, number: Note(content=number))
    if listen is not None:
        rules.on(Activity)(listen)
    return rules


def arguments(method: str) -> dict[str, Any]:
    return {"by": "anna"} | ({"to": MILA} if method == "send" else {})


@ALL
def test_node_refuses_at_the_call_and_stores_nothing(method, make_view, words, error):
    store = MemoryStore()
    with Node(federation(), HOME, store, signer=ReusedKeys(), transport=PeerNetwork()) as node:
        with pytest.raises(error, match=words):
            getattr(node, method)(make_view(), **arguments(method))
        assert store.scan((), limit=10) == []


@ALL
def test_async_node_refuses_at_the_call_and_stores_nothing(method, make_view, words, error):
    async def call() -> list[Any]:
        async with AsyncNode(federation(), HOME, "memory:") as node:
            with pytest.raises(error, match=words):
                await getattr(node, method)(make_view(), **arguments(method))
            return list(await node.ports.store.scan((), limit=10))

    assert asyncio.run(call()) == []


@ALL
def test_context_refuses_in_the_handler_and_sends_nothing(method, make_view, words, error):
    outcomes: list[Exception | None] = []

    def listen(ctx: Any, activity: Activity) -> None:
        try:
            getattr(ctx, method)(make_view(), **arguments(method))
        except (ValueError, ContractError) as refusal:
            outcomes.append(refusal)
            raise
        outcomes.append(None)

    network = PeerNetwork()
    mila = network.peer(MILA)
    store = MemoryStore()
    with Node(federation(listen=listen), HOME, store, signer=ReusedKeys(), transport=network) as node:
        assert mila.deliver(node, mila.activity("Like", object=NOTE), to="anna").status == 202
        node.work(until_idle=True)
        [outcome] = outcomes
        # An object is looked up only when the handler's writes are combined; the handler fails then, too.
        assert (outcome is None) is (words == CONTRADICTIONS["an id of a missing activity"][2])
        assert not mila.received
        assert store.scan(("sent",), limit=10) == store.scan(("obj",), limit=10) == []


SENT = {
    "a minted id": lambda: Like(object=NOTE),
    "a fragment of the actor": lambda: Like(id=f"{ANNA}#likes/1", object=NOTE),
    "an object of ours": lambda: Like(id=NOTE, object=NOTE),
    "an unknown type": lambda: View.over(read_document({"type": "EmojiReact", "object": NOTE, "content": "x"})),
}


@pytest.mark.parametrize("make_view", SENT.values(), ids=SENT)
def test_well_formed_activities_go_out(make_view):
    network = PeerNetwork()
    mila = network.peer(MILA)
    with Node(federation(), HOME, "memory:", signer=ReusedKeys(), transport=network) as node:
        network.join(node)
        ident = node.send(make_view(), by="anna", to=MILA)
        node.work(until_idle=True)
    assert [delivered.activity["id"] for delivered in mila.received] == [ident]


def test_an_object_is_published_once():
    with Node(federation(), HOME, "memory:", signer=ReusedKeys(), transport=PeerNetwork()) as node:
        for ident in (NOTE, f"{ANNA}/objects/first"):
            assert node.publish(Note(id=ident, content="hi"), by="anna") == ident
            with pytest.raises(ContractError, match="is published already"):
                node.publish(Note(id=ident, content="again"), by="anna")


def test_published_activity_is_sent_again_under_its_id():
    network = PeerNetwork()
    mila = network.peer(MILA)
    with Node(federation(), HOME, "memory:", signer=ReusedKeys(), transport=network) as node:
        network.join(node)
        node.publish(Note(content="hi"), by="anna", to=MILA)
        node.work(until_idle=True)
        [first] = mila.received
        create = read_document(first.activity).view(Create)
        assert node.send(create, by="anna", to=MILA) == first.activity["id"]
        with pytest.raises(ValueError, match="belongs to 'anna'"):
            node.send(create, by="otto", to=MILA)
