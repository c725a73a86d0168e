"""Read and write descriptors of a resource and its links, as JSON (JRD) and as XML (XRD).

JRD and XRD are two spellings of one thing, so there is one `Descriptor` for both. The readers tolerate unimportant
faults (a link without ``rel``, a member of another type) and bound everything: bytes, depth, links. Missing members are
never guessed.

The XML parser refuses any document type. Without one, a document cannot define entities, so there is nothing to expand
or to fetch. The encoding is always UTF-8, whatever the document declares, as for JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final, cast
from xml.parsers import expat

from attrs import field, frozen

from apcore.errors import DocumentError, LimitExceeded
from apcore.jsonld import ProcessingLimits, parse_document

__all__ = [
    "DESCRIPTOR_BYTES_MAX",
    "JRD_JSON",
    "XRD_XML",
    "Descriptor",
    "DescriptorLink",
    "jrd",
    "read_jrd",
    "read_xrd",
    "xrd",
]

JRD_JSON: Final = "application/jrd+json"
XRD_XML: Final = "application/xrd+xml"
DESCRIPTOR_BYTES_MAX: Final = 256 * 1024
"""The largest descriptor that is read. Those in use are smaller than 8 KiB."""

_JRD_LIMITS: Final = ProcessingLimits(bytes_max=DESCRIPTOR_BYTES_MAX, depth_max=16, nodes_max=2000, array_max=500)
_XML_DEPTH_MAX: Final = 16
_XML_ELEMENTS_MAX: Final = 2000
_XRD_NAMESPACE: Final = "http://docs.oasis-open.org/ns/xri/xrd-1.0"


def _no_properties() -> dict[str, str | None]:
    return {}


@frozen
class DescriptorLink:
    """One link of a descriptor (RFC 7033 §4.4.4)."""

    rel: str
    type: str | None = field(default=None, kw_only=True)
    href: str | None = field(default=None, kw_only=True)
    template: str | None = field(default=None, kw_only=True)
    """A URL with ``{uri}`` in the place of the resource."""
    properties: Mapping[str, str | None] = field(factory=_no_properties, kw_only=True)


@frozen
class Descriptor:
    """A resource's names, links and properties."""

    subject: str | None = None
    aliases: tuple[str, ...] = field(default=(), converter=tuple[str, ...])
    links: tuple[DescriptorLink, ...] = field(default=(), converter=tuple[DescriptorLink, ...])
    properties: Mapping[str, str | None] = field(factory=_no_properties)

    def linked(self, rel: str) -> tuple[DescriptorLink, ...]:
        """Return the links with relation ``rel``, in their order. Relations are compared without case (RFC 8288)."""
        return tuple(link for link in self.links if link.rel.lower() == rel.lower())


# --- writing --------------------------------------------------------------------------------------------------------


def jrd(subject: str | None, aliases: Sequence[str] = (), links: Sequence[DescriptorLink] = ()) -> bytes:
    """Return a descriptor as JSON; serve it as `JRD_JSON`."""
    members: dict[str, Any] = {}
    if subject is not None:
        members["subject"] = str(subject)
    if aliases:
        members["aliases"] = list(aliases)
    members["links"] = [_link_members(link) for link in links]
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def _link_members(link: DescriptorLink) -> dict[str, Any]:
    members = {"rel": link.rel, "type": link.type, "href": link.href, "template": link.template}
    present: dict[str, Any] = {name: value for name, value in members.items() if value is not None}
    return present | ({"properties": dict(link.properties)} if link.properties else {})


def xrd(links: Sequence[DescriptorLink]) -> bytes:
    """Return links as XML; serve it as `XRD_XML`."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<XRD xmlns={_quoted(_XRD_NAMESPACE)}>"]
    for link in links:
        attributes = {"rel": link.rel, "type": link.type, "href": link.href, "template": link.template}
        attribute_text = "".join(f" {name}={_quoted(value)}" for name, value in attributes.items() if value is not None)
        lines.append(f"  <Link{attribute_text}/>")
    return "\n".join([*lines, "</XRD>", ""]).encode()


def _quoted(value: str) -> str:
    # HTML's escapes are valid in XML. The standard library's function for XML would import an HTTP client.
    return f'"{escape(value)}"'


# --- reading --------------------------------------------------------------------------------------------------------


def read_jrd(data: bytes) -> Descriptor:
    """Parse a descriptor in JSON.

    Raises:
        DocumentError: The data is not JSON, or not an object.
        LimitExceeded: The data exceeds the limits of a descriptor.
    """
    members = parse_document(data, limits=_JRD_LIMITS, lone_surrogates="replace")
    return Descriptor(
        _text(members.get("subject")),
        tuple(alias for alias in _array(members.get("aliases")) if isinstance(alias, str)),
        tuple(link for item in _array(members.get("links")) if (link := _read_link(item)) is not None),
        _properties(members.get("properties")),
    )


def _read_link(item: object) -> DescriptorLink | None:
    if not isinstance(item, dict):
        return None
    members = cast("dict[str, Any]", item)
    rel = _text(members.get("rel"))
    if rel is None:
        return None
    return DescriptorLink(
        rel,
        type=_text(members.get("type")),
        href=_text(members.get("href")),
        template=_text(members.get("template")),
        properties=_properties(members.get("properties")),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _array(value: object) -> list[object]:
    # Some writers leave out the brackets around one item.
    return cast("list[object]", value) if isinstance(value, list) else [value]


def _properties(value: object) -> dict[str, str | None]:
    members = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    return {name: text for name, text in members.items() if text is None or isinstance(text, str)}


def read_xrd(data: bytes) -> Descriptor:
    """Parse a descriptor in XML.

    Raises:
        DocumentError: The data is not XML, not an XRD, or it has a document type.
        LimitExceeded: The data exceeds the limits of a descriptor.
    """
    if len(data) > DESCRIPTOR_BYTES_MAX:
        raise LimitExceeded(f"a descriptor of {len(data)} bytes; the limit is {DESCRIPTOR_BYTES_MAX}")
    try:
        # The data is decoded here, since a byte order mark would override the encoding that the parser was given.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(f"not UTF-8: {error.reason} at byte {error.start}") from None
    reader = _XrdReader()
    parser = expat.ParserCreate("utf-8", " ")  # a space between namespace and name
    parser.StartDoctypeDeclHandler = _no_document_type
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        _ = parser.Parse(text, True)
    except expat.ExpatError as error:
        raise DocumentError(f"not XML: {expat.ErrorString(error.code)} in line {error.lineno}") from None
    return Descriptor(reader.subject, reader.aliases, reader.links, reader.properties)


def _no_document_type(*_declared: object) -> None:
    raise DocumentError("the descriptor has a document type, which could define entities")


class _XrdReader:
    """Collect the few relevant elements from a stream of XML elements."""

    def __init__(self) -> None:
        self.subject: str | None = None
        self.aliases: list[str] = []
        self.links: list[DescriptorLink] = []
        self.properties: dict[str, str | None] = {}
        self._path: list[str] = []
        self._text: list[str] = []
        self._type: str | None = None
        self._elements = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Open an element, and read its attributes if it is a link."""
        self._elements += 1
        if self._elements > _XML_ELEMENTS_MAX:
            raise LimitExceeded(f"a descriptor of more than {_XML_ELEMENTS_MAX} elements")
        if len(self._path) >= _XML_DEPTH_MAX:
            raise LimitExceeded(f"a descriptor nested deeper than {_XML_DEPTH_MAX} levels")
        namespace, _, local = name.rpartition(" ")
        if not self._path and (local, namespace) != ("XRD", _XRD_NAMESPACE):
            raise DocumentError(f"the XML is no XRD: its root is {name[:100]}")
        self._path.append(local if namespace == _XRD_NAMESPACE else "")
        self._text.clear()
        self._type = attributes.get("type")
        if self._path == ["XRD", "Link"] and attributes.get("rel"):
            kind, href, template = (attributes.get(part) or None for part in ("type", "href", "template"))
            self.links.append(DescriptorLink(attributes["rel"], type=kind, href=href, template=template))

    def text(self, text: str) -> None:
        """Collect text until its element ends."""
        self._text.append(text)

    def end(self, _name: str) -> None:
        """Close an element, and use its text."""
        text = "".join(self._text).strip()
        self._text.clear()
        match self._path:
            case ["XRD", "Subject"] if text and self.subject is None:
                self.subject = text
            case ["XRD", "Alias"] if text:
                self.aliases.append(text)
            case ["XRD", "Property"] if self._type:
                self.properties[self._type] = text or None
            case _:
                pass
        _ = self._path.pop()
