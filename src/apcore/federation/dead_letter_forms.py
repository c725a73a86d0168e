"""Read the stored dead letters of all kinds as `DeadLetter`s, and name each of them by an id."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final, cast

from apcore.federation.inbox.records import DEAD_ACTIVITIES, ClaimKey, DeadActivityRecord
from apcore.federation.outbox.delivery_records import DEAD_DELIVERIES, DeadDeliveryKey, DeadDeliveryRecord
from apcore.federation.outbox.records import DEAD_SENDINGS, DeadSendingRecord, SendingKey, SentRecord
from apcore.federation.reports import DEAD_LETTER_KINDS, DeadLetter, DeadLetterKind
from apcore.ports import StoreKey
from apcore.records import RecordKind

__all__ = ["RECORD_KIND_OF", "letter_id", "letter_of", "parse_letter_id"]

RECORD_KIND_OF: Final[dict[DeadLetterKind, RecordKind[Any, Any]]] = {
    "received": DEAD_ACTIVITIES,
    "planning": DEAD_SENDINGS,
    "delivery": DEAD_DELIVERIES,
}
_KIND_OF: Final[dict[str, DeadLetterKind]] = {kind: kind for kind in DEAD_LETTER_KINDS}
_ID_CHARS_MAX: Final = 2000


def letter_id(kind: DeadLetterKind, key: StoreKey) -> str:
    """Return the id of the dead letter at a store key: its kind, and the rest of the key in base64."""
    rest = key[len(RECORD_KIND_OF[kind].prefix) :]
    return f"{kind}:{urlsafe_b64encode(json.dumps(rest).encode()).decode().rstrip('=')}"


def parse_letter_id(text: str) -> tuple[DeadLetterKind, StoreKey]:
    """Return the kind and the store key that an id names.

    Raises:
        ValueError: ``text`` is no id of a dead letter.
    """
    word, _, name = text.partition(":")
    kind = _KIND_OF.get(word)
    parts = None if kind is None or len(text) > _ID_CHARS_MAX else _parts_of(name)
    if kind is not None and parts is not None:
        key = (*RECORD_KIND_OF[kind].prefix, *parts)
        if RECORD_KIND_OF[kind].holds(key):
            return kind, key
    raise ValueError(f"{text!r:.80} is no id of a dead letter; the list of dead letters has the ids")


def _parts_of(name: str) -> list[str] | None:
    """Return the parts of a key that `letter_id` wrote; None for any other text."""
    try:
        parts: Any = json.loads(urlsafe_b64decode(name + "=" * (-len(name) % 4)))
    except ValueError:
        return None
    is_key = isinstance(parts, list) and all(isinstance(part, str) for part in cast("list[object]", parts))
    return cast("list[str]", parts) if is_key else None


def letter_of(
    record: DeadActivityRecord | DeadSendingRecord | DeadDeliveryRecord,
    key: ClaimKey | SendingKey | DeadDeliveryKey,
    *,
    sent: SentRecord | None = None,
    has_document: bool = False,
) -> DeadLetter:
    """Return a stored dead letter. ``sent`` is the activity of one that was sent, if it is still stored."""
    body = record.body if isinstance(record, DeadActivityRecord) else b"" if sent is None else sent.body
    document: dict[str, Any] | None = json.loads(body) if has_document and body else None
    if isinstance(record, DeadActivityRecord):
        return DeadLetter(
            id=letter_id("received", DEAD_ACTIVITIES.at(*key)),
            kind="received",
            activity_id=record.activity_id,
            actor=record.actor,
            inbox=record.recipient,
            reason=record.reason,
            attempts=record.attempts,
            died=record.died,
            document=document,
        )
    if isinstance(record, DeadSendingRecord):
        return DeadLetter(
            id=letter_id("planning", DEAD_SENDINGS.at(*key)),
            kind="planning",
            activity_id=record.activity_id,
            actor=record.actor,
            reason=record.reason,
            attempts=record.failures,
            died=record.died,
            document=document,
        )
    return DeadLetter(
        id=letter_id("delivery", DEAD_DELIVERIES.at(*key)),
        kind="delivery",
        activity_id=None if sent is None else sent.activity_id,
        actor=None if sent is None else sent.actor,
        inbox=record.inbox,
        reason=record.reason,
        attempts=record.attempts,
        died=record.died,
        document=document,
    )
