"""Check draft-cavage: accepted dialects, refusals with their reasons, and that no covered byte can be changed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apcore.errors import ApcoreError
from apcore.http.digest import make_content_digest
from apcore.http.messages import Request
from apcore.signatures import cavage
from apcore.signatures.errors import (
    AlgorithmRefused,
    BadSignature,
    ComponentMissing,
    CoverageTooSmall,
    DigestMalformed,
    DigestMismatch,
    KeyMismatch,
    KeyWeak,
    SchemeRefused,
    SignatureExpired,
    SignatureFromFuture,
    SignatureMalformed,
    SignatureMissing,
    SignatureTooOld,
    WrongHost,
)
from apcore.signatures.policy import DEFAULT, LENIENT, STRICT
from apcore.signatures.presented import check


def with_field(request, name, value):
    return evolve(request, headers=request.headers.with_set(name, value))


def verify(request, key, now, policy=DEFAULT):
    return check(cavage.parse(request, policy, now), key.public)


# --- both sides -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "algorithm", "label"),
    [
        ("rsa", None, "rsa-sha256"),
        ("rsa", "rsa-v1_5-sha512", "rsa-sha512"),
        ("ed25519", None, "hs2019"),
        ("p256", None, "hs2019"),
        ("p384", None, "hs2019"),
    ],
)
@pytest.mark.parametrize("request_name", ["post", "get"])
def test_our_signature_is_accepted(any_key, post, get, now, kind, algorithm, label, request_name):
    key = any_key[kind]
    signed = cavage.sign({"post": post, "get": get}[request_name], key, now=now, algorithm=algorithm)
    verified = verify(signed, key, now)
    assert (verified.owner, verified.key_id, verified.scheme) == (key.public.owner, key.key_id, "cavage")
    assert verified.query_covered
    assert f'algorithm="{label}"' in signed.headers.get("signature")


def test_delivery_covers_the_components_that_every_server_accepts(rsa_key, post, now):
    signed = cavage.sign(post, rsa_key, now=now)
    assert verify(signed, rsa_key, now).covered == ("(request-target)", "host", "date", "digest", "content-type")
    assert signed.headers.get("date") == "Sun, 22 Nov 2026 08:00:00 GMT"
    assert signed.headers.get("digest").startswith("SHA-256=")


def test_signing_adds_a_missing_host(rsa_key, now):
    bare = Request("GET", "https://local.example:8443/x")
    signed = cavage.sign(bare, rsa_key, now=now)
    assert signed.headers.get("host") == "local.example:8443"
    assert verify(signed, rsa_key, now)


def test_covered_created_and_expires_set_the_algorithm_to_hs2019(rsa_key, post, now):
    covered = ("(request-target)", "(created)", "(expires)", "host", "digest")
    signed = cavage.sign(post, rsa_key, now=now, covered=covered, expires_s=3600)
    created = int(now.timestamp())
    assert f'algorithm="hs2019",created={created},expires={created + 3600},' in signed.headers.get("signature")
    verified = verify(signed, rsa_key, now, STRICT)
    assert (verified.signed, verified.expires) == (created, created + 3600)


@pytest.mark.parametrize(
    ("method", "body", "digested"),
    [("GET", b"", False), ("HEAD", b"", False), ("GET", b"x", True), ("POST", b"", True), ("DELETE", b"", True)],
)
def test_digest_is_added_if_the_request_may_have_a_body(ed_key, now, method, body, digested):
    request = Request(method, "https://local.example/x", {"Host": "local.example"}, body)
    signed = cavage.sign(request, ed_key, now=now)
    assert ("digest" in signed.headers) == digested
    assert ("digest" in " ".join(verify(signed, ed_key, now).covered)) == digested


def test_prepared_request_takes_a_signature_made_elsewhere(rsa_key, post, now):
    unsigned = cavage.prepare(post, key_id=rsa_key.key_id, now=now)
    assert "signature" not in unsigned.request.headers
    assert verify(unsigned.attach(rsa_key.sign(unsigned.data)), rsa_key, now)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"algorithm": "rsa-pss-sha512"}, "no name"),
        ({"covered": ("x-missing",)}, "x-missing"),
        ({"covered": ("(expires)",)}, "expires"),
        ({"key_id": 'a"b'}, "cannot stand"),
        ({"key_id": "a\nb"}, "cannot stand"),
    ],
)
def test_wrong_argument_is_refused_in_words(post, now, arguments, words):
    with pytest.raises(ValueError, match=words):
        cavage.prepare(post, **{"key_id": "k", "now": now, **arguments})


def test_signing_with_an_algorithm_of_another_key_type_is_refused(rsa_key, post, now):
    with pytest.raises(ValueError, match="ed25519"):
        cavage.sign(post, rsa_key, now=now, algorithm="ed25519")


# --- a request that was changed on its way --------------------------------------------------------------------------

CHANGES = {
    "body": (lambda r: evolve(r, body=r.body + b" "), DigestMismatch),
    "body and digest": (
        lambda r: with_field(evolve(r, body=b""), "digest", "SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
        BadSignature,
    ),
    "method": (lambda r: evolve(r, method="PUT"), BadSignature),
    "path": (lambda r: evolve(r, url="https://local.example/users/bob/Inbox"), BadSignature),
    "a query": (lambda r: evolve(r, url=r.url + "?a"), BadSignature),
    "date": (lambda r: with_field(r, "date", "Sun, 22 Nov 2026 08:00:01 GMT"), BadSignature),
    "content type": (lambda r: with_field(r, "content-type", "application/json"), BadSignature),
    "a second content type": (
        lambda r: evolve(r, headers=r.headers.with_added("content-type", "application/json")),
        BadSignature,
    ),
    "no content type": (lambda r: evolve(r, headers=r.headers.without("content-type")), ComponentMissing),
    "no digest": (lambda r: evolve(r, headers=r.headers.without("digest")), ComponentMissing),
    "no date": (lambda r: evolve(r, headers=r.headers.without("date")), ComponentMissing),
    "no host": (lambda r: evolve(r, headers=r.headers.without("host")), ComponentMissing),
    "another host": (lambda r: with_field(r, "host", "other.example"), WrongHost),
    "another server": (lambda r: evolve(r, url="https://other.example/users/bob/inbox"), WrongHost),
    "another port": (lambda r: evolve(r, url="https://local.example:8443/users/bob/inbox"), None),
    "an uncovered field": (lambda r: with_field(r, "accept", "text/html"), None),
}


@pytest.mark.parametrize(("change", "error"), CHANGES.values(), ids=CHANGES)
def test_changed_delivery_is_refused_unless_the_change_is_uncovered(rsa_key, post, now, change, error):
    changed_request = change(cavage.sign(post, rsa_key, now=now))
    if error is None:
        assert verify(changed_request, rsa_key, now)
    else:
        with pytest.raises(error):
            verify(changed_request, rsa_key, now)


@given(st.data())
def test_changed_byte_of_a_covered_field_is_refused(ed_key, post, now, data):
    signed = cavage.sign(post, ed_key, now=now)
    name = data.draw(st.sampled_from(["host", "date", "digest", "content-type"]))
    value = list(signed.headers.get(name))
    position = data.draw(st.integers(0, len(value) - 1))
    value[position] = data.draw(
        st.characters(min_codepoint=33, max_codepoint=126).filter(lambda c: c != value[position])
    )
    changed_request = with_field(signed, name, "".join(value))
    if name == "host" and changed_request.headers.get("host").lower() == "local.example":
        return
    with pytest.raises(ApcoreError):
        verify(changed_request, ed_key, now)


@given(st.integers(0, 63), st.integers(1, 255))
def test_changed_byte_of_the_signature_is_refused(ed_key, post, now, position, difference):
    presented = cavage.parse(cavage.sign(post, ed_key, now=now), DEFAULT, now)
    changed_signature = bytearray(presented.signature)
    changed_signature[position] ^= difference
    with pytest.raises(BadSignature):
        check(evolve(presented, signature=bytes(changed_signature)), ed_key.public)


# --- dialects -------------------------------------------------------------------------------------------------------


def sign_with_field(key, request, field, now, *, query=True, host=None):
    """Sign a request in the dialect of ``field``, the text of a signature field with a place for the signature."""
    parameters = cavage.read_parameters(field.format(signature="AA=="))
    from apcore.signatures._parts import Target, field_values

    values = field_values(request)
    target = Target(request.url)
    if host:
        values["host"] = host
    base = cavage.signing_string(request.method, target.path + (target.query if query else ""), values, parameters)
    from base64 import b64encode

    signature = b64encode(key.sign(base, dss_der=True)).decode()
    return with_field(request, "signature", field.format(signature=signature))


@pytest.fixture
def dated_request(post, now, rsa_key):
    return cavage.prepare(post, key_id=rsa_key.key_id, now=now).request


K = "https://remote.example/users/alice#main-key"
NAMES = "(request-target) host date digest"
CREATED = 1795334400

DIALECTS = {
    "hs2019 with RSA": f'keyId="{K}",algorithm="hs2019",headers="{NAMES}",signature="{{signature}}"',
    "no algorithm": f'keyId="{K}",headers="{NAMES}",signature="{{signature}}"',
    "algorithm in capitals": f'keyId="{K}",algorithm="RSA-SHA256",headers="{NAMES}",signature="{{signature}}"',
    "another order": f'signature="{{signature}}",headers="{NAMES}",algorithm="rsa-sha256",keyId="{K}"',
    "white space": f'keyId="{K}" , algorithm = "rsa-sha256",  headers="{NAMES}",\tsignature="{{signature}}"',
    "unknown parameter": f'keyId="{K}",headers="{NAMES}",opaque="x",signature="{{signature}}"',
    "created": (
        f'keyId="{K}",algorithm="hs2019",created={CREATED},headers="(created) {NAMES}",signature="{{signature}}"'
    ),
    "created in quotes": f'keyId="{K}",created="{CREATED}",headers="(created) {NAMES}",signature="{{signature}}"',
    "created not covered": f'keyId="{K}",created={CREATED},headers="{NAMES}",signature="{{signature}}"',
    "capitals in headers": f'keyId="{K}",headers="(request-target) Host Date DIGEST",signature="{{signature}}"',
    "an empty value": f'keyId="{K}",headers="{NAMES} x-empty",signature="{{signature}}"',
    "a dropped content-length": f'keyId="{K}",headers="{NAMES} content-length",signature="{{signature}}"',
    "a repeated field": f'keyId="{K}",headers="{NAMES} x-twice",signature="{{signature}}"',
    "created with rsa-sha256": (
        f'keyId="{K}",algorithm="rsa-sha256",created={CREATED},headers="(created) {NAMES}",signature="{{signature}}"'
    ),
}


@pytest.mark.parametrize("field", DIALECTS.values(), ids=DIALECTS)
def test_signature_field_dialects_are_read(rsa_key, dated_request, now, field):
    dated_request = evolve(
        dated_request,
        headers=dated_request.headers.with_set("x-empty", "").with_added("x-twice", "1").with_added("x-twice", "2"),
    )
    assert now.timestamp() == CREATED
    assert verify(sign_with_field(rsa_key, dated_request, field, now), rsa_key, now)


@pytest.mark.parametrize("white_space", [" ", "\t", " \t  "])
def test_folded_signature_is_read(rsa_key, dated_request, now, white_space):
    signed = sign_with_field(rsa_key, dated_request, DIALECTS["no algorithm"], now)
    head, _, tail = signed.headers.get("signature").rpartition('signature="')
    folded = with_field(
        signed, "signature", f'{head}signature="{tail[:76]}{white_space}{tail[76:150]}{white_space}{tail[150:]}'
    )
    assert verify(folded, rsa_key, now)


def test_key_id_may_be_the_actor_id(rsa_key, dated_request, now):
    field = DIALECTS["no algorithm"].replace("#main-key", "")
    assert verify(sign_with_field(rsa_key, dated_request, field, now), rsa_key, now).key_id == rsa_key.public.owner


def test_get_may_leave_out_the_query_except_under_the_strict_policy(rsa_key, get, now):
    dated_request = cavage.prepare(get, key_id=K, now=now).request
    signed = sign_with_field(rsa_key, dated_request, DIALECTS["no algorithm"].replace(" digest", ""), now, query=False)
    assert not verify(signed, rsa_key, now).query_covered
    with pytest.raises(BadSignature):
        verify(signed, rsa_key, now, STRICT)


@pytest.mark.parametrize(("query", "covered"), [("", True), ("?x=1", False)])
def test_signature_without_request_target_does_not_cover_the_query(rsa_key, dated_request, now, query, covered):
    signed = sign_with_field(rsa_key, dated_request, DIALECTS["no algorithm"].replace("(request-target) ", ""), now)
    assert verify(evolve(signed, url=signed.url + query), rsa_key, now, LENIENT).query_covered == covered


def test_delivery_may_not_leave_out_the_query(rsa_key, dated_request, now):
    with_query = evolve(dated_request, url=dated_request.url + "?x=1")
    with pytest.raises(BadSignature):
        verify(sign_with_field(rsa_key, with_query, DIALECTS["no algorithm"], now, query=False), rsa_key, now)


@pytest.mark.parametrize("sent_host", ["local.example", "local.example:8443"])
@pytest.mark.parametrize("signed_host", ["local.example", "local.example:8443"])
def test_signed_host_may_have_or_lack_a_non_default_port(rsa_key, dated_request, now, sent_host, signed_host):
    dated_request = with_field(evolve(dated_request, url="https://local.example:8443/inbox"), "host", sent_host)
    assert verify(
        sign_with_field(rsa_key, dated_request, DIALECTS["no algorithm"], now, host=signed_host), rsa_key, now
    )


def test_host_may_name_the_default_port(rsa_key, dated_request, now):
    dated_request = with_field(dated_request, "host", "LOCAL.example:443")
    assert verify(sign_with_field(rsa_key, dated_request, DIALECTS["no algorithm"], now), rsa_key, now)


def test_only_the_lenient_policy_reads_authorization(rsa_key, dated_request, now):
    signed = sign_with_field(rsa_key, dated_request, DIALECTS["no algorithm"], now)
    in_authorization = evolve(
        signed,
        headers=signed.headers.without("signature").with_set(
            "authorization", "Signature " + signed.headers.get("signature")
        ),
    )
    assert verify(in_authorization, rsa_key, now, LENIENT)
    with pytest.raises(SignatureMissing):
        verify(in_authorization, rsa_key, now)


# --- refusals -------------------------------------------------------------------------------------------------------

S = 'signature="AAAA"'
MALFORMED = {
    "empty": "",
    "text": "nonsense",
    "no key id": S,
    "no signature": f'keyId="{K}"',
    "empty signature": f'keyId="{K}",signature=""',
    "unpadded": f'keyId="{K}",signature="AAA"',
    "base64url": f'keyId="{K}",signature="__8="',
    "not ASCII": f'keyId="{K}",signature="AéA="',
    "trailing comma": f'keyId="{K}",{S},',
    "leading comma": f',keyId="{K}",{S}',
    "two commas": f'keyId="{K}",,{S}',
    "no comma": f'keyId="{K}" {S}',
    "unclosed": f'keyId="{K},{S}',
    "key id twice": f'keyId="{K}",keyId="{K}",{S}',
    "key id twice in another case": f'keyId="{K}",keyid="{K}",{S}',
    "signature twice": f'keyId="{K}",{S},{S}',
    "headers twice": f'keyId="{K}",headers="date",headers="date",{S}',
    "an escape": f'keyId="{K}\\"",{S}',
    "no key id in it": f'keyId="",{S}',
    "key id with a blank": f'keyId="a\tb",{S}',
    "key id not ASCII": f'keyId="https://é.example",{S}',
    "long key id": f'keyId="{"x" * 2049}",{S}',
    "no headers in it": f'keyId="{K}",headers="",{S}',
    "two blanks": f'keyId="{K}",headers="date  host",{S}',
    "a name twice": f'keyId="{K}",headers="date host date",{S}',
    "a name twice in another case": f'keyId="{K}",headers="date host Date",{S}',
    "a colon in a name": f'keyId="{K}",headers="date: host",{S}',
    "an unknown pseudo header": f'keyId="{K}",headers="(request-line) date",{S}',
    "created is no number": f'keyId="{K}",created="now",headers="(created)",{S}',
    "created is a fraction": f'keyId="{K}",created=1.5,headers="(created)",{S}',
    "created is negative": f'keyId="{K}",created=-1,headers="(created)",{S}',
    "created is huge": f'keyId="{K}",created={"9" * 16},headers="(created)",{S}',
    "expires is no number": f'keyId="{K}",expires="",headers="date",{S}',
    "too many names": f'keyId="{K}",headers="{" ".join(f"x{n}" for n in range(65))}",{S}',
    "too long": f'keyId="{K}",{S},opaque="{"x" * 8192}"',
}


@pytest.mark.parametrize("field", MALFORMED.values(), ids=MALFORMED)
def test_malformed_field_is_refused_with_400(dated_request, now, field):
    with pytest.raises(SignatureMalformed) as exc_info:
        cavage.parse(with_field(dated_request, "signature", field), LENIENT, now)
    assert exc_info.value.status_hint == 400


REFUSED = {
    "hmac": (f'keyId="{K}",algorithm="hmac-sha256",headers="{NAMES}",{S}', AlgorithmRefused),
    "SHA-1": (f'keyId="{K}",algorithm="rsa-sha1",headers="{NAMES}",{S}', AlgorithmRefused),
    "date alone": (f'keyId="{K}",headers="date",{S}', CoverageTooSmall),
    "no headers, so created": (f'keyId="{K}",created={CREATED},{S}', CoverageTooSmall),
    "no headers, so date": (f'keyId="{K}",algorithm="rsa-sha256",{S}', CoverageTooSmall),
    "no digest": (f'keyId="{K}",headers="(request-target) host date",{S}', CoverageTooSmall),
    "no target": (f'keyId="{K}",headers="host date digest",{S}', CoverageTooSmall),
    "no host": (f'keyId="{K}",headers="(request-target) date digest",{S}', CoverageTooSmall),
    "no time": (f'keyId="{K}",headers="(request-target) host digest",{S}', CoverageTooSmall),
    "created is missing": (f'keyId="{K}",headers="(request-target) host (created) digest",{S}', ComponentMissing),
    "expires is missing": (f'keyId="{K}",headers="{NAMES} (expires)",{S}', ComponentMissing),
    "a field is missing": (f'keyId="{K}",headers="{NAMES} x-missing",{S}', ComponentMissing),
}


@pytest.mark.parametrize(("field", "error"), REFUSED.values(), ids=REFUSED)
def test_insufficient_signature_is_refused_with_401(dated_request, now, field, error):
    with pytest.raises(error) as exc_info:
        cavage.parse(with_field(dated_request, "signature", field), DEFAULT, now)
    assert exc_info.value.status_hint == 401
    assert exc_info.value.explanation.key_id == K


def test_field_length_and_number_of_covered_names_are_bounded(rsa_key, dated_request, now):
    field = f'{DIALECTS["no algorithm"]},opaque="{{fill}}"'
    shortest = sign_with_field(rsa_key, dated_request, field.replace("{fill}", ""), now).headers.get("signature")
    longest = shortest[:-1] + "x" * (cavage.FIELD_CHARS_MAX - len(shortest)) + '"'
    assert verify(with_field(dated_request, "signature", longest), rsa_key, now)
    with pytest.raises(SignatureMalformed, match="at most 8192"):
        verify(with_field(dated_request, "signature", longest[:-1] + 'x"'), rsa_key, now)
    at_most_four = DEFAULT.with_(covered_max=4)
    assert verify(sign_with_field(rsa_key, dated_request, DIALECTS["no algorithm"], now), rsa_key, now, at_most_four)
    with pytest.raises(SignatureMalformed, match="5 names"):
        verify(
            sign_with_field(rsa_key, dated_request, DIALECTS["a dropped content-length"], now),
            rsa_key,
            now,
            at_most_four,
        )


@pytest.mark.parametrize(("names", "words"), [("(created)", "parameter created"), ("date", "Date field")])
def test_refusal_names_the_missing_time(dated_request, now, names, words):
    bare = evolve(dated_request, headers=dated_request.headers.without("date"))
    field = f'keyId="{K}",headers="(request-target) host {names} digest",{S}'
    with pytest.raises(ComponentMissing, match=words):
        cavage.parse(with_field(bare, "signature", field), DEFAULT, now)


def test_body_of_a_get_must_be_covered(rsa_key, get, now):
    dated_request = evolve(cavage.prepare(get, key_id=K, now=now).request, body=b"x")
    with pytest.raises(CoverageTooSmall, match="digest"):
        verify(
            sign_with_field(rsa_key, dated_request, DIALECTS["no algorithm"].replace(" digest", ""), now), rsa_key, now
        )


def test_strict_policy_refuses_created_with_rsa_sha256(rsa_key, dated_request, now):
    signed = sign_with_field(rsa_key, dated_request, DIALECTS["created with rsa-sha256"], now)
    with pytest.raises(AlgorithmRefused):
        verify(signed, rsa_key, now, STRICT)


def test_missing_signature_and_two_signatures_are_refused(dated_request, now):
    with pytest.raises(SignatureMissing):
        cavage.parse(dated_request, DEFAULT, now)
    twice = evolve(
        dated_request, headers=dated_request.headers.with_added("signature", "a").with_added("signature", "b")
    )
    with pytest.raises(SignatureMalformed, match="2 Signature fields"):
        cavage.parse(twice, DEFAULT, now)


def test_scheme_outside_the_policy_is_refused(rsa_key, post, now):
    with pytest.raises(SchemeRefused):
        verify(cavage.sign(post, rsa_key, now=now), rsa_key, now, DEFAULT.with_(schemes=frozenset({"rfc9421"})))


DIGESTS = {
    "another body": ("SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", DigestMismatch),
    "unknown algorithm": ("MD5=1B2M2Y8AsgTpgAmY7PhCfg==", DigestMismatch),
    "SHA-1 alone": ("SHA=2jmj7l5rSw0yVb/vlWAYkK/YBwk=", DigestMismatch),
    "malformed": ("nonsense", DigestMalformed),
    "without padding": ("SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", DigestMalformed),
}


@pytest.mark.parametrize(("digest", "error"), DIGESTS.values(), ids=DIGESTS)
def test_wrong_or_malformed_digest_is_refused(rsa_key, dated_request, now, digest, error):
    changed_request = with_field(dated_request, "digest", digest)
    with pytest.raises(error):
        verify(sign_with_field(rsa_key, changed_request, DIALECTS["no algorithm"], now), rsa_key, now)


CONTENT_DIGESTS = {
    "another body": ("sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", DigestMismatch),
    "unknown algorithm": ("md5=:1B2M2Y8AsgTpgAmY7PhCfg==:", DigestMismatch),
    "malformed": ("nonsense", DigestMismatch),
    "of another field": ("sha-256=47DEQpj8", DigestMalformed),
}
CONTENT_DIGEST_ALONE = f'keyId="{K}",headers="(request-target) host date content-digest",signature="{{signature}}"'
BOTH_DIGESTS = f'keyId="{K}",headers="{NAMES} content-digest",signature="{{signature}}"'


@pytest.mark.parametrize("policy", [DEFAULT, STRICT, LENIENT], ids=lambda policy: policy.name)
@pytest.mark.parametrize("field", [CONTENT_DIGEST_ALONE, BOTH_DIGESTS], ids=["alone", "both"])
def test_covered_content_digest_covers_the_body(rsa_key, dated_request, now, field, policy):
    unsigned = with_field(dated_request, "content-digest", make_content_digest(dated_request.body))
    if field == CONTENT_DIGEST_ALONE:
        unsigned = evolve(unsigned, headers=unsigned.headers.without("digest"))
    signed = sign_with_field(rsa_key, unsigned, field, now)
    assert "content-digest" in verify(signed, rsa_key, now, policy).covered
    with pytest.raises(DigestMismatch):
        verify(evolve(signed, body=signed.body + b" "), rsa_key, now, policy)


@pytest.mark.parametrize("field", [CONTENT_DIGEST_ALONE, BOTH_DIGESTS], ids=["alone", "both"])
@pytest.mark.parametrize(("digest", "error"), CONTENT_DIGESTS.values(), ids=CONTENT_DIGESTS)
def test_covered_content_digest_of_another_body_is_refused(rsa_key, dated_request, now, digest, error, field):
    signed = sign_with_field(rsa_key, with_field(dated_request, "content-digest", digest), field, now)
    with pytest.raises(error):
        verify(signed, rsa_key, now)


def test_uncovered_content_digest_does_not_cover_the_body(rsa_key, dated_request, now):
    unsigned = with_field(dated_request, "content-digest", make_content_digest(dated_request.body))
    signed = sign_with_field(rsa_key, unsigned, DIALECTS["no algorithm"].replace(" digest", ""), now)
    with pytest.raises(CoverageTooSmall, match="does not cover digest or content-digest"):
        verify(signed, rsa_key, now)


@pytest.mark.parametrize(
    ("offset_s", "error"),
    [(3601, SignatureFromFuture), (3600, None), (0, None), (-3600, None), (-3601, SignatureTooOld)],
)
@pytest.mark.parametrize(
    "covered", [None, ("(request-target)", "host", "(created)", "digest")], ids=["date", "created"]
)
def test_signature_time_must_lie_within_the_window(ed_key, post, now, offset_s, error, covered):
    signed = cavage.sign(post, ed_key, now=now + timedelta(seconds=offset_s), covered=covered)
    if error is None:
        assert verify(signed, ed_key, now)
        return
    with pytest.raises(error) as exc_info:
        verify(signed, ed_key, now)
    assert exc_info.value.explanation.clock_offset_s == offset_s


@pytest.mark.parametrize(
    ("signed_s", "lifetime_s", "error"),
    [
        (-7200, 3600, None),
        (-7201, 3600, SignatureExpired),
        (-12 * 3600, 12 * 3600, None),
        (-12 * 3600 - 1, 86400, SignatureTooOld),
    ],
)
def test_signed_expiry_is_respected(ed_key, post, now, signed_s, lifetime_s, error):
    covered = ("(request-target)", "host", "(created)", "(expires)", "digest")
    signed = cavage.sign(post, ed_key, now=now + timedelta(seconds=signed_s), covered=covered, expires_s=lifetime_s)
    if error is None:
        assert verify(signed, ed_key, now)
    else:
        with pytest.raises(error):
            verify(signed, ed_key, now)


def test_unsigned_expiry_never_prolongs_a_signature(ed_key, post, now):
    """Anyone can add a parameter. Only a covered `(expires)` is signed."""
    covered = ("(request-target)", "host", "(created)", "digest")
    signed = cavage.sign(post, ed_key, now=now - timedelta(hours=2), covered=covered)
    field = signed.headers.get("signature")
    for expires, error in ((CREATED + 3600, SignatureTooOld), (CREATED - 7200, SignatureExpired)):
        with pytest.raises(error):
            verify(with_field(signed, "signature", f"{field},expires={expires}"), ed_key, now)


@pytest.mark.parametrize("date", ["", "now", "Sun, 22 Nov 2026 08:00:00 +0000", "Sun, 32 Nov 2026 08:00:00 GMT"])
def test_malformed_date_is_refused(rsa_key, dated_request, now, date):
    with pytest.raises(SignatureMalformed):
        verify(
            sign_with_field(rsa_key, with_field(dated_request, "date", date), DIALECTS["no algorithm"], now),
            rsa_key,
            now,
        )


# --- the key --------------------------------------------------------------------------------------------------------


def test_key_of_another_owner_or_type_is_refused(rsa_key, ed_key, post, now):
    presented = cavage.parse(cavage.sign(post, rsa_key, now=now), DEFAULT, now)
    with pytest.raises(KeyMismatch, match="alice#main-key, not https"):
        check(presented, ed_key.public.renamed(owner="https://other.example/users/eve"))
    with pytest.raises(KeyMismatch, match="which is ed25519"):
        check(presented, ed_key.public.renamed(key_id=presented.key_id))


def test_only_the_lenient_policy_accepts_a_1024_bit_key(now, dated_request):
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    from apcore.signatures.key_formats import read_private_der

    der = rsa.generate_private_key(65537, 1024).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    short = read_private_der(der, key_id=K, owner="https://remote.example/users/alice")
    signed = sign_with_field(short, dated_request, DIALECTS["no algorithm"], now)
    assert verify(signed, short, now, LENIENT)
    with pytest.raises(KeyWeak, match="1024 bits"):
        verify(signed, short, now)


# --- explanations ---------------------------------------------------------------------------------------------------


def test_refusal_shows_the_expected_signing_string(rsa_key, post, now):
    signed = with_field(cavage.sign(post, rsa_key, now=now - timedelta(seconds=90)), "content-type", "text/plain")
    with pytest.raises(BadSignature) as exc_info:
        verify(signed, rsa_key, now)
    explanation = exc_info.value.explanation
    assert explanation.signing_string.splitlines()[0] == "(request-target): post /users/bob/inbox"
    assert explanation.signing_string.splitlines()[-1] == "content-type: text/plain"
    assert explanation.covered[0] == "(request-target)"
    assert explanation.clock_offset_s == -90
    assert rsa_key.public.fingerprint[:16] in explanation.key
    text = "\n".join(explanation.lines())
    assert "    content-type: text/plain" in text
    assert "clock offset: -90 s" in text


def test_refusal_never_shows_secrets(rsa_key, dated_request, now):
    secret = evolve(
        dated_request,
        headers=dated_request.headers.with_set("cookie", "session=hunter2").with_set("authorization", "Bearer hunter2"),
    )
    field = DIALECTS["no algorithm"].replace(NAMES, f"{NAMES} cookie authorization")
    signed = with_field(sign_with_field(rsa_key, secret, field, now), "digest", dated_request.headers.get("digest"))
    assert verify(signed, rsa_key, now)
    with pytest.raises(BadSignature) as exc_info:
        verify(evolve(signed, method="PUT"), rsa_key, now)
    assert "cookie: ..." in exc_info.value.explanation.signing_string
    assert "hunter2" not in repr(exc_info.value.explanation) + str(exc_info.value)


def test_replay_id_identifies_the_signature(ed_key, post, now):
    first, second = (verify(cavage.sign(post, ed_key, now=now + timedelta(seconds=s)), ed_key, now) for s in (0, 1))
    assert first.replay_id != second.replay_id
    assert first.replay_id == verify(cavage.sign(post, ed_key, now=now), ed_key, now).replay_id


# --- garbage --------------------------------------------------------------------------------------------------------

VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=80).filter(
    lambda text: not any(0x7F <= ord(c) < 0xA0 for c in text)
)
PARAMETER = st.builds(
    "{}={}".format,
    st.sampled_from(["keyId", "signature", "headers", "algorithm", "created", "expires", "x"]),
    st.one_of(
        VALUE.map('"{}"'.format),
        st.integers(-10, 10**16).map(str),
        st.sampled_from(['"AAAA"', f'"{NAMES}"', '"date"', '"hs2019"', f'"{K}"']),
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUE | st.lists(PARAMETER, max_size=7).map(",".join), VALUE, VALUE)
def test_garbage_is_refused_with_400_or_401(dated_request, now, rsa_key, field, date, digest):
    request = evolve(
        dated_request,
        headers=dated_request.headers.with_set("date", date).with_set("digest", digest).with_set("signature", field),
    )
    for policy in (DEFAULT, LENIENT):
        with pytest.raises(ApcoreError) as exc_info:
            verify(request, rsa_key, now, policy)
        assert exc_info.value.status_hint in {400, 401}


# --- two readers, one language --------------------------------------------------------------------------------------

PIECES = st.text('ab ",=\\()/#-', max_size=8) | st.sampled_from([K, "rsa-sha256", "hs2019", NAMES, "AA==", ""])


def read_or_refusal(text):
    try:
        return cavage.read_parameters(text)
    except SignatureMalformed as exc:
        return type(exc)


@given(PIECES, PIECES, PIECES, PIECES)
@settings(max_examples=500)
def test_fast_path_reads_the_field_like_the_general_path(key_id, algorithm, headers, signature):
    """A blank after a comma makes the same field take the path that reads parameters one by one."""
    text = 'keyId="{}",algorithm="{}",headers="{}",signature="{}"'
    usual_form, other_form = text, text.replace('",a', '", a')
    assert read_or_refusal(usual_form.format(key_id, algorithm, headers, signature)) == read_or_refusal(
        other_form.format(key_id, algorithm, headers, signature)
    )
