"""Serialise JSON with the JSON Canonicalization Scheme (RFC 8785): equal values have equal bytes.

Members are sorted by the UTF-16 code units of their names. Strings have the fewest possible escapes. Numbers are
written as ECMAScript writes doubles. Proofs of the `*-jcs-*` cryptosuites are computed over these bytes.

The scheme has doubles only. An integer that no double holds exactly is refused: a signer that uses doubles would sign
another number than the one that apcore reads from the document.
"""

from __future__ import annotations

from collections.abc import Callable
from json.encoder import encode_basestring as _quoted
from math import isfinite
from typing import Any, Final

from apcore.errors import DocumentError, LimitExceeded
from apcore.jsonld.limits import DEFAULT_LIMITS, ProcessingLimits
from apcore.jsonld.parser import Json
from apcore.jsonld.work import WorkBudget

__all__ = ["es6_number", "jcs"]

_LAST_BMP_BEFORE_SURROGATES: Final = "\ud7ff"
_PARTS_IN_A_STEP: Final = 4
# A double holds every integer up to this one exactly.
_EXACT_INTEGER_MAX: Final = 2**53


def jcs(value: Json, *, limits: ProcessingLimits = DEFAULT_LIMITS, work: WorkBudget | None = None) -> bytes:
    """Serialise ``value`` canonically, and spend the steps from ``work``, the budget of its document.

    Raises:
        DocumentError: A number is not a double, or a string has a lone surrogate.
        LimitExceeded: The value is nested deeper than ``limits.depth_max``.
    """
    parts: list[str] = []
    _write(value, parts.append, limits.depth_max)
    if work is not None:
        # Spending afterwards is safe: serialisation takes time proportional to the size of the document.
        work.spend(len(parts) // _PARTS_IN_A_STEP)
    try:
        return "".join(parts).encode("utf-8")
    except UnicodeEncodeError:
        raise DocumentError("a string contains half of a surrogate pair, which has no canonical form") from None


def es6_number(number: float) -> str:
    """Return ``number`` as ECMAScript writes it (ECMA-262, Number::toString).

    Python and ECMAScript use the same digits: the fewest that identify the double. They differ in the numbers that they
    write with an exponent.
    """
    if type(number) is int:
        if -_EXACT_INTEGER_MAX <= number <= _EXACT_INTEGER_MAX:
            return str(number)
        number = _exact_double(number)
    if not isfinite(number):
        raise DocumentError(f"the number {number} has no JSON form")
    if number == 0:
        return "0"  # This includes -0.
    sign, digits, exponent = _decompose(number)
    count = len(digits)
    # `exponent` is the position of the decimal point, counted from the first digit.
    if count <= exponent <= 21:
        return sign + digits + "0" * (exponent - count)
    if 0 < exponent <= 21:
        return f"{sign}{digits[:exponent]}.{digits[exponent:]}"
    if -6 < exponent <= 0:
        return f"{sign}0.{'0' * -exponent}{digits}"
    power = f"e{'+' if exponent > 0 else '-'}{abs(exponent - 1)}"
    return f"{sign}{digits[0]}{'.' + digits[1:] if count > 1 else ''}{power}"


# --- leaves ---------------------------------------------------------------------------------------------------------


def _write(value: Json, write: Callable[[str], object], depth: int) -> None:
    if isinstance(value, str):
        write(_quoted(value))
    elif isinstance(value, dict):
        _write_object(value, write, depth - 1)
    elif isinstance(value, list):
        if depth <= 0:
            raise LimitExceeded("a value nested too deeply to be canonicalised (depth_max)")
        separator = "["
        for member in value:
            write(separator)
            _write(member, write, depth - 1)
            separator = ","
        write("]" if value else "[]")
    elif value is True:
        write("true")
    elif value is False:
        write("false")
    elif value is None:
        write("null")
    else:
        write(es6_number(value))


def _write_object(members: dict[str, Any], write: Callable[[str], object], depth: int) -> None:
    if depth < 0:
        raise LimitExceeded("a value nested too deeply to be canonicalised (depth_max)")
    names = sorted(members)
    if names and max(map(max, filter(None, names)), default="") > _LAST_BMP_BEFORE_SURROGATES:
        # For characters beyond the surrogates, the order of code points differs from the order of UTF-16 code units.
        names.sort(key=lambda name: name.encode("utf-16-be", "surrogatepass"))
    separator = "{"
    for name in names:
        write(separator)
        write(_quoted(name))
        write(":")
        _write(members[name], write, depth)
        separator = ","
    write("}" if names else "{}")


def _exact_double(number: int) -> float:
    try:
        double = float(number)
    except OverflowError:
        double = 0.0
    if int(double) != number:
        raise DocumentError(f"the integer {str(number)[:40]} is not exactly a double, so it has no canonical form")
    return double


def _decompose(number: float) -> tuple[str, str, int]:
    """Split ``number`` into its sign, its significant digits, and the position of the decimal point in the digits."""
    text = repr(number)
    sign = ""
    if text[0] == "-":
        sign, text = "-", text[1:]
    mantissa, _, power = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    if fraction == "0":
        fraction = ""
    exponent = len(whole) + int(power or 0)
    digits = whole + fraction
    stripped = digits.lstrip("0")
    exponent -= len(digits) - len(stripped)
    return sign, stripped.rstrip("0"), exponent
