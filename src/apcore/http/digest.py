"""Make and check digests of bodies: `Digest` (RFC 3230) for draft-cavage, `Content-Digest` (RFC 9530) for RFC 9421.

A signature covers the field, and the field covers the body. So both checks use the raw bytes as received, before any
parsing, and a field without a trusted digest proves nothing. SHA-256 and SHA-512 are trusted. *Every* trusted digest in
a field must match: two contradictory digests show tampering. Other algorithms (`md5`, `unixsum`) are ignored.

The checks return nothing, or raise, because a caller could forget to look at a result.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from typing import Final

from apcore.errors import RequestError, SignatureError
from apcore.http.fields import Item, parse_dictionary

__all__ = ["check_content_digest", "check_digest", "make_content_digest", "make_digest"]

_TRUSTED: Final = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}


def make_digest(body: bytes) -> str:
    """Return the value of `Digest`.

    The label is in capitals, because some receivers compare the whole value as a string.
    """
    return f"SHA-256={b64encode(hashlib.sha256(body).digest()).decode('ascii')}"


def make_content_digest(body: bytes) -> str:
    """Return the value of `Content-Digest`."""
    return f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode('ascii')}:"


def check_digest(value: str, body: bytes) -> None:
    """Check a `Digest` field against the raw body.

    Raises:
        RequestError: The field is malformed.
        SignatureError: A digest in it does not match, or none is SHA-256 or SHA-512.
    """
    trusted = 0
    for member in value.split(","):
        label, equals, text = member.strip(" \t").partition("=")
        if not equals:
            raise RequestError(f"Digest member {member[:80]!r} has no algorithm and value")
        algorithm = label.lower()
        if algorithm in _TRUSTED:
            _compare("Digest", algorithm, _decoded(algorithm, text), body)
            trusted += 1
    _demand_one("Digest", trusted)


def check_content_digest(value: str, body: bytes) -> None:
    """Check a `Content-Digest` field against the raw body.

    Raises:
        RequestError: The field is malformed.
        SignatureError: A digest in it does not match, or none is SHA-256 or SHA-512.
    """
    trusted = 0
    for algorithm, member in parse_dictionary(value, duplicates="refuse").items():
        if algorithm not in _TRUSTED:
            continue
        if not isinstance(member, Item) or not isinstance(member.value, bytes):
            raise RequestError(f"Content-Digest has no byte sequence for {algorithm}")
        _compare("Content-Digest", algorithm, member.value, body)
        trusted += 1
    _demand_one("Content-Digest", trusted)


def _decoded(algorithm: str, text: str) -> bytes:
    try:
        return a2b_base64(text.encode("ascii"), strict_mode=True)
    except (Base64Error, UnicodeEncodeError) as exc:
        raise RequestError(f"Digest has no padded base64 for {algorithm}") from exc


def _compare(name: str, algorithm: str, claimed: bytes, body: bytes) -> None:
    actual = _TRUSTED[algorithm](body).digest()
    # The sender knows both values, so the comparison need not take constant time.
    if claimed != actual:
        raise SignatureError(f"{name} does not match the {algorithm} of the body of {len(body)} bytes")


def _demand_one(name: str, trusted: int) -> None:
    if not trusted:
        raise SignatureError(f"{name} has neither sha-256 nor sha-512")
