"""Compute how long a response is fresh, and how to ask whether it changed (RFC 9111, RFC 9110 §13).

apcore is a private cache of documents, one per signer. The rules for shared caches (`s-maxage`, `private`, and `Vary`
over headers that apcore never varies) do not apply to it. A peer's `Cache-Control` is a wish within apcore's own
bounds. A document is fresh for at least ``min_s`` and at most ``max_s``, so that a peer can force neither a request for
every use nor a cache entry that lasts for years.

Unreadable directives are treated as absent. The exception is a lifetime that is invalid, or repeated with another
value: it means stale (RFC 9111 §4.2.1).
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
    "refresh_headers",
    "strong_etag",
    "validators_of",
]

_DIRECTIVES_MAX: Final = 32
_DELTA: Final = re.compile(r'([0-9]++)|"([0-9]++)"')
_DELTA_S_MAX: Final = float(2**31)
"""The value of a number of seconds that is too large (RFC 9111 §1.2.2)."""
# RFC 9110 §8.8.3. The length is bounded because apcore stores a validator and sends it back.
_ETAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]{0,256}"')
_BETWEEN_ETAGS: Final = re.compile(r"[ \t]*,?[ \t]*")
# RFC 9111 §3.2: fields of one message, not of the document.
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
    """Parse `Cache-Control`. A directive with two different values gets the value "", which is not a number."""
    directives: dict[str, str | None] = {}
    # A quoted value with a comma is split here. None of the directives used below has one, and no part of one parses as
    # a number.
    for member in (headers.get("cache-control") or "").split(",", _DIRECTIVES_MAX)[:_DIRECTIVES_MAX]:
        name, equals, text = member.strip(" \t").partition("=")
        value = text if equals else None
        directives[name.lower()] = value if directives.get(name.lower(), value) == value else ""
    return directives


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
    """Return whether the response may be stored: it is complete, and the peer did not send `no-store` (RFC 9111 §3)."""
    return not response.truncated and "no-store" not in _directives(response.headers)


def fresh_until(
    headers: Headers, *, received: datetime, default_s: float, min_s: float = 0.0, max_s: float
) -> datetime:
    """Return the time until which the response may be used without asking again.

    Args:
        headers: Of the response.
        received: The time of its arrival, by our clock. The peer's clock is only compared with itself.
        default_s: Its lifetime if the peer names none.
        min_s: Lower bound of the remaining lifetime.
        max_s: Upper bound; it takes precedence over the lower one.
    """
    lifetime_s = _lifetime_s(headers, default_s)
    remaining_s = lifetime_s - _age_s(headers)
    return received + timedelta(seconds=min(max(remaining_s, min_s), max_s))


def _lifetime_s(headers: Headers, default_s: float) -> float:
    directives = _directives(headers)
    if "no-cache" in directives:
        return 0.0
    if "max-age" in directives:
        return _delta_s(directives["max-age"]) or 0.0
    if "expires" in headers:
        expires, sent = _date(headers.get("expires")), _date(headers.get("date"))
        # RFC 9111 §5.3: an invalid `Expires` (0 is common) is in the past. Without a `Date` it cannot be compared.
        return 0.0 if expires is None or sent is None else max((expires - sent) / timedelta(seconds=1), 0.0)
    return default_s


def _age_s(headers: Headers) -> float:
    return _delta_s(headers.get("age")) or 0.0


@frozen
class Validators:
    """The validators of a document: they let a later request ask whether it changed. Falsy if there are none."""

    etag: str | None = None
    """With its quotation marks, and W/ if it is weak."""
    last_modified: str | None = None
    """As received; it is only sent back."""

    def __bool__(self) -> bool:
        return self.etag is not None or self.last_modified is not None


def validators_of(headers: Headers) -> Validators:
    """Return the valid validators of a response."""
    etag, modified = headers.get("etag"), headers.get("last-modified")
    return Validators(
        etag if etag is not None and _ETAG.fullmatch(etag) else None,
        modified if _date(modified) is not None else None,
    )


def conditional_headers(headers: Headers, validators: Validators) -> Headers:
    """Add the header that makes a GET conditional: the ETag, or else the date (RFC 9110 §13.1)."""
    if validators.etag is not None:
        return headers.with_set("if-none-match", validators.etag)
    if validators.last_modified is not None:
        return headers.with_set("if-modified-since", validators.last_modified)
    return headers


def refresh_headers(stored: Headers, not_modified: Headers) -> Headers:
    """Replace the stored fields by those of a 304, except fields that describe the stored body (RFC 9111 §3.2)."""
    newer = tuple(pair for pair in not_modified.pairs if pair[0] not in _NOT_REFRESHED)
    return Headers(stored.without(*(name for name, _ in newer)).pairs + newer)


def strong_etag(body: bytes) -> str:
    """Return the entity tag of a served document, computed from its bytes.

    It has 128 bits, so collisions do not matter.
    """
    return f'"{urlsafe_b64encode(hashlib.sha256(body).digest()[:16]).decode("ascii").rstrip("=")}"'


def matches_etag(if_none_match: str | None, etag: str) -> bool:
    """Return whether an `If-None-Match` contains this tag, so that the answer is 304.

    Tags are compared weakly (RFC 9110 §13.1.2).
    """
    if if_none_match is None:
        return False
    if if_none_match == "*":
        return True
    position, opaque_tag = 0, etag.removeprefix("W/")
    while (match := _ETAG.match(if_none_match, position)) is not None:
        if match[0].removeprefix("W/") == opaque_tag:
            return True
        separator = _BETWEEN_ETAGS.match(if_none_match, match.end())
        position = match.end() if separator is None else separator.end()
    return False
