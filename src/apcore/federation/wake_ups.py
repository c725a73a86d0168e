"""Wake-ups: the messages that make a worker look at a fact, and the lanes that they wait in.

There are three kinds of work: what arrived (`INBOX`), what was sent and has yet to be planned (`FANOUT`), and
deliveries (`DELIVER`). Each kind has a lane for each of 16 buckets of our own origins, so that a worker leases what
belongs to its origins and leaves the rest in the queue. A node whose origins are decided by a function leases all
buckets. Two origins may share a bucket, so a worker still compares the origin that a wake-up names.

A wake-up names the fact, the origin of ours that it belongs to, and the peer's origin that the work is about. It is
``dedup`` and ``group`` of its fact: while one is leased, another one for the same fact waits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final, cast

from attrs import frozen

from apcore.errors import ContractError
from apcore.http import Origin, parse_origin
from apcore.ports import Message, StoreKey
from apcore.records.format import key_name, parse_key_name

__all__ = [
    "BUCKETS",
    "DELIVER",
    "FANOUT",
    "INBOX",
    "KINDS",
    "LANES",
    "Wake",
    "kind_of_lane",
    "lane_of",
    "lanes_for",
    "make_wake",
    "read_wake",
]

INBOX: Final = "inbox"
"""The kind of work for what arrived."""
FANOUT: Final = "fanout"
"""The kind of work for planning who gets what was sent."""
DELIVER: Final = "deliver"
"""The kind of work for deliveries."""
KINDS: Final = (INBOX, FANOUT, DELIVER)
BUCKETS: Final = 16


def lane_of(kind: str, origin: Origin | str) -> str:
    """Return the lane for work of a kind that belongs to an origin of ours."""
    return f"{kind}/{sha256(str(origin).encode()).digest()[0] % BUCKETS:x}"


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
"""Every lane there is."""


@frozen
class Wake:
    """What a wake-up names."""

    key: StoreKey = ()
    """The fact; empty for deliveries, which are about a whole backlog."""
    by: Origin | None = None
    """The origin of ours; None in messages of releases before 0.1, where only the fact tells."""
    peer: str | None = None
    """Who the work is about: the origin of the actor whose activity arrived, or the backlog that is delivered to."""


def make_wake(
    kind: str, key: StoreKey, ident: bytes, *, by: Origin | str, peer: str | None = None, group: str | None = None
) -> Message:
    """Make the message that wakes a worker for a fact.

    ``ident`` is 16 random bytes. Messages of one ``group`` are handled one after another.
    """
    name = key_name(key)
    members = {"key": list(key), "by": str(by)} | ({} if peer is None else {"peer": peer})
    body = json.dumps(members, separators=(",", ":")).encode("ascii")
    return Message(ident, lane_of(kind, by), body, dedup=name, group=group)


def read_wake(message: Message) -> Wake:
    """Read the body of a wake-up, of this release or an earlier one.

    Raises:
        ContractError: It names nothing.
    """
    try:
        loaded: object = json.loads(message.body)
        if not isinstance(loaded, dict):
            return Wake(parse_key_name(message.body.decode()))
        members = cast("dict[str, Any]", loaded)
        by = parse_origin(members["by"])
        if kind_of_lane(message.lane) == DELIVER:
            return Wake((), by, str(members["to"]))
        return Wake(parse_key_name(json.dumps(members["key"])), by, members.get("peer"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ContractError(f"this wakes nobody: {message.body[:60]!r}") from error
