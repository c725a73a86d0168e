"""Check the keys of remote actors.

Key and owner name each other, keys are cached for a bounded time, and a lie is never cached.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from attrs import evolve

from apcore.effects import Now, Op
from apcore.errors import (
    AddressBlocked,
    ConnectFailed,
    DocumentError,
    FetchTimedOut,
    LimitExceeded,
    RemoteError,
    RequestError,
    ResponseTooBig,
    SignatureError,
    StoreUnavailable,
)
from apcore.http import Request, Response
from apcore.remote import (
    FetchPolicy,
    Forbidden,
    Gone,
    Identity,
    KeyNotOwned,
    KeyRefused,
    KeyUnavailable,
    NotFound,
    Rejected,
    RemoteKey,
    WrongId,
    WrongMediaType,
    cached_key_owners,
    end_refresh_pause,
    remote_key,
)
from apcore.signatures import PublicKey, generate_key
from apcore.testing.keys import reuse_key
from scripted_web import NOON, ScriptedWeb, document, redirect

A, B = "https://a.example", "https://b.example"
ALICE, MALLORY = f"{A}/users/alice", f"{B}/users/mallory"
MAIN = f"{ALICE}#main-key"
POLICY = FetchPolicy()
ME = Identity(key_name="instance", key_id="https://me.example/actor#main-key")

FIRST, SECOND = (generate_key("ed25519", key_id=MAIN, owner=ALICE).public for _ in range(2))
CONTEXT = ["https://www.w3.org/ns/activitystreams", "https://w3id.org/security/v1"]


def pem(key_id: str = MAIN, owner: str | None = ALICE, key: PublicKey = FIRST) -> dict:
    return {"id": key_id, "publicKeyPem": key.pem} | ({} if owner is None else {"owner": owner})


def multikey(key_id: str, owner: str = ALICE, key: PublicKey = FIRST, **kwargs) -> dict:
    return {"id": key_id, "type": "Multikey", "controller": owner, "publicKeyMultibase": key.multibase, **kwargs}


def actor(ident: str = ALICE, **kwargs) -> dict:
    members = {
        "@context": CONTEXT,
        "id": ident,
        "type": "Person",
        "inbox": f"{ident}/inbox",
        "outbox": f"{ident}/outbox",
    }
    return members | kwargs


def page(ident: str = ALICE, **kwargs) -> Response:
    return document(actor(ident, **kwargs))


def load_key(web: ScriptedWeb, key_id: str = MAIN, **kwargs) -> RemoteKey:
    return web.run(remote_key(key_id, **({"policy": POLICY} | kwargs)))


# --- forms of keys --------------------------------------------------------------------------------------------------

GTS = f"{ALICE}/main-key"
ALONE = f"{A}/keys/1"

SHAPES = [
    pytest.param(MAIN, {ALICE: page(publicKey=pem())}, [ALICE], id="fragment"),
    pytest.param(MAIN, {ALICE: page(publicKey=[pem(f"{ALICE}#old", key=SECOND), pem()])}, [ALICE], id="one-of-several"),
    pytest.param(f"{ALICE}#ed", {ALICE: page(assertionMethod=[multikey(f"{ALICE}#ed")])}, [ALICE], id="multikey"),
    pytest.param(
        f"{ALICE}#ed",
        {ALICE: page(publicKey=pem(key=SECOND), assertionMethod=[multikey(f"{ALICE}#ed")])},
        [ALICE],
        id="multikey-beside-pem",
    ),
    pytest.param(
        GTS,
        {
            GTS: document({"@context": CONTEXT, "id": ALICE, "type": "Person", "publicKey": pem(GTS)}),
            ALICE: page(publicKey=pem(GTS)),
        },
        [GTS, ALICE],
        id="gotosocial-stub",
    ),
    pytest.param(
        ALONE,
        {ALONE: document({"@context": CONTEXT, **pem(ALONE)}), ALICE: page(publicKey=ALONE)},
        [ALONE, ALICE],
        id="alone-named",
    ),
    pytest.param(
        ALONE,
        {ALONE: document({"@context": CONTEXT, **pem(ALONE)}), ALICE: page(publicKey=pem(ALONE))},
        [ALONE, ALICE],
        id="alone-and-embedded",
    ),
    pytest.param(
        ALONE,
        {ALONE: document({"@context": CONTEXT, **pem(ALONE, MALLORY)}), MALLORY: page(MALLORY, publicKey=ALONE)},
        [ALONE, MALLORY],
        id="alone-of-another-origin",
    ),
    pytest.param(ALICE, {ALICE: page(publicKey=pem(ALICE))}, [ALICE], id="peertube-same-id"),
    pytest.param(ALICE, {ALICE: page(publicKey=pem())}, [ALICE], id="peertube-only-key"),
    pytest.param(
        f"{A}/@alice#main-key",
        {f"{A}/@alice": redirect("/users/alice"), ALICE: page(publicKey=pem(f"{A}/@alice#main-key"))},
        [f"{A}/@alice", ALICE],
        id="led-to-the-actor",
    ),
    pytest.param(
        f"{A}/@alice#k",
        {f"{A}/@alice": page(publicKey=pem(f"{A}/@alice#k")), ALICE: page(publicKey=pem(f"{A}/@alice#k"))},
        [f"{A}/@alice", ALICE],
        id="an-alias-of-the-actor",
    ),
]


@pytest.mark.parametrize(("key_id", "pages", "requested_urls"), SHAPES)
def test_key_is_accepted_in_every_form_in_use(key_id, pages, requested_urls):
    web = ScriptedWeb(pages)
    owner = MALLORY if MALLORY in pages else ALICE
    remote = load_key(web, key_id)
    assert (remote.key.key_id, remote.key.owner, remote.key.spki, remote.cached) == (key_id, owner, FIRST.spki, False)
    assert web.asked() == requested_urls
    cached_remote = load_key(web, key_id)
    assert cached_remote == RemoteKey(evolve(remote.key, source="cache"), cached=True, asserts=remote.asserts)
    assert web.asked() == []


@pytest.mark.parametrize(
    ("members", "asserts"),
    [
        ({"publicKey": pem()}, False),
        ({"assertionMethod": [multikey(MAIN)]}, True),
        ({"publicKey": pem(), "assertionMethod": [multikey(MAIN)]}, True),
        ({"publicKey": pem(), "assertionMethod": MAIN}, True),
        ({"publicKey": pem(), "assertionMethod": [multikey(f"{ALICE}#ed")]}, False),
        ({"publicKey": multikey(MAIN)}, False),
    ],
    ids=[
        "for requests",
        "for proofs",
        "for both",
        "named for proofs",
        "another for proofs",
        "a multikey as public key",
    ],
)
def test_key_is_for_proofs_only_if_listed_as_assertion_method(members, asserts):
    web = ScriptedWeb({ALICE: page(**members)})
    assert (load_key(web).asserts, load_key(web).asserts) == (asserts, asserts)


# --- several keys ---------------------------------------------------------------------------------------------------

RSA, OTHER_RSA = (reuse_key(name).renamed(key_id=MAIN, owner=ALICE).public for name in ("one", "another"))


@pytest.mark.parametrize(
    ("key_list", "expected_key"),
    [
        ([pem(f"{ALICE}#ed"), pem(f"{ALICE}#rsa", key=RSA)], RSA),
        ([pem(f"{ALICE}#rsa", key=RSA), pem(f"{ALICE}#ed"), pem(f"{ALICE}#2", key=SECOND)], RSA),
        ([pem(f"{ALICE}#rsa", key=RSA), {"id": f"{ALICE}#x", "owner": ALICE, "publicKeyPem": "nonsense"}], RSA),
        ([pem(f"{ALICE}#rsa", key=RSA), f"{ALICE}#elsewhere"], RSA),
        ([pem(f"{ALICE}#rsa", key=RSA), pem(f"{ALICE}#2", key=OTHER_RSA)], None),
        ([pem(f"{ALICE}#ed"), pem(f"{ALICE}#2", key=SECOND)], None),
        ([pem(ALICE, key=SECOND), pem(f"{ALICE}#rsa", key=RSA)], SECOND),
    ],
    ids=["rsa-last", "rsa-first", "one-is-none", "one-is-elsewhere", "two-by-rsa", "none-by-rsa", "one-is-named-so"],
)
def test_actor_id_as_key_id_means_the_only_rsa_key(key_list, expected_key):
    web = ScriptedWeb({ALICE: page(publicKey=key_list)})
    if expected_key is None:
        with pytest.raises(KeyNotOwned):
            _ = load_key(web, ALICE)
    else:
        assert load_key(web, ALICE).key.spki == expected_key.spki


@pytest.mark.parametrize("number", [0, 9, 10, 19])
@pytest.mark.parametrize("pems", [0, 3, 20], ids=["multikeys", "mixed", "pems"])
def test_only_the_first_ten_keys_of_an_actor_are_considered(number, pems):
    ids = [f"{ALICE}#{index}" for index in range(20)]
    web = ScriptedWeb(
        {
            ALICE: page(
                publicKey=[pem(key_id) for key_id in ids[:pems]],
                assertionMethod=[multikey(key_id) for key_id in ids[pems:]],
            )
        }
    )
    if number < POLICY.keys_max:
        assert load_key(web, ids[number]).key.key_id == ids[number]
    else:
        with pytest.raises(KeyNotOwned, match="first 10"):
            _ = load_key(web, ids[number])


# --- ownership ------------------------------------------------------------------------------------------------------

UNPROVEN_KEYS = [
    pytest.param(MAIN, {ALICE: page(publicKey=pem(owner=MALLORY))}, KeyNotOwned, id="key-names-another"),
    pytest.param(MAIN, {ALICE: page(publicKey=pem(owner=None))}, KeyNotOwned, id="key-names-no-owner"),
    pytest.param(MAIN, {ALICE: page(publicKey=pem() | {"controller": MALLORY})}, KeyNotOwned, id="key-names-two"),
    pytest.param(MAIN, {ALICE: page(publicKey=pem(f"{ALICE}#other"))}, KeyNotOwned, id="not-listed"),
    pytest.param(MAIN, {ALICE: page()}, KeyNotOwned, id="no-keys"),
    pytest.param(MAIN, {ALICE: page(publicKey=MAIN)}, KeyNotOwned, id="named-and-nowhere"),
    pytest.param(MAIN, {ALICE: page(publicKey={"id": MAIN, "owner": ALICE})}, KeyNotOwned, id="holds-no-key"),
    pytest.param(ALICE, {ALICE: page(publicKey=[pem(), pem(f"{ALICE}#2")])}, KeyNotOwned, id="actor-id-and-two-keys"),
    pytest.param(
        f"{B}/k#1",
        {f"{B}/k": page(ALICE, publicKey=pem(f"{B}/k#1", key=SECOND)), ALICE: page(publicKey=pem())},
        KeyNotOwned,
        id="another-origin-claims-the-actor",
    ),
    pytest.param(
        ALONE,
        {ALONE: document({"@context": CONTEXT, **pem(ALONE)}), ALICE: page(publicKey=pem())},
        KeyNotOwned,
        id="alone-and-the-actor-does-not-list-it",
    ),
    pytest.param(
        f"{B}/keys/1",
        {
            f"{B}/keys/1": document({"@context": CONTEXT, **pem(f"{B}/keys/1", key=SECOND)}),
            ALICE: page(publicKey=pem()),
        },
        KeyNotOwned,
        id="alone-names-another-actor",
    ),
    pytest.param(
        ALONE,
        {ALONE: document({"@context": CONTEXT, **pem(f"{A}/keys/2")}), ALICE: page(publicKey=f"{A}/keys/2")},
        KeyNotOwned,
        id="alone-under-another-id",
    ),
    pytest.param(
        ALONE,
        {ALONE: document({"@context": CONTEXT, **pem(f"{A}/keys/2")}), ALICE: page(publicKey=ALONE)},
        KeyNotOwned,
        id="alone-says-it-is-another",
    ),
    pytest.param(
        ALONE,
        {
            ALONE: redirect(f"{B}/x"),
            f"{B}/x": document({"@context": CONTEXT, **pem(ALONE, key=SECOND)}),
            ALICE: page(publicKey=ALONE),
        },
        KeyNotOwned,
        id="alone-led-away",
    ),
    pytest.param(
        ALONE, {ALONE: document({"@context": CONTEXT, **pem(ALONE, None)})}, KeyNotOwned, id="alone-names-no-owner"
    ),
    pytest.param(MAIN, {ALICE: document({"type": "Person", "publicKey": pem()})}, KeyNotOwned, id="no-id"),
    pytest.param(
        MAIN,
        {ALICE: redirect(MALLORY), MALLORY: page(ALICE, publicKey=pem(key=SECOND))},
        WrongId,
        id="led-away-in-the-actors-name",
    ),
    pytest.param(
        GTS,
        {
            GTS: document({"@context": CONTEXT, "id": ALICE, "publicKey": pem(GTS)}),
            ALICE: page(publicKey=pem(GTS, MALLORY)),
        },
        KeyNotOwned,
        id="the-actor-itself-says-otherwise",
    ),
    pytest.param(f"{ALICE}#MAIN-KEY", {ALICE: page(publicKey=pem())}, KeyNotOwned, id="another-spelling"),
    pytest.param(MAIN, {ALICE: page(publicKey={**pem(), "publicKeyPem": "nonsense"})}, SignatureError, id="malformed"),
    pytest.param(
        f"{ALICE}#ed",
        {ALICE: page(assertionMethod=[multikey(f"{ALICE}#ed") | {"publicKeyMultibase": "z"}])},
        SignatureError,
        id="malformed-multikey",
    ),
    pytest.param(
        MAIN,
        {ALICE: document(actor(publicKey=pem()), content_type="application/json")},
        WrongMediaType,
        id="media-type",
    ),
    pytest.param(
        MAIN, {ALICE: Response(200, {"Content-Type": "application/activity+json"}, b"[]")}, DocumentError, id="array"
    ),
    pytest.param(MAIN, {ALICE: Response(404)}, NotFound, id="404"),
    pytest.param(MAIN, {ALICE: Response(410)}, Gone, id="410"),
    pytest.param(MAIN, {ALICE: Response(403)}, Forbidden, id="403"),
    pytest.param(MAIN, {ALICE: Response(400)}, Rejected, id="400"),
    pytest.param(MAIN, {ALICE: redirect("")}, LimitExceeded, id="circle"),
    pytest.param(MAIN, {ALICE: redirect("ftp://a.example/")}, RequestError, id="no-url"),
    pytest.param(MAIN, {ALICE: redirect(f"{B}/x"), f"{B}/x": Response(410)}, NotFound, id="gone-elsewhere"),
    pytest.param(
        ALONE,
        {ALONE: document({"@context": CONTEXT, **pem(ALONE, f"{A}/@alice")}), f"{A}/@alice": page(f"{B}/x")},
        WrongId,
        id="owner-is-another",
    ),
]


@pytest.mark.parametrize(("key_id", "pages", "error"), UNPROVEN_KEYS)
def test_unproven_key_is_refused_and_not_fetched_again_at_once(key_id, pages, error):
    web = ScriptedWeb(pages)
    with pytest.raises(error) as caught:
        _ = load_key(web, key_id)
    assert isinstance(caught.value, RemoteError)
    assert len(web.asked()) <= 4
    with pytest.raises(Gone if error is Gone else KeyRefused, match=caught.value.reason):
        _ = load_key(web, key_id, refresh=True)
    assert web.asked() == []
    web.pass_s(POLICY.key_retry_s)
    with pytest.raises(error):
        _ = load_key(web, key_id)
    assert web.asked()


@pytest.mark.parametrize(
    "key_id",
    [
        "",
        "main-key",
        "acct:alice@a.example",
        "did:key:z6Mk#z6Mk",
        "ftp://a.example/",
        "https://u@a.example/",
        f"{A}/" + "x" * 5000,
    ],
)
def test_malformed_key_id_is_refused_and_leaves_no_record(key_id):
    web = ScriptedWeb()
    with pytest.raises(RequestError):
        _ = load_key(web, key_id)
    assert web.requests == []
    assert web.store.scan(("key",), limit=10) == []


# --- outages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "retry_after_s"),
    [(Response(503, {"Retry-After": "60"}), 60), (Response(429), None), (ConnectFailed("closed"), None)],
    ids=["503", "429", "refused"],
)
def test_unavailable_key_is_retried_after_the_pause(answer, retry_after_s):
    web = ScriptedWeb({ALICE: answer})
    with pytest.raises(KeyUnavailable) as caught:
        _ = load_key(web)
    assert caught.value.retry_after_s == retry_after_s
    web.pages[ALICE] = page(publicKey=pem())
    web.pass_s(POLICY.key_retry_s - 1)
    web.asked()
    with pytest.raises(KeyUnavailable) as caught:
        _ = load_key(web)
    assert caught.value.retry_after_s == 1
    assert web.asked() == []
    web.pass_s(1)
    assert load_key(web).key.spki == FIRST.spki


@pytest.mark.parametrize("error", [AddressBlocked("10.0.0.1 is closed (private)"), ResponseTooBig("too big")])
def test_key_at_a_forbidden_or_oversized_page_is_refused(error):
    web = ScriptedWeb({ALICE: error})
    for _round in range(2):
        with pytest.raises(KeyRefused):
            _ = load_key(web)
    assert web.asked() == [ALICE]


class FailingStore:
    """A store of which one method fails, from call number ``after`` + 1 on."""

    def __init__(self, web: ScriptedWeb, method: str, after: int = 0) -> None:
        self._store, self._method, self._after = web.store, method, after

    def __getattr__(self, name: str):
        if name == self._method:
            self._after -= 1
            if self._after < 0:
                raise StoreUnavailable("the disk is gone")
        return getattr(self._store, name)


def test_slow_server_is_asked_once_and_within_the_time_limit():
    web = ScriptedWeb()

    def late(request: Request) -> Response:
        web.pass_s(request.limits.deadline_s)
        raise FetchTimedOut("too late")

    web.pages[ALICE] = late
    for _round in range(3):
        with pytest.raises(KeyUnavailable):
            _ = load_key(web)
    assert web.asked() == [ALICE]
    assert web.runtime.moment - NOON == timedelta(seconds=POLICY.key_s_max)


def outage_check(verdict: bool, calls: list[tuple[str, datetime]]):
    def is_our_outage(origin: str, now: datetime) -> Op[bool]:
        calls.append((origin, now))
        _ = yield from Now()
        return verdict

    return is_our_outage


@pytest.mark.parametrize(
    ("answer", "is_ours", "is_checked", "is_cached"),
    [
        (ConnectFailed("closed"), True, True, False),
        (FetchTimedOut("late"), True, True, False),
        (ConnectFailed("closed"), False, True, True),
        (Response(503), True, False, True),
        (Response(404), True, False, True),
        (AddressBlocked("rebound"), True, False, True),
    ],
    ids=["refused", "timeout", "of-the-peer", "503", "404", "blocked"],
)
def test_failure_in_our_own_outage_is_not_cached(answer, is_ours, is_checked, is_cached):
    web, calls = ScriptedWeb({ALICE: answer}), []
    for _round in range(2):
        with pytest.raises((RemoteError, KeyUnavailable)):
            _ = load_key(web, is_our_outage=outage_check(is_ours, calls))
    assert len(web.asked()) == (1 if is_cached else 2)
    assert calls == ([(A, NOON)] * (1 if is_cached else 2) if is_checked else [])
    assert len(web.store.scan(("key",), limit=10)) == is_cached


def test_cached_key_survives_our_own_outage():
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = load_key(web)
    web.pages[ALICE] = ConnectFailed("closed")
    web.pass_s(POLICY.key_refresh_s)
    with pytest.raises(KeyUnavailable):
        _ = load_key(web, refresh=True, is_our_outage=outage_check(True, []))
    assert (load_key(web).key.spki, load_key(web).cached) == (FIRST.spki, True)
    web.pages[ALICE] = page(publicKey=pem(key=SECOND))
    assert load_key(web, refresh=True).key.spki == SECOND.spki  # at once


def test_failure_of_our_store_is_not_cached_as_a_refusal():
    web = ScriptedWeb(
        {GTS: document({"@context": CONTEXT, "id": ALICE, "publicKey": pem(GTS)}), ALICE: page(publicKey=pem(GTS))}
    )
    working_store = web.store
    web.store = FailingStore(web, "get", after=1)
    with pytest.raises(KeyUnavailable):
        _ = load_key(web, GTS)
    web.store = working_store
    assert load_key(web, GTS).key.owner == ALICE


def test_key_is_returned_if_the_cache_cannot_be_written():
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    web.store = FailingStore(web, "commit")
    assert [load_key(web).cached, load_key(web).cached] == [False, False]
    web.pages[ALICE] = Response(404)
    with pytest.raises(NotFound):
        _ = load_key(web)


# --- caching --------------------------------------------------------------------------------------------------------


def test_key_is_cached_for_its_lifetime():
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = load_key(web)
    web.pages[ALICE] = page(publicKey=pem(key=SECOND))
    web.pass_s(POLICY.key_ttl_s - 1)
    assert load_key(web).key.spki == FIRST.spki
    web.pass_s(1)
    assert (load_key(web).key.spki, load_key(web).cached) == (SECOND.spki, True)


def test_cache_lifetime_comes_from_the_callers_policy():
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = load_key(web)
    web.pass_s(10)
    assert not load_key(web, policy=evolve(POLICY, key_ttl_s=10)).cached


@pytest.mark.parametrize("age_s", [0, 1, POLICY.key_refresh_s - 1, POLICY.key_refresh_s])
def test_changed_key_is_refreshed_at_any_age(age_s):
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = load_key(web)
    web.pages[ALICE] = page(publicKey=pem(key=SECOND))
    web.pass_s(age_s)
    fresh = load_key(web, refresh=True)
    assert (fresh.key.spki, fresh.cached, fresh.replaced) == (SECOND.spki, False, True)


def test_key_changed_twice_within_the_pause_is_refreshed_twice():
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = load_key(web)
    for key in (SECOND, FIRST, SECOND):
        web.pages[ALICE] = page(publicKey=pem(key=key))
        assert load_key(web, refresh=True).key.spki == key.spki


def test_refresh_that_finds_the_same_key_starts_a_pause():
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = load_key(web)
    assert not load_key(web, refresh=True).cached
    web.asked()
    for _round in range(100):
        web.pass_s((POLICY.key_refresh_s - 1) / 100)
        assert load_key(web, refresh=True) == RemoteKey(load_key(web).key, cached=True)
    assert web.asked() == []
    web.pages[ALICE] = page(publicKey=pem(key=SECOND))
    web.pass_s(1)
    assert (load_key(web, refresh=True).key.spki, load_key(web, refresh=True).cached) == (SECOND.spki, False)
    assert web.asked() == [ALICE, ALICE]


def test_pause_continues_when_the_cached_key_expires():
    """Let the cached key expire: the fetch of the key does not end the pause."""
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    policy = evolve(POLICY, key_refresh_s=2 * POLICY.key_ttl_s)
    for refresh in (False, True):
        _ = load_key(web, policy=policy, refresh=refresh)
    web.pass_s(POLICY.key_ttl_s)
    assert not load_key(web, policy=policy).cached
    assert load_key(web, policy=policy, refresh=True).cached


@pytest.mark.parametrize("seed", range(20))
def test_bad_signatures_cost_at_most_one_fetch_per_pause_and_per_change(seed):
    random, web = Random(seed), ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = load_key(web)
    _ = web.asked()
    changes = 0
    for _step in range(300):
        web.pass_s(random.uniform(0, 20))
        if random.random() < 0.02:
            changes += 1
            web.pages[ALICE] = page(publicKey=pem(key=(FIRST, SECOND)[changes % 2]))
        _ = load_key(web, refresh=True)
    pauses = (web.runtime.moment - NOON).total_seconds() / POLICY.key_refresh_s
    assert len(web.asked()) <= pauses + changes + 1


# --- changes announced by the owner ---------------------------------------------------------------------------------


def end_pause(web: ScriptedWeb, *, owner: str = ALICE, announced_at: datetime | None = None) -> None:
    moment = web.runtime.moment if announced_at is None else announced_at
    web.run(end_refresh_pause([MAIN, f"{ALICE}#unknown"], owner=owner, updated_at=moment, policy=POLICY))


def web_in_pause() -> ScriptedWeb:
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    for refresh in (False, True):
        assert not load_key(web, refresh=refresh).cached
    web.pages[ALICE] = page(publicKey=pem(key=SECOND))
    web.pass_s(10)
    return web


def test_announcement_of_the_owner_ends_the_pause_once():
    web = web_in_pause()
    assert load_key(web, refresh=True).cached
    announced_at = web.runtime.moment
    end_pause(web)
    assert load_key(web).key.spki == FIRST.spki
    assert load_key(web, refresh=True).key.spki == SECOND.spki
    web.pass_s(10)
    assert not load_key(web, refresh=True).cached
    end_pause(web, announced_at=announced_at)  # repeated
    assert load_key(web, refresh=True).cached


def test_announcement_of_another_actor_does_not_end_the_pause():
    web = web_in_pause()
    end_pause(web, owner=MALLORY)
    assert load_key(web, refresh=True).cached


def test_announcement_about_unknown_keys_writes_nothing():
    web = ScriptedWeb()
    end_pause(web)
    assert web.store.scan((), limit=10) == []


def test_failing_store_keeps_the_pause():
    web = web_in_pause()
    working_store = web.store
    for method in ("get", "commit"):
        web.store = FailingStore(web, method)
        end_pause(web)
        web.store = working_store
    assert load_key(web, refresh=True).cached


@pytest.mark.parametrize(("key", "replaced"), [(SECOND, True), (FIRST, False)], ids=["another", "the-same"])
def test_unannounced_change_of_a_key_is_logged(caplog, key, replaced):
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    with caplog.at_level("INFO", logger="apcore.remote.keys"):
        assert not load_key(web).replaced
        web.pages[ALICE] = page(publicKey=pem(key=key))
        web.pass_s(POLICY.key_refresh_s)
        assert load_key(web, refresh=True).replaced == replaced
        assert not load_key(web).replaced
    assert [record.args for record in caplog.records] == [(MAIN, ALICE)] * replaced


@pytest.mark.parametrize(
    "answer", [Response(503), ConnectFailed("closed"), AddressBlocked("rebound")], ids=["503", "refused", "blocked"]
)
def test_refresh_during_an_outage_keeps_the_cached_key(answer):
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = load_key(web)
    web.pages[ALICE] = answer
    web.pass_s(POLICY.key_refresh_s)
    web.asked()
    for _round in range(3):
        with pytest.raises((KeyUnavailable, KeyRefused)):
            _ = load_key(web, refresh=True)
        assert (load_key(web).key.spki, load_key(web).cached) == (FIRST.spki, True)
    assert web.asked() == [ALICE]
    web.pages[ALICE] = page(publicKey=pem(key=SECOND))
    web.pass_s(POLICY.key_retry_s)
    assert load_key(web, refresh=True).key.spki == SECOND.spki


def test_outage_does_not_extend_the_lifetime_of_a_cached_key():
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = load_key(web)
    web.pages[ALICE] = Response(503)
    web.pass_s(POLICY.key_ttl_s - 1)
    with pytest.raises(KeyUnavailable):
        _ = load_key(web, refresh=True)
    assert load_key(web).cached
    web.pass_s(1)
    with pytest.raises(KeyUnavailable):
        _ = load_key(web)


@pytest.mark.parametrize(
    "answer", [Response(410), page(), page(publicKey=pem(owner=MALLORY))], ids=["gone", "withdrawn", "given-away"]
)
def test_key_withdrawn_by_its_origin_is_removed_from_the_cache(answer):
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = load_key(web)
    web.pages[ALICE] = answer
    web.pass_s(POLICY.key_refresh_s)
    for refresh in (True, False):
        with pytest.raises(RemoteError):
            _ = load_key(web, refresh=refresh)


@pytest.mark.parametrize(
    "expires", [datetime(2027, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), datetime(1960, 1, 1, tzinfo=UTC)]
)
@pytest.mark.parametrize("member", ["expires", "revoked"])
def test_expiry_of_a_key_is_cached_with_it(expires, member):
    key_id = f"{ALICE}#ed"
    web = ScriptedWeb(
        {ALICE: page(assertionMethod=[multikey(key_id, **{member: expires.strftime("%Y-%m-%dT%H:%M:%SZ")})])}
    )
    web.pages[ALICE] = document(
        actor(assertionMethod=[multikey(key_id, **{member: expires.strftime("%Y-%m-%dT%H:%M:%SZ")})])
        | {"@context": [*CONTEXT, "https://www.w3.org/ns/cid/v1"]}
    )
    assert [load_key(web, key_id).key.expires, load_key(web, key_id).key.expires] == [expires, expires]


def test_failure_is_cached_per_viewer_and_success_for_all():
    def answer(request: Request) -> Response:
        return page(publicKey=pem()) if "signature" in request.headers else Response(401)

    web = ScriptedWeb({ALICE: answer})
    with pytest.raises(Forbidden):
        _ = load_key(web)
    assert load_key(web, identity=ME).key.spki == FIRST.spki
    assert load_key(web).cached  # a proven key serves every viewer


def test_cached_key_with_a_colliding_digest_is_ignored(monkeypatch):
    """Compare full ids: the key in the store holds only a digest."""
    web = ScriptedWeb({ALICE: page(publicKey=[pem(), pem(f"{ALICE}#2", key=SECOND)])})
    monkeypatch.setattr("apcore.remote.records.digest_part", lambda _text: "same")
    assert load_key(web).key.spki == FIRST.spki
    assert load_key(web, f"{ALICE}#2").key.spki == SECOND.spki


@pytest.mark.parametrize(
    ("answer", "lifetime_s"),
    [
        (page(publicKey=pem()), POLICY.key_kept_s),
        (Response(404), POLICY.key_retry_s),
        (Response(503), POLICY.key_retry_s),
    ],
    ids=["key", "refused", "unavailable"],
)
def test_key_records_expire(answer, lifetime_s):
    web = ScriptedWeb({ALICE: answer})
    with suppress(RemoteError, KeyUnavailable):
        _ = load_key(web)
    web.pass_s(lifetime_s - 1)
    assert len(web.store.scan(("key",), limit=10)) == 1
    web.pass_s(1)
    assert web.store.scan(("key",), limit=10) == []


@pytest.mark.parametrize("answer", [None, Response(410), Response(404), Response(503)], ids=["", "gone", "404", "503"])
def test_owner_of_an_expired_key_is_remembered(answer):
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    assert web.run(cached_key_owners([MAIN])) == (None,)
    _ = load_key(web)
    web.pass_s(POLICY.key_ttl_s + 1)
    for _ in range(3):
        if answer is not None:
            web.pages[ALICE] = answer
            with pytest.raises((Gone, NotFound, KeyRefused, KeyUnavailable)):
                _ = load_key(web)
            web.pass_s(POLICY.key_retry_s + 1)
        assert web.run(cached_key_owners([MAIN, f"{ALICE}#2"])) == (ALICE, None)
    web.asked()
    web.pages[ALICE] = page(publicKey=pem(key=SECOND))
    assert load_key(web).key.spki == SECOND.spki, "the remembered owner does not bring the old key back"
    web.pass_s(POLICY.key_kept_s)
    assert web.run(cached_key_owners([MAIN])) == (None,)


# --- plain JSON -----------------------------------------------------------------------------------------------------


def test_key_is_read_from_an_actor_without_context():
    """Serve compact plain JSON without ``@context``, as some servers do."""
    members = {name: value for name, value in actor(publicKey=pem()).items() if name != "@context"}
    web = ScriptedWeb(
        {ALICE: Response(200, {"Content-Type": "application/activity+json"}, json.dumps(members).encode())}
    )
    assert load_key(web).key.spki == FIRST.spki
