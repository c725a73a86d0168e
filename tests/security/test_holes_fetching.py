"""Published holes, tried on what we fetch and serve: documents that are not what they say, answers that lead astray, and what is shown to whom."""

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


def resolved(web: ScriptedWeb, uri: str = NOTE) -> Any:
    with Node(Federation(), store=web.store, transport=web, runtime=web.runtime) as node:
        return node.reference(uri).resolve()


def note(**members: Any) -> dict[str, Any]:
    return {"@context": "https://www.w3.org/ns/activitystreams", "id": NOTE, "type": "Note"} | members


# --- is it what it says ---------------------------------------------------------------------------------------------


@pytest.mark.hole(8, 58)
@pytest.mark.parametrize(
    "ident", [f"{B}/notes/1", f"{B}/users/x", "http://a.example/notes/1", f"{A}:8443/notes/1", None, "", 1, "x"]
)
def test_a_document_is_not_believed_about_another_origin(ident):
    web = ScriptedWeb({NOTE: document(note(id=ident)), f"{B}/notes/1": Response(404)})
    with pytest.raises(ApcoreError) as caught:
        _ = resolved(web)
    assert isinstance(caught.value, (WrongId, DocumentError, RequestError))
    assert web.asked() == [NOTE]
    # Nor is it later, from what is kept.
    with pytest.raises(ApcoreError):
        _ = resolved(web, f"{B}/notes/1")


@pytest.mark.hole(8, 21, 38)
def test_another_id_of_the_same_origin_is_asked_once():
    other = f"{A}/notes/2"
    web = ScriptedWeb({NOTE: document(note(id=other)), other: document(note(id=other, content="true"))})
    assert Note.over(resolved(web)).content == "true"
    assert web.asked() == [NOTE, other]
    web = ScriptedWeb({NOTE: document(note(id=other)), other: document(note(id=f"{A}/notes/3"))})
    with pytest.raises(WrongId):
        _ = resolved(web)
    assert web.asked() == [NOTE, other]


@pytest.mark.hole(21, 38)
def test_the_address_in_the_end_decides_and_the_address_for_people_does_not():
    """`url` may be on another host, as that of Threads is; the id may not."""
    web = ScriptedWeb({NOTE: document(note(url=f"{B}/@x/1"))})
    assert Object.over(resolved(web)).url == f"{B}/@x/1"
    # Led elsewhere by a redirect, which then speaks for where it was asked.
    web = ScriptedWeb({NOTE: redirect(f"{B}/upload"), f"{B}/upload": document(note())})
    with pytest.raises(WrongId):
        _ = resolved(web)


CONTENT_TYPES = [
    *("text/plain", "text/html", "image/png", "application/json", "application/octet-stream", "", "x", "*/*"),
    *('application/ld+json; profile="https://example.com/"', "application/activity+json, text/plain", "application/activity+jsonx"),
    *("multipart/form-data; boundary=application/activity+json", "text/plain; x=application/activity+json", "application/xml"),
]  # fmt: skip


@pytest.mark.hole(11, 38)
@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_what_users_can_upload_is_not_believed(content_type):
    web = ScriptedWeb({NOTE: document(note(), content_type=content_type)})
    with pytest.raises((WrongMediaType, RequestError)):
        _ = resolved(web)
    web.pages[NOTE] = document(note())
    assert resolved(web).id == NOTE


@pytest.mark.hole(11, 38)
def test_json_ld_that_users_can_upload_is_not_believed_unless_it_says_activitypub():
    upload = {"id": NOTE, "type": "Note", "content": "uploaded"}
    with pytest.raises(WrongMediaType):
        _ = resolved(ScriptedWeb({NOTE: document(upload, content_type="application/ld+json")}))


@pytest.mark.hole(33, 57, 58)
@pytest.mark.parametrize("served", ["other-id", "other-origin", "no-id", "claim"])
def test_a_key_document_is_the_one_that_was_asked_for(served):
    key_id, owner = f"{A}/key", f"{B}/users/victim"
    pem = Ground().bob.key.public.pem
    key: dict[str, Any] = {"id": key_id, "owner": owner, "publicKeyPem": pem}
    match served:
        case "other-id":
            key["id"] = f"{A}/key2"
        case "other-origin":
            key["id"] = f"{owner}#main-key"
        case "no-id":
            del key["id"]
    # With another id, it is refused even if the owner has a key of the id that was asked for.
    listed = [] if served == "claim" else [key_id]
    victim = {"id": owner, "type": "Person", "inbox": f"{owner}/i", "outbox": f"{owner}/o", "publicKey": [{"id": f"{owner}#main-key", "owner": owner, "publicKeyPem": pem}, *listed]}  # fmt: skip
    web = ScriptedWeb({key_id: document(key), owner: document(victim)})
    for _ in range(3):
        with pytest.raises(ApcoreError) as caught:
            _ = web.run(remote_key(key_id, policy=POLICY))
        assert caught.value.reason in {KeyNotOwned.reason, "key-refused"}
    # What was refused was not kept under the name that was asked for, nor under the one that it gives itself.
    for kept in web.store.scan(("key",), limit=100):
        assert b"owner" not in kept.value.partition(b"\n")[0] or owner.encode() not in kept.value
    assert web.asked().count(key_id) == 1


# --- where it leads -------------------------------------------------------------------------------------------------

ACCOUNT = f"{A}/.well-known/webfinger?resource={quote('acct:x@a.example', safe='')}"


def asks(web: ScriptedWeb) -> dict[str, Callable[[], Any]]:
    return {
        NOTE: lambda: resolved(web),
        ACCOUNT: lambda: web.run(webfinger("acct:x@a.example", policy=POLICY)),
        f"{A}/.well-known/nodeinfo": lambda: web.run(lookup_nodeinfo(A, policy=POLICY)),
        f"{A}/key": lambda: web.run(remote_key(f"{A}/key", policy=POLICY)),
        f"{A}/list": lambda: web.run(traverse(f"{A}/list", policy=POLICY)),
    }


@pytest.mark.hole(25, 28, 46, 49)
@pytest.mark.parametrize("start", asks(ScriptedWeb()))
def test_redirects_end(start):
    for step in (lambda n: start, lambda n: f"{A}/{n % 2}", lambda n: f"{A}/{n}", lambda n: f"https://{n}.example/", lambda n: f"{A}/?{n}"):  # fmt: skip
        web = ScriptedWeb()
        web.pages = _Endless(step)
        with pytest.raises(LimitExceeded):
            _ = asks(web)[start]()
        assert len(web.asked()) <= POLICY.redirects_max + 1


class _Endless(dict[str, Any]):
    """A web in which every page leads to another."""

    def __init__(self, step: Callable[[int], str]) -> None:
        super().__init__()
        self._step = step
        self._count = 0

    def get(self, key: Any, default: Any = None) -> Any:
        self._count += 1
        assert self._count < 100, "it does not end"
        return redirect(self._step(self._count))


@pytest.mark.hole(25, 30, 32, 46, 54, 55)
@pytest.mark.parametrize("start", asks(ScriptedWeb()))
@pytest.mark.parametrize("to", ["file:///etc/passwd", "data:application/json,{}", "ftp://b.example/", "http://a.example/x", "https://127.0.0.1/", "https://[::ffff:7f00:1]/", "https://localhost/", "https://169.254.169.254/latest/"])  # fmt: skip
def test_redirects_lead_nowhere_else(start, to):
    web = ScriptedWeb({start: redirect(to)})
    with pytest.raises(ApcoreError) as caught:
        _ = asks(web)[start]()
    assert not isinstance(caught.value, ConnectFailed)
    assert web.asked() == [start]


@pytest.mark.hole(30, 54)
@pytest.mark.parametrize("href", ["data:application/json,{}", "https://127.0.0.1/", "https://b.example/nodeinfo", "file:///x", "http://a.example/nodeinfo", "", None, 1])  # fmt: skip
def test_nodeinfo_is_where_the_server_is(href):
    links = {"links": [{"rel": "http://nodeinfo.diaspora.software/ns/schema/2.1", "href": href}]}
    web = ScriptedWeb({f"{A}/.well-known/nodeinfo": document(links, content_type="application/json")})
    with pytest.raises(ApcoreError):
        _ = web.run(lookup_nodeinfo(A, policy=POLICY))
    assert len(web.asked()) == 1


@pytest.mark.hole(27, 48)
def test_a_hostile_page_costs_its_length():
    """Counted in `tests/http/test_alternates.py`; here, that no page of the published kind leads anywhere."""
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
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0"><Subject>&b;</Subject></XRD>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd"><XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0"/>',
        '<!DOCTYPE x [<!ENTITY % a SYSTEM "https://b.example/x">%a;]><XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0"/>',
        '<XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0"><Subject>&a;</Subject></XRD>',
        "<a>" * 1000 + "</a>" * 1000,
        '<XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0">' + "<Link/>" * 20_000 + "</XRD>",
    ],
    ids=["laughs", "external", "parameter", "undefined", "deep", "many"],
)
def test_xml_defines_nothing_and_asks_nobody(xml):
    with pytest.raises((DocumentError, LimitExceeded)):
        _ = read_host_meta(xml.encode())


@pytest.mark.hole(45)
def test_a_host_names_no_handle_of_another_and_no_actor_its_own_handle_elsewhere():
    ceo = f"{B}/.well-known/webfinger?resource={quote('acct:ceo@b.example', safe='')}"
    mine = {"subject": "acct:ceo@b.example", "links": [{"rel": "self", "type": "application/activity+json", "href": f"{A}/users/x"}]}  # fmt: skip
    theirs = mine | {"links": [{"rel": "self", "type": "application/activity+json", "href": f"{B}/users/ceo"}]}
    actor = note(
        id=f"{A}/users/x",
        type="Person",
        preferredUsername="x",
        inbox=f"{A}/i",
        outbox=f"{A}/o",
        webfinger="ceo@b.example",
    )
    pages = {
        ACCOUNT: document(mine, content_type="application/jrd+json"),
        ceo: document(theirs, content_type="application/jrd+json"),
        f"{A}/users/x": document(actor),
        f"{B}/users/ceo": document(actor | {"id": f"{B}/users/ceo", "preferredUsername": "ceo", "webfinger": None}),
    }
    # A's host says that its x is Ceo of B: asked, B says who that is. And the actor at A that says so has no handle at all.
    assert ScriptedWeb(pages).run(lookup("@x@a.example", policy=POLICY)).document.id == f"{B}/users/ceo"
    found = ScriptedWeb(pages).run(lookup(f"{A}/users/x", policy=POLICY))
    assert (found.acct, type(found.doubt)) == (None, HandleMismatch)


@pytest.mark.hole(5, 59)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x@a.example", "x@\u0430.example"),
        ("x@a.example", "x@a.example:8443"),
        ("x@a.example", "x@xn--a-.example"),
        ("x@a.example", "x@a.exampl\u0435"),
        ("x@stra\u00dfe.example", "x@strasse.example"),
        ("x@a.example", "\u0445@a.example"),
    ],
)
def test_no_spelling_of_one_authority_is_another(one, other):
    def read(text: str) -> Any:
        try:
            return parse_acct(text)
        except RequestError:
            return text

    assert read(one) != read(other)


@pytest.mark.hole(35)
@pytest.mark.parametrize("user", ["x&rel=admin", "x#", "x?y", "x/../y", "x%26y", "x y", "x\r\ny", "x@b.example"])
def test_nothing_that_others_write_becomes_part_of_an_address(user):
    web = ScriptedWeb()
    with pytest.raises(ApcoreError):
        _ = web.run(webfinger(f"acct:{user}@a.example", policy=POLICY))
    for url in web.asked():
        assert parse_url(url).origin.host == "a.example"
        assert url.count("?") + url.count("&") + url.count("#") == (1 if "webfinger" in url else 0)


@pytest.mark.hole(6)
def test_nothing_that_others_say_becomes_a_header_of_its_own():
    for text in ('"x"\r\nX-Evil: 1', '"x"\nX-Evil: 1', '"x"\rX', '"x"\x00'):
        with pytest.raises(ValueError):
            _ = Response(200, {"ETag": text})
        with pytest.raises(RequestError):
            _ = Request.received("GET", f"{HERE}/x", [(b"etag", text.encode())], b"")
    web = ScriptedWeb({NOTE: document(note(), etag='"a"b\x80c"', cache_control="max-age=60")})
    _ = resolved(web)
    web.pass_s(3600)
    _ = resolved(web)
    assert all("\r" not in value and "\n" not in value for request in web.requests for _, value in request.headers)


# --- what came inside -----------------------------------------------------------------------------------------------


@pytest.mark.hole(39, 21)
def test_items_of_another_origin_are_asked_of_it():
    forged = {"id": f"{B}/notes/1", "type": "Note", "content": "forged", "attributedTo": f"{B}/users/x"}
    listed = note(id=f"{A}/featured", type="OrderedCollection", orderedItems=[forged, note(content="own")])
    web = ScriptedWeb(
        {f"{A}/featured": document(listed), f"{B}/notes/1": document(note(id=f"{B}/notes/1", content="true"))}
    )
    read = web.run(traverse(f"{A}/featured", policy=POLICY))
    contents = [Note.over(web.run(resolve(item, policy=POLICY))).content for item in read.items]
    assert contents == ["true", "own"]
    assert web.asked() == [f"{A}/featured", f"{B}/notes/1"]


@pytest.mark.hole(43)
def test_collections_and_contexts_end():
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
@pytest.mark.parametrize("url", ["javascript:alert(1)", "JavaScript:alert(1)", " javascript:x", "data:text/html,x", "vbscript:x", "file:///x", "\x01https://x", "blob:x", "//a.example", "x"])  # fmt: skip
def test_an_address_for_people_to_follow_is_one_of_the_web(url):
    for value in (url, [url], {"type": "Link", "href": url}, [{"type": "Link", "href": url}]):
        assert Object.over(read_document(note(url=value))).url is None
        image = {"type": "Image", "url": value}
        icon = Object.over(read_document(note(icon=image))).icon
        assert icon is not None
        assert icon.url is None
    assert Object.over(read_document(note(url=[url, f"{A}/@x/1"]))).url == f"{A}/@x/1"


@pytest.mark.hole(2)
def test_html_is_text_here():
    """No type of ours tells a template that it need not escape."""
    for content in ("<script>alert(1)</script>", "<p>x</p>"):
        read = Note.over(read_document(note(content=content, summary=content, name=content)))
        for text in (read.content, read.summary, read.name):
            assert type(text) is str
            assert not hasattr(text, "__html__")


# --- what is shown --------------------------------------------------------------------------------------------------


def got(ground: Ground, uri: str, **headers: str) -> tuple[int, Any, bytes]:
    answer = ground.node.handle(Request("GET", uri, {"Accept": "application/activity+json", **headers}))
    assert not isinstance(answer, Elsewhere)
    return answer.status, answer.headers, answer.body


@pytest.mark.hole(16, 36)
def test_what_is_private_is_as_if_it_were_not_there():
    ground = Ground()
    private = ground.node.publish(Note(content="private"), by="alice", to=BOB)
    assert isinstance(private, str)
    assert got(ground, private) == got(ground, f"{private}0")
    assert got(ground, private)[0] == 404
    assert private.encode() not in got(ground, f"{ALICE}/outbox?page=true")[2]
    public = ground.node.publish(Note(content="public"), by="alice")
    assert got(ground, public)[0] == 200


# --- what is kept ---------------------------------------------------------------------------------------------------


@pytest.mark.hole(31, 56)
def test_what_strangers_make_us_keep_about_their_hosts_ends():
    out = Outgoing()
    ports = range(9000, 9008)
    for port in ports:
        inbox = f"https://x.example:{port}/inbox"
        out.post.answers[inbox] = ConnectFailed("closed")
        out.post.actors[f"https://x.example/users/{port}"] = {"inbox": inbox}
    _ = out.node.send(Like(object=f"{B}/1"), by="alice", to=[f"https://x.example/users/{port}" for port in ports])
    out.work()
    assert 0 < len(out.facts("circuit")) <= len(ports)
    out.pass_s(4 * DAY_S, step_s=3600)
    out.pass_s(32 * DAY_S, step_s=8 * 3600)
    for kind in ("circuit", "out", "out-retry", "dead"):
        assert out.facts(kind) == [], kind
    assert out.waiting() == 0
