"""Accept-Signature: what we ask for is what we take, and what we are asked never lowers what we cover."""

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


def test_what_is_asked():
    assert challenge("POST") == 'sig1=("@method" "@target-uri" "content-digest");created'
    assert (
        challenge("GET", tag="activitypub", nonce="n", label="a")
        == 'a=("@method" "@target-uri");created;nonce="n";tag="activitypub"'
    )


@pytest.mark.parametrize("policy", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize("which", ["get", "post"])
def test_an_answer_to_our_challenge_is_accepted(ed_key, get, post, now, policy, which):
    request = {"get": get, "post": post}[which]
    asked = read_challenges(challenge(request.method, policy=policy, nonce="n", tag="t", label="a"))
    unsigned = answer(request, asked, key_id=ed_key.key_id, algorithm="ed25519", now=now)
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
def test_what_we_cover_is_never_less_than_usual(ed_key, get, now, text):
    get = evolve(get, headers=get.headers.with_set("date", "Sun, 22 Nov 2026 08:00:00 GMT"))
    unsigned = answer(get, read_challenges(text), key_id=ed_key.key_id, algorithm="ed25519", now=now)
    [presented] = rfc9421.parse(unsigned.attach(ed_key.sign(unsigned.data)), DEFAULT, now)
    assert {'"@method"', '"@target-uri"', '"@authority"'} <= set(presented.covered)
    assert check(presented, ed_key.public)
    assert (presented.expires is not None) == ("expires" in text)


@pytest.mark.parametrize(("method", "body"), [("POST", b""), ("POST", b"x"), ("GET", b"x")])
def test_a_body_is_covered_whatever_is_asked(ed_key, get, now, method, body):
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


@pytest.mark.parametrize(("count", "read"), [(32, 1), (33, 0)])
def test_as_many_components_as_are_read(count, read):
    names = " ".join(f'"x{number}"' for number in range(count))
    assert len(read_challenges(f"a=({names})")) == read


def test_as_many_challenges_as_are_read():
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
def test_a_challenge_that_is_passed_over(ed_key, get, now, text):
    asked = read_challenges(text)
    assert answer(get, asked, key_id=ed_key.key_id, algorithm="ed25519", now=now) is None


def test_the_first_that_can_be_met_is_met(ed_key, get, now):
    asked = read_challenges('a=("x-missing"), b=();alg="rsa-pss-sha512", c=();alg="ed25519", d=()')
    assert [one.label for one in asked] == ["a", "b", "c", "d"]
    unsigned = answer(get, asked, key_id=ed_key.key_id, algorithm="ed25519", now=now)
    assert unsigned.request.headers.get("signature-input").startswith("c=")


@pytest.mark.parametrize("text", ["(", "a=(), a=()", ", ".join(f"a{n}=()" for n in range(9)), "A=()"])
def test_a_field_that_cannot_be_read(text):
    with pytest.raises(SignatureMalformed):
        read_challenges(text)


def test_asking_for_what_is_not_accepted():
    with pytest.raises(ValueError, match="does not accept"):
        challenge("GET", policy=DEFAULT.with_(schemes=frozenset({"cavage"})))


@given(
    st.text(st.characters(max_codepoint=255), max_size=60)
    | st.from_regex(r'a=\(("[a-z@-]{1,5}" ?){0,3}\)(;[a-z]{1,5}(="?[a-z]"?)?){0,2}', fullmatch=True)
)
def test_garbage(text):
    try:
        asked = read_challenges(text)
    except SignatureMalformed:
        return
    assert all(isinstance(one, Challenge) for one in asked)
