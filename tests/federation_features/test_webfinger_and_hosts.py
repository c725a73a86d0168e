"""Check WebFinger's answers, and the hosts in handles (Fedify: 1.12 and 2.10)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from apcore import Federation, Node
from apcore.adapters.memory import MemoryStore
from apcore.discovery import lookup
from apcore.errors import ConfigurationError
from apcore.federation.serving.incoming_request import Elsewhere
from apcore.http import LOOPBACK_OPEN, Headers, Request, Response
from apcore.remote import FetchPolicy
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Person, Tombstone

ORIGIN = "https://social.example"
HOST = "example.com"
ALICE = f"{ORIGIN}/users/alice"


def federation() -> Federation[None]:
    rules: Federation[None] = Federation(software="test/1.0")
    views = {"alice": Person(preferred_username="alice"), "gone": Tombstone()}
    rules.actor("/users/{identifier}")(lambda ctx, identifier: views.get(identifier))
    rules.profile("/@{username}")
    return rules


def node_of(origin: Any = ORIGIN, **options: Any) -> Node[None]:
    return Node(federation(), origin, MemoryStore(), transport=PeerNetwork(), signer=ReusedKeys(), **options)


def get(node: Node[Any], url: str) -> Response:
    answer = node.handle(Request("GET", url, Headers({"Accept": "*/*"})))
    assert isinstance(answer, Response), f"{url}: {answer}"
    return answer


def webfinger(node: Node[Any], resource: str, *, origin: str = ORIGIN, query: str = "") -> Response:
    return get(node, f"{origin}/.well-known/webfinger?resource={quote(resource, safe='')}{query}")


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "rels"),
    [
        ("", ["self", "http://webfinger.net/rel/profile-page"]),
        ("&rel=self", ["self"]),
        ("&rel=SELF", ["self"]),
        (
            "&rel=self&rel=http%3A%2F%2Fwebfinger.net%2Frel%2Fprofile-page",
            ["self", "http://webfinger.net/rel/profile-page"],
        ),
        ("&rel=none", []),
    ],
)
def test_rel_filter_selects_links(query: str, rels: list[str]) -> None:
    answer = webfinger(node_of(), "acct:alice@social.example", query=query)
    assert [link["rel"] for link in json.loads(answer.body)["links"]] == rels
    assert json.loads(answer.body)["subject"] == "acct:alice@social.example"


@pytest.mark.parametrize(
    ("resource", "status"),
    [
        ("acct:alice@social.example", 200),
        ("nothing", 400),
        ("acct:eve@social.example", 404),
        ("acct:alice@other.example", 404),
        ("acct:gone@social.example", 410),
    ],
)
def test_every_status_may_be_read_by_pages_of_any_origin(resource: str, status: int) -> None:
    answer = webfinger(node_of(), resource)
    assert (answer.status, answer.headers.get("access-control-allow-origin")) == (status, "*")
    if status == 200:
        assert answer.headers.get("content-type") == "application/jrd+json"
        assert answer.headers.get("cache-control") == "public, max-age=3600"


def test_subject_of_every_resource_is_the_handle_and_the_actor_is_among_the_aliases() -> None:
    for resource in ("acct:alice@social.example", ALICE, f"{ORIGIN}/@alice"):
        descriptor = json.loads(webfinger(node_of(), resource).body)
        assert descriptor["subject"] == "acct:alice@social.example"
        assert descriptor["aliases"] == [ALICE, f"{ORIGIN}/@alice"]


@pytest.mark.parametrize(
    "text",
    [
        *("@bob@remote.example", "bob@remote.example", "acct:bob@remote.example", " @bob@Remote.example. "),
        *("https://remote.example/users/bob", "<https://remote.example/users/bob>", "remote.example/users/bob"),
        "https://other.example/@bob@remote.example",
    ],
)
def test_lookup_finds_an_actor_by_the_text_that_a_person_pastes(text: str) -> None:
    network = PeerNetwork()
    network.peer("https://remote.example/users/bob")
    node = Node(federation(), ORIGIN, MemoryStore(), transport=network, signer=ReusedKeys())
    result = node.run(lookup(text, policy=FetchPolicy()))
    assert (str(result.acct), result.document.id) == ("acct:bob@remote.example", "https://remote.example/users/bob")


# --- split domain -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "origin"),
    [
        pytest.param(f"acct:alice@{HOST}", ORIGIN, id="after a redirect"),
        pytest.param("acct:alice@social.example", ORIGIN, id="at the server"),
        pytest.param(f"acct:alice@{HOST}", f"https://{HOST}", id="at the host of the handles"),
        pytest.param(ALICE, ORIGIN, id="id"),
        pytest.param(f"https://{HOST}/@alice", f"https://{HOST}", id="page at the host of the handles"),
    ],
)
def test_subject_has_the_host_of_the_handles(resource: str, origin: str) -> None:
    descriptor = json.loads(webfinger(node_of(handle_host=HOST), resource, origin=origin).body)
    assert descriptor["subject"] == f"acct:alice@{HOST}"
    assert "acct:alice@social.example" in descriptor["aliases"]
    assert [link["href"] for link in descriptor["links"] if link["rel"] == "self"] == [ALICE]


def test_actor_names_its_handle_only_if_others_could_not_guess_it() -> None:
    assert "webfinger" not in json.loads(get(node_of(), ALICE).body)
    document = json.loads(get(node_of(handle_host=HOST), ALICE).body)
    assert document["webfinger"] == f"alice@{HOST}"
    assert "https://purl.archive.org/socialweb/webfinger" in document["@context"]


def test_host_of_the_handles_serves_discovery_only() -> None:
    node = node_of(handle_host=HOST)
    assert get(node, f"https://{HOST}/.well-known/host-meta").status == 200
    for path in ("/users/alice", "/@alice", "/inbox", "/.well-known/nodeinfo"):
        assert node.handle(Request("GET", f"https://{HOST}{path}")) is Elsewhere.NOT_OURS
    assert node.handle(Request("GET", f"http://{HOST}/.well-known/webfinger?resource=x")) is Elsewhere.NOT_OURS
    assert node.handle(Request("GET", "https://other.example/.well-known/webfinger")) is Elsewhere.NOT_OURS


def test_instance_actor_keeps_the_host_of_the_server() -> None:
    descriptor = json.loads(webfinger(node_of(handle_host=HOST), "acct:social.example@social.example").body)
    assert descriptor["subject"] == "acct:social.example@social.example"


class Redirecting(PeerNetwork):
    """A network in which the host of the handles redirects discovery to the server, as another web server does it."""

    def send(self, request: Request) -> Response:
        start = f"https://{HOST}/.well-known/"
        if request.url.startswith(start):
            return Response(301, {"Location": f"{ORIGIN}/.well-known/{request.url.removeprefix(start)}"})
        return super().send(request)


@pytest.mark.parametrize("text", [f"@alice@{HOST}", "@ALICE@social.example", ALICE, f"{ORIGIN}/@alice"])
@pytest.mark.parametrize("network_class", [Redirecting, PeerNetwork])
def test_peer_finds_the_handle_of_a_split_domain(text: str, network_class: type[PeerNetwork]) -> None:
    network = network_class()
    node = Node(federation(), ORIGIN, MemoryStore(), transport=network, signer=ReusedKeys(), handle_host=HOST)
    network.join(node)
    peer = Node(Federation(software="peer/1.0"), None, MemoryStore(), transport=network, signer=ReusedKeys())
    result = peer.run(lookup(text, policy=FetchPolicy()))
    assert (str(result.acct), result.document.id) == (f"acct:alice@{HOST}", ALICE)


@pytest.mark.parametrize(
    "host", ["bücher.example", "BÜCHER.example", "xn--bcher-kva.example", "xn--bcher-kva.example."]
)
def test_international_host_has_one_spelling(host: str) -> None:
    node = node_of(handle_host=host)
    for asked_host in ("bücher.example", "xn--bcher-kva.example", "XN--BCHER-KVA.example"):
        descriptor = json.loads(webfinger(node, f"acct:alice@{asked_host}").body)
        assert descriptor["subject"] == "acct:alice@xn--bcher-kva.example"


def test_international_username_is_found() -> None:
    rules: Federation[None] = Federation(software="test/1.0")
    rules.actor("/users/{identifier}")(
        lambda ctx, identifier: Person(preferred_username="Jürgen") if identifier == "4" else None
    )
    rules.handle(lambda ctx, username: "4" if username == "jürgen" else None)
    node = Node(rules, ORIGIN, MemoryStore(), transport=PeerNetwork(), signer=ReusedKeys())
    for user in ("jürgen", "JÜRGEN", "J%C3%BCrgen"):
        descriptor = json.loads(webfinger(node, f"acct:{user}@social.example").body)
        assert descriptor["subject"] == "acct:J%C3%BCrgen@social.example"


def test_each_origin_may_have_a_host_for_its_handles() -> None:
    other = "https://b.example"
    node = node_of([ORIGIN, other], handle_host={ORIGIN: HOST})
    assert json.loads(webfinger(node, ALICE).body)["subject"] == f"acct:alice@{HOST}"
    descriptor = json.loads(webfinger(node, f"{other}/users/alice", origin=other).body)
    assert descriptor["subject"] == "acct:alice@b.example"
    assert webfinger(node, f"acct:alice@{HOST}", origin=other).status == 404


@pytest.mark.parametrize(
    ("origin", "handle_host", "words"),
    [
        ([ORIGIN, "https://b.example"], HOST, "one origin"),
        (None, HOST, "one origin"),
        (lambda origin: True, HOST, "one origin"),
        (ORIGIN, {"https://b.example": HOST}, "not an origin of this node"),
        (ORIGIN, {"b.example": HOST}, "b.example"),
        (ORIGIN, "https://example.com", "no host"),
        (ORIGIN, "user@example.com", "no host"),
        (ORIGIN, "", "no host"),
        ([ORIGIN, "https://b.example"], {ORIGIN: "b.example"}, "another origin"),
        ([ORIGIN, "https://b.example"], {ORIGIN: HOST, "https://b.example": HOST}, "another origin"),
    ],
)
def test_impossible_host_for_handles_is_refused(origin: Any, handle_host: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        node_of(origin, handle_host=handle_host)


def test_development_server_has_its_port_in_handles() -> None:
    node = node_of("http://127.0.0.1:8000", addresses=LOOPBACK_OPEN)
    answer = webfinger(node, "acct:alice@127.0.0.1:8000", origin="http://127.0.0.1:8000")
    assert json.loads(answer.body)["subject"] == "acct:alice@127.0.0.1:8000"
