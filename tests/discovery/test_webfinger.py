"""Check WebFinger: a handle is trusted only after a round trip between host and actor."""

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


def webfinger_url(handle: str, host: str | None = None) -> str:
    """Return the WebFinger URL for a handle."""
    acct = parse_acct(handle)
    return f"https://{host or acct.host}/.well-known/webfinger?resource={quote(str(acct), safe='')}"


def actor_link(actor: str, *, kind: str = ACTIVITY_JSON, **properties: str) -> DescriptorLink:
    return DescriptorLink("self", type=kind, href=actor, properties=properties)


def descriptor_response(
    subject: str | None, *links: DescriptorLink | str, aliases=(), content_type: str | None = "application/jrd+json"
) -> Response:
    """Return a response with a descriptor."""
    all_links = [actor_link(link) if isinstance(link, str) else link for link in links]
    headers = {} if content_type is None else {"Content-Type": content_type}
    return Response(200, headers, jrd(subject, aliases, all_links))


def actor_response(
    ident: str = ALICE, name: str | None = "alice", kind: str = "Person", **other_members: Any
) -> Response:
    members = {
        "@context": "https://www.w3.org/ns/activitystreams",
        "id": ident,
        "type": kind,
        "inbox": f"{ident}/in",
        **other_members,
    }
    return document(members | ({} if name is None else {"preferredUsername": name}))


def run_lookup(web: ScriptedWeb, text: str, **options) -> LookupResult:
    return web.run(lookup(text, **({"policy": POLICY} | options)))


HONEST = {webfinger_url("alice@a.example"): descriptor_response("acct:alice@a.example", ALICE), ALICE: actor_response()}


# --- handles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("@alice@a.example", "alice@a.example", "acct:alice@A.example", "@alice@a.example.", " (@alice@a.example). "),
        "https://b.example/@alice@a.example",
    ],
)
def test_handle_leads_to_its_actor(text):
    web = ScriptedWeb(HONEST)
    result = run_lookup(web, text)
    assert (result.document.id, result.acct, result.doubt) == (ALICE, Acct("alice", "a.example"), None)
    assert web.asked() == [webfinger_url("alice@a.example"), ALICE]


def test_host_decides_the_spelling_of_the_handle():
    web = ScriptedWeb(
        {webfinger_url("ALICE@a.example"): descriptor_response("acct:Alice@a.example", ALICE), ALICE: actor_response()}
    )
    assert str(run_lookup(web, "@ALICE@a.example").acct) == "acct:Alice@a.example"


def test_only_the_fetch_of_the_actor_is_signed():
    web = ScriptedWeb(HONEST)
    _ = run_lookup(web, "@alice@a.example", identity=ME)
    [first, second] = web.requests
    assert first.headers.get("accept") == "application/jrd+json, application/json"
    assert "signature" not in first.headers
    assert first.limits.body_bytes_max < second.limits.body_bytes_max
    assert "signature" in second.headers


SHORT, LONG = "alice@short.example", "alice@long.example"
LONG_ALICE = "https://long.example/users/alice"
SPLIT = {
    webfinger_url(SHORT): descriptor_response(f"acct:{SHORT}", LONG_ALICE),
    webfinger_url(LONG): descriptor_response(f"acct:{SHORT}", LONG_ALICE),
    LONG_ALICE: actor_response(LONG_ALICE),
}

TRUSTED = [
    pytest.param(SHORT, SPLIT, SHORT, [webfinger_url(SHORT), LONG_ALICE, webfinger_url(LONG)], id="short-domain"),
    pytest.param(LONG, SPLIT, SHORT, [webfinger_url(LONG), webfinger_url(SHORT), LONG_ALICE], id="long-domain"),
    pytest.param(
        SHORT,
        SPLIT
        | {
            webfinger_url(SHORT): redirect(webfinger_url(SHORT, "long.example")),
            webfinger_url(SHORT, "long.example"): SPLIT[webfinger_url(SHORT)],
        },
        SHORT,
        [webfinger_url(SHORT), webfinger_url(SHORT, "long.example"), LONG_ALICE, webfinger_url(LONG)],
        id="short-domain-by-redirect",
    ),
    pytest.param(
        SHORT,
        SPLIT | {LONG_ALICE: actor_response(LONG_ALICE, name="u17", webfinger=SHORT)},
        SHORT,
        [webfinger_url(SHORT), LONG_ALICE],
        id="the-actor-names-its-handle",
    ),
    pytest.param(
        "alice@a.example",
        HONEST | {webfinger_url("alice@a.example"): descriptor_response(None, ALICE)},
        "alice@a.example",
        [webfinger_url("alice@a.example"), ALICE],
        id="no-subject",
    ),
    pytest.param(
        "alice@a.example",
        HONEST | {webfinger_url("alice@a.example"): descriptor_response("alice@a.example", ALICE)},
        "alice@a.example",
        [webfinger_url("alice@a.example"), ALICE],
        id="bare-subject",
    ),
    pytest.param(
        "alice@a.example",
        HONEST
        | {
            webfinger_url("alice@a.example"): descriptor_response(f"{A}/alice", ALICE, aliases=["acct:alice@a.example"])
        },
        "alice@a.example",
        [webfinger_url("alice@a.example"), ALICE],
        id="subject-is-the-profile",
    ),
    pytest.param(
        "alice@a.example",
        HONEST
        | {
            webfinger_url("alice@a.example"): descriptor_response(
                "acct:alice@a.example", actor_link(ALICE, kind=LD_JSON)
            )
        },
        "alice@a.example",
        [webfinger_url("alice@a.example"), ALICE],
        id="the-other-media-type",
    ),
    pytest.param(
        "alice@a.example",
        HONEST
        | {
            webfinger_url("alice@a.example"): descriptor_response(
                "acct:alice@a.example", actor_link("HTTPS://A.example/users/alice")
            )
        },
        "alice@a.example",
        [webfinger_url("alice@a.example"), ALICE],
        id="another-spelling",
    ),
]


@pytest.mark.parametrize(("text", "pages", "acct", "urls"), TRUSTED)
def test_handle_is_trusted_after_a_round_trip(text, pages, acct, urls):
    web = ScriptedWeb(pages)
    assert run_lookup(web, text).acct == parse_acct(acct)
    assert web.asked() == urls


CEO = "ceo@b.example"
DISTRUSTED = [
    pytest.param(
        CEO,
        HONEST | {webfinger_url(CEO): descriptor_response(f"acct:{CEO}", ALICE)},
        HandleMismatch,
        id="a-host-claims-a-famous-actor",
    ),
    pytest.param(
        CEO,
        HONEST
        | {
            webfinger_url(CEO): descriptor_response("acct:alice@a.example", f"{B}/x"),
            webfinger_url("alice@a.example"): Response(404),
        },
        NotFound,
        id="unknown-at-the-named-host",
    ),
    pytest.param(
        CEO,
        HONEST
        | {
            webfinger_url(CEO): descriptor_response("acct:x@c.example", f"{B}/x"),
            webfinger_url("x@c.example"): descriptor_response("acct:alice@a.example", f"{B}/x"),
        },
        HandleMismatch,
        id="renamed-twice",
    ),
    pytest.param(
        CEO,
        {webfinger_url(CEO): descriptor_response("https://b.example/x", ALICE)},
        HandleMismatch,
        id="subject-is-no-account",
    ),
    pytest.param(
        "alice@a.example",
        HONEST
        | {
            ALICE: actor_response(name="bob"),
            webfinger_url("bob@a.example"): descriptor_response("acct:bob@a.example", f"{A}/users/bob"),
        },
        HandleMismatch,
        id="the-actor-has-another-name",
    ),
    pytest.param(
        "alice@a.example",
        HONEST
        | {
            ALICE: actor_response(name="bob"),
            webfinger_url("bob@a.example"): descriptor_response("acct:bob@a.example", ALICE),
        },
        HandleMismatch,
        id="one-actor-two-handles",
    ),
    pytest.param(
        "alice@a.example", HONEST | {ALICE: actor_response(name=None)}, HandleMismatch, id="the-actor-has-no-name"
    ),
    pytest.param(
        "alice@a.example", HONEST | {ALICE: actor_response(name="al ice")}, HandleMismatch, id="an-impossible-name"
    ),
    pytest.param(
        "alice@a.example", HONEST | {ALICE: actor_response(webfinger="@@")}, HandleMismatch, id="an-impossible-handle"
    ),
    pytest.param(
        CEO,
        {
            webfinger_url(CEO): descriptor_response(f"acct:{CEO}", f"{B}/ceo"),
            f"{B}/ceo": actor_response(f"{B}/ceo", webfinger="alice@a.example"),
            webfinger_url("alice@a.example"): descriptor_response("acct:alice@a.example", ALICE),
        },
        HandleMismatch,
        id="the-actor-claims-a-famous-handle",
    ),
    pytest.param(
        "alice@a.example",
        HONEST | {ALICE: redirect(f"{B}/x"), f"{B}/x": actor_response(f"{B}/x")},
        HandleMismatch,
        id="the-actor-is-another",
    ),
    pytest.param(
        "alice@a.example", HONEST | {ALICE: actor_response(f"{B}/x")}, WrongId, id="the-actor-speaks-for-another-origin"
    ),
    pytest.param("alice@a.example", HONEST | {ALICE: actor_response(kind="Note")}, WrongType, id="no-actor"),
    pytest.param("alice@a.example", HONEST | {ALICE: Response(410)}, Gone, id="actor-gone"),
    pytest.param(
        "alice@a.example",
        {webfinger_url("alice@a.example"): descriptor_response("acct:alice@a.example")},
        NoActorLink,
        id="no-links",
    ),
    pytest.param(
        "alice@a.example",
        {
            webfinger_url("alice@a.example"): descriptor_response(
                "acct:alice@a.example",
                actor_link(ALICE, kind="text/html"),
                DescriptorLink("self", href=ALICE),
                actor_link("x"),
                actor_link("ftp://a.example/"),
            )
        },
        NoActorLink,
        id="no-usable-link",
    ),
]


@pytest.mark.parametrize(("text", "pages", "error"), DISTRUSTED)
def test_handle_without_a_round_trip_is_refused(text, pages, error):
    web = ScriptedWeb(pages)
    with pytest.raises(error):
        _ = run_lookup(web, text)
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
def test_text_that_is_neither_handle_nor_url_is_refused(text):
    web = ScriptedWeb()
    with pytest.raises(RequestError):
        _ = run_lookup(web, text)
    assert web.requests == []


@pytest.mark.parametrize("media_type", [None, "application/json", "application/ld+json"])
def test_link_without_a_clear_media_type_counts_if_there_is_no_other(media_type):
    page = DescriptorLink("self", type="text/html", href=f"{A}/@alice")
    unclear = DescriptorLink("self", type=media_type, href=ALICE)
    other = DescriptorLink("self", type=media_type, href=f"{A}/other")
    for links in ([page, unclear], [other, ALICE]):
        descriptor = descriptor_response("acct:alice@a.example", *links)
        web = ScriptedWeb(HONEST | {webfinger_url("alice@a.example"): descriptor})
        assert run_lookup(web, "@alice@a.example").document.id == ALICE


# --- a person and a group of one name -------------------------------------------------------------------------------

TYPE = "https://www.w3.org/ns/activitystreams#type"
PERSON, GROUP = f"{A}/u/books", f"{A}/c/books"


def books_pages(*kinds: str) -> dict[str, Response]:
    links = [actor_link(PERSON if kind == "Person" else GROUP, **{TYPE: kind}) for kind in kinds]
    return {
        webfinger_url("books@a.example"): descriptor_response("acct:books@a.example", *links),
        PERSON: actor_response(PERSON, "books"),
        GROUP: actor_response(GROUP, "books", "Group"),
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
def test_prefix_selects_the_person_or_the_group_of_a_name(text, kinds, ident):
    assert run_lookup(ScriptedWeb(books_pages(*kinds)), text).document.id == ident


# --- URLs -----------------------------------------------------------------------------------------------------------


def test_actor_id_leads_to_the_actor_and_its_handle():
    web = ScriptedWeb(HONEST)
    result = run_lookup(web, ALICE)
    assert (result.document.id, result.acct, result.doubt) == (ALICE, Acct("alice", "a.example"), None)
    assert web.asked() == [ALICE, webfinger_url("alice@a.example")]


def test_document_that_is_no_actor_has_no_handle():
    web = ScriptedWeb({f"{A}/1": document({"id": f"{A}/1", "type": "Note"})})
    assert (run_lookup(web, f"{A}/1").acct, run_lookup(web, f"{A}/1").doubt) == (None, None)
    assert web.asked() == [f"{A}/1"]


@pytest.mark.parametrize(
    ("pages", "doubt"),
    [
        (
            {webfinger_url("alice@a.example"): descriptor_response("acct:alice@a.example", f"{A}/users/another")},
            HandleMismatch,
        ),
        ({webfinger_url("alice@a.example"): descriptor_response("acct:alice@a.example")}, HandleMismatch),
        ({webfinger_url("alice@a.example"): Response(404)}, NotFound),
        ({webfinger_url("alice@a.example"): Response(503)}, PeerFailing),
        ({webfinger_url("alice@a.example"): ConnectFailed("closed")}, ConnectFailed),
        ({ALICE: actor_response(name=None)}, HandleMismatch),
        (
            {
                ALICE: actor_response(webfinger="ceo@b.example"),
                webfinger_url(CEO): descriptor_response(f"acct:{CEO}", f"{B}/ceo"),
            },
            HandleMismatch,
        ),
    ],
    ids=["another", "no-link", "404", "503", "refused", "nameless", "a-handle-of-others"],
)
def test_actor_without_a_confirmed_handle_is_returned_with_the_doubt(pages, doubt):
    result = run_lookup(ScriptedWeb(HONEST | pages), ALICE)
    assert (result.document.id, result.acct, type(result.doubt)) == (ALICE, None, doubt)


def test_profile_page_leads_to_the_actor():
    profile = f"{A}/@alice"
    about = f"{A}/.well-known/webfinger?resource={quote(profile, safe='')}"
    web = ScriptedWeb(
        HONEST
        | {
            profile: Response(200, {"Content-Type": "text/html"}),
            about: descriptor_response("acct:alice@a.example", ALICE),
        }
    )
    assert run_lookup(web, profile).document.id == ALICE
    assert web.asked() == [profile, about, ALICE, webfinger_url("alice@a.example")]


@pytest.mark.parametrize(
    "about",
    [Response(404), Response(400), descriptor_response("acct:alice@a.example"), ConnectFailed("closed")],
    ids=["404", "400", "no-links", "refused"],
)
def test_page_without_a_descriptor_is_refused(about):
    page = f"{A}/about"
    web = ScriptedWeb(
        {
            page: Response(200, {"Content-Type": "text/html"}),
            f"{A}/.well-known/webfinger?resource={quote(page, safe='')}": about,
        }
    )
    with pytest.raises(WrongMediaType, match="about"):
        _ = run_lookup(web, page)


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
def test_page_leads_to_its_alternate(answer):
    web = ScriptedWeb({PAGE: answer, ABOUT_PAGE: Response(400), NOTE: document({"id": NOTE, "type": "Note"})})
    assert run_lookup(web, PAGE).document.id == NOTE
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
def test_alternate_is_checked_like_any_fetch(pages, error):
    page_with_alternate = page(f'<link rel="alternate" type="application/activity+json" href="{NOTE}">')
    web = ScriptedWeb({PAGE: page_with_alternate, ABOUT_PAGE: Response(400)} | pages)
    with pytest.raises(error):
        _ = run_lookup(web, PAGE)
    assert {parse_url(url).origin.host for url in web.asked()} <= {"a.example", "b.example"}


def test_confirm_reuses_known_descriptors():
    web = ScriptedWeb(HONEST)
    document_ = run_lookup(web, "@alice@a.example").document
    web.asked()
    confirmed = web.run(
        confirm(
            document_.view(Actor),
            policy=POLICY,
            known_descriptors={
                parse_acct("ALICE@a.example"): Descriptor("acct:alice@a.example", links=[actor_link(ALICE)])
            },
        )
    )
    assert (confirmed.acct, confirmed.actor, web.asked()) == (Acct("alice", "a.example"), ALICE, [])


# --- a single query -------------------------------------------------------------------------------------------------

ALICE_WEBFINGER = webfinger_url("alice@a.example")


def run_webfinger(web: ScriptedWeb, resource: str = "acct:alice@a.example", **options) -> Descriptor:
    return web.run(webfinger(resource, **({"policy": POLICY} | options)))


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
        (redirect(ALICE_WEBFINGER), LimitExceeded),
        (redirect(ALICE_WEBFINGER.replace("https", "http")), Refused),
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
def test_unusable_webfinger_response_raises_its_error(answer, error):
    with pytest.raises(error):
        _ = run_webfinger(ScriptedWeb({ALICE_WEBFINGER: answer}))


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
def test_json_of_any_media_type_is_read(content_type):
    assert (
        run_webfinger(
            ScriptedWeb(
                {ALICE_WEBFINGER: descriptor_response("acct:alice@a.example", ALICE, content_type=content_type)}
            )
        ).subject
        == "acct:alice@a.example"
    )


@pytest.mark.parametrize("content_type", [XRD_XML, "application/xml; charset=utf-8", "text/xml"])
def test_xml_descriptor_is_read(content_type):
    assert run_webfinger(
        ScriptedWeb({ALICE_WEBFINGER: Response(200, {"Content-Type": content_type}, host_meta_xml(A))})
    ).links


@pytest.mark.parametrize("text", ["", "alice", "mailto:alice@a.example"])
def test_malformed_resource_is_refused(text):
    with pytest.raises(RequestError):
        _ = run_webfinger(ScriptedWeb(), text)


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
def test_host_meta_is_used_after_a_404(answer):
    web = ScriptedWeb(
        {ALICE_WEBFINGER: Response(404), HOST_META: answer, MOVED: descriptor_response("acct:alice@a.example", ALICE)}
    )
    assert run_webfinger(web).subject == "acct:alice@a.example"
    assert web.asked() == [ALICE_WEBFINGER, HOST_META, MOVED]


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
def test_useless_host_meta_leaves_the_404(answer):
    web = ScriptedWeb({ALICE_WEBFINGER: Response(404), HOST_META: answer})
    with pytest.raises(NotFound, match="webfinger"):
        _ = run_webfinger(web)
    assert web.asked() == [ALICE_WEBFINGER, HOST_META]


def test_host_meta_is_fetched_only_after_a_404():
    web = ScriptedWeb({ALICE_WEBFINGER: Response(410)})
    with pytest.raises(Gone):
        _ = run_webfinger(web)
    assert web.asked() == [ALICE_WEBFINGER]


# --- plain http -----------------------------------------------------------------------------------------------------

PLAIN = ALICE_WEBFINGER.replace("https", "http")
OPEN = evolve(POLICY, addresses=LOOPBACK_OPEN)


def test_plain_http_is_tried_after_https_if_allowed():
    web = ScriptedWeb(
        {ALICE_WEBFINGER: TlsFailed("no TLS there"), PLAIN: descriptor_response("acct:alice@a.example", ALICE)}
    )
    assert run_webfinger(web, policy=OPEN).subject == "acct:alice@a.example"
    assert web.asked() == [ALICE_WEBFINGER, PLAIN]


def test_plain_http_is_never_tried_unless_allowed():
    web = ScriptedWeb(
        {ALICE_WEBFINGER: TlsFailed("no TLS there"), PLAIN: descriptor_response("acct:alice@a.example", ALICE)}
    )
    with pytest.raises(FetchFailed):
        _ = run_webfinger(web)
    assert web.asked() == [ALICE_WEBFINGER]


def test_https_response_is_final():
    web = ScriptedWeb({ALICE_WEBFINGER: Response(410), PLAIN: descriptor_response("acct:alice@a.example", ALICE)})
    with pytest.raises(Gone):
        _ = run_webfinger(web, policy=OPEN)


def test_development_server_is_found_by_its_port():
    here = "http://localhost:8000"
    alice = f"{here}/users/alice"
    about = f"{here}/.well-known/webfinger?resource=acct%3Aalice%40localhost%3A8000"
    web = ScriptedWeb({about: descriptor_response("acct:alice@localhost:8000", alice), alice: actor_response(alice)})
    assert run_lookup(web, "@alice@localhost:8000", policy=OPEN).acct == Acct("alice", "localhost:8000")


# --- vectors --------------------------------------------------------------------------------------------------------


def recorded_response(name: str) -> Response:
    head, _, body = (VECTORS / name).read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    status, *lines = head.decode("latin-1").split("\n")
    pairs = [line.partition(":")[::2] for line in lines]
    return Response(int(status.split()[1]), [(name, value.strip()) for name, value in pairs], body)


@needs_vectors
def test_recorded_server_responses_lead_to_the_actor():
    web = ScriptedWeb(
        {
            webfinger_url("foo@ap.example.com"): recorded_response("http-responses/activitypub-webfinger.http"),
            "https://ap.example.com/users/foo": recorded_response("http-responses/activitypub-actor.http"),
        }
    )
    assert str(run_lookup(web, "@foo@ap.example.com").acct) == "acct:foo@ap.example.com"
    assert str(run_lookup(web, "https://ap.example.com/users/foo").acct) == "acct:foo@ap.example.com"


@needs_vectors
@pytest.mark.parametrize(
    ("name", "other_handle"),
    [("webfinger-hacker1", "gargron@quitter.no"), ("webfinger-hacker3", "localhost@kickass.zone")],
)
def test_descriptor_of_another_handle_is_confirmed_at_its_host(name, other_handle):
    web = ScriptedWeb({webfinger_url("foo@ap.example.com"): recorded_response(f"http-responses/{name}.http")})
    with pytest.raises(ConnectFailed):
        _ = run_lookup(web, "@foo@ap.example.com")
    assert web.asked() == [webfinger_url("foo@ap.example.com"), webfinger_url(other_handle)]
    web.pages[webfinger_url(other_handle)] = recorded_response(f"http-responses/{name}.http")
    with pytest.raises(NoActorLink):  # The other host confirms the handle, but has no ActivityPub actor.
        _ = run_lookup(web, "@foo@ap.example.com")


@needs_vectors
def test_recorded_split_domain_is_followed():
    answer = recorded_response("http-responses/localdomain-webfinger.http")
    handle = "foo@localdomain.com"
    web = ScriptedWeb(
        {
            webfinger_url(handle): redirect(webfinger_url(handle, "webdomain.com")),
            webfinger_url(handle, "webdomain.com"): answer,
        }
    )
    assert run_webfinger(web, f"acct:{handle}").subject == f"acct:{handle}"


@needs_vectors
def test_recorded_host_meta_leads_to_the_moved_webfinger():
    target = "https://redirected.com/.well-known/webfinger?resource=acct%3Aalice%40a.example"
    web = ScriptedWeb(
        {
            ALICE_WEBFINGER: Response(404),
            HOST_META: recorded_response("http-responses/redirected.host-meta.http"),
            target: descriptor_response("acct:alice@a.example", ALICE),
        }
    )
    assert run_webfinger(web).links
    assert web.asked() == [ALICE_WEBFINGER, HOST_META, target]


@needs_vectors
def test_recorded_impostor_is_caught():
    """The host gives the handle of another actor to its own."""
    impostor, famous = "https://fba.ryona.agenc/webfingertest", "graf@poa.st"
    data = (VECTORS / "discovery/pleroma-repo__graf-imposter-webfinger.json").read_bytes()
    recorded = Response(200, {"Content-Type": "application/jrd+json"}, data)
    web = ScriptedWeb(
        {
            impostor: actor_response(impostor, "graf"),
            webfinger_url("graf@fba.ryona.agenc"): recorded,
            webfinger_url(famous): descriptor_response(f"acct:{famous}", "https://poa.st/users/graf"),
            "https://poa.st/users/graf": actor_response("https://poa.st/users/graf", "graf"),
        }
    )
    result = run_lookup(web, impostor)
    assert (result.acct, type(result.doubt)) == (None, HandleMismatch)
    assert run_lookup(web, "graf@fba.ryona.agenc").document.id == "https://poa.st/users/graf"


ACCTS = (load_json("identifiers/acct.json") or {"cases": []})["cases"]


@needs_vectors
@pytest.mark.parametrize("case", ACCTS, ids=[repr(case["input"]) for case in ACCTS])
def test_canonical_form_of_the_account_is_queried(case):
    web = ScriptedWeb()
    with pytest.raises((RequestError, ConnectFailed)) as exc_info:
        _ = run_lookup(web, case["input"])
    if case["result"] == "error":
        assert exc_info.type is RequestError
    elif case["result"] != "either":
        assert web.asked() == [webfinger_url(case["result"])]


# --- a lying host ---------------------------------------------------------------------------------------------------

idents = st.sampled_from([ALICE, f"{B}/x", f"{B}/y", "x"])
subjects = st.sampled_from(
    ["acct:alice@a.example", "acct:x@b.example", "x@b.example", "acct:y@b.example", "nobody", None]
)
lies = st.one_of(
    st.builds(lambda subject, idents: descriptor_response(subject, *idents), subjects, st.lists(idents, max_size=2)),
    st.builds(
        lambda ident, name, also: actor_response(ident, name, **({"webfinger": also} if also else {})),
        idents,
        st.sampled_from(["alice", "x", None]),
        subjects,
    ),
    st.builds(
        redirect, st.sampled_from([ALICE, f"{B}/x", webfinger_url("alice@a.example"), webfinger_url("x@b.example")])
    ),
    st.sampled_from([Response(404), Response(500), ConnectFailed("closed")]),
)


@settings(max_examples=200, deadline=None)
@given(
    st.fixed_dictionaries(
        dict.fromkeys((webfinger_url("x@b.example"), webfinger_url("y@b.example"), f"{B}/x", f"{B}/y"), lies)
    ),
    st.sampled_from(["@x@b.example", "@y@b.example", f"{B}/x", "@alice@a.example", ALICE]),
)
def test_lying_host_affects_only_its_own_handles(lying_pages, text):
    """However a host and its actors lie, it can only give its own handles to its own actors."""
    web = ScriptedWeb(HONEST | lying_pages)
    try:
        result = run_lookup(web, text)
    except ApcoreError as error:
        assert not isinstance(error, LocalError)  # noqa: PT017
        assert "a.example" not in text
    else:
        is_alice = result.document.id == ALICE
        assert is_alice == result.document.id.startswith(A)
        if result.acct is not None:
            assert is_alice == (result.acct == Acct("alice", "a.example"))
        elif "a.example" in text:
            pytest.fail(f"the handle of {text} was lost: {result.doubt}")
    assert len(web.asked()) <= 4 * 3 + 2 * 2


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=60),
    st.sampled_from(["application/jrd+json", XRD_XML, "text/html", ""]),
    st.sampled_from([200, 302, 404]),
)
def test_any_response_is_read_or_refused_with_our_error(body, content_type, status):
    answer = Response(status, {"Content-Type": content_type, "Location": body.hex()}, body)
    web = ScriptedWeb({ALICE_WEBFINGER: answer, HOST_META: answer})
    with pytest.raises(ApcoreError) as exc_info:
        _ = run_lookup(web, "@alice@a.example")
    assert not isinstance(exc_info.value, LocalError)


def test_number_of_actor_links_is_bounded():
    descriptor = Descriptor(links=[actor_link(f"{A}/{n}") for n in range(100)])
    assert len(actor_links(descriptor)) == 10
