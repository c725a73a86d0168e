"""Check signature dialects: the order of attempts, the limit of two, and the dialect remembered per origin."""

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
from apcore.remote.dialects import ACCEPT_SIGNATURE_CHARS_MAX, DIALECT_KEPT_S, SECOND_KNOCK
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
CHALLENGE = 'sig9=("@method" "@target-uri" "accept");created;tag="app"'


def scheme_of(request: Request) -> str:
    assert "signature" in request.headers
    return "rfc9421" if "signature-input" in request.headers else "cavage"


def accept_only(scheme: str, *, refusal: int = 401, page: Response | None = None) -> Callable[[Request], Response]:
    """Build a server that accepts one signature scheme."""
    return lambda request: (page or Response(200)) if scheme_of(request) == scheme else Response(refusal)


def fetch_and_list_schemes(web: ScriptedWeb, url: str = f"{A}/1", identity: Identity = ME) -> tuple[int, list[str]]:
    """Fetch ``url`` and return the status and the scheme of each request."""
    web.asked()
    fetched = web.run(fetch(url, policy=POLICY, identity=identity))
    return fetched.response.status, [scheme_of(request) for request in web.requests]


def stored_dialect(web: ScriptedWeb, origin: str = A) -> Dialect | None:
    return read_dialect(web.store.get([dialect_key(origin)])[0])


def remember(web: ScriptedWeb, dialect: Dialect | None, origin: str = A) -> None:
    write = None if dialect is None else remember_dialect(origin, dialect, None, now=web.runtime.moment)
    if write is not None:
        assert web.store.commit((), (write,), token=b"0" * 16)


def other_scheme(scheme: str) -> str:
    return "cavage" if scheme == "rfc9421" else "rfc9421"


# --- the table ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("remembered_dialect", [None, CAVAGE, RFC9421], ids=["unknown", "cavage", "rfc9421"])
@pytest.mark.parametrize("identity", [ME, MODERN], ids=["says-cavage", "says-rfc9421"])
def test_second_attempt_follows_only_a_refusal_of_the_first(
    status: int, remembered_dialect: Dialect | None, identity: Identity
) -> None:
    first_scheme = identity.scheme if remembered_dialect is None else remembered_dialect.scheme
    web = ScriptedWeb({f"{A}/1": accept_only(other_scheme(first_scheme), refusal=status)})
    remember(web, remembered_dialect)
    exchange = fetch_and_list_schemes(web, identity=identity)
    if status in {400, 401, 403}:
        assert exchange == (200, [first_scheme, other_scheme(first_scheme)])
        assert stored_dialect(web) == Dialect(other_scheme(first_scheme))  # type: ignore[arg-type]
    else:
        assert exchange == (status, [first_scheme])
        assert stored_dialect(web) == remembered_dialect


@pytest.mark.parametrize("second_status", STATUSES)
@pytest.mark.parametrize("remembered_dialect", [None, CAVAGE, RFC9421], ids=["unknown", "cavage", "rfc9421"])
def test_dialect_is_remembered_only_after_success(second_status: int, remembered_dialect: Dialect | None) -> None:
    answers = iter([Response(401), Response(second_status)])
    web = ScriptedWeb({f"{A}/1": lambda _: next(answers)})
    remember(web, remembered_dialect)
    status, schemes = fetch_and_list_schemes(web)
    assert status == second_status
    assert len(schemes) == len(set(schemes)) == 2
    is_success = second_status in {200, 201, 204, 304}
    expected = Dialect(schemes[1]) if is_success else remembered_dialect  # type: ignore[arg-type]
    assert stored_dialect(web) == expected


def test_get_that_succeeds_at_once_is_not_remembered() -> None:
    web = ScriptedWeb({f"{A}/1": Response(200)})
    assert fetch_and_list_schemes(web) == (200, ["cavage"])
    assert not web.store.scan(("dialect",), limit=10)


def test_remembered_dialect_is_used_first_without_another_write() -> None:
    web = ScriptedWeb({f"{A}/1": accept_only("rfc9421"), f"{A}/2": accept_only("rfc9421")})
    assert fetch_and_list_schemes(web) == (200, ["cavage", "rfc9421"])
    [entry] = web.store.get([dialect_key(A)])
    assert [fetch_and_list_schemes(web), fetch_and_list_schemes(web, f"{A}/2")] == [(200, ["rfc9421"])] * 2
    assert web.store.get([dialect_key(A)]) == [entry]


def test_dialect_is_forgotten_after_four_weeks() -> None:
    assert DIALECT_KEPT_S == 28 * 86400
    web = ScriptedWeb({f"{A}/1": accept_only("rfc9421")})
    _ = fetch_and_list_schemes(web)
    web.pass_s(DIALECT_KEPT_S - 1)
    assert fetch_and_list_schemes(web) == (200, ["rfc9421"])
    web.pass_s(2)
    assert fetch_and_list_schemes(web) == (200, ["cavage", "rfc9421"])


def test_dialect_is_remembered_per_origin() -> None:
    web = ScriptedWeb(
        {
            f"{A}/1": accept_only("rfc9421"),
            f"{B}/1": accept_only("cavage"),
            "https://a.example:8443/1": accept_only("rfc9421"),
        }
    )
    assert fetch_and_list_schemes(web) == (200, ["cavage", "rfc9421"])
    assert fetch_and_list_schemes(web, f"{B}/1") == (200, ["cavage"])
    assert fetch_and_list_schemes(web, "https://a.example:8443/1") == (200, ["cavage", "rfc9421"])


def test_failed_requests_do_not_change_the_remembered_scheme() -> None:
    """Refuse both schemes five times: the remembered scheme stays."""
    web = ScriptedWeb({f"{A}/1": Response(401)})
    remember(web, RFC9421)
    for _ in range(5):
        assert fetch_and_list_schemes(web) == (401, ["rfc9421", "cavage"])
    assert stored_dialect(web) == RFC9421


def test_each_attempt_has_its_own_date_and_signature() -> None:
    def refusing(request: Request) -> Response:
        web.pass_s(60)
        return Response(401)

    web = ScriptedWeb({f"{A}/1": refusing})
    _ = fetch_and_list_schemes(web)
    first, second = web.requests
    assert first.headers.get("date") == "Thu, 01 Jan 2026 12:00:00 GMT"
    created = int((NOON + timedelta(seconds=60)).timestamp())
    assert f"created={created}" in (second.headers.get("signature-input") or "")
    assert "date" not in second.headers


# --- redirects ------------------------------------------------------------------------------------------------------


def test_redirect_is_signed_in_the_dialect_of_its_target_origin() -> None:
    web = ScriptedWeb({f"{A}/1": redirect(f"{B}/2"), f"{B}/2": accept_only("rfc9421")})
    remember(web, CAVAGE, A)
    remember(web, RFC9421, B)
    assert fetch_and_list_schemes(web) == (200, ["cavage", "rfc9421"])
    assert "a.example" not in repr([value for _, value in web.requests[1].headers])


def test_dialect_learnt_at_a_redirect_is_remembered_for_its_target_only() -> None:
    web = ScriptedWeb({f"{A}/1": redirect(f"{B}/2"), f"{B}/2": accept_only("rfc9421")})
    assert fetch_and_list_schemes(web) == (200, ["cavage", "cavage", "rfc9421"])
    assert (stored_dialect(web, A), stored_dialect(web, B)) == (None, RFC9421)


# --- Accept-Signature -----------------------------------------------------------------------------------------------


def challenge_with(
    text: str, *, status: int = 401, accepts: Callable[[str], bool] = lambda _: True
) -> Callable[[Request], Response]:
    """Build a server that sends ``text`` as its challenge until a signature input is accepted."""

    def answer(request: Request) -> Response:
        signature_input = request.headers.get("signature-input")
        return (
            Response(200)
            if signature_input and accepts(signature_input)
            else Response(status, {"Accept-Signature": text})
        )

    return answer


@pytest.mark.parametrize("identity", [ME, MODERN], ids=["says-cavage", "says-rfc9421"])
def test_challenge_is_answered_at_once_and_remembered_for_later_requests(identity: Identity) -> None:
    web = ScriptedWeb(
        {
            f"{A}/1": challenge_with(
                CHALLENGE,
                accepts=lambda signature_input: '"accept"' in signature_input and 'tag="app"' in signature_input,
            )
        }
    )
    status, schemes = fetch_and_list_schemes(web, identity=identity)
    assert (status, len(schemes), schemes[1]) == (200, 2, "rfc9421")
    signature_input = web.requests[1].headers.get("signature-input") or ""
    assert signature_input.startswith("sig9=(")
    assert all(name in signature_input for name in ('"@method"', '"@target-uri"', '"@authority"', "created="))
    assert fetch_and_list_schemes(web, identity=identity) == (200, ["rfc9421"])


def test_nonce_of_a_challenge_is_used_once() -> None:
    web = ScriptedWeb(
        {f"{A}/1": challenge_with('s=("@method");created;nonce="n1"', accepts=lambda value: 'nonce="n1"' in value)}
    )
    for first_scheme in ("cavage", "rfc9421", "rfc9421"):
        assert fetch_and_list_schemes(web) == (200, [first_scheme, "rfc9421"])
        assert "nonce" not in (web.requests[0].headers.get("signature-input") or "")
    assert stored_dialect(web) == RFC9421


def test_date_and_host_are_sent_with_rfc9421_if_the_challenge_names_them() -> None:
    web = ScriptedWeb(
        {
            f"{A}/1": challenge_with(
                's=("@method" "date" "host");created', accepts=lambda value: '"date" "host"' in value
            )
        }
    )
    for schemes in (["cavage", "rfc9421"], ["rfc9421"]):
        assert fetch_and_list_schemes(web) == (200, schemes)
        headers = web.requests[-1].headers
        assert (headers.get("date"), headers.get("host")) == ("Thu, 01 Jan 2026 12:00:00 GMT", "a.example")
        assert "signature-input" in headers


def test_remembered_challenge_naming_absent_fields_still_signs() -> None:
    web = ScriptedWeb({f"{A}/1": Response(200)})
    remember(web, Dialect("rfc9421", 's=("content-length" "x-odd");created'))
    assert fetch_and_list_schemes(web) == (200, ["rfc9421"])


UNMET_CHALLENGES = {
    "another key": 's=("@method");created;keyid="https://else.example/key"',
    "another algorithm": 's=("@method");created;alg="ed25519"',
    "an absent field": 's=("x-none");created',
    "a cookie": 's=("cookie");created',
    "no list": "s=1",
    "nothing": "",
    "garbage": '((("',
    "for responses": 's=("@status");created',
    "too many": ", ".join(f's{n}=("@method")' for n in range(20)),
    "long": 's=("' + "a" * 70000 + '")',
}


@pytest.mark.parametrize("text", UNMET_CHALLENGES.values(), ids=UNMET_CHALLENGES)
def test_challenge_that_cannot_be_met_is_ignored(text: str) -> None:
    web = ScriptedWeb({f"{A}/1": challenge_with(text, accepts=lambda _: False)})
    assert fetch_and_list_schemes(web, identity=MODERN) == (401, ["rfc9421", "cavage"])
    assert stored_dialect(web) is None


def test_challenge_that_was_already_met_causes_no_third_attempt() -> None:
    """Repeat the challenge with every 401, as many servers do."""
    web = ScriptedWeb({f"{A}/1": challenge_with('s=("@method" "@target-uri");created', accepts=lambda _: False)})
    assert fetch_and_list_schemes(web, identity=MODERN) == (401, ["rfc9421", "cavage"])
    assert fetch_and_list_schemes(web, identity=ME) == (401, ["cavage", "rfc9421"])


@pytest.mark.parametrize("status", [400, 403])
def test_challenge_counts_only_with_a_401(status: int) -> None:
    web = ScriptedWeb({f"{A}/1": challenge_with(CHALLENGE, status=status)})
    assert fetch_and_list_schemes(web) == (200, ["cavage", "rfc9421"])
    assert "tag" not in (web.requests[1].headers.get("signature-input") or "")


def test_long_challenge_is_met_but_not_remembered() -> None:
    components = " ".join(f'"accept";key="{"k" * 40}{n}"' for n in range(20))
    web = ScriptedWeb(
        {
            f"{A}/1": challenge_with(
                f'tagged=("accept");tag="{"t" * 250}", s=({components})', accepts=lambda g: "tag" in g
            )
        }
    )
    assert fetch_and_list_schemes(web) == (200, ["cavage", "rfc9421"])
    [stored_entry] = web.store.get([dialect_key(A)])
    assert stored_entry is not None
    assert len(stored_entry.value) < ACCEPT_SIGNATURE_CHARS_MAX + 200
    for length, is_stored in ((512, True), (513, False)):
        long_dialect = Dialect("rfc9421", "s" * length)
        assert read_dialect(entry_of(remember_dialect(A, long_dialect, None, now=NOON))) == (
            long_dialect if is_stored else RFC9421
        )


# --- the stored record ----------------------------------------------------------------------------------------------


def entry_of(write: Put | None) -> Entry:
    assert write is not None
    return Entry(write.key, write.value, b"v" * 16)


@pytest.mark.parametrize("stored_dialect", [None, CAVAGE, RFC9421, Dialect("rfc9421", CHALLENGE)])
@pytest.mark.parametrize("used_dialect", [CAVAGE, RFC9421, Dialect("rfc9421", CHALLENGE)])
@pytest.mark.parametrize(("days", "is_renewed"), [(0, False), (13, False), (14, True), (15, True)])
def test_dialect_is_written_if_it_changed_or_expires_soon(
    stored_dialect: Dialect | None, used_dialect: Dialect, days: int, is_renewed: bool
) -> None:
    stored_entry = None if stored_dialect is None else entry_of(remember_dialect(A, stored_dialect, None, now=NOON))
    write = remember_dialect(A, used_dialect, stored_entry, now=NOON + timedelta(days=days))
    assert (write is not None) == (is_renewed or stored_dialect != used_dialect)
    if write is not None:
        assert read_dialect(entry_of(write)) == used_dialect
        assert write.ttl_s == DIALECT_KEPT_S


@pytest.mark.parametrize(
    "value", [b"", b"garbage", encode_record({"scheme": "rsa"}), encode_record({}), b'{"v":99}\n', b"[]\n"]
)
def test_malformed_record_counts_as_unknown_dialect(value: bytes) -> None:
    stored_entry = Entry(dialect_key(A), value, b"v" * 16)
    assert read_dialect(stored_entry) is None
    assert remember_dialect(A, CAVAGE, stored_entry, now=NOON) is not None


@pytest.mark.parametrize("method", ["get", "commit"])
def test_failing_store_does_not_stop_a_fetch(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("no")

    web = ScriptedWeb({f"{A}/1": accept_only("rfc9421")})
    monkeypatch.setattr(web.store, method, unavailable)
    for _ in range(2):
        assert fetch_and_list_schemes(web) == (200, ["cavage", "rfc9421"])


def test_transport_error_of_the_second_attempt_is_raised_unchanged() -> None:
    def answer(request: Request) -> Response:
        if scheme_of(request) == "rfc9421":
            raise ConnectFailed("no")
        return Response(401)

    web = ScriptedWeb({f"{A}/1": answer})
    with pytest.raises(ConnectFailed):
        _ = fetch_and_list_schemes(web)
    assert stored_dialect(web) is None


@pytest.mark.parametrize("share", [None, "a question"])
def test_share_keys_of_requests_depend_on_dialect_and_nonce(share: str | None) -> None:
    """Compare the share keys of all attempts. Deliveries have none: they are never joined."""
    shares: list[Any] = []
    for dialect, challenge in product((CAVAGE, RFC9421), ("", 's=("@method");nonce="1"', 's=("@method");nonce="2"')):
        operation = knock(Request("GET", f"{A}/1"), identity=ME, dialect=dialect, share=share)
        answers: dict[type, Any] = {
            Now: NOON,
            Sign: b"signature",
            Fetch: Response(401, {"Accept-Signature": challenge}),
        }
        effect = next(operation)
        with suppress(StopIteration):
            while True:
                if isinstance(effect, Fetch):
                    shares.append(effect.share)
                effect = operation.send(answers[type(effect)])
    if share is None:
        assert set(shares) == {None}
    else:
        # Without a nonce, the first and the second attempt send equal requests in one dialect.
        assert None not in shares
        assert len(set(shares[::2])) == 2
        assert len(set(shares[1::2])) == 4


# --- arbitrary answers ----------------------------------------------------------------------------------------------

ANSWERS = st.builds(
    Response,
    st.sampled_from(STATUSES),
    st.sampled_from(
        [Headers(), Headers({"Accept-Signature": CHALLENGE}), Headers({"Accept-Signature": 's=("@method");nonce="1"'})]
    ),
)


@given(
    st.lists(ANSWERS, min_size=8, max_size=8), st.sampled_from([None, CAVAGE, RFC9421, Dialect("rfc9421", CHALLENGE)])
)
def test_at_most_two_attempts_and_the_second_only_after_a_refusal(
    answers: list[Response], remembered_dialect: Dialect | None
) -> None:
    remaining_answers = list(answers)
    web = ScriptedWeb({f"{A}/1": lambda _: remaining_answers.pop(0)})
    remember(web, remembered_dialect)
    status, schemes = fetch_and_list_schemes(web)
    assert len(schemes) == (2 if answers[0].status in SECOND_KNOCK else 1)
    assert status == answers[len(schemes) - 1].status
    dialect = stored_dialect(web)
    assert dialect == remembered_dialect or (len(schemes) == 2 and status in {200, 201, 204, 304})


@pytest.mark.parametrize(("scheme", "identity"), list(product(SCHEMES, (ME, MODERN))), ids=str)
def test_server_of_one_scheme_costs_at_most_one_extra_request(scheme: str, identity: Identity) -> None:
    web = ScriptedWeb({f"{A}/{n}": accept_only(scheme) for n in range(10)})
    counts = [len(fetch_and_list_schemes(web, f"{A}/{n}", identity)[1]) for n in range(10)]
    assert counts == [1 if scheme == identity.scheme else 2, *[1] * 9]


def test_remembered_challenge_parses_as_a_challenge() -> None:
    web = ScriptedWeb({f"{A}/1": challenge_with(CHALLENGE, accepts=lambda value: "tag" in value)})
    _ = fetch_and_list_schemes(web)
    dialect = stored_dialect(web)
    assert dialect is not None
    assert dialect.accept_signature is not None
    [challenge] = read_challenges(dialect.accept_signature)
    assert (challenge.label, challenge.tag, challenge.nonce) == ("sig9", "app", None)
