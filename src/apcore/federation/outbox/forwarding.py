"""Forward a received activity: the bytes as received, in a request that one of our actors signs.

A forwarded activity is stored and delivered like one of ours, with three differences. Its body is not changed or
signed. Nothing is delivered to the servers that it came from. Nothing is delivered to our own actors either: the
activity was processed at this origin when it arrived.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from apcore.collections.order import order_at
from apcore.effects import Get, Op
from apcore.errors import ContractError
from apcore.federation.inbox.records import (
    FORWARDED,
    RECEIVED_ACTIVITIES,
    RECEIVED_BYTES,
    ForwardedKey,
    ForwardedRecord,
)
from apcore.federation.outbox.records import SENDINGS, SENT_ACTIVITIES, SendingKey, SendingRecord, SentRecord
from apcore.federation.received_writes import ForwardActivity
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.wake_ups import FANOUT, make_wake
from apcore.http import parse_url
from apcore.ports import NO_CHANGE, Batch, digest_part
from apcore.vocab import PUBLIC_FORMS, Activity, read_document

__all__ = ["forward", "is_signed", "received_bytes"]


def received_bytes(scope: UnitOfWork[Any]) -> Op[bytes]:
    """Return the bytes of the activity that ``scope`` processes, as they were received.

    Asks for: one `Get` of two entries.

    Raises:
        ContractError: No received activity is being processed.
    """
    if scope.auth_method is None or scope.received_key is None:
        raise ContractError("only a received activity can be forwarded, and only by its listener")
    key = RECEIVED_ACTIVITIES.parts_of(scope.received_key)
    entry, bytes_entry = yield from Get((RECEIVED_ACTIVITIES.key(key), RECEIVED_BYTES.key(key)))
    if bytes_entry is not None:
        return RECEIVED_BYTES.decode(bytes_entry.value).body
    if entry is None:
        raise ContractError(f"{scope.activity_id} has been processed, so it cannot be forwarded any more")
    return RECEIVED_ACTIVITIES.decode(entry.value).body


def is_signed(body: bytes) -> bool:
    """Return whether a document carries a proof or an LD signature, so that others can verify it."""
    members: Any = json.loads(body)
    return isinstance(members, dict) and ("proof" in members or "signature" in members)


def forward(site: Site, scope: UnitOfWork[Any], note: ForwardActivity, now: datetime, *, number: int) -> Op[Batch]:
    """Return the part of a commit that stores a received activity for delivery to further servers.

    An activity that the rules of ActivityPub forward is forwarded once, however many inboxes get it. ``number`` is the
    position of the note among the notes of the commit.

    Asks for: as `received_bytes`, and one `Get` if the rules of ActivityPub forward it.
    """
    name, message_name = scope.mint(), scope.mint()
    body = yield from received_bytes(scope)
    activity_id, author = str(scope.activity_id), str(scope.actor)
    batch = NO_CHANGE
    if note.is_by_rule:
        marker = ForwardedKey.of(author, activity_id, site.origin)
        [entry] = yield from Get((FORWARDED.key(marker),))
        if entry is not None:
            return NO_CHANGE
        batch = Batch([FORWARDED.absent(marker)], [FORWARDED.put(marker, ForwardedRecord())])
    recipients = tuple(uri for uri in dict.fromkeys(note.to) if uri not in PUBLIC_FORMS)
    if not recipients:
        return NO_CHANGE
    key, actor, origin = SendingKey(name), site.actor_uri(note.by), str(site.origin)
    sources = dict.fromkeys(str(parse_url(uri).origin) for uri in (author, scope.relayed_by) if uri is not None)
    object_ = Activity.over(read_document(body)).object
    line = digest_part((object_ and object_.uri) or activity_id)
    sending = SendingRecord(
        origin=origin,
        actor=actor,
        activity_id=activity_id,
        created=now,
        recipients=recipients,
        line=line,
        order=order_at(now, number),
        sources=tuple(sources),
    )
    sent = SentRecord(origin=origin, actor=actor, activity_id=activity_id, created=now, body=body)
    store_key = SENDINGS.key(key)
    message = make_wake(FANOUT, store_key, message_name.encode()[:16], by=site.origin, group=line)
    return batch + Batch(
        [SENT_ACTIVITIES.absent(key)],
        [SENT_ACTIVITIES.put(key, sent), SENDINGS.put(key, sending)],
        [message],
    )
