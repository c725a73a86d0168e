"""Check both digest fields: every trusted algorithm in them is verified, and a malformed field proves nothing."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import ApcoreError, RequestError, SignatureError
from apcore.http import check_content_digest, check_digest, make_content_digest, make_digest

BODY = b'{"hello": "world"}'
GOOD_256 = b64encode(hashlib.sha256(BODY).digest()).decode()
GOOD_512 = b64encode(hashlib.sha512(BODY).digest()).decode()
BAD_256 = b64encode(hashlib.sha256(b"other").digest()).decode()
BAD_512 = b64encode(hashlib.sha512(b"other").digest()).decode()


def test_digest_fields_have_the_values_of_the_rfcs():
    # RFC 9530, appendix D, and the same in the form of RFC 3230
    assert make_content_digest(BODY) == "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
    assert make_digest(BODY) == "SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="


@pytest.mark.parametrize(
    "value",
    [
        f"SHA-256={GOOD_256}",
        f"sha-256={GOOD_256}",
        f"Sha-256={GOOD_256}",
        f"SHA-512={GOOD_512}",
        f"SHA-256={GOOD_256},SHA-512={GOOD_512}",
        f"MD5=AAAA , SHA-256={GOOD_256}",
        f"SHA-256={GOOD_256}, unixsum=30637",
        f"SHA-256={GOOD_256},sha-256={GOOD_256}",
    ],
)
def test_matching_digest_is_accepted(value):
    check_digest(value, BODY)


@pytest.mark.parametrize(
    "value",
    [
        f"SHA-256={BAD_256}",
        f"SHA-256={GOOD_256},SHA-512={BAD_512}",
        f"SHA-512={BAD_512},SHA-256={GOOD_256}",
        f"SHA-256={GOOD_256},sha-256={BAD_256}",
        "MD5=AAAA",
        "unixsum=30637",
        "SHA-256=AAAA",
        f"SHA-256={GOOD_512}",
        f"sha={GOOD_256}",
        "SHA-256=",
    ],
)
def test_wrong_or_untrusted_digest_is_refused(value):
    with pytest.raises(SignatureError):
        check_digest(value, BODY)


@pytest.mark.parametrize(
    "value",
    [
        "",
        ",",
        "SHA-256",
        f"SHA-256={GOOD_256},",
        f"SHA-256={GOOD_256[:-1]}",
        f"SHA-256= {GOOD_256}",
        f"SHA-256={GOOD_256}é",
        f"SHA-256=:{GOOD_256}:",
        f"SHA-256={GOOD_256[:4]} {GOOD_256[4:]}",
        f"SHA-256={GOOD_256.replace('/', '_').replace('+', '-')[:-3]}_-=",
    ],
)
def test_malformed_digest_is_refused(value):
    with pytest.raises(RequestError):
        check_digest(value, BODY)


@pytest.mark.parametrize(
    "value",
    [
        f"sha-256=:{GOOD_256}:",
        f"sha-512=:{GOOD_512}:",
        f"md5=:AAAA:, sha-256=:{GOOD_256}:",
        f"sha-256=:{GOOD_256}:;x=1, unixsum=1",
    ],
)
def test_matching_content_digest_is_accepted(value):
    check_content_digest(value, BODY)


@pytest.mark.parametrize(
    "value", [f"sha-256=:{BAD_256}:", f"sha-256=:{GOOD_256}:, sha-512=:{BAD_512}:", "md5=:AAAA:", "", "sha-256=::"]
)
def test_wrong_or_untrusted_content_digest_is_refused(value):
    with pytest.raises(SignatureError):
        check_content_digest(value, BODY)


@pytest.mark.parametrize(
    "value",
    [
        f"sha-256={GOOD_256}",
        "sha-256",
        "sha-256=1",
        f"sha-256=(:{GOOD_256}:)",
        f"sha-256=:{BAD_256}:, sha-256=:{GOOD_256}:",
        f"SHA-256=:{GOOD_256}:",
        "sha-256=:é:",
    ],
)
def test_malformed_content_digest_is_refused(value):
    with pytest.raises(RequestError):
        check_content_digest(value, BODY)


@given(body=st.binary(max_size=64), other=st.binary(max_size=64))
def test_made_digest_proves_its_body_and_no_other(body, other):
    check_digest(make_digest(body), body)
    check_content_digest(make_content_digest(body), body)
    if body != other:
        with pytest.raises(SignatureError):
            check_digest(make_digest(body), other)
        with pytest.raises(SignatureError):
            check_content_digest(make_content_digest(body), other)


@given(value=st.text("SHAsha-256=:,;AB/+é \t", max_size=40) | st.text(max_size=30))
def test_any_text_is_refused_with_an_apcore_error(value):
    for check in (check_digest, check_content_digest):
        with pytest.raises(ApcoreError):
            check(value, BODY)
