"""Being found by WebFinger, host-meta and NodeInfo; and only for what is ours."""

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

        def asked(path: str, method: str = "GET") -> Response:
            answer = node.handle(Request(method, ORIGIN + path, Headers({"Accept": "*/*"})))
            assert isinstance(answer, Response)
            return answer

        yield asked


def finger(resource: str) -> str:
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
def test_what_is_ours_is_found(ask, resource: str, subject: str, uri: str) -> None:
    answer = ask(finger(resource))
    assert answer.status == 200
    assert answer.headers.get("content-type") == "application/jrd+json"
    assert answer.headers.get("access-control-allow-origin") == "*"
    found = read_jrd(answer.body)
    assert found.subject == subject
    [link] = found.linked("self")
    assert (link.href, link.type) == (uri, "application/activity+json")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (finger("acct:nobody@ours.example"), 404),
        (finger("acct:alice@other.example"), 404),
        (finger("https://other.example/users/alice"), 404),
        (finger("acct:gone@ours.example"), 410),
        *((finger(text), 404) for text in ("mailto:alice@ours.example", "urn:isbn:9780", "ftp://ours.example/alice")),
        (finger("nothing"), 400),
        ("/.well-known/webfinger", 400),
        (finger("acct:alice@ours.example") + "&resource=x", 400),
        (finger("acct:%ff@ours.example"), 400),
    ],
)
def test_what_is_not_is_not(ask, path: str, status: int) -> None:
    answer = ask(path)
    assert answer.status == status
    assert answer.headers.get("access-control-allow-origin") == "*"


def test_host_meta_leads_to_webfinger_in_both_spellings(ask) -> None:
    for path in ("/.well-known/host-meta", "/.well-known/host-meta.json"):
        [link] = read_host_meta(ask(path).body).linked("lrdd")
        assert link.template == f"{ORIGIN}/.well-known/webfinger?resource={{uri}}"


def test_nodeinfo_leads_to_documents_that_are_there(ask) -> None:
    links = json.loads(ask("/.well-known/nodeinfo").body)["links"]
    versions = []
    for link in links:
        document = json.loads(ask(link["href"].removeprefix(ORIGIN)).body)
        assert document["software"] == {"name": "test", "version": "1.0"}
        assert document["protocols"] == ["activitypub"]
        versions.append(document["version"])
    assert sorted(versions) == ["2.0", "2.1"]


def test_only_reading_is_allowed(ask) -> None:
    assert ask("/nodeinfo/2.1", "POST").status == 405
    head = ask("/nodeinfo/2.1", "HEAD")
    assert (head.status, head.body) == (200, b"")
