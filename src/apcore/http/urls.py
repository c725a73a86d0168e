"""URLs that we send to, and the origins that trust is bound to.

Theory of operation. A URL is read once, strictly, into a `Url` in one canonical form, and everything that decides (address policy, same
origin, pool key, `Host` field, request target) reads the same parsed value: no second parser can see another host in it. What two parsers
are known to read differently is refused, not repaired: userinfo, backslashes, white space, percent signs in the host, full-width dots that
turn into dots, ports outside 1 to 65535. Only `http` and `https` are read; what else may stand in a document is the vocabulary's business.

Scheme and host are normalised (lower case, IDNA to A-labels by UTS #46, non-transitional); path and query are kept as given, byte for byte,
because signatures cover them and because ids are compared by them. Characters outside ASCII in path and query, which IRIs may have, are
percent-encoded as UTF-8 (RFC 3987 §3.1), since nothing else can be sent.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import quote, unquote

from attrs import frozen
from typing_extensions import override

from apcore.errors import RequestError
from apcore.http.addresses import IpAddress, parse_ip
from apcore.http.messages import redacted_url

__all__ = ["URL_LENGTH_MAX", "Origin", "Scheme", "Url", "join_url", "parse_origin", "parse_url", "same_origin"]

URL_LENGTH_MAX: Final = 4096
"""Characters of a URL that is read. Ids in use stay below 400; servers commonly refuse request lines over 8 KiB."""

Scheme = Literal["http", "https"]
_DEFAULT_PORTS: Final[dict[Scheme, int]] = {"http": 80, "https": 443}

_SCHEMES: Final[dict[str, Scheme]] = {"http": "http", "https": "https"}

# RFC 3986 appendix B, with the scheme and the two slashes demanded.
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# Controls, white space, and what RFC 3986 has no place for and parsers disagree about.
_NEVER: Final = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ud800-\udfff\ufeff]")
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@%]+)(?::([0-9]{1,5}))?")
# UTS #46 maps these to a dot, so that a parser which does not would see one label where we see two.
_WIDE_DOT: Final = re.compile("[\u3002\uff0e\uff61]")
# FEP-ef61: the authority of a portable id is a DID, with or without its colons encoded.
_PORTABLE: Final = re.compile(r"ap(?:\+ef61)?://(did(?::|%3A)[^/?#]+)", re.IGNORECASE)
_NOT_LDH: Final = re.compile(r"[^a-z0-9._-]")
# Printable ASCII stays as it is, percent signs included: encoding again would name another resource.
_KEPT: Final = "".join(chr(code) for code in range(0x21, 0x7F))


@frozen(order=True)
class Origin:
    """Scheme, host and port: what trust is bound to (RFC 6454 §4). Compare with ==."""

    scheme: Scheme
    host: str
    """In lower case, an A-label name or an address; IPv6 without brackets."""
    port: int
    """The effective one: the default is filled in."""

    @property
    def authority(self) -> str:
        """Host and, unless it is the scheme's default, port, as the `Host` field has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @override
    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


@frozen
class Url:
    """An absolute http or https URL in canonical form; made by `parse_url`."""

    origin: Origin
    path: str
    """From the slash on, as given; "/" where the URL has none."""
    query: str | None = None
    """Without the question mark; None where there is none, which differs from an empty one."""
    fragment: str | None = None
    """Without the number sign. Never sent."""

    @property
    def target(self) -> str:
        """Path and query: the request target of HTTP/1.1 in origin form (RFC 9112 §3.2.1)."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    def without_fragment(self) -> Url:
        """Give the URL of the document that the fragment points into."""
        return Url(self.origin, self.path, self.query)

    @override
    def __str__(self) -> str:
        return f"{self.origin}{self.target}" + ("" if self.fragment is None else f"#{self.fragment}")


def parse_url(text: str) -> Url:
    """Read an absolute http or https URL.

    Raises:
        RequestError: It is none, or one that parsers disagree about; the message says which part.
    """
    if len(text) > URL_LENGTH_MAX:
        raise RequestError(f"url of {len(text)} characters, at most {URL_LENGTH_MAX}: {redacted_url(text[:80])}...")
    return _parsed(text)


# Whoever decides reads the URL for itself, so that one activity has its actor read six times. What is refused is not kept, and what is kept is
# bounded: 512 URLs, of 4,096 characters at most.
@lru_cache(maxsize=512)
def _parsed(text: str) -> Url:
    if (bad := _NEVER.search(text)) is not None:
        raise _refused(text, f"has the forbidden character {bad.group()!r} at position {bad.start()}")
    match = _URL.fullmatch(text)
    if match is None:
        raise _refused(text, "is not absolute")
    scheme = _SCHEMES.get(match[1].lower())
    if scheme is None:
        raise _refused(text, "has another scheme than http or https")
    path, query, fragment = (None if part is None else _ascii(part) for part in match.group(3, 4, 5))
    return Url(
        _parse_authority(text, scheme, match[2]),
        path or "/",
        None if query is None else query[1:],
        None if fragment is None else fragment[1:],
    )


def parse_origin(text: str) -> Origin:
    """Read an origin as configured: a URL without path, query and fragment.

    Raises:
        ValueError: It is not one.
    """
    try:
        url = parse_url(text)
    except RequestError as exc:
        raise ValueError(str(exc)) from exc
    if url.path != "/" or text.endswith("/") or url.query is not None or url.fragment is not None:
        raise ValueError(f"origin {redacted_url(text)!r} has more than scheme, host and port: write {url.origin}")
    return url.origin


def same_origin(one: str, other: str) -> bool:
    """Whether two ids share their origin: scheme, host and effective port, or the DID of portable ids (FEP-fe34, FEP-ef61).

    What is neither an http or https URL nor a portable id shares an origin with nothing, itself included.
    """
    try:
        return _origin_of(one) == _origin_of(other)
    except RequestError:
        return False


def _origin_of(text: str) -> Origin | str:
    portable = _PORTABLE.match(text)
    return parse_url(text).origin if portable is None else unquote(portable[1])


def join_url(base: Url, reference: str) -> Url:
    """Resolve a reference, such as a `Location`, against the URL it was found at (RFC 3986 §5.2).

    The base's fragment is dropped, as RFC 3986 has it. Whoever follows a redirect keeps the fragment that they asked with (RFC 9110 §10.2.2).

    Raises:
        RequestError: The result is no URL that `parse_url` reads.
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
    """RFC 3986 §5.2.4, for a path that begins with a slash."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


def _refused(text: str, what: str) -> RequestError:
    return RequestError(f"url {redacted_url(text[:200])!r} {what}")


def _ascii(text: str) -> str:
    return text if text.isascii() else quote(text, safe=_KEPT)


def _parse_authority(text: str, scheme: Scheme, authority: str) -> Origin:
    if "@" in authority:
        raise _refused(text, "has userinfo, which hides the host")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise _refused(text, "has no host and port that can be read" if authority else "has no host")
    port = int(match[2]) if match[2] else _DEFAULT_PORTS[scheme]
    if not 1 <= port <= 65535:
        raise _refused(text, f"has port {port}, outside 1 to 65535")
    return Origin(scheme, _parse_host(text, match[1]), port)


def _parse_host(text: str, host: str) -> str:
    if host.startswith("["):
        address = parse_ip(host[1:-1])
        if address is None or address.version != 6:
            raise _refused(text, "has no IPv6 address in its brackets")
        return _canonical(address)
    lowered = host.lower() if host.isascii() else _to_a_labels(text, host)
    if (bad := _NOT_LDH.search(lowered)) is not None:
        raise _refused(text, f"has {bad.group()!r} in its host")
    if len(lowered) > 253 or any(not 1 <= len(label) <= 63 for label in lowered.removesuffix(".").split(".")):
        raise _refused(text, "has a host with an empty or overlong label")
    return lowered


def _canonical(address: IpAddress) -> str:
    # The zero-compressed lower-case form of RFC 5952, so that one address is one origin.
    return address.compressed


def _to_a_labels(text: str, host: str) -> str:
    """UTS #46 mapping, then IDNA 2008. Names that came as A-labels do not pass here: they are ASCII, and one spelling already."""
    if _WIDE_DOT.search(host) is not None:
        raise _refused(text, "has a full-width or ideographic dot in its host")
    import idna  # tables of 10 ms, for names that most processes never see

    try:
        return idna.encode(host, uts46=True, transitional=False).decode("ascii").lower()
    except UnicodeError as exc:  # idna.IDNAError is one
        raise _refused(text, f"has a host that is no domain name ({type(exc).__name__})") from exc
