"""Check failed loads: a failure is raised again without a request until its retry time, for the signer that met it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from apcore.effects import commit
from apcore.errors import (
    AddressBlocked,
    ApcoreError,
    ConnectFailed,
    DocumentError,
    FetchTimedOut,
    LimitExceeded,
    NameUnresolved,
    ProtocolFailed,
    RequestError,
    ResponseTooBig,
    TlsFailed,
    Unavailable,
)
from apcore.http import Response
from apcore.remote import (
    FetchPolicy,
    Forbidden,
    Identity,
    NotFound,
    PeerFailing,
    Rejected,
    UnauthenticatedClient,
    WrongId,
    WrongMediaType,
    changed_document,
    resolve,
)
from apcore.remote.failed_loads import FIRST_PAUSE_S, PAUSE_S_MAX, load_unless_failed
from scripted_web import ScriptedWeb, document

NOTE = "https://a.example/notes/1"
POLICY = FetchPolicy(freshness=None)
ME = Identity(key_name="instance", key_id="https://me.example/actor#main-key")
GOOD = document({"id": NOTE, "type": "Note", "content": "hi"})
FAILURES = [
    (Response(404), NotFound),
    (Response(403), Forbidden),
    (Response(418), Rejected),
    (Response(500), PeerFailing),
    (Response(200, {"content-type": "text/html"}, b"<p>hi"), WrongMediaType),
    (document({"id": "https://b.example/1", "type": "Note"}), WrongId),
    (Response(200, {"content-type": "application/activity+json"}, b"{"), DocumentError),
    (Response(200, {"content-type": "application/activity+json"}, b"{", truncated=True), LimitExceeded),
    (NameUnresolved("no such name"), NameUnresolved),
    (ConnectFailed("connection refused"), ConnectFailed),
    (TlsFailed("the certificate has expired"), TlsFailed),
    (FetchTimedOut("after 10 s"), FetchTimedOut),
    (AddressBlocked("10.0.0.1 is private"), AddressBlocked),
    (ResponseTooBig("over 1 MiB"), ResponseTooBig),
    (ProtocolFailed("no HTTP"), ProtocolFailed),
]
each_failure = pytest.mark.parametrize(("answer", "kind"), FAILURES, ids=[kind.__name__ for _, kind in FAILURES])


def content(web: ScriptedWeb, **options) -> str:
    return web.run(resolve(NOTE, **({"policy": POLICY} | options))).words["content"]


def fail(web: ScriptedWeb, kind: type[ApcoreError], **options) -> ApcoreError:
    with pytest.raises(kind) as caught:
        content(web, **options)
    assert type(caught.value) is kind
    return caught.value


def test_every_kind_with_a_pause_is_tried() -> None:
    assert {kind for _, kind in FAILURES} == set(FIRST_PAUSE_S)


@each_failure
def test_failure_is_raised_again_without_a_request_until_its_retry_time(answer, kind) -> None:
    web = ScriptedWeb({NOTE: answer})
    first_message = str(fail(web, kind))
    web.pages[NOTE] = GOOD
    _ = web.asked()
    web.pass_s(FIRST_PAUSE_S[kind] - 1)
    error = fail(web, kind)
    assert str(error).startswith(first_message)
    assert "not asked again before" in str(error)
    assert web.asked() == []
    if isinstance(error, Unavailable):
        assert error.retry_after_s == pytest.approx(1)
    web.pass_s(2)
    assert content(web) == "hi"


@each_failure
def test_pause_doubles_with_each_failure_up_to_a_day(answer, kind) -> None:
    web = ScriptedWeb({NOTE: answer})
    pauses_s = []
    for _ in range(12):
        _ = fail(web, kind)
        error = fail(web, kind)  # raised from memory
        if isinstance(error, Unavailable):
            pauses_s.append(round(error.retry_after_s))
        web.pass_s(max(PAUSE_S_MAX, FIRST_PAUSE_S[kind]) + 1)
    if issubclass(kind, Unavailable):
        first_s = FIRST_PAUSE_S[kind]
        assert pauses_s == [min(first_s * 2**number, PAUSE_S_MAX) for number in range(12)]


def test_success_ends_the_doubling() -> None:
    web = ScriptedWeb({NOTE: Response(500)})
    _ = fail(web, PeerFailing)
    web.pass_s(61)
    web.pages[NOTE] = GOOD
    assert content(web) == "hi"
    web.pass_s(40 * 86400)
    web.pages[NOTE] = Response(500)
    _ = fail(web, PeerFailing)
    error = fail(web, PeerFailing)
    assert isinstance(error, Unavailable)
    assert error.retry_after_s == pytest.approx(60)


@given(st.integers(0, 10**9 - 1))
def test_retry_after_makes_the_pause_longer_but_never_longer_than_a_day(seconds: int) -> None:
    web = ScriptedWeb({NOTE: Response(429, {"retry-after": str(seconds)})})
    _ = fail(web, PeerFailing)
    error = fail(web, PeerFailing)
    assert isinstance(error, Unavailable)
    assert error.retry_after_s == pytest.approx(min(max(seconds, 60), 86400))
    assert len(web.asked()) == 1


def test_failure_counts_only_for_the_signer_that_met_it() -> None:
    web = ScriptedWeb({NOTE: Response(404)})
    _ = fail(web, NotFound)
    web.pages[NOTE] = GOOD
    assert content(web, identity=ME) == "hi"
    _ = fail(web, NotFound)


def test_failure_brought_about_by_an_unauthenticated_client_is_not_remembered() -> None:
    web = ScriptedWeb({NOTE: Response(404)})
    _ = fail(web, NotFound, policy=evolve(POLICY, unauthenticated_client=UnauthenticatedClient("203.0.113.9")))
    web.pages[NOTE] = GOOD
    assert content(web) == "hi"


def test_change_announced_by_the_owner_ends_a_failure() -> None:
    web = ScriptedWeb({NOTE: Response(404)})
    _ = fail(web, NotFound)
    web.pass_s(1)
    web.run(commit((), (changed_document(NOTE, web.runtime.now()),)))
    web.pages[NOTE] = GOOD
    assert content(web) == "hi"


def test_invalid_address_is_not_remembered() -> None:
    web = ScriptedWeb()
    for _ in range(2):
        with pytest.raises(RequestError) as caught:
            web.run(resolve("ftp://a.example/1", policy=POLICY))
        assert "not asked again" not in str(caught.value)


def test_stale_document_is_returned_while_its_origin_fails_for_a_bounded_time() -> None:
    web = ScriptedWeb({NOTE: GOOD})
    assert content(web) == "hi"
    web.pass_s(timedelta(hours=2).total_seconds())
    web.pages[NOTE] = Response(500)
    assert content(web) == "hi"
    assert len(web.asked()) == 2
    assert content(web) == "hi"  # and the origin is not asked before the retry time
    assert web.asked() == []
    web.pass_s(timedelta(days=7).total_seconds())
    _ = fail(web, PeerFailing)


@pytest.mark.parametrize(("answer", "kind"), [(Response(404), NotFound), (Response(403), Forbidden)])
def test_stale_document_is_not_returned_against_the_word_of_its_origin(answer, kind) -> None:
    web = ScriptedWeb({NOTE: GOOD})
    assert content(web) == "hi"
    web.pass_s(timedelta(hours=2).total_seconds())
    web.pages[NOTE] = answer
    _ = fail(web, kind)


@pytest.mark.parametrize(("answer", "kind"), [(Response(404), NotFound), (Response(403), Forbidden)])
def test_copy_ends_when_its_origin_does_not_serve_it_any_more(answer, kind) -> None:
    web = ScriptedWeb({NOTE: GOOD})
    assert content(web, policy=FetchPolicy()) == "hi"  # fresh for ever
    web.pages[NOTE] = answer
    with pytest.raises(kind):
        _ = web.run(load_unless_failed(NOTE, policy=FetchPolicy(), fresh=True))
    _ = fail(web, kind, policy=FetchPolicy())
    web.pages[NOTE] = GOOD
    web.pass_s(3601)
    assert content(web, policy=FetchPolicy()) == "hi"
