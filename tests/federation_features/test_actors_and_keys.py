"""Check the names of actors: identifiers, usernames, handles, profile pages and other resources (Fedify: 1.3)."""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import quote

import pytest

from apcore import AsyncContext, Context, Federation, Node, OpContext
from apcore.discovery import DescriptorLink
from apcore.effects import Op
from apcore.errors import ConfigurationError
from apcore.federation.actors.handles import check_actors
from apcore.federation.serving.incoming_request import Elsewhere
from apcore.handlers import operation
from apcore.http import Headers, Request, Response
from apcore.node import AsyncNode
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Image, Person, Tombstone

ORIGIN = "https://social.example"
ALICE = f"{ORIGIN}/ap/7"
IDENTIFIERS = {"alice": "7", "alice_before": "7", "Bob": "8"}


def federation() -> Federation[None]:
    """Return a site that uses numbers as identifiers."""
    rules: Federation[None] = Federation(software="test/1.0")
    views = {"7": Person(preferred_username="alice"), "8": Person(preferred_username="Bob"), "9": Tombstone()}
    rules.actor("/ap/{identifier}")(lambda ctx, identifier: views.get(identifier))
    return rules


def node_of(rules: Federation[Any], **options: Any) -> Node[Any]:
    return Node(rules, ORIGIN, "memory:", transport=PeerNetwork(), signer=ReusedKeys(), **options)


def get(node: Node[Any], url: str, accept: str = "*/*") -> Response:
    answer = node.handle(Request("GET", url, Headers({"Accept": accept})))
    assert isinstance(answer, Response), f"{url}: {answer}"
    return answer


def webfinger(node: Node[Any], resource: str, *, origin: str = ORIGIN, query: str = "") -> Response:
    return get(node, f"{origin}/.well-known/webfinger?resource={quote(resource, safe='')}{query}")


def described(node: Node[Any], resource: str, **options: Any) -> Any:
    answer = webfinger(node, resource, **options)
    assert answer.status == 200, resource
    return json.loads(answer.body)


def linked(descriptor: Any, rel: str) -> list[Any]:
    return [link for link in descriptor["links"] if link["rel"] == rel]


# --- the handler for usernames --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "subject"),
    [
        pytest.param("acct:alice@social.example", "acct:alice@social.example", id="username"),
        pytest.param("acct:ALICE@social.example", "acct:alice@social.example", id="other case"),
        pytest.param("acct:Bob@social.example", "acct:Bob@social.example", id="name with capitals"),
        pytest.param("acct:alice_before@social.example", "acct:alice@social.example", id="former username"),
        pytest.param(ALICE, "acct:alice@social.example", id="id"),
    ],
)
def test_handle_returns_the_identifier_for_a_username(resource: str, subject: str) -> None:
    rules = federation()
    rules.handle(lambda ctx, username: IDENTIFIERS.get(username))
    assert described(node_of(rules), resource)["subject"] == subject


@pytest.mark.parametrize(
    ("resource", "status"), [("acct:7@social.example", 404), ("acct:x@social.example", 404), (f"{ORIGIN}/ap/9", 410)]
)
def test_handle_without_an_identifier_is_unknown(resource: str, status: int) -> None:
    rules = federation()
    rules.handle(lambda ctx, username: IDENTIFIERS.get(username))
    answer = webfinger(node_of(rules), resource)
    assert (answer.status, answer.headers.get("access-control-allow-origin")) == (status, "*")


def test_handle_of_a_deleted_actor_is_gone() -> None:
    rules = federation()
    rules.handle(lambda ctx, username: "9")
    assert webfinger(node_of(rules), "acct:carol@social.example").status == 410


def test_case_sensitive_handle_gets_the_spelling_of_the_request() -> None:
    rules = federation()
    usernames: list[str] = []

    @rules.handle(case_sensitive=True)
    def identifier(ctx: Context, username: str) -> str | None:
        usernames.append(username)
        return IDENTIFIERS.get(username)

    node = node_of(rules)
    assert webfinger(node, "acct:ALICE@social.example").status == 404
    assert webfinger(node, "acct:alice@social.example").status == 200
    assert usernames == ["ALICE", "alice"]


def test_handle_may_be_an_operation() -> None:
    rules = federation()

    @rules.handle
    @operation
    def identifier(ctx: OpContext, username: str) -> Op[str | None]:
        return IDENTIFIERS.get(username)
        yield

    assert described(node_of(rules), "acct:alice@social.example")["subject"] == "acct:alice@social.example"


def test_coroutine_function_is_refused_by_a_blocking_node() -> None:
    rules = federation()

    @rules.handle
    async def identifier(ctx: AsyncContext, username: str) -> str | None:
        return None

    with pytest.raises(ConfigurationError, match="async def"):
        node_of(rules)
    AsyncNode(rules, ORIGIN, "memory:", transport=PeerNetwork(), signer=ReusedKeys())


def test_handler_that_returns_a_number_is_told_to_return_text() -> None:
    rules = federation()
    rules.handle(lambda ctx, username: 7)  # type: ignore[arg-type, return-value]
    with pytest.raises(Exception, match="the identifier of an actor as text"):
        webfinger(node_of(rules), "acct:alice@social.example")


def test_second_handler_is_refused_and_both_are_named() -> None:
    rules = federation()

    def first(ctx: Context, username: str) -> str | None:
        return None

    def second(ctx: Context, username: str) -> str | None:
        return None

    rules.handle(first)
    with pytest.raises(ConfigurationError, match=r"first.*second"):
        rules.handle(second)


# --- without a handler for usernames ----------------------------------------------------------------------------------


def test_username_is_the_identifier_without_a_handler() -> None:
    rules: Federation[None] = Federation(software="test/1.0")
    rules.actor("/users/{identifier}")(
        lambda ctx, identifier: Person(preferred_username="Alice") if identifier.lower() == "alice" else None
    )
    node = node_of(rules)
    for resource in ("acct:Alice@social.example", "acct:alice@social.example", "acct:ALICE@social.example"):
        descriptor = described(node, resource)
        assert descriptor["subject"] == "acct:Alice@social.example"
        assert linked(descriptor, "self")[0]["href"] == f"{ORIGIN}/users/Alice"


def test_preferred_username_is_the_subject_and_the_log_says_that_it_is_not_found(
    caplog: pytest.LogCaptureFixture,
) -> None:
    node = node_of(federation())
    with caplog.at_level(logging.WARNING, logger="apcore.web"):
        for _ in range(3):
            assert described(node, ALICE)["subject"] == "acct:alice@social.example"
    assert webfinger(node, "acct:alice@social.example").status == 404
    [line] = [record.getMessage() for record in caplog.records if record.name == "apcore.web"]
    assert "@alice@social.example" in line
    assert "federation.handle" in line


def test_name_that_cannot_be_part_of_a_handle_leaves_the_identifier() -> None:
    rules: Federation[None] = Federation(software="test/1.0")
    rules.actor("/users/{identifier}")(lambda ctx, identifier: Person(preferred_username="Alice Doe"))
    descriptor = described(node_of(rules), "acct:alice@social.example")
    assert descriptor["subject"] == "acct:alice@social.example"


# --- profile pages and other resources --------------------------------------------------------------------------------


def test_profile_page_leads_to_the_actor() -> None:
    rules = federation()
    rules.handle(lambda ctx, username: IDENTIFIERS.get(username))
    rules.profile("/@{username}")
    rules.profile("/people/{identifier}")
    rules.profile("/about", identifier="7")
    node = node_of(rules)
    for page in ("/@alice", "/@ALICE", "/@alice_before", "/people/7", "/about"):
        assert described(node, ORIGIN + page)["subject"] == "acct:alice@social.example"
        answer = get(node, ORIGIN + page, accept="application/activity+json")
        assert (answer.status, answer.headers.get("location")) == (302, ALICE)
    assert json.loads(get(node, ALICE).body)["url"] == f"{ORIGIN}/@alice"
    assert webfinger(node, f"{ORIGIN}/@unknown").status == 404
    assert node.handle(Request("GET", f"{ORIGIN}/@unknown")) is Elsewhere.NOT_OURS
    assert node.handle(Request("GET", f"{ORIGIN}/@alice", Headers({"Accept": "text/html"}))) is Elsewhere.NOT_ACCEPTABLE
    assert node.reference(f"{ORIGIN}/@alice").resolve().id == ALICE


def test_root_may_be_the_page_of_one_actor() -> None:
    rules = federation()
    rules.profile("/", identifier="7")
    assert linked(described(node_of(rules), f"{ORIGIN}/"), "self")[0]["href"] == ALICE


@pytest.mark.parametrize(
    ("path", "identifier", "words"),
    [
        ("/about", None, "one variable"),
        ("/{name}", None, "one variable"),
        ("/{identifier}/{username}", None, "one variable"),
        ("/@{username}", "7", "without variables"),
        ("/about", "", "without variables"),
        ("about", "7", "starts with a slash"),
        ("/ap/{username}", None, "same paths"),
    ],
)
def test_impossible_profile_page_is_refused(path: str, identifier: str | None, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        federation().profile(path, identifier=identifier)


def test_other_resource_is_found_by_the_handler() -> None:
    rules = federation()
    pages = {"https://blog.example/alice": "7", "mailto:alice@post.example": "7"}
    rules.resource(lambda ctx, uri: pages.get(uri))
    node = node_of(rules)
    for uri in pages:
        assert linked(described(node, uri), "self")[0]["href"] == ALICE
    assert webfinger(node, "https://blog.example/eve").status == 404


# --- check ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("register", "name"),
    [
        (lambda rules: rules.handle(lambda ctx, username: None), "handle"),
        (lambda rules: rules.profile("/@{username}"), "profile"),
        (lambda rules: rules.actor_path("/bot", identifier="bot"), "actor_path"),
        (lambda rules: rules.link("me", href="/"), "link"),
        (lambda rules: rules.links(lambda ctx, identifier: []), "links"),
        (lambda rules: rules.resource(lambda ctx, uri: None), "resource"),
    ],
)
def test_check_finds_names_without_actors(register: Any, name: str) -> None:
    rules: Federation[None] = Federation(software="test/1.0")
    register(rules)
    [finding] = rules.check()
    assert (finding.level, name in finding.text) == ("error", True)


def unfound(node: Node[Any], *identifiers: str) -> list[tuple[str, str]]:
    findings = node.run(check_actors(node.site(), identifiers))
    return [(finding.level, finding.text) for finding in findings]


def test_check_finds_actors_that_cannot_be_found_by_their_handle() -> None:
    rules: Federation[None] = Federation(software="test/1.0")
    views = {
        "3f2c": Person(preferred_username="alice"),
        "bob": Person(preferred_username="bob"),
        "unnamed": Person(name="Unnamed"),
        "spaced": Person(preferred_username="two words"),
        "gone": Tombstone(),
    }
    rules.actor("/ap/{identifier}")(lambda ctx, identifier: views.get(identifier))
    node = node_of(rules)
    [(level, text)] = unfound(node, "3f2c")
    assert level == "warning"
    assert "'3f2c' cannot be found by its handle @alice@social.example" in text
    assert "Register federation.handle" in text
    assert unfound(node, "bob", "gone") == []
    [(level, text)] = unfound(node, "unknown")
    assert (level, text) == ("error", "there is no actor 'unknown'")
    [(_, text)] = unfound(node, "unnamed")
    assert "set its preferred_username" in text
    [(_, text)] = unfound(node, "spaced")
    assert "cannot be the name of an account" in text


def test_check_finds_a_handler_that_leads_to_another_actor() -> None:
    rules = federation()
    rules.handle(lambda ctx, username: "8")
    [(_, text)] = unfound(node_of(rules), "7")
    assert "leads from 'alice' to the actor '8'" in text
    rules = federation()
    rules.handle(lambda ctx, username: IDENTIFIERS.get(username))
    assert unfound(node_of(rules), "7", "8") == []


def test_check_without_identifiers_takes_the_actors_that_have_keys() -> None:
    node = node_of(federation())
    assert unfound(node) == []
    for uri in (f"{ORIGIN}/actor", ALICE, f"{ORIGIN}/ap/8"):
        assert get(node, uri, accept="application/activity+json").status == 200
    texts = [text for _, text in unfound(node)]
    assert [any(name in text for text in texts) for name in ("@alice@", "@Bob@")] == [True, True]
    assert len(texts) == 2


# --- links ------------------------------------------------------------------------------------------------------------


def test_answer_links_pages_pictures_and_what_the_application_adds() -> None:
    rules: Federation[None] = Federation(software="test/1.0")
    view = Person(
        preferred_username="alice",
        url="https://blog.example/alice",
        icon=Image(url=f"{ORIGIN}/alice.png", media_type="image/png"),
    )
    rules.actor("/users/{identifier}")(lambda ctx, identifier: view if identifier == "alice" else None)
    rules.link("http://ostatus.org/schema/1.0/subscribe", template="/authorize?uri={uri}")
    rules.link("https://w3id.org/fep/3b86/Create", template="https://write.example/?text={content}")
    rules.links(lambda ctx, identifier: [DescriptorLink("feed", type="application/atom+xml", href=f"/{identifier}")])
    node = node_of(rules)
    descriptor = described(node, "acct:alice@social.example")
    links = {link["rel"]: link for link in descriptor["links"]}
    assert links == {
        "self": {"rel": "self", "type": "application/activity+json", "href": f"{ORIGIN}/users/alice"},
        "http://webfinger.net/rel/profile-page": {
            "rel": "http://webfinger.net/rel/profile-page",
            "type": "text/html",
            "href": "https://blog.example/alice",
        },
        "http://webfinger.net/rel/avatar": {
            "rel": "http://webfinger.net/rel/avatar",
            "type": "image/png",
            "href": f"{ORIGIN}/alice.png",
        },
        "http://ostatus.org/schema/1.0/subscribe": {
            "rel": "http://ostatus.org/schema/1.0/subscribe",
            "template": f"{ORIGIN}/authorize?uri={{uri}}",
        },
        "https://w3id.org/fep/3b86/Create": {
            "rel": "https://w3id.org/fep/3b86/Create",
            "template": "https://write.example/?text={content}",
        },
        "feed": {"rel": "feed", "type": "application/atom+xml", "href": f"{ORIGIN}/alice"},
    }
    assert descriptor["aliases"] == [f"{ORIGIN}/users/alice", "https://blog.example/alice"]


@pytest.mark.parametrize(
    ("rel", "addresses", "words"),
    [
        ("", {"href": "/"}, "relation"),
        ("two words", {"href": "/"}, "relation"),
        ("me", {}, "href= or template="),
        ("me", {"href": "/", "template": "/{uri}"}, "href= or template="),
        ("me", {"href": "javascript:alert(1)"}, "https URL"),
        ("me", {"template": "/a b"}, "https URL"),
    ],
)
def test_link_that_cannot_stand_in_an_answer_is_refused(rel: str, addresses: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        federation().link(rel, **addresses)
