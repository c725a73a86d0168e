"""Keys of the store: what they are, and the one way to write them as bytes.

A key is a tuple of 1 to 16 strings. Keys are ordered as Python orders tuples of strings: part by part, by code point, with no collation and no
locale. `encode_key` keeps that order in plain unsigned byte order, so any engine that compares bytes can hold the map:

- each part is UTF-8 (whose byte order is code point order), with NUL written as ``00 FF``;
- each part ends with ``00``.

So the strict extensions of a prefix are exactly the keys ``k`` with ``enc(prefix) < k < enc(prefix) + FF``; "starts with" would also take in
the keys whose next character is NUL.

A string chosen by a peer enters a key only as `digest_part`: bounded in length, and no peer decides where its entry stands in the order.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Final, TypeAlias

__all__ = ["KEY_BYTES_MAX", "KEY_PARTS_MAX", "Key", "decode_key", "digest_part", "encode_key", "prefix_bounds"]

Key: TypeAlias = tuple[str, ...]
"""1 to 16 strings without lone surrogates; NUL and empty strings are allowed. At most 1,024 bytes when encoded."""

KEY_PARTS_MAX: Final = 16
KEY_BYTES_MAX: Final = 1024


def encode_key(key: Key, /) -> bytes:
    """Write ``key`` so that byte order is key order.

    Raises:
        ValueError: Not a tuple of 1 to 16 strings, a lone surrogate, or over 1,024 bytes.
    """
    if not isinstance(key, tuple) or not 1 <= len(key) <= KEY_PARTS_MAX:
        raise ValueError(f"a key is a tuple of 1 to {KEY_PARTS_MAX} strings, not {_shown(key)}")
    return _encode(key)


def decode_key(encoded: bytes, /) -> Key:
    """Read back what `encode_key` wrote.

    Raises:
        ValueError: These bytes were not written by `encode_key`.
    """
    if not encoded.endswith(b"\x00"):
        raise ValueError(f"not an encoded key: {encoded[:40]!r} does not end with 00")
    # 00 FF is a NUL inside a part and FF occurs nowhere in UTF-8, so it can stand in for NUL while splitting at 00.
    parts = encoded[:-1].replace(b"\x00\xff", b"\xff").split(b"\x00")
    key = tuple(part.replace(b"\xff", b"\x00").decode() for part in parts)
    if encode_key(key) != encoded:
        raise ValueError(f"not an encoded key: {encoded[:40]!r}")
    return key


def prefix_bounds(prefix: Key, /) -> tuple[bytes, bytes]:
    """Give the exclusive byte bounds between which the strict extensions of ``prefix`` lie. The empty prefix spans everything.

    Raises:
        ValueError: As `encode_key`, but an empty tuple is fine.
    """
    if not isinstance(prefix, tuple) or len(prefix) > KEY_PARTS_MAX:
        raise ValueError(f"a prefix is a tuple of at most {KEY_PARTS_MAX} strings, not {_shown(prefix)}")
    low = _encode(prefix)
    return low, low + b"\xff"


def digest_part(text: str, /) -> str:
    """Name a peer's string (an IRI, a key id) inside a key: its SHA-256, as 43 base64url characters.

    The full string belongs in the value, to be compared after reading. Lone surrogates are hashed as they are, so any string has a name.
    """
    return urlsafe_b64encode(sha256(text.encode("utf-8", "surrogatepass")).digest())[:43].decode("ascii")


def _encode(key: Key) -> bytes:
    try:
        whole = "".join([part + "\x00" for part in key])
        if whole.count("\x00") == len(key):
            encoded = whole.encode()
        else:
            encoded = b"".join([part.encode().replace(b"\x00", b"\x00\xff") + b"\x00" for part in key])
    except TypeError:
        raise ValueError(f"the parts of a key are strings, not as in {_shown(key)}") from None
    except UnicodeEncodeError:
        raise ValueError(f"a key has no lone surrogates; this one has: {_shown(key)}") from None
    if len(encoded) > KEY_BYTES_MAX:
        raise ValueError(f"a key has at most {KEY_BYTES_MAX} bytes encoded, not {len(encoded)}: {_shown(key)}")
    return encoded


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
