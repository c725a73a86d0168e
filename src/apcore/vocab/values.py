"""Decode single values, tolerantly and always in the same way.

One server writes a string where another writes an array of one, an object, or null. The functions here take any JSON
and return the intended value, or None. They never raise: a member that makes no sense counts as absent.

Expanded values (``{"@value": ...}``, ``{"@list": [...]}``) occur where a translated document has no coercion, so they
are decoded too.
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
# The digits of 2^63. No real count, size or number of pixels has more, and long numbers would be slow to convert.
_INTEGER_DIGITS_MAX: Final = 19


def is_object(value: Any) -> TypeIs[dict[str, Any]]:
    """Return whether ``value`` is a JSON object."""
    return type(value) is dict


def is_array(value: Any) -> TypeIs[list[Any]]:
    """Return whether ``value`` is a JSON array."""
    return type(value) is list


def many(value: Any) -> list[Any]:
    """Return the values as a list, even if there is only one.

    An object with numbers for names is a list too: PHP writes an array like that after a member was removed from it.
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
    """Return the content of a value object, or of an array with one."""
    if is_array(value):
        value = next((item for item in value if item is not None), None)
    return value["@value"] if is_object(value) and "@value" in value else value


def text(value: Any) -> str | None:
    """Decode a string, or choose one of several texts that are tagged with a language.

    The first text that is not blank counts. Texts without a language, or in an undetermined one, come first.
    """
    if type(value) is str:
        return value
    if is_array(value) or is_object(value):
        texts = language_map(value)
        preferred = [texts[tag] for tag in _UNDETERMINED if tag in texts] + list(texts.values())
        return next((text for text in preferred if text.strip()), next(iter(preferred), None))
    return None


def language_map(value: Any) -> dict[str, str]:
    """Decode texts by language tag, from a map or from tagged values. The first text in a language counts."""
    texts: dict[str, str] = {}
    for item in many(value):
        if type(item) is str:
            texts.setdefault("und", item)
        elif is_object(item) and "@value" in item:
            tag, tagged_text = item.get("@language", "und"), item["@value"]
            if type(tag) is str and type(tagged_text) is str:
                texts.setdefault(tag, tagged_text)
        elif is_object(item):
            for tag, tagged_text in item.items():
                first_text = next((part for part in many(tagged_text) if type(part) is str), None)
                if first_text is not None:
                    texts.setdefault(tag, first_text)
    return texts


def boolean(value: Any) -> bool | None:
    """Decode a boolean, also as a word."""
    value = literal(value)
    if type(value) is bool:
        return value
    return {"true": True, "false": False}.get(value.lower()) if type(value) is str else None


def integer(value: Any) -> int | None:
    """Decode a whole number, also from a string or a float that is whole."""
    value = literal(value)
    if type(value) is int:
        return value
    if type(value) is float:
        return int(value) if isfinite(value) and value == int(value) else None
    if type(value) is not str or len(value) > _INTEGER_DIGITS_MAX or not value.isascii():
        return None
    return int(value) if value.removeprefix("-").isdigit() else None


def number(value: Any) -> float | None:
    """Decode a finite number, also from a string."""
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
    """Decode an address: a string, the id of an object, or the target of a link. An empty one is None."""
    if is_object(value):
        value = value.get("id") or value.get("@id") or value.get("href") or value.get("url") or value.get("@value")
        if is_array(value) or is_object(value):
            value = next((address for item in many(value) if (address := uri(item)) is not None), None)
    return value if type(value) is str and value else None


def reference(value: Any, document: Document) -> Reference | None:
    """Decode a reference in ``document``: an address, an embedded object, or a link, which refers to its target."""
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
    # {"id": ...} alone says nothing about the object: it is another spelling of its address.
    return Reference(address, document.embedded(value) if len(value) > 1 else None)
