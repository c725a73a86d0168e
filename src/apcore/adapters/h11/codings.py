"""Undoing content codings within a bound.

A few kilobytes of gzip can unpack to gigabytes, so the bound is on what comes out, and it holds while it comes out. We ask for gzip and
deflate and undo nothing else: an answer in another coding is one that we said we cannot read.
"""

from __future__ import annotations

import zlib
from typing import Final, Literal

__all__ = ["ACCEPTED", "Ending", "decode_body"]

ACCEPTED: Final = "gzip, deflate"
"""The `Accept-Encoding` of requests that name none."""

Ending = Literal["whole", "excess", "broken"]
"""How a decoded body ended: at its end, at the bound, or where it could not be read further."""

_GZIP: Final = 16 + zlib.MAX_WBITS
# RFC 1952 §2.2 allows several members in a row; nobody sends more than a few, and each costs a fresh decoder.
_MEMBERS_MAX: Final = 16


def decode_body(coding: str, body: bytes, bytes_max: int) -> tuple[bytes, Ending]:
    """Undo one content coding; at most ``bytes_max`` bytes come out."""
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
    # RFC 9110 §8.4.1.2: "deflate" is the zlib format, and some senders leave out its header.
    has_header = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] * 256 + body[1]) % 31 == 0
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS


def _inflate(body: bytes, window: int, bytes_max: int) -> tuple[bytes, Ending]:
    out = bytearray()
    for _ in range(_MEMBERS_MAX):
        decoder = zlib.decompressobj(window)
        while not decoder.eof:
            try:
                # One byte more than fits tells excess from a body that ends exactly at the bound.
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
