"""Keys of remote actors: owned both ways, kept for a while, and never a lie."""

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


def multikey(key_id: str, owner: str = ALICE, key: PublicKey = FIRST, **more) -> dict:
    return {"id": key_id, "type": "Multikey", "controller": owner, "publicKeyMultibase": key.multibase, **more}


def actor(ident: str = ALICE, **more) -> dict:
    members = {
        "@context": CONTEXT,
        "id": ident,
        "type": "Person",
        "inbox": f"{ident}/inbox",
        "outbox": f"{ident}/outbox",
    }
    return members | more


def page(ident: str = ALICE, **more) -> Response:
    return document(actor(ident, **more))


def found(web: ScriptedWeb, key_id: str = MAIN, **more) -> RemoteKey:
    return web.run(remote_key(key_id, **({"policy": POLICY} | more)))


# --- shapes in use --------------------------------------------------------------------------------------------------

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


@pytest.mark.parametrize(("key_id", "pages", "asked"), SHAPES)
def test_shapes(key_id, pages, asked):
    web = ScriptedWeb(pages)
    owner = MALLORY if MALLORY in pages else ALICE
    key = found(web, key_id)
    assert (key.key.key_id, key.key.owner, key.key.spki, key.cached) == (key_id, owner, FIRST.spki, False)
    assert web.asked() == asked
    again = found(web, key_id)
    assert again == RemoteKey(evolve(key.key, source="cache"), cached=True, asserts=key.asserts)
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
    ids=["for requests", "for proofs", "for both", "named for proofs", "another for proofs", "of its shape alone"],
)
def test_a_key_is_for_proofs_if_its_owner_lists_it_so(members, asserts):
    web = ScriptedWeb({ALICE: page(**members)})
    assert (found(web).asserts, found(web).asserts) == (asserts, asserts)


# --- of several keys ------------------------------------------------------------------------------------------------

RSA, OTHER_RSA = (generate_key("rsa-2048", key_id=MAIN, owner=ALICE).public for _ in range(2))


@pytest.mark.parametrize(
    ("listed", "chosen"),
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
def test_the_actors_own_id_names_its_only_key_by_rsa(listed, chosen):
    web = ScriptedWeb({ALICE: page(publicKey=listed)})
    if chosen is None:
        with pytest.raises(KeyNotOwned):
            _ = found(web, ALICE)
    else:
        assert found(web, ALICE).key.spki == chosen.spki


@pytest.mark.parametrize("number", [0, 9, 10, 19])
@pytest.mark.parametrize("pems", [0, 3, 20], ids=["multikeys", "mixed", "pems"])
def test_ten_keys_of_an_actor_are_looked_at(number, pems):
    ids = [f"{ALICE}#{each}" for each in range(20)]
    web = ScriptedWeb(
        {
            ALICE: page(
                publicKey=[pem(each) for each in ids[:pems]], assertionMethod=[multikey(each) for each in ids[pems:]]
            )
        }
    )
    if number < POLICY.keys_max:
        assert found(web, ids[number]).key.key_id == ids[number]
    else:
        with pytest.raises(KeyNotOwned, match="first 10"):
            _ = found(web, ids[number])


# --- ownership ------------------------------------------------------------------------------------------------------

LIES = [
    pytest.param(MAIN, {ALICE: page(publicKey=pem(owner=MALLORY))}, KeyNotOwned, id="key-names-another"),
    pytest.param(MAIN, {ALICE: page(publicKey=pem(owner=None))}, KeyNotOwned, id="key-names-nobody"),
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
        {f"{B}/keys/1": document({"@context": CONTEXT, **pem(f"{B}/keys/1", key=SECOND)}), ALICE: page(publicKey=pem())},
        KeyNotOwned,
        id="alone-names-somebody-famous",
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
        {ALONE: redirect(f"{B}/x"), f"{B}/x": document({"@context": CONTEXT, **pem(ALONE, key=SECOND)}), ALICE: page(publicKey=ALONE)},
        KeyNotOwned,
        id="alone-led-away",
    ),
    pytest.param(ALONE, {ALONE: document({"@context": CONTEXT, **pem(ALONE, None)})}, KeyNotOwned, id="alone-names-nobody"),
    pytest.param(MAIN, {ALICE: document({"type": "Person", "publicKey": pem()})}, KeyNotOwned, id="no-id"),
    pytest.param(
        MAIN, {ALICE: redirect(MALLORY), MALLORY: page(ALICE, publicKey=pem(key=SECOND))}, WrongId, id="led-away-in-the-actors-name"
    ),
    pytest.param(
        GTS,
        {GTS: document({"@context": CONTEXT, "id": ALICE, "publicKey": pem(GTS)}), ALICE: page(publicKey=pem(GTS, MALLORY))},
        KeyNotOwned,
        id="the-actor-itself-says-otherwise",
    ),
    pytest.param(f"{ALICE}#MAIN-KEY", {ALICE: page(publicKey=pem())}, KeyNotOwned, id="another-spelling"),
    pytest.param(MAIN, {ALICE: page(publicKey={**pem(), "publicKeyPem": "nonsense"})}, SignatureError, id="malformed"),
    pytest.param(f"{ALICE}#ed", {ALICE: page(assertionMethod=[multikey(f"{ALICE}#ed") | {"publicKeyMultibase": "z"}])}, SignatureError, id="malformed-multikey"),
    pytest.param(MAIN, {ALICE: document(actor(publicKey=pem()), content_type="application/json")}, WrongMediaType, id="media-type"),
    pytest.param(MAIN, {ALICE: Response(200, {"Content-Type": "application/activity+json"}, b"[]")}, DocumentError, id="array"),
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
]  # fmt: skip


@pytest.mark.parametrize(("key_id", "pages", "error"), LIES)
def test_what_proves_nothing_is_refused_and_not_asked_again(key_id, pages, error):
    web = ScriptedWeb(pages)
    with pytest.raises(error) as caught:
        _ = found(web, key_id)
    assert isinstance(caught.value, RemoteError)
    assert len(web.asked()) <= 4
    with pytest.raises(Gone if error is Gone else KeyRefused, match=caught.value.reason):
        _ = found(web, key_id, anew=True)
    assert web.asked() == []
    web.pass_s(POLICY.key_retry_s)
    with pytest.raises(error):
        _ = found(web, key_id)
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
def test_what_is_no_url_is_refused_and_leaves_no_trace(key_id):
    web = ScriptedWeb()
    with pytest.raises(RequestError):
        _ = found(web, key_id)
    assert web.requests == []
    assert web.store.scan(("key",), limit=10) == []


# --- what cannot be had now -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "retry_after_s"),
    [(Response(503, {"Retry-After": "60"}), 60), (Response(429), None), (ConnectFailed("closed"), None)],
    ids=["503", "429", "refused"],
)
def test_what_cannot_be_had_now(answer, retry_after_s):
    web = ScriptedWeb({ALICE: answer})
    with pytest.raises(KeyUnavailable) as caught:
        _ = found(web)
    assert caught.value.retry_after_s == retry_after_s
    web.pages[ALICE] = page(publicKey=pem())
    web.pass_s(POLICY.key_retry_s - 1)
    web.asked()
    with pytest.raises(KeyUnavailable) as caught:
        _ = found(web)
    assert caught.value.retry_after_s == 1
    assert web.asked() == []
    web.pass_s(1)
    assert found(web).key.spki == FIRST.spki


@pytest.mark.parametrize("error", [AddressBlocked("10.0.0.1 is closed (private)"), ResponseTooBig("too big")])
def test_what_never_can_be_had_is_refused(error):
    web = ScriptedWeb({ALICE: error})
    for _round in range(2):
        with pytest.raises(KeyRefused):
            _ = found(web)
    assert web.asked() == [ALICE]


class Failing:
    """A store of which one method fails."""

    def __init__(self, web: ScriptedWeb, method: str, after: int = 0) -> None:
        self._store, self._method, self._after = web.store, method, after

    def __getattr__(self, name: str):
        if name == self._method:
            self._after -= 1
            if self._after < 0:
                raise StoreUnavailable("the disk is gone")
        return getattr(self._store, name)


def test_a_server_that_keeps_us_waiting_is_asked_once_in_its_time():
    web = ScriptedWeb()

    def late(request: Request) -> Response:
        web.pass_s(request.limits.deadline_s)
        raise FetchTimedOut("too late")

    web.pages[ALICE] = late
    for _round in range(3):
        with pytest.raises(KeyUnavailable):
            _ = found(web)
    assert web.asked() == [ALICE]
    assert web.runtime.moment - NOON == timedelta(seconds=POLICY.key_s_max)


def judging(verdict: bool, asked: list[tuple[str, datetime]]):
    def is_our_outage(origin: str, now: datetime) -> Op[bool]:
        asked.append((origin, now))
        _ = yield from Now()
        return verdict

    return is_our_outage


@pytest.mark.parametrize(
    ("answer", "ours", "asks", "kept"),
    [
        (ConnectFailed("closed"), True, True, False),
        (FetchTimedOut("late"), True, True, False),
        (ConnectFailed("closed"), False, True, True),
        (Response(503), True, False, True),
        (Response(404), True, False, True),
        (AddressBlocked("rebound"), True, False, True),
    ],
    ids=["refused", "timeout", "theirs", "503", "404", "blocked"],
)
def test_our_own_outage_is_kept_of_nobody(answer, ours, asks, kept):
    web, asked = ScriptedWeb({ALICE: answer}), []
    for _round in range(2):
        with pytest.raises((RemoteError, KeyUnavailable)):
            _ = found(web, is_our_outage=judging(ours, asked))
    assert len(web.asked()) == (1 if kept else 2)
    assert asked == ([(A, NOON)] * (1 if kept else 2) if asks else [])
    assert len(web.store.scan(("key",), limit=10)) == kept


def test_our_own_outage_takes_no_key_away():
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = found(web)
    web.pages[ALICE] = ConnectFailed("closed")
    web.pass_s(POLICY.key_refresh_s)
    with pytest.raises(KeyUnavailable):
        _ = found(web, anew=True, is_our_outage=judging(True, []))
    assert (found(web).key.spki, found(web).cached) == (FIRST.spki, True)
    web.pages[ALICE] = page(publicKey=pem(key=SECOND))
    assert found(web, anew=True).key.spki == SECOND.spki  # at once


def test_a_store_of_ours_that_fails_is_not_held_against_the_key():
    web = ScriptedWeb(
        {GTS: document({"@context": CONTEXT, "id": ALICE, "publicKey": pem(GTS)}), ALICE: page(publicKey=pem(GTS))}
    )
    whole = web.store
    web.store = Failing(web, "get", after=1)
    with pytest.raises(KeyUnavailable):
        _ = found(web, GTS)
    web.store = whole
    assert found(web, GTS).key.owner == ALICE


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail():
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    web.store = Failing(web, "commit")
    assert [found(web).cached, found(web).cached] == [False, False]
    web.pages[ALICE] = Response(404)
    with pytest.raises(NotFound):
        _ = found(web)


# --- kept -----------------------------------------------------------------------------------------------------------


def test_a_key_is_kept_for_its_time():
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = found(web)
    web.pages[ALICE] = page(publicKey=pem(key=SECOND))
    web.pass_s(POLICY.key_ttl_s - 1)
    assert found(web).key.spki == FIRST.spki
    web.pass_s(1)
    assert (found(web).key.spki, found(web).cached) == (SECOND.spki, True)


def test_how_long_is_for_who_asks_to_say():
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = found(web)
    web.pass_s(10)
    assert not found(web, policy=evolve(POLICY, key_ttl_s=10)).cached


@pytest.mark.parametrize("age_s", [0, 1, POLICY.key_refresh_s - 1, POLICY.key_refresh_s])
def test_key_that_changed_is_refreshed_at_once_however_young_it_is(age_s):
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = found(web)
    web.pages[ALICE] = page(publicKey=pem(key=SECOND))
    web.pass_s(age_s)
    fresh = found(web, anew=True)
    assert (fresh.key.spki, fresh.cached, fresh.replaced) == (SECOND.spki, False, True)


def test_key_that_changes_twice_within_the_pause_is_refreshed_twice():
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = found(web)
    for key in (SECOND, FIRST, SECOND):
        web.pages[ALICE] = page(publicKey=pem(key=key))
        assert found(web, anew=True).key.spki == key.spki


def test_refresh_that_brings_the_same_key_is_followed_by_a_pause():
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = found(web)
    assert not found(web, anew=True).cached
    web.asked()
    for _round in range(100):
        web.pass_s((POLICY.key_refresh_s - 1) / 100)
        assert found(web, anew=True) == RemoteKey(found(web).key, cached=True)
    assert web.asked() == []
    web.pages[ALICE] = page(publicKey=pem(key=SECOND))
    web.pass_s(1)
    assert (found(web, anew=True).key.spki, found(web, anew=True).cached) == (SECOND.spki, False)
    assert web.asked() == [ALICE, ALICE]


def test_pause_outlives_the_key_that_it_is_about():
    """A key that is fetched again because it has grown old is refreshed no sooner for that."""
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    policy = evolve(POLICY, key_refresh_s=2 * POLICY.key_ttl_s)
    for anew in (False, True):
        _ = found(web, policy=policy, anew=anew)
    web.pass_s(POLICY.key_ttl_s)
    assert not found(web, policy=policy).cached
    assert found(web, policy=policy, anew=True).cached


@pytest.mark.parametrize("seed", range(20))
def test_flood_of_bad_signatures_costs_one_fetch_a_pause_and_one_a_change(seed):
    chance, web = Random(seed), ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = found(web)
    _ = web.asked()
    changes = 0
    for _step in range(300):
        web.pass_s(chance.uniform(0, 20))
        if chance.random() < 0.02:
            changes += 1
            web.pages[ALICE] = page(publicKey=pem(key=(FIRST, SECOND)[changes % 2]))
        _ = found(web, anew=True)
    pauses = (web.runtime.moment - NOON).total_seconds() / POLICY.key_refresh_s
    assert len(web.asked()) <= pauses + changes + 1


# --- when the owner says that it has changed ------------------------------------------------------------------------


def end_pause(web: ScriptedWeb, *, owner: str = ALICE, said: datetime | None = None) -> None:
    moment = web.runtime.moment if said is None else said
    web.run(end_refresh_pause([MAIN, f"{ALICE}#unknown"], owner=owner, said=moment, policy=POLICY))


def refreshed_in_vain() -> ScriptedWeb:
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    for anew in (False, True):
        assert not found(web, anew=anew).cached
    web.pages[ALICE] = page(publicKey=pem(key=SECOND))
    web.pass_s(10)
    return web


def test_word_of_the_owner_ends_the_pause_once():
    web = refreshed_in_vain()
    assert found(web, anew=True).cached
    said = web.runtime.moment
    end_pause(web)
    assert found(web).key.spki == FIRST.spki
    assert found(web, anew=True).key.spki == SECOND.spki
    web.pass_s(10)
    assert not found(web, anew=True).cached
    end_pause(web, said=said)  # repeated
    assert found(web, anew=True).cached


def test_word_of_somebody_else_ends_no_pause():
    web = refreshed_in_vain()
    end_pause(web, owner=MALLORY)
    assert found(web, anew=True).cached


def test_word_about_keys_that_are_not_kept_writes_nothing():
    web = ScriptedWeb()
    end_pause(web)
    assert web.store.scan((), limit=10) == []


def test_store_that_fails_keeps_the_pause():
    web = refreshed_in_vain()
    whole = web.store
    for method in ("get", "commit"):
        web.store = Failing(web, method)
        end_pause(web)
        web.store = whole
    assert found(web, anew=True).cached


@pytest.mark.parametrize(("key", "replaced"), [(SECOND, True), (FIRST, False)], ids=["another", "the-same"])
def test_a_key_that_changed_without_a_word_is_noted(caplog, key, replaced):
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    with caplog.at_level("INFO", logger="apcore.remote.keys"):
        assert not found(web).replaced
        web.pages[ALICE] = page(publicKey=pem(key=key))
        web.pass_s(POLICY.key_refresh_s)
        assert found(web, anew=True).replaced == replaced
        assert not found(web).replaced
    assert [record.args for record in caplog.records] == [(MAIN, ALICE)] * replaced


@pytest.mark.parametrize(
    "answer", [Response(503), ConnectFailed("closed"), AddressBlocked("rebound")], ids=["503", "refused", "blocked"]
)
def test_a_bad_signature_during_an_outage_takes_no_key_away(answer):
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = found(web)
    web.pages[ALICE] = answer
    web.pass_s(POLICY.key_refresh_s)
    web.asked()
    for _round in range(3):
        with pytest.raises((KeyUnavailable, KeyRefused)):
            _ = found(web, anew=True)
        assert (found(web).key.spki, found(web).cached) == (FIRST.spki, True)
    assert web.asked() == [ALICE]
    web.pages[ALICE] = page(publicKey=pem(key=SECOND))
    web.pass_s(POLICY.key_retry_s)
    assert found(web, anew=True).key.spki == SECOND.spki


def test_the_outage_does_not_make_the_key_live_longer():
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = found(web)
    web.pages[ALICE] = Response(503)
    web.pass_s(POLICY.key_ttl_s - 1)
    with pytest.raises(KeyUnavailable):
        _ = found(web, anew=True)
    assert found(web).cached
    web.pass_s(1)
    with pytest.raises(KeyUnavailable):
        _ = found(web)


@pytest.mark.parametrize(
    "answer", [Response(410), page(), page(publicKey=pem(owner=MALLORY))], ids=["gone", "withdrawn", "given-away"]
)
def test_what_its_origin_takes_back_is_taken_back(answer):
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    _ = found(web)
    web.pages[ALICE] = answer
    web.pass_s(POLICY.key_refresh_s)
    for anew in (True, False):
        with pytest.raises(RemoteError):
            _ = found(web, anew=anew)


@pytest.mark.parametrize(
    "when", [datetime(2027, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), datetime(1960, 1, 1, tzinfo=UTC)]
)
@pytest.mark.parametrize("member", ["expires", "revoked"])
def test_the_end_of_a_key_is_kept_with_it(when, member):
    key_id = f"{ALICE}#ed"
    web = ScriptedWeb(
        {ALICE: page(assertionMethod=[multikey(key_id, **{member: when.strftime("%Y-%m-%dT%H:%M:%SZ")})])}
    )
    web.pages[ALICE] = document(
        actor(assertionMethod=[multikey(key_id, **{member: when.strftime("%Y-%m-%dT%H:%M:%SZ")})])
        | {"@context": [*CONTEXT, "https://www.w3.org/ns/cid/v1"]}
    )
    assert [found(web, key_id).key.expires, found(web, key_id).key.expires] == [when, when]


def test_a_failure_is_for_the_viewer_that_met_it():
    def answer(request: Request) -> Response:
        return page(publicKey=pem()) if "signature" in request.headers else Response(401)

    web = ScriptedWeb({ALICE: answer})
    with pytest.raises(Forbidden):
        _ = found(web)
    assert found(web, identity=ME).key.spki == FIRST.spki
    assert found(web).cached  # what was proved is proved for everyone


def test_an_entry_of_another_key_under_the_same_digest_is_none(monkeypatch):
    """The full id is compared: the store's key is only its digest."""
    web = ScriptedWeb({ALICE: page(publicKey=[pem(), pem(f"{ALICE}#2", key=SECOND)])})
    monkeypatch.setattr("apcore.remote.keys.digest_part", lambda _text: "same")
    assert found(web).key.spki == FIRST.spki
    assert found(web, f"{ALICE}#2").key.spki == SECOND.spki


@pytest.mark.parametrize(
    ("answer", "lifetime_s"),
    [
        (page(publicKey=pem()), POLICY.key_kept_s),
        (Response(404), POLICY.key_retry_s),
        (Response(503), POLICY.key_retry_s),
    ],
    ids=["key", "refused", "unavailable"],
)
def test_every_entry_has_an_end(answer, lifetime_s):
    web = ScriptedWeb({ALICE: answer})
    with suppress(RemoteError, KeyUnavailable):
        _ = found(web)
    web.pass_s(lifetime_s - 1)
    assert len(web.store.scan(("key",), limit=10)) == 1
    web.pass_s(1)
    assert web.store.scan(("key",), limit=10) == []


@pytest.mark.parametrize("then", [None, Response(410), Response(404), Response(503)], ids=["", "gone", "404", "503"])
def test_whose_a_key_was_is_remembered_when_it_counts_no_more(then):
    web = ScriptedWeb({ALICE: page(publicKey=pem())})
    assert web.run(cached_key_owners([MAIN])) == (None,)
    _ = found(web)
    web.pass_s(POLICY.key_ttl_s + 1)
    for _ in range(3):
        if then is not None:
            web.pages[ALICE] = then
            with pytest.raises((Gone, NotFound, KeyRefused, KeyUnavailable)):
                _ = found(web)
            web.pass_s(POLICY.key_retry_s + 1)
        assert web.run(cached_key_owners([MAIN, f"{ALICE}#2"])) == (ALICE, None)
    web.asked()
    web.pages[ALICE] = page(publicKey=pem(key=SECOND))
    assert found(web).key.spki == SECOND.spki, "what is remembered of it is no key"
    web.pass_s(POLICY.key_kept_s)
    assert web.run(cached_key_owners([MAIN])) == (None,)


# --- found by name --------------------------------------------------------------------------------------------------


def test_a_key_is_found_in_a_document_as_it_came():
    """Compact, without a context of security: plain JSON as some servers send it."""
    members = {name: value for name, value in actor(publicKey=pem()).items() if name != "@context"}
    web = ScriptedWeb(
        {ALICE: Response(200, {"Content-Type": "application/activity+json"}, json.dumps(members).encode())}
    )
    assert found(web).key.spki == FIRST.spki
