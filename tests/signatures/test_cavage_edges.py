"""Check each rule of draft-cavage on both sides of its edge, as mutation testing demands."""

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
"""An application's own policy that demands no coverage."""


def request_of(method="GET", url="https://local.example/x", *, field, **headers):
    given_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, url, {**given_headers, "signature": field})


def field_of(covered=None, **parameters):
    values_by_name = {"keyId": K, **parameters, "signature": "aGk="}
    if covered is not None:
        values_by_name["headers"] = covered
    return ",".join(f'{name}="{value}"' for name, value in values_by_name.items())


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
def test_ambiguous_field_is_refused(field):
    with pytest.raises(SignatureMalformed):
        cavage.read_parameters(field)


def test_empty_field_is_refused_as_empty():
    with pytest.raises(SignatureMalformed, match="is empty"):
        cavage.read_parameters("")


@pytest.mark.parametrize("quote", ["", '"'])
def test_time_of_15_digits_is_read(quote):
    digits = "1" * 15
    assert cavage.read_parameters(f"{field_of()},created={quote}{digits}{quote}").created == digits


@pytest.mark.parametrize(
    ("algorithm", "covered"),
    [(None, ("(created)",)), ("hs2019", ("(created)",)), ("HS2019", ("(created)",)), ("rsa-sha256", ("date",))],
)
def test_default_coverage_depends_on_the_algorithm(algorithm, covered):
    """Draft §2.1.6."""
    parameters = {} if algorithm is None else {"algorithm": algorithm}
    assert cavage.read_parameters(field_of(**parameters)).covered == covered


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
def test_algorithm_label_names_our_algorithm(now, label, algorithm):
    request = request_of(field=field_of("(created)", algorithm=label, created=CREATED))
    assert cavage.parse(request, ANYTHING, now).algorithm == algorithm


@pytest.mark.parametrize("label", ["hmac-sha256", "rsa-sha1", "dsa-sha1", "", "ecdsa-sha512"])
def test_unknown_algorithm_label_is_refused(now, label):
    with pytest.raises(AlgorithmRefused):
        cavage.parse(request_of(field=field_of("(created)", algorithm=label, created=CREATED)), ANYTHING, now)


@pytest.mark.parametrize("white_space", ["", " ", "\t", " \t "])
def test_authorization_may_have_white_space_before_its_parameters(now, white_space):
    field = field_of("(created)", created=CREATED)
    request = Request("GET", "https://local.example/x", {"authorization": f"Signature {white_space}{field}"})
    assert cavage.parse(request, ANYTHING.with_(authorization=True), now).key_id == K


@pytest.mark.parametrize("value", [f"Signature X{field_of()}", f"SignatureX {field_of()}", f"Basic {field_of()}", ""])
def test_authorization_of_another_scheme_is_no_signature(now, value):
    request = Request("GET", "https://local.example/x", {"authorization": value})
    with pytest.raises((SignatureMissing, SignatureMalformed)):
        cavage.parse(request, ANYTHING.with_(authorization=True), now)


# --- only covered components count ----------------------------------------------------------------------------------


def test_uncovered_fields_are_not_compared(now):
    """A proxy may change an uncovered field: the signature says nothing about it."""
    field = field_of("(request-target) (created)", created=CREATED)
    request = request_of("POST", field=field, host="other.example", digest="SHA-256=AAAA", date="nonsense")
    assert cavage.parse(request, ANYTHING, now).signed == CREATED
    covering = request_of("POST", field=field_of("host (created)", created=CREATED), host="other.example")
    with pytest.raises(WrongHost):
        cavage.parse(covering, ANYTHING, now)


def test_uncovered_time_does_not_count(now):
    day_before = "Sat, 21 Nov 2026 08:00:00 GMT"
    covering_date = request_of(field=field_of("date", created=CREATED), date=day_before)
    with pytest.raises(SignatureTooOld):
        cavage.parse(covering_date, ANYTHING, now)
    covering_neither = request_of(field=field_of("host", created=1), host="local.example", date=day_before)
    assert cavage.parse(covering_neither, ANYTHING, now).signed is None


@pytest.mark.parametrize("url", ["https://local.example/x", "https://local.example:8443/x"])
@pytest.mark.parametrize("covered", ["(request-target) (created)", "(created)"])
def test_request_without_host_may_leave_it_uncovered(now, url, covered):
    [base] = cavage.parse(request_of(url=url, field=field_of(covered, created=CREATED)), ANYTHING, now).bases
    assert b"host" not in base.data


@pytest.mark.parametrize("policy", [DEFAULT, STRICT, LENIENT])
@pytest.mark.parametrize("missing", ["(request-target)", "host", "(created)"])
def test_missing_part_of_the_minimum_coverage_is_refused(now, policy, missing):
    names = [name for name in ("(request-target)", "host", "(created)") if name != missing]
    request = request_of(field=field_of(" ".join(names), created=CREATED), host="local.example")
    if policy is LENIENT and missing != "(created)":
        assert cavage.parse(request, policy, now)
        return
    with pytest.raises(CoverageTooSmall):
        cavage.parse(request, policy, now)


@pytest.mark.parametrize("covered", ["date (created)", "date (expires)"])
def test_strict_policy_takes_created_and_expires_with_hs2019_only(now, covered):
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
def test_signing_strings_that_are_tried(now, method, url, host, strings):
    request = request_of(method, url, field=field_of("(request-target) host (created)", created=CREATED), host=host)
    presented = cavage.parse(request, ANYTHING, now)
    lines_by_base = [base.data.decode().split("\n") for base in presented.bases]
    assert [f"{lines[0].rpartition(' ')[2]} {lines[1].removeprefix('host: ')}" for lines in lines_by_base] == strings
    query = "?" in url
    assert [base.query_covered for base in presented.bases] == [not query or "?" in string for string in strings]


def test_head_signature_may_leave_out_the_query(rsa_key, now):
    request = Request("HEAD", "https://local.example/x?q", {"Host": "local.example"})
    unsigned = cavage.prepare(evolve(request, url="https://local.example/x"), key_id=K, now=now)
    signed = evolve(unsigned.attach(rsa_key.sign(unsigned.data)), url=request.url)
    verified = check(cavage.parse(signed, DEFAULT, now), rsa_key.public)
    assert not verified.query_covered
    assert check(cavage.parse(unsigned.attach(rsa_key.sign(unsigned.data)), DEFAULT, now), rsa_key.public).query_covered


# --- the explanation of a refusal -----------------------------------------------------------------------------------


def test_refusal_explains_the_signature(rsa_key, post, now):
    signed = cavage.sign(post, rsa_key, now=now)
    with pytest.raises(SchemeRefused) as exc_info:
        cavage.parse(signed, DEFAULT.with_(schemes=frozenset({"rfc9421"})), now)
    explanation = exc_info.value.explanation
    assert explanation.scheme == "cavage"
    assert explanation.key_id == rsa_key.key_id
    assert explanation.algorithm == "rsa-sha256"
    assert explanation.covered == ("(request-target)", "host", "date", "digest", "content-type")
    assert explanation.signing_string.startswith("(request-target): post /users/bob/inbox\nhost: local.example\n")
    assert explanation.clock_offset_s == 0


def test_refusal_of_a_malformed_field_names_the_scheme(post, now):
    with pytest.raises(SignatureMalformed) as exc_info:
        cavage.parse(evolve(post, headers=post.headers.with_set("signature", "x")), DEFAULT, now)
    assert exc_info.value.explanation.scheme == "cavage"


def test_refusal_without_a_signed_time_has_no_clock_offset(now):
    with pytest.raises(AlgorithmRefused) as exc_info:
        cavage.parse(request_of(field=field_of("host", algorithm="x"), host="local.example"), ANYTHING, now)
    assert exc_info.value.explanation.clock_offset_s is None


# --- signing --------------------------------------------------------------------------------------------------------


def test_signing_keeps_an_existing_host(rsa_key, now):
    request = Request("GET", "https://local.example/x", {"Host": "LOCAL.example:443"})
    assert cavage.sign(request, rsa_key, now=now).headers.get_all("host") == ("LOCAL.example:443",)


def test_get_signature_does_not_cover_content_type(rsa_key, now):
    request = Request("GET", "https://local.example/x", {"Content-Type": "text/plain"})
    signed = cavage.sign(request, rsa_key, now=now)
    assert 'headers="(request-target) host date"' in signed.headers.get("signature")


def test_times_are_written_only_if_covered(rsa_key, post, now):
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


def test_empty_signature_is_refused(now):
    for text, bad in (("", True), (b64encode(b"x").decode(), False)):
        field = f'keyId="{K}",signature="{text}"'
        if bad:
            with pytest.raises(SignatureMalformed, match="empty"):
                cavage.read_parameters(field)
        else:
            assert cavage.read_parameters(field).signature == b"x"
