"""How long an answer counts, and how to ask whether it changed (RFC 9111, RFC 9110 §13).

Theory of operation. apcore is a private cache of documents, one per signer: the rules for shared caches (`s-maxage`, `private`, `Vary` over
what we never vary) mean nothing to it. A peer's `Cache-Control` is a wish inside bounds that are ours: whatever it says, a document is fresh
for at least ``min_s`` and at most ``max_s``, so that nobody makes us ask at every look, nor believe a thing for years.

Directives that cannot be read are treated as absent, except that a lifetime given twice or badly means stale (RFC 9111 §4.2.1).
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from apcore.errors import RequestError
from apcore.http.dates import parse_http_date
from apcore.http.messages import Headers, Response

__all__ = [
    "Validators",
    "conditional_headers",
    "fresh_until",
    "is_storable",
    "matches_etag",
    "refreshed_headers",
    "strong_etag",
    "validators_of",
]

# RFC 9111 §5.2: directives, with or without a value.
_DIRECTIVE: Final = re.compile(
    r"""[ \t,]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:=("(?:[^"\\]|\\.)*"|[^\s,"]+))?[ \t]*(?=,|$)"""
)
_DIRECTIVES_MAX: Final = 32
_DELTA: Final = re.compile(r'([0-9]++)|"([0-9]++)"')
_DELTA_S_MAX: Final = float(2**31)
"""What a number of seconds that is too large counts as (RFC 9111 §1.2.2)."""
# RFC 9110 §8.8.3. The bound is ours: a validator is stored and sent back, so its length is not the peer's to choose.
_ETAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]{0,256}"')
_BETWEEN_ETAGS: Final = re.compile(r"[ \t]*,?[ \t]*")
# RFC 9111 §3.2: what belongs to one message, not to the document.
_NOT_REFRESHED: Final = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "keep-alive",
        "transfer-encoding",
    }
)


def _directives(headers: Headers) -> dict[str, str | None]:
    """Read `Cache-Control`. A directive that comes twice with two values has the value "", which is no number."""
    found: dict[str, str | None] = {}
    # A quoted value with a comma in it falls apart here. Nothing that is read below has one, and no part of one reads as a number.
    for member in (headers.get("cache-control") or "").split(",", _DIRECTIVES_MAX)[:_DIRECTIVES_MAX]:
        name, equals, text = member.strip(" \t").partition("=")
        value = text if equals else None
        found[name.lower()] = value if found.get(name.lower(), value) == value else ""
    return found


def _delta_s(value: str | None) -> float | None:
    match = _DELTA.fullmatch(value or "")
    if match is None:
        return None
    digits: str = (match[1] or match[2]).lstrip("0") or "0"
    return _DELTA_S_MAX if len(digits) > 10 else min(float(digits), _DELTA_S_MAX)


def _date(text: str | None) -> datetime | None:
    try:
        return None if text is None else parse_http_date(text)
    except RequestError:
        return None


def is_storable(response: Response) -> bool:
    """Whether the answer may be kept at all: it is whole, and the peer did not say `no-store` (RFC 9111 §3)."""
    return not response.truncated and "no-store" not in _directives(response.headers)


def fresh_until(
    headers: Headers, *, received: datetime, default_s: float, min_s: float = 0.0, max_s: float
) -> datetime:
    """Say until when the answer counts without asking again.

    Args:
        headers: Of the answer.
        received: When it came, by our clock. The peer's clock is used only against itself.
        default_s: Its lifetime if the peer names none.
        min_s: Lower bound of the lifetime that is left.
        max_s: Upper bound; it wins over the lower one.
    """
    lifetime_s = _lifetime_s(headers, default_s)
    left_s = lifetime_s - _age_s(headers)
    return received + timedelta(seconds=min(max(left_s, min_s), max_s))


def _lifetime_s(headers: Headers, default_s: float) -> float:
    directives = _directives(headers)
    if "no-cache" in directives:
        return 0.0
    if "max-age" in directives:
        return _delta_s(directives["max-age"]) or 0.0
    if "expires" in headers:
        expires, sent = _date(headers.get("expires")), _date(headers.get("date"))
        # RFC 9111 §5.3: an `Expires` that is no date (0 is common) lies in the past. Without a `Date` there is nothing to subtract it from.
        return 0.0 if expires is None or sent is None else max((expires - sent) / timedelta(seconds=1), 0.0)
    return default_s


def _age_s(headers: Headers) -> float:
    return _delta_s(headers.get("age")) or 0.0


@frozen
class Validators:
    """What a server gave us to ask with whether a document changed. Falsy if it gave nothing."""

    etag: str | None = None
    """With its quotation marks, and W/ if it is weak."""
    last_modified: str | None = None
    """As received; it is only ever sent back."""

    def __bool__(self) -> bool:
        return self.etag is not None or self.last_modified is not None


def validators_of(headers: Headers) -> Validators:
    """Take the validators out of an answer, as far as they can be read."""
    etag, modified = headers.get("etag"), headers.get("last-modified")
    return Validators(
        etag if etag is not None and _ETAG.fullmatch(etag) else None,
        modified if _date(modified) is not None else None,
    )


def conditional_headers(headers: Headers, validators: Validators) -> Headers:
    """Add what makes a GET conditional: the ETag, or else the date (RFC 9110 §13.1)."""
    if validators.etag is not None:
        return headers.with_set("if-none-match", validators.etag)
    if validators.last_modified is not None:
        return headers.with_set("if-modified-since", validators.last_modified)
    return headers


def refreshed_headers(stored: Headers, not_modified: Headers) -> Headers:
    """Put the fields of a 304 in place of the stored ones, except those that describe the stored body (RFC 9111 §3.2)."""
    newer = tuple(pair for pair in not_modified.pairs if pair[0] not in _NOT_REFRESHED)
    return Headers(stored.without(*(name for name, _ in newer)).pairs + newer)


def strong_etag(body: bytes) -> str:
    """Make the entity tag of a document that we serve, from its bytes. 128 bits: nobody gains by a collision with their own document."""
    return f'"{urlsafe_b64encode(hashlib.sha256(body).digest()[:16]).decode("ascii").rstrip("=")}"'


def matches_etag(if_none_match: str | None, etag: str) -> bool:
    """Whether an `If-None-Match` names this tag, weakly compared (RFC 9110 §13.1.2), so that 304 is the answer."""
    if if_none_match is None:
        return False
    if if_none_match == "*":
        return True
    position, wanted = 0, etag.removeprefix("W/")
    while (match := _ETAG.match(if_none_match, position)) is not None:
        if match[0].removeprefix("W/") == wanted:
            return True
        separator = _BETWEEN_ETAGS.match(if_none_match, match.end())
        position = match.end() if separator is None else separator.end()
    return False
