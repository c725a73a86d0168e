"""Refuse activities for the sake of the local actors that they address: from actors they block, and mass mentions.

These rules are applied once the sender is proved, so that a false claim reveals no block.

- An activity from an actor that its addressees block is refused with 403, or accepted and dropped, as
  `InboxPolicy.blocked_actors` says. The addressee is the owner of the inbox; at the shared inbox, all local actors
  that the activity names. If one of these does not block the sender, the activity is accepted. A Follow is accepted and
  answered with a Reject, so that the other server does not wait. An Accept and a Reject answer a Follow of ours, and an
  Undo, a Delete and a Block only take away: they are accepted too.
- An activity that names more than `InboxPolicy.stranger_mentions_max` local actors is refused with 403 if none of our
  actors follows its actor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from apcore.effects import Op, Scan
from apcore.errors import Refused
from apcore.federation.inbox.evidence import Authenticated
from apcore.federation.inbox.parse import IncomingActivity
from apcore.federation.relations.records import RELATIONS, RelationKey
from apcore.federation.relations.table import Direction, RelationState
from apcore.federation.site import Site
from apcore.ports import Entry, StoreKey, digest_part
from apcore.vocab import Accept, Activity, Block, Delete, Follow, Mention, Object, Reject, Undo, joint_audience

__all__ = [
    "RELATIONS_READ_MAX",
    "ActorBlocked",
    "TooManyMentions",
    "block_keys",
    "check_blocks",
    "check_mentions",
    "local_actors_in",
    "local_actors_named",
]

_ACCEPTED_FROM_BLOCKED: Final = frozenset({Follow, Accept, Reject, Undo, Delete, Block})
_ADDRESSEES_MAX: Final = 30
"""The most addressees that a block is looked up for. An activity with more is accepted, unless it names too many."""
_PAGE: Final = 100
RELATIONS_READ_MAX: Final = 1000
"""The most relations of an actor that are searched for a local follower."""


class ActorBlocked(Refused):
    """The addressees of the activity block its actor."""

    reason = "actor-blocked"


class TooManyMentions(Refused):
    """An actor without a local follower names more local actors than the policy allows."""

    reason = "too-many-mentions"


def check_blocks(
    site: Site, authenticated: Authenticated, recipient: str | None, actors_named: Sequence[str]
) -> Op[None]:
    """Check that an addressee of the activity does not block its actor.

    ``recipient`` is the inbox's actor, if any, and ``actors_named`` the result of `local_actors_named`.

    Effects: one `Get`; none if the activity names no local actor, or if blocks do not concern its type.

    Raises:
        ActorBlocked: All addressees block the actor.
    """
    document = authenticated.document
    if document.is_one_of(_ACCEPTED_FROM_BLOCKED):
        return
    addressees = actors_named if recipient is None else [site.actor_uri(recipient)]
    if not 1 <= len(addressees) <= _ADDRESSEES_MAX:
        return
    entries = yield from site.snapshot.get(block_keys(addressees, authenticated.actor))
    if all(
        _is_block(entry, addressee, authenticated.actor) for entry, addressee in zip(entries, addressees, strict=True)
    ):
        raise ActorBlocked(f"{authenticated.actor} is blocked by {', '.join(addressees)}")


def block_keys(addressees: Sequence[str], actor: str) -> list[StoreKey]:
    """Return the keys of the records of which `check_blocks` reads whether ``addressees`` block ``actor``."""
    return [
        RELATIONS.key(RelationKey.of(Direction.INBOUND, addressee, actor)) for addressee in addressees[:_ADDRESSEES_MAX]
    ]


def _is_block(entry: Entry | None, addressee: str, actor: str) -> bool:
    if entry is None:
        return False
    record = RELATIONS.decode(entry.value)
    return (record.us, record.them, record.state) == (addressee, actor, RelationState.BLOCKED.value)


def check_mentions(site: Site, authenticated: Authenticated, actors_named: Sequence[str]) -> Op[None]:
    """Check that a stranger names no more local actors than the policy allows.

    ``actors_named`` is the result of `local_actors_named`.

    Effects: none for few mentions, else up to 10 `Scan`s.

    Raises:
        TooManyMentions: There are more, and no local actor follows the actor.
    """
    mentions_max = site.federation.inbox_policy.stranger_mentions_max
    if mentions_max is None:
        return
    mention_count = len(actors_named)
    if mention_count <= mentions_max or (yield from _is_followed(authenticated.actor)):
        return
    raise TooManyMentions(
        f"{authenticated.actor}, which no actor of this server follows, names {mention_count} of them, "
        f"at most {mentions_max}"
    )


def local_actors_named(site: Site, incoming: IncomingActivity) -> list[str]:
    """Return the local actors that a received activity names; see `local_actors_in`."""
    return [] if _is_silent_about(site.origin.host, incoming) else local_actors_in(site, incoming.activity)


def local_actors_in(site: Site, activity: Activity) -> list[str]:
    """Return the local actors that an activity or its embedded objects address or mention."""
    documents = [activity.document, *(one.embedded for one in activity.objects if one.embedded is not None)]
    mentions = [
        tag.view(Mention).href or ""
        for document in documents
        for tag in (thing.document for thing in Object.over(document).tag)
        if tag.is_a(Mention)
    ]
    # Only addresses of our own are parsed: a body may name many thousands of others.
    prefix = f"{site.origin}/"
    addresses = dict.fromkeys((*joint_audience(activity.document).everyone, *mentions))
    return [uri for uri in addresses if uri.startswith(prefix) and site.identifier_of(uri) is not None]


def _is_silent_about(host: str, incoming: IncomingActivity) -> bool:
    r"""Return whether no string of an activity can contain ``host``.

    The members of most activities are read as they were sent. Then the host, which is ASCII, has to stand in the bytes,
    unless it is escaped as ``\u``.
    """
    body = incoming.body
    return not incoming.document.reading.translated and host.encode() not in body and b"\\u" not in body


def _is_followed(actor: str) -> Op[bool]:
    """Return whether a local actor follows ``actor``."""
    prefix = RELATIONS.at(digest_part(actor))
    after: StoreKey | None = None
    for _ in range(RELATIONS_READ_MAX // _PAGE):
        entries = yield from Scan(prefix, after=after, limit=_PAGE)
        for entry in entries:
            record = RELATIONS.decode(entry.value)
            is_follow = record.direction == Direction.OUTBOUND.value and record.state == RelationState.ACCEPTED.value
            if is_follow and record.them == actor:
                return True
        if len(entries) < _PAGE:
            return False
        after = entries[-1].key
    return False
