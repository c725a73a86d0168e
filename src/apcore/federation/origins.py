"""Which origins are ours: decided when a federation is bound, never by an unchecked header.

One origin, several, or a function over an allow list that is asked for each origin that a request names. What it is asked about has been read
strictly and is in canonical form, so it may compare strings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from attrs import field, frozen
from typing_extensions import override

from apcore.errors import ConfigurationError
from apcore.http import Origin, parse_origin

__all__ = ["Origins", "OriginsLike", "bind_origins"]

OriginsLike: TypeAlias = str | Sequence[str] | Callable[[str], bool] | None
"""An origin such as ``https://social.example``; several; a function that says whether one is ours; or none (a node that only pulls)."""


@frozen
class Origins:
    """The origins of a node; made by `bind_origins`."""

    listed: tuple[Origin, ...] = ()
    allows: Callable[[str], bool] | None = field(default=None, repr=False)

    @property
    def serves(self) -> bool:
        """Whether there is any: without one, a node can only pull, unsigned."""
        return bool(self.listed) or self.allows is not None

    @property
    def only(self) -> Origin | None:
        """The origin, if there is exactly one and no other can be meant."""
        return self.listed[0] if len(self.listed) == 1 and self.allows is None else None

    @override
    def __str__(self) -> str:
        """Name the origins for people."""
        return ", ".join(map(str, self.listed)) or (
            "no origin" if self.allows is None else "the origins that a function allows"
        )

    def has(self, origin: Origin, /) -> bool:
        """Whether ``origin`` is one of ours."""
        return origin in self.listed if self.allows is None else bool(self.allows(str(origin)))

    def pick(self, name: str | None, /) -> Origin:
        """Give the origin that ``name`` names, or the only one.

        Raises:
            ValueError: It is none of ours, or several could be meant and none is named.
        """
        if name is not None:
            origin = parse_origin(name)
            if not self.has(origin):
                raise ValueError(f"{origin} is not an origin of this node")
            return origin
        if self.only is None:
            count = "a function decides its origins" if self.allows else f"it has {len(self.listed)} origins"
            raise ValueError(f"name the origin that is meant: this node has no single one ({count})")
        return self.only


def bind_origins(origins: OriginsLike, *, plain_http: bool = False) -> Origins:
    """Read the origins that a node is to serve.

    ``plain_http`` allows ``http`` origins, for development: ids are fetched as they are spelled.

    Raises:
        ConfigurationError: One is not an origin, stands twice, or is ``http`` without ``plain_http``.
    """
    if origins is None:
        return Origins()
    if callable(origins):
        return Origins(allows=origins)
    names = [origins] if isinstance(origins, str) else list(origins)
    if not names:
        raise ConfigurationError("an empty list of origins: give None for a node that only pulls")
    listed: list[Origin] = []
    for name in names:
        try:
            origin = parse_origin(name)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"origin {name!r:.80}: {error}") from error
        if origin.scheme == "http" and not plain_http:
            raise ConfigurationError(
                f"origin {origin} is plain http; allow it by an address policy with plain_http=True"
            )
        if origin in listed:
            raise ConfigurationError(f"origin {origin} is named twice")
        listed.append(origin)
    return Origins(tuple(listed))
