"""Define the origins of a node. They are set when the node is made, and never taken from an unchecked header.

You give one origin, several, or a function that decides about each origin that a request names. The function gets a
strictly parsed origin in canonical form, so it may compare strings.

The host in the handles of an origin's actors is that of the origin, unless you give another one: a short domain for
people, beside the longer one of the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from attrs import evolve, field, frozen
from typing_extensions import override

from apcore.discovery import parse_acct
from apcore.errors import ConfigurationError, RequestError
from apcore.http import Origin, parse_origin, parse_url

__all__ = ["HandleHosts", "Origins", "OriginsLike", "bind_origins"]

OriginsLike: TypeAlias = str | Sequence[str] | Callable[[str], bool] | None
"""An origin such as ``https://social.example``, several origins, or a function that returns whether an origin is local.

None is for a node that only pulls.
"""
HandleHosts: TypeAlias = str | Mapping[str, str] | None
"""The host in the handles of a node's only origin, or such hosts by origin. None is for the hosts of the origins."""


def _no_hosts() -> dict[Origin, str]:
    return {}


@frozen
class Origins:
    """The origins of a node; made by `bind_origins`."""

    listed: tuple[Origin, ...] = ()
    allows: Callable[[str], bool] | None = field(default=None, repr=False)
    handle_hosts: Mapping[Origin, str] = field(factory=_no_hosts)
    """The authorities in handles, for the origins whose handles have another one than the origin itself."""

    @property
    def serves(self) -> bool:
        """Whether there is an origin. Without one, a node can only pull, and cannot sign."""
        return bool(self.listed) or self.allows is not None

    @property
    def only(self) -> Origin | None:
        """The origin, if there is exactly one. None for several origins, and for a function."""
        return self.listed[0] if len(self.listed) == 1 and self.allows is None else None

    @override
    def __str__(self) -> str:
        """Return the origins for messages."""
        return ", ".join(map(str, self.listed)) or (
            "no origin" if self.allows is None else "the origins that a function allows"
        )

    def has(self, origin: Origin, /) -> bool:
        """Return whether ``origin`` is an origin of this node."""
        return origin in self.listed if self.allows is None else bool(self.allows(str(origin)))

    def find(self, url: str, /) -> Origin | None:
        """Return the origin of ``url`` if it is one of this node's. For any other or invalid URL, return None."""
        try:
            origin = parse_url(url).origin
        except RequestError:
            return None
        return origin if self.has(origin) else None

    def find_by_handle_host(self, url: str, /) -> Origin | None:
        """Return the origin with handles at the authority of ``url``. None for any other or invalid URL."""
        try:
            origin = parse_url(url).origin
        except RequestError:
            return None
        return next(
            (
                web_origin
                for web_origin, host in self.handle_hosts.items()
                if host == origin.authority and web_origin.scheme == origin.scheme
            ),
            None,
        )

    def handle_host(self, origin: Origin, /) -> str:
        """Return the authority in the handles of an origin's actors."""
        return self.handle_hosts.get(origin, origin.authority)

    def pick(self, name: str | None, /) -> Origin:
        """Return the origin named ``name``. Without ``name``, return the only one.

        Raises:
            ValueError: ``name`` is not an origin of this node, or it is missing although there may be several.
        """
        if name is not None:
            origin = parse_origin(name)
            if not self.has(origin):
                raise ValueError(f"{origin} is not an origin of this node")
            return origin
        if self.only is None:
            reason = "a function decides about its origins" if self.allows else f"it has {len(self.listed)} origins"
            raise ValueError(f"name one origin: this node has no single one ({reason})")
        return self.only


def bind_origins(origins: OriginsLike, *, plain_http: bool = False, handle_host: HandleHosts = None) -> Origins:
    """Parse the origins of a node, and the hosts in its handles.

    ``plain_http`` allows ``http`` origins, for development. Ids then start with ``http``, and are fetched
    as they are spelled.

    Raises:
        ConfigurationError: A value is not an origin, is listed twice, or is ``http`` without ``plain_http``. Or a host
            of ``handle_host`` is invalid, is given for no origin of the node, or belongs to two origins.
    """
    bound = _bind(origins, plain_http=plain_http)
    return evolve(bound, handle_hosts=_bind_handle_hosts(bound, handle_host))


def _bind_handle_hosts(origins: Origins, handle_host: HandleHosts) -> dict[Origin, str]:
    if handle_host is None:
        return {}
    if isinstance(handle_host, str):
        if origins.only is None:
            raise ConfigurationError(
                f"handle_host={handle_host!r:.80} is for a node with one origin: with {origins}, give hosts by origin"
            )
        handle_host = {str(origins.only): handle_host}
    hosts: dict[Origin, str] = {}
    for name, host in handle_host.items():
        origin = _parse(name)
        if not origins.has(origin):
            raise ConfigurationError(f"handle_host names {origin}, which is not an origin of this node ({origins})")
        try:
            authority = parse_acct(f"name@{host}").host
        except (RequestError, TypeError) as error:
            raise ConfigurationError(f"handle_host {host!r:.80} is no host: give one such as example.com") from error
        if authority == origin.authority:
            continue
        if authority in {other.authority for other in origins.listed} or authority in hosts.values():
            raise ConfigurationError(f"handle_host {authority} of {origin} is the host of another origin's handles")
        hosts[origin] = authority
    return hosts


def _parse(name: str) -> Origin:
    try:
        return parse_origin(name)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"origin {name!r:.80}: {error}") from error


def _bind(origins: OriginsLike, *, plain_http: bool) -> Origins:
    if origins is None:
        return Origins()
    if callable(origins):
        return Origins(allows=origins)
    names = [origins] if isinstance(origins, str) else list(origins)
    if not names:
        raise ConfigurationError("an empty list of origins: give None for a node that only pulls")
    listed: list[Origin] = []
    for name in names:
        origin = _parse(name)
        if origin.scheme == "http" and not plain_http:
            raise ConfigurationError(
                f"origin {origin} is plain http; allow it by an address policy with plain_http=True"
            )
        if origin in listed:
            raise ConfigurationError(f"origin {origin} is named twice")
        listed.append(origin)
    return Origins(tuple(listed))
