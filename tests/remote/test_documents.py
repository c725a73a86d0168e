"""Documents from their authoritative source: whom to believe, and for how long."""

from __future__ import annotations

import json

import pytest
from attrs import evolve

from apcore.errors import DocumentError, FetchFailed, FetchTimedOut, LimitExceeded, StoreUnavailable
from apcore.http import ACTIVITY_JSON, LD_JSON, Request, Response
from apcore.remote import (
    FetchPolicy,
    Forbidden,
    Gone,
    Identity,
    NotFound,
    PeerFailing,
    Rejected,
    WrongId,
    WrongMediaType,
    load,
    load_unverified,
)
from scripted_web import NOON, ScriptedWeb, document, redirect
from vector_files import VECTORS, load_json, needs_vectors

A, B = "https://a.example", "https://b.example"
NOTE = f"{A}/notes/1"
POLICY = FetchPolicy()
ME = Identity(key_name="instance", key_id="https://me.example/actor#main-key")
OTHER = Identity(key_name="alice", key_id="https://me.example/alice#main-key")


def note(ident: str | None = NOTE, content: str = "hi", **headers: str) -> Response:
    members = {"type": "Note", "content": content} | ({} if ident is None else {"id": ident})
    return document(members, **headers)


def loaded(web: ScriptedWeb, uri: str = NOTE, **more):
    return web.run(load(uri, **({"policy": POLICY} | more)))


def content(web: ScriptedWeb, uri: str = NOTE, **more) -> str:
    return loaded(web, uri, **more).document.tree["content"]


# --- whom to believe ------------------------------------------------------------------------------------------------


def test_a_document_is_believed_at_its_id():
    web = ScriptedWeb({NOTE: note()})
    found = loaded(web)
    assert (found.document.id, str(found.url), found.fetched) == (NOTE, NOTE, NOON)
    assert str(found.document.origin) == A
    assert web.asked() == [NOTE]


@pytest.mark.parametrize(
    ("pages", "asked", "ident"),
    [
        pytest.param({NOTE: redirect(f"{B}/1"), f"{B}/1": note(f"{B}/1")}, [NOTE, f"{B}/1"], f"{B}/1", id="led-to-another-origin"),
        pytest.param({NOTE: redirect("/x"), f"{A}/x": note(NOTE)}, [NOTE, f"{A}/x"], NOTE, id="led-away-and-back-in-name"),
        pytest.param({NOTE: note(f"{A}/x"), f"{A}/x": note(f"{A}/x")}, [NOTE, f"{A}/x"], f"{A}/x", id="an-alias"),
        pytest.param({NOTE: note("HTTPS://A.example:443/notes/1")}, [NOTE], "HTTPS://A.example:443/notes/1", id="spelling"),
        pytest.param(
            {NOTE: redirect(f"{B}/1"), f"{B}/1": note(f"{B}/2"), f"{B}/2": note(f"{B}/2")},
            [NOTE, f"{B}/1", f"{B}/2"],
            f"{B}/2",
            id="an-alias-elsewhere",
        ),
    ],
)  # fmt: skip
def test_believed(pages, asked, ident):
    web = ScriptedWeb(pages)
    assert loaded(web).document.id == ident
    assert web.asked() == asked


@pytest.mark.parametrize(
    ("pages", "asked_max"),
    [
        pytest.param({NOTE: note(f"{B}/1"), f"{B}/1": note(f"{B}/1")}, 1, id="speaks-for-another-origin"),
        pytest.param({NOTE: note("https://a.example.evil/1")}, 1, id="longer-host"),
        pytest.param({NOTE: note("http://a.example/notes/1")}, 1, id="another-scheme"),
        pytest.param({NOTE: note("https://a.example:8443/notes/1")}, 1, id="another-port"),
        pytest.param({NOTE: note("https://sub.a.example/notes/1")}, 1, id="subdomain"),
        pytest.param({NOTE: redirect(f"{B}/x"), f"{B}/x": note(NOTE)}, 2, id="another-origin-in-the-name-of-the-first"),
        pytest.param({NOTE: note(f"{A}/x"), f"{A}/x": note(NOTE)}, 2, id="an-alias-of-an-alias"),
        pytest.param({NOTE: note(f"{A}/x"), f"{A}/x": note(f"{A}/y"), f"{A}/y": note(f"{A}/y")}, 2, id="a-chain-of-aliases"),
        pytest.param({NOTE: note(f"{A}/x"), f"{A}/x": redirect(f"{B}/x"), f"{B}/x": note(f"{A}/x")}, 3, id="an-alias-led-away"),
        pytest.param({NOTE: note(None)}, 1, id="no-id"),
        pytest.param({NOTE: note("")}, 1, id="empty-id"),
        pytest.param({NOTE: note("/notes/1")}, 1, id="relative-id"),
        pytest.param({NOTE: note("urn:uuid:1")}, 1, id="another-kind-of-id"),
        pytest.param({NOTE: note("https://u@a.example/notes/1")}, 1, id="userinfo"),
        pytest.param({NOTE: note("https://a.example\\@b.example/")}, 1, id="backslash"),
        pytest.param({NOTE: document({"id": [NOTE], "type": "Note"})}, 1, id="id-in-an-array"),
        pytest.param({NOTE: document({"id": {"id": NOTE}, "type": "Note"})}, 1, id="id-in-an-object"),
        pytest.param({NOTE: document({"id": 1, "type": "Note"})}, 1, id="id-a-number"),
    ],
)  # fmt: skip
def test_refused(pages, asked_max):
    """Nobody speaks for another origin, nor for another of its own documents (as CVE-2024-23832)."""
    web = ScriptedWeb(pages)
    with pytest.raises(WrongId):
        _ = loaded(web)
    assert len(web.asked()) == asked_max
    with pytest.raises(WrongId):  # and nothing of it was kept
        _ = loaded(web)
    assert web.asked()


def test_the_refused_name_is_not_believed_later_either():
    web = ScriptedWeb({f"{B}/x": note(NOTE, content="a lie"), NOTE: note(content="true")})
    with pytest.raises(WrongId):
        _ = loaded(web, f"{B}/x")
    assert content(web) == "true"


def test_a_part_of_a_document_is_not_the_document():
    web = ScriptedWeb({NOTE: note()})
    with pytest.raises(WrongId, match="names a part"):
        _ = loaded(web, f"{NOTE}#part")
    assert web.asked() == [NOTE]


def test_a_document_whose_id_has_a_fragment_is_believed_where_it_is():
    web = ScriptedWeb({NOTE: note(f"{NOTE}#it")})
    assert loaded(web, f"{NOTE}#it").document.id == f"{NOTE}#it"


# --- media types ----------------------------------------------------------------------------------------------------

TYPES = (load_json("identifiers/content-types.json") or {"cases": []})["cases"]


@needs_vectors
@pytest.mark.parametrize("case", TYPES, ids=[case["contentType"] or "none" for case in TYPES])
def test_media_types_of_the_vectors(case):
    web = ScriptedWeb({NOTE: document(json.loads(note().body), content_type=case["contentType"])})
    if case["accept"]:
        assert loaded(web).document.id == NOTE
    else:
        with pytest.raises(WrongMediaType):
            _ = loaded(web)


@needs_vectors
def test_the_vectors_of_media_types_are_all_there():
    assert len(TYPES) == 8


def test_without_a_media_type_nothing_is_believed():
    """What anyone could have uploaded is not its server's word (as CVE-2024-25623)."""
    web = ScriptedWeb({NOTE: Response(200, {}, note().body)})
    with pytest.raises(WrongMediaType, match="no media type"):
        _ = loaded(web)


def test_the_alias_needs_a_media_type_as_well():
    web = ScriptedWeb({NOTE: note(f"{A}/x"), f"{A}/x": document({"id": f"{A}/x"}, content_type="text/plain")})
    with pytest.raises(WrongMediaType):
        _ = loaded(web)


def test_two_media_types_are_none():
    web = ScriptedWeb(
        {NOTE: Response(200, [("Content-Type", ACTIVITY_JSON), ("Content-Type", "text/html")], note().body)}
    )
    with pytest.raises(WrongMediaType):
        _ = loaded(web)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", DocumentError),
        (b"[]", DocumentError),
        (b"<html>", DocumentError),
        (b'{"id": "https://a.example/notes/1", "id": "https://b.example/"}', DocumentError),
        (b'{"id": NaN}', DocumentError),
        (b"\xff\xfe{\x00}\x00", DocumentError),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, LimitExceeded),
    ],
    ids=["nothing", "array", "html", "twice", "nan", "utf-16", "deep"],
)  # fmt: skip
def test_what_is_no_document(body, error):
    web = ScriptedWeb({NOTE: Response(200, {"Content-Type": LD_JSON}, body)})
    with pytest.raises(error):
        _ = loaded(web)


AS2 = "https://www.w3.org/ns/activitystreams"
SAYS_ACTIVITYPUB = {
    "the usual context": {"@context": AS2, "type": "Note"},
    "another spelling among others": {
        "@context": ["https://w3id.org/security/v1", "http://www.w3.org/ns/activitystreams#"]
    },
    "a type that is not known": {"@context": AS2, "type": "Whatever"},
    "a known type by its IRI": {"@context": {"@version": 1.1}, "type": f"{AS2}#Note"},
    "a known type by a vocabulary": {"@context": {"@vocab": f"{AS2}#", "id": "@id", "type": "@type"}, "type": "Note"},
}
SAYS_NOTHING_OF_IT = {
    "no context": {"type": "Note"},
    "another vocabulary": {"@context": "https://schema.org", "type": "Recipe"},
    "a word of ours that means something else": {
        "@context": {"id": "@id", "type": "@type", "Note": "https://x.example/Note"},
        "type": "Note",
    },
    "nothing": {"@context": {}},
}


@pytest.mark.parametrize("media_type", ["application/ld+json", "application/ld+json; charset=utf-8"])
@pytest.mark.parametrize("members", SAYS_ACTIVITYPUB.values(), ids=SAYS_ACTIVITYPUB)
def test_json_ld_without_profile_is_read_if_it_says_activitypub(members, media_type):
    answer = Response(200, {"Content-Type": media_type}, json.dumps({"id": NOTE, **members}).encode())
    assert loaded(ScriptedWeb({NOTE: answer})).document.id == NOTE


@pytest.mark.parametrize("members", SAYS_NOTHING_OF_IT.values(), ids=SAYS_NOTHING_OF_IT)
def test_json_ld_without_profile_is_refused_if_it_does_not_say_activitypub(members):
    body = json.dumps({"id": NOTE, **members}).encode()
    for load_it in (load, load_unverified):
        web = ScriptedWeb({NOTE: Response(200, {"Content-Type": "application/ld+json"}, body)})
        with pytest.raises(WrongMediaType, match="says ActivityPub"):
            _ = web.run(load_it(NOTE, policy=POLICY))


@pytest.mark.parametrize(
    "media_type",
    [
        "text/html",
        "text/plain",
        "application/json",
        "image/png",
        'application/ld+json; profile="https://x.example/"',
        "application/ld+json, application/activity+json",
        None,
    ],
)
def test_other_media_types_are_refused_whatever_the_document_says(media_type):
    body = json.dumps({"id": NOTE, "@context": AS2, "type": "Note"}).encode()
    web = ScriptedWeb({NOTE: Response(200, {"Content-Type": media_type} if media_type else {}, body)})
    with pytest.raises(WrongMediaType):
        _ = loaded(web)


def test_json_ld_without_profile_of_another_origin_is_refused():
    body = json.dumps({"id": f"{B}/1", "@context": AS2, "type": "Note"}).encode()
    with pytest.raises(WrongId):
        _ = loaded(ScriptedWeb({NOTE: Response(200, {"Content-Type": "application/ld+json"}, body)}))


# --- what else may be answered --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Response(404), NotFound),
        (Response(410), Gone),
        (Response(401), Forbidden),
        (Response(403), Forbidden),
        (Response(400), Rejected),
        (Response(304), Rejected),
        (Response(500), PeerFailing),
        (FetchTimedOut("30 s are over"), FetchFailed),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Response) else getattr(value, "__name__", "timeout"),
)
@pytest.mark.parametrize("kept", [False, True], ids=["unknown", "kept"])
def test_answers_are_typed(answer, error, kept):
    web = ScriptedWeb({NOTE: note()})
    if kept:
        _ = loaded(web)
        web.pass_s(POLICY.document_ttl_s)
    web.pages[NOTE] = Response(400) if kept and isinstance(answer, Response) and answer.status == 304 else answer
    with pytest.raises(error):
        _ = loaded(web)


def test_what_is_fresh_outlives_an_outage():
    web = ScriptedWeb({NOTE: note()})
    _ = loaded(web)
    web.pages[NOTE] = Response(503)
    assert content(web) == "hi"


def test_gone_is_not_for_a_third_party_to_say():
    web = ScriptedWeb({NOTE: redirect(f"{B}/x"), f"{B}/x": Response(410)})
    with pytest.raises(NotFound):
        _ = loaded(web)


def test_what_is_gone_is_forgotten():
    web = ScriptedWeb({NOTE: note(Cache_Control="max-age=86400")})
    _ = loaded(web)
    web.pages[NOTE] = Response(410)
    for fresh in (True, False):  # asked anew, and then as usual
        with pytest.raises(Gone):
            _ = loaded(web, fresh=fresh)


# --- for how long ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "fresh_s"),
    [
        ({}, POLICY.document_ttl_s),
        ({"Cache_Control": "max-age=180"}, 180),
        ({"Cache_Control": "max-age=180", "Age": "100"}, 80),
        ({"Cache_Control": "max-age=1"}, POLICY.document_ttl_s_min),
        ({"Cache_Control": "max-age=0, private, must-revalidate"}, POLICY.document_ttl_s_min),
        ({"Cache_Control": "max-age=31536000"}, POLICY.document_ttl_s_max),
        ({"Cache_Control": "no-cache"}, POLICY.document_ttl_s_min),
    ],
    ids=["default", "said", "aged", "short", "zero", "long", "no-cache"],
)
def test_how_long_it_is_fresh(headers, fresh_s):
    web = ScriptedWeb({NOTE: note(**headers)})
    _ = loaded(web)
    web.pages[NOTE] = note(content="changed")
    web.pass_s(fresh_s - 1)
    assert content(web) == "hi"
    assert loaded(web).fetched == NOON
    web.pass_s(1)
    assert content(web) == "changed"


def test_fresh_asks_the_origin_whatever_is_kept():
    web = ScriptedWeb({NOTE: note()})
    _ = loaded(web)
    web.pages[NOTE] = note(content="changed")
    assert content(web) == "hi"
    assert content(web, fresh=True) == "changed"
    assert content(web) == "changed"


def conditional(body: Response, **headers: str):
    """A page that knows what a conditional request is."""

    def answer(request: Request) -> Response:
        etag, modified = request.headers.get("if-none-match"), request.headers.get("if-modified-since")
        if etag is not None or modified is not None:
            same = (
                etag == body.headers.get("etag") if etag is not None else modified == body.headers.get("last-modified")
            )
            if same:
                return Response(304, {name.replace("_", "-"): value for name, value in headers.items()})
        return body

    return answer


@pytest.mark.parametrize(
    ("validators", "sent"),
    [
        ({"ETag": '"v1"'}, ("if-none-match", '"v1"')),
        ({"ETag": 'W/"v1"'}, ("if-none-match", 'W/"v1"')),
        ({"Last_Modified": "Thu, 01 Jan 2026 10:00:00 GMT"}, ("if-modified-since", "Thu, 01 Jan 2026 10:00:00 GMT")),
        ({"ETag": '"v1"', "Last_Modified": "Thu, 01 Jan 2026 10:00:00 GMT"}, ("if-none-match", '"v1"')),
    ],
    ids=["etag", "weak-etag", "date", "both"],
)
def test_a_stale_document_is_asked_about_conditionally(validators, sent):
    web = ScriptedWeb({NOTE: conditional(note(**validators))})
    _ = loaded(web)
    for _round in range(2):  # a 304 without validators keeps those we have
        web.pass_s(POLICY.document_ttl_s)
        web.requests.clear()
        found = loaded(web)
        assert found.fetched == web.runtime.moment
        assert found.document.tree["content"] == "hi"
        assert [request.headers.get(sent[0]) for request in web.requests] == [sent[1]]
    web.asked()
    _ = loaded(web)
    assert web.asked() == []  # the 304 made it fresh again


def test_a_304_says_how_long_it_counts_and_by_which_tag():
    web = ScriptedWeb({NOTE: conditional(note(ETag='"v1"'), Cache_Control="max-age=7200", ETag='"v1"')})
    _ = loaded(web)
    web.pass_s(POLICY.document_ttl_s)
    _ = loaded(web)
    web.asked()
    web.pass_s(7199)
    _ = loaded(web)
    assert web.asked() == []


def test_what_changed_replaces_what_was_kept():
    web = ScriptedWeb({NOTE: conditional(note(ETag='"v1"'))})
    _ = loaded(web)
    web.pages[NOTE] = conditional(note(content="changed", ETag='"v2"'))
    web.pass_s(POLICY.document_ttl_s)
    assert content(web) == "changed"


def test_only_who_gave_the_document_can_say_that_it_has_not_changed():
    web = ScriptedWeb({NOTE: note(ETag='"v1"')})
    _ = loaded(web)
    web.pass_s(POLICY.document_ttl_s)
    web.pages |= {NOTE: redirect(f"{B}/x"), f"{B}/x": Response(304, {"Cache-Control": "max-age=86400"})}
    with pytest.raises(Rejected):
        _ = loaded(web)
    web.pages[NOTE] = note(content="true")
    assert content(web) == "true"


def test_a_304_where_we_were_led_before_counts():
    web = ScriptedWeb({NOTE: redirect("/x"), f"{A}/x": conditional(note(ETag='"v1"'))})
    _ = loaded(web)
    web.pass_s(POLICY.document_ttl_s)
    assert content(web) == "hi"
    assert str(loaded(web).url) == f"{A}/x"


def test_what_may_not_be_stored_is_not_and_replaces_what_was():
    web = ScriptedWeb({NOTE: note(content="old", Cache_Control="max-age=86400")})
    _ = loaded(web)
    web.pages[NOTE] = note(content="new", Cache_Control="no-store")
    assert content(web, fresh=True) == "new"
    web.pages[NOTE] = Response(503)
    with pytest.raises(PeerFailing):
        _ = loaded(web)


def test_a_stale_document_is_kept_for_asking_and_not_for_ever():
    web = ScriptedWeb({NOTE: note(ETag='"v1"')})
    _ = loaded(web)
    web.pass_s(POLICY.document_ttl_s + POLICY.document_kept_s - 1)
    web.asked()
    _ = loaded(web, fresh=True)
    web.pass_s(POLICY.document_ttl_s + POLICY.document_kept_s + 1)
    _ = loaded(web)
    assert ["if-none-match" in request.headers for request in web.requests] == [True, False]


def test_an_alias_is_asked_about_each_time_and_its_document_kept_under_its_id():
    web = ScriptedWeb({f"{A}/@1": redirect("/notes/1"), NOTE: note()})
    _ = loaded(web, f"{A}/@1")
    web.asked()
    _ = loaded(web)
    assert web.asked() == []
    _ = loaded(web, f"{A}/@1")
    assert web.asked() == [f"{A}/@1", NOTE]


def test_an_entry_of_another_document_under_the_same_digest_is_none(monkeypatch):
    """The full address is compared: the store's key is only its digest."""
    web = ScriptedWeb({NOTE: note(), f"{A}/2": note(f"{A}/2", content="another")})
    monkeypatch.setattr("apcore.remote.documents.digest_part", lambda _text: "same")
    assert [content(web), content(web, f"{A}/2"), content(web)] == ["hi", "another", "hi"]


# --- for whom -------------------------------------------------------------------------------------------------------


def test_what_one_was_shown_is_not_for_the_next():
    web = ScriptedWeb()
    secrets = {
        None: Response(401),
        ME.key_id: note(content="for the instance"),
        OTHER.key_id: note(content="for alice"),
    }

    def answer(request: Request) -> Response:
        signature = request.headers.get("signature") or ""
        return next((page for key_id, page in secrets.items() if key_id and f'"{key_id}"' in signature), secrets[None])

    web.pages[NOTE] = answer
    assert content(web, identity=ME) == "for the instance"
    assert content(web, identity=OTHER) == "for alice"
    with pytest.raises(Forbidden):
        _ = loaded(web)
    assert len(web.asked()) == 3
    assert content(web, identity=ME) == "for the instance"
    assert web.asked() == []


# --- the store ------------------------------------------------------------------------------------------------------


class Unwritable:
    """A store that can be read and not written."""

    def __init__(self, web: ScriptedWeb) -> None:
        self._store = web.store

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    def commit(self, *_args, **_more):
        raise StoreUnavailable("the disk is full")


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail():
    web = ScriptedWeb({NOTE: note()})
    web.store = Unwritable(web)
    assert content(web) == "hi"
    assert content(web) == "hi"
    assert web.asked() == [NOTE, NOTE]


# --- unbelieved -----------------------------------------------------------------------------------------------------


def test_unbelieved_takes_whatever_id_and_keeps_nothing():
    web = ScriptedWeb({NOTE: note(f"{B}/1")})
    for _round in range(2):
        assert web.run(load_unverified(NOTE, policy=POLICY)).document.id == f"{B}/1"
    assert web.asked() == [NOTE, NOTE]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Response(404), NotFound),
        (Response(410), Gone),
        (Response(503), PeerFailing),
        (Response(200, {"Content-Type": "text/html"}), WrongMediaType),
        (Response(200, {"Content-Type": LD_JSON}, b"[]"), DocumentError),
        (redirect(f"{B}/gone"), NotFound),
    ],
    ids=["404", "410", "503", "html", "array", "gone-elsewhere"],
)
def test_unbelieved_takes_nothing_but_documents(answer, error):
    web = ScriptedWeb({NOTE: answer, f"{B}/gone": Response(410)})
    with pytest.raises(error):
        _ = web.run(load_unverified(NOTE, policy=POLICY))


# --- answers as servers sent them -----------------------------------------------------------------------------------

RESPONSES = sorted((VECTORS / "http-responses").glob("*.http")) if VECTORS.is_dir() else []


def as_sent(path) -> Response:
    head, _, body = path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    status, *lines = head.decode("latin-1").split("\n")
    pairs = [line.partition(":")[::2] for line in lines]
    return Response(int(status.split()[1]), [(name, value.strip()) for name, value in pairs], body)


@needs_vectors
def test_the_vectors_of_responses_are_all_there():
    assert len(RESPONSES) == 7


@needs_vectors
@pytest.mark.parametrize("path", RESPONSES, ids=[path.stem for path in RESPONSES])
def test_answers_as_servers_sent_them(path):
    """An actor is believed at its own address; WebFinger and host-meta are no ActivityPub wherever they stand; nobody is somebody else."""
    actor = "https://ap.example.com/users/foo"
    answer = as_sent(path)
    web = ScriptedWeb({actor: answer, "https://evil.example/users/foo": answer})
    if "actor" in path.stem:
        assert loaded(web, actor).document.id == actor
        with pytest.raises(WrongId):
            _ = loaded(web, "https://evil.example/users/foo")
    else:
        with pytest.raises(WrongMediaType):
            _ = loaded(web, actor)


def test_freshness_can_be_told():
    """The policy's own values count, not only the defaults."""
    policy = evolve(POLICY, document_ttl_s=10, document_ttl_s_min=0, document_kept_s=5)
    web = ScriptedWeb({NOTE: note(ETag='"v1"')})
    _ = loaded(web, policy=policy)
    web.pass_s(9)
    _ = loaded(web, policy=policy)
    assert len(web.asked()) == 1
    web.pass_s(7)
    _ = loaded(web, policy=policy)
    assert ["if-none-match" in request.headers for request in web.requests] == [False]
