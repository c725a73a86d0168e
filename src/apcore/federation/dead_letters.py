"""List, show, retry and drop dead letters: work that was given up, and that is stored for 30 days.

A retry moves the work back, in one commit with the message for it, and with no attempt counted. So it is done once,
even if the same dead letter is retried twice at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import attrs
from attrs import evolve

from apcore.collections import PageItems
from apcore.effects import Get, Now, Op, RandomBytes, Scan, commit_batch
from apcore.errors import ContractError
from apcore.federation.dead_letter_forms import RECORD_KIND_OF, letter_id, letter_of, parse_letter_id
from apcore.federation.inbox.receipts import inbox_message
from apcore.federation.inbox.records import CLAIMS, RECEIVED_ACTIVITIES, ClaimRecord, ReceivedActivityRecord
from apcore.federation.inbox.states import ClaimState
from apcore.federation.outbox.circuit import backlog_of
from apcore.federation.outbox.delivery_records import DELIVERIES, DeliveryKey, DeliveryRecord
from apcore.federation.outbox.pending_writes import send_message
from apcore.federation.outbox.records import SENDINGS, SENT_ACTIVITIES, SendingKey, SendingRecord, SentRecord
from apcore.federation.reports import DEAD_LETTER_KINDS, DeadLetter, DeadLetterKind
from apcore.federation.wake_ups import deliver_message
from apcore.http import parse_origin, parse_url
from apcore.ports import Batch, Check, Entry
from apcore.records import Stored
from apcore.records.format import to_epoch_ms

__all__ = ["PAGE_MAX", "dead_letter", "dead_letters", "drop_dead_letter", "retry_dead_letter"]

PAGE_MAX: Final = 100
"""The most dead letters of one page."""


def dead_letters(kind: DeadLetterKind | None, *, cursor: str | None, limit: int) -> Op[PageItems]:
    """Return a page of the dead letters of a kind, or of all kinds. ``cursor`` is the ``next`` of the page before.

    Effects: up to three `Scan`s and one `Get`.

    Raises:
        ValueError: ``kind`` is unknown, ``cursor`` is not that of a page, or ``limit`` is not from 1 to 100.
    """
    if kind is not None and kind not in DEAD_LETTER_KINDS:
        raise ValueError(f"kind={kind!r:.60}: the kinds are {', '.join(DEAD_LETTER_KINDS)}")
    if not 1 <= limit <= PAGE_MAX:
        raise ValueError(f"limit={limit}: a page has 1 to {PAGE_MAX} dead letters")
    first_kind, after = (None, None) if cursor is None else parse_letter_id(cursor)
    kinds: Sequence[DeadLetterKind] = DEAD_LETTER_KINDS if kind is None else (kind,)
    if first_kind is not None:
        if first_kind not in kinds:
            raise ValueError("the cursor belongs to a list of another kind")
        kinds = kinds[kinds.index(first_kind) :]
    entries: list[tuple[DeadLetterKind, Entry]] = []
    for current in kinds:
        start = after if current == first_kind else None
        rows = yield from Scan(RECORD_KIND_OF[current].at(), after=start, limit=limit + 1 - len(entries))
        entries.extend((current, entry) for entry in rows)
        if len(entries) > limit:
            break
    page = entries[:limit]
    letters = yield from _read_letters(page, has_document=False)
    is_last = len(entries) <= limit
    return PageItems(letters, None if is_last else letter_id(page[-1][0], page[-1][1].key))


def dead_letter(ident: str) -> Op[DeadLetter | None]:
    """Return a dead letter with its document; None if there is none with this id. Effects: up to two `Get`s.

    Raises:
        ValueError: ``ident`` is no id of a dead letter.
    """
    kind, key = parse_letter_id(ident)
    [entry] = yield from Get((key,))
    if entry is None:
        return None
    [letter] = yield from _read_letters([(kind, entry)], has_document=True)
    return letter


def drop_dead_letter(ident: str) -> Op[bool]:
    """Delete a dead letter, and return whether there was one. Effects: one `Get` and one commit.

    Raises:
        ValueError: ``ident`` is no id of a dead letter.
    """
    kind, key = parse_letter_id(ident)
    [entry] = yield from Get((key,))
    if entry is None:
        return False
    stored = RECORD_KIND_OF[kind].read(entry)
    return (yield from commit_batch(Batch((stored.check,), (stored.deletion,)))) is not False


def retry_dead_letter(ident: str) -> Op[bool]:
    """Move the work of a dead letter back, due at once. Return whether there was such a dead letter.

    The count of attempts begins anew. A received activity that is older than its retries may be gets one attempt.

    Effects: up to three `Get`s, `Now`, `RandomBytes` and one commit.

    Raises:
        ValueError: ``ident`` is no id of a dead letter.
        ContractError: The activity of the dead letter is not stored any more.
    """
    kind, key = parse_letter_id(ident)
    [entry] = yield from Get((key,))
    if entry is None:
        return False
    stored = RECORD_KIND_OF[kind].read(entry)
    now = yield from Now()
    message_id = yield from RandomBytes(16)
    if kind == "received":
        batch = yield from _received_again(stored, message_id)
    else:
        name = SendingKey(stored.key.name)
        [sent] = yield from Get((SENT_ACTIVITIES.key(name),))
        if sent is None:
            raise ContractError("the activity of this dead letter is not stored any more: send it again, or drop this")
        again = _planning_again if kind == "planning" else _delivery_again
        batch = again(stored, message_id, now)
    taken = Batch((stored.check,), (stored.deletion,))
    return (yield from commit_batch(taken + batch)) is not False


def _received_again(stored: Stored[Any, Any], message_id: bytes) -> Op[Batch]:
    [claim] = yield from Get((CLAIMS.key(stored.key),))
    record: ReceivedActivityRecord = _record_as(ReceivedActivityRecord, stored.record)
    # The bytes as received were deleted with the activity, so it is not forwarded in that form.
    record = evolve(record, attempts=0, due_ms=0, put_off_ms=0, has_bytes=False)
    claim_record = ClaimRecord.of(ClaimState.PENDING, record.activity_id, received=record.received)
    checks = (
        Check(CLAIMS.key(stored.key), None if claim is None else claim.version),
        RECEIVED_ACTIVITIES.absent(stored.key),
    )
    writes = (CLAIMS.put(stored.key, claim_record), RECEIVED_ACTIVITIES.put(stored.key, record))
    message = inbox_message(stored.key, message_id, by=record.origin, actor=record.actor)
    return Batch(checks, writes, (message,))


def _planning_again(stored: Stored[Any, Any], message_id: bytes, now: datetime) -> Batch:
    record: SendingRecord = _record_as(SendingRecord, stored.record)
    record = evolve(record, failures=0, due_ms=0, put_off_ms=0, steps=1 if record.steps else 0, created=now)
    message = send_message(stored.key.name, message_id, by=record.origin, about=None)
    return Batch((SENDINGS.absent(stored.key),), (SENDINGS.put(stored.key, record),), (message,))


def _delivery_again(stored: Stored[Any, Any], message_id: bytes, now: datetime) -> Batch:
    record: DeliveryRecord = evolve(
        _record_as(DeliveryRecord, stored.record), attempts=0, unproved=0, put_off_ms=0, created=now
    )
    # Earlier releases stored neither the backlog nor the order.
    backlog: str = stored.record.backlog or backlog_of(
        parse_url(record.inbox).origin, by=parse_origin(record.origin), aimed=False
    )
    order: str = stored.record.order or f"{to_epoch_ms(now):014d}"
    key = DeliveryKey(backlog, order, stored.key.name, stored.key.inbox)
    message = deliver_message(backlog, message_id, by=record.origin)
    return Batch((DELIVERIES.absent(key),), (DELIVERIES.put(key, record),), (message,))


def _read_letters(rows: Sequence[tuple[DeadLetterKind, Entry]], *, has_document: bool) -> Op[list[DeadLetter]]:
    stored_letters = [RECORD_KIND_OF[kind].read(entry) for kind, entry in rows]
    names = {stored.key.name: None for stored in stored_letters if hasattr(stored.key, "name")}
    sent: dict[str, SentRecord] = {}
    if names:
        entries = yield from Get([SENT_ACTIVITIES.key(SendingKey(name)) for name in names])
        sent = {
            name: SENT_ACTIVITIES.decode(entry.value)
            for name, entry in zip(names, entries, strict=True)
            if entry is not None
        }
    return [
        letter_of(stored.record, stored.key, sent=sent.get(getattr(stored.key, "name", "")), has_document=has_document)
        for stored in stored_letters
    ]


def _record_as(kind: type[Any], record: Any) -> Any:
    """Return the members of a record that its base class ``kind`` has, as that class."""
    names = [member.name for member in attrs.fields(kind)]
    return kind(**{name: getattr(record, name) for name in names})
