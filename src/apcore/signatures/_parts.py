"""Extract the parts of a request that both signature schemes use: target, authority, field values, body digest."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from apcore.errors import RequestError, SignatureError
from apcore.http.digest import check_content_digest, check_digest, make_content_digest, make_digest
from apcore.http.messages import Request
from apcore.signatures.errors import DigestMalformed, DigestMismatch, SignatureMalformed, WrongHost

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]+)([^?#]*)(\?[^#]*)?")
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}

KEY_ID_CHARS_MAX: Final = 2048


class Target:
    """A request's URL, split as it was written. Signed text is never normalised, except where the scheme says so."""

    __slots__ = ("authority", "path", "prefix", "query", "scheme")

    def __init__(self, url: str) -> None:
        match = _URL.fullmatch(url)
        if match is None:
            raise SignatureMalformed("only a request with an absolute url without fragment can be signed")
        scheme, authority, path, query = match.groups()
        self.scheme: str = scheme.lower()
        self.authority: str = authority.lower().removesuffix(_DEFAULT_PORTS.get(self.scheme, "\n"))
        """In lower case, without the default port."""
        self.prefix: str = f"{scheme}://{authority}"
        """Scheme and authority as written."""
        self.path: str = path or "/"
        self.query: str = query or ""
        """With its question mark; empty if there is none."""

    def check_host(self, value: str) -> None:
        """Compare a signed `Host` with the authority that the request was sent to.

        Some senders sign `host:port`, others the bare host; both are accepted. Raises `WrongHost` for anything else.
        """
        host = value.lower()
        if host == self.authority or host.removesuffix(_DEFAULT_PORTS.get(self.scheme, "\n")) == self.authority:
            return
        if host == self.bare_host:
            return
        raise WrongHost(f"signed for host {value[:200]!r}, but sent to {self.authority!r}")

    @property
    def bare_host(self) -> str:
        """Return the authority without its port."""
        head, colon, port = self.authority.rpartition(":")
        return head if colon and port.isdigit() else self.authority


@lru_cache(maxsize=128)
def target_of(url: str) -> Target:
    """Return the target of a URL. An inbox has one URL, so it is split once. Do not change the target."""
    return Target(url)


def field_values(request: Request) -> dict[str, str]:
    """Return the combined value of every field: repeated fields are joined by a comma and a space, in wire order.

    See RFC 9110 §5.2. If a hop dropped `Content-Length` (HTTP/2, chunking), it is the length of the body.
    """
    pairs = request.headers.pairs
    values = dict(pairs)
    if len(values) != len(pairs):
        values.clear()
        for name, value in pairs:
            values[name] = f"{values[name]}, {value}" if name in values else value
    if "content-length" not in values:
        values["content-length"] = str(len(request.body))
    return values


def check_digest_field(value: str, body: bytes) -> None:
    """Compare a covered `Digest` with the body. Raises `DigestMalformed`, `DigestMismatch`."""
    # Most senders write the same value as apcore, which then needs no parsing.
    if value != make_digest(body):
        _compare(check_digest, value, body)


def check_content_digest_field(value: str, body: bytes) -> None:
    """Compare a covered `Content-Digest` with the body. Raises `DigestMalformed`, `DigestMismatch`."""
    if value != make_content_digest(body):
        _compare(check_content_digest, value, body)


def _compare(check: Callable[[str, bytes], None], value: str, body: bytes) -> None:
    try:
        check(value, body)
    except SignatureError as exc:
        raise DigestMismatch(str(exc)) from exc
    except RequestError as exc:
        raise DigestMalformed(str(exc)) from exc


def check_key_id(key_id: str) -> str:
    """Check the form of a key id before it reaches a log or a store."""
    if not key_id or len(key_id) > KEY_ID_CHARS_MAX or not key_id.isascii() or not key_id.isprintable():
        raise SignatureMalformed(
            f"a key id of {len(key_id)} characters: expected 1 to {KEY_ID_CHARS_MAX}, printable ASCII"
        )
    return key_id


def check_own_key_id(key_id: str) -> None:
    """Check a key id of ours: peers must accept it, and it must fit between quotation marks. Raises `ValueError`."""
    if not 0 < len(key_id) <= KEY_ID_CHARS_MAX or not key_id.isascii() or not key_id.isprintable():
        raise ValueError(f"key id {key_id[:200]!r} cannot stand in a header")
    if '"' in key_id or "\\" in key_id:
        raise ValueError(f"key id {key_id[:200]!r} cannot stand between quotation marks")
