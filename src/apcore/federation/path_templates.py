"""Paths with names in them, both ways: from a path to its values and back.

A route is written as in RFC 6570, levels 1 and 2: ``/users/{identifier}`` takes one path segment, ``/notes/{+path}`` takes the rest, slashes
included. Matching reads the path as it was sent, still percent-encoded, and decodes each value once; a path that cannot be decoded matches
nothing. Building is the inverse: ``match(build(values)) == values`` for all values, which is why an empty value is refused, and why a reserved
value may not contain what would end a path (``?``, ``#``).

Two routes that could match one path are ordered by how literal they are, segment by segment; two that only differ in the names of their
variables are refused, since nobody could say which one is meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Generic, TypeVar
from urllib.parse import quote

from attrs import field, frozen

from apcore.errors import ConfigurationError

__all__ = ["Route", "Router", "parse_route"]

T = TypeVar("T")

_PART: Final = re.compile(r"\{(\+?)([A-Za-z_][A-Za-z0-9_]*)\}")
_LITERAL: Final = re.compile(r"[A-Za-z0-9._~!$&'()*,;=:@/-]*")
_ESCAPED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@frozen
class Route:
    """One path with variables; made by `parse_route`."""

    template: str
    variables: tuple[str, ...]
    pattern: re.Pattern[str] = field(eq=False, repr=False)
    shape: str = field(eq=False, repr=False)
    """The template with its variables' names taken out: routes of one shape match the same paths."""

    def match(self, path: str, /) -> dict[str, str] | None:
        """Give the decoded values if ``path`` (percent-encoded, without query) is one of this route, else None."""
        found = self.pattern.fullmatch(path)
        if found is None:
            return None
        values: dict[str, str] = {}
        for name, raw in found.groupdict().items():
            value = _decoded(raw)
            if value is None:
                return None
            values[name] = value
        return values

    def build(self, values: Mapping[str, str], /) -> str:
        """Give the path for ``values``.

        Raises:
            ValueError: A variable is missing or empty, one is unknown, or a value cannot be written so that it reads back.
        """
        if set(values) != set(self.variables):
            raise ValueError(f"{self.template} takes the variables {list(self.variables)}, not {sorted(values)}")

        def fill(found: re.Match[str]) -> str:
            reserved, name = found.groups()
            value = values[name]
            if not value:
                raise ValueError(f"the variable {name} of {self.template} is empty")
            try:
                return quote(value, safe="/!$&'()*,;=:@~" if reserved else "!$&'()*,;=:@~")
            except UnicodeEncodeError:
                raise ValueError(
                    f"the variable {name} of {self.template} has a lone surrogate: {value!r:.60}"
                ) from None

        path = _PART.sub(fill, self.template)
        if self.match(path) != dict(values):
            raise ValueError(f"{dict(values)!r:.80} cannot be written as {self.template}")
        return path


def parse_route(template: str, /, *, variables: Sequence[str] | None = None) -> Route:
    """Read a route.

    ``variables`` are those that it must have, in any order; None demands nothing.

    Raises:
        ConfigurationError: It does not start with a slash, has a query, an operator that binds no value, a name twice, two variables in one
            segment, a reserved variable that is not the last part, or other variables than ``variables``.
    """
    if not template.startswith("/"):
        raise ConfigurationError(f"a route starts with a slash: {template!r}")
    names: list[str] = []
    pattern: list[str] = []
    rest = 0
    for found in _PART.finditer(template):
        literal = template[rest : found.start()]
        _check_literal(template, literal)
        if names and "/" not in literal:
            raise ConfigurationError(f"{template!r} has two variables in one segment; nobody could say where one ends")
        reserved, name = found.groups()
        if name in names:
            raise ConfigurationError(f"{template!r} has the variable {name} twice")
        if reserved and found.end() != len(template):
            raise ConfigurationError(f"{{+{name}}} swallows slashes, so it has to end {template!r}")
        names.append(name)
        pattern += [re.escape(literal), f"(?P<{name}>{'.+' if reserved else '[^/]+'})"]
        rest = found.end()
    _check_literal(template, template[rest:])
    pattern.append(re.escape(template[rest:]))
    if variables is not None and sorted(names) != sorted(variables):
        raise ConfigurationError(f"{template!r} needs the variables {sorted(variables)}, and has {sorted(names)}")
    return Route(template, tuple(names), re.compile("".join(pattern), re.DOTALL), _PART.sub(r"{\1}", template))


class Router(Generic[T]):
    """Routes and what each leads to; the most literal match wins."""

    def __init__(self) -> None:
        self._routes: list[tuple[tuple[int, ...], Route, T]] = []

    def add(self, route: Route, target: T, /) -> None:
        """Take in a route.

        Raises:
            ConfigurationError: One of the same shape is there already.
        """
        for _, other, _ in self._routes:
            if other.shape == route.shape:
                raise ConfigurationError(f"{route.template!r} and {other.template!r} match the same paths")
        self._routes.append((_rank(route), route, target))
        self._routes.sort(key=lambda entry: entry[0])

    def replace(self, route: Route, target: T, /) -> None:
        """Let a route that is there lead elsewhere."""
        self._routes = [(rank, known, target if known == route else before) for rank, known, before in self._routes]

    def targets(self) -> list[T]:
        """Give everything that a route leads to."""
        return [target for _, _, target in self._routes]

    def match(self, path: str, /) -> tuple[T, dict[str, str]] | None:
        """Give the target and the values of the most literal route that ``path`` is of, or None."""
        for _, route, target in self._routes:
            values = route.match(path)
            if values is not None:
                return target, values
        return None


def _rank(route: Route) -> tuple[int, ...]:
    """Order routes: literal segments before variables before the rest of the path; longer ones first."""
    kinds = [2 if "{+" in segment else 1 if "{" in segment else 0 for segment in route.template.split("/")]
    return (*kinds, 3)


def _check_literal(template: str, literal: str) -> None:
    if not _LITERAL.fullmatch(literal):
        raise ConfigurationError(
            f"{template!r} has {literal!r} outside its variables: a route is path characters and {{name}} or {{+name}}"
        )


def _decoded(raw: str) -> str | None:
    """Decode percent-encoding once; None if it is not the encoding of a string."""
    if "%" not in raw:
        return raw
    if _BAD_ESCAPE.search(raw):
        return None
    try:
        return _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), raw.encode()).decode()
    except UnicodeError:
        return None
