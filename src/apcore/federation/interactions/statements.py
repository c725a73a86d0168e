"""Read the interactions that an activity adds or takes back. Either the actor or the object may be ours."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import frozen

from apcore.federation.routes import IDENTIFIER, MANAGED_NAME, OBJECT_COLLECTION, RouteTable
from apcore.http import Origin
from apcore.remote import is_embedded_trusted
from apcore.vocab import Activity, Announce, Create, Document, EmojiReact, Like, Object, Update, audience_of

__all__ = [
    "COLLECTION_RULES",
    "EMOJI_CHARS_MAX",
    "TARGETS_MAX",
    "Interaction",
    "object_collection",
    "public_part",
    "read_interactions",
    "read_reply",
    "read_undone",
]

EMOJI_CHARS_MAX: Final = 100
"""The longest ``content`` that counts as an emoji: one character, or a name such as ``:blobcat:``."""
TARGETS_MAX: Final = 20
"""The most objects of one activity that are liked or announced."""

COLLECTION_RULES: Final[Mapping[str, str]] = MappingProxyType(
    {"likes": "like", "shares": "announce", "replies": "create", "context": "create", "reactions": "emoji-react"}
)
"""The row of side effects that adds to each collection of an object."""
_COLLECTIONS: Final = {rule: name for name, rule in COLLECTION_RULES.items() if name != "context"}


@frozen
class Interaction:
    """A Like, an Announce or a reply of one actor."""

    rule: str
    """The name of the row of side effects, without the direction."""
    target: str
    """The id of the object that is liked, announced or replied to."""
    member: str
    """The id of the member: the reply, or else the actor, since an actor counts once. A reaction adds its emoji."""
    id: str
    """The id of the Like or Announce, or of the reply."""
    is_public: bool
    """Whether the list that is served to everyone may name it."""
    context: str | None = None
    """The context that a reply names."""

    @property
    def collection(self) -> str:
        """Return the name of the object's collection that it is added to."""
        return _COLLECTIONS[self.rule]


def public_part(collection: str) -> str:
    """Return the name of the managed collection of those members of ``collection`` that everyone may see."""
    return f"{collection}#public"


def object_collection(places: RouteTable, origin: Origin, object_id: str, name: str) -> str | None:
    """Return the address of a collection of a published object of ours; None if ``object_id`` is not the id of one."""
    place = places.read(origin, object_id)
    if place is None or place.target.kind != "managed" or place.target.name != "objects":
        return None
    values = {
        IDENTIFIER: place.values[IDENTIFIER],
        MANAGED_NAME: place.values[MANAGED_NAME],
        OBJECT_COLLECTION: name,
    }
    return places.uri(origin, "object-collection", **values)


def read_interactions(document: Document, actor: str, activity_id: str) -> list[Interaction]:
    """Return the interactions that an activity of ``actor`` adds, or states anew (an Update of a reply)."""
    activity = Activity.over(document)
    if document.is_a(Create) or document.is_a(Update):
        reply = None if activity.object is None else activity.object.embedded
        is_own = reply is not None and is_embedded_trusted(reply, wrapper=activity_id, owner=actor)
        interaction = read_reply(reply, audience_of(reply).is_public) if reply is not None and is_own else None
        return [] if interaction is None else [interaction]
    rule = _rule_of(document)
    if rule is None:
        return []
    is_public = audience_of(document).is_public
    targets = dict.fromkeys(reference.uri for reference in activity.objects if reference.uri is not None)
    emoji = None if rule == "announce" else _emoji_of(document)
    interactions: list[Interaction] = []
    for target in [*targets][:TARGETS_MAX]:
        if rule != "emoji-react":
            interactions.append(Interaction(rule, target, actor, activity_id, is_public))
        if emoji is not None:
            interactions.append(Interaction("emoji-react", target, f"{actor} {emoji}", activity_id, is_public))
    return interactions


def read_reply(document: Document, is_public: bool, *, object_id: str | None = None) -> Interaction | None:
    """Return the interaction of a reply with the object that it answers; None if it is no reply or has no id."""
    view, reply_id = Object.over(document), object_id or document.id
    parent = view.in_reply_to
    if parent is None or parent.uri is None or reply_id is None or document.is_a(Activity):
        return None
    return Interaction("create", parent.uri, reply_id, reply_id, is_public, view.context)


def read_undone(undo: Activity, actor: str) -> list[Interaction]:
    """Return the interactions that an Undo of ``actor`` takes back, as far as it embeds the undone activity."""
    undone = None if undo.object is None else undo.object.embedded
    if undone is None or _rule_of(undone) is None:
        return []
    return read_interactions(undone, actor, undone.id or "")


def _rule_of(document: Document) -> str | None:
    if document.is_a(Like):
        return "like"
    if document.is_a(EmojiReact):
        return "emoji-react"
    return "announce" if document.is_a(Announce) else None


def _emoji_of(document: Document) -> str | None:
    """Return the emoji of a reaction (FEP-c0e0); None if ``content`` is missing, long, or has spaces."""
    emoji = (Activity.over(document).content or "").strip()
    is_emoji = 0 < len(emoji) <= EMOJI_CHARS_MAX and emoji.isprintable() and " " not in emoji
    return emoji if is_emoji else None
