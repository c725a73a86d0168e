"""Enqueue lost work again.

The loss of the queue costs time and no data. All remaining work is in records of four kinds (received activities,
sendings, and deliveries that wait or were put off), and `reconcile` enqueues a message for each. It also enqueues a
message for each subscription that is due: an index by due time shows these alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias, TypeVar

from attrs import evolve

from apcore.effects import Enqueue, Get, Now, Op, RandomBytes, Scan
from apcore.errors import ContractError
from apcore.federation.actors.rotation import retire_due
from apcore.federation.inbox.receipts import inbox_message
from apcore.federation.inbox.records import RECEIVED_ACTIVITIES, ClaimKey, ReceivedActivityRecord
from apcore.federation.outbox.backlog import WaitingDelivery
from apcore.federation.outbox.circuit import circuit_key
from apcore.federation.outbox.delivery_records import DELIVERIES, RETRIES, DeliveryRecord
from apcore.federation.outbox.host_records import CIRCUITS
from apcore.federation.outbox.pending_writes import send_message
from apcore.federation.outbox.records import SENDINGS, SendingKey, SendingRecord
from apcore.federation.subscriptions.manage import poll_message
from apcore.federation.subscriptions.records import DUE_POLLS, SubscriptionKey, due_bound
from apcore.federation.wake_ups import deliver_message
from apcore.http import Origin, parse_origin
from apcore.ports import Entry, Message, StoreKey
from apcore.records import RecordKey, RecordKind, Stored, StoredRecord
from apcore.records.format import to_epoch_ms

__all__ = ["reconcile"]

_PAGE: Final = 50
"""Entries of one scan, and messages of one enqueue."""
_POLLS_MAX: Final = 1000
"""The most subscriptions that are enqueued at once. The others follow a minute later."""
_LAST: Final = "\U0010ffff"
"""A key part that sorts after all rows of a peer. One scan finds the next peer, however many rows the last one has."""
_LOG: Final = logging.getLogger(__name__)

_IsOwn: TypeAlias = Callable[[Origin], bool] | None
RecordT = TypeVar("RecordT", ReceivedActivityRecord, SendingRecord)
KeyT = TypeVar("KeyT", ClaimKey, SendingKey)
AnyRecordT = TypeVar("AnyRecordT", bound=StoredRecord)
AnyKeyT = TypeVar("AnyKeyT", bound=RecordKey)


def reconcile(ours: Callable[[Origin], bool] | None = None) -> Op[int]:
    """Enqueue the remaining work of the origins that ``ours`` admits, and return the number of messages.

    Each message is enqueued for the time at which its work is due. A message that already waits is not doubled: both
    have the same ``dedup``. A message for a record that is being handled waits until that has ended: both have the same
    ``group``. First, our keys that are due to be retired are retired, see `retire_due`.

    Effects: those of `retire_due`; `Now`; `Scan`s of 50 entries over received and sent activities; one `Scan` for each
    peer over deliveries, and a `Get` for each 50 peers; one `Scan` for each 50 subscriptions that are due;
    `RandomBytes` for each message, and an `Enqueue` for each 50.
    """
    _ = yield from retire_due(ours)
    now = yield from Now()
    count = yield from _enqueue_records(RECEIVED_ACTIVITIES, _received_message, now, ours)
    count += yield from _enqueue_records(SENDINGS, _sending_message, now, ours)
    count += yield from _enqueue_backlogs(DELIVERIES, now, ours)
    count += yield from _enqueue_backlogs(RETRIES, now, ours)
    count += yield from _enqueue_due_polls(now, ours)
    return count


def _enqueue_records(
    kind: RecordKind[RecordT, KeyT],
    make_message: Callable[[KeyT, RecordT, bytes], Message],
    now: datetime,
    ours: _IsOwn,
) -> Op[int]:
    """Enqueue a message for every record of a kind, and return the number of messages."""
    count, after = 0, None
    while True:
        entries = yield from Scan(kind.at(), after=after, limit=_PAGE)
        messages: list[Message] = []
        for entry in entries:
            message_id = yield from RandomBytes(16)
            stored = _read(kind, entry)
            if stored is not None and _is_own(stored.record.origin, ours):
                message = make_message(stored.key, stored.record, message_id)
                messages.append(evolve(message, delay_s=stored.record.due_in_s(now) or 0.0))
        if messages:
            yield from Enqueue(messages)
            count += len(messages)
        if len(entries) < _PAGE:
            return count
        after = entries[-1].key


def _received_message(key: ClaimKey, record: ReceivedActivityRecord, message_id: bytes) -> Message:
    return inbox_message(key, message_id, by=record.origin, actor=record.actor)


def _sending_message(key: SendingKey, record: SendingRecord, message_id: bytes) -> Message:
    # Once a sending waits for recipients that cannot be found now, later sendings about the same object no longer wait
    # for it; see `apcore.federation.outbox.fanout`.
    line = None if record.waits_for_lookups else record.line
    return send_message(key.name, message_id, by=record.origin, about=line)


def _enqueue_due_polls(now: datetime, ours: _IsOwn) -> Op[int]:
    """Enqueue a message for every subscription that is due, up to `_POLLS_MAX`; return the number of messages."""
    count, after, bound = 0, None, due_bound(to_epoch_ms(now))
    while count < _POLLS_MAX:
        entries = yield from Scan(DUE_POLLS.at(), after=after, limit=_PAGE)
        due_entries = [entry for entry in entries if tuple(entry.key) < bound]
        messages: list[Message] = []
        for entry in due_entries:
            message_id = yield from RandomBytes(16)
            stored = _read(DUE_POLLS, entry)
            if stored is not None and _is_own(stored.record.origin, ours):
                key = SubscriptionKey(stored.key.origin, stored.key.address)
                messages.append(poll_message(key, message_id, by=stored.record.origin, peer=stored.record.peer))
        if messages:
            yield from Enqueue(messages)
            count += len(messages)
        if len(due_entries) < _PAGE:
            break
        after = due_entries[-1].key
    return count


def _enqueue_backlogs(kind: RecordKind[DeliveryRecord, Any], now: datetime, ours: _IsOwn) -> Op[int]:
    """Enqueue a message for every backlog with a delivery of a kind, and return the number of messages."""
    count = 0
    after: StoreKey | None = None
    while True:
        # The first row of each backlog tells when the backlog is due.
        first_rows: list[Entry] = []
        while len(first_rows) < _PAGE:
            entries: Sequence[Entry] = yield from Scan(kind.at(), after=after, limit=1)
            if not entries:
                break
            first_rows += entries
            after = (*kind.at(_backlog_in(kind, entries[0])), _LAST)
        if not first_rows:
            return count
        circuits = yield from Get([circuit_key(_backlog_in(kind, entry)) for entry in first_rows])
        messages: list[Message] = []
        for entry, circuit_entry in zip(first_rows, circuits, strict=True):
            message_id = yield from RandomBytes(16)
            stored = _read(kind, entry)
            if stored is not None and _is_own(stored.record.origin, ours):
                message = deliver_message(stored.key.backlog, message_id, by=stored.record.origin)
                delay_s = _delivery_delay_s(WaitingDelivery(stored), circuit_entry, now)
                messages.append(evolve(message, delay_s=delay_s))
        if messages:
            yield from Enqueue(messages)
            count += len(messages)


def _backlog_in(kind: RecordKind[DeliveryRecord, Any], entry: Entry) -> str:
    # A damaged key has a backlog too. It must not keep other backlogs from being found.
    return entry.key[len(kind.prefix)]


def _delivery_delay_s(delivery: WaitingDelivery, circuit_entry: Entry | None, now: datetime) -> float:
    """Return the seconds until a delivery may be tried: it is due, and so is the circuit of its host."""
    circuit = None if circuit_entry is None else _read(CIRCUITS, circuit_entry)
    circuit_s = 0.0 if circuit is None else circuit.record.due_in_s(now) or 0.0
    return circuit_s if delivery.is_due(now) else max(circuit_s, (delivery.due_ms - to_epoch_ms(now)) / 1000)


def _read(kind: RecordKind[AnyRecordT, AnyKeyT], entry: Entry) -> Stored[AnyRecordT, AnyKeyT] | None:
    """Read an entry; None if this release cannot."""
    try:
        return kind.read(entry)
    except ContractError as error:
        # A worker of a newer release handles its own records. A damaged record stays, for people to look at.
        _LOG.warning("skipped a record under %s that cannot be read: %s", entry.key[0], error)
        return None


def _is_own(origin: str, ours: _IsOwn) -> bool:
    """Return whether a record is of an origin that this worker serves."""
    return ours is None or ours(parse_origin(origin))
