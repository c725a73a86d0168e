"""Check Accept-Signature: a challenge of ours is answered as we accept it, and a peer's never lowers our coverage."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from apcore.signatures import rfc9421
from apcore.signatures.accept_signature import Challenge, answer, challenge, read_challenges
from apcore.signatures.errors import SignatureMalformed
from apcore.signatures.policy import DEFAULT, PRESETS
from apcore.signatures.presented import check


def test_challenge_text_names_components_and_parameters():
    assert challenge("POST") == 'sig1=("@method" "@target-uri" "content-digest");created'
    assert (
        challenge("GET", tag="activitypub", nonce="n", label="a")
        == 'a=("@method" "@target-uri");created;nonce="n";tag="activitypub"'
    )


@pytest.mark.parametrize("policy", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize("request_name", ["get", "post"])
def test_answer_to_our_challenge_is_accepted(ed_key, get, post, now, policy, request_name):
    request = {"get": get, "post": post}[request_name]
    challenges = read_challenges(challenge(request.method, policy=policy, nonce="n", tag="t", label="a"))
    unsigned = answer(request, challenges, key_id=ed_key.key_id, algorithm="ed25519", now=now)
    [presented] = rfc9421.parse(unsigned.attach(ed_key.sign(unsigned.data)), policy, now)
    verified = check(presented, ed_key.public)
    assert (verified.label, verified.nonce, verified.tag) == ("a", "n", "t")


@pytest.mark.parametrize(
    "text",
    [
        "a=()",
        'a=("date")',
        'a=("@query-param";name="page")',
        'a=("@method" "@authority");created;expires',
        'a=("accept";bs)',
    ],
)
def test_challenge_never_lowers_the_default_coverage(ed_key, get, now, text):
    get = evolve(get, headers=get.headers.with_set("date", "Sun, 22 Nov 2026 08:00:00 GMT"))
    unsigned = answer(get, read_challenges(text), key_id=ed_key.key_id, algorithm="ed25519", now=now)
    [presented] = rfc9421.parse(unsigned.attach(ed_key.sign(unsigned.data)), DEFAULT, now)
    assert {'"@method"', '"@target-uri"', '"@authority"'} <= set(presented.covered)
    assert check(presented, ed_key.public)
    assert (presented.expires is not None) == ("expires" in text)


@pytest.mark.parametrize(("method", "body"), [("POST", b""), ("POST", b"x"), ("GET", b"x")])
def test_body_is_covered_even_if_the_challenge_does_not_ask_for_it(ed_key, get, now, method, body):
    unsigned = answer(
        evolve(get, method=method, body=body),
        read_challenges("a=()"),
        key_id=ed_key.key_id,
        algorithm="ed25519",
        now=now,
    )
    assert '"content-digest"' in unsigned.request.headers.get("signature-input")
    reading = answer(get, read_challenges("a=()"), key_id=ed_key.key_id, algorithm="ed25519", now=now)
    assert '"content-digest"' not in reading.request.headers.get("signature-input")


@pytest.mark.parametrize(("component_count", "challenge_count"), [(32, 1), (33, 0)])
def test_challenge_has_at_most_32_components(component_count, challenge_count):
    names = " ".join(f'"x{number}"' for number in range(component_count))
    assert len(read_challenges(f"a=({names})")) == challenge_count


def test_eight_challenges_are_read():
    assert len(read_challenges(", ".join(f"a{number}=()" for number in range(8)))) == 8


@pytest.mark.parametrize(
    "text",
    [
        'a=("x-missing")',
        'a=("@status")',
        'a=("@unknown")',
        'a=("@method" "@method")',
        'a=();alg="rsa-v1_5-sha256"',
        'a=();keyid="https://other.example/key"',
        "a=();nonce=1",
        f'a=();nonce="{"x" * 257}"',
        "a=1",
        "a=(1)",
        "",
        f"a=({' '.join(f'{chr(34)}x{n}{chr(34)}' for n in range(33))})",
    ],
)
def test_challenge_that_we_cannot_meet_is_not_answered(ed_key, get, now, text):
    challenges = read_challenges(text)
    assert answer(get, challenges, key_id=ed_key.key_id, algorithm="ed25519", now=now) is None


def test_first_challenge_that_we_can_meet_is_answered(ed_key, get, now):
    challenges = read_challenges('a=("x-missing"), b=();alg="rsa-pss-sha512", c=();alg="ed25519", d=()')
    assert [challenge.label for challenge in challenges] == ["a", "b", "c", "d"]
    unsigned = answer(get, challenges, key_id=ed_key.key_id, algorithm="ed25519", now=now)
    assert unsigned.request.headers.get("signature-input").startswith("c=")


@pytest.mark.parametrize("text", ["(", "a=(), a=()", ", ".join(f"a{n}=()" for n in range(9)), "A=()"])
def test_malformed_field_is_refused(text):
    with pytest.raises(SignatureMalformed):
        read_challenges(text)


def test_challenge_needs_a_policy_that_accepts_rfc9421():
    with pytest.raises(ValueError, match="does not accept"):
        challenge("GET", policy=DEFAULT.with_(schemes=frozenset({"cavage"})))


@given(
    st.text(st.characters(max_codepoint=255), max_size=60)
    | st.from_regex(r'a=\(("[a-z@-]{1,5}" ?){0,3}\)(;[a-z]{1,5}(="?[a-z]"?)?){0,2}', fullmatch=True)
)
def test_any_text_is_read_as_challenges_or_refused(text):
    try:
        challenges = read_challenges(text)
    except SignatureMalformed:
        return
    assert all(isinstance(challenge, Challenge) for challenge in challenges)
