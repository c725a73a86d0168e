"""Claim activities that were not delivered, but found in a collection of their origin.

Such an activity has a claim of its own, in place of an inbox. It counts as received at every inbox of the origin, so a
later delivery is not new: every delivery checks that this claim is absent. If a delivery was faster, the found activity
is dropped when its turn comes. So each listener runs once, whichever of the two comes first, without another write for
deliveries.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve

from apcore.effects import Get, Op, Scan
from apcore.federation.inbox.evidence import Authenticated
from apcore.federation.inbox.receipts import ANY_INBOX, POLLED, new_claim, receipt_of
from apcore.federation.inbox.records import CLAIMS, UNDONE_ACTIVITIES, ClaimKey, UndoneActivityKey
from apcore.federation.site import Site
from apcore.ports import Batch, digest_part

__all__ = ["is_delivered", "polled_claim"]

_NOT_INBOXES: Final = frozenset(map(digest_part, (ANY_INBOX, POLLED)))
_CLAIMS_MAX: Final = len(_NOT_INBOXES) + 1
"""Of so many claims of one activity, at least one is that of an inbox."""


def polled_claim(site: Site, authenticated: Authenticated, *, silenced: bool) -> Op[tuple[ClaimKey, Batch] | None]:
    """Return the part of a commit that stores an activity found in a collection of its origin.

    The result is None if the activity was received before, or if its actor has undone it.

    Effects: one `Scan`, one `Get`, `Now` and two `RandomBytes`.
    """
    receipt = yield from receipt_of(site, authenticated, None, silenced=silenced, received=None)
    if (yield from Scan(CLAIMS.at(*receipt.key[:-1]), limit=1)):
        return None
    undone_key = UndoneActivityKey.of(authenticated.actor, authenticated.id, site.origin)
    [undone_entry] = yield from Get((UNDONE_ACTIVITIES.key(undone_key),))
    if undone_entry is not None:
        return None
    key = receipt.polled_key
    record = evolve(receipt.record, is_polled=True)
    return key, new_claim(key, record, receipt.message_id) + receipt.origin_claim + receipt.undo_mark


def is_delivered(key: ClaimKey) -> Op[bool]:
    """Return whether an activity that was found in a collection was delivered to an inbox before that.

    A delivery after that is no new activity, so the answer never changes. Effects: one `Scan`.
    """
    entries = yield from Scan(CLAIMS.at(*key[:-1]), limit=_CLAIMS_MAX)
    return any(CLAIMS.parts_of(entry.key).inbox not in _NOT_INBOXES for entry in entries)
