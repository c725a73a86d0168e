"""Plan deliveries: turn one sending into one delivery for each inbox that it has to reach.

A sending is planned in steps of up to 20 recipients, or as many members of a collection. Each step is one commit, which
also moves the cursor, so a repeated step changes nothing. Many recipients share an inbox, and it gets one delivery.
Within a step, the inboxes are compared. Over several steps, a marker records each planned inbox. Without markers, the
inbox would get the activity once for each step that meets it.

An inbox that only actors of other origins name is aimed at (`apcore.federation.outbox.circuit`). An inbox that an actor
of its own origin names is not, whichever actor is met first. If its delivery is in the aimed backlog already, it is
moved to the normal one.

Sendings about one object are planned one after another, as one group of the queue, so that a Delete is not planned
before its Create. A sending leaves the group when the only recipients left are those whose inboxes cannot be found now.
Later sendings need not wait for those. Their inboxes are looked up again when the pauses of the failed look-ups end
(`apcore.federation.outbox.inbox_lookups`), for as long as a delivery would be retried.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Container, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import evolve, field, frozen

from apcore.collections import PageItems, members_page
from apcore.effects import Get, Now, Op, Raised, RandomBytes, Settle, commit, commit_batch, gather
from apcore.errors import ContractError, RequestError, Unavailable
from apcore.federation.actors.profiles import ActorUnknown, Inboxes, dispatch_actor, require_actor
from apcore.federation.moderation import Severity
from apcore.federation.outbox.circuit import backlog_of
from apcore.federation.outbox.deliver import deliver_message
from apcore.federation.outbox.inbox_lookups import InboxUnknown, look_up_inboxes
from apcore.federation.outbox.local_delivery import deliver_locally
from apcore.federation.outbox.missing_inboxes import InboxOwner, find_current_inbox
from apcore.federation.outbox.pending_writes import send_message
from apcore.federation.outbox.records import (
    DELIVERIES,
    PLANNED_INBOXES,
    SENDINGS,
    SENT_ACTIVITIES,
    DeliveryKey,
    DeliveryRecord,
    PlannedInboxKey,
    PlannedInboxRecord,
    SendingKey,
    SendingRecord,
)
from apcore.federation.routes import RouteMatch
from apcore.federation.site import Site
from apcore.federation.time_limits import LOOKUP_S, LOOKUPS_AT_ONCE, PLAN_RECIPIENTS_MAX
from apcore.federation.wake_ups import read_wake
from apcore.http import Url, parse_url
from apcore.ports import Batch, Done, LeasedMessage, Put, Retry, Settlement
from apcore.records import Stored, defer
from apcore.records.format import decode_record, to_epoch_ms
from apcore.vocab import Document, View

__all__ = ["STEPS_MAX", "plan"]

STEPS_MAX: Final = 100_000
"""The steps of one sending, enough for two million members. It ends an application's collection with endless pages."""
_DEPOSIT_BYTES_MAX: Final = 4 * 1024 * 1024
"""The copies for our own actors in one step: each gets one, and a commit holds 8 MiB."""
_LOG: Final = logging.getLogger("apcore.delivery")


@frozen
class _FailedLookup:
    """A recipient whose inbox cannot be found now."""

    uri: str
    attempts: int
    """The number of look-ups that this sending has made."""
    wait_s: float


@frozen
class _Recipients:
    """The recipients of a step, by the way they are reached."""

    remote: Sequence[InboxOwner] = ()
    local: Sequence[str] = ()
    """Recipients of our own origin: the commit of the step delivers to them."""
    failed_lookups: Sequence[_FailedLookup] = ()


@frozen
class _Step:
    """The recipients of one step of planning, and the place where the next step begins."""

    recipients: _Recipients
    remaining: tuple[str, ...]
    """The addresses for the next steps. A collection that is partly read is the first of them."""
    cursor: str | None = None
    skip: int = 0
    """The number of items of the page at the cursor that are planned already."""


@frozen
class _Sending:
    """A sending as it is stored."""

    leased: LeasedMessage
    stored: Stored[SendingRecord, SendingKey]
    size: int = field(kw_only=True)
    """The number of recipients in a step."""

    @property
    def name(self) -> str:
        return self.stored.key.name

    @property
    def record(self) -> SendingRecord:
        return self.stored.record


def plan(site: Site, leased: LeasedMessage) -> Op[None]:
    """Plan one step of a sending: up to 20 recipients, or as many members of a collection.

    Asks for: one `Get`; one `Scan` for a managed collection, or the handler of another one; the recipients' documents
    (see `load`) where their inboxes are not cached; the handlers of our own actors; one commit.
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
        reason = "the activity is not stored any more" if sent is None else f"the limit is {STEPS_MAX}"
        _LOG.error("gave up on planning %s after %d steps: %s", record.activity_id, record.steps, reason)
        _ = yield from commit((stored.check,), (stored.deletion,), settles=(Done(leased),))
        return
    size = max(1, min(PLAN_RECIPIENTS_MAX, _DEPOSIT_BYTES_MAX // len(sent.value)))
    sending = _Sending(leased, stored, size=size)
    place = site.federation.places.read(site.origin, record.recipients[0])
    if place is None or place.target.kind != "collection":
        step = yield from _plan_addresses(site, sending)
    elif place.target.handler is None:
        step = yield from _plan_members(site, sending)
    else:
        step = yield from _plan_dispatched(site, sending, place)
    yield from _commit_step(site, sending, step)


# --- recipients -----------------------------------------------------------------------------------------------------


def _plan_addresses(site: Site, sending: _Sending) -> Op[_Step]:
    to = sending.record.recipients
    # The step ends before the first collection, which gets steps of its own.
    places = [site.federation.places.read(site.origin, uri) for uri in to[: sending.size]]
    size = next((n for n, place in enumerate(places) if place and place.target.kind == "collection"), len(places))
    recipients = yield from _find_recipients(
        site, sending, [(uri, None) for uri in to[:size]], direct=sending.record.direct
    )
    return _Step(recipients, to[size:])


def _plan_members(site: Site, sending: _Sending) -> Op[_Step]:
    to, cursor = sending.record.recipients, sending.record.cursor
    page = yield from members_page(to[0], cursor=cursor, limit=sending.size, oldest_first=True)
    members = [(member.id, _stored_inboxes(member.item)) for member in page.items]
    recipients = yield from _find_recipients(site, sending, members, follows=to[0])
    return _Step(recipients, to if page.next else to[1:], cursor=page.next)


def _plan_dispatched(site: Site, sending: _Sending, place: RouteMatch) -> Op[_Step]:
    """Plan the next items of an application's collection. Its pages may be longer than a step."""
    to, cursor, skip = sending.record.recipients, sending.record.cursor, sending.record.skip
    handler = place.target.handler
    page: PageItems | None = (
        None if handler is None else (yield from dispatch_actor(site, handler, place.identifier, cursor))
    )
    items = () if page is None else page.items
    uris = [(_id_of(item), None) for item in items[skip : skip + sending.size]]
    recipients = yield from _find_recipients(site, sending, uris)
    if skip + sending.size < len(items):
        return _Step(recipients, to, cursor=cursor, skip=skip + sending.size)
    next_cursor = None if page is None else page.next
    return _Step(recipients, to if next_cursor is not None else to[1:], cursor=next_cursor)


def _id_of(item: Any) -> str:
    if isinstance(item, View):
        item = item.document
    ident = item.id if isinstance(item, Document) else item
    if not isinstance(ident, str):
        raise ContractError(
            f"the handler of a collection that is sent to returned {ident!r:.60}: return ids, or actors with an id"
        )
    return ident


def _stored_inboxes(item: bytes) -> Inboxes | None:
    """Read the inboxes that are stored with a follower. A member that the application added has none."""
    members: dict[str, Any] = json.loads(item) if item else {}
    inbox = members.get("inbox")
    return Inboxes(inbox, members.get("shared")) if inbox else None


def _find_recipients(
    site: Site,
    sending: _Sending,
    addressees: Sequence[tuple[str, Inboxes | None]],
    *,
    direct: Container[str] = (),
    follows: str | None = None,
) -> Op[_Recipients]:
    """Find the inboxes of ``addressees``, each an actor's id with its inboxes if they are stored.

    Those in ``direct`` are reached at their own inbox, never at a shared one. ``follows`` is the managed collection
    that the addressees are members of.
    """
    local: dict[str, str] = {}
    inboxes: list[tuple[str, Inboxes]] = []
    unresolved_uris: list[str] = []
    sender = site.identifier_of(sending.record.actor)
    for uri, stored_inboxes in addressees:
        url = _parse_address(uri)
        if url is None or site.federation.domain_rules.verdict(url.origin.host) is Severity.SUSPEND:
            continue
        if url.origin == site.origin:
            identifier = site.identifier_of(uri)
            if identifier is not None and identifier != sender:
                local[identifier] = uri
        elif stored_inboxes is not None:
            inboxes.append((uri, stored_inboxes))
        else:
            unresolved_uris.append(uri)
    for identifier in list(local):
        try:
            _ = yield from require_actor(site, identifier)
        except ActorUnknown:
            del local[identifier]
    lookups = [look_up_inboxes(site, uri, within_s=LOOKUP_S) for uri in unresolved_uris]
    outcomes = yield from gather(*lookups, limit=LOOKUPS_AT_ONCE)
    failed_lookups: list[_FailedLookup] = []
    for uri, outcome in zip(unresolved_uris, outcomes, strict=True):
        if not isinstance(outcome, Raised):
            inboxes.append((uri, Inboxes(outcome.value.inbox) if uri in direct else outcome.value))
        elif isinstance(outcome.error, Unavailable) and outcome.error.retryable:
            lookup = _failed_lookup(site, sending, uri, outcome.error, now=(yield from Now()))
            failed_lookups += [] if lookup is None else [lookup]
        else:
            _LOG.info("no delivery to %s: %s", uri, outcome.error)
    urls = [_parse_address(actor_inboxes.shared or actor_inboxes.inbox) for _, actor_inboxes in inboxes]
    remote = [
        InboxOwner(uri, actor_inboxes, url, follows)
        for (uri, actor_inboxes), url in zip(inboxes, urls, strict=True)
        if url is not None and _is_deliverable(site, url)
    ]
    return _Recipients(remote, list(local.values()), failed_lookups)


def _failed_lookup(
    site: Site, sending: _Sending, uri: str, error: Unavailable, *, now: datetime
) -> _FailedLookup | None:
    """Return when to look up a recipient again; None to give it up.

    A recipient is given up only if it, or its host, did not answer when this sending was too old already. The look-up
    may have been made for another sending.
    """
    tried, is_charged = (error.tried, error.is_charged) if isinstance(error, InboxUnknown) else (now, True)
    attempts = sending.record.lookups.get(uri, 0) + (1 if is_charged else 0)
    age_s = 0.0 if tried is None else (tried - sending.record.created).total_seconds()
    wait_s = site.federation.delivery_retries.delay_s(max(attempts, 1), age_s=max(age_s, 0.0), chance=1.0)
    if wait_s is None:
        _LOG.warning("gave up on finding the inbox of %s: %s", uri, error)
        return None
    return _FailedLookup(uri, attempts, wait_s if error.retry_after_s is None else error.retry_after_s)


def _is_deliverable(site: Site, url: Url) -> bool:
    """Return whether an inbox is on another origin than ours, and on no suspended domain."""
    return url.origin != site.origin and site.federation.domain_rules.verdict(url.origin.host) is not Severity.SUSPEND


def _parse_address(uri: str) -> Url | None:
    try:
        return parse_url(uri)
    except RequestError as error:
        _LOG.info("no delivery to %.200s: %s", uri, error)
        return None


# --- commit ---------------------------------------------------------------------------------------------------------


def _commit_step(site: Site, sending: _Sending, step: _Step) -> Op[None]:
    """Commit the deliveries of a step together with its progress, so that a crash neither loses nor repeats any."""
    record = sending.record
    now = yield from Now()
    batch = Batch([sending.stored.check])
    reachable, changes = yield from find_current_inbox(site, step.recipients.remote)
    # An actor may have moved to an inbox of ours, or of a suspended domain.
    deliverable = [owner for owner in reachable if _is_deliverable(site, owner.url)]
    inboxes, deliveries_to_move = yield from _not_yet_planned(site, sending, deliverable)
    batch += changes
    for inbox, owner in inboxes.items():
        key = DeliveryKey.of(_backlog(site, owner), record.order, sending.name, inbox)
        aimed_delivery = deliveries_to_move.get(inbox)
        if aimed_delivery is None:
            delivery = DeliveryRecord(inbox=inbox, created=now, origin=str(site.origin), line=record.line)
            batch += Batch(writes=[DELIVERIES.put(key, delivery)])
        else:
            # A delivery moves between backlogs only if no worker has changed it since it was read.
            moved = DELIVERIES.put(key, aimed_delivery.record)
            batch += Batch([aimed_delivery.check], [moved, aimed_delivery.deletion])
    for backlog in dict.fromkeys(_backlog(site, owner) for owner in inboxes.values()):
        ident = yield from RandomBytes(16)
        batch += Batch(messages=[deliver_message(backlog, ident, by=site.origin)])
    for uri in step.recipients.local:
        sent = decode_record(sending.stored.entry.value)
        batch += yield from deliver_locally(site, sent, uri, name=sending.name)
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
    for uri in step.recipients.local:
        _LOG.info("delivered %s to %s on this server", record.activity_id, uri)


def _not_yet_planned(
    site: Site, sending: _Sending, recipients: Sequence[InboxOwner]
) -> Op[tuple[dict[str, InboxOwner], dict[str, Stored[DeliveryRecord, DeliveryKey]]]]:
    """Return the inboxes that need a delivery, each once with one of its owners, and the aimed deliveries to move.

    Asks for: nothing in the first step, then one `Get`, and one more for deliveries that may have to be moved.
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


def _aimed_key(site: Site, sending: _Sending, owner: InboxOwner) -> DeliveryKey:
    """Return the key that the delivery to an inbox has in the aimed backlog."""
    backlog = backlog_of(owner.url.origin, by=site.origin, aimed=True)
    return DeliveryKey.of(backlog, sending.record.order, sending.name, str(owner.url))


def _progress(site: Site, sending: _Sending, step: _Step) -> Op[tuple[Batch, Settlement]]:
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
