"""Plan deliveries: turn one sending into one delivery for each inbox that it has to reach.

A sending is planned in steps. A step has up to 20 recipients, which may be members of one collection. It is one commit,
which also moves the cursor, so a repeated step changes nothing. Many recipients share an inbox, and it gets one
delivery. Within a step, the inboxes are compared. Over several steps, a marker records each planned inbox. Without
markers, an inbox would get the activity once for each step that meets it.

An inbox that only actors of other origins name is aimed at (`apcore.federation.outbox.circuit`). An inbox that an actor
of its own origin names is not, whichever actor is met first. If its delivery is in the aimed backlog already, it is
moved to the normal one.

Sendings about one object are planned one after another, as one group of the queue, so that a Delete is not planned
before its Create. A sending leaves the group when the only recipients left are those whose inboxes cannot be found now.
Later sendings need not wait for those. Their inboxes are looked up again when the pauses of the failed look-ups end
(`apcore.federation.outbox.inbox_lookups`), for as long as a delivery would be retried.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from attrs import evolve

from apcore.effects import Get, Now, Op, RandomBytes, Settle, commit_batch
from apcore.errors import Unavailable
from apcore.federation.followers_sync import make_digests
from apcore.federation.inbox.receipts import claim_key, new_claim
from apcore.federation.inbox.records import CLAIMS, ReceivedActivityRecord
from apcore.federation.outbox.circuit import backlog_of
from apcore.federation.outbox.delivery_records import DELIVERIES, DeliveryKey, DeliveryRecord
from apcore.federation.outbox.document_signing import sign_document
from apcore.federation.outbox.failed_planning import give_up_planning, record_failed_step
from apcore.federation.outbox.missing_inboxes import InboxOwner, find_current_inbox
from apcore.federation.outbox.pending_writes import send_message
from apcore.federation.outbox.recipients import PlanStep, Sending, find_step, keep_deliverable
from apcore.federation.outbox.records import (
    PLANNED_INBOXES,
    SENDINGS,
    SENT_ACTIVITIES,
    PlannedInboxKey,
    PlannedInboxRecord,
    SendingRecord,
    SentRecord,
)
from apcore.federation.site import Site
from apcore.federation.time_limits import PLAN_RECIPIENTS_MAX
from apcore.federation.wake_ups import deliver_message, read_wake
from apcore.ports import NO_CHANGE, Batch, Done, LeasedMessage, Put, Retry, Settlement
from apcore.records import Stored, defer
from apcore.records.format import to_epoch_ms
from apcore.vocab import Activity, read_document

__all__ = ["STEPS_MAX", "plan"]

STEPS_MAX: Final = 100_000
"""The most steps of one sending, enough for two million members. Without a limit, an application's collection with
endless pages would be planned for ever."""
_LOCAL_COPIES_BYTES_MAX: Final = 4 * 1024 * 1024
"""The most bytes that a step copies to our own actors. Each of them gets a copy, and a commit holds 8 MiB."""
_SIGNER_PAUSE_S: Final = 30.0
"""The pause before an activity is signed, if the signer does not answer now."""
_LOG: Final = logging.getLogger("apcore.delivery")


def plan(site: Site, leased: LeasedMessage) -> Op[None]:
    """Plan one step of a sending: up to 20 recipients, or up to 20 members of a collection.

    Asks for: one `Get`; in the first step as `sign_document`; as `find_step` and `find_current_inbox`; one commit.
    """
    key = read_wake(leased.message).key
    [entry, sent] = yield from Get((key, SENT_ACTIVITIES.key(SENDINGS.parts_of(key))))
    if entry is None:
        _ = yield from Settle((Done(leased),))
        return
    stored = SENDINGS.read(entry)
    record = stored.record
    due_in_s = record.due_in_s((yield from Now()))
    if due_in_s is not None:
        _ = yield from Settle((Retry(leased, due_in_s),))
        return
    if sent is None or record.steps >= STEPS_MAX:
        reason = "the activity is not stored any more" if sent is None else f"the limit is {STEPS_MAX} steps"
        yield from give_up_planning(site, leased, stored, reason)
        return
    stored_activity = SENT_ACTIVITIES.read(sent)
    try:
        activity = yield from _signed_activity(site, record, stored_activity.record)
    except Unavailable as error:
        _LOG.warning("signing %s is tried again later: %s", record.activity_id, error)
        _ = yield from Settle((Retry(leased, error.retry_after_s or _SIGNER_PAUSE_S),))
        return
    size = max(1, min(PLAN_RECIPIENTS_MAX, _LOCAL_COPIES_BYTES_MAX // len(activity.body)))
    sending = Sending(leased, stored, activity, size=size)
    try:
        step = yield from find_step(site, sending)
    except Unavailable:
        raise  # a port failed, and not the application
    except Exception as error:
        _LOG.exception("the recipients of %s cannot be read", record.activity_id)
        yield from record_failed_step(site, leased, stored, error)
        return
    yield from _commit_step(site, sending, step)


def _signed_activity(site: Site, record: SendingRecord, activity: SentRecord) -> Op[SentRecord]:
    """Sign an activity in the first step. The commit of that step stores it, so no inbox gets it in two versions.

    A forwarded activity stays as it is.
    """
    if record.steps or record.sources:
        return activity
    return evolve(activity, body=(yield from sign_document(site, activity)))


def _commit_step(site: Site, sending: Sending, step: PlanStep) -> Op[None]:
    """Commit the deliveries of a step together with its progress, so that a crash neither loses nor repeats any."""
    record = sending.record
    now = yield from Now()
    batch = Batch([sending.stored.check])
    if not record.steps:
        batch += Batch(writes=[SENT_ACTIVITIES.put(sending.stored.key, sending.activity)])
        batch += yield from make_digests(site, sending.stored.key, record, sending.activity.body)
    reachable, changes = yield from find_current_inbox(site, step.recipients.remote)
    # An actor may have its inbox on a suspended domain, or have moved to one of ours.
    deliverable = [
        owner for owner in (yield from keep_deliverable(site, reachable)) if str(owner.url.origin) not in record.sources
    ]
    inboxes, deliveries_to_move = yield from _find_unplanned(site, sending, deliverable)
    batch += changes
    for inbox, owner in inboxes.items():
        key = DeliveryKey.of(_backlog(site, owner), record.order, sending.name, inbox)
        aimed_delivery = deliveries_to_move.get(inbox)
        if aimed_delivery is None:
            delivery = DeliveryRecord(
                inbox=inbox, created=now, origin=str(site.origin), actor=record.actor, line=record.line
            )
            batch += Batch(writes=[DELIVERIES.put(key, delivery)])
        else:
            # A delivery moves between backlogs only if no worker has changed it since it was read.
            moved = DELIVERIES.put(key, aimed_delivery.record)
            batch += Batch([aimed_delivery.check], [moved, aimed_delivery.deletion])
    backlogs = list(dict.fromkeys(_backlog(site, owner) for owner in inboxes.values()))
    idents = (yield from RandomBytes(16 * len(backlogs))) if backlogs else b""
    for number, backlog in enumerate(backlogs):
        ident = idents[16 * number : 16 * number + 16]
        batch += Batch(messages=[deliver_message(backlog, ident, by=site.origin)])
    # A forwarded activity was processed at this origin when it arrived.
    local_uris = () if record.sources else step.recipients.local
    for uri in local_uris:
        batch += yield from _deliver_locally(site, sending, uri, batch)
    progress, settlement = yield from _progress(site, sending, step)
    batch += progress
    if any(isinstance(write, Put) for write in progress.writes):
        # A later step may meet the same inboxes. After the last step, no marker is needed.
        batch += Batch(
            writes=[
                PLANNED_INBOXES.put(
                    PlannedInboxKey.of(sending.name, inbox), PlannedInboxRecord(is_aimed=owner.is_cross_origin)
                )
                for inbox, owner in inboxes.items()
            ]
        )
    if (yield from commit_batch(batch, settles=(settlement,))) is False:
        _ = yield from Settle((Retry(sending.leased, 0.0),))
        return
    for uri in local_uris:
        _LOG.info("delivered %s to %s on this server", record.activity_id, uri)


def _deliver_locally(site: Site, sending: Sending, recipient: str, batch: Batch) -> Op[Batch]:
    """Return the part of a commit that puts an activity of one local actor into the inbox of ``recipient``.

    Nothing has to be proved, because this server wrote the activity. If ``batch`` has the activity already, for another
    recipient at which it counts as the same, the part is empty. Asks for: one `Get`, two `RandomBytes`.
    """
    record = sending.record
    identifier = site.identifier_of(recipient) or ""
    body = sending.activity.body
    activity = Activity.over(read_document(body, origin=site.origin))
    key = claim_key(site, activity, record.activity_id, record.actor, identifier)
    [claim_entry] = yield from Get((CLAIMS.key(key),))
    if claim_entry is not None or CLAIMS.absent(key) in batch.checks:
        return NO_CHANGE
    message_id = yield from RandomBytes(16)
    seed = yield from RandomBytes(16)
    received = ReceivedActivityRecord(
        origin=str(site.origin),
        actor=record.actor,
        activity_id=record.activity_id,
        recipient=identifier,
        received=record.created,
        seed=seed.hex(),
        body=body,
    )
    return new_claim(key, received, message_id)


def _find_unplanned(
    site: Site, sending: Sending, recipients: Sequence[InboxOwner]
) -> Op[tuple[dict[str, InboxOwner], dict[str, Stored[DeliveryRecord, DeliveryKey]]]]:
    """Return the inboxes that need a delivery, each once with one of its owners, and the aimed deliveries to move.

    Asks for: nothing in the first step; in later ones a `Get`, and one more for deliveries that may have to be moved.
    """
    # Owners on the inbox's own origin come last, so that they win: such an inbox is not aimed at.
    ordered = sorted(recipients, key=lambda owner: not owner.is_cross_origin)
    inboxes = {str(owner.url): owner for owner in ordered}
    if not inboxes or not sending.record.steps:
        return inboxes, {}
    keys = [PLANNED_INBOXES.key(PlannedInboxKey.of(sending.name, inbox)) for inbox in inboxes]
    markers = {
        inbox: PLANNED_INBOXES.read(entry).record
        for inbox, entry in zip(inboxes, (yield from Get(keys)), strict=True)
        if entry is not None
    }
    # Without this move, the first stranger to name a peer's inbox would put all actors there into the slow backlog.
    same_origin_inboxes = [
        inbox for inbox, marker in markers.items() if marker.is_aimed and not inboxes[inbox].is_cross_origin
    ]
    aimed_keys = [DELIVERIES.key(_aimed_key(site, sending, inboxes[inbox])) for inbox in same_origin_inboxes]
    aimed_entries = (yield from Get(aimed_keys)) if aimed_keys else ()
    # A delivery that is not in the backlog any more was made, or tried at least, and is not repeated.
    to_move = {
        inbox: DELIVERIES.read(entry)
        for inbox, entry in zip(same_origin_inboxes, aimed_entries, strict=True)
        if entry is not None
    }
    unplanned = {inbox: owner for inbox, owner in inboxes.items() if inbox in to_move or inbox not in markers}
    return unplanned, to_move


def _backlog(site: Site, owner: InboxOwner) -> str:
    return backlog_of(owner.url.origin, by=site.origin, aimed=owner.is_cross_origin)


def _aimed_key(site: Site, sending: Sending, owner: InboxOwner) -> DeliveryKey:
    """Return the key that the delivery to an inbox has in the aimed backlog."""
    backlog = backlog_of(owner.url.origin, by=site.origin, aimed=True)
    return DeliveryKey.of(backlog, sending.record.order, sending.name, str(owner.url))


def _progress(site: Site, sending: Sending, step: PlanStep) -> Op[tuple[Batch, Settlement]]:
    """Return the part of the commit that moves the sending on, and the settlement of its message.

    A sending is deleted when nothing remains. If only failed look-ups remain, it waits for them.
    """
    now = yield from Now()
    record, key, leased = sending.record, sending.stored.key, sending.leased
    failed_lookups = step.recipients.failed_lookups
    failed_uris = (*record.failed, *(lookup.uri for lookup in failed_lookups))
    # Recipients that this step did not look up keep the counts of earlier steps.
    attempts_by_uri = {**record.lookups, **{lookup.uri: lookup.attempts for lookup in failed_lookups}}
    dues = [to_epoch_ms(now) + int(lookup.wait_s * 1000) for lookup in failed_lookups]
    due_ms = min([*dues, *record.failed_due_ms], default=to_epoch_ms(now))
    if record.failures:  # failures are counted for each step, and only waiting for look-ups has a due time
        record = evolve(record, failures=0, due_ms=0, put_off_ms=0)
    record = evolve(record, steps=record.steps + 1, cursor=step.cursor, skip=step.skip, lookups=attempts_by_uri)
    if step.remaining:
        failed_due_ms = (due_ms,) if failed_uris else ()
        record = evolve(record, recipients=step.remaining, failed=failed_uris, failed_due_ms=failed_due_ms)
        return Batch(writes=[SENDINGS.put(key, record)]), Retry(leased, 0.0)
    if not failed_uris:
        return Batch(writes=[SENDINGS.delete(key)]), Done(leased)
    delay_s = max(0.0, (due_ms - to_epoch_ms(now)) / 1000)
    failed_attempts = {uri: attempts_by_uri[uri] for uri in failed_uris if attempts_by_uri.get(uri)}
    record = evolve(record, recipients=failed_uris, failed=(), failed_due_ms=(), lookups=failed_attempts)
    # The new message is not in the group of the object. So later sendings about the object do not wait for a recipient
    # that does not answer.
    name = yield from RandomBytes(16)
    message = evolve(send_message(sending.name, name, by=site.origin, about=None), delay_s=delay_s)
    return Batch(writes=[SENDINGS.put(key, defer(record, delay_s, now))], messages=[message]), Done(leased)
