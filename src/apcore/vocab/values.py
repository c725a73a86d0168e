"""How single values are read: tolerantly, and always in the same way.

Everything that one server writes as a string another writes as an array of one, as an object, or as null. The functions here take any JSON
and give the value that was meant, or None. They never raise: a member that makes no sense is a member that is not there.

Expanded values (``{"@value": ...}``, ``{"@list": [...]}``) occur where a translated document has no coercion, so they are read too.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import TypeIs

from apcore.vocab.namespaces import PUBLIC, PUBLIC_FORMS
from apcore.vocab.references import Reference

if TYPE_CHECKING:
    from apcore.vocab.documents import Document

__all__ = [
    "boolean",
    "integer",
    "is_array",
    "is_object",
    "language_map",
    "literal",
    "many",
    "number",
    "reference",
    "text",
    "uri",
]

_UNDETERMINED: Final = ("und", "@none", "")
# 2^63: no count, size or number of pixels is longer, and the digits of a hostile one would cost time to convert.
_INTEGER_DIGITS_MAX: Final = 19


def is_object(value: Any) -> TypeIs[dict[str, Any]]:
    """Whether ``value`` is a JSON object."""
    return type(value) is dict


def is_array(value: Any) -> TypeIs[list[Any]]:
    """Whether ``value`` is a JSON array."""
    return type(value) is list


def many(value: Any) -> list[Any]:
    """Return a list, whether one value is there or many.

    An object with numbers for names is a list too: PHP writes an array so from which something was taken out.
    """
    if is_array(value):
        return value
    if is_object(value):
        inner = value.get("@list", value.get("@set")) if len(value) == 1 else None
        if inner is not None:
            return many(inner)
        if value and all(name.isascii() and name.isdigit() and len(name) <= _INTEGER_DIGITS_MAX for name in value):
            return [value[name] for name in sorted(value, key=int)]
    return [value]


def literal(value: Any) -> Any:
    """Give what stands in a value object, or alone in an array."""
    if is_array(value):
        value = next((item for item in value if item is not None), None)
    return value["@value"] if is_object(value) and "@value" in value else value


def text(value: Any) -> str | None:
    """Read a string, or one of several tagged with a language.

    Of several, the first that is not blank counts, and those without a language or of an undetermined one come first.
    """
    if type(value) is str:
        return value
    if is_array(value) or is_object(value):
        texts = language_map(value)
        preferred = [texts[tag] for tag in _UNDETERMINED if tag in texts] + list(texts.values())
        return next((text for text in preferred if text.strip()), next(iter(preferred), None))
    return None


def language_map(value: Any) -> dict[str, str]:
    """Read texts by language tag, from a map or from tagged values. Of several in one language, the first."""
    texts: dict[str, str] = {}
    for item in many(value):
        if type(item) is str:
            texts.setdefault("und", item)
        elif is_object(item) and "@value" in item:
            tag, written = item.get("@language", "und"), item["@value"]
            if type(tag) is str and type(written) is str:
                texts.setdefault(tag, written)
        elif is_object(item):
            for tag, written in item.items():
                one = next((part for part in many(written) if type(part) is str), None)
                if one is not None:
                    texts.setdefault(tag, one)
    return texts


def boolean(value: Any) -> bool | None:
    """Read true or false, also in words."""
    value = literal(value)
    if type(value) is bool:
        return value
    return {"true": True, "false": False}.get(value.lower()) if type(value) is str else None


def integer(value: Any) -> int | None:
    """Read a whole number, also from a string or a float that is whole."""
    value = literal(value)
    if type(value) is int:
        return value
    if type(value) is float:
        return int(value) if isfinite(value) and value == int(value) else None
    if type(value) is not str or len(value) > _INTEGER_DIGITS_MAX or not value.isascii():
        return None
    return int(value) if value.removeprefix("-").isdigit() else None


def number(value: Any) -> float | None:
    """Read a finite number, also from a string."""
    value = literal(value)
    if type(value) is str and value.isascii() and len(value) <= 2 * _INTEGER_DIGITS_MAX:
        try:
            value = float(value)
        except ValueError:
            return None
    if type(value) is int:
        return value
    return value if type(value) is float and isfinite(value) else None


def uri(value: Any) -> str | None:
    """Read an address: a string, a thing's id, or where a link leads. An empty one is none."""
    if is_object(value):
        value = value.get("id") or value.get("@id") or value.get("href") or value.get("url") or value.get("@value")
        if is_array(value) or is_object(value):
            value = next((found for item in many(value) if (found := uri(item)) is not None), None)
    return value if type(value) is str and value else None


def reference(value: Any, document: Document) -> Reference | None:
    """Read a reference out of ``document``: an address, an embedded thing, or a link, which refers to where it leads."""
    if type(value) is str:
        return Reference(PUBLIC if value in PUBLIC_FORMS else value) if value else None
    if not is_object(value):
        return None
    if "@value" in value:
        return reference(value["@value"], document) if isinstance(value["@value"], str) else None
    address = value.get("id") or value.get("@id")
    if address is None and "href" in value:
        address = value["href"]
    if type(address) is not str or not address:
        return Reference(None, document.embedded(value)) if value else None
    if address in PUBLIC_FORMS:
        address = PUBLIC
    # {"id": ...} alone says nothing about the thing: it is an address in another spelling.
    return Reference(address, document.embedded(value) if len(value) > 1 else None)
