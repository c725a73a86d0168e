"""Record inboxes that are not there any more, and look for the current inboxes of their followers.

An inbox that answers 410, 404 or with a redirect no longer reaches the followers behind it. The answer says nothing
about the followers themselves: one shared inbox may stand for thousands. So delivery only records the missing inbox.
The next planning that meets it loads the followers' own documents, unless a fresh copy is cached:

- A follower that is gone for certain is removed.
- A follower with another inbox is reached there. The new inbox is stored if it is on the actor's own origin.
- A follower that still names the missing inbox depends on its answer. After a 410, it gets nothing while the record
  lasts, which is a week. After any other answer it is tried again, and the record lasts a day.

A stranger may own many followers on a slow server, so that every other follower in the collection waits for their
look-ups. So each look-up gets little time. Without an answer in that time, it has failed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from attrs import evolve, frozen

from apcore.collections import Member, put_member, remove_member
from apcore.effects import CallOutcome, Get, Op, Raised, gather
from apcore.federation.actors.profiles import Inboxes
from apcore.federation.outbox.host_records import MISSING_INBOXES, MissingInboxRecord
from apcore.federation.outbox.inbox_lookups import look_up_inboxes
from apcore.federation.outbox.records import DigestKey, encode_inboxes
from apcore.federation.relations.records import DELETED_ACTORS, ActorKey
from apcore.federation.site import Site
from apcore.federation.time_limits import FOLLOWER_LOOKUP_S, LOOKUPS_AT_ONCE
from apcore.http import Url, parse_url, same_origin
from apcore.ports import NO_CHANGE, Batch, Put
from apcore.remote import Gone

__all__ = ["InboxOwner", "find_current_inbox", "put_missing_inbox"]

_GONE_KEPT_S: Final = 7 * 86400.0
_MOVED_KEPT_S: Final = 86400.0
_LOG: Final = logging.getLogger(__name__)


@frozen
class InboxOwner:
    """A recipient, with the inbox that reaches it."""

    actor: str
    inboxes: Inboxes
    url: Url
    """The one of the two inboxes that is used."""
    follows: str | None = None
    """The managed collection that the recipient is a member of."""

    @property
    def is_cross_origin(self) -> bool:
        """Whether the inbox is on another origin than the actor."""
        return not same_origin(self.actor, str(self.url))


def find_current_inbox(site: Site, recipients: Sequence[InboxOwner]) -> Op[tuple[list[InboxOwner], Batch]]:
    """Return the recipients that can be reached, with their current inboxes, and the changes to collections.

    Asks for: two `Get`s; for followers behind a missing inbox their documents, as `look_up_inboxes`, and one `Get`
    each.
    """
    present, batch = yield from _without_deleted(recipients)
    addresses = list(dict.fromkeys(str(recipient.url) for recipient in present))
    entries = (
        (yield from Get([MISSING_INBOXES.key(DigestKey.of(address)) for address in addresses])) if addresses else ()
    )
    gone_by_address = {
        address: MISSING_INBOXES.read(entry).record.is_gone
        for address, entry in zip(addresses, entries, strict=True)
        if entry is not None
    }
    reachable: list[InboxOwner] = []
    displaced: list[InboxOwner] = []
    for recipient in present:
        is_gone = gone_by_address.get(str(recipient.url))
        if is_gone is not None and recipient.follows:
            displaced.append(recipient)
        elif not is_gone:
            reachable.append(recipient)
    lookups = [look_up_inboxes(site, follower.actor, within_s=FOLLOWER_LOOKUP_S) for follower in displaced]
    outcomes = yield from gather(*lookups, limit=LOOKUPS_AT_ONCE)
    for follower, outcome in zip(displaced, outcomes, strict=True):
        current = _current(follower, outcome, is_gone=gone_by_address[str(follower.url)])
        if current is not None:
            reachable.append(current)
        batch += yield from _change(follower, current, outcome)
    return reachable, batch


def _without_deleted(recipients: Sequence[InboxOwner]) -> Op[tuple[list[InboxOwner], Batch]]:
    """Return the recipients without deleted followers, and the changes that remove those."""
    followers = [recipient for recipient in recipients if recipient.follows is not None]
    keys = [DELETED_ACTORS.key(ActorKey.of(follower.actor)) for follower in followers]
    entries = (yield from Get(keys)) if followers else ()
    deleted = {
        follower.actor: follower.follows
        for follower, entry in zip(followers, entries, strict=True)
        if entry is not None
    }
    batch = NO_CHANGE
    for actor, collection in deleted.items():
        _LOG.info("removing %s from %s: the actor has deleted itself", actor, collection)
        if collection is not None:
            batch += yield from remove_member(collection, actor)
    remaining = [recipient for recipient in recipients if recipient.follows is None or recipient.actor not in deleted]
    return remaining, batch


def put_missing_inbox(inbox: str, *, gone: bool) -> Put:
    """Return the write that records a missing inbox; ``gone`` if it answered 410."""
    record = MissingInboxRecord(inbox=inbox, is_gone=gone)
    return MISSING_INBOXES.put(DigestKey.of(inbox), record, ttl_s=_GONE_KEPT_S if gone else _MOVED_KEPT_S)


def _current(follower: InboxOwner, outcome: CallOutcome[Inboxes], *, is_gone: bool) -> InboxOwner | None:
    """Return a follower behind a missing inbox with its current inbox; None if it cannot be reached.

    ``is_gone`` tells whether the missing inbox answered 410.
    """
    if isinstance(outcome, Raised):
        return None if is_gone or isinstance(outcome.error, Gone) else follower
    inboxes = outcome.value
    url = parse_url(inboxes.shared or inboxes.inbox)
    if url == follower.url:
        return None if is_gone else follower
    return evolve(follower, inboxes=inboxes, url=url)


def _change(follower: InboxOwner, current: InboxOwner | None, outcome: CallOutcome[Inboxes]) -> Op[Batch]:
    """Return the change that removes a follower that is gone, or stores its new inbox."""
    if follower.follows is None:
        return NO_CHANGE
    if isinstance(outcome, Raised) and isinstance(outcome.error, Gone):
        _LOG.info("removing %s from %s: the actor is gone", follower.actor, follower.follows)
        return (yield from remove_member(follower.follows, follower.actor))
    if current is None or current.url == follower.url or current.is_cross_origin:
        return NO_CHANGE
    item = encode_inboxes(current.inboxes)
    batch = yield from put_member(follower.follows, Member(follower.actor, item), order="")
    # A check for an absent key means that the follower has left meanwhile. It must not be added again.
    return NO_CHANGE if any(check.version is None for check in batch.checks) else batch
