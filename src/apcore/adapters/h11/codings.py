"""Decode content codings within a bound.

A few kilobytes of gzip can decode to gigabytes, so the bound is on the output, and is checked during decoding. Requests
ask for gzip and deflate only, and a response in another coding is refused.
"""

from __future__ import annotations

import zlib
from typing import Final, Literal

__all__ = ["ACCEPTED", "Ending", "decode_body"]

ACCEPTED: Final = "gzip, deflate"
"""The `Accept-Encoding` of requests that set none."""

Ending = Literal["whole", "excess", "broken"]
"""How decoding ended: at the end of the body, at the bound, or at invalid data."""

_GZIP: Final = 16 + zlib.MAX_WBITS
# RFC 1952 §2.2 allows several members in a row. Real senders use few, and each costs a new decoder.
_MEMBERS_MAX: Final = 16


def decode_body(coding: str, body: bytes, bytes_max: int) -> tuple[bytes, Ending]:
    """Decode one content coding, to at most ``bytes_max`` bytes."""
    match coding.strip().lower():
        case "gzip" | "x-gzip":
            return _inflate(body, _GZIP, bytes_max)
        case "deflate":
            return _inflate(body, _deflate_window(body), bytes_max)
        case "identity":
            return body[:bytes_max], "whole" if len(body) <= bytes_max else "excess"
        case _:
            return b"", "broken"


def _deflate_window(body: bytes) -> int:
    # RFC 9110 §8.4.1.2: "deflate" is the zlib format, but some senders omit its header.
    has_header = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] * 256 + body[1]) % 31 == 0
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS


def _inflate(body: bytes, window: int, bytes_max: int) -> tuple[bytes, Ending]:
    out = bytearray()
    for _ in range(_MEMBERS_MAX):
        decoder = zlib.decompressobj(window)
        while not decoder.eof:
            try:
                # One byte more than the bound shows whether a body ends exactly at the bound or exceeds it.
                piece = decoder.decompress(body, bytes_max + 1 - len(out))
            except zlib.error:
                return bytes(out), "broken"
            out += piece
            if len(out) > bytes_max:
                return bytes(out[:bytes_max]), "excess"
            body = decoder.unconsumed_tail
            if not body and not piece and not decoder.eof:
                return bytes(out), "broken"
        body = decoder.unused_data
        if not body or window != _GZIP:
            return bytes(out), "whole"
    return bytes(out), "broken"
