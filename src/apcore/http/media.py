"""Parse media types, recognise ActivityPub, and choose the type that a client accepts.

Two types carry ActivityPub (ActivityPub §3.2): ``application/activity+json`` with any parameters, and
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
from functools import lru_cache
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
"""The type to send and to serve: every server accepts it."""
LD_JSON: Final = f'application/ld+json; profile="{AS2_PROFILE}"'
ACCEPT_ACTIVITYPUB: Final = f"{ACTIVITY_JSON}, application/ld+json"
"""The `Accept` of a fetch.

It has no text/html, so that no server answers with a page. ActivityPub 3.2 demands the type with the profile. Mastodon
leaves the profile out, and so does apcore: frameworks that compare parameters (Django REST framework) would choose the
profile, whatever its quality, and answer with less.
"""

_LD_JSON_ESSENCE: Final = "application/ld+json"
_TYPE: Final = re.compile(r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)/([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*")
# RFC 9110 §5.6.6, except that an unquoted value may have characters that a token may not: profiles are often unquoted.
_PARAMETER: Final = re.compile(r';[ \t]*(?:([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+))[ \t]*)?')
_ESCAPED: Final = re.compile(r"\\(.)")
_WEIGHT: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_ACCEPT_LENGTH_MAX: Final = 4096


@frozen
class MediaType:
    """A media type, or a range of them such as ``text/*``. Type, subtype and parameter names are in lower case."""

    type: str
    subtype: str
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def essence(self) -> str:
        """Return type and subtype, without parameters."""
        return f"{self.type}/{self.subtype}"

    def get(self, name: str) -> str | None:
        """Return the value of a parameter."""
        return dict(self.parameters).get(name)

    @override
    def __str__(self) -> str:
        quoted = (f'; {name}="{_quoted(value)}"' for name, value in self.parameters)
        return self.essence + "".join(quoted)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def parse_media_type(text: str) -> MediaType:
    """Parse a `Content-Type`, or a member of `Accept`.

    Raises:
        RequestError: It is malformed, or repeats a parameter: two parsers would use two different values.
    """
    media_type, end = _read_media_type(text, 0)
    if end != len(text):
        raise RequestError(f"media type {text[:80]!r} has {text[end : end + 20]!r} at position {end}")
    return media_type


def _read_media_type(text: str, start: int) -> tuple[MediaType, int]:
    """Parse one media type from a position on.

    Also return its end, which is at a comma, at invalid text or at the end.
    """
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
    """Return whether a document of this type may be believed as ActivityPub.

    False if the type is absent or malformed.
    """
    return bool(content_type) and _is_activitypub(content_type or "")


# Senders write the field in a few ways. The cache is bounded, as are the values: a header line has at most some KiB.
@lru_cache(maxsize=64)
def _is_activitypub(content_type: str) -> bool:
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
        """Return how closely the range matches the offered type.

        0 for no match, 1 for any type, 2 for the type, 3 for the subtype, more for parameters.
        """
        mine = self.media_type
        if mine.essence == "*/*":
            return 1
        if mine.type != offered.type or mine.subtype not in {"*", offered.subtype}:
            return 0
        if mine.subtype == "*":
            return 2
        # A charset says nothing about JSON, and clients add it out of habit.
        required = [pair for pair in mine.parameters if pair[0] != "charset"]
        return 3 + len(required) if all(pair in offered.parameters for pair in required) else 0


def _parse_accept(accept: str) -> tuple[_Range, ...]:
    """Parse up to the first malformed member: everything after it is doubtful."""
    return _parse_ranges(accept[:_ACCEPT_LENGTH_MAX])


# Clients send few different fields. The cache is bounded, as is the text.
@lru_cache(maxsize=128)
def _parse_ranges(text: str) -> tuple[_Range, ...]:
    ranges: list[_Range] = []
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
    return tuple(ranges)


def _best(ranges: Sequence[_Range], offered: MediaType) -> tuple[int, float]:
    """Return specificity and weight of the most specific range for this type (RFC 9110 §12.5.1)."""
    return max(
        ((fit, media_range.weight) for media_range in ranges if (fit := media_range.specificity(offered))),
        default=(0, 0.0),
    )


def quality(accept: str | None, offered: str) -> float:
    """Return the weight, 0 to 1, that a client gives to a type.

    It is 1 if `Accept` is absent, or malformed from its start.
    """
    ranges = _parse_accept(accept or "")
    return _best(ranges, parse_media_type(offered))[1] if ranges else 1.0


def negotiate(accept: str | None, offered: Sequence[str]) -> str | None:
    """Choose the type with the highest weight, the earlier of two equals.

    Return None if the client excludes all of them (answer 406).
    """
    weighted = [(quality(accept, media_type), media_type) for media_type in offered]
    best = max((weight for weight, _ in weighted), default=0.0)
    return next((media_type for weight, media_type in weighted if weight == best), None) if best > 0 else None


def wants_activitypub(accept: str | None) -> bool:
    """Return whether a client prefers ActivityPub to a page.

    It does if it names one of the types, with no less weight than text/html. ``*/*`` does not count, because browsers
    and link previews send it too. If your node has no pages, use `negotiate`.
    """
    ranges = _parse_accept(accept or "")
    html = _best(ranges, MediaType("text", "html"))[1]
    named = (_best(ranges, parse_media_type(media_type)) for media_type in (ACTIVITY_JSON, LD_JSON))
    return any(fit >= 3 and weight > 0 and weight >= html for fit, weight in named)
