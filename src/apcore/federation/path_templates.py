"""Match paths against templates with variables, and build paths from values.

A template is written as in RFC 6570, levels 1 and 2: ``/users/{identifier}`` takes one path segment, ``/notes/{+path}``
takes the rest of the path with its slashes. Matching reads the path as it was sent, still percent-encoded, and decodes
each value once. A path that cannot be decoded matches nothing. Building is the inverse: ``match(build(values)) ==
values`` for all accepted values. Therefore an empty value is refused, and characters that would end a path (``?``,
``#``) are escaped in every value.

If two routes match one path, the more literal one wins, compared segment by segment. Two routes that differ only in the
names of their variables are refused, because neither could win.

A `PathMatcher` finds the routes for a path by its segments, in dictionaries. So the number of routes does not matter.
The patterns of the few routes that are left decide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Generic, TypeVar
from urllib.parse import quote

from attrs import Factory, field, frozen

from apcore.errors import ConfigurationError

__all__ = ["PathMatcher", "Route", "parse_route"]

T = TypeVar("T")

_PART: Final = re.compile(r"\{(\+?)([A-Za-z_][A-Za-z0-9_]*)\}")
_LITERAL: Final = re.compile(r"[A-Za-z0-9._~!$&'()*,;=:@/-]*")
_ESCAPED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
# The characters of literals that clients may percent-encode: -.~_!$&'()*,;=:@
_NEEDLESS_ESCAPE: Final = re.compile(r"%(2[146-9A-Ea-e]|3[AaBbDd]|40|5[Ff]|7[Ee])")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]+")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


def _before_variable(route: Route) -> str:
    return route.template.partition("{")[0]


def _after_variable(route: Route) -> str:
    return route.template.partition("}")[2]


@frozen
class Route:
    """A path template with variables; made by `parse_route`."""

    template: str
    variables: tuple[str, ...]
    pattern: re.Pattern[str] = field(eq=False, repr=False)
    shape: str = field(eq=False, repr=False)
    """The template without the names of its variables: routes of one shape match the same paths."""
    _start: str = field(init=False, eq=False, repr=False, default=Factory(_before_variable, takes_self=True))
    """The template before its first variable."""
    _end: str = field(init=False, eq=False, repr=False, default=Factory(_after_variable, takes_self=True))
    """The template after its first variable."""

    def match(self, path: str, /) -> dict[str, str] | None:
        """Return the decoded values if ``path`` (percent-encoded, without query) matches, else None."""
        match = self.pattern.fullmatch(path)
        if match is None:
            return None
        if "%" not in path:
            return match.groupdict()
        values: dict[str, str] = {}
        for name, raw in match.groupdict().items():
            value = _decode(raw)
            if value is None:
                return None
            values[name] = value
        return values

    def build(self, values: Mapping[str, str], /) -> str:
        """Return the path for ``values``.

        Raises:
            ValueError: A variable is missing, empty or unknown, or the path for a value would not match it again.
        """
        if len(values) == 1 == len(self.variables):
            # Most routes have one variable, and most of its values need no escape. Such a path matches the value again.
            value = values.get(self.variables[0])
            if value is not None and _PLAIN.fullmatch(value):
                return f"{self._start}{value}{self._end}"
        if set(values) != set(self.variables):
            raise ValueError(f"{self.template} takes the variables {list(self.variables)}, not {sorted(values)}")

        def fill(variable: re.Match[str]) -> str:
            reserved, name = variable.groups()
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
            raise ValueError(f"the values {dict(values)!r:.80} cannot be written as a path of {self.template}")
        return path


def parse_route(template: str, /, *, variables: Sequence[str] | None = None) -> Route:
    """Parse a path template.

    ``variables`` are the variables that the template must have, in any order. None allows any.

    Raises:
        ConfigurationError: The template does not start with a slash. Or it has a query, an unsupported operator, a name
            twice, two variables in one segment, a ``{+name}`` that is not at the end, or variables other than
            ``variables``.
    """
    if not template.startswith("/"):
        raise ConfigurationError(f"a route starts with a slash: {template!r}")
    names: list[str] = []
    pattern: list[str] = []
    literal_start = 0
    for variable in _PART.finditer(template):
        literal = template[literal_start : variable.start()]
        _check_literal(template, literal)
        if names and "/" not in literal:
            raise ConfigurationError(f"{template!r} has two variables in one segment: put a slash between them")
        reserved, name = variable.groups()
        if name in names:
            raise ConfigurationError(f"{template!r} has the variable {name} twice")
        if reserved and variable.end() != len(template):
            raise ConfigurationError(f"{{+{name}}} takes slashes too, so it must be at the end of {template!r}")
        names.append(name)
        pattern += [_literal_pattern(literal), f"(?P<{name}>{'.+' if reserved else '[^/]+'})"]
        literal_start = variable.end()
    _check_literal(template, template[literal_start:])
    pattern.append(_literal_pattern(template[literal_start:]))
    if variables is not None and sorted(names) != sorted(variables):
        raise ConfigurationError(f"{template!r} needs the variables {sorted(variables)}, but has {sorted(names)}")
    return Route(template, tuple(names), re.compile("".join(pattern), re.DOTALL), _PART.sub(r"{\1}", template))


@frozen
class _Branch:
    """The routes that continue after some segments, by the next segment. Numbers are positions in the order of rank."""

    literals: dict[str, _Branch] = field(factory=dict[str, "_Branch"])
    variables: list[_Branch] = field(factory=list["_Branch"])
    """The branch of the segments with a variable, if there are any."""
    rests: list[int] = field(factory=list[int])
    """The routes that take the rest of the path from here."""
    ends: list[int] = field(factory=list[int])
    """The routes that end here."""

    def add(self, segments: Sequence[str], number: int) -> None:
        """Add the route ``number`` with these segments of its template."""
        branch = self
        for segment in segments:
            if "{+" in segment:
                branch.rests.append(number)
                return
            if "{" not in segment:
                branch = branch.literals.setdefault(segment, _Branch())
                continue
            if not branch.variables:
                branch.variables.append(_Branch())
            branch = branch.variables[0]
        branch.ends.append(number)

    def find(self, segments: Sequence[str]) -> list[int]:
        """Return the routes that may match a path of these segments, in the order of rank."""
        branches = [self]
        numbers: list[int] = []
        for segment in segments:
            following: list[_Branch] = []
            for branch in branches:
                numbers += branch.rests
                literal = branch.literals.get(segment)
                if literal is not None:
                    following.append(literal)
                following += branch.variables
            branches = following
        for branch in branches:
            numbers += branch.ends
        return numbers if len(numbers) < 2 else sorted(numbers)


class PathMatcher(Generic[T]):
    """Routes with their targets. The most literal match wins."""

    def __init__(self) -> None:
        self._routes: list[tuple[tuple[int, ...], Route, T]] = []
        self._root: _Branch | None = None
        """The routes by segments; None until the first match after a route was added."""

    def add(self, route: Route, target: T, /) -> None:
        """Add a route.

        Raises:
            ConfigurationError: There is already a route of the same shape.
        """
        for _, other, _ in self._routes:
            if other.shape == route.shape:
                raise ConfigurationError(f"{route.template!r} and {other.template!r} match the same paths")
        self._routes.append((_rank(route), route, target))
        self._routes.sort(key=lambda entry: entry[0])
        self._root = None

    def replace(self, route: Route, target: T, /) -> None:
        """Replace the target of an existing route."""
        self._routes = [
            (rank, other, target if other == route else old_target) for rank, other, old_target in self._routes
        ]

    def targets(self) -> list[T]:
        """Return the targets of all routes."""
        return [target for _, _, target in self._routes]

    def match(self, path: str, /) -> tuple[T, dict[str, str]] | None:
        """Return the target and the values of the most literal route that matches ``path``, or None."""
        root = self._root
        if root is None:
            root = self._root = self._plant()
        plain_path = _NEEDLESS_ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), path) if "%" in path else path
        for number in root.find(plain_path.split("/")):
            _, route, target = self._routes[number]
            values = route.match(path)
            if values is not None:
                return target, values
        return None

    def _plant(self) -> _Branch:
        root = _Branch()
        for number, (_, route, _) in enumerate(self._routes):
            root.add(route.template.split("/"), number)
        return root


def _rank(route: Route) -> tuple[int, ...]:
    """Return the sort key of a route.

    Literal segments come before variables, and variables before the rest of the path. Longer routes come first.
    """
    kinds = [2 if "{+" in segment else 1 if "{" in segment else 0 for segment in route.template.split("/")]
    return (*kinds, 3)


def _literal_pattern(literal: str) -> str:
    """Return the pattern of a literal. Clients may percent-encode the characters that need no encoding in a path."""
    return "".join(
        re.escape(char) if char.isalnum() or char == "/" else f"(?:{re.escape(char)}|%(?i:{ord(char):02x}))"
        for char in literal
    )


def _check_literal(template: str, literal: str) -> None:
    if not _LITERAL.fullmatch(literal):
        raise ConfigurationError(
            f"{template!r} has {literal!r} outside its variables: "
            "a route consists of path characters and {name} or {+name}"
        )


def _decode(raw: str) -> str | None:
    """Decode percent-encoding once. Return None for an incomplete escape, or for bytes that are not UTF-8."""
    if "%" not in raw:
        return raw
    if _BAD_ESCAPE.search(raw):
        return None
    try:
        return _ESCAPED.sub(lambda escape: bytes([int(escape[1], 16)]), raw.encode()).decode()
    except UnicodeError:
        return None
