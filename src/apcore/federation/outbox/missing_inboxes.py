"""Inboxes that are not there any more, and who is behind them.

An inbox that answers 410, 404 or with a redirect is no longer where a follower is reached, and says nothing about the followers behind it: one shared
inbox may stand for thousands. So it is only noted. The next planning that comes upon it asks the followers' own documents, as far as they are not kept
fresh:

- who is gone for certain is not a follower any more;
- who has another inbox by now is reached there, and that is kept, if it is where the actor is;
- who still names this one gets nothing while the note stands, if it said 410 (a week), and is tried again, if it said less (the note stands for a day).

A stranger with many followers at a server of theirs can have all of those asked about, and let none be answered, while whoever comes after them in the
collection waits. So little time is given to it; who does not answer in time has not answered.

Facts: ``("lost-inbox", "1", H(inbox))``, and whether it said 410.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Final

from attrs import evolve, frozen

from apcore.collections import Member, MembershipChange, put_member, remove_member
from apcore.effects import CallOutcome, Get, Op, Raised, gather
from apcore.federation.actors.profiles import Inboxes
from apcore.federation.follow_relations import gone_key
from apcore.federation.outbox.inbox_lookups import look_up_inboxes
from apcore.federation.site import Site
from apcore.http import Url, parse_url, same_origin
from apcore.ports import Put, StoreKey, digest_part
from apcore.records.format import decode_record, encode_record
from apcore.remote import Gone

__all__ = ["InboxOwner", "find_current_inbox", "lost_inbox"]

_GONE_KEPT_S: Final = 7 * 86400.0
_MOVED_KEPT_S: Final = 86400.0
_AT_ONCE: Final = 4
_ASKED_S: Final = 4.0
"""For each who is asked: 20 s for a step of planning."""
_LOG: Final = logging.getLogger(__name__)


@frozen
class InboxOwner:
    """A recipient, and where it is reached."""

    actor: str
    inboxes: Inboxes
    url: Url
    """The one of the two inboxes that is used."""
    follows: str | None = None
    """The managed collection that the recipient was found in."""

    @property
    def is_cross_origin(self) -> bool:
        """Whether the inbox is on another origin than the actor."""
        return not same_origin(self.actor, str(self.url))


def find_current_inbox(site: Site, found: Sequence[InboxOwner]) -> Op[tuple[list[InboxOwner], list[MembershipChange]]]:
    """Give who of ``found`` is reached, and where; and what changes about followers who are not reached where they were.

    Asks for: two `Get`s; for followers behind a lost inbox their documents, as `look_up_inboxes`, and one `Get` each.
    """
    present, changes = yield from _not_deleted(found)
    addresses = list(dict.fromkeys(str(each.url) for each in present))
    entries = (yield from Get([_key(address) for address in addresses])) if addresses else ()
    lost = {
        address: bool(decode_record(entry.value).number("gone"))
        for address, entry in zip(addresses, entries, strict=True)
        if entry is not None
    }
    reached = [each for each in present if str(each.url) not in lost or (not each.follows and not lost[str(each.url)])]
    asked = [each for each in present if str(each.url) in lost and each.follows]
    lookups = [look_up_inboxes(site, each.actor, within_s=_ASKED_S) for each in asked]
    outcomes = yield from gather(*lookups, limit=_AT_ONCE)
    for each, outcome in zip(asked, outcomes, strict=True):
        new = _reached_at(each, outcome, gone=lost[str(each.url)])
        if new is not None:
            reached.append(new)
        change = yield from _change(each, new, outcome)
        if change is not None:
            changes.append(change)
    return reached, changes


def _not_deleted(found: Sequence[InboxOwner]) -> Op[tuple[list[InboxOwner], list[MembershipChange]]]:
    """Return the recipients without followers that have deleted themselves, and the changes that take those out."""
    followers = [recipient for recipient in found if recipient.follows is not None]
    entries = (yield from Get([gone_key(follower.actor) for follower in followers])) if followers else ()
    deleted = {
        follower.actor: follower.follows
        for follower, entry in zip(followers, entries, strict=True)
        if entry is not None
    }
    changes: list[MembershipChange] = []
    for actor, collection in deleted.items():
        _LOG.info("%s is deleted, and follows %s no more", actor, collection)
        change = None if collection is None else (yield from remove_member(collection, actor))
        if change is not None:
            changes.append(change)
    return [recipient for recipient in found if recipient.follows is None or recipient.actor not in deleted], changes


def lost_inbox(inbox: str, *, gone: bool) -> Put:
    """Give the write that notes that an inbox is not there."""
    return Put(_key(inbox), encode_record({"inbox": inbox, "gone": int(gone)}), _GONE_KEPT_S if gone else _MOVED_KEPT_S)


def _key(inbox: str) -> StoreKey:
    return ("lost-inbox", "1", digest_part(inbox))


def _reached_at(each: InboxOwner, outcome: CallOutcome[Inboxes], *, gone: bool) -> InboxOwner | None:
    """Give where a follower is reached who was reached at a lost inbox; None for nowhere."""
    if isinstance(outcome, Raised):
        return None if gone or isinstance(outcome.error, Gone) else each
    inboxes = outcome.value
    url = parse_url(inboxes.shared or inboxes.inbox)
    if url == each.url:
        return None if gone else each
    return evolve(each, inboxes=inboxes, url=url)


def _change(each: InboxOwner, new: InboxOwner | None, outcome: CallOutcome[Inboxes]) -> Op[MembershipChange | None]:
    if each.follows is None:
        return None
    if isinstance(outcome, Raised) and isinstance(outcome.error, Gone):
        _LOG.info("%s is gone, and follows %s no more", each.actor, each.follows)
        return (yield from remove_member(each.follows, each.actor))
    if new is None or new.url == each.url or new.is_cross_origin:
        return None
    kept = json.dumps({"inbox": new.inboxes.inbox, "shared": new.inboxes.shared}).encode()
    change = yield from put_member(each.follows, Member(each.actor, kept), order="")
    # Who has left meanwhile is not brought back.
    return None if change is None or any(check.version is None for check in change.checks) else change
