"""Encode the keys of the store as bytes that sort in key order.

A key is a tuple of 1 to 16 strings. Keys are ordered as Python orders tuples of strings: part by part, by code point,
with no collation and no locale. `encode_key` keeps that order in plain unsigned byte order, so any engine that compares
bytes can hold the map:

- each part is UTF-8 (in which byte order is code point order), with NUL written as ``00 FF``;
- each part ends with ``00``.

The strict extensions of a prefix are the longer keys that begin with its parts. Encoded, they are exactly the ``k``
with ``enc(prefix) < k < enc(prefix) + FF``. A test for "starts with" would be wrong: it would include the keys that
continue with NUL.

Put a string chosen by a peer into a key only through `digest_part`. It bounds the length, and the peer cannot choose
where its entry sorts.
"""

from __future__ import annotations

from binascii import b2a_base64
from hashlib import sha256
from typing import Final, TypeAlias

__all__ = ["KEY_BYTES_MAX", "KEY_PARTS_MAX", "StoreKey", "decode_key", "digest_part", "encode_key", "prefix_bounds"]

StoreKey: TypeAlias = tuple[str, ...]
"""A key: 1 to 16 strings without lone surrogates, at most 1,024 bytes when encoded.

NUL and empty strings are allowed.
"""

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
KEY_PARTS_MAX: Final = 16
KEY_BYTES_MAX: Final = 1024


def encode_key(key: StoreKey, /) -> bytes:
    """Encode ``key`` so that byte order is key order.

    Raises:
        ValueError: ``key`` is not a tuple of 1 to 16 strings, has a lone surrogate, or is over 1,024 bytes encoded.
    """
    if not isinstance(key, tuple) or not 1 <= len(key) <= KEY_PARTS_MAX:
        raise ValueError(f"a key is a tuple of 1 to {KEY_PARTS_MAX} strings, not {_shown(key)}")
    # Nearly all keys are plain, and every commit encodes several.
    try:
        whole = "\x00".join(key)
        if whole.isascii() and whole.count("\x00") == len(key) - 1 and len(whole) < KEY_BYTES_MAX:
            return whole.encode() + b"\x00"
    except TypeError:
        pass  # reported below
    return _encode(key)


def decode_key(encoded: bytes, /) -> StoreKey:
    """Decode a key that `encode_key` encoded.

    Raises:
        ValueError: These bytes were not written by `encode_key`.
    """
    if not encoded.endswith(b"\x00"):
        raise ValueError(f"not an encoded key: {encoded[:40]!r} does not end with 00")
    # 00 FF is a NUL inside a part, and FF never occurs in UTF-8, so FF can replace the NUL while splitting at 00.
    parts = encoded[:-1].replace(b"\x00\xff", b"\xff").split(b"\x00")
    key = tuple(part.replace(b"\xff", b"\x00").decode() for part in parts)
    if encode_key(key) != encoded:
        raise ValueError(f"not an encoded key: {encoded[:40]!r}")
    return key


def prefix_bounds(prefix: StoreKey, /) -> tuple[bytes, bytes]:
    """Return the exclusive byte bounds of the strict extensions of ``prefix``. The empty prefix spans all keys.

    Raises:
        ValueError: As for `encode_key`, except that an empty tuple is allowed.
    """
    if not isinstance(prefix, tuple) or len(prefix) > KEY_PARTS_MAX:
        raise ValueError(f"a prefix is a tuple of at most {KEY_PARTS_MAX} strings, not {_shown(prefix)}")
    low = _encode(prefix)
    return low, low + b"\xff"


def digest_part(text: str, /) -> str:
    """Return the SHA-256 of a peer's string (an IRI, a key id) as a key part: 43 base64url characters.

    Store the full string in the value, and compare it after reading. Lone surrogates are accepted, so every string has
    a digest.
    """
    digest = b2a_base64(sha256(text.encode("utf-8", "surrogatepass")).digest(), newline=False)
    return digest[:43].translate(_URL_SAFE).decode("ascii")


def _encode(key: StoreKey) -> bytes:
    try:
        whole = "\x00".join(key) + "\x00" if key else ""
        if whole.count("\x00") == len(key):
            encoded = whole.encode()
        else:
            encoded = b"".join([part.encode().replace(b"\x00", b"\x00\xff") + b"\x00" for part in key])
    except TypeError:
        raise ValueError(f"every part of a key must be a string: {_shown(key)}") from None
    except UnicodeEncodeError:
        raise ValueError(f"a key must not contain lone surrogates: {_shown(key)}") from None
    if len(encoded) > KEY_BYTES_MAX:
        raise ValueError(f"a key has at most {KEY_BYTES_MAX} bytes encoded, not {len(encoded)}: {_shown(key)}")
    return encoded


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
