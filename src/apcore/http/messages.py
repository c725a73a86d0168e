"""Represent requests and responses as values, together with the limits of an exchange.

A message is complete: the body is bytes, never a stream. Everything that apcore does with a body (digests, signatures,
parsing) needs the whole of it, and `TransportLimits` bounds its size beforehand. The same two classes serve both
directions: a `Request` that a transport sends, and one that a framework received.

Field names are in lower case. HTTP compares them without case and HTTP/2 sends them in lower case, and with one
spelling, equality, hashing and lookup are those of strings. Order and repetition are preserved, since signatures cover
them.

There are two ways to make a message. The constructors check text of *our* side and raise `ValueError`: a line break in
a header is header injection, and is never sent. `from_wire` and `received` check a peer's bytes and raise
`RequestError`. Nothing here reads a clock or knows a socket.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, cast

from attrs import evolve, field, frozen
from typing_extensions import override

from apcore.errors import RequestError
from apcore.http.addresses import PUBLIC_ONLY, AddressPolicy

__all__ = [
    "DELIVERY_LIMITS",
    "BodyExcess",
    "Headers",
    "HeadersLike",
    "Request",
    "Response",
    "TransportLimits",
    "redact_url",
]

# RFC 9110 §5.6.2: token = 1*tchar.
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 9110 §5.5: field content is visible characters, obs-text, space and tab. CR, LF and NUL are dangerous, and no peer
# needs the other control characters.
_NOT_A_VALUE: Final = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
# Characters that would end a request line early, or that two parsers write differently.
_NOT_IN_URL: Final = re.compile(r"[^\x21-\x7e]")

_SECRET: Final = frozenset(
    {
        "authorization",
        "cookie",
        "proxy-authorization",
        "set-cookie",
        "signature",
        "x-hub-signature",
        "x-hub-signature-256",
    }
)
_HOLDS_URL: Final = frozenset({"content-location", "location", "referer"})

BodyExcess = Literal["refuse", "cut"]
"""How to treat a body over its limit: fail the exchange, or end the body there and mark the response as `truncated`."""


def redact_url(url: str) -> str:
    """Return the URL without query and userinfo, which may hold secrets, for logs and `repr`."""
    bare, question, _ = url.partition("?")
    scheme, slashes, rest = bare.partition("://")
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        bare = f"{scheme}{slashes}...@{authority.rpartition('@')[2]}{slash}{path}"
    return f"{bare}?..." if question else bare


def _checked_name(name: str) -> str:
    if _TOKEN.fullmatch(name) is None:
        raise ValueError(f"header name {name[:80]!r} is not a token (RFC 9110 §5.1)")
    return name.lower()


def _checked_value(name: str, value: str) -> str:
    if (bad := _NOT_A_VALUE.search(value)) is not None:
        # The value itself may be a secret, so the message shows only the character and its position.
        raise ValueError(
            f"header {name[:80]!r} has the forbidden character {bad.group()!r} at position {bad.start()} of its value"
        )
    # RFC 9110 §5.5: white space around a value is not part of it.
    return value.strip(" \t")


def _checked_pairs(source: HeadersLike) -> tuple[tuple[str, str], ...]:
    if isinstance(source, Headers):
        return source.pairs
    pairs: Iterable[tuple[str, str]] = (
        cast("Mapping[str, str]", source).items() if isinstance(source, Mapping) else source
    )
    return tuple((_checked_name(name), _checked_value(name, value)) for name, value in pairs)


@frozen(repr=False)
class Headers:
    """An immutable multi-map from field names, compared without case, to values. Order and repetition are preserved.

    Made from a mapping, from pairs, or from another `Headers`. Raises `ValueError` for a name that is not a token, and
    for a value with a line break, another control character, or a character outside ISO 8859-1.
    """

    pairs: tuple[tuple[str, str], ...] = field(default=(), converter=_checked_pairs)
    """Name in lower case and value without surrounding white space, in wire order."""

    @classmethod
    def _trusted(cls, pairs: tuple[tuple[str, str], ...]) -> Headers:
        """Return headers of pairs that are already valid.

        Names are lower-case tokens; values are stripped and free of controls.
        """
        headers = cls.__new__(cls)
        object.__setattr__(headers, "pairs", pairs)
        return headers

    @classmethod
    def from_wire(cls, pairs: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Read fields as a peer sent them (ASGI scopes and h11 events have this form).

        Raises:
            RequestError: A name is not a token, or a value has a control character.
        """
        try:
            return cls((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs)
        except ValueError as exc:
            raise RequestError(str(exc)) from exc

    def get(self, name: str) -> str | None:
        """Return the combined value: repeated fields joined by a comma and a space, in wire order (RFC 9110 §5.2).

        Joining makes a repeated singleton (`Content-Type`, `Date`) unreadable. This is intended: otherwise one parser
        could use the first value and another one the last. `Set-Cookie` cannot be joined; use `get_all` for it.
        """
        lower_name = name.lower()
        combined: str | None = None
        for field_name, value in self.pairs:
            if field_name == lower_name:
                combined = value if combined is None else f"{combined}, {value}"
        return combined

    def get_all(self, name: str) -> tuple[str, ...]:
        """Return every field line of that name, in wire order."""
        lower_name = name.lower()
        return tuple([value for field_name, value in self.pairs if field_name == lower_name])

    def with_set(self, name: str, value: str) -> Headers:
        """Replace every field of that name by one, at the position of the first of them, else at the end."""
        lowered = _checked_name(name)
        pair = (lowered, _checked_value(name, value))
        pairs: list[tuple[str, str]] = []
        placed = False
        for old in self.pairs:
            if old[0] != lowered:
                pairs.append(old)
            elif not placed:
                pairs.append(pair)
                placed = True
        if not placed:
            pairs.append(pair)
        return Headers._trusted(tuple(pairs))

    def with_added(self, name: str, value: str) -> Headers:
        """Append one field, even if there are others of that name."""
        return Headers._trusted((*self.pairs, (_checked_name(name), _checked_value(name, value))))

    def without(self, *names: str) -> Headers:
        """Remove every field of these names."""
        dropped = {name.lower() for name in names}
        return Headers._trusted(tuple(pair for pair in self.pairs if pair[0] not in dropped))

    def to_wire(self) -> list[tuple[bytes, bytes]]:
        """Return the fields as bytes, for a server or a client library."""
        return [(name.encode("ascii"), value.encode("latin-1")) for name, value in self.pairs]

    def __contains__(self, name: object) -> bool:
        if isinstance(name, str):
            lower_name = name.lower()
            for field_name, _ in self.pairs:
                if field_name == lower_name:
                    return True
        return False

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    @override
    def __repr__(self) -> str:
        fields = ", ".join(f"{name}: {_shown_value(name, value)}" for name, value in self.pairs)
        return f"Headers({fields})"


HeadersLike = Headers | Mapping[str, str] | Iterable[tuple[str, str]]
"""The types that `Headers` can be made from."""


def _shown_value(name: str, value: str) -> str:
    if name in _SECRET:
        return "..."
    return redact_url(value) if name in _HOLDS_URL else value


def _to_headers(source: HeadersLike) -> Headers:
    return source if isinstance(source, Headers) else Headers(source)


@frozen(kw_only=True)
class TransportLimits:
    """The cost limits of one exchange. A transport enforces all of them. `ValueError` for a value out of range."""

    deadline_s: float = 30.0
    """For the whole exchange: name resolution, connecting, TLS, sending, and the last byte of the response. Mastodon
    allows 30 s too.
    """
    connect_s: float = 10.0
    """For name resolution, connecting and TLS together, inside the deadline."""
    body_bytes_max: int = 1024 * 1024
    """Body bytes as they arrive. Mastodon and Lemmy accept 1 MiB."""
    decoded_bytes_max: int = 1024 * 1024
    """Body bytes after the content coding is decoded; a small response can decode to a large one."""
    header_bytes_max: int = 64 * 1024
    """The status line and the header section: names, values and separators. 1xx responses count together with the final
    one.
    """
    header_count_max: int = 100
    """Field lines of one header section."""
    informational_max: int = 8
    """1xx responses before the final one."""
    trailer_bytes_max: int = 4 * 1024
    """Trailer section of a chunked response. Trailers are read to find the end of the message, and then dropped."""
    body_excess: BodyExcess = "refuse"
    """Over a body limit: fail with `ResponseTooBig`; or "cut", if only the status counts. With "cut", any problem after
    the status (a limit, a coding that cannot be decoded, a broken connection, the deadline) only ends the body. The
    response is then `truncated`, and the connection is closed.
    """

    def __attrs_post_init__(self) -> None:
        for name in ("deadline_s", "connect_s"):
            # An infinite deadline is no deadline. A worker's lease is at least twice this value.
            if not 0 < getattr(self, name) <= 3600:
                raise ValueError(f"{name} must be above 0 and at most 3600 seconds, not {getattr(self, name)!r}")
        for name in (
            "body_bytes_max",
            "decoded_bytes_max",
            "header_bytes_max",
            "header_count_max",
            "informational_max",
            "trailer_bytes_max",
        ):
            if not 0 <= getattr(self, name) <= 2**31:
                raise ValueError(f"{name} must be between 0 and 2**31, not {getattr(self, name)!r}")
        if self.body_excess not in {"refuse", "cut"}:
            raise ValueError(f"body_excess must be 'refuse' or 'cut', not {self.body_excess!r}")

    def within(self, deadline_s: float) -> TransportLimits:
        """Return the same limits, with a deadline of at most ``deadline_s``."""
        if deadline_s >= self.deadline_s:
            return self
        return evolve(self, deadline_s=deadline_s, connect_s=min(self.connect_s, deadline_s))


def _check_method(_instance: object, _attribute: object, value: str) -> None:
    if _TOKEN.fullmatch(value) is None:
        raise ValueError(f"method {value[:40]!r} is not a token (RFC 9110 §9.1)")


def _check_url(_instance: object, _attribute: object, value: str) -> None:
    if not value:
        raise ValueError("url is empty")
    if (bad := _NOT_IN_URL.search(value)) is not None:
        redacted = redact_url(value)[:200]
        raise ValueError(f"url {redacted!r} has the forbidden character {bad.group()!r} at position {bad.start()}")


def _check_status(_instance: object, _attribute: object, value: int) -> None:
    # RFC 9110 §15: three digits; codes above 599 are not defined.
    if not 200 <= value <= 599:
        raise ValueError(f"status {value!r} is not a final HTTP status (200 to 599)")


_DEFAULT_LIMITS: Final = TransportLimits()

DELIVERY_LIMITS: Final = TransportLimits(body_bytes_max=4096, decoded_bytes_max=4096, body_excess="cut")
"""For a delivery. The status is the whole result, so 4 KiB are read for the log, and the connection is closed after
that.
"""


@frozen(repr=False)
class Request:
    """One complete HTTP request.

    Raises `ValueError` for a method that is not a token, and for a URL with white space, controls or non-ASCII
    characters.
    """

    method: str = field(validator=_check_method)
    """As on the wire; case matters (RFC 9110 §9.1)."""
    url: str = field(validator=_check_url)
    """Absolute, ASCII, without fragment."""
    headers: Headers = field(default=Headers(), converter=_to_headers)
    body: bytes = b""
    limits: TransportLimits = _DEFAULT_LIMITS
    """The cost limits of the exchange. Unused on a received request."""
    addresses: AddressPolicy = PUBLIC_ONLY
    """The allowed destinations. Unused on a received request."""
    client: str | None = None
    """The address of the sender, as reported by the receiving server, never by a header. None on a request to send."""

    @classmethod
    def received(
        cls, method: str, url: str, headers: Iterable[tuple[bytes, bytes]], body: bytes, *, client: str | None = None
    ) -> Request:
        """Read a request as a peer sent it and a server passed it on.

        Raises:
            RequestError: Any part of it is malformed.
        """
        try:
            return cls(method, url, Headers.from_wire(headers), body, client=client)
        except ValueError as exc:
            raise RequestError(str(exc)) from exc

    @override
    def __repr__(self) -> str:
        return f"Request({self.method} {redact_url(self.url)}, {self.headers!r}, {len(self.body)} bytes)"


@frozen(repr=False)
class Response:
    """One complete final HTTP response: the content coding is decoded, and trailers are dropped."""

    status: int = field(validator=_check_status)
    """200 to 599. Transports never return 1xx responses."""
    headers: Headers = field(default=Headers(), converter=_to_headers)
    """As received. `Content-Encoding` and `Content-Length` still describe the bytes on the wire."""
    body: bytes = b""
    truncated: bool = False
    """Whether the body is incomplete (only with `TransportLimits.body_excess` "cut")."""

    @override
    def __repr__(self) -> str:
        cut = ", truncated" if self.truncated else ""
        return f"Response({self.status}, {self.headers!r}, {len(self.body)} bytes{cut})"
