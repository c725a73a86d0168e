"""draft-cavage at the edges: each rule on both of its sides, which mutation testing found to be tried on one alone."""

from __future__ import annotations

from base64 import b64encode

import pytest
from attrs import evolve

from apcore.http.messages import Request
from apcore.signatures import cavage
from apcore.signatures.errors import (
    AlgorithmRefused,
    CoverageTooSmall,
    SchemeRefused,
    SignatureMalformed,
    SignatureMissing,
    SignatureTooOld,
    WrongHost,
)
from apcore.signatures.policy import DEFAULT, LENIENT, STRICT
from apcore.signatures.presented import check

K = "https://remote.example/users/alice#main-key"
CREATED = 1795334400
ANYTHING = DEFAULT.with_(cavage_read=(), cavage_write=())
"""A policy of a caller's own, that asks for nothing to be covered."""


def request_of(method="GET", url="https://local.example/x", *, field, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, url, {**named, "signature": field})


def field_of(covered=None, **more):
    parameters = {"keyId": K, **more, "signature": "aGk="}
    if covered is not None:
        parameters["headers"] = covered
    return ",".join(f'{name}="{value}"' for name, value in parameters.items())


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    [
        f'="x",{field_of()}',
        f"{field_of()},created={'1' * 16}",
        f'{field_of()},created="{"1" * 16}"',
        f'{field_of()},created="1x"',
        f'{field_of()},created="1 "',
        f'{field_of()},created="1.5"',
        f'{field_of()},created="-1"',
        f'{field_of()},created=""',
        f'{field_of()},expires="1x"',
        f'keyId="{K}",signature="aGk=x"',
        f'keyId="{K}",signature="a!Gk="',
        f'keyId="{K}",signature="=aGk="',
        f'keyId="{K}",signature="aGk=="',
        f'keyId="{K}",signature="aG=k"',
        f'keyId="{K}",signature="aGk=aGk="',
    ],
)
def test_what_cannot_be_read_without_guessing(field):
    with pytest.raises(SignatureMalformed):
        cavage.read_parameters(field)


def test_an_empty_field_is_called_that():
    with pytest.raises(SignatureMalformed, match="is empty"):
        cavage.read_parameters("")


@pytest.mark.parametrize("quote", ["", '"'])
def test_the_longest_time(quote):
    digits = "1" * 15
    assert cavage.read_parameters(f"{field_of()},created={quote}{digits}{quote}").created == digits


@pytest.mark.parametrize(
    ("algorithm", "covered"),
    [(None, ("(created)",)), ("hs2019", ("(created)",)), ("HS2019", ("(created)",)), ("rsa-sha256", ("date",))],
)
def test_what_is_covered_where_nothing_says_so(algorithm, covered):
    """Draft §2.1.6."""
    more = {} if algorithm is None else {"algorithm": algorithm}
    assert cavage.read_parameters(field_of(**more)).covered == covered


@pytest.mark.parametrize(
    ("label", "algorithm"),
    [
        ("hs2019", None),
        ("rsa-sha256", "rsa-v1_5-sha256"),
        ("rsa-sha512", "rsa-v1_5-sha512"),
        ("ed25519", "ed25519"),
        ("ecdsa-sha256", "ecdsa-p256-sha256"),
    ],
)
def test_labels_of_the_wire(now, label, algorithm):
    request = request_of(field=field_of("(created)", algorithm=label, created=CREATED))
    assert cavage.parse(request, ANYTHING, now).algorithm == algorithm


@pytest.mark.parametrize("label", ["hmac-sha256", "rsa-sha1", "dsa-sha1", "", "ecdsa-sha512"])
def test_a_label_that_means_nothing_here(now, label):
    with pytest.raises(AlgorithmRefused):
        cavage.parse(request_of(field=field_of("(created)", algorithm=label, created=CREATED)), ANYTHING, now)


@pytest.mark.parametrize("white", ["", " ", "\t", " \t "])
def test_authorization_may_have_white_space_in_front(now, white):
    field = field_of("(created)", created=CREATED)
    request = Request("GET", "https://local.example/x", {"authorization": f"Signature {white}{field}"})
    assert cavage.parse(request, ANYTHING.with_(authorization=True), now).key_id == K


@pytest.mark.parametrize("value", [f"Signature X{field_of()}", f"SignatureX {field_of()}", f"Basic {field_of()}", ""])
def test_authorization_of_another_kind(now, value):
    request = Request("GET", "https://local.example/x", {"authorization": value})
    with pytest.raises((SignatureMissing, SignatureMalformed)):
        cavage.parse(request, ANYTHING.with_(authorization=True), now)


# --- what counts is what is covered ---------------------------------------------------------------------------------


def test_what_is_not_covered_is_not_compared(now):
    """A hop may have changed it; nothing was said about it."""
    field = field_of("(request-target) (created)", created=CREATED)
    request = request_of("POST", field=field, host="other.example", digest="SHA-256=AAAA", date="nonsense")
    assert cavage.parse(request, ANYTHING, now).signed == CREATED
    covering = request_of("POST", field=field_of("host (created)", created=CREATED), host="other.example")
    with pytest.raises(WrongHost):
        cavage.parse(covering, ANYTHING, now)


def test_a_time_that_is_not_covered_is_nobodys_word(now):
    day_before = "Sat, 21 Nov 2026 08:00:00 GMT"
    covering_date = request_of(field=field_of("date", created=CREATED), date=day_before)
    with pytest.raises(SignatureTooOld):
        cavage.parse(covering_date, ANYTHING, now)
    covering_neither = request_of(field=field_of("host", created=1), host="local.example", date=day_before)
    assert cavage.parse(covering_neither, ANYTHING, now).signed is None


@pytest.mark.parametrize("url", ["https://local.example/x", "https://local.example:8443/x"])
@pytest.mark.parametrize("covered", ["(request-target) (created)", "(created)"])
def test_a_message_without_host_that_covers_none(now, url, covered):
    [base] = cavage.parse(request_of(url=url, field=field_of(covered, created=CREATED)), ANYTHING, now).bases
    assert b"host" not in base.data


@pytest.mark.parametrize("policy", [DEFAULT, STRICT, LENIENT])
@pytest.mark.parametrize("missing", ["(request-target)", "host", "(created)"])
def test_each_part_of_the_least_coverage(now, policy, missing):
    names = [name for name in ("(request-target)", "host", "(created)") if name != missing]
    request = request_of(field=field_of(" ".join(names), created=CREATED), host="local.example")
    if policy is LENIENT and missing != "(created)":
        assert cavage.parse(request, policy, now)
        return
    with pytest.raises(CoverageTooSmall):
        cavage.parse(request, policy, now)


@pytest.mark.parametrize("covered", ["date (created)", "date (expires)"])
def test_to_the_strict_both_pseudo_headers_are_for_hs2019(now, covered):
    policy = STRICT.with_(cavage_read=())
    for label, refused in (("rsa-sha256", True), ("hs2019", False)):
        field = field_of(covered, algorithm=label, created=CREATED, expires=CREATED + 60)
        request = request_of(field=field, date="Sun, 22 Nov 2026 08:00:00 GMT")
        if refused:
            with pytest.raises(AlgorithmRefused):
                cavage.parse(request, policy, now)
        else:
            assert cavage.parse(request, policy, now)


# --- the strings that are tried -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "url", "host", "strings"),
    [
        ("GET", "https://local.example/x", "local.example", ["/x local.example"]),
        ("GET", "https://local.example:443/x", "local.example:443", ["/x local.example:443"]),
        ("GET", "https://local.example/x?q", "local.example", ["/x?q local.example", "/x local.example"]),
        ("HEAD", "https://local.example/x?q", "local.example", ["/x?q local.example", "/x local.example"]),
        ("POST", "https://local.example/x?q", "local.example", ["/x?q local.example"]),
        ("GET", "https://local.example:1/x", "LOCAL.example", ["/x LOCAL.example", "/x local.example:1"]),
        ("GET", "https://local.example:1/x", "Local.Example:1", ["/x Local.Example:1", "/x local.example"]),
    ],
)
def test_exactly_these_strings_may_have_been_signed(now, method, url, host, strings):
    request = request_of(method, url, field=field_of("(request-target) host (created)", created=CREATED), host=host)
    presented = cavage.parse(request, ANYTHING, now)
    tried = [base.data.decode().split("\n") for base in presented.bases]
    assert [f"{lines[0].rpartition(' ')[2]} {lines[1].removeprefix('host: ')}" for lines in tried] == strings
    query = "?" in url
    assert [base.query_covered for base in presented.bases] == [not query or "?" in string for string in strings]


def test_a_head_may_leave_out_the_query(rsa_key, now):
    request = Request("HEAD", "https://local.example/x?q", {"Host": "local.example"})
    unsigned = cavage.prepare(evolve(request, url="https://local.example/x"), key_id=K, now=now)
    signed = evolve(unsigned.attach(rsa_key.sign(unsigned.data)), url=request.url)
    verified = check(cavage.parse(signed, DEFAULT, now), rsa_key.public)
    assert not verified.query_covered
    assert check(cavage.parse(unsigned.attach(rsa_key.sign(unsigned.data)), DEFAULT, now), rsa_key.public).query_covered


# --- what a refusal tells -------------------------------------------------------------------------------------------


def test_a_refusal_tells_what_was_known(rsa_key, post, now):
    signed = cavage.sign(post, rsa_key, now=now)
    with pytest.raises(SchemeRefused) as caught:
        cavage.parse(signed, DEFAULT.with_(schemes=frozenset({"rfc9421"})), now)
    told = caught.value.explanation
    assert told.scheme == "cavage"
    assert told.key_id == rsa_key.key_id
    assert told.algorithm == "rsa-sha256"
    assert told.covered == ("(request-target)", "host", "date", "digest", "content-type")
    assert told.signing_string.startswith("(request-target): post /users/bob/inbox\nhost: local.example\n")
    assert told.clock_offset_s == 0


def test_a_field_that_cannot_be_read_is_called_by_its_scheme(post, now):
    with pytest.raises(SignatureMalformed) as caught:
        cavage.parse(evolve(post, headers=post.headers.with_set("signature", "x")), DEFAULT, now)
    assert caught.value.explanation.scheme == "cavage"


def test_a_refusal_without_a_time_tells_no_offset(now):
    with pytest.raises(AlgorithmRefused) as caught:
        cavage.parse(request_of(field=field_of("host", algorithm="x"), host="local.example"), ANYTHING, now)
    assert caught.value.explanation.clock_offset_s is None


# --- signing --------------------------------------------------------------------------------------------------------


def test_a_host_that_is_there_stays(rsa_key, now):
    request = Request("GET", "https://local.example/x", {"Host": "LOCAL.example:443"})
    assert cavage.sign(request, rsa_key, now=now).headers.get_all("host") == ("LOCAL.example:443",)


def test_a_reading_request_covers_no_content_type(rsa_key, now):
    request = Request("GET", "https://local.example/x", {"Content-Type": "text/plain"})
    signed = cavage.sign(request, rsa_key, now=now)
    assert 'headers="(request-target) host date"' in signed.headers.get("signature")


def test_times_are_written_where_they_are_covered(rsa_key, post, now):
    plain = cavage.sign(post, rsa_key, now=now, expires_s=60).headers.get("signature")
    assert "created=" not in plain
    assert "expires=" not in plain
    timed = cavage.sign(post, rsa_key, now=now, covered=("(created)",), expires_s=60).headers.get("signature")
    assert f"created={CREATED}" in timed
    assert "expires=" not in timed
    both = cavage.sign(post, rsa_key, now=now, covered=("date", "(expires)"), expires_s=60).headers.get("signature")
    assert 'algorithm="hs2019"' in both
    assert f"expires={CREATED + 60}" in both
    assert "created=" not in both


def test_a_signature_of_no_bytes_is_none(now):
    for text, bad in (("", True), (b64encode(b"x").decode(), False)):
        field = f'keyId="{K}",signature="{text}"'
        if bad:
            with pytest.raises(SignatureMalformed, match="empty"):
                cavage.read_parameters(field)
        else:
            assert cavage.read_parameters(field).signature == b"x"
