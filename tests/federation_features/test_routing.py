"""Check the paths of actors (Fedify: 1.2)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apcore import Federation, Node
from apcore.errors import ConfigurationError
from apcore.http import Headers, Request, Response
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Note, Person
from local_server import LocalServer

ORIGIN = "https://site.example"
BOT = f"{ORIGIN}/bot"


def federation() -> Federation[None]:
    rules: Federation[None] = Federation(software="test/1.0")
    rules.actor("/users/{identifier}")(
        lambda ctx, identifier: Person(preferred_username=identifier) if identifier in {"bot", "alice"} else None
    )
    rules.actor_path("/bot", identifier="bot")
    return rules


def node_of(rules: Federation[Any]) -> Node[Any]:
    return Node(rules, ORIGIN, "memory:", transport=PeerNetwork(), signer=ReusedKeys())


def get(node: Node[Any], url: str) -> Response:
    answer = node.handle(Request("GET", url, Headers({"Accept": "application/activity+json, */*"})))
    assert isinstance(answer, Response)
    return answer


def test_actor_path_is_the_id_of_one_actor() -> None:
    node = node_of(federation())
    document = json.loads(get(node, BOT).body)
    assert (document["id"], document["inbox"]) == (BOT, f"{ORIGIN}/users/bot/inbox")
    assert json.loads(get(node, f"{ORIGIN}/users/alice").body)["id"] == f"{ORIGIN}/users/alice"


def test_usual_path_redirects_to_the_id() -> None:
    answer = get(node_of(federation()), f"{ORIGIN}/users/bot")
    assert (answer.status, answer.headers.get("location")) == (302, BOT)


@pytest.mark.parametrize("resource", ["acct:bot@site.example", BOT, f"{ORIGIN}/users/bot"])
def test_webfinger_links_the_path(resource: str) -> None:
    answer = get(node_of(federation()), f"{ORIGIN}/.well-known/webfinger?resource={resource}")
    assert json.loads(answer.body)["links"][0]["href"] == BOT


def test_actor_with_a_path_federates() -> None:
    server = LocalServer(
        register=lambda rules: rules.actor_path("/first", identifier="alice"),
    )
    actor = f"{server.origin}/first"
    follow = server.bob.activity("Follow", object=actor)
    server.receive(server.bob, follow)
    assert server.node.members(f"{server.alice}/followers").items == (server.bob.actor,)
    note = server.node.publish(Note(content="hello"), by="alice", to=f"{server.alice}/followers")
    server.work()
    activity = server.bob.received[-1].activity
    assert (activity["type"], activity["actor"]) == ("Create", actor)
    assert note.startswith(f"{server.alice}/")


@pytest.mark.parametrize(
    ("path", "identifier", "words"),
    [
        ("/users/{identifier}/x", "alice", "needs the variables"),
        ("/inbox", "alice", "same paths"),
        ("/other", "bot", "registered already"),
        ("/other", "", "identifier of an actor"),
    ],
)
def test_impossible_actor_path_is_refused(path: str, identifier: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        federation().actor_path(path, identifier=identifier)
