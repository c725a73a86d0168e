"""Encode and decode multibase and multicodec, the form of keys, proofs and digests in documents.

One letter names the base, the rest is the value. The fediverse writes keys and proofs in base58-btc (`z`). The W3C
controller documents also allow base64url (`u`), and hexadecimal (`f`) is useful for debugging. Every other base is
refused.

Base58 is arithmetic on one big number, quadratic in its length, so `decode` bounds the length first.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import unhexlify
from typing import Final

from apcore.signatures.errors import KeyMalformed

__all__ = ["MULTIBASE_CHARS_MAX", "base58_decode", "base58_encode", "decode", "encode", "read_varint"]

MULTIBASE_CHARS_MAX: Final = 2048
"""Longer values are refused undecoded. An RSA-8192 key has about 1,430 characters in base58."""

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}
# Ten characters fit in a machine word, so the big number is updated once per chunk.
_CHUNK: Final = 10
_CHUNK_BASE: Final = 58**_CHUNK
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*")
_BASE16: Final = re.compile(r"(?:[0-9a-fA-F]{2})*")


def decode(text: str, *, bases: str = "z") -> bytes:
    """Decode a multibase value.

    Args:
        text: The value with its base letter.
        bases: The accepted letters. FEP-521a and eddsa-jcs-2022 accept only `z`.

    Raises:
        KeyMalformed: Another base, an invalid character, or more than `MULTIBASE_CHARS_MAX` characters.
    """
    if len(text) > MULTIBASE_CHARS_MAX:
        raise KeyMalformed(f"multibase value of {len(text)} characters, at most {MULTIBASE_CHARS_MAX}")
    base, rest = text[:1], text[1:]
    if not base or base not in bases:
        raise KeyMalformed(f"multibase value starts with {base!r}, expected one of {bases!r}")
    if base == "z":
        return base58_decode(rest)
    if base == "u" and _BASE64URL.fullmatch(rest) and len(rest) % 4 != 1:
        decoded = urlsafe_b64decode(rest + "=" * (-len(rest) % 4))
        # Two spellings of one value would be two ids of one key.
        if urlsafe_b64encode(decoded).rstrip(b"=").decode("ascii") == rest:
            return decoded
    if base in "fF" and _BASE16.fullmatch(rest):
        return unhexlify(rest)
    raise KeyMalformed(f"multibase value {text[:20]!r} is not in the base that it names")


def encode(data: bytes) -> str:
    """Encode ``data`` in base58-btc, with its letter."""
    return "z" + base58_encode(data)


def base58_decode(text: str) -> bytes:
    """Decode base58-btc without its letter.

    Raises:
        KeyMalformed: A character outside the alphabet, or more than `MULTIBASE_CHARS_MAX` characters.
    """
    if len(text) > MULTIBASE_CHARS_MAX:
        raise KeyMalformed(f"base58 value of {len(text)} characters, at most {MULTIBASE_CHARS_MAX}")
    number = 0
    try:
        head = len(text) % _CHUNK
        for start in range(head - _CHUNK if head else 0, len(text), _CHUNK):
            part = 0
            for character in text[max(start, 0) : start + _CHUNK]:
                part = part * 58 + _VALUES[character]
            number = number * _CHUNK_BASE + part
    except KeyError as exc:
        raise KeyMalformed(f"{exc.args[0]!r} is not a character of base58") from None
    # Every leading "1" is a leading zero byte, which a number cannot hold.
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def base58_encode(data: bytes) -> str:
    """Encode base58-btc without a letter. `ValueError` for more bytes than `decode` accepts."""
    if len(data) * 138 // 100 + 1 > MULTIBASE_CHARS_MAX:
        raise ValueError(f"{len(data)} bytes need more than {MULTIBASE_CHARS_MAX} characters of base58")
    number = int.from_bytes(data, "big")
    digits: list[str] = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_ALPHABET[digit])
    zeros = len(data) - len(data.lstrip(b"\x00"))
    return "1" * zeros + "".join(reversed(digits))


def read_varint(data: bytes) -> tuple[int, bytes]:
    """Split off an unsigned varint of at most two bytes: every multicodec of a key has one or two.

    Raises:
        KeyMalformed: It is longer, not minimal, or incomplete.
    """
    if data and data[0] < 0x80:
        return data[0], data[1:]
    if len(data) >= 2 and 0 < data[1] < 0x80:
        return data[0] & 0x7F | data[1] << 7, data[2:]
    raise KeyMalformed(f"{data[:3].hex()} does not start with a multicodec of one or two bytes")
