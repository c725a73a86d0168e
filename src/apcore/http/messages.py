"""Requests and responses as values: what is sent, what came back, and within which limits.

Theory of operation. A message here is complete: the body is bytes, never a stream, because everything that apcore does with one (digests,
signatures, parsing) needs the whole of it, and because `Limits` bounds it before it exists. The same two classes serve both directions: a
`Request` that a transport sends, and one that a framework received and hands in.

Field names are kept in lower case. HTTP compares them without case, HTTP/2 sends them so, and with one spelling equality, hashing and
look-up are those of strings. Order and repetition are kept, since signatures are made over them.

Two doors lead in. The constructors check what *our* side wrote and raise `ValueError`: text with a line break in it is header injection, and
never leaves. `from_wire` and `received` take a peer's bytes and raise `RequestError`. Nothing here reads a clock or knows a socket.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, cast

from attrs import evolve, field, frozen
from typing_extensions import override

from apcore.errors import RequestError
from apcore.http.addresses import PUBLIC_ONLY, AddressPolicy

__all__ = ["DELIVERY_LIMITS", "BodyExcess", "Headers", "HeadersLike", "Limits", "Request", "Response", "redacted_url"]

# RFC 9110 §5.6.2: token = 1*tchar.
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 9110 §5.5: field content is visible characters, obs-text, space and tab. CR, LF and NUL are the dangerous rest; no peer needs the others.
_NOT_A_VALUE: Final = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
# Whatever would end a request line early, or be written differently by two parsers.
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
"""What happens to a body over its limit: the exchange fails, or it ends there and the response says `truncated`."""


def redacted_url(url: str) -> str:
    """Leave out the query and the userinfo, which may hold secrets, for logs and `repr`."""
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
        # The value itself may be a secret: only the character and its place are told.
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
    """An immutable multi-map from field names, compared without case, to values; order and repetition are kept.

    Made from a mapping, from pairs, or from another `Headers`. Raises `ValueError` for a name that is no token and for a value with a line
    break, another control character, or a character outside ISO 8859-1.
    """

    pairs: tuple[tuple[str, str], ...] = field(default=(), converter=_checked_pairs)
    """Name in lower case and value without white space around it, in wire order."""

    @classmethod
    def _trusted(cls, pairs: tuple[tuple[str, str], ...]) -> Headers:
        """Take pairs that are already right: names lower-case tokens, values stripped and free of controls."""
        made = cls.__new__(cls)
        object.__setattr__(made, "pairs", pairs)
        return made

    @classmethod
    def from_wire(cls, pairs: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Read fields as a peer sent them (ASGI scopes and h11 events have this form).

        Raises:
            RequestError: A name is no token, or a value holds a control character.
        """
        try:
            return cls((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs)
        except ValueError as exc:
            raise RequestError(str(exc)) from exc

    def get(self, name: str) -> str | None:
        """Give the combined value: repeated fields joined by a comma and a space, in wire order (RFC 9110 §5.2).

        Joining makes a repeated singleton (`Content-Type`, `Date`) unreadable, which is meant: whoever reads the first of two disagrees with
        whoever reads the last. `Set-Cookie` cannot be joined; use `get_all` for it.
        """
        wanted = name.lower()
        found: str | None = None
        for field_name, value in self.pairs:
            if field_name == wanted:
                found = value if found is None else f"{found}, {value}"
        return found

    def get_all(self, name: str) -> tuple[str, ...]:
        """Give every field line of that name, in wire order."""
        wanted = name.lower()
        return tuple([value for field_name, value in self.pairs if field_name == wanted])

    def with_set(self, name: str, value: str) -> Headers:
        """Replace every field of that name by one, which stands where the first of them stood, else at the end."""
        lowered = _checked_name(name)
        pair = (lowered, _checked_value(name, value))
        kept: list[tuple[str, str]] = []
        placed = False
        for old in self.pairs:
            if old[0] != lowered:
                kept.append(old)
            elif not placed:
                kept.append(pair)
                placed = True
        if not placed:
            kept.append(pair)
        return Headers._trusted(tuple(kept))

    def with_added(self, name: str, value: str) -> Headers:
        """Append one field, whether or not there are others of that name."""
        return Headers._trusted((*self.pairs, (_checked_name(name), _checked_value(name, value))))

    def without(self, *names: str) -> Headers:
        """Drop every field of these names."""
        dropped = {name.lower() for name in names}
        return Headers._trusted(tuple(pair for pair in self.pairs if pair[0] not in dropped))

    def to_wire(self) -> list[tuple[bytes, bytes]]:
        """Give the fields as bytes, for a server or a client library."""
        return [(name.encode("ascii"), value.encode("latin-1")) for name, value in self.pairs]

    def __contains__(self, name: object) -> bool:
        if isinstance(name, str):
            wanted = name.lower()
            for field_name, _ in self.pairs:
                if field_name == wanted:
                    return True
        return False

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    @override
    def __repr__(self) -> str:
        shown = ", ".join(f"{name}: {_shown_value(name, value)}" for name, value in self.pairs)
        return f"Headers({shown})"


HeadersLike = Headers | Mapping[str, str] | Iterable[tuple[str, str]]
"""Whatever `Headers` can be made from."""


def _shown_value(name: str, value: str) -> str:
    if name in _SECRET:
        return "..."
    return redacted_url(value) if name in _HOLDS_URL else value


def _to_headers(source: HeadersLike) -> Headers:
    return source if isinstance(source, Headers) else Headers(source)


@frozen(kw_only=True)
class Limits:
    """How much one exchange may cost. A transport holds every one of them; `ValueError` for one that is out of range."""

    deadline_s: float = 30.0
    """For all of it: name resolution, connecting, TLS, sending, and the last byte of the answer. Mastodon takes 30 s as well."""
    connect_s: float = 10.0
    """For name resolution, connecting and TLS together, inside the deadline."""
    body_bytes_max: int = 1024 * 1024
    """Body bytes as they arrive. 1 MiB is what Mastodon and Lemmy accept."""
    decoded_bytes_max: int = 1024 * 1024
    """Body bytes after the content coding is undone; a small answer can unpack to a large one."""
    header_bytes_max: int = 64 * 1024
    """The status line and the header section, names, values and separators; 1xx answers count towards it together with the final one."""
    header_count_max: int = 100
    """Field lines of one header section."""
    informational_max: int = 8
    """1xx answers before the final one."""
    trailer_bytes_max: int = 4 * 1024
    """Trailer section of a chunked answer. Trailers are read to find the end of the message, and then dropped."""
    body_excess: BodyExcess = "refuse"
    """Over a body limit: fail with `ResponseTooBig`; or "cut": the status is what counts, so whatever goes wrong once it is there (a limit, a coding
    that cannot be undone, a connection that breaks off, the deadline) only ends the body. The response says `truncated`, the connection is closed."""

    def __attrs_post_init__(self) -> None:
        for name in ("deadline_s", "connect_s"):
            # An infinite deadline is no deadline; a worker's lease is at least twice this value.
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

    def within(self, deadline_s: float) -> Limits:
        """Give the same limits with a deadline of at most so many seconds."""
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
        shown = redacted_url(value)[:200]
        raise ValueError(f"url {shown!r} has the forbidden character {bad.group()!r} at position {bad.start()}")


def _check_status(_instance: object, _attribute: object, value: int) -> None:
    # RFC 9110 §15: three digits, and what is above 599 means nothing.
    if not 200 <= value <= 599:
        raise ValueError(f"status {value!r} is not a final HTTP status (200 to 599)")


_DEFAULT_LIMITS: Final = Limits()

DELIVERY_LIMITS: Final = Limits(body_bytes_max=4096, decoded_bytes_max=4096, body_excess="cut")
"""For a delivery: its answer says all in the status, so 4 KiB are read for the log, and the connection is closed after that."""


@frozen(repr=False)
class Request:
    """One HTTP request, complete. Raises `ValueError` for a method that is no token and a URL with white space, controls or non-ASCII."""

    method: str = field(validator=_check_method)
    """As it goes on the wire; case matters (RFC 9110 §9.1)."""
    url: str = field(validator=_check_url)
    """Absolute, ASCII, without fragment."""
    headers: Headers = field(default=Headers(), converter=_to_headers)
    body: bytes = b""
    limits: Limits = _DEFAULT_LIMITS
    """What the answer may cost. Means nothing on a request that was received."""
    addresses: AddressPolicy = PUBLIC_ONLY
    """Where it may go. Means nothing on a request that was received."""
    client: str | None = None
    """The address of who sent it, as far as the server that received it tells; not what anybody wrote into it. None on a request to send."""

    @classmethod
    def received(
        cls, method: str, url: str, headers: Iterable[tuple[bytes, bytes]], body: bytes, *, client: str | None = None
    ) -> Request:
        """Read a request as a peer sent it and a server handed it on.

        Raises:
            RequestError: Any part of it cannot be read.
        """
        try:
            return cls(method, url, Headers.from_wire(headers), body, client=client)
        except ValueError as exc:
            raise RequestError(str(exc)) from exc

    @override
    def __repr__(self) -> str:
        return f"Request({self.method} {redacted_url(self.url)}, {self.headers!r}, {len(self.body)} bytes)"


@frozen(repr=False)
class Response:
    """One final HTTP response, complete: the content coding is undone, and trailers are gone."""

    status: int = field(validator=_check_status)
    """200 to 599 from a transport; 1xx answers are never handed on."""
    headers: Headers = field(default=Headers(), converter=_to_headers)
    """As received. `Content-Encoding` and `Content-Length` still describe the bytes on the wire."""
    body: bytes = b""
    truncated: bool = False
    """The body is not whole (only with `Limits.body_excess` "cut")."""

    @override
    def __repr__(self) -> str:
        cut = ", truncated" if self.truncated else ""
        return f"Response({self.status}, {self.headers!r}, {len(self.body)} bytes{cut})"
