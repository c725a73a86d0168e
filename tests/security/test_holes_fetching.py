"""Try published holes on fetching and serving: false documents, hostile redirects and links, and private content."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from apcore.collections import traverse
from apcore.discovery import HandleMismatch, lookup, lookup_nodeinfo, parse_acct, read_host_meta, webfinger
from apcore.errors import ApcoreError, ConnectFailed, DocumentError, LimitExceeded, RequestError
from apcore.federation import Federation
from apcore.http import Request, Response, find_alternates, parse_url
from apcore.node import Elsewhere, Node
from apcore.remote import FetchPolicy, KeyNotOwned, WrongId, WrongMediaType, remote_key, resolve
from apcore.vocab import Like, Note, Object, read_document
from inbox_fixture import ALICE, BOB, HERE, Ground
from outbox_fixture import Outgoing
from scripted_web import ScriptedWeb, document, redirect

A, B = "https://a.example", "https://b.example"
NOTE = f"{A}/notes/1"
POLICY = FetchPolicy()
DAY_S = 86400.0
XRD = "http://docs.oasis-open.org/ns/xri/xrd-1.0"


def resolve_with_node(web: ScriptedWeb, uri: str = NOTE, *, fresh: bool = False) -> Any:
    with Node(Federation(), store=web.store, transport=web, runtime=web.runtime) as node:
        return node.reference(uri).resolve(fresh=fresh)


def note(**members: Any) -> dict[str, Any]:
    return {"@context": "https://www.w3.org/ns/activitystreams", "id": NOTE, "type": "Note"} | members


# --- false documents ------------------------------------------------------------------------------------------------


@pytest.mark.hole(8, 58)
@pytest.mark.parametrize(
    "ident", [f"{B}/notes/1", f"{B}/users/x", "http://a.example/notes/1", f"{A}:8443/notes/1", None, "", 1, "x"]
)
def test_document_with_an_id_of_another_origin_is_refused(ident):
    web = ScriptedWeb({NOTE: document(note(id=ident)), f"{B}/notes/1": Response(404)})
    with pytest.raises(ApcoreError) as caught:
        _ = resolve_with_node(web)
    assert isinstance(caught.value, (WrongId, DocumentError, RequestError))
    assert web.asked() == [NOTE]
    # The cache does not serve it later either.
    with pytest.raises(ApcoreError):
        _ = resolve_with_node(web, f"{B}/notes/1")


@pytest.mark.hole(8, 21, 38)
def test_other_id_of_the_same_origin_is_fetched_once():
    other = f"{A}/notes/2"
    web = ScriptedWeb({NOTE: document(note(id=other)), other: document(note(id=other, content="true"))})
    assert Note.over(resolve_with_node(web)).content == "true"
    assert web.asked() == [NOTE, other]
    web = ScriptedWeb({NOTE: document(note(id=other)), other: document(note(id=f"{A}/notes/3"))})
    with pytest.raises(WrongId):
        _ = resolve_with_node(web)
    assert web.asked() == [NOTE, other]


@pytest.mark.hole(21, 38)
def test_id_must_match_the_final_url_but_url_property_need_not():
    """Allow a `url` on another host, as Threads sends it, but not an id."""
    web = ScriptedWeb({NOTE: document(note(url=f"{B}/@x/1"))})
    assert Object.over(resolve_with_node(web)).url == f"{B}/@x/1"
    # The target of a redirect may not claim the id that was requested.
    web = ScriptedWeb({NOTE: redirect(f"{B}/upload"), f"{B}/upload": document(note())})
    with pytest.raises(WrongId):
        _ = resolve_with_node(web)


CONTENT_TYPES = [
    *("text/plain", "text/html", "image/png", "application/json", "application/octet-stream", "", "x", "*/*"),
    *(
        'application/ld+json; profile="https://example.com/"',
        "application/activity+json, text/plain",
        "application/activity+jsonx",
    ),
    *(
        "multipart/form-data; boundary=application/activity+json",
        "text/plain; x=application/activity+json",
        "application/xml",
    ),
]


@pytest.mark.hole(11, 38)
@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_document_with_the_media_type_of_an_upload_is_refused(content_type):
    web = ScriptedWeb({NOTE: document(note(), content_type=content_type)})
    with pytest.raises((WrongMediaType, RequestError)):
        _ = resolve_with_node(web)
    web.pages[NOTE] = document(note())
    assert resolve_with_node(web, fresh=True).id == NOTE


@pytest.mark.hole(11, 38)
def test_uploaded_json_ld_without_activitystreams_context_is_refused():
    upload = {"id": NOTE, "type": "Note", "content": "uploaded"}
    with pytest.raises(WrongMediaType):
        _ = resolve_with_node(ScriptedWeb({NOTE: document(upload, content_type="application/ld+json")}))


@pytest.mark.hole(33, 57, 58)
@pytest.mark.parametrize("case", ["other-id", "other-origin", "no-id", "claim"])
def test_key_document_with_another_id_is_refused(case):
    key_id, owner = f"{A}/key", f"{B}/users/victim"
    pem = Ground().bob.key.public.pem
    key: dict[str, Any] = {"id": key_id, "owner": owner, "publicKeyPem": pem}
    match case:
        case "other-id":
            key["id"] = f"{A}/key2"
        case "other-origin":
            key["id"] = f"{owner}#main-key"
        case "no-id":
            del key["id"]
    # A key with another id is refused even if the owner lists the requested id.
    listed_keys = [] if case == "claim" else [key_id]
    victim = {
        "id": owner,
        "type": "Person",
        "inbox": f"{owner}/i",
        "outbox": f"{owner}/o",
        "publicKey": [{"id": f"{owner}#main-key", "owner": owner, "publicKeyPem": pem}, *listed_keys],
    }
    web = ScriptedWeb({key_id: document(key), owner: document(victim)})
    for _ in range(3):
        with pytest.raises(ApcoreError) as caught:
            _ = web.run(remote_key(key_id, policy=POLICY))
        assert caught.value.reason in {KeyNotOwned.reason, "key-refused"}
    # The refused key is cached neither under the requested id nor under its own.
    for entry in web.store.scan(("key",), limit=100):
        assert b"owner" not in entry.value.partition(b"\n")[0] or owner.encode() not in entry.value
    assert web.asked().count(key_id) == 1


# --- redirects and links --------------------------------------------------------------------------------------------

ACCOUNT = f"{A}/.well-known/webfinger?resource={quote('acct:x@a.example', safe='')}"


def build_requests(web: ScriptedWeb) -> dict[str, Callable[[], Any]]:
    return {
        NOTE: lambda: resolve_with_node(web),
        ACCOUNT: lambda: web.run(webfinger("acct:x@a.example", policy=POLICY)),
        f"{A}/.well-known/nodeinfo": lambda: web.run(lookup_nodeinfo(A, policy=POLICY)),
        f"{A}/key": lambda: web.run(remote_key(f"{A}/key", policy=POLICY)),
        f"{A}/list": lambda: web.run(traverse(f"{A}/list", policy=POLICY)),
    }


@pytest.mark.hole(25, 28, 46, 49)
@pytest.mark.parametrize("start", build_requests(ScriptedWeb()))
def test_endless_redirects_are_stopped(start):
    for next_url in (
        lambda n: start,
        lambda n: f"{A}/{n % 2}",
        lambda n: f"{A}/{n}",
        lambda n: f"https://{n}.example/",
        lambda n: f"{A}/?{n}",
    ):
        web = ScriptedWeb()
        web.pages = _EndlessPages(next_url)
        with pytest.raises(LimitExceeded):
            _ = build_requests(web)[start]()
        assert len(web.asked()) <= POLICY.redirects_max + 1


class _EndlessPages(dict[str, Any]):
    """A web in which every page redirects to another."""

    def __init__(self, step: Callable[[int], str]) -> None:
        super().__init__()
        self._step = step
        self._count = 0

    def get(self, key: Any, default: Any = None) -> Any:
        self._count += 1
        assert self._count < 100, "the redirects are followed without end"
        return redirect(self._step(self._count))


@pytest.mark.hole(25, 30, 32, 46, 54, 55)
@pytest.mark.parametrize("start", build_requests(ScriptedWeb()))
@pytest.mark.parametrize(
    "to",
    [
        "file:///etc/passwd",
        "data:application/json,{}",
        "ftp://b.example/",
        "http://a.example/x",
        "https://127.0.0.1/",
        "https://[::ffff:7f00:1]/",
        "https://localhost/",
        "https://169.254.169.254/latest/",
    ],
)
def test_redirect_to_a_forbidden_url_is_not_followed(start, to):
    web = ScriptedWeb({start: redirect(to)})
    with pytest.raises(ApcoreError) as caught:
        _ = build_requests(web)[start]()
    assert not isinstance(caught.value, ConnectFailed)
    assert web.asked() == [start]


@pytest.mark.hole(30, 54)
@pytest.mark.parametrize(
    "href",
    [
        "data:application/json,{}",
        "https://127.0.0.1/",
        "https://b.example/nodeinfo",
        "file:///x",
        "",
        None,
        1,
    ],
)
def test_nodeinfo_link_to_another_origin_is_refused(href):
    links = {"links": [{"rel": "http://nodeinfo.diaspora.software/ns/schema/2.1", "href": href}]}
    web = ScriptedWeb({f"{A}/.well-known/nodeinfo": document(links, content_type="application/json")})
    with pytest.raises(ApcoreError):
        _ = web.run(lookup_nodeinfo(A, policy=POLICY))
    assert len(web.asked()) == 1


@pytest.mark.hole(27, 48)
def test_hostile_page_contains_no_alternate():
    """Search pages of the published kind. `tests/http/test_alternates.py` shows that the work is linear."""
    url = parse_url(f"{A}/page")
    for piece in (
        '<a a="b',
        "<link" + " x" * 50,
        "<a" + ' a="b"' * 50,
        "<link rel=alternate " * 20,
        "<a " + "\t" * 100,
    ):
        body = (piece * (1024 * 1024 // len(piece))).encode()
        assert find_alternates(Response(200, {"Content-Type": "text/html"}, body), url) == ()


@pytest.mark.hole(38)
@pytest.mark.parametrize(
    "xml",
    [
        f'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><XRD xmlns="{XRD}"><Subject>&b;</Subject></XRD>',
        f'<!DOCTYPE x SYSTEM "file:///etc/passwd"><XRD xmlns="{XRD}"/>',
        f'<!DOCTYPE x [<!ENTITY % a SYSTEM "https://b.example/x">%a;]><XRD xmlns="{XRD}"/>',
        f'<XRD xmlns="{XRD}"><Subject>&a;</Subject></XRD>',
        "<a>" * 1000 + "</a>" * 1000,
        f'<XRD xmlns="{XRD}">' + "<Link/>" * 20_000 + "</XRD>",
    ],
    ids=["laughs", "external", "parameter", "undefined", "deep", "many"],
)
def test_hostile_xml_is_refused(xml):
    with pytest.raises((DocumentError, LimitExceeded)):
        _ = read_host_meta(xml.encode())


@pytest.mark.hole(45)
def test_handle_of_another_host_is_confirmed_by_that_host():
    ceo_webfinger = f"{B}/.well-known/webfinger?resource={quote('acct:ceo@b.example', safe='')}"
    false_answer = {
        "subject": "acct:ceo@b.example",
        "links": [{"rel": "self", "type": "application/activity+json", "href": f"{A}/users/x"}],
    }
    true_answer = false_answer | {
        "links": [{"rel": "self", "type": "application/activity+json", "href": f"{B}/users/ceo"}]
    }
    actor = note(
        id=f"{A}/users/x",
        type="Person",
        preferredUsername="x",
        inbox=f"{A}/i",
        outbox=f"{A}/o",
        webfinger="ceo@b.example",
    )
    pages = {
        ACCOUNT: document(false_answer, content_type="application/jrd+json"),
        ceo_webfinger: document(true_answer, content_type="application/jrd+json"),
        f"{A}/users/x": document(actor),
        f"{B}/users/ceo": document(actor | {"id": f"{B}/users/ceo", "preferredUsername": "ceo", "webfinger": None}),
    }
    # Host A claims that its user x is the ceo of B: B names its own ceo. The actor at A that claims it has no handle.
    assert ScriptedWeb(pages).run(lookup("@x@a.example", policy=POLICY)).document.id == f"{B}/users/ceo"
    account = ScriptedWeb(pages).run(lookup(f"{A}/users/x", policy=POLICY))
    assert (account.acct, type(account.doubt)) == (None, HandleMismatch)


@pytest.mark.hole(5, 59)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("x@a.example", "x@\u0430.example"),
        ("x@a.example", "x@a.example:8443"),
        ("x@a.example", "x@xn--a-.example"),
        ("x@a.example", "x@a.exampl\u0435"),
        ("x@stra\u00dfe.example", "x@strasse.example"),
        ("x@a.example", "\u0445@a.example"),
    ],
)
def test_similar_spellings_are_different_accounts(first, second):
    def read(text: str) -> Any:
        try:
            return parse_acct(text)
        except RequestError:
            return text

    assert read(first) != read(second)


@pytest.mark.hole(35)
@pytest.mark.parametrize("user", ["x&rel=admin", "x#", "x?y", "x/../y", "x%26y", "x y", "x\r\ny", "x@b.example"])
def test_user_name_of_a_peer_cannot_change_the_requested_url(user):
    web = ScriptedWeb()
    with pytest.raises(ApcoreError):
        _ = web.run(webfinger(f"acct:{user}@a.example", policy=POLICY))
    for url in web.asked():
        assert parse_url(url).origin.host == "a.example"
        assert url.count("?") + url.count("&") + url.count("#") == (1 if "webfinger" in url else 0)


@pytest.mark.hole(6)
def test_value_of_a_peer_cannot_add_a_header():
    for text in ('"x"\r\nX-Evil: 1', '"x"\nX-Evil: 1', '"x"\rX', '"x"\x00'):
        with pytest.raises(ValueError):
            _ = Response(200, {"ETag": text})
        with pytest.raises(RequestError):
            _ = Request.received("GET", f"{HERE}/x", [(b"etag", text.encode())], b"")
    web = ScriptedWeb({NOTE: document(note(), etag='"a"b\x80c"', cache_control="max-age=60")})
    _ = resolve_with_node(web)
    web.pass_s(3600)
    _ = resolve_with_node(web)
    assert all("\r" not in value and "\n" not in value for request in web.requests for _, value in request.headers)


# --- embedded objects -----------------------------------------------------------------------------------------------


@pytest.mark.hole(39, 21)
def test_collection_item_of_another_origin_is_fetched_from_there():
    forged = {"id": f"{B}/notes/1", "type": "Note", "content": "forged", "attributedTo": f"{B}/users/x"}
    collection = note(id=f"{A}/featured", type="OrderedCollection", orderedItems=[forged, note(content="own")])
    web = ScriptedWeb(
        {f"{A}/featured": document(collection), f"{B}/notes/1": document(note(id=f"{B}/notes/1", content="true"))}
    )
    traversal = web.run(traverse(f"{A}/featured", policy=POLICY))
    contents = [Note.over(web.run(resolve(item, policy=POLICY))).content for item in traversal.items]
    assert contents == ["true", "own"]
    assert web.asked() == [f"{A}/featured", f"{B}/notes/1"]


@pytest.mark.hole(43)
def test_endless_collections_and_contexts_are_stopped():
    pages = {f"{A}/list": document(note(id=f"{A}/list", type="OrderedCollection", first=f"{A}/p0"))}
    for number in range(500):
        page = note(id=f"{A}/p{number}", type="OrderedCollectionPage", next=f"{A}/p{number + 1}", orderedItems=[])
        pages[f"{A}/p{number}"] = document(page)
    web = ScriptedWeb(pages)
    assert web.run(traverse(f"{A}/list", policy=POLICY)).ended is not None
    assert len(web.asked()) <= 100
    contexts = [f"{B}/context/{number}" for number in range(60)]
    web = ScriptedWeb({NOTE: document(note() | {"@context": ["https://www.w3.org/ns/activitystreams", *contexts]})})
    fetching = FetchPolicy(unknown_contexts="fetch")
    _ = web.run(resolve(NOTE, policy=fetching))
    assert len(web.asked()) <= 1 + fetching.contexts_max


@pytest.mark.hole(22)
@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " javascript:x",
        "data:text/html,x",
        "vbscript:x",
        "file:///x",
        "\x01https://x",
        "blob:x",
        "//a.example",
        "x",
    ],
)
def test_url_property_must_be_an_http_url(url):
    for value in (url, [url], {"type": "Link", "href": url}, [{"type": "Link", "href": url}]):
        assert Object.over(read_document(note(url=value))).url is None
        image = {"type": "Image", "url": value}
        icon = Object.over(read_document(note(icon=image))).icon
        assert icon is not None
        assert icon.url is None
    assert Object.over(read_document(note(url=[url, f"{A}/@x/1"]))).url == f"{A}/@x/1"


@pytest.mark.hole(2)
def test_html_is_read_as_plain_text():
    """Read HTML as `str`: no type tells a template that it need not escape."""
    for content in ("<script>alert(1)</script>", "<p>x</p>"):
        parsed_note = Note.over(read_document(note(content=content, summary=content, name=content)))
        for text in (parsed_note.content, parsed_note.summary, parsed_note.name):
            assert type(text) is str
            assert not hasattr(text, "__html__")


# --- private content ------------------------------------------------------------------------------------------------


def serve(ground: Ground, uri: str, **headers: str) -> tuple[int, Any, bytes]:
    answer = ground.node.handle(Request("GET", uri, {"Accept": "application/activity+json", **headers}))
    assert not isinstance(answer, Elsewhere)
    return answer.status, answer.headers, answer.body


@pytest.mark.hole(16, 36)
def test_private_object_is_answered_like_a_missing_one():
    ground = Ground()
    private = ground.node.publish(Note(content="private"), by="alice", to=BOB)
    assert isinstance(private, str)
    assert serve(ground, private) == serve(ground, f"{private}0")
    assert serve(ground, private)[0] == 404
    assert private.encode() not in serve(ground, f"{ALICE}/outbox?page=true")[2]
    public = ground.node.publish(Note(content="public"), by="alice")
    assert serve(ground, public)[0] == 200


# --- expiry ---------------------------------------------------------------------------------------------------------


@pytest.mark.hole(31, 56)
def test_records_about_unreachable_hosts_expire():
    outgoing = Outgoing()
    ports = range(9000, 9008)
    for port in ports:
        inbox = f"https://x.example:{port}/inbox"
        outgoing.post.answers[inbox] = ConnectFailed("closed")
        outgoing.post.actors[f"https://x.example/users/{port}"] = {"inbox": inbox}
    _ = outgoing.node.send(Like(object=f"{B}/1"), by="alice", to=[f"https://x.example/users/{port}" for port in ports])
    outgoing.work()
    assert 0 < len(outgoing.facts("circuit")) <= len(ports)
    outgoing.pass_s(4 * DAY_S, step_s=3600)
    outgoing.pass_s(32 * DAY_S, step_s=8 * 3600)
    for kind in ("circuit", "out", "out-retry", "dead"):
        assert outgoing.facts(kind) == [], kind
    assert outgoing.waiting() == 0
