"""Knocking: in which dialect first, when a second time, and what is remembered of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.effects import Fetch, Now, Sign
from apcore.errors import ConnectFailed, StoreUnavailable
from apcore.http import Headers, Request, Response
from apcore.ports import Entry, Put
from apcore.records.format import encode_record
from apcore.remote import Dialect, FetchPolicy, Identity, dialect_key, fetch, knock, read_dialect, remember_dialect
from apcore.remote.dialects import ASKED_CHARS_MAX, DIALECT_KEPT_S, SECOND_KNOCK
from apcore.signatures import read_challenges
from scripted_web import NOON, ScriptedWeb, redirect

A, B = "https://a.example", "https://b.example"
POLICY = FetchPolicy(user_agent="test/1.0")
ME = Identity(key_name="instance", key_id="https://me.example/actor#main-key")
MODERN = Identity(key_name="instance", key_id="https://me.example/actor#main-key", scheme="rfc9421")
CAVAGE, RFC9421 = Dialect("cavage"), Dialect("rfc9421")
SCHEMES = ("cavage", "rfc9421")
STATUSES = (
    200,
    201,
    204,
    300,
    301,
    304,
    400,
    401,
    402,
    403,
    404,
    405,
    406,
    408,
    410,
    413,
    422,
    429,
    451,
    500,
    501,
    502,
    503,
    504,
)
ASKING = 'sig9=("@method" "@target-uri" "accept");created;tag="app"'


def scheme_of(request: Request) -> str:
    assert "signature" in request.headers
    return "rfc9421" if "signature-input" in request.headers else "cavage"


def only(scheme: str, *, refusal: int = 401, page: Response | None = None) -> Callable[[Request], Response]:
    """A server that takes one scheme."""
    return lambda request: (page or Response(200)) if scheme_of(request) == scheme else Response(refusal)


def asked(web: ScriptedWeb, url: str = f"{A}/1", identity: Identity = ME) -> tuple[int, list[str]]:
    """Fetch; give the status and the schemes of the requests."""
    web.asked()
    found = web.run(fetch(url, policy=POLICY, identity=identity))
    return found.response.status, [scheme_of(request) for request in web.requests]


def memory(web: ScriptedWeb, origin: str = A) -> Dialect | None:
    return read_dialect(web.store.get([dialect_key(origin)])[0])


def remember(web: ScriptedWeb, dialect: Dialect | None, origin: str = A) -> None:
    write = None if dialect is None else remember_dialect(origin, dialect, None, now=web.runtime.moment)
    if write is not None:
        assert web.store.commit((), (write,), token=b"0" * 16)


def other(scheme: str) -> str:
    return "cavage" if scheme == "rfc9421" else "rfc9421"


# --- the table ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("before", [None, CAVAGE, RFC9421], ids=["unknown", "cavage", "rfc9421"])
@pytest.mark.parametrize("identity", [ME, MODERN], ids=["says-cavage", "says-rfc9421"])
def test_what_the_first_answer_leads_to(status: int, before: Dialect | None, identity: Identity) -> None:
    first = identity.scheme if before is None else before.scheme
    web = ScriptedWeb({f"{A}/1": only(other(first), refusal=status)})
    remember(web, before)
    answer = asked(web, identity=identity)
    if status in {400, 401, 403}:
        assert answer == (200, [first, other(first)])
        assert memory(web) == Dialect(other(first))  # type: ignore[arg-type]
    else:
        assert answer == (status, [first])
        assert memory(web) == before


@pytest.mark.parametrize("second", STATUSES)
@pytest.mark.parametrize("before", [None, CAVAGE, RFC9421], ids=["unknown", "cavage", "rfc9421"])
def test_only_success_is_remembered(second: int, before: Dialect | None) -> None:
    answers = iter([Response(401), Response(second)])
    web = ScriptedWeb({f"{A}/1": lambda _: next(answers)})
    remember(web, before)
    status, knocks = asked(web)
    assert status == second
    assert len(knocks) == len(set(knocks)) == 2
    assert memory(web) == (Dialect(knocks[1]) if second in {200, 201, 204, 304} else before)  # type: ignore[arg-type]


def test_a_get_that_succeeds_at_once_proves_nothing() -> None:
    web = ScriptedWeb({f"{A}/1": Response(200)})
    assert asked(web) == (200, ["cavage"])
    assert not web.store.scan(("dialect",), limit=10)


def test_what_was_learnt_is_used_and_kept_without_another_write() -> None:
    web = ScriptedWeb({f"{A}/1": only("rfc9421"), f"{A}/2": only("rfc9421")})
    assert asked(web) == (200, ["cavage", "rfc9421"])
    [entry] = web.store.get([dialect_key(A)])
    assert [asked(web), asked(web, f"{A}/2")] == [(200, ["rfc9421"])] * 2
    assert web.store.get([dialect_key(A)]) == [entry]


def test_it_is_forgotten_after_four_weeks() -> None:
    assert DIALECT_KEPT_S == 28 * 86400
    web = ScriptedWeb({f"{A}/1": only("rfc9421")})
    _ = asked(web)
    web.pass_s(DIALECT_KEPT_S - 1)
    assert asked(web) == (200, ["rfc9421"])
    web.pass_s(2)
    assert asked(web) == (200, ["cavage", "rfc9421"])


def test_origins_are_not_each_other() -> None:
    web = ScriptedWeb(
        {f"{A}/1": only("rfc9421"), f"{B}/1": only("cavage"), "https://a.example:8443/1": only("rfc9421")}
    )
    assert asked(web) == (200, ["cavage", "rfc9421"])
    assert asked(web, f"{B}/1") == (200, ["cavage"])
    assert asked(web, "https://a.example:8443/1") == (200, ["cavage", "rfc9421"])


def test_who_makes_requests_fail_talks_nobody_into_another_scheme() -> None:
    """A refusal of both schemes, however often, leaves what is remembered."""
    web = ScriptedWeb({f"{A}/1": Response(401)})
    remember(web, RFC9421)
    for _ in range(5):
        assert asked(web) == (401, ["rfc9421", "cavage"])
    assert memory(web) == RFC9421


def test_each_knock_is_dated_and_signed_for_itself() -> None:
    def refusing(request: Request) -> Response:
        web.pass_s(60)
        return Response(401)

    web = ScriptedWeb({f"{A}/1": refusing})
    _ = asked(web)
    first, second = web.requests
    assert first.headers.get("date") == "Thu, 01 Jan 2026 12:00:00 GMT"
    created = int((NOON + timedelta(seconds=60)).timestamp())
    assert f"created={created}" in (second.headers.get("signature-input") or "")
    assert "date" not in second.headers


# --- redirects ------------------------------------------------------------------------------------------------------


def test_a_redirect_is_knocked_at_by_the_memory_of_its_own_origin() -> None:
    web = ScriptedWeb({f"{A}/1": redirect(f"{B}/2"), f"{B}/2": only("rfc9421")})
    remember(web, CAVAGE, A)
    remember(web, RFC9421, B)
    assert asked(web) == (200, ["cavage", "rfc9421"])
    assert "a.example" not in repr([value for _, value in web.requests[1].headers])


def test_what_a_redirect_teaches_is_about_its_target_alone() -> None:
    web = ScriptedWeb({f"{A}/1": redirect(f"{B}/2"), f"{B}/2": only("rfc9421")})
    assert asked(web) == (200, ["cavage", "cavage", "rfc9421"])
    assert (memory(web, A), memory(web, B)) == (None, RFC9421)


# --- Accept-Signature -----------------------------------------------------------------------------------------------


def asking(
    text: str, *, status: int = 401, taken: Callable[[str], bool] = lambda _: True
) -> Callable[[Request], Response]:
    """A server that says what it wants, until it gets RFC 9421 whose input it takes."""

    def answer(request: Request) -> Response:
        given = request.headers.get("signature-input")
        return Response(200) if given and taken(given) else Response(status, {"Accept-Signature": text})

    return answer


@pytest.mark.parametrize("identity", [ME, MODERN], ids=["says-cavage", "says-rfc9421"])
def test_what_a_server_asks_for_it_gets_at_the_second_knock_and_from_then_on_at_the_first(identity: Identity) -> None:
    web = ScriptedWeb({f"{A}/1": asking(ASKING, taken=lambda given: '"accept"' in given and 'tag="app"' in given)})
    status, knocks = asked(web, identity=identity)
    assert (status, len(knocks), knocks[1]) == (200, 2, "rfc9421")
    given = web.requests[1].headers.get("signature-input") or ""
    assert given.startswith("sig9=(")
    assert all(name in given for name in ('"@method"', '"@target-uri"', '"@authority"', "created="))
    assert asked(web, identity=identity) == (200, ["rfc9421"])


def test_a_nonce_counts_once() -> None:
    web = ScriptedWeb({f"{A}/1": asking('s=("@method");created;nonce="n1"', taken=lambda given: 'nonce="n1"' in given)})
    for first in ("cavage", "rfc9421", "rfc9421"):
        assert asked(web) == (200, [first, "rfc9421"])
        assert "nonce" not in (web.requests[0].headers.get("signature-input") or "")
    assert memory(web) == RFC9421


def test_fields_that_only_the_other_scheme_needs_are_there_if_they_are_asked_for() -> None:
    web = ScriptedWeb(
        {f"{A}/1": asking('s=("@method" "date" "host");created', taken=lambda given: '"date" "host"' in given)}
    )
    for expected in (["cavage", "rfc9421"], ["rfc9421"]):
        assert asked(web) == (200, expected)
        headers = web.requests[-1].headers
        assert (headers.get("date"), headers.get("host")) == ("Thu, 01 Jan 2026 12:00:00 GMT", "a.example")
        assert "signature-input" in headers


def test_a_memory_that_asks_for_more_than_a_request_has_still_signs() -> None:
    web = ScriptedWeb({f"{A}/1": Response(200)})
    remember(web, Dialect("rfc9421", 's=("content-length" "x-odd");created'))
    assert asked(web) == (200, ["rfc9421"])


NOT_HONOURED = {
    "another key": 's=("@method");created;keyid="https://else.example/key"',
    "another algorithm": 's=("@method");created;alg="ed25519"',
    "what the request has not": 's=("x-none");created',
    "a cookie": 's=("cookie");created',
    "no list": "s=1",
    "nothing": "",
    "garbage": '((("',
    "for responses": 's=("@status");created',
    "too many": ", ".join(f's{n}=("@method")' for n in range(20)),
    "long": 's=("' + "a" * 70000 + '")',
}


@pytest.mark.parametrize("text", NOT_HONOURED.values(), ids=NOT_HONOURED)
def test_what_cannot_be_met_is_passed_over(text: str) -> None:
    web = ScriptedWeb({f"{A}/1": asking(text, taken=lambda _: False)})
    assert asked(web, identity=MODERN) == (401, ["rfc9421", "cavage"])
    assert memory(web) is None


def test_what_was_done_already_is_not_done_again() -> None:
    """Many send the same challenge with every 401, whatever was wrong."""
    web = ScriptedWeb({f"{A}/1": asking('s=("@method" "@target-uri");created', taken=lambda _: False)})
    assert asked(web, identity=MODERN) == (401, ["rfc9421", "cavage"])
    assert asked(web, identity=ME) == (401, ["cavage", "rfc9421"])


@pytest.mark.parametrize("status", [400, 403])
def test_only_a_401_asks(status: int) -> None:
    web = ScriptedWeb({f"{A}/1": asking(ASKING, status=status)})
    assert asked(web) == (200, ["cavage", "rfc9421"])
    assert "tag" not in (web.requests[1].headers.get("signature-input") or "")


def test_a_long_one_is_met_and_not_remembered() -> None:
    names = " ".join(f'"accept";key="{"k" * 40}{n}"' for n in range(20))
    web = ScriptedWeb(
        {f"{A}/1": asking(f'tagged=("accept");tag="{"t" * 250}", s=({names})', taken=lambda g: "tag" in g)}
    )
    assert asked(web) == (200, ["cavage", "rfc9421"])
    [kept] = web.store.get([dialect_key(A)])
    assert kept is not None
    assert len(kept.value) < ASKED_CHARS_MAX + 200
    for length, remembered in ((512, True), (513, False)):
        long = Dialect("rfc9421", "s" * length)
        assert read_dialect(entry(remember_dialect(A, long, None, now=NOON))) == (long if remembered else RFC9421)


# --- what is kept ---------------------------------------------------------------------------------------------------


def entry(write: Put | None) -> Entry:
    assert write is not None
    return Entry(write.key, write.value, b"v" * 16)


@pytest.mark.parametrize("known", [None, CAVAGE, RFC9421, Dialect("rfc9421", ASKING)])
@pytest.mark.parametrize("accepted", [CAVAGE, RFC9421, Dialect("rfc9421", ASKING)])
@pytest.mark.parametrize(("days", "renewed"), [(0, False), (13, False), (14, True), (15, True)])
def test_it_is_written_when_it_changes_or_soon_ends(
    known: Dialect | None, accepted: Dialect, days: int, renewed: bool
) -> None:
    kept = None if known is None else entry(remember_dialect(A, known, None, now=NOON))
    write = remember_dialect(A, accepted, kept, now=NOON + timedelta(days=days))
    assert (write is not None) == (renewed or known != accepted)
    if write is not None:
        assert read_dialect(entry(write)) == accepted
        assert write.ttl_s == DIALECT_KEPT_S


@pytest.mark.parametrize(
    "value", [b"", b"garbage", encode_record({"scheme": "rsa"}), encode_record({}), b'{"v":99}\n', b"[]\n"]
)
def test_what_cannot_be_read_is_not_known(value: bytes) -> None:
    kept = Entry(dialect_key(A), value, b"v" * 16)
    assert read_dialect(kept) is None
    assert remember_dialect(A, CAVAGE, kept, now=NOON) is not None


@pytest.mark.parametrize("failing", ["get", "commit"])
def test_a_memory_that_cannot_be_had_is_none(failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("no")

    web = ScriptedWeb({f"{A}/1": only("rfc9421")})
    monkeypatch.setattr(web.store, failing, unavailable)
    for _ in range(2):
        assert asked(web) == (200, ["cavage", "rfc9421"])


def test_a_second_knock_that_breaks_off_is_told_as_it_is() -> None:
    def answer(request: Request) -> Response:
        if scheme_of(request) == "rfc9421":
            raise ConnectFailed("no")
        return Response(401)

    web = ScriptedWeb({f"{A}/1": answer})
    with pytest.raises(ConnectFailed):
        _ = asked(web)
    assert memory(web) is None


@pytest.mark.parametrize("share", [None, "a question"])
def test_requests_in_flight_are_joined_only_if_they_say_the_same_in_the_same_dialect(share: str | None) -> None:
    """Deliveries are never joined: they share nothing."""
    shares: list[Any] = []
    for known, challenge in product((CAVAGE, RFC9421), ("", 's=("@method");nonce="1"', 's=("@method");nonce="2"')):
        op = knock(Request("GET", f"{A}/1"), identity=ME, known=known, share=share)
        answers: dict[type, Any] = {
            Now: NOON,
            Sign: b"signature",
            Fetch: Response(401, {"Accept-Signature": challenge}),
        }
        effect = next(op)
        with suppress(StopIteration):
            while True:
                if isinstance(effect, Fetch):
                    shares.append(effect.share)
                effect = op.send(answers[type(effect)])
    if share is None:
        assert set(shares) == {None}
    else:
        # What is said in a dialect without a nonce is the same at the first knock and at the second.
        assert None not in shares
        assert len(set(shares[::2])) == 2
        assert len(set(shares[1::2])) == 4


# --- whatever is answered -------------------------------------------------------------------------------------------

ANSWERS = st.builds(
    Response,
    st.sampled_from(STATUSES),
    st.sampled_from(
        [Headers(), Headers({"Accept-Signature": ASKING}), Headers({"Accept-Signature": 's=("@method");nonce="1"'})]
    ),
)


@given(st.lists(ANSWERS, min_size=8, max_size=8), st.sampled_from([None, CAVAGE, RFC9421, Dialect("rfc9421", ASKING)]))
def test_never_more_than_two_knocks_and_never_a_second_after_anything_but_a_refusal(
    answers: list[Response], before: Dialect | None
) -> None:
    left = list(answers)
    web = ScriptedWeb({f"{A}/1": lambda _: left.pop(0)})
    remember(web, before)
    status, knocks = asked(web)
    assert len(knocks) == (2 if answers[0].status in SECOND_KNOCK else 1)
    assert status == answers[len(knocks) - 1].status
    after = memory(web)
    assert after == before or (len(knocks) == 2 and status in {200, 201, 204, 304})


@pytest.mark.parametrize(("takes", "identity"), list(product(SCHEMES, (ME, MODERN))), ids=str)
def test_a_server_that_takes_one_scheme_is_knocked_at_twice_at_most_once(takes: str, identity: Identity) -> None:
    web = ScriptedWeb({f"{A}/{n}": only(takes) for n in range(10)})
    counts = [len(asked(web, f"{A}/{n}", identity)[1]) for n in range(10)]
    assert counts == [1 if takes == identity.scheme else 2, *[1] * 9]


def test_what_is_remembered_can_be_read_back_as_a_challenge() -> None:
    web = ScriptedWeb({f"{A}/1": asking(ASKING, taken=lambda given: "tag" in given)})
    _ = asked(web)
    kept = memory(web)
    assert kept is not None
    assert kept.asked is not None
    [challenge] = read_challenges(kept.asked)
    assert (challenge.label, challenge.tag, challenge.nonce) == ("sig9", "app", None)
