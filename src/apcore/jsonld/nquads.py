"""Write and parse N-Quads, in the canonical form of RDFC-1.0.

A `Quad` consists of four strings in N-Quads notation: ``<https://a.example/>``, ``_:b0``, ``"text"@en``. The graph is
the empty string for the default graph. Canonicalisation needs nothing else, and each string is built only once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from apcore.errors import DocumentError

__all__ = ["Quad", "literal", "parse_nquads", "to_nquads"]

XSD_STRING: Final = "http://www.w3.org/2001/XMLSchema#string"


class Quad(NamedTuple):
    """One statement. Every part is in N-Quads notation."""

    subject: str
    predicate: str
    object: str
    graph: str
    """The name of the graph; empty for the default graph."""


def to_nquads(quads: Iterable[Quad]) -> str:
    """Return ``quads`` as lines, sorted by code point, without duplicates."""
    return "".join(sorted(set(map(line, quads))))


def line(quad: Quad) -> str:
    """Return one quad as a line."""
    subject, predicate, object_, graph = quad
    return f"{subject} {predicate} {object_} {graph} .\n" if graph else f"{subject} {predicate} {object_} .\n"


def literal(value: str, *, datatype: str = XSD_STRING, language: str | None = None) -> str:
    """Return a literal in N-Quads notation. ``language`` must be well-formed: it is not escaped."""
    quoted = f'"{_escape(value)}"'
    if language is not None:
        return f"{quoted}@{language}"
    return quoted if datatype == XSD_STRING else f"{quoted}^^<{datatype}>"


def parse_nquads(text: str) -> list[Quad]:
    """Parse lines of N-Quads. Duplicates are removed.

    Raises:
        DocumentError: A line that is not a quad.
    """
    quads: dict[Quad, None] = {}
    for number, row in enumerate(text.split("\n"), start=1):
        stripped = row.strip(" \t\r")
        if not stripped or stripped.startswith("#"):
            continue
        match = _QUAD.fullmatch(stripped)
        if match is None:
            raise DocumentError(f"line {number} is not an N-Quad: {row[:120]!r}")
        quads[_quad(match)] = None
    return list(quads)


# --- leaves ---------------------------------------------------------------------------------------------------------

_IRI: Final = r"<(?:[^\x00-\x20<>\"{}|^`\\]|\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8})*>"
_BLANK: Final = r"_:[^\s<>\"#]*[^\s<>\"#.]"
_STRING: Final = r'"(?:[^"\\\n\r]|\\[tbnrf"\'\\]|\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8})*"'
_LANGUAGE: Final = r"@[a-zA-Z]+(?:-[a-zA-Z0-9]+)*"
_QUAD: Final = re.compile(
    rf"(?P<subject>{_IRI}|{_BLANK})[ \t]*"
    rf"(?P<predicate>{_IRI})[ \t]*"
    rf"(?:(?P<resource>{_IRI}|{_BLANK})"
    rf"|(?P<string>{_STRING})(?:\^\^(?P<datatype>{_IRI})|(?P<language>{_LANGUAGE}))?)[ \t]*"
    rf"(?P<graph>{_IRI}|{_BLANK})?[ \t]*\.(?:[ \t]*#.*)?"
)

# RDFC-1.0 §5: short escapes where they exist, the long form for other controls, all other characters unescaped.
_CONTROLS: Final = {
    **{chr(code): f"\\u{code:04X}" for code in (*range(0x20), 0x7F)},
    "\b": "\\b",
    "\t": "\\t",
    "\f": "\\f",
}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_ESCAPED: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_SHORT: Final = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f"}


def _escape(value: str) -> str:
    # Ordered by frequency in HTML, except for the backslash: it comes first, because the other escapes contain it.
    value = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return value if _CONTROL.search(value) is None else _CONTROL.sub(lambda match: _CONTROLS[match[0]], value)


def _unescape(text: str) -> str:
    return _ESCAPED.sub(_character, text) if "\\" in text else text


def _character(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    if code is None:
        return _SHORT.get(match[3], match[3])
    if int(code, 16) > 0x10FFFF:
        raise DocumentError(f"\\U{code} is not a character")
    return chr(int(code, 16))


def _quad(match: re.Match[str]) -> Quad:
    string = match["string"]
    object_ = _unescape(match["resource"] or "")
    if string is not None:
        datatype = _unescape(match["datatype"] or f"<{XSD_STRING}>")[1:-1]
        language = match["language"]
        object_ = literal(_unescape(string[1:-1]), datatype=datatype, language=language[1:] if language else None)
    return Quad(_unescape(match["subject"]), _unescape(match["predicate"]), object_, _unescape(match["graph"] or ""))
