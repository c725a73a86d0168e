"""Media types: reading them, which of them are ActivityPub, and choosing one that a client accepts.

Two types carry ActivityPub (ActivityPub §3.2): ``application/activity+json`` with whatever parameters, and
``application/ld+json`` with the ActivityStreams profile. Nothing else is believed, least of all ``application/json``
and ``text/plain``: uploads are served under the origin of an actor with types like these, and a server that accepted
them would believe every user who can upload a file.

``application/ld+json`` without any profile may be ActivityPub or anything else. Frameworks that negotiate for an
application answer with it (Django REST framework does). So readers take it only if the document itself says that it is
ActivityPub.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from attrs import frozen
from typing_extensions import override

from apcore.errors import RequestError

__all__ = [
    "ACCEPT_ACTIVITYPUB",
    "ACTIVITY_JSON",
    "AS2_PROFILE",
    "LD_JSON",
    "MediaType",
    "is_activitypub",
    "is_unprofiled_json_ld",
    "negotiate",
    "parse_media_type",
    "quality",
    "wants_activitypub",
]

AS2_PROFILE: Final = "https://www.w3.org/ns/activitystreams"
ACTIVITY_JSON: Final = "application/activity+json"
"""What to send and to serve: every server takes it."""
LD_JSON: Final = f'application/ld+json; profile="{AS2_PROFILE}"'
ACCEPT_ACTIVITYPUB: Final = f"{ACTIVITY_JSON}, application/ld+json"
"""The `Accept` of a fetch, as Mastodon sends it.

It has no text/html, so that no server answers with a page. It has no profile, since frameworks that compare parameters
(Django REST framework) would match it with none of the types that they offer.
"""

_LD_JSON_ESSENCE: Final = "application/ld+json"
_TYPE: Final = re.compile(r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)/([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*")
# RFC 9110 §5.6.6, except that a value without quotation marks may hold what a token may not: profiles are often sent bare.
_PARAMETER: Final = re.compile(r';[ \t]*(?:([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+))[ \t]*)?')
_ESCAPED: Final = re.compile(r"\\(.)")
_WEIGHT: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_ACCEPT_LENGTH_MAX: Final = 4096


@frozen
class MediaType:
    """A media type, or a range of them such as ``text/*``; type, subtype and parameter names in lower case."""

    type: str
    subtype: str
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def essence(self) -> str:
        """Type and subtype, without parameters."""
        return f"{self.type}/{self.subtype}"

    def get(self, name: str) -> str | None:
        """Give the parameter's value."""
        return dict(self.parameters).get(name)

    @override
    def __str__(self) -> str:
        quoted = (f'; {name}="{_quoted(value)}"' for name, value in self.parameters)
        return self.essence + "".join(quoted)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def parse_media_type(text: str) -> MediaType:
    """Read a `Content-Type`, or a member of `Accept`.

    Raises:
        RequestError: It is not one, or it has a parameter twice: two readers would take two different ones.
    """
    media_type, end = _read_media_type(text, 0)
    if end != len(text):
        raise RequestError(f"media type {text[:80]!r} has {text[end : end + 20]!r} at position {end}")
    return media_type


def _read_media_type(text: str, start: int) -> tuple[MediaType, int]:
    """Read one from a position on; give where it ends, which is a comma, rubbish or the end."""
    match = _TYPE.match(text, start)
    if match is None:
        raise RequestError(f"media type {text[start : start + 80]!r} has no type and subtype")
    kind, subtype = match[1].lower(), match[2].lower()
    parameters: dict[str, str] = {}
    end = match.end()
    while (match := _PARAMETER.match(text, end)) is not None:
        end = match.end()
        name, quoted, bare = match.groups()
        if name is None:  # an empty parameter, as in "text/html;": RFC 9110 §5.6.6 allows it
            continue
        if name.lower() in parameters:
            raise RequestError(f"media type {text[:80]!r} has the parameter {name[:40]!r} twice")
        parameters[name.lower()] = _ESCAPED.sub(r"\1", quoted) if bare is None else bare
    return MediaType(kind, subtype, tuple(parameters.items())), end


def is_activitypub(content_type: str | None) -> bool:
    """Whether a document of this type may be believed as ActivityPub; False for what is absent or unreadable."""
    if not content_type:
        return False
    try:
        media_type = parse_media_type(content_type)
    except RequestError:
        return False
    if media_type.essence == ACTIVITY_JSON:
        return True
    return media_type.essence == _LD_JSON_ESSENCE and AS2_PROFILE in (media_type.get("profile") or "").split(" ")


def is_unprofiled_json_ld(content_type: str | None) -> bool:
    """Return whether this is ``application/ld+json`` without a profile: ActivityPub only if the document says so."""
    if not content_type:
        return False
    try:
        media_type = parse_media_type(content_type)
    except RequestError:
        return False
    return media_type.essence == _LD_JSON_ESSENCE and media_type.get("profile") is None


@frozen
class _Range:
    """One member of `Accept`."""

    media_type: MediaType
    weight: float

    def specificity(self, offered: MediaType) -> int:
        """How closely it names the offered type: 0 not at all, 1 as anything, 2 by its type, 3 by its subtype, more by parameters."""
        mine = self.media_type
        if mine.essence == "*/*":
            return 1
        if mine.type != offered.type or mine.subtype not in {"*", offered.subtype}:
            return 0
        if mine.subtype == "*":
            return 2
        # A charset tells nothing about JSON, and clients add it out of habit.
        wanted = [pair for pair in mine.parameters if pair[0] != "charset"]
        return 3 + len(wanted) if all(pair in offered.parameters for pair in wanted) else 0


def _parse_accept(accept: str) -> list[_Range]:
    """Read what can be read: a member that cannot ends the list, as everything after it is in doubt."""
    ranges: list[_Range] = []
    text = accept[:_ACCEPT_LENGTH_MAX]
    position = 0
    while position < len(text):
        try:
            media_type, position = _read_media_type(text, position)
        except RequestError:
            break
        if position < len(text) and text[position] != ",":
            break
        position += 1
        weight = media_type.get("q")
        if weight is not None and _WEIGHT.fullmatch(weight) is None:
            continue
        parameters = tuple(pair for pair in media_type.parameters if pair[0] != "q")
        ranges.append(_Range(MediaType(media_type.type, media_type.subtype, parameters), float(weight or 1)))
    return ranges


def _best(ranges: list[_Range], offered: MediaType) -> tuple[int, float]:
    """Give specificity and weight of the range that speaks for this type: the most specific one (RFC 9110 §12.5.1)."""
    return max(((fit, each.weight) for each in ranges if (fit := each.specificity(offered))), default=(0, 0.0))


def quality(accept: str | None, offered: str) -> float:
    """Give the weight, 0 to 1, that a client puts on a type. Without `Accept`, or with one that cannot be read, everything has 1."""
    ranges = _parse_accept(accept or "")
    return _best(ranges, parse_media_type(offered))[1] if ranges else 1.0


def negotiate(accept: str | None, offered: Sequence[str]) -> str | None:
    """Choose the type with the highest weight, the earlier of two equals; None if the client excludes all of them (406)."""
    weighted = [(quality(accept, each), each) for each in offered]
    best = max((weight for weight, _ in weighted), default=0.0)
    return next((each for weight, each in weighted if weight == best), None) if best > 0 else None


def wants_activitypub(accept: str | None) -> bool:
    """Whether a client that could also have a page asks for ActivityPub: names one of the types, with no less weight than text/html.

    ``*/*`` is what browsers and link previews send as well, so it does not count. For a node that has no pages, use `negotiate`.
    """
    ranges = _parse_accept(accept or "")
    html = _best(ranges, MediaType("text", "html"))[1]
    named = (_best(ranges, parse_media_type(each)) for each in (ACTIVITY_JSON, LD_JSON))
    return any(fit >= 3 and weight > 0 and weight >= html for fit, weight in named)
