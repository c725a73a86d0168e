"""Parse URLs, and the origins that trust is bound to.

A URL is parsed once, strictly, into a `Url` in one canonical form. Everything that decides (address policy, same
origin, pool key, `Host` field, request target) uses the same parsed value, so no second parser can see another host in
it. A URL that two parsers may read differently is refused, not repaired: userinfo, backslashes, white space, percent
signs in the host, full-width dots that turn into dots, ports outside 1 to 65535. Only `http` and `https` are accepted;
the vocabulary handles other schemes in documents.

Scheme and host are normalised (lower case, IDNA to A-labels by UTS #46, non-transitional). Path and query are preserved
byte for byte, because signatures cover them and ids are compared by them. Characters outside ASCII in path and query,
which IRIs may have, are percent-encoded as UTF-8 (RFC 3987 §3.1), since HTTP cannot send them otherwise.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import quote, unquote

from attrs import field, frozen
from typing_extensions import override

from apcore.errors import RequestError
from apcore.http.addresses import IpAddress, parse_ip
from apcore.http.messages import redact_url

__all__ = ["URL_LENGTH_MAX", "Origin", "Url", "UrlScheme", "join_url", "parse_origin", "parse_url", "same_origin"]

URL_LENGTH_MAX: Final = 4096
"""The most characters of a URL. Ids in use stay below 400; servers commonly refuse request lines over 8 KiB."""

UrlScheme = Literal["http", "https"]
_DEFAULT_PORTS: Final[dict[UrlScheme, int]] = {"http": 80, "https": 443}

_SCHEMES: Final[dict[str, UrlScheme]] = {"http": "http", "https": "https"}

# RFC 3986 appendix B, but the scheme and the two slashes are required.
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# Controls, white space, and characters that RFC 3986 does not allow and parsers treat differently.
_NEVER: Final = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ud800-\udfff\ufeff]")
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@%]+)(?::([0-9]{1,5}))?")
# UTS #46 maps these to a dot. Parsers without that mapping see one label where others see two.
_WIDE_DOT: Final = re.compile("[\u3002\uff0e\uff61]")
# FEP-ef61: the authority of a portable id is a DID, with or without its colons encoded.
_PORTABLE: Final = re.compile(r"ap(?:\+ef61)?://(did(?::|%3A)[^/?#]+)", re.IGNORECASE)
_NOT_LDH: Final = re.compile(r"[^a-z0-9._-]")
# Printable ASCII stays as it is, percent signs included: encoding it again would name another resource.
_KEPT: Final = "".join(chr(code) for code in range(0x21, 0x7F))


@frozen(order=True)
class Origin:
    """Scheme, host and port, which trust is bound to (RFC 6454 §4). Compare with ==."""

    scheme: UrlScheme
    host: str
    """In lower case, an A-label name or an address; IPv6 without brackets."""
    port: int
    """The effective port, with the default filled in."""
    _text: str | None = field(default=None, init=False, eq=False, order=False, repr=False)

    @property
    def authority(self) -> str:
        """Return the host, and the port unless it is the scheme's default, as in the `Host` field."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @override
    def __str__(self) -> str:
        text = self._text
        if text is None:
            text = f"{self.scheme}://{self.authority}"
            object.__setattr__(self, "_text", text)
        return text


@frozen
class Url:
    """An absolute http or https URL in canonical form. Make one with `parse_url`."""

    origin: Origin
    path: str
    """From the slash on, unchanged; "/" if the URL has none."""
    query: str | None = None
    """Without the question mark; None if there is none, which differs from an empty one."""
    fragment: str | None = None
    """Without the number sign. It is never sent."""

    @property
    def target(self) -> str:
        """Return path and query: the request target of HTTP/1.1 in origin form (RFC 9112 §3.2.1)."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    def without_fragment(self) -> Url:
        """Return the URL of the document that the fragment points into."""
        return Url(self.origin, self.path, self.query)

    @override
    def __str__(self) -> str:
        return f"{self.origin}{self.target}" + ("" if self.fragment is None else f"#{self.fragment}")


def parse_url(text: str) -> Url:
    """Parse an absolute http or https URL.

    Raises:
        RequestError: It is invalid, or parsers disagree about it. The message names the part.
    """
    if len(text) > URL_LENGTH_MAX:
        raise RequestError(f"url of {len(text)} characters, at most {URL_LENGTH_MAX}: {redact_url(text[:80])}...")
    return _parsed(text)


# Several checks parse the same URL: without a cache, the actor of one activity would be parsed six times. Refused URLs
# are not cached, and the cache is bounded: 512 URLs of at most 4,096 characters.
@lru_cache(maxsize=512)
def _parsed(text: str) -> Url:
    if (bad := _NEVER.search(text)) is not None:
        raise _refused(text, f"has the forbidden character {bad.group()!r} at position {bad.start()}")
    match = _URL.fullmatch(text)
    if match is None:
        raise _refused(text, "is not absolute")
    scheme = _SCHEMES.get(match[1].lower())
    if scheme is None:
        raise _refused(text, "has a scheme other than http or https")
    try:
        origin = _parse_authority(scheme, match[2])
    except _FaultyAuthorityError as fault:
        raise _refused(text, str(fault)) from fault.__cause__
    path, query, fragment = match.group(3, 4, 5)
    if not text.isascii():
        path, query, fragment = (None if part is None else _ascii(part) for part in (path, query, fragment))
    return Url(
        origin,
        path or "/",
        None if query is None else query[1:],
        None if fragment is None else fragment[1:],
    )


def parse_origin(text: str) -> Origin:
    """Parse an origin from a setting: a URL without path, query and fragment.

    Raises:
        ValueError: It is not an origin.
    """
    try:
        url = parse_url(text)
    except RequestError as exc:
        raise ValueError(str(exc)) from exc
    if url.path != "/" or text.endswith("/") or url.query is not None or url.fragment is not None:
        raise ValueError(f"origin {redact_url(text)!r} has more than scheme, host and port: write {url.origin}")
    return url.origin


def same_origin(one: str, other: str) -> bool:
    """Return whether two ids have the same origin.

    The origin is scheme, host and effective port, or the DID of a portable id (FEP-fe34, FEP-ef61). An id that is
    neither an http or https URL nor a portable id has no origin, and the result is False even for two equal ids.
    """
    try:
        if one[:1] not in "aA" and other[:1] not in "aA":
            origin, other_origin = parse_url(one).origin, parse_url(other).origin
            return origin is other_origin or origin == other_origin
        return _origin_of(one) == _origin_of(other)
    except RequestError:
        return False


def _origin_of(text: str) -> Origin | str:
    portable = _PORTABLE.match(text)
    return parse_url(text).origin if portable is None else unquote(portable[1])


def join_url(base: Url, reference: str) -> Url:
    """Resolve a reference, such as a `Location`, against the URL that it was found at (RFC 3986 §5.2).

    The base's fragment is dropped, as RFC 3986 says. When you follow a redirect, keep the fragment of the original URL
    (RFC 9110 §10.2.2).

    Raises:
        RequestError: `parse_url` does not accept the result.
    """
    if len(reference) > URL_LENGTH_MAX:
        raise RequestError(f"url reference of {len(reference)} characters, at most {URL_LENGTH_MAX}")
    bare, number, fragment = reference.partition("#")
    if _SCHEME.match(bare):
        joined = bare
    elif bare.startswith("//"):
        joined = f"{base.origin.scheme}:{bare}"
    else:
        joined = f"{base.origin}{_join_target(base, bare)}"
    return parse_url(f"{joined}{number}{fragment}")


def _join_target(base: Url, reference: str) -> str:
    path, question, query = reference.partition("?")
    if not path:
        return f"{base.path}?{query}" if question else base.target
    if not path.startswith("/"):
        path = base.path[: base.path.rindex("/") + 1] + path
    return _without_dots(path) + (f"?{query}" if question else "")


def _without_dots(path: str) -> str:
    """Remove dot segments (RFC 3986 §5.2.4) from a path that begins with a slash."""
    segments = path.split("/")[1:]
    resolved: list[str] = []
    for segment in segments:
        if segment == "..":
            del resolved[-1:]
        elif segment != ".":
            resolved.append(segment)
    if segments[-1] in {".", ".."}:
        resolved.append("")
    return "/" + "/".join(resolved)


def _refused(text: str, fault: str) -> RequestError:
    return RequestError(f"url {redact_url(text[:200])!r} {fault}")


def _ascii(text: str) -> str:
    return text if text.isascii() else quote(text, safe=_KEPT)


class _FaultyAuthorityError(Exception):
    """The authority of a URL is refused, for the reason in the message."""


# Most new URLs are on the origin of an earlier one. The cache is bounded as the one above.
@lru_cache(maxsize=512)
def _parse_authority(scheme: UrlScheme, authority: str) -> Origin:
    if "@" in authority:
        raise _FaultyAuthorityError("has userinfo, which hides the host")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise _FaultyAuthorityError("has an invalid host or port" if authority else "has no host")
    port = int(match[2]) if match[2] else _DEFAULT_PORTS[scheme]
    if not 1 <= port <= 65535:
        raise _FaultyAuthorityError(f"has port {port}, outside 1 to 65535")
    return Origin(scheme, _parse_host(match[1]), port)


def _parse_host(host: str) -> str:
    if host.startswith("["):
        address = parse_ip(host[1:-1])
        if address is None or address.version != 6:
            raise _FaultyAuthorityError("has brackets without an IPv6 address")
        return _canonical(address)
    lowered = host.lower() if host.isascii() else _to_a_labels(host)
    if (bad := _NOT_LDH.search(lowered)) is not None:
        raise _FaultyAuthorityError(f"has {bad.group()!r} in its host")
    if len(lowered) > 253 or any(not 1 <= len(label) <= 63 for label in lowered.removesuffix(".").split(".")):
        raise _FaultyAuthorityError("has a host with an empty or overlong label")
    return lowered


def _canonical(address: IpAddress) -> str:
    # The zero-compressed lower-case form of RFC 5952, so that each address is one origin.
    return address.compressed


def _to_a_labels(host: str) -> str:
    """Apply UTS #46 mapping, then IDNA 2008.

    A-labels are not passed here: they are ASCII, and have one spelling already.
    """
    if _WIDE_DOT.search(host) is not None:
        raise _FaultyAuthorityError("has a full-width or ideographic dot in its host")
    import idna  # loads tables for 10 ms, for names that most processes never see

    try:
        return idna.encode(host, uts46=True, transitional=False).decode("ascii").lower()
    except UnicodeError as exc:  # idna.IDNAError is a UnicodeError
        raise _FaultyAuthorityError(f"has a host that is not a domain name ({type(exc).__name__})") from exc
