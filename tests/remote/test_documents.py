"""Check remote documents: which are accepted under which id, for how long they are cached, and for which viewer."""

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
POLICY = FetchPolicy(freshness=None)
ME = Identity(key_name="instance", key_id="https://me.example/actor#main-key")
OTHER = Identity(key_name="alice", key_id="https://me.example/alice#main-key")


def note(ident: str | None = NOTE, content: str = "hi", **headers: str) -> Response:
    members = {"type": "Note", "content": content} | ({} if ident is None else {"id": ident})
    return document(members, **headers)


def run_load(web: ScriptedWeb, uri: str = NOTE, **kwargs):
    return web.run(load(uri, **({"policy": POLICY} | kwargs)))


def load_content(web: ScriptedWeb, uri: str = NOTE, **kwargs) -> str:
    return run_load(web, uri, **kwargs).document.tree["content"]


# --- authority of documents - ----------------------------------------------------------------------------------------


def test_document_is_accepted_at_its_own_id():
    web = ScriptedWeb({NOTE: note()})
    loaded = run_load(web)
    assert (loaded.document.id, str(loaded.url), loaded.fetched) == (NOTE, NOTE, NOON)
    assert str(loaded.document.origin) == A
    assert web.asked() == [NOTE]


@pytest.mark.parametrize(
    ("pages", "requested_urls", "ident"),
    [
        pytest.param(
            {NOTE: redirect(f"{B}/1"), f"{B}/1": note(f"{B}/1")}, [NOTE, f"{B}/1"], f"{B}/1", id="led-to-another-origin"
        ),
        pytest.param(
            {NOTE: redirect("/x"), f"{A}/x": note(NOTE)}, [NOTE, f"{A}/x"], NOTE, id="led-away-and-back-in-name"
        ),
        pytest.param({NOTE: note(f"{A}/x"), f"{A}/x": note(f"{A}/x")}, [NOTE, f"{A}/x"], f"{A}/x", id="an-alias"),
        pytest.param(
            {NOTE: note("HTTPS://A.example:443/notes/1")}, [NOTE], "HTTPS://A.example:443/notes/1", id="spelling"
        ),
        pytest.param(
            {NOTE: redirect(f"{B}/1"), f"{B}/1": note(f"{B}/2"), f"{B}/2": note(f"{B}/2")},
            [NOTE, f"{B}/1", f"{B}/2"],
            f"{B}/2",
            id="an-alias-elsewhere",
        ),
    ],
)
def test_document_is_accepted_after_redirects_and_aliases_that_match_its_id(pages, requested_urls, ident):
    web = ScriptedWeb(pages)
    assert run_load(web).document.id == ident
    assert web.asked() == requested_urls


@pytest.mark.parametrize(
    ("pages", "requests_max"),
    [
        pytest.param({NOTE: note(f"{B}/1"), f"{B}/1": note(f"{B}/1")}, 1, id="speaks-for-another-origin"),
        pytest.param({NOTE: note("https://a.example.evil/1")}, 1, id="longer-host"),
        pytest.param({NOTE: note("http://a.example/notes/1")}, 1, id="another-scheme"),
        pytest.param({NOTE: note("https://a.example:8443/notes/1")}, 1, id="another-port"),
        pytest.param({NOTE: note("https://sub.a.example/notes/1")}, 1, id="subdomain"),
        pytest.param({NOTE: redirect(f"{B}/x"), f"{B}/x": note(NOTE)}, 2, id="another-origin-in-the-name-of-the-first"),
        pytest.param({NOTE: note(f"{A}/x"), f"{A}/x": note(NOTE)}, 2, id="an-alias-of-an-alias"),
        pytest.param(
            {NOTE: note(f"{A}/x"), f"{A}/x": note(f"{A}/y"), f"{A}/y": note(f"{A}/y")}, 2, id="a-chain-of-aliases"
        ),
        pytest.param(
            {NOTE: note(f"{A}/x"), f"{A}/x": redirect(f"{B}/x"), f"{B}/x": note(f"{A}/x")}, 3, id="an-alias-led-away"
        ),
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
)
def test_document_with_an_id_it_may_not_claim_is_refused(pages, requests_max):
    """Refuse ids of another origin and of other documents of the same origin (as CVE-2024-23832)."""
    web = ScriptedWeb(pages)
    with pytest.raises(WrongId):
        _ = run_load(web)
    assert len(web.asked()) == requests_max
    with pytest.raises(WrongId):  # and nothing was cached
        _ = run_load(web)
    assert web.asked()


def test_refused_document_is_not_cached_under_the_id_it_claimed():
    web = ScriptedWeb({f"{B}/x": note(NOTE, content="a lie"), NOTE: note(content="true")})
    with pytest.raises(WrongId):
        _ = run_load(web, f"{B}/x")
    assert load_content(web) == "true"


def test_fragment_of_a_document_is_refused():
    web = ScriptedWeb({NOTE: note()})
    with pytest.raises(WrongId, match="names a part"):
        _ = run_load(web, f"{NOTE}#part")
    assert web.asked() == [NOTE]


def test_document_whose_own_id_has_the_fragment_is_accepted():
    web = ScriptedWeb({NOTE: note(f"{NOTE}#it")})
    assert run_load(web, f"{NOTE}#it").document.id == f"{NOTE}#it"


# --- media types ----------------------------------------------------------------------------------------------------

TYPES = (load_json("identifiers/content-types.json") or {"cases": []})["cases"]


@needs_vectors
@pytest.mark.parametrize("case", TYPES, ids=[case["contentType"] or "none" for case in TYPES])
def test_media_type_vectors_are_accepted_or_refused(case):
    web = ScriptedWeb({NOTE: document(json.loads(note().body), content_type=case["contentType"])})
    if case["accept"]:
        assert run_load(web).document.id == NOTE
    else:
        with pytest.raises(WrongMediaType):
            _ = run_load(web)


@needs_vectors
def test_media_type_vectors_are_complete():
    assert len(TYPES) == 8


def test_response_without_media_type_is_refused():
    """Refuse an answer that may be an upload of any user (as CVE-2024-25623)."""
    web = ScriptedWeb({NOTE: Response(200, {}, note().body)})
    with pytest.raises(WrongMediaType, match="no media type"):
        _ = run_load(web)


def test_document_behind_an_alias_needs_an_activitypub_media_type():
    web = ScriptedWeb({NOTE: note(f"{A}/x"), f"{A}/x": document({"id": f"{A}/x"}, content_type="text/plain")})
    with pytest.raises(WrongMediaType):
        _ = run_load(web)


def test_two_media_types_are_refused():
    web = ScriptedWeb(
        {NOTE: Response(200, [("Content-Type", ACTIVITY_JSON), ("Content-Type", "text/html")], note().body)}
    )
    with pytest.raises(WrongMediaType):
        _ = run_load(web)


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
def test_malformed_body_is_refused(body, error):
    web = ScriptedWeb({NOTE: Response(200, {"Content-Type": LD_JSON}, body)})
    with pytest.raises(error):
        _ = run_load(web)


AS2 = "https://www.w3.org/ns/activitystreams"
ACTIVITYPUB_MEMBERS = {
    "the usual context": {"@context": AS2, "type": "Note"},
    "another spelling among others": {
        "@context": ["https://w3id.org/security/v1", "http://www.w3.org/ns/activitystreams#"]
    },
    "a type that is not known": {"@context": AS2, "type": "Whatever"},
    "a known type by its IRI": {"@context": {"@version": 1.1}, "type": f"{AS2}#Note"},
    "a known type by a vocabulary": {"@context": {"@vocab": f"{AS2}#", "id": "@id", "type": "@type"}, "type": "Note"},
}
OTHER_JSON_LD_MEMBERS = {
    "no context": {"type": "Note"},
    "another vocabulary": {"@context": "https://schema.org", "type": "Recipe"},
    "a term of ActivityStreams with another meaning": {
        "@context": {"id": "@id", "type": "@type", "Note": "https://x.example/Note"},
        "type": "Note",
    },
    "nothing": {"@context": {}},
}


@pytest.mark.parametrize("media_type", ["application/ld+json", "application/ld+json; charset=utf-8"])
@pytest.mark.parametrize("members", ACTIVITYPUB_MEMBERS.values(), ids=ACTIVITYPUB_MEMBERS)
def test_json_ld_without_profile_is_accepted_if_it_uses_activitystreams(members, media_type):
    answer = Response(200, {"Content-Type": media_type}, json.dumps({"id": NOTE, **members}).encode())
    assert run_load(ScriptedWeb({NOTE: answer})).document.id == NOTE


@pytest.mark.parametrize("members", OTHER_JSON_LD_MEMBERS.values(), ids=OTHER_JSON_LD_MEMBERS)
def test_json_ld_without_profile_is_refused_if_it_does_not_use_activitystreams(members):
    body = json.dumps({"id": NOTE, **members}).encode()
    for load_operation in (load, load_unverified):
        web = ScriptedWeb({NOTE: Response(200, {"Content-Type": "application/ld+json"}, body)})
        with pytest.raises(WrongMediaType, match="says ActivityPub"):
            _ = web.run(load_operation(NOTE, policy=POLICY))


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
def test_other_media_types_are_refused_even_for_activitystreams(media_type):
    body = json.dumps({"id": NOTE, "@context": AS2, "type": "Note"}).encode()
    web = ScriptedWeb({NOTE: Response(200, {"Content-Type": media_type} if media_type else {}, body)})
    with pytest.raises(WrongMediaType):
        _ = run_load(web)


def test_json_ld_without_profile_of_another_origin_is_refused():
    body = json.dumps({"id": f"{B}/1", "@context": AS2, "type": "Note"}).encode()
    with pytest.raises(WrongId):
        _ = run_load(ScriptedWeb({NOTE: Response(200, {"Content-Type": "application/ld+json"}, body)}))


# --- errors and outages ---------------------------------------------------------------------------------------------


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
@pytest.mark.parametrize("is_cached", [False, True], ids=["unknown", "cached"])
def test_failed_answer_raises_its_own_error(answer, error, is_cached):
    web = ScriptedWeb({NOTE: note()})
    if is_cached:
        _ = run_load(web)
        web.pass_s(POLICY.document_ttl_s)
    web.pages[NOTE] = Response(400) if is_cached and isinstance(answer, Response) and answer.status == 304 else answer
    with pytest.raises(error):
        _ = run_load(web)


def test_fresh_document_is_served_from_the_cache_during_an_outage():
    web = ScriptedWeb({NOTE: note()})
    _ = run_load(web)
    web.pages[NOTE] = Response(503)
    assert load_content(web) == "hi"


def test_410_from_another_origin_counts_as_not_found():
    web = ScriptedWeb({NOTE: redirect(f"{B}/x"), f"{B}/x": Response(410)})
    with pytest.raises(NotFound):
        _ = run_load(web)


def test_document_that_is_gone_is_removed_from_the_cache():
    web = ScriptedWeb({NOTE: note(Cache_Control="max-age=86400")})
    _ = run_load(web)
    web.pages[NOTE] = Response(410)
    for fresh in (True, False):  # asked anew, and then as usual
        with pytest.raises(Gone):
            _ = run_load(web, fresh=fresh)


# --- freshness ------------------------------------------------------------------------------------------------------


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
def test_document_is_fresh_for_the_bounded_time_that_its_headers_give(headers, fresh_s):
    web = ScriptedWeb({NOTE: note(**headers)})
    _ = run_load(web)
    web.pages[NOTE] = note(content="changed")
    web.pass_s(fresh_s - 1)
    assert load_content(web) == "hi"
    assert run_load(web).fetched == NOON
    web.pass_s(1)
    assert load_content(web) == "changed"


def test_fresh_load_bypasses_the_cache():
    web = ScriptedWeb({NOTE: note()})
    _ = run_load(web)
    web.pages[NOTE] = note(content="changed")
    assert load_content(web) == "hi"
    assert load_content(web, fresh=True) == "changed"
    assert load_content(web) == "changed"


def conditional(body: Response, **headers: str):
    """Build a page that answers conditional requests with 304."""

    def answer(request: Request) -> Response:
        etag, modified = request.headers.get("if-none-match"), request.headers.get("if-modified-since")
        if etag is not None or modified is not None:
            is_unchanged = (
                etag == body.headers.get("etag") if etag is not None else modified == body.headers.get("last-modified")
            )
            if is_unchanged:
                return Response(304, {name.replace("_", "-"): value for name, value in headers.items()})
        return body

    return answer


@pytest.mark.parametrize(
    ("validators", "expected_header"),
    [
        ({"ETag": '"v1"'}, ("if-none-match", '"v1"')),
        ({"ETag": 'W/"v1"'}, ("if-none-match", 'W/"v1"')),
        ({"Last_Modified": "Thu, 01 Jan 2026 10:00:00 GMT"}, ("if-modified-since", "Thu, 01 Jan 2026 10:00:00 GMT")),
        ({"ETag": '"v1"', "Last_Modified": "Thu, 01 Jan 2026 10:00:00 GMT"}, ("if-none-match", '"v1"')),
    ],
    ids=["etag", "weak-etag", "date", "both"],
)
def test_stale_document_is_revalidated_with_its_validator(validators, expected_header):
    web = ScriptedWeb({NOTE: conditional(note(**validators))})
    _ = run_load(web)
    for _round in range(2):  # a 304 without validators keeps those we have
        web.pass_s(POLICY.document_ttl_s)
        web.requests.clear()
        loaded = run_load(web)
        assert loaded.fetched == web.runtime.moment
        assert loaded.document.tree["content"] == "hi"
        assert [request.headers.get(expected_header[0]) for request in web.requests] == [expected_header[1]]
    web.asked()
    _ = run_load(web)
    assert web.asked() == []  # the 304 made it fresh again


def test_304_renews_freshness_by_its_own_headers():
    web = ScriptedWeb({NOTE: conditional(note(ETag='"v1"'), Cache_Control="max-age=7200", ETag='"v1"')})
    _ = run_load(web)
    web.pass_s(POLICY.document_ttl_s)
    _ = run_load(web)
    web.asked()
    web.pass_s(7199)
    _ = run_load(web)
    assert web.asked() == []


def test_changed_document_replaces_the_cached_one():
    web = ScriptedWeb({NOTE: conditional(note(ETag='"v1"'))})
    _ = run_load(web)
    web.pages[NOTE] = conditional(note(content="changed", ETag='"v2"'))
    web.pass_s(POLICY.document_ttl_s)
    assert load_content(web) == "changed"


def test_304_from_another_url_is_refused():
    web = ScriptedWeb({NOTE: note(ETag='"v1"')})
    _ = run_load(web)
    web.pass_s(POLICY.document_ttl_s)
    web.pages |= {NOTE: redirect(f"{B}/x"), f"{B}/x": Response(304, {"Cache-Control": "max-age=86400"})}
    with pytest.raises(Rejected):
        _ = run_load(web)
    web.pages[NOTE] = note(content="true")
    assert load_content(web) == "true"


def test_304_after_the_same_redirect_as_before_counts():
    web = ScriptedWeb({NOTE: redirect("/x"), f"{A}/x": conditional(note(ETag='"v1"'))})
    _ = run_load(web)
    web.pass_s(POLICY.document_ttl_s)
    assert load_content(web) == "hi"
    assert str(run_load(web).url) == f"{A}/x"


def test_no_store_response_is_not_cached_and_removes_the_cached_document():
    web = ScriptedWeb({NOTE: note(content="old", Cache_Control="max-age=86400")})
    _ = run_load(web)
    web.pages[NOTE] = note(content="new", Cache_Control="no-store")
    assert load_content(web, fresh=True) == "new"
    web.pages[NOTE] = Response(503)
    with pytest.raises(PeerFailing):
        _ = run_load(web)


def test_stale_document_is_kept_for_revalidation_for_a_bounded_time():
    web = ScriptedWeb({NOTE: note(ETag='"v1"')})
    _ = run_load(web)
    web.pass_s(POLICY.document_ttl_s + POLICY.document_kept_s - 1)
    web.asked()
    _ = run_load(web, fresh=True)
    web.pass_s(POLICY.document_ttl_s + POLICY.document_kept_s + 1)
    _ = run_load(web)
    assert ["if-none-match" in request.headers for request in web.requests] == [True, False]


def test_alias_is_fetched_each_time_and_its_document_cached_under_its_id():
    web = ScriptedWeb({f"{A}/@1": redirect("/notes/1"), NOTE: note()})
    _ = run_load(web, f"{A}/@1")
    web.asked()
    _ = run_load(web)
    assert web.asked() == []
    _ = run_load(web, f"{A}/@1")
    assert web.asked() == [f"{A}/@1", NOTE]


def test_cached_document_with_a_colliding_digest_is_ignored(monkeypatch):
    """Compare full URLs: the key in the store holds only a digest."""
    web = ScriptedWeb({NOTE: note(), f"{A}/2": note(f"{A}/2", content="another")})
    monkeypatch.setattr("apcore.remote.records.digest_part", lambda _text: "same")
    assert [load_content(web), load_content(web, f"{A}/2"), load_content(web)] == ["hi", "another", "hi"]


# --- viewers --------------------------------------------------------------------------------------------------------


def test_document_cached_for_one_identity_is_not_served_to_another():
    web = ScriptedWeb()
    pages = {
        None: Response(401),
        ME.key_id: note(content="for the instance"),
        OTHER.key_id: note(content="for alice"),
    }

    def answer(request: Request) -> Response:
        signature = request.headers.get("signature") or ""
        return next((page for key_id, page in pages.items() if key_id and f'"{key_id}"' in signature), pages[None])

    web.pages[NOTE] = answer
    assert load_content(web, identity=ME) == "for the instance"
    assert load_content(web, identity=OTHER) == "for alice"
    with pytest.raises(Forbidden):
        _ = run_load(web)
    assert len(web.asked()) == 3
    assert load_content(web, identity=ME) == "for the instance"
    assert web.asked() == []


# --- the store ------------------------------------------------------------------------------------------------------


class UnwritableStore:
    """A store that can be read but refuses every commit."""

    def __init__(self, web: ScriptedWeb) -> None:
        self._store = web.store

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    def commit(self, *_args, **_more):
        raise StoreUnavailable("the disk is full")


def test_document_is_returned_if_the_cache_cannot_be_written():
    web = ScriptedWeb({NOTE: note()})
    web.store = UnwritableStore(web)
    assert load_content(web) == "hi"
    assert load_content(web) == "hi"
    assert web.asked() == [NOTE, NOTE]


# --- unverified documents -------------------------------------------------------------------------------------------


def test_load_unverified_accepts_any_id_and_caches_nothing():
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
def test_load_unverified_refuses_errors_and_other_media_types(answer, error):
    web = ScriptedWeb({NOTE: answer, f"{B}/gone": Response(410)})
    with pytest.raises(error):
        _ = web.run(load_unverified(NOTE, policy=POLICY))


# --- recorded responses of servers ----------------------------------------------------------------------------------

RESPONSES = sorted((VECTORS / "http-responses").glob("*.http")) if VECTORS.is_dir() else []


def read_response(path) -> Response:
    head, _, body = path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    status, *lines = head.decode("latin-1").split("\n")
    pairs = [line.partition(":")[::2] for line in lines]
    return Response(int(status.split()[1]), [(name, value.strip()) for name, value in pairs], body)


@needs_vectors
def test_recorded_responses_are_complete():
    assert len(RESPONSES) == 7


@needs_vectors
@pytest.mark.parametrize("path", RESPONSES, ids=[path.stem for path in RESPONSES])
def test_recorded_actor_is_accepted_only_at_its_own_url_and_other_responses_are_refused(path):
    """Load each recorded response at its own URL and at a stranger's.

    WebFinger and host-meta documents are no ActivityPub.
    """
    actor = "https://ap.example.com/users/foo"
    answer = read_response(path)
    web = ScriptedWeb({actor: answer, "https://evil.example/users/foo": answer})
    if "actor" in path.stem:
        assert run_load(web, actor).document.id == actor
        with pytest.raises(WrongId):
            _ = run_load(web, "https://evil.example/users/foo")
    else:
        with pytest.raises(WrongMediaType):
            _ = run_load(web, actor)


def test_freshness_bounds_come_from_the_policy():
    """Use values other than the defaults."""
    policy = evolve(POLICY, document_ttl_s=10, document_ttl_s_min=0, document_kept_s=5)
    web = ScriptedWeb({NOTE: note(ETag='"v1"')})
    _ = run_load(web, policy=policy)
    web.pass_s(9)
    _ = run_load(web, policy=policy)
    assert len(web.asked()) == 1
    web.pass_s(7)
    _ = run_load(web, policy=policy)
    assert ["if-none-match" in request.headers for request in web.requests] == [False]
