"""Check WebFinger, host-meta and NodeInfo: they answer for local actors only."""

import json
from urllib.parse import quote

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.discovery import read_host_meta, read_jrd
from apcore.federation import Federation
from apcore.http import Headers, Request, Response
from apcore.node import Node
from apcore.vocab import Person, Tombstone

ORIGIN = "https://ours.example"
ALICE = f"{ORIGIN}/users/alice"


@pytest.fixture(scope="module")
def ask():
    federation: Federation[None] = Federation(software="test/1.0")

    @federation.actor("/users/{identifier}")
    def actor(ctx, identifier):
        return {"alice": Person(name="Alice"), "gone": Tombstone()}.get(identifier)

    with Node(federation, ORIGIN, MemoryStore()) as node:

        def get(path: str, method: str = "GET") -> Response:
            answer = node.handle(Request(method, ORIGIN + path, Headers({"Accept": "*/*"})))
            assert isinstance(answer, Response)
            return answer

        yield get


def webfinger_path(resource: str) -> str:
    return f"/.well-known/webfinger?resource={quote(resource, safe='')}"


@pytest.mark.parametrize(
    ("resource", "subject", "uri"),
    [
        ("acct:alice@ours.example", "acct:alice@ours.example", ALICE),
        ("alice@OURS.example", "acct:alice@ours.example", ALICE),
        (ALICE, "acct:alice@ours.example", ALICE),
        ("acct:ours.example@ours.example", "acct:ours.example@ours.example", f"{ORIGIN}/actor"),
        (ORIGIN + "/", "acct:ours.example@ours.example", f"{ORIGIN}/actor"),
        (f"{ORIGIN}/actor", "acct:ours.example@ours.example", f"{ORIGIN}/actor"),
    ],
)
def test_webfinger_finds_local_actors(ask, resource: str, subject: str, uri: str) -> None:
    answer = ask(webfinger_path(resource))
    assert answer.status == 200
    assert answer.headers.get("content-type") == "application/jrd+json"
    assert answer.headers.get("access-control-allow-origin") == "*"
    descriptor = read_jrd(answer.body)
    assert descriptor.subject == subject
    [link] = descriptor.linked("self")
    assert (link.href, link.type) == (uri, "application/activity+json")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (webfinger_path("acct:nobody@ours.example"), 404),
        (webfinger_path("acct:alice@other.example"), 404),
        (webfinger_path("https://other.example/users/alice"), 404),
        (webfinger_path("acct:gone@ours.example"), 410),
        *(
            (webfinger_path(text), 404)
            for text in ("mailto:alice@ours.example", "urn:isbn:9780", "ftp://ours.example/alice")
        ),
        (webfinger_path("nothing"), 400),
        ("/.well-known/webfinger", 400),
        (webfinger_path("acct:alice@ours.example") + "&resource=x", 400),
        (webfinger_path("acct:%ff@ours.example"), 400),
    ],
)
def test_webfinger_refuses_other_resources(ask, path: str, status: int) -> None:
    answer = ask(path)
    assert answer.status == status
    assert answer.headers.get("access-control-allow-origin") == "*"


def test_host_meta_links_to_webfinger_in_both_formats(ask) -> None:
    for path in ("/.well-known/host-meta", "/.well-known/host-meta.json"):
        [link] = read_host_meta(ask(path).body).linked("lrdd")
        assert link.template == f"{ORIGIN}/.well-known/webfinger?resource={{uri}}"


def test_nodeinfo_links_to_existing_documents(ask) -> None:
    links = json.loads(ask("/.well-known/nodeinfo").body)["links"]
    versions = []
    for link in links:
        document = json.loads(ask(link["href"].removeprefix(ORIGIN)).body)
        assert document["software"] == {"name": "test", "version": "1.0"}
        assert document["protocols"] == ["activitypub"]
        versions.append(document["version"])
    assert sorted(versions) == ["2.0", "2.1"]


def test_only_get_and_head_are_allowed(ask) -> None:
    assert ask("/nodeinfo/2.1", "POST").status == 405
    head = ask("/nodeinfo/2.1", "HEAD")
    assert (head.status, head.body) == (200, b"")
