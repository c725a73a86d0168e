"""Check lookups of our own actors and documents: they need no request."""

from __future__ import annotations

from typing import Any

import pytest

from apcore import Federation, Node
from apcore.errors import RequestError
from apcore.federation.own_lookups import describe_own, find_own
from apcore.http import LOOPBACK_OPEN
from apcore.remote import Gone, NotFound
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Note, Person, Tombstone

SOCIAL, BAKERY, HOST = "https://social.example", "https://bakery.example", "handles.example"
ALICE = f"{SOCIAL}/people/7"
BOB = "https://remote.example/users/bob"


def federation() -> Federation[None]:
    rules: Federation[None] = Federation(software="test/1.0")
    views = {"7": Person(preferred_username="alice"), "gone": Tombstone()}
    rules.actor("/people/{identifier}")(lambda ctx, identifier: views.get(identifier))
    rules.handle(lambda ctx, username: "7" if username == "alice" else "gone" if username == "gone" else None)
    rules.profile("/@{username}")
    rules.object(Note, "/notes/{number}")(lambda ctx, number: Note(content=number) if number == "1" else None)
    return rules


def node_of(origin: Any = (SOCIAL, BAKERY), **options: Any) -> tuple[Node[None], PeerNetwork]:
    network = PeerNetwork()
    network.peer(BOB)
    options = {"handle_host": {SOCIAL: HOST}} | options
    return Node(federation(), origin, "memory:", transport=network, signer=ReusedKeys(), **options), network


@pytest.mark.parametrize(
    ("text", "acct", "ident"),
    [
        ("@alice@handles.example", "acct:alice@handles.example", ALICE),
        (" @ALICE@handles.example. ", "acct:alice@handles.example", ALICE),
        ("@alice@social.example", "acct:alice@handles.example", ALICE),
        (ALICE, "acct:alice@handles.example", ALICE),
        ("social.example/@alice", "acct:alice@handles.example", ALICE),
        ("https://handles.example/@alice", "acct:alice@handles.example", ALICE),
        ("@alice@bakery.example", "acct:alice@bakery.example", f"{BAKERY}/people/7"),
        ("https://remote.example/@alice@bakery.example", "acct:alice@bakery.example", f"{BAKERY}/people/7"),
        ("@social.example@social.example", "acct:social.example@social.example", f"{SOCIAL}/actor"),
        (f"{SOCIAL}/notes/1", None, f"{SOCIAL}/notes/1"),
    ],
)
def test_own_name_is_found_without_a_request(text: str, acct: str | None, ident: str) -> None:
    node, network = node_of()
    for origin in node.origins.listed:
        result = node.run(find_own(node.site(origin), text))
        assert result is not None
        assert (result.document.id, result.acct and str(result.acct)) == (ident, acct)
        assert str(result.loaded.url) == ident
    assert network.exchanges == []


@pytest.mark.parametrize("text", ["@bob@remote.example", BOB, "https://handles.example/about", "social.example.org"])
def test_name_of_another_server_is_left_to_it(text: str) -> None:
    node, network = node_of()
    assert node.run(find_own(node.site(node.origins.listed[0]), text)) is None
    assert network.exchanges == []


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("@eve@handles.example", NotFound),
        ("@gone@social.example", Gone),
        (f"{SOCIAL}/people/8", NotFound),
        (f"{SOCIAL}/people/gone", Gone),
        (f"{SOCIAL}/notes/2", NotFound),
        (f"{SOCIAL}/other", NotFound),
        ("eve", RequestError),
    ],
)
def test_own_name_without_a_document_is_not_asked_for(text: str, error: type[Exception]) -> None:
    node, network = node_of()
    with pytest.raises(error):
        node.run(find_own(node.site(node.origins.listed[0]), text))
    assert network.exchanges == []


@pytest.mark.parametrize("origin", [lambda origin: origin in {SOCIAL, BAKERY}, "http://127.0.0.1:8000"])
def test_every_form_of_origins_is_known_as_our_own(origin: Any) -> None:
    node, network = node_of(origin, handle_host=None, addresses=LOOPBACK_OPEN)
    host = "social.example" if callable(origin) else "127.0.0.1:8000"
    site = node.site(node.origins.pick(SOCIAL if callable(origin) else None))
    result = node.run(find_own(site, f"@alice@{host}"))
    assert result is not None
    assert str(result.acct) == f"acct:alice@{host}"
    assert network.exchanges == []


def test_own_resource_is_described_without_a_request() -> None:
    node, network = node_of()
    site = node.site(node.origins.listed[0])
    descriptor = node.run(describe_own(site, "acct:alice@handles.example"))
    assert descriptor is not None
    assert descriptor.subject == "acct:alice@handles.example"
    for resource, error in (("acct:eve@handles.example", NotFound), ("acct:gone@handles.example", Gone)):
        with pytest.raises(error):
            node.run(describe_own(site, resource))
    assert node.run(describe_own(site, "acct:bob@remote.example")) is None
    assert network.exchanges == []


def test_node_and_handlers_find_own_names_without_a_request() -> None:
    node, network = node_of(SOCIAL, handle_host=HOST)
    assert node.lookup("@alice@handles.example").document.id == ALICE
    assert node.lookup_webfinger("acct:alice@social.example").subject == "acct:alice@handles.example"
    with node.context() as ctx:
        assert ctx.lookup(f"{SOCIAL}/@alice").document.id == ALICE
    assert network.exchanges == []
    assert node.lookup("@bob@remote.example").document.id == BOB
    assert node.lookup_webfinger("acct:bob@remote.example").subject == "acct:bob@remote.example"


def test_node_checks_its_actors() -> None:
    node, _ = node_of(SOCIAL, handle_host=HOST)
    assert node.check_actors("7", "gone") == ()
    [finding] = node.check_actors("8")
    assert finding.text == "there is no actor '8'"
