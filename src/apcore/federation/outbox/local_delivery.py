"""Deliver an activity of one local actor to the inbox of another, without a request."""

from __future__ import annotations

from apcore.effects import Get, Op, RandomBytes
from apcore.federation.inbox.claims import new_claim
from apcore.federation.inbox.records import CLAIMS, ClaimKey, ReceivedActivityRecord
from apcore.federation.site import Site
from apcore.ports import NO_CHANGE, Batch
from apcore.records.format import Record, decode_record, from_epoch_ms

__all__ = ["deliver_locally"]


def deliver_locally(site: Site, sent: Record, recipient: str, *, name: str) -> Op[Batch]:
    """Return the part of a commit that puts an activity of one local actor into the inbox of ``recipient``.

    ``sent`` is the record of the activity, ``name`` its name in the store. Nothing has to be proved, because this
    server wrote the activity.

    Effects: one `Get` of two entries, two `RandomBytes`.
    """
    actor, activity_id = sent.text("actor"), sent.text("id")
    identifier = site.identifier_of(recipient) or ""
    key = ClaimKey.of(actor, activity_id, site.origin, identifier)
    [claim_entry, body] = yield from Get((CLAIMS.key(key), ("sent", "1", name)))
    if claim_entry is not None or body is None:
        return NO_CHANGE
    message_id = yield from RandomBytes(16)
    seed = yield from RandomBytes(16)
    record = ReceivedActivityRecord(
        origin=str(site.origin),
        actor=actor,
        activity_id=activity_id,
        recipient=identifier,
        received=from_epoch_ms(sent.number("created")),
        seed=seed.hex(),
        body=decode_record(body.value).body,
    )
    return new_claim(key, record, message_id)
