"""Define wake-ups, the messages that make a worker process a record, and the lanes in which they wait.

There are five kinds of work: received activities (`INBOX`), sent activities whose recipients are not planned yet
(`FANOUT`), deliveries (`DELIVER`), copies of documents to refresh (`REFRESH`), and polls of subscriptions (`POLL`).
Each kind has a lane for each of 16 buckets of our own origins. A worker leases the lanes of its origins and leaves the
rest in the queue. If a function decides about the origins of a node, its worker leases all lanes. Two origins may share
a bucket, so a worker still compares the origin that a wake-up names.

A wake-up names the record, the origin of ours that it belongs to, and the peer that the work is about. The record's key
is its ``dedup``, and usually its ``group``: while one wake-up is leased, another one for the same record waits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, cast

from attrs import frozen

from apcore.errors import ContractError
from apcore.http import Origin, parse_origin
from apcore.ports import LABEL_BYTES_MAX, Message, StoreKey, digest_part
from apcore.records.format import key_name, parse_key_name, quote_json

__all__ = [
    "BUCKETS",
    "DELIVER",
    "FANOUT",
    "INBOX",
    "KINDS",
    "LANES",
    "POLL",
    "REFRESH",
    "Wake",
    "deliver_message",
    "kind_of_lane",
    "lane_of",
    "lanes_for",
    "make_wake",
    "read_wake",
]

INBOX: Final = "inbox"
"""The kind of work for received activities."""
FANOUT: Final = "fanout"
"""The kind of work for planning the deliveries of sent activities."""
DELIVER: Final = "deliver"
"""The kind of work for deliveries."""
REFRESH: Final = "refresh"
"""The kind of work for copies of documents that are not fresh any more."""
POLL: Final = "poll"
"""The kind of work for polls of subscriptions."""
KINDS: Final = (INBOX, FANOUT, DELIVER, REFRESH, POLL)
BUCKETS: Final = 16
"""How many lanes each kind has, besides the lane without a bucket."""


def lane_of(kind: str, origin: Origin | str) -> str:
    """Return the lane for work of a kind that belongs to an origin of ours."""
    return _lane_of(kind, str(origin))


# A server has few origins. The cache is bounded for servers whose origins a function decides about.
@lru_cache(maxsize=256)
def _lane_of(kind: str, origin: str) -> str:
    return f"{kind}/{sha256(origin.encode()).digest()[0] % BUCKETS:x}"


def kind_of_lane(lane: str) -> str:
    """Return the kind of work that waits in a lane."""
    return lane.partition("/")[0]


def lanes_for(kind: str, origins: Iterable[Origin | str] | None = None) -> tuple[str, ...]:
    """Return the lanes of a kind that may hold work of ``origins``, of any origin if None.

    The lane without a bucket comes last: releases before 0.1 used it for all origins.
    """
    if origins is None:
        lanes = [f"{kind}/{bucket:x}" for bucket in range(BUCKETS)]
    else:
        lanes = sorted({lane_of(kind, origin) for origin in origins})
    return (*lanes, kind)


LANES: Final = tuple(lane for kind in KINDS for lane in lanes_for(kind))
"""All lanes of all kinds."""


@frozen
class Wake:
    """The content of a wake-up: the record, the origin of ours and the peer."""

    key: StoreKey = ()
    """The key of the record; empty for deliveries, which are about a whole backlog."""
    by: Origin | None = None
    """The origin of ours. It is None in messages of releases before 0.1: there, only the record names it."""
    peer: str | None = None
    """The peer that the work is about: the origin of the actor of a received activity, the backlog to deliver, or the
    origin of the document to refresh."""


def make_wake(
    kind: str, key: StoreKey, message_id: bytes, *, by: Origin | str, peer: str | None = None, group: str | None = None
) -> Message:
    """Make the message that wakes a worker for a record.

    ``message_id`` is 16 random bytes. Messages of one ``group`` are handled one after another; by default, a record
    is a group of its own.
    """
    name = key_name(key)
    # The key is encoded once, for the label and for the body: every received activity pays for it.
    end = "" if peer is None else f',"peer":{quote_json(peer)}'
    body = f'{{"key":{name},"by":{quote_json(str(by))}{end}}}'.encode("ascii")
    return Message(message_id, lane_of(kind, by), body, dedup=name, group=group or name)


def deliver_message(backlog: str, message_id: bytes, *, by: Origin | str) -> Message:
    """Make the message for a backlog of deliveries ``by`` an origin of ours."""
    # The longest host names do not fit into a label of the queue.
    label = backlog if len(backlog) <= LABEL_BYTES_MAX else digest_part(backlog)
    body = json.dumps({"to": backlog, "by": str(by)}).encode()
    return Message(message_id, lane_of(DELIVER, by), body, dedup=label, group=label)


def read_wake(message: Message) -> Wake:
    """Read the body of a wake-up, of this release or an earlier one.

    Raises:
        ContractError: The body names no record.
    """
    try:
        return _read_body(message.body, kind_of_lane(message.lane) == DELIVER)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ContractError(
            f"the message in lane {message.lane!r:.40} names no record: {message.body[:60]!r}"
        ) from error


# A worker reads each message several times: to find its origin, to begin it, and to end it. A body has at most 4 KiB.
@lru_cache(maxsize=256)
def _read_body(body: bytes, is_delivery: bool) -> Wake:
    loaded: object = json.loads(body)
    if not isinstance(loaded, dict):
        return Wake(parse_key_name(body.decode()))
    members = cast("dict[str, Any]", loaded)
    by = parse_origin(members["by"])
    if is_delivery:
        return Wake((), by, str(members["to"]))
    return Wake(parse_key_name(json.dumps(members["key"])), by, members.get("peer"))
