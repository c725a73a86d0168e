"""The short ways of the inbox give the same answers as the long ones, on valid, broken and hostile input.

``APCORE_FUZZ=all`` plays a hundred times as many deliveries.
"""

from __future__ import annotations

import gc
import json
import os
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apcore.effects import Op
from apcore.errors import ApcoreError
from apcore.federation import Severity
from apcore.federation.inbox import inbox_requests
from apcore.federation.inbox.addressee_rules import local_actors_named
from apcore.federation.inbox.parse import read_incoming
from apcore.federation.path_templates import PathMatcher, parse_route
from apcore.federation.request_signers import parse_signatures, signer_hosts
from apcore.federation.snapshot import Snapshot
from apcore.http import Headers, Request, same_origin
from apcore.http.urls import _origin_of
from apcore.node import Elsewhere
from apcore.ports import StoreKey, digest_part, encode_key
from apcore.ports.keys import _encode
from apcore.records.fields import encode_members, write_members
from apcore.records.format import encode_line, encode_record, key_name
from apcore.vocab import FEDIVERSE, Mention, Object, View, joint_audience, read_document
from declared_kinds import declared_kinds
from fuzzed_bytes import garble_request, read_wire, wire
from inbox_fixture import ALICE, BOB, CAROL, HERE, INBOX, NOON, SHARED, Ground, reason_of
from stored_samples import read_samples

DELIVERIES = 50_000 if os.environ.get("APCORE_FUZZ") == "all" else 500
SEGMENTS = ["a", "b", "users", "{id}", "{name}", "@{id}", "x{id}", "{+rest}", "", "%61"]
PATH_SEGMENTS = ["a", "b", "users", "alice", "@bob", "x1", "", "%61", "%", "..", "é"]


# --- routes ---------------------------------------------------------------------------------------------------------


def add_routes(templates: Iterable[str]) -> PathMatcher[str]:
    router: PathMatcher[str] = PathMatcher()
    for template in templates:
        try:
            router.add(parse_route(template), template)
        except Exception:
            continue  # not a template, or another one of the same shape
    return router


@given(st.lists(st.lists(st.sampled_from(SEGMENTS), max_size=4), max_size=12), st.data())
def test_routes_found_by_segment_are_those_of_the_patterns(routes: list[list[str]], data: st.DataObject):
    router = add_routes("/" + "/".join(segments) for segments in routes)
    path = "/" + "/".join(data.draw(st.lists(st.sampled_from(PATH_SEGMENTS), max_size=5)))
    by_pattern = next(
        ((target, values) for _, route, target in router._routes if (values := route.match(path)) is not None), None
    )
    assert router.match(path) == by_pattern


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8))
def test_address_joined_from_two_ends_is_the_escaped_one(value: str):
    short = parse_route("/u/{id}/inbox").build({"id": value})
    assert short.removesuffix("/inbox").removeprefix("/u/") == parse_route("/v/{a}/{id}").build(
        {"a": "x", "id": value}
    ).removeprefix("/v/x/")


# --- the store and the records --------------------------------------------------------------------------------------


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=16).map(tuple))
def test_plain_keys_are_encoded_like_all_keys(key: StoreKey):
    assert encode_key(key) == _encode(key)
    assert key_name(key) == json.dumps(key, separators=(",", ":"))


@given(st.text())
def test_digests_are_base64url(text: str):
    digest = urlsafe_b64encode(sha256(text.encode("utf-8", "surrogatepass")).digest())
    assert digest_part(text) == digest.decode().rstrip("=")


@pytest.mark.parametrize("release", ["c60126e", "038fb3b"])
def test_records_are_encoded_as_json(release: str):
    kinds = [kind for kind in declared_kinds() if kind.format is None]
    encoded_kinds: set[str] = set()
    for key, value in read_samples(release).records:
        for kind in kinds:
            if kind.holds(key):
                record = kind.decode(value)
                line = encode_line(encode_members(kind._fields, record), record.body)
                assert line == encode_record(write_members(kind._fields, record), record.body)
                encoded_kinds.add(kind.name)
    assert len(encoded_kinds) > 10


# --- addresses and types --------------------------------------------------------------------------------------------

ADDRESSES = st.sampled_from(
    [
        HERE, f"{HERE}/", ALICE, BOB, CAROL, "https://remote.example:443/x", "http://remote.example/users/bob", "",
        "HTTPS://REMOTE.example/x", "ap://did:key:z6Mk/x", "ap+ef61://did:key:z6Mk/y", "AP://did%3Akey%3Az6Mk/x",
        "acct:bob@remote.example", "a", "https://remote.example\\x", "https://remote.example/ x", "https://ü.example/",
    ]
)  # fmt: skip


@given(ADDRESSES, ADDRESSES)
def test_origins_of_usual_ids_are_compared_like_all(one: str, other: str):
    def origin_of(text: str) -> object:
        try:
            return _origin_of(text)
        except Exception:
            return object()

    assert same_origin(one, other) == (origin_of(one) == origin_of(other))


@given(
    st.lists(st.sampled_from([*FEDIVERSE.words.types, "Unknown", "_:x"]), max_size=3),
    st.frozensets(st.sampled_from([view for view in FEDIVERSE.views if view.type_owner is view]), max_size=5),
)
def test_several_types_are_tested_like_each(types: list[str], views: frozenset[type[View]]):
    document = read_document({"id": "https://a.example/1", "type": types})
    typed_views = views - {Object}
    assert document.is_one_of(typed_views) == any(view.covers(document) for view in typed_views)
    assert all(document.is_a(view) == view.covers(document) for view in FEDIVERSE.views)


NAMES = st.sampled_from(
    [ALICE, f"{HERE}/users/bob", f"{HERE}/x", BOB, "https://www.w3.org/ns/activitystreams#Public", "as:Public", HERE]
)
ADDRESSED = st.one_of(NAMES, st.lists(NAMES, max_size=3), st.builds(lambda uri: {"id": uri, "type": "Person"}, NAMES))


@given(ADDRESSED, ADDRESSED, st.lists(NAMES, max_size=2), st.booleans(), st.booleans())
def test_actors_are_named_whether_or_not_the_host_stands_in_the_body(
    to: Any, cc: Any, mentioned: list[str], escapes: bool, prefixes: bool
):
    context: Any = "https://www.w3.org/ns/activitystreams"
    if prefixes:
        context = [context, {"ours": f"{HERE}/users/"}]
        to = "ours:alice"
    note = {"type": "Note", "cc": cc, "tag": [{"type": "Mention", "href": uri} for uri in mentioned]}
    activity = {"@context": context, "id": f"{BOB}/1", "type": "Create", "actor": BOB, "to": to, "object": note}
    body = json.dumps(activity).encode()
    if escapes:
        body = body.replace(b"local.example", b"\\u006cocal.example").replace(b"/users", b"\\/users")
    ground = Ground()
    site = ground.node.site()
    incoming = read_incoming(site, body)
    documents = [incoming.document, *(one.embedded for one in incoming.activity.objects if one.embedded is not None)]
    hrefs = [
        tag.document.view(Mention).href or ""
        for document in documents
        for tag in Object.over(document).tag
        if tag.document.is_a(Mention)
    ]
    addresses = dict.fromkeys((*joint_audience(incoming.document).everyone, *hrefs))
    named = [uri for uri in addresses if uri.startswith(f"{HERE}/") and site.identifier_of(uri) is not None]
    assert local_actors_named(site, incoming) == named


# --- deliveries -----------------------------------------------------------------------------------------------------


def activities(ground: Ground, number: int) -> list[dict[str, Any]]:
    note = {"id": f"{BOB}/notes/{number}", "type": "Note", "attributedTo": BOB, "content": "hi", "to": [ALICE]}
    make = ground.bob.activity
    return [
        make("Create", id=f"{BOB}/creates/{number}", object=note, to=[ALICE], cc=[f"{BOB}/followers"]),
        make("Follow", id=f"{BOB}/follows/{number}", object=ALICE),
        make("Like", object=f"{ALICE}/objects/{number}"),
        make("Delete", id=f"{BOB}/deletes/{number}", object=f"{BOB}/notes/{number}"),
        make("Update", id=f"{BOB}/updates/{number}", object={"id": BOB, "type": "Person", "name": "Bob"}),
        make("Announce", id=f"{BOB}/shares/{number}", object=f"{CAROL}/notes/1"),
    ]


def wires(ground: Ground) -> list[bytes]:
    """Return valid requests of Bob, in the form that the fuzzer breaks."""
    return [
        wire(ground.bob.request(activity, inbox)) for activity in activities(ground, 0) for inbox in (SHARED, INBOX)
    ]


def read_nothing(now: datetime, _keys: Iterable[StoreKey]) -> Op[Snapshot]:
    """Read nothing at once, so that each rule reads its own entries. This is the long way."""
    return Snapshot(now)
    yield


def forget_everything() -> None:
    """Clear every cache of pure functions in apcore."""
    for function in gc.get_objects():
        module = getattr(function, "__module__", None)
        if type(function).__name__ == "_lru_cache_wrapper" and str(module).startswith("apcore."):
            function.cache_clear()


def read_request(data: bytes) -> Request | None:
    """Read a broken request; None if no server would pass it on."""
    try:
        return read_wire(data)
    except ApcoreError:
        return None


def verdict(ground: Ground, request: Request) -> tuple[int, str | None]:
    """Return the status and the reason of the answer; 0 if the request is not for an inbox."""
    response = ground.node.handle(request)
    return (0, None) if isinstance(response, Elsewhere) else (response.status, reason_of(response))


@pytest.mark.long
def test_broken_deliveries_get_the_same_verdict_both_ways(monkeypatch: pytest.MonkeyPatch):
    short, long = Ground(), Ground()
    seeds = wires(short)
    rng = Random(7)
    verdicts: Counter[tuple[int, str | None]] = Counter()
    for number in range(DELIVERIES):
        seed = seeds[number % len(seeds)]
        data = seed if number < len(seeds) else garble_request(rng, seed, seeds)
        request = read_request(data)
        if request is None or request.method != "POST":
            continue
        with monkeypatch.context() as patch:
            patch.setattr(inbox_requests, "read_snapshot", read_nothing)
            if number % 50 == 0:
                forget_everything()
            by_long_way = verdict(long, request)
        by_short_way = verdict(short, request)
        assert by_short_way == by_long_way, data
        verdicts[by_short_way] += 1
    assert {status for status, _ in verdicts} >= {202, 400, 401}
    short.work()
    long.work()
    assert short.heard == long.heard
    assert short.noted() == long.noted()


@pytest.mark.parametrize("state", ["suspended", "silenced", "blocked", "deleted", "unknown", "key gone"])
@pytest.mark.parametrize("inbox", [SHARED, INBOX], ids=["shared", "actor"])
def test_refused_deliveries_get_the_same_verdict_both_ways(state: str, inbox: str, monkeypatch: pytest.MonkeyPatch):
    verdicts: list[list[tuple[int, str | None]]] = []
    for is_short in (True, False):
        ground = Ground()
        if not is_short:
            monkeypatch.setattr(inbox_requests, "read_snapshot", read_nothing)
        for activity in activities(ground, 1):
            verdict(ground, ground.bob.request(activity, inbox))
        if state == "suspended":
            ground.node.block_domain("remote.example")
        elif state == "silenced":
            ground.node.block_domain("remote.example", severity=Severity.SILENCE)
        elif state == "blocked":
            ground.node.block(BOB, by="alice")
        elif state == "deleted":
            ground.node.delete_actor("alice")
        elif state == "key gone":
            ground.clock.pass_s(30 * 86400)
            ground.bob.serve(BOB, None, status=410)
        target = inbox.replace("alice", "nobody") if state == "unknown" else inbox
        verdicts.append([verdict(ground, ground.bob.request(one, target)) for one in activities(ground, 2)])
    assert verdicts[0] == verdicts[1]


@settings(max_examples=200)
@given(st.integers(0, 2**32))
def test_hosts_of_parsed_signatures_are_those_that_a_search_finds(seed: int):
    ground = Ground()
    rng = Random(seed)
    request = read_request(garble_request(rng, rng.choice(wires(ground)), wires(ground)))
    if request is None:
        return
    signatures = parse_signatures(ground.node.site(), request, NOON)
    assert list(signatures.hosts) == signer_hosts(request)


def test_second_signature_of_another_scheme_is_searched():
    ground = Ground()
    request = ground.bob.request(activities(ground, 1)[0], SHARED)
    authorization = f'Signature keyId="{CAROL}#main-key",algorithm="hs2019",signature="AA=="'
    both = Request(
        request.method, request.url, Headers([*request.headers, ("authorization", authorization)]), request.body
    )
    signatures = parse_signatures(ground.node.site(), both, NOON)
    assert set(signatures.hosts) == {"remote.example", "third.example"} == set(signer_hosts(both))
