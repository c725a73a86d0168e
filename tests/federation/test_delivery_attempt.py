"""One attempt of a delivery: knocks, redirects, and what the answers mean."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import product
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apcore.effects import Commit, Get
from apcore.errors import ConnectFailed, FetchTimedOut
from apcore.federation import Federation
from apcore.federation.outbox.attempt import REDIRECTS_MAX, AttemptOutcome, combine_outcomes
from apcore.http import Headers, Request, Response, check_digest
from apcore.remote import Dialect, Knock, dialect_key, read_dialect, remember_dialect
from apcore.remote.dialects import SECOND_KNOCK
from apcore.vocab import Like
from outbox_fixture import Outgoing, alice_and_bob

X, Y = "https://x.example", "https://y.example"
INBOX = f"{X}/bob/inbox"
DAY_S = 86400.0
CAVAGE, RFC9421 = Dialect("cavage"), Dialect("rfc9421")
SCHEMES: tuple[Literal["cavage", "rfc9421"], ...] = ("cavage", "rfc9421")
STATUSES = (202, 301, 307, 400, 401, 403, 404, 405, 406, 408, 410, 413, 422, 425, 429, 451, 500, 501, 502, 503, 504)


def scheme_of(request: Request) -> Literal["cavage", "rfc9421"]:
    assert "signature" in request.headers
    return "rfc9421" if "signature-input" in request.headers else "cavage"


def other(scheme: str) -> Literal["cavage", "rfc9421"]:
    return "cavage" if scheme == "rfc9421" else "rfc9421"


def only(scheme: str, *, refusal: int = 401) -> Callable[[Request], Response]:
    """A server that takes one scheme."""
    return lambda request: Response(202 if scheme_of(request) == scheme else refusal)


def saying(scheme: Literal["cavage", "rfc9421"]) -> Outgoing:
    federation = alice_and_bob()
    object.__setattr__(federation, "signature_scheme", scheme)
    return Outgoing(federation)


def like(out: Outgoing, to: str = f"{X}/bob", of: str = f"{X}/notes/1") -> None:
    out.node.send(Like(object=of), by="alice", to=to)
    out.work()


def knocks(out: Outgoing) -> list[str]:
    """The schemes of the POSTs since the last time."""
    schemes = [scheme_of(request) for _, request in out.post.posts]
    out.post.posts.clear()
    return schemes


def memory(out: Outgoing, origin: str = X) -> Dialect | None:
    return read_dialect(out.store.get([dialect_key(origin)])[0])


def remember(out: Outgoing, dialect: Dialect | None) -> None:
    write = None if dialect is None else remember_dialect(X, dialect, None, now=out.clock.moment)
    if write is not None:
        assert out.store.commit((), (write,), token=b"0" * 16)


def outcome(out: Outgoing) -> str:
    """What has become of the one delivery."""
    if dead := out.facts("dead", "1", "out"):
        assert len(dead) == 1
        return "dead"
    return "waits" if out.facts("out", "1") + out.facts("out-retry", "1") else "delivered"


# --- what two answers mean ------------------------------------------------------------------------------------------

JUDGED: list[tuple[tuple[int, ...], bool, AttemptOutcome]] = [
    ((202,), False, AttemptOutcome.DELIVERED),
    ((404,), False, AttemptOutcome.REFUSED),
    ((503,), True, AttemptOutcome.HOST_FAILING),
    ((401,), True, AttemptOutcome.UNPROVED),  # no time for a second knock
    ((400,), False, AttemptOutcome.UNPROVED),
    ((401, 202), True, AttemptOutcome.DELIVERED),
    ((403, 202), False, AttemptOutcome.DELIVERED),
    # It took the first dialect before: so its answer to that one is about something else.
    ((403, 401), True, AttemptOutcome.REFUSED),
    ((400, 503), True, AttemptOutcome.REFUSED),
    ((401, 400), True, AttemptOutcome.UNPROVED),
    ((401, 410), True, AttemptOutcome.UNPROVED),
    # Nobody knows which of the two it understands: what leaves more hope counts.
    ((400, 401), False, AttemptOutcome.UNPROVED),
    ((401, 400), False, AttemptOutcome.UNPROVED),
    ((401, 401), False, AttemptOutcome.UNPROVED),
    ((400, 503), False, AttemptOutcome.INBOX_FAILING),
    ((403, 429), False, AttemptOutcome.INBOX_FAILING),
    ((401, 408), False, AttemptOutcome.INBOX_FAILING),
    ((400, 400), False, AttemptOutcome.REFUSED),
    ((403, 403), False, AttemptOutcome.REFUSED),
    ((400, 403), False, AttemptOutcome.REFUSED),
    ((401, 404), False, AttemptOutcome.REFUSED),
    ((401, 410), False, AttemptOutcome.REFUSED),
]


@pytest.mark.parametrize(("statuses", "known", "answer"), JUDGED, ids=str)
def test_what_knocks_mean_together(statuses: tuple[int, ...], known: bool, answer: AttemptOutcome) -> None:
    tried = [Knock(Dialect(scheme), status) for scheme, status in zip(SCHEMES, statuses, strict=False)]
    assert combine_outcomes(tried, is_dialect_known=known) is answer


# --- knocking -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("before", [None, CAVAGE, RFC9421], ids=["unknown", "cavage", "rfc9421"])
@pytest.mark.parametrize("says", SCHEMES)
def test_what_the_first_answer_leads_to(
    status: int, before: Dialect | None, says: Literal["cavage", "rfc9421"]
) -> None:
    out = saying(says)
    first = says if before is None else before.scheme
    out.post.answers[X] = only(other(first), refusal=status)
    remember(out, before)
    like(out)
    if status == 202:
        assert knocks(out) == [first]
        assert memory(out) == Dialect(first)
    elif status in {400, 401, 403}:
        assert knocks(out) == [first, other(first)]
        assert memory(out) == Dialect(other(first))
        assert outcome(out) == "delivered"
    else:
        assert knocks(out) == [first]
        assert memory(out) == before
        assert outcome(out) != "delivered"


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize("before", [None, CAVAGE, RFC9421], ids=["unknown", "cavage", "rfc9421"])
def test_who_refuses_both_changes_nothing(status: int, before: Dialect | None) -> None:
    out = Outgoing()
    out.post.answers[X] = status
    remember(out, before)
    like(out)
    assert len(knocks(out)) == 2
    assert memory(out) == before
    assert outcome(out) == ("waits" if status == 401 else "dead")


def test_a_refusal_of_both_says_what_was_tried_and_nothing_that_the_peer_wrote() -> None:
    out = Outgoing()
    out.post.answers[X] = lambda request: Response(
        400 if scheme_of(request) == "cavage" else 403, Headers({"X-Why": "secret"}), b"secret"
    )
    like(out)
    [dead] = out.facts("dead", "1", "out")
    assert b"status 400 to cavage and status 403 to rfc9421" in dead.value
    assert b"secret" not in dead.value


def test_a_401_is_worth_eight_attempts_and_then_final() -> None:
    """Whoever could not fetch our key just then can an hour later; whoever has blocked us never will."""
    out = Outgoing()
    out.post.answers[X] = 401
    like(out)
    out.pass_s(DAY_S, step_s=300)
    assert len(out.post.posts) == 16
    assert 1800 < out.post.times_s[-1] < 3 * 3600
    [dead] = out.facts("dead", "1", "out")
    assert b"status 401 to cavage and status 401 to rfc9421" in dead.value


def test_a_401_for_an_hour_after_an_outage_of_a_day_is_still_delivered() -> None:
    out = Outgoing()
    out.post.answers[X] = ConnectFailed("no")
    like(out)
    out.pass_s(DAY_S, step_s=600)
    out.post.answers[X] = 401
    out.pass_s(DAY_S / 2, step_s=600)
    assert outcome(out) == "waits"
    del out.post.answers[X]
    out.pass_s(DAY_S, step_s=600)
    assert outcome(out) == "delivered"


def test_each_knock_has_its_own_date_and_digest_and_the_same_body() -> None:
    out = Outgoing()

    def refusing(_: Request) -> Response:
        out.clock.moment += timedelta(seconds=7)
        return Response(401)

    out.post.answers[X] = refusing
    like(out)
    first, second = (request for _, request in out.post.posts)
    assert first.body == second.body
    assert first.headers.get("date") == "Thu, 01 Jan 2026 12:00:00 GMT"
    assert "digest" in first.headers
    assert "content-digest" not in first.headers
    created = int(out.post.posts[0][0].timestamp()) + 7
    assert f"created={created};" in (second.headers.get("signature-input") or "")
    assert "content-digest" in second.headers
    assert not {"date", "digest"} & {name.lower() for name, _ in second.headers}


def test_what_a_server_asks_for_it_gets_and_is_remembered() -> None:
    def asking(request: Request) -> Response:
        given = request.headers.get("signature-input") or ""
        taken = 'tag="app"' in given and '"content-type"' in given and '"content-digest"' in given
        challenge = 'sig2=("@method" "content-type");created;tag="app"'
        return Response(202) if taken else Response(401, {"Accept-Signature": challenge})

    out = Outgoing()
    out.post.answers[X] = asking
    like(out)
    assert knocks(out) == ["cavage", "rfc9421"]
    like(out, of=f"{X}/notes/2")
    assert knocks(out) == ["rfc9421"]


def test_what_only_draft_cavage_needs_is_there_if_it_is_asked_for_and_so_is_an_expiry() -> None:
    challenge = 'a=("date" "host" "digest" "content-digest");created;expires'

    def asking(request: Request) -> Response:
        taken = '"date" "host" "digest" "content-digest"' in (request.headers.get("signature-input") or "")
        return Response(202) if taken else Response(401, {"Accept-Signature": challenge})

    out = Outgoing()
    out.post.answers[X] = asking
    for number, expected in enumerate((["cavage", "rfc9421"], ["rfc9421"])):
        like(out, of=f"{X}/notes/{number}")
        _, request = out.post.posts[-1]
        assert check_digest(request.headers.get("digest") or "", request.body) is None
        now = int(out.clock.moment.timestamp())
        assert f"created={now};" in (request.headers.get("signature-input") or "")
        assert f"expires={now + 300}" in (request.headers.get("signature-input") or "")
        assert knocks(out) == expected


def test_a_second_knock_that_finds_nobody_is_tried_again_later() -> None:
    out = Outgoing()
    out.post.answers[X] = lambda request: only("nothing")(request) if scheme_of(request) == "cavage" else _no()
    like(out)
    assert knocks(out) == ["cavage", "rfc9421"]
    assert outcome(out) == "waits"


def _no() -> Response:
    raise FetchTimedOut("no")


def test_there_is_no_second_knock_when_the_time_is_up() -> None:
    out = Outgoing()

    def slow(_: Request) -> Response:
        out.clock.moment += timedelta(seconds=30)
        return Response(403)

    out.post.answers[X] = slow
    like(out)
    assert knocks(out) == ["cavage"]
    assert outcome(out) == "waits"


def test_what_one_delivery_has_learnt_the_next_ones_of_the_step_know() -> None:
    out = Outgoing()
    out.post.answers[X] = only("rfc9421")
    for number in range(12):
        out.node.send(Like(object=f"{X}/notes/{number}"), by="alice", to=f"{X}/bob")
    out.work()
    assert knocks(out) == ["cavage", *["rfc9421"] * 12]


def test_a_delivery_to_a_known_origin_reads_and_commits_no_more_than_it_did() -> None:
    asked: list[Any] = []

    def observe(effect: object, _place: object) -> Any:
        asked.append(effect)
        return lambda _outcome: None

    out = Outgoing(observer=observe)
    like(out)
    [learnt] = [
        effect for effect in asked if isinstance(effect, Commit) and dialect_key(X) in {w.key for w in effect.writes}
    ]
    assert any(write.key[0] == "out" for write in learnt.writes)  # the same commit as the delivery's own
    asked.clear()
    like(out, of=f"{X}/notes/2")
    assert not [
        effect for effect in asked if isinstance(effect, Commit) and dialect_key(X) in {w.key for w in effect.writes}
    ]
    about = [effect for effect in asked if isinstance(effect, Get) and dialect_key(X) in effect.keys]
    assert all(len(effect.keys) == 3 for effect in about)  # with the circuit, which is read anyway
    assert (
        len(
            [
                e
                for e in asked
                if isinstance(e, Commit)
                and any(w.key[0] == "out" and w.key[2].partition(" ")[0] == X for w in e.writes)
            ]
        )
        == 2
    )


def test_it_is_written_again_before_it_is_forgotten() -> None:
    out = Outgoing()
    out.post.answers[X] = only("rfc9421")
    for day in range(0, 100, 10):
        like(out, of=f"{X}/notes/{day}")
        assert knocks(out) == (["rfc9421"] if day else ["cavage", "rfc9421"])
        out.clock.moment += timedelta(days=10)
    out.clock.moment += timedelta(days=20)
    like(out)
    assert knocks(out) == ["cavage", "rfc9421"]


@pytest.mark.parametrize(("takes", "says"), list(product(SCHEMES, SCHEMES)))
def test_servers_that_take_one_scheme_get_everything(
    takes: Literal["cavage", "rfc9421"], says: Literal["cavage", "rfc9421"]
) -> None:
    """A history of a server that changes its mind half way."""
    out = saying(says)
    out.post.answers[X] = only(takes)
    for number in range(10):
        if number == 5:
            out.post.answers[X] = only(other(takes), refusal=400)
        like(out, of=f"{X}/notes/{number}")
    assert len(out.post.posts) == 10 + (takes != says) + 1
    assert outcome(out) == "delivered"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(STATUSES), min_size=1, max_size=6),
    st.sampled_from([None, CAVAGE, RFC9421]),
    st.booleans(),
)
def test_never_more_than_two_knocks_and_never_a_second_after_anything_but_a_refusal(
    statuses: list[int], before: Dialect | None, challenged: bool
) -> None:
    out = Outgoing(_FEDERATION)
    remember(out, before)
    given_answers: list[int] = []

    def answer(_: Request) -> Response:
        given_answers.append(statuses[len(given_answers) % len(statuses)])
        headers = Headers({"Accept-Signature": 's=("@method");created;nonce="n"'}) if challenged else Headers()
        return Response(given_answers[-1], headers)

    out.post.answers[X] = answer
    like(out)
    sent = len(out.post.posts)
    assert sent == (2 if given_answers[0] in SECOND_KNOCK else 1)
    after = memory(out)
    assert after == before or given_answers[-1] == 202


_FEDERATION: Federation[None] = alice_and_bob()


# --- redirects ------------------------------------------------------------------------------------------------------


def to(location: str, status: int = 308) -> Response:
    return Response(status, {"Location": location})


@pytest.mark.parametrize("status", [307, 308])
def test_within_its_origin_a_redirect_is_followed_and_signed_anew(status: int) -> None:
    out = Outgoing()
    out.post.answers[INBOX] = to("/users/bob/inbox?x=1", status)
    like(out)
    assert out.post.urls == [INBOX, f"{X}/users/bob/inbox?x=1"]
    first, second = (request for _, request in out.post.posts)
    assert first.body == second.body
    assert first.headers.get("signature") != second.headers.get("signature")
    assert second.method == "POST"
    assert outcome(out) == "delivered"


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_changes_the_method_is_a_refusal(status: int) -> None:
    out = Outgoing()
    out.post.answers[INBOX] = to("/users/bob/inbox", status)
    like(out)
    assert out.post.urls == [INBOX]
    assert outcome(out) == "dead"


ELSEWHERE = [f"{Y}/inbox", "http://x.example/bob/inbox2", "https://x.example:8443/inbox", "https://sub.x.example/inbox", "//y.example/"]  # fmt: skip


@pytest.mark.parametrize("location", ELSEWHERE)
@pytest.mark.parametrize("status", [307, 308])
def test_nothing_signed_goes_to_another_origin(location: str, status: int) -> None:
    out = Outgoing()
    out.post.answers[INBOX] = to(location, status)
    like(out)
    assert out.post.urls == [INBOX]
    assert outcome(out) == "dead"


BAD_LOCATIONS = ["ftp://x.example/", "https://u@x.example/", "https://", "/a b", "/" + "x" * 5000]


@pytest.mark.parametrize("location", BAD_LOCATIONS, ids=lambda location: repr(location)[:20])
def test_a_location_that_is_no_url_is_a_refusal(location: str) -> None:
    out = Outgoing()
    out.post.answers[INBOX] = to(location)
    like(out)
    assert out.post.urls == [INBOX]
    assert outcome(out) == "dead"


def test_a_redirect_without_a_location_is_a_refusal() -> None:
    out = Outgoing()
    out.post.answers[INBOX] = 307
    like(out)
    assert (len(out.post.posts), outcome(out)) == (1, "dead")


def test_a_circle_ends_at_once() -> None:
    out = Outgoing()
    out.post.answers[INBOX] = to("/other")
    out.post.answers[f"{X}/other"] = to("/bob/inbox")
    like(out)
    assert out.post.urls == [INBOX, f"{X}/other"]
    assert outcome(out) == "dead"


def test_so_many_and_no_more() -> None:
    out = Outgoing()
    out.post.answers[X] = lambda request: to(f"{request.url}x")
    like(out)
    assert len(out.post.posts) == REDIRECTS_MAX + 1
    assert outcome(out) == "dead"


def test_each_hop_may_be_knocked_at_twice() -> None:
    out = Outgoing()
    out.post.answers[INBOX] = lambda request: to("/2") if scheme_of(request) == "rfc9421" else Response(401)
    out.post.answers[f"{X}/2"] = only("rfc9421")
    like(out)
    assert knocks(out) == ["cavage", "rfc9421", "cavage", "rfc9421"]
    assert memory(out) == RFC9421


def test_a_slow_redirect_is_left_for_later() -> None:
    out = Outgoing()

    def slow(_: Request) -> Response:
        out.clock.moment += timedelta(seconds=30)
        return to("/2")

    out.post.answers[INBOX] = slow
    like(out)
    assert out.post.urls == [INBOX]
    assert outcome(out) == "waits"
