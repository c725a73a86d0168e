"""Find the ActivityPub address of an HTML page: ``<link rel="alternate">`` or a `Link` field (RFC 8288).

Pages are the largest and least regular input, and their sender controls every byte. The expressions here are therefore
possessive: matched text is never given back and tried again. One expression skips everything that is not a link, in one
sweep. An unclosed comment, tag or quotation mark ends the search, as it would end the page. Links and attributes are
counted. So the work is a small multiple of the length, for any content.

Only the head is searched, because ``<body>`` is where a site shows the texts of its users.

A result is an address and nothing more. It is fetched with all the usual checks, and believed only about itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from html import unescape
from itertools import islice
from typing import Final

from apcore.errors import RequestError
from apcore.http.media import is_activitypub
from apcore.http.messages import Response
from apcore.http.urls import URL_LENGTH_MAX, Url, join_url

__all__ = ["ALTERNATES_MAX", "HTML_BYTES_MAX", "find_alternates"]

HTML_BYTES_MAX: Final = 1024 * 1024
"""The bytes of a page that are searched. Heads in use end within the first 64 KiB."""
ALTERNATES_MAX: Final = 10
"""The most addresses returned: pages in several languages have several, and only some are ActivityPub."""
_LINKS_MAX: Final = 1000
_ATTRIBUTES_MAX: Final = 50
_FIELD_LENGTH_MAX: Final = 8192

# Elements that contain text or another document. A link inside them is not a link of the page.
_OPAQUE: Final = (
    b"iframe",
    b"noembed",
    b"noframes",
    b"noscript",
    b"script",
    b"style",
    b"template",
    b"textarea",
    b"title",
    b"xmp",
)
_SEPARATED: Final = rb"(?=[\s/>])"
# HTML §13.2.5, as browsers read it: quotation marks count only at the beginning of a value.
_ATTRIBUTE: Final = rb"""[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+)|(?!\s*+=))"""
_REST: Final = rb"(?:[\s/]++|" + _ATTRIBUTE + rb")*+>"
_ELEMENT: Final = re.compile(rb"<(link|base)" + _SEPARATED + rb"(" + _REST + rb")", re.IGNORECASE)
_NAME_AND_VALUE: Final = re.compile(
    rb"""[\s/]*+([^\s/>][^\s/>=]*+)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>"'][^\s>]*+)))?"""
)
# RFC 8288 §3, one member after another.
_TARGET: Final = re.compile(r"[\s,]*+<([^<>]*+)>")
_PARAMETER: Final = re.compile(r"""\s*+;\s*+([!#$%&'*+.^_`|~0-9A-Za-z-]++)\s*+(?:=\s*+(?:"([^"]*+)"|([^\s;,"]++)))?""")


@cache
def _passed_over() -> re.Pattern[bytes]:
    """Return the expression for everything before the next ``link``, ``base`` or ``body`` element, or the head's end.

    It is large, so it is compiled for the first page.
    """
    opaque = [rb"<" + name + _SEPARATED + _REST + rb"(?>.*?</" + name + _SEPARATED + rb")[^>]*+>" for name in _OPAQUE]
    alternatives = [
        rb"[^<]++",
        rb"<(?![a-z!/?])",
        rb"<!--(?:-?>|(?>.*?--!?>))",
        rb"<(?:!(?!--)|\?|/(?!head[\s/>]))[^>]*+>",
        *opaque,
        rb"<(?!(?:" + b"|".join([b"link", b"base", b"body", *_OPAQUE]) + rb")[\s/>])[a-z][^\s/>]*+" + _REST,
    ]
    return re.compile(rb"(?:" + b"|".join(alternatives) + rb")*+", re.DOTALL | re.IGNORECASE)


def find_alternates(response: Response, url: Url) -> tuple[str, ...]:
    """Return the ActivityPub addresses of ``response``, a page fetched from ``url``; at most `ALTERNATES_MAX`.

    Addresses in the `Link` field come first. Invalid ones are skipped.
    """
    addresses: dict[str, None] = {}
    for base, reference, rel, media_type in _links(response, url):
        if "alternate" not in rel.lower().split() or not is_activitypub(media_type) or not reference.strip():
            continue
        try:
            addresses[str(join_url(base, reference.strip()))] = None
        except RequestError:
            continue
        if len(addresses) == ALTERNATES_MAX:
            break
    return tuple(addresses)


def _links(response: Response, url: Url) -> Iterator[tuple[Url, str, str, str]]:
    """Yield base, reference, relation and type of each link."""
    for reference, parameters in _parse_link_field(response.headers.get("link") or ""):
        if "anchor" not in parameters:  # with an anchor, the alternate belongs to another resource
            yield url, reference, parameters.get("rel", ""), parameters.get("type", "")
    if _is_html(response.headers.get("content-type") or ""):
        base = None
        for name, attributes in islice(_find_elements(response.body[:HTML_BYTES_MAX]), _LINKS_MAX):
            href = attributes.get(b"href", "")
            if name == b"link":
                yield base or url, href, attributes.get(b"rel", ""), attributes.get(b"type", "")
            elif base is None:
                base = _base(url, href)


def _is_html(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() in {"text/html", "application/xhtml+xml"}


def _base(url: Url, href: str) -> Url:
    try:
        return join_url(url, href.strip())
    except RequestError:
        return url


def _parse_link_field(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Parse a `Link` field up to the first error. The first of two parameters with one name counts (RFC 8288 §3.3)."""
    at = 0
    while len(text) <= _FIELD_LENGTH_MAX and (target := _TARGET.match(text, at)) is not None:
        at = target.end()
        parameters: dict[str, str] = {}
        while (parameter := _PARAMETER.match(text, at)) is not None:
            _ = parameters.setdefault(parameter[1].lower(), parameter[2] or parameter[3] or "")
            at = parameter.end()
        yield target[1], parameters


def _find_elements(page: bytes) -> Iterator[tuple[bytes, dict[bytes, str]]]:
    """Yield the ``link`` and ``base`` elements of a page with their attributes, up to its body or its end."""
    at = 0
    while (skipped_text := _passed_over().match(page, at)) is not None:
        element = _ELEMENT.match(page, skipped_text.end())
        if element is None:
            return
        yield element[1].lower(), _attributes(element[2])
        at = element.end()


def _attributes(text: bytes) -> dict[bytes, str]:
    """Parse the attributes of a tag. The first of two with one name counts."""
    attributes: dict[bytes, str] = {}
    for match in islice(_NAME_AND_VALUE.finditer(text), _ATTRIBUTES_MAX):
        value = next((part for part in match.group(2, 3, 4) if part is not None), b"")
        if len(value) <= 6 * URL_LENGTH_MAX:  # each character may be written as a character reference
            _ = attributes.setdefault(match[1].lower(), unescape(value.decode("utf-8", "replace")))
    return attributes
