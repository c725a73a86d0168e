"""WebFinger: a handle is believed after a round trip, and not before."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from apcore.discovery import (
    XRD_XML,
    Acct,
    Descriptor,
    DescriptorLink,
    HandleMismatch,
    LookupResult,
    NoActorLink,
    actor_links,
    confirm,
    host_meta_json,
    host_meta_xml,
    jrd,
    lookup,
    parse_acct,
    webfinger,
)
from apcore.errors import (
    AddressBlocked,
    ApcoreError,
    ConnectFailed,
    DocumentError,
    FetchFailed,
    LimitExceeded,
    LocalError,
    Refused,
    RequestError,
    TlsFailed,
)
from apcore.http import ACTIVITY_JSON, LD_JSON, LOOPBACK_OPEN, Response, parse_url
from apcore.remote import FetchPolicy, Gone, Identity, NotFound, PeerFailing, Rejected, WrongId, WrongMediaType
from apcore.vocab import Actor, WrongType
from scripted_web import ScriptedWeb, document, redirect
from vector_files import VECTORS, load_json, needs_vectors

A, B = "https://a.example", "https://b.example"
ALICE = f"{A}/users/alice"
POLICY = FetchPolicy()
ME = Identity(key_name="instance", key_id="https://me.example/actor#main-key")


def asked_at(handle: str, host: str | None = None) -> str:
    """Where WebFinger is asked about a handle."""
    acct = parse_acct(handle)
    return f"https://{host or acct.host}/.well-known/webfinger?resource={quote(str(acct), safe='')}"


def names(actor: str, *, kind: str = ACTIVITY_JSON, **properties: str) -> DescriptorLink:
    return DescriptorLink("self", type=kind, href=actor, properties=properties)


def told(
    subject: str | None, *links: DescriptorLink | str, aliases=(), content_type: str | None = "application/jrd+json"
) -> Response:
    """A descriptor, as an answer."""
    all_links = [names(link) if isinstance(link, str) else link for link in links]
    headers = {} if content_type is None else {"Content-Type": content_type}
    return Response(200, headers, jrd(subject, aliases, all_links))


def actor(ident: str = ALICE, name: str | None = "alice", kind: str = "Person", **more: Any) -> Response:
    members = {
        "@context": "https://www.w3.org/ns/activitystreams",
        "id": ident,
        "type": kind,
        "inbox": f"{ident}/in",
        **more,
    }
    return document(members | ({} if name is None else {"preferredUsername": name}))


def found(web: ScriptedWeb, text: str, **more) -> LookupResult:
    return web.run(lookup(text, **({"policy": POLICY} | more)))


HONEST = {asked_at("alice@a.example"): told("acct:alice@a.example", ALICE), ALICE: actor()}


# --- handles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["@alice@a.example", "alice@a.example", "acct:alice@A.example", "@alice@a.example."])
def test_a_handle_leads_to_its_actor(text):
    web = ScriptedWeb(HONEST)
    result = found(web, text)
    assert (result.document.id, result.acct, result.doubt) == (ALICE, Acct("alice", "a.example"), None)
    assert web.asked() == [asked_at("alice@a.example"), ALICE]


def test_the_host_says_how_the_handle_is_spelled():
    web = ScriptedWeb({asked_at("ALICE@a.example"): told("acct:Alice@a.example", ALICE), ALICE: actor()})
    assert str(found(web, "@ALICE@a.example").acct) == "acct:Alice@a.example"


def test_webfinger_is_asked_for_descriptors_unsigned_and_the_actor_as_who_we_are():
    web = ScriptedWeb(HONEST)
    _ = found(web, "@alice@a.example", identity=ME)
    [first, second] = web.requests
    assert first.headers.get("accept") == "application/jrd+json, application/json"
    assert "signature" not in first.headers
    assert first.limits.body_bytes_max < second.limits.body_bytes_max
    assert "signature" in second.headers


SHORT, LONG = "alice@short.example", "alice@long.example"
LONG_ALICE = "https://long.example/users/alice"
SPLIT = {
    asked_at(SHORT): told(f"acct:{SHORT}", LONG_ALICE),
    asked_at(LONG): told(f"acct:{SHORT}", LONG_ALICE),
    LONG_ALICE: actor(LONG_ALICE),
}

BELIEVED = [
    pytest.param(SHORT, SPLIT, SHORT, [asked_at(SHORT), LONG_ALICE, asked_at(LONG)], id="short-domain"),
    pytest.param(LONG, SPLIT, SHORT, [asked_at(LONG), asked_at(SHORT), LONG_ALICE], id="long-domain"),
    pytest.param(
        SHORT,
        SPLIT
        | {
            asked_at(SHORT): redirect(asked_at(SHORT, "long.example")),
            asked_at(SHORT, "long.example"): SPLIT[asked_at(SHORT)],
        },
        SHORT,
        [asked_at(SHORT), asked_at(SHORT, "long.example"), LONG_ALICE, asked_at(LONG)],
        id="short-domain-by-redirect",
    ),
    pytest.param(
        SHORT,
        SPLIT | {LONG_ALICE: actor(LONG_ALICE, name="u17", webfinger=SHORT)},
        SHORT,
        [asked_at(SHORT), LONG_ALICE],
        id="the-actor-names-its-handle",
    ),
    pytest.param(
        "alice@a.example",
        HONEST | {asked_at("alice@a.example"): told(None, ALICE)},
        "alice@a.example",
        [asked_at("alice@a.example"), ALICE],
        id="no-subject",
    ),
    pytest.param(
        "alice@a.example",
        HONEST | {asked_at("alice@a.example"): told("alice@a.example", ALICE)},
        "alice@a.example",
        [asked_at("alice@a.example"), ALICE],
        id="bare-subject",
    ),
    pytest.param(
        "alice@a.example",
        HONEST | {asked_at("alice@a.example"): told(f"{A}/alice", ALICE, aliases=["acct:alice@a.example"])},
        "alice@a.example",
        [asked_at("alice@a.example"), ALICE],
        id="subject-is-the-profile",
    ),
    pytest.param(
        "alice@a.example",
        HONEST | {asked_at("alice@a.example"): told("acct:alice@a.example", names(ALICE, kind=LD_JSON))},
        "alice@a.example",
        [asked_at("alice@a.example"), ALICE],
        id="the-other-media-type",
    ),
    pytest.param(
        "alice@a.example",
        HONEST | {asked_at("alice@a.example"): told("acct:alice@a.example", names("HTTPS://A.example/users/alice"))},
        "alice@a.example",
        [asked_at("alice@a.example"), ALICE],
        id="another-spelling",
    ),
]


@pytest.mark.parametrize(("text", "pages", "acct", "asked"), BELIEVED)
def test_believed(text, pages, acct, asked):
    web = ScriptedWeb(pages)
    assert found(web, text).acct == parse_acct(acct)
    assert web.asked() == asked


CEO = "ceo@b.example"
DOUBTED = [
    pytest.param(
        CEO,
        HONEST | {asked_at(CEO): told(f"acct:{CEO}", ALICE)},
        HandleMismatch,
        id="a-host-names-somebody-famous",
    ),
    pytest.param(
        CEO,
        HONEST | {asked_at(CEO): told("acct:alice@a.example", f"{B}/x"), asked_at("alice@a.example"): Response(404)},
        NotFound,
        id="handed-on-to-who-does-not-know-it",
    ),
    pytest.param(
        CEO,
        HONEST
        | {
            asked_at(CEO): told("acct:x@c.example", f"{B}/x"),
            asked_at("x@c.example"): told("acct:alice@a.example", f"{B}/x"),
        },
        HandleMismatch,
        id="handed-on-twice",
    ),
    pytest.param(CEO, {asked_at(CEO): told("https://b.example/x", ALICE)}, HandleMismatch, id="subject-is-no-account"),
    pytest.param(
        "alice@a.example",
        HONEST | {ALICE: actor(name="bob"), asked_at("bob@a.example"): told("acct:bob@a.example", f"{A}/users/bob")},
        HandleMismatch,
        id="the-actor-calls-itself-another",
    ),
    pytest.param(
        "alice@a.example",
        HONEST | {ALICE: actor(name="bob"), asked_at("bob@a.example"): told("acct:bob@a.example", ALICE)},
        HandleMismatch,
        id="one-actor-two-handles",
    ),
    pytest.param("alice@a.example", HONEST | {ALICE: actor(name=None)}, HandleMismatch, id="the-actor-has-no-name"),
    pytest.param("alice@a.example", HONEST | {ALICE: actor(name="al ice")}, HandleMismatch, id="an-impossible-name"),
    pytest.param("alice@a.example", HONEST | {ALICE: actor(webfinger="@@")}, HandleMismatch, id="an-impossible-handle"),
    pytest.param(
        CEO,
        {
            asked_at(CEO): told(f"acct:{CEO}", f"{B}/ceo"),
            f"{B}/ceo": actor(f"{B}/ceo", webfinger="alice@a.example"),
            asked_at("alice@a.example"): told("acct:alice@a.example", ALICE),
        },
        HandleMismatch,
        id="the-actor-claims-a-famous-handle",
    ),
    pytest.param("alice@a.example", HONEST | {ALICE: redirect(f"{B}/x"), f"{B}/x": actor(f"{B}/x")}, HandleMismatch, id="the-actor-is-another"),
    pytest.param("alice@a.example", HONEST | {ALICE: actor(f"{B}/x")}, WrongId, id="the-actor-speaks-for-another-origin"),
    pytest.param("alice@a.example", HONEST | {ALICE: actor(kind="Note")}, WrongType, id="no-actor"),
    pytest.param("alice@a.example", HONEST | {ALICE: Response(410)}, Gone, id="actor-gone"),
    pytest.param("alice@a.example", {asked_at("alice@a.example"): told("acct:alice@a.example")}, NoActorLink, id="no-links"),
    pytest.param(
        "alice@a.example",
        {asked_at("alice@a.example"): told("acct:alice@a.example", names(ALICE, kind="text/html"), DescriptorLink("self", href=ALICE), names("x"), names("ftp://a.example/"))},
        NoActorLink,
        id="no-usable-link",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "pages", "error"), DOUBTED)
def test_doubted(text, pages, error):
    web = ScriptedWeb(pages)
    with pytest.raises(error):
        _ = found(web, text)
    assert len(web.asked()) <= 7


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "@alice",
        "alice@",
        "a@b@c",
        "https://",
        "ftp://a.example/",
        "https://u@a.example/",
        "!",
    ],
)
def test_what_is_neither_a_handle_nor_a_url(text):
    web = ScriptedWeb()
    with pytest.raises(RequestError):
        _ = found(web, text)
    assert web.requests == []


# --- a person and a group of one name -------------------------------------------------------------------------------

TYPE = "https://www.w3.org/ns/activitystreams#type"
PERSON, GROUP = f"{A}/u/books", f"{A}/c/books"


def both(*kinds: str) -> dict[str, Response]:
    links = [names(PERSON if kind == "Person" else GROUP, **{TYPE: kind}) for kind in kinds]
    return {
        asked_at("books@a.example"): told("acct:books@a.example", *links),
        PERSON: actor(PERSON, "books"),
        GROUP: actor(GROUP, "books", "Group"),
    }


@pytest.mark.parametrize(
    ("text", "kinds", "ident"),
    [
        ("@books@a.example", ("Person", "Group"), PERSON),
        ("@books@a.example", ("Group", "Person"), PERSON),
        ("!books@a.example", ("Person", "Group"), GROUP),
        ("!books@a.example", ("Group", "Person"), GROUP),
        ("@books@a.example", ("Group",), GROUP),
        ("!books@a.example", ("Person",), PERSON),
    ],
)
def test_a_person_and_a_group_share_a_name(text, kinds, ident):
    assert found(ScriptedWeb(both(*kinds)), text).document.id == ident


# --- URLs -----------------------------------------------------------------------------------------------------------


def test_an_id_leads_to_the_actor_and_its_handle():
    web = ScriptedWeb(HONEST)
    result = found(web, ALICE)
    assert (result.document.id, result.acct, result.doubt) == (ALICE, Acct("alice", "a.example"), None)
    assert web.asked() == [ALICE, asked_at("alice@a.example")]


def test_what_is_no_actor_has_no_handle():
    web = ScriptedWeb({f"{A}/1": document({"id": f"{A}/1", "type": "Note"})})
    assert (found(web, f"{A}/1").acct, found(web, f"{A}/1").doubt) == (None, None)
    assert web.asked() == [f"{A}/1"]


@pytest.mark.parametrize(
    ("pages", "doubt"),
    [
        ({asked_at("alice@a.example"): told("acct:alice@a.example", f"{A}/users/another")}, HandleMismatch),
        ({asked_at("alice@a.example"): told("acct:alice@a.example")}, HandleMismatch),
        ({asked_at("alice@a.example"): Response(404)}, NotFound),
        ({asked_at("alice@a.example"): Response(503)}, PeerFailing),
        ({asked_at("alice@a.example"): ConnectFailed("closed")}, ConnectFailed),
        ({ALICE: actor(name=None)}, HandleMismatch),
        ({ALICE: actor(webfinger="ceo@b.example"), asked_at(CEO): told(f"acct:{CEO}", f"{B}/ceo")}, HandleMismatch),
    ],
    ids=["another", "nobody", "404", "503", "refused", "nameless", "a-handle-of-others"],
)
def test_an_actor_without_a_proved_handle_is_an_actor_all_the_same(pages, doubt):
    result = found(ScriptedWeb(HONEST | pages), ALICE)
    assert (result.document.id, result.acct, type(result.doubt)) == (ALICE, None, doubt)


def test_the_page_of_a_profile_leads_to_the_actor():
    profile = f"{A}/@alice"
    about = f"{A}/.well-known/webfinger?resource={quote(profile, safe='')}"
    web = ScriptedWeb(
        HONEST | {profile: Response(200, {"Content-Type": "text/html"}), about: told("acct:alice@a.example", ALICE)}
    )
    assert found(web, profile).document.id == ALICE
    assert web.asked() == [profile, about, ALICE, asked_at("alice@a.example")]


@pytest.mark.parametrize(
    "about",
    [Response(404), Response(400), told("acct:alice@a.example"), ConnectFailed("closed")],
    ids=["404", "400", "no-links", "refused"],
)
def test_a_page_of_which_nothing_is_known_is_a_page(about):
    page = f"{A}/about"
    web = ScriptedWeb(
        {
            page: Response(200, {"Content-Type": "text/html"}),
            f"{A}/.well-known/webfinger?resource={quote(page, safe='')}": about,
        }
    )
    with pytest.raises(WrongMediaType, match="about"):
        _ = found(web, page)


PAGE = f"{A}/2026/hello"
ABOUT_PAGE = f"{A}/.well-known/webfinger?resource={quote(PAGE, safe='')}"
NOTE = f"{B}/notes/1"


def page(body: str = "", **headers: str) -> Response:
    return Response(200, {"Content-Type": "text/html"} | headers, body.encode())


@pytest.mark.parametrize(
    "answer",
    [
        page(f'<link rel="alternate" type="application/activity+json" href="{NOTE}">'),
        page("", Link=f'<{NOTE}>; rel="alternate"; type="application/activity+json"'),
        lambda request: evolve(
            page(f'<link rel="alternate" type="application/activity+json" href="{NOTE}"> and so on'),
            truncated=request.limits.body_excess == "cut",
        ),
    ],
    ids=["element", "field", "cut"],
)
def test_a_page_leads_to_its_alternate(answer):
    web = ScriptedWeb({PAGE: answer, ABOUT_PAGE: Response(400), NOTE: document({"id": NOTE, "type": "Note"})})
    assert found(web, PAGE).document.id == NOTE
    assert [request.url for request in web.requests] == [PAGE, ABOUT_PAGE, PAGE, NOTE]
    assert ["text/html" in (request.headers.get("accept") or "") for request in web.requests] == [
        False,
        False,
        True,
        False,
    ]
    assert web.requests[2].limits.body_excess == "cut"


@pytest.mark.hole(23)
@pytest.mark.parametrize(
    ("pages", "error"),
    [
        ({NOTE: document({"id": f"{A}/notes/1", "type": "Note"})}, WrongId),
        ({NOTE: document({"id": NOTE}, content_type="application/json")}, WrongMediaType),
        ({NOTE: redirect("https://10.0.0.1/")}, AddressBlocked),
        ({PAGE: page('<link rel=alternate type=application/activity+json href="https://[::1]/">')}, AddressBlocked),
        ({PAGE: page("<link rel=alternate type=application/activity+json href='file:///x'>")}, WrongMediaType),
        ({PAGE: page("nothing")}, WrongMediaType),
    ],
    ids=["another-id", "no-document", "redirect", "private", "no-address", "nothing"],
)
def test_an_alternate_is_a_fetch_like_any_other(pages, error):
    linked = page(f'<link rel="alternate" type="application/activity+json" href="{NOTE}">')
    web = ScriptedWeb({PAGE: linked, ABOUT_PAGE: Response(400)} | pages)
    with pytest.raises(error):
        _ = found(web, PAGE)
    assert {parse_url(url).origin.host for url in web.asked()} <= {"a.example", "b.example"}


def test_confirming_takes_what_is_known_already():
    web = ScriptedWeb(HONEST)
    document_ = found(web, "@alice@a.example").document
    web.asked()
    confirmed = web.run(
        confirm(
            document_.view(Actor),
            policy=POLICY,
            known={parse_acct("ALICE@a.example"): Descriptor("acct:alice@a.example", links=[names(ALICE)])},
        )
    )
    assert (confirmed.acct, confirmed.actor, web.asked()) == (Acct("alice", "a.example"), ALICE, [])


# --- one question ---------------------------------------------------------------------------------------------------

WHO = asked_at("alice@a.example")


def asked(web: ScriptedWeb, resource: str = "acct:alice@a.example", **more) -> Descriptor:
    return web.run(webfinger(resource, **({"policy": POLICY} | more)))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Response(400), Rejected),
        (Response(410), Gone),
        (Response(429), PeerFailing),
        (Response(200, {"Content-Type": "text/html"}, b"{}"), WrongMediaType),
        (Response(200, {"Content-Type": "image/png"}, b"{}"), WrongMediaType),
        (Response(200, {"Content-Type": "text/html, application/json"}, b"{}"), WrongMediaType),
        (Response(200, {"Content-Type": "text/plain"}, b"no such account"), DocumentError),
        (Response(200, {}, b"<html>"), DocumentError),
        (Response(200, {"Content-Type": "application/json"}, b"[]"), DocumentError),
        (Response(200, {"Content-Type": "application/json"}, b" " * 300_000), LimitExceeded),
        (Response(200, {"Content-Type": XRD_XML}, b"<!DOCTYPE x><x/>"), DocumentError),
        (redirect(WHO), LimitExceeded),
        (redirect(WHO.replace("https", "http")), Refused),
        (AddressBlocked("10.0.0.1"), AddressBlocked),
    ],
    ids=[
        "400",
        "410",
        "429",
        "html",
        "png",
        "unreadable",
        "text",
        "no-type",
        "array",
        "long",
        "dtd",
        "circle",
        "downgrade",
        "blocked",
    ],
)
def test_answers_that_are_none(answer, error):
    with pytest.raises(error):
        _ = asked(ScriptedWeb({WHO: answer}))


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/jrd+json; charset=utf-8",
        "application/activity+json",
        "Application/JSON",
        "application/octet-stream",
        "text/plain; charset=utf-8",
        "text/json",
        None,
    ],
)
def test_json_of_any_name_is_read(content_type):
    assert (
        asked(ScriptedWeb({WHO: told("acct:alice@a.example", ALICE, content_type=content_type)})).subject
        == "acct:alice@a.example"
    )


@pytest.mark.parametrize("content_type", [XRD_XML, "application/xml; charset=utf-8", "text/xml"])
def test_xml_is_read(content_type):
    assert asked(ScriptedWeb({WHO: Response(200, {"Content-Type": content_type}, host_meta_xml(A))})).links


@pytest.mark.parametrize("text", ["", "alice", "mailto:alice@a.example"])
def test_a_resource_that_is_none(text):
    with pytest.raises(RequestError):
        _ = asked(ScriptedWeb(), text)


# --- host-meta ------------------------------------------------------------------------------------------------------

HOST_META = f"{A}/.well-known/host-meta"
MOVED = f"{B}/.well-known/webfinger?resource=acct%3Aalice%40a.example"


@pytest.mark.parametrize(
    "answer",
    [
        Response(200, {"Content-Type": XRD_XML}, host_meta_xml(B)),
        Response(200, {"Content-Type": "application/octet-stream"}, host_meta_xml(B)),
        Response(200, {}, host_meta_json(B)),
    ],
    ids=["xml", "a-file", "json"],
)
def test_after_a_404_the_host_meta_says_where(answer):
    web = ScriptedWeb({WHO: Response(404), HOST_META: answer, MOVED: told("acct:alice@a.example", ALICE)})
    assert asked(web).subject == "acct:alice@a.example"
    assert web.asked() == [WHO, HOST_META, MOVED]


@pytest.mark.parametrize(
    "answer",
    [
        Response(404),
        Response(500),
        Response(200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><html></html>"),
        Response(200, {}, b""),
        Response(200, {}, host_meta_xml(A)),
        Response(200, {}, host_meta_xml("http://b.example")),
        Response(200, {}, host_meta_xml("ftp://b.example")),
        Response(200, {}, host_meta_xml(B), truncated=True),
        ConnectFailed("closed"),
        redirect("http://b.example/"),
    ],
    ids=["404", "500", "page", "empty", "itself", "downgrade", "ftp", "cut", "refused", "downgrading-redirect"],
)
def test_a_host_meta_that_helps_nobody_leaves_the_404(answer):
    web = ScriptedWeb({WHO: Response(404), HOST_META: answer})
    with pytest.raises(NotFound, match="webfinger"):
        _ = asked(web)
    assert web.asked() == [WHO, HOST_META]


def test_only_a_404_asks_for_the_host_meta():
    web = ScriptedWeb({WHO: Response(410)})
    with pytest.raises(Gone):
        _ = asked(web)
    assert web.asked() == [WHO]


# --- plain http -----------------------------------------------------------------------------------------------------

PLAIN = WHO.replace("https", "http")
OPEN = evolve(POLICY, addresses=LOOPBACK_OPEN)


def test_plain_http_is_tried_second_where_it_is_open():
    web = ScriptedWeb({WHO: TlsFailed("no TLS there"), PLAIN: told("acct:alice@a.example", ALICE)})
    assert asked(web, policy=OPEN).subject == "acct:alice@a.example"
    assert web.asked() == [WHO, PLAIN]


def test_plain_http_is_never_tried_otherwise():
    web = ScriptedWeb({WHO: TlsFailed("no TLS there"), PLAIN: told("acct:alice@a.example", ALICE)})
    with pytest.raises(FetchFailed):
        _ = asked(web)
    assert web.asked() == [WHO]


def test_what_https_answered_is_final():
    web = ScriptedWeb({WHO: Response(410), PLAIN: told("acct:alice@a.example", ALICE)})
    with pytest.raises(Gone):
        _ = asked(web, policy=OPEN)


def test_a_development_server_is_found_by_its_port():
    here = "http://localhost:8000"
    alice = f"{here}/users/alice"
    about = f"{here}/.well-known/webfinger?resource=acct%3Aalice%40localhost%3A8000"
    web = ScriptedWeb({about: told("acct:alice@localhost:8000", alice), alice: actor(alice)})
    assert found(web, "@alice@localhost:8000", policy=OPEN).acct == Acct("alice", "localhost:8000")


# --- vectors --------------------------------------------------------------------------------------------------------


def as_sent(name: str) -> Response:
    head, _, body = (VECTORS / name).read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    status, *lines = head.decode("latin-1").split("\n")
    pairs = [line.partition(":")[::2] for line in lines]
    return Response(int(status.split()[1]), [(name, value.strip()) for name, value in pairs], body)


@needs_vectors
def test_an_actor_is_found_by_what_its_server_sent():
    web = ScriptedWeb(
        {
            asked_at("foo@ap.example.com"): as_sent("http-responses/activitypub-webfinger.http"),
            "https://ap.example.com/users/foo": as_sent("http-responses/activitypub-actor.http"),
        }
    )
    assert str(found(web, "@foo@ap.example.com").acct) == "acct:foo@ap.example.com"
    assert str(found(web, "https://ap.example.com/users/foo").acct) == "acct:foo@ap.example.com"


@needs_vectors
@pytest.mark.parametrize(
    ("name", "handed_on_to"),
    [("webfinger-hacker1", "gargron@quitter.no"), ("webfinger-hacker3", "localhost@kickass.zone")],
)
def test_an_answer_about_somebody_else_is_asked_for_there(name, handed_on_to):
    web = ScriptedWeb({asked_at("foo@ap.example.com"): as_sent(f"http-responses/{name}.http")})
    with pytest.raises(ConnectFailed):
        _ = found(web, "@foo@ap.example.com")
    assert web.asked() == [asked_at("foo@ap.example.com"), asked_at(handed_on_to)]
    web.pages[asked_at(handed_on_to)] = as_sent(f"http-responses/{name}.http")
    with pytest.raises(NoActorLink):  # it stands by it, and is no ActivityPub
        _ = found(web, "@foo@ap.example.com")


@needs_vectors
def test_a_split_domain_of_the_vectors():
    answer = as_sent("http-responses/localdomain-webfinger.http")
    handle = "foo@localdomain.com"
    web = ScriptedWeb(
        {asked_at(handle): redirect(asked_at(handle, "webdomain.com")), asked_at(handle, "webdomain.com"): answer}
    )
    assert asked(web, f"acct:{handle}").subject == f"acct:{handle}"


@needs_vectors
def test_a_moved_webfinger_of_the_vectors():
    there = "https://redirected.com/.well-known/webfinger?resource=acct%3Aalice%40a.example"
    web = ScriptedWeb(
        {
            WHO: Response(404),
            HOST_META: as_sent("http-responses/redirected.host-meta.http"),
            there: told("acct:alice@a.example", ALICE),
        }
    )
    assert asked(web).links
    assert web.asked() == [WHO, HOST_META, there]


@needs_vectors
def test_the_impostor_of_the_vectors_is_caught():
    """A host whose answer gives somebody else's handle to its own actor."""
    impostor, famous = "https://fba.ryona.agenc/webfingertest", "graf@poa.st"
    data = (VECTORS / "discovery/pleroma-repo__graf-imposter-webfinger.json").read_bytes()
    mine = Response(200, {"Content-Type": "application/jrd+json"}, data)
    web = ScriptedWeb(
        {
            impostor: actor(impostor, "graf"),
            asked_at("graf@fba.ryona.agenc"): mine,
            asked_at(famous): told(f"acct:{famous}", "https://poa.st/users/graf"),
            "https://poa.st/users/graf": actor("https://poa.st/users/graf", "graf"),
        }
    )
    result = found(web, impostor)
    assert (result.acct, type(result.doubt)) == (None, HandleMismatch)
    assert found(web, "graf@fba.ryona.agenc").document.id == "https://poa.st/users/graf"


ACCTS = (load_json("identifiers/acct.json") or {"cases": []})["cases"]


@needs_vectors
@pytest.mark.parametrize("case", ACCTS, ids=[repr(case["input"]) for case in ACCTS])
def test_the_canonical_form_is_what_is_asked_about(case):
    web = ScriptedWeb()
    with pytest.raises((RequestError, ConnectFailed)) as caught:
        _ = found(web, case["input"])
    if case["result"] == "error":
        assert caught.type is RequestError
    elif case["result"] != "either":
        assert web.asked() == [asked_at(case["result"])]


# --- a liar ---------------------------------------------------------------------------------------------------------

idents = st.sampled_from([ALICE, f"{B}/x", f"{B}/y", "x"])
subjects = st.sampled_from(
    ["acct:alice@a.example", "acct:x@b.example", "x@b.example", "acct:y@b.example", "nobody", None]
)
lies = st.one_of(
    st.builds(lambda subject, idents: told(subject, *idents), subjects, st.lists(idents, max_size=2)),
    st.builds(lambda ident, name, also: actor(ident, name, **({"webfinger": also} if also else {})), idents, st.sampled_from(["alice", "x", None]), subjects),
    st.builds(redirect, st.sampled_from([ALICE, f"{B}/x", asked_at("alice@a.example"), asked_at("x@b.example")])),
    st.sampled_from([Response(404), Response(500), ConnectFailed("closed")]),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    st.fixed_dictionaries(dict.fromkeys((asked_at("x@b.example"), asked_at("y@b.example"), f"{B}/x", f"{B}/y"), lies)),
    st.sampled_from(["@x@b.example", "@y@b.example", f"{B}/x", "@alice@a.example", ALICE]),
)
def test_a_liar_gets_no_handle_of_others_and_gives_others_none(lying, text):
    """Whatever a host and its actors say: its handles are for its actors, and the handles of others are for theirs."""
    web = ScriptedWeb(HONEST | lying)
    try:
        result = found(web, text)
    except ApcoreError as error:
        assert not isinstance(error, LocalError)  # noqa: PT017
        assert "a.example" not in text
    else:
        ours = result.document.id == ALICE
        assert ours == result.document.id.startswith(A)
        if result.acct is not None:
            assert ours == (result.acct == Acct("alice", "a.example"))
        elif "a.example" in text:
            pytest.fail(f"the handle of {text} was lost: {result.doubt}")
    assert len(web.asked()) <= 4 * 3 + 2 * 2


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=60),
    st.sampled_from(["application/jrd+json", XRD_XML, "text/html", ""]),
    st.sampled_from([200, 302, 404]),
)
def test_whatever_is_answered_is_read_or_refused(body, content_type, status):
    answer = Response(status, {"Content-Type": content_type, "Location": body.hex()}, body)
    web = ScriptedWeb({WHO: answer, HOST_META: answer})
    with pytest.raises(ApcoreError) as caught:
        _ = found(web, "@alice@a.example")
    assert not isinstance(caught.value, LocalError)


def test_links_are_counted():
    many = Descriptor(links=[names(f"{A}/{n}") for n in range(100)])
    assert len(actor_links(many)) == 10
