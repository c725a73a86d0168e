"""Check one attempt of a delivery: signature schemes, redirects, and the outcome of the answers."""

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
from apcore.federation.outbox.circuit import circuit_key
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


def other_scheme(scheme: str) -> Literal["cavage", "rfc9421"]:
    return "cavage" if scheme == "rfc9421" else "rfc9421"


def accept_only(scheme: str, *, refusal: int = 401) -> Callable[[Request], Response]:
    """Build a server that accepts one signature scheme."""
    return lambda request: Response(202 if scheme_of(request) == scheme else refusal)


def server_with_scheme(scheme: Literal["cavage", "rfc9421"]) -> Outgoing:
    federation = alice_and_bob()
    object.__setattr__(federation, "signature_scheme", scheme)
    return Outgoing(federation)


def like(out: Outgoing, to: str = f"{X}/bob", of: str = f"{X}/notes/1") -> None:
    out.node.send(Like(object=of), by="alice", to=to)
    out.work()


def take_schemes(out: Outgoing) -> list[str]:
    """Return the schemes of the POSTs since the last call."""
    schemes = [scheme_of(request) for _, request in out.post.posts]
    out.post.posts.clear()
    return schemes


def stored_dialect(out: Outgoing, origin: str = X) -> Dialect | None:
    return read_dialect(out.store.get([dialect_key(origin)])[0])


def remember(out: Outgoing, dialect: Dialect | None) -> None:
    write = None if dialect is None else remember_dialect(X, dialect, None, now=out.clock.moment)
    if write is not None:
        assert out.store.commit((), (write,), token=b"0" * 16)


def outcome(out: Outgoing) -> str:
    """Return the state of the only delivery: "dead", "waits" or "delivered"."""
    if dead := out.facts("dead", "1", "out"):
        assert len(dead) == 1
        return "dead"
    return "waits" if out.facts("out", "1") + out.facts("out-retry", "1") else "delivered"


# --- combined answers ----------------------------------------------------------------------------------------------

COMBINED_ANSWERS: list[tuple[tuple[int, ...], bool, AttemptOutcome]] = [
    ((202,), False, AttemptOutcome.DELIVERED),
    ((404,), False, AttemptOutcome.REFUSED),
    ((503,), True, AttemptOutcome.HOST_FAILING),
    ((401,), True, AttemptOutcome.UNPROVED),  # no time for a second attempt
    ((400,), False, AttemptOutcome.UNPROVED),
    ((401, 202), True, AttemptOutcome.DELIVERED),
    ((403, 202), False, AttemptOutcome.DELIVERED),
    # The server accepted the first dialect before, so its answer has another reason.
    ((403, 401), True, AttemptOutcome.REFUSED),
    ((400, 503), True, AttemptOutcome.REFUSED),
    ((401, 400), True, AttemptOutcome.UNPROVED),
    ((401, 410), True, AttemptOutcome.UNPROVED),
    # The dialect of the server is unknown: the more hopeful answer counts.
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


@pytest.mark.parametrize(("statuses", "is_known", "answer"), COMBINED_ANSWERS, ids=str)
def test_answers_to_two_schemes_are_combined(statuses: tuple[int, ...], is_known: bool, answer: AttemptOutcome) -> None:
    attempts = [Knock(Dialect(scheme), status) for scheme, status in zip(SCHEMES, statuses, strict=False)]
    assert combine_outcomes(attempts, is_dialect_known=is_known) is answer


# --- signature schemes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("remembered_dialect", [None, CAVAGE, RFC9421], ids=["unknown", "cavage", "rfc9421"])
@pytest.mark.parametrize("configured", SCHEMES)
def test_second_attempt_follows_only_a_refusal_of_the_first(
    status: int, remembered_dialect: Dialect | None, configured: Literal["cavage", "rfc9421"]
) -> None:
    out = server_with_scheme(configured)
    first_scheme = configured if remembered_dialect is None else remembered_dialect.scheme
    out.post.answers[X] = accept_only(other_scheme(first_scheme), refusal=status)
    remember(out, remembered_dialect)
    like(out)
    if status == 202:
        assert take_schemes(out) == [first_scheme]
        assert stored_dialect(out) == Dialect(first_scheme)
    elif status in {400, 401, 403}:
        assert take_schemes(out) == [first_scheme, other_scheme(first_scheme)]
        assert stored_dialect(out) == Dialect(other_scheme(first_scheme))
        assert outcome(out) == "delivered"
    else:
        assert take_schemes(out) == [first_scheme]
        assert stored_dialect(out) == remembered_dialect
        assert outcome(out) != "delivered"


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize("remembered_dialect", [None, CAVAGE, RFC9421], ids=["unknown", "cavage", "rfc9421"])
def test_refusal_of_both_schemes_keeps_the_remembered_dialect(status: int, remembered_dialect: Dialect | None) -> None:
    out = Outgoing()
    out.post.answers[X] = status
    remember(out, remembered_dialect)
    like(out)
    assert len(take_schemes(out)) == 2
    assert stored_dialect(out) == remembered_dialect
    assert outcome(out) == ("waits" if status == 401 else "dead")


def test_dead_letter_names_both_statuses_but_no_content_of_the_peer() -> None:
    out = Outgoing()
    out.post.answers[X] = lambda request: Response(
        400 if scheme_of(request) == "cavage" else 403, Headers({"X-Why": "secret"}), b"secret"
    )
    like(out)
    [dead] = out.facts("dead", "1", "out")
    assert b"status 400 to cavage and status 403 to rfc9421" in dead.value
    assert b"secret" not in dead.value


def test_401_is_retried_eight_times() -> None:
    """Answer 401: a peer that could not fetch our key may succeed an hour later; one that blocks us never will."""
    out = Outgoing()
    out.post.answers[X] = 401
    like(out)
    out.pass_s(DAY_S, step_s=300)
    assert len(out.post.posts) == 16
    assert 1800 < out.post.times_s[-1] < 3 * 3600
    [dead] = out.facts("dead", "1", "out")
    assert b"status 401 to cavage and status 401 to rfc9421" in dead.value


def test_401_after_an_outage_of_a_day_is_still_retried() -> None:
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


def test_each_attempt_has_its_own_date_and_digest_and_the_same_body() -> None:
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


def test_challenge_is_answered_and_remembered() -> None:
    def asking(request: Request) -> Response:
        value = request.headers.get("signature-input") or ""
        is_met = 'tag="app"' in value and '"content-type"' in value and '"content-digest"' in value
        challenge = 'sig2=("@method" "content-type");created;tag="app"'
        return Response(202) if is_met else Response(401, {"Accept-Signature": challenge})

    out = Outgoing()
    out.post.answers[X] = asking
    like(out)
    assert take_schemes(out) == ["cavage", "rfc9421"]
    like(out, of=f"{X}/notes/2")
    assert take_schemes(out) == ["rfc9421"]


def test_date_host_digest_and_expiry_are_sent_with_rfc9421_on_request() -> None:
    challenge = 'a=("date" "host" "digest" "content-digest");created;expires'

    def asking(request: Request) -> Response:

        is_met = '"date" "host" "digest" "content-digest"' in (request.headers.get("signature-input") or "")
        return Response(202) if is_met else Response(401, {"Accept-Signature": challenge})

    out = Outgoing()
    out.post.answers[X] = asking
    for number, expected in enumerate((["cavage", "rfc9421"], ["rfc9421"])):
        like(out, of=f"{X}/notes/{number}")
        _, request = out.post.posts[-1]
        assert check_digest(request.headers.get("digest") or "", request.body) is None
        now = int(out.clock.moment.timestamp())
        assert f"created={now};" in (request.headers.get("signature-input") or "")
        assert f"expires={now + 300}" in (request.headers.get("signature-input") or "")
        assert take_schemes(out) == expected


def test_timeout_of_the_second_attempt_is_retried_later() -> None:
    out = Outgoing()
    out.post.answers[X] = lambda request: (
        accept_only("none")(request) if scheme_of(request) == "cavage" else _time_out()
    )
    like(out)
    assert take_schemes(out) == ["cavage", "rfc9421"]
    assert outcome(out) == "waits"


def _time_out() -> Response:
    raise FetchTimedOut("no")


def test_no_second_attempt_is_made_after_the_time_limit() -> None:
    out = Outgoing()

    def slow(_: Request) -> Response:
        out.clock.moment += timedelta(seconds=30)
        return Response(403)

    out.post.answers[X] = slow
    like(out)
    assert take_schemes(out) == ["cavage"]
    assert outcome(out) == "waits"


def test_learnt_dialect_is_used_by_later_deliveries_of_the_step() -> None:
    out = Outgoing()
    out.post.answers[X] = accept_only("rfc9421")
    for number in range(12):
        out.node.send(Like(object=f"{X}/notes/{number}"), by="alice", to=f"{X}/bob")
    out.work()
    assert take_schemes(out) == ["cavage", *["rfc9421"] * 12]


def test_dialect_of_a_known_origin_costs_no_extra_read_or_commit() -> None:
    effects: list[Any] = []

    def observe(effect: object, _place: object) -> Any:
        effects.append(effect)
        return lambda _outcome: None

    out = Outgoing(observer=observe)
    like(out)
    [learning_commit] = [
        effect for effect in effects if isinstance(effect, Commit) and dialect_key(X) in {w.key for w in effect.writes}
    ]
    assert any(write.key[0] == "out" for write in learning_commit.writes)  # in the commit of the delivery
    effects.clear()
    like(out, of=f"{X}/notes/2")
    assert not [
        effect for effect in effects if isinstance(effect, Commit) and dialect_key(X) in {w.key for w in effect.writes}
    ]
    dialect_reads = [effect for effect in effects if isinstance(effect, Get) and dialect_key(X) in effect.keys]
    assert all(circuit_key(X) in effect.keys for effect in dialect_reads)  # in one read
    assert (
        len(
            [
                e
                for e in effects
                if isinstance(e, Commit)
                and any(w.key[0] == "out" and w.key[2].partition(" ")[0] == X for w in e.writes)
            ]
        )
        == 2
    )


def test_used_dialect_is_renewed_before_it_expires() -> None:
    out = Outgoing()
    out.post.answers[X] = accept_only("rfc9421")
    for day in range(0, 100, 10):
        like(out, of=f"{X}/notes/{day}")
        assert take_schemes(out) == (["rfc9421"] if day else ["cavage", "rfc9421"])
        out.clock.moment += timedelta(days=10)
    out.clock.moment += timedelta(days=20)
    like(out)
    assert take_schemes(out) == ["cavage", "rfc9421"]


@pytest.mark.parametrize(("accepted", "configured"), list(product(SCHEMES, SCHEMES)))
def test_servers_of_one_scheme_get_every_delivery(
    accepted: Literal["cavage", "rfc9421"], configured: Literal["cavage", "rfc9421"]
) -> None:
    """Change the accepted scheme of a server after half of the deliveries."""
    out = server_with_scheme(configured)
    out.post.answers[X] = accept_only(accepted)
    for number in range(10):
        if number == 5:
            out.post.answers[X] = accept_only(other_scheme(accepted), refusal=400)
        like(out, of=f"{X}/notes/{number}")
    assert len(out.post.posts) == 10 + (accepted != configured) + 1
    assert outcome(out) == "delivered"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(STATUSES), min_size=1, max_size=6),
    st.sampled_from([None, CAVAGE, RFC9421]),
    st.booleans(),
)
def test_at_most_two_attempts_and_the_second_only_after_a_refusal(
    statuses: list[int], remembered_dialect: Dialect | None, challenged: bool
) -> None:
    out = Outgoing(_FEDERATION)
    remember(out, remembered_dialect)
    sent_statuses: list[int] = []

    def answer(_: Request) -> Response:
        sent_statuses.append(statuses[len(sent_statuses) % len(statuses)])
        headers = Headers({"Accept-Signature": 's=("@method");created;nonce="n"'}) if challenged else Headers()
        return Response(sent_statuses[-1], headers)

    out.post.answers[X] = answer
    like(out)
    posts = len(out.post.posts)
    assert posts == (2 if sent_statuses[0] in SECOND_KNOCK else 1)
    dialect = stored_dialect(out)
    assert dialect == remembered_dialect or sent_statuses[-1] == 202


_FEDERATION: Federation[None] = alice_and_bob()


# --- redirects ------------------------------------------------------------------------------------------------------


def redirect_to(location: str, status: int = 308) -> Response:
    return Response(status, {"Location": location})


@pytest.mark.parametrize("status", [307, 308])
def test_redirect_within_its_origin_is_followed_and_signed_anew(status: int) -> None:
    out = Outgoing()
    out.post.answers[INBOX] = redirect_to("/users/bob/inbox?x=1", status)
    like(out)
    assert out.post.urls == [INBOX, f"{X}/users/bob/inbox?x=1"]
    first, second = (request for _, request in out.post.posts)
    assert first.body == second.body
    assert first.headers.get("signature") != second.headers.get("signature")
    assert second.method == "POST"
    assert outcome(out) == "delivered"


@pytest.mark.parametrize("status", [301, 302, 303])
def test_redirect_that_changes_the_method_is_a_refusal(status: int) -> None:
    out = Outgoing()
    out.post.answers[INBOX] = redirect_to("/users/bob/inbox", status)
    like(out)
    assert out.post.urls == [INBOX]
    assert outcome(out) == "dead"


OTHER_ORIGINS = [
    f"{Y}/inbox",
    "http://x.example/bob/inbox2",
    "https://x.example:8443/inbox",
    "https://sub.x.example/inbox",
    "//y.example/",
]


@pytest.mark.parametrize("location", OTHER_ORIGINS)
@pytest.mark.parametrize("status", [307, 308])
def test_redirect_to_another_origin_is_a_refusal(location: str, status: int) -> None:
    out = Outgoing()
    out.post.answers[INBOX] = redirect_to(location, status)
    like(out)
    assert out.post.urls == [INBOX]
    assert outcome(out) == "dead"


BAD_LOCATIONS = ["ftp://x.example/", "https://u@x.example/", "https://", "/a b", "/" + "x" * 5000]


@pytest.mark.parametrize("location", BAD_LOCATIONS, ids=lambda location: repr(location)[:20])
def test_redirect_to_a_malformed_location_is_a_refusal(location: str) -> None:
    out = Outgoing()
    out.post.answers[INBOX] = redirect_to(location)
    like(out)
    assert out.post.urls == [INBOX]
    assert outcome(out) == "dead"


def test_redirect_without_a_location_is_a_refusal() -> None:
    out = Outgoing()
    out.post.answers[INBOX] = 307
    like(out)
    assert (len(out.post.posts), outcome(out)) == (1, "dead")


def test_redirect_circle_is_a_refusal() -> None:
    out = Outgoing()
    out.post.answers[INBOX] = redirect_to("/other")
    out.post.answers[f"{X}/other"] = redirect_to("/bob/inbox")
    like(out)
    assert out.post.urls == [INBOX, f"{X}/other"]
    assert outcome(out) == "dead"


def test_number_of_redirects_is_bounded() -> None:
    out = Outgoing()
    out.post.answers[X] = lambda request: redirect_to(f"{request.url}x")
    like(out)
    assert len(out.post.posts) == REDIRECTS_MAX + 1
    assert outcome(out) == "dead"


def test_each_redirect_target_may_get_two_attempts() -> None:
    out = Outgoing()
    out.post.answers[INBOX] = lambda request: redirect_to("/2") if scheme_of(request) == "rfc9421" else Response(401)
    out.post.answers[f"{X}/2"] = accept_only("rfc9421")
    like(out)
    assert take_schemes(out) == ["cavage", "rfc9421", "cavage", "rfc9421"]
    assert stored_dialect(out) == RFC9421


def test_slow_redirect_is_retried_later() -> None:
    out = Outgoing()

    def slow(_: Request) -> Response:
        out.clock.moment += timedelta(seconds=30)
        return redirect_to("/2")

    out.post.answers[INBOX] = slow
    like(out)
    assert out.post.urls == [INBOX]
    assert outcome(out) == "waits"
