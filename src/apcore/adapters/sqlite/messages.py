"""Run the statements behind the queue.

As in `entries`, functions take a cursor and the queue's time, and their caller begins and ends the transaction.

A lease's token begins with the row's number, so settling needs no index. The rest of the token is random, and the whole
of it is compared.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from typing import Final

from apcore.ports import Depth, LeasedMessage, Message, Retry, Settlement

__all__ = ["any_due", "are_current", "depth", "enqueue", "extend", "lease", "next_due", "settle"]

_SEQ_BYTES: Final = 6
_RANDOM_BYTES: Final = 10

# Plain placeholders only: Python 3.12.0 warns about numbered ones.
_ENQUEUE: Final = """INSERT INTO apcore_message (id, lane, grp, dedup, delay_s, due, body, leased, attempt, head)
    VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0,
        ? IS NULL OR NOT EXISTS (SELECT 1 FROM apcore_message WHERE lane = ? AND grp = ?))
    ON CONFLICT (lane, dedup) WHERE dedup IS NOT NULL AND leased = 0 DO UPDATE SET due = min(due, excluded.due)"""
_DUE: Final = """SELECT seq, attempt, id, lane, grp, dedup, delay_s, body FROM apcore_message
    WHERE head = 1 AND lane = ? AND due <= ? ORDER BY due LIMIT ?"""
_ANY_DUE: Final = "SELECT 1 FROM apcore_message WHERE head = 1 AND lane = ? AND due <= ? LIMIT 1"
_NEXT_DUE: Final = "SELECT due FROM apcore_message WHERE head = 1 AND lane = ? ORDER BY due LIMIT 1"
_COUNTS: Final = """SELECT count(*) FILTER (WHERE due <= ?), count(*) FILTER (WHERE due > ? AND leased = 0),
    count(*), min(due) FILTER (WHERE due <= ?) FROM apcore_message"""
_COUNT_HEADS: Final = f"{_COUNTS} WHERE head = 1 AND lane = ?"
_COUNT_BEHIND: Final = f"{_COUNTS} WHERE head = 0 AND grp IS NOT NULL AND lane = ?"
_HAND_OUT: Final = "UPDATE apcore_message SET due = ?, token = ?, leased = 1, attempt = attempt + 1 WHERE seq = ?"
_CURRENT: Final = "SELECT 1 FROM apcore_message WHERE seq = ? AND token = ?"
_EXTEND: Final = "UPDATE apcore_message SET due = ? WHERE seq = ? AND token = ?"
_DONE: Final = "DELETE FROM apcore_message WHERE seq = ? AND token = ?"
_REMOVE: Final = "DELETE FROM apcore_message WHERE seq = ?"
_PROMOTE: Final = """UPDATE apcore_message SET head = 1 WHERE seq =
    (SELECT seq FROM apcore_message WHERE lane = ? AND grp = ? ORDER BY seq LIMIT 1)"""
_NEWCOMER: Final = "SELECT seq, grp, due FROM apcore_message WHERE lane = ? AND dedup = ? AND leased = 0"
_COME_BACK: Final = "UPDATE apcore_message SET due = ?, token = NULL, leased = 0 WHERE seq = ? AND token = ?"


def enqueue(cursor: sqlite3.Cursor, messages: Sequence[Message], now: float) -> None:
    """Add messages, each behind its group. If an equal message already waits, the earlier due time holds."""
    rows: list[tuple[bytes | float | None, ...]] = []
    for message in messages:
        lane, group, dedup = message.lane.encode(), _label(message.group), _label(message.dedup)
        due = now + message.delay_s
        rows.append((message.id, lane, group, dedup, message.delay_s, due, message.body, group, lane, group))
    cursor.executemany(_ENQUEUE, rows)


def any_due(cursor: sqlite3.Cursor, lanes: Sequence[str], now: float) -> bool:
    """Return whether a message is due in ``lanes``."""
    return any(cursor.execute(_ANY_DUE, (lane.encode(), now)).fetchall() for lane in lanes)


def next_due(cursor: sqlite3.Cursor, lanes: Sequence[str]) -> float | None:
    """Return when the first message of ``lanes`` is due or its lease ends; None if there is none."""
    rows = [row for lane in lanes for row in cursor.execute(_NEXT_DUE, (lane.encode(),)).fetchall()]
    return min((due for (due,) in rows), default=None)


def lease(
    cursor: sqlite3.Cursor, lanes: Sequence[str], *, limit: int, lease_s: float, now: float
) -> list[LeasedMessage]:
    """Lease up to ``limit`` due heads, lane after lane, and count the attempts."""
    leases: list[LeasedMessage] = []
    changes: list[tuple[float, bytes, int]] = []
    for lane in dict.fromkeys(lanes):
        rows = cursor.execute(_DUE, (lane.encode(), now, limit - len(leases))).fetchall()
        for seq, attempt, message_id, _, group, dedup, delay_s, body in rows:
            token = seq.to_bytes(_SEQ_BYTES) + os.urandom(_RANDOM_BYTES)
            message = Message(message_id, lane, body, delay_s=delay_s, group=_text(group), dedup=_text(dedup))
            leases.append(LeasedMessage(message, token, attempt + 1))
            changes.append((now + lease_s, token, seq))
        if len(leases) == limit:
            break
    cursor.executemany(_HAND_OUT, changes)
    return leases


def extend(
    cursor: sqlite3.Cursor, leases: Sequence[LeasedMessage], *, lease_s: float, now: float
) -> list[LeasedMessage]:
    """Move the end of current leases, and return the leases that were lost."""
    return [
        leased
        for leased in leases
        if cursor.execute(_EXTEND, (now + lease_s, _seq(leased.token), leased.token)).rowcount == 0
    ]


def are_current(cursor: sqlite3.Cursor, settlements: Sequence[Settlement]) -> bool:
    """Return whether no lease among ``settlements`` is lost."""
    return all(_is_current(cursor, settlement.leased) for settlement in settlements)


def settle(cursor: sqlite3.Cursor, settlements: Sequence[Settlement], now: float) -> list[LeasedMessage]:
    """End current leases, and return the leases that were lost."""
    return [
        settlement.leased
        for settlement in settlements
        if not (
            _come_back(cursor, settlement.leased, now + settlement.delay_s)
            if isinstance(settlement, Retry)
            else _finish(cursor, settlement.leased)
        )
    ]


def depth(cursor: sqlite3.Cursor, lanes: Sequence[str], now: float) -> Depth:
    """Count messages by state. A message with an expired lease counts as ready."""
    ready = delayed = leased = 0
    oldest = now
    for lane in dict.fromkeys(lanes):
        label = lane.encode()
        counts = (_COUNT_HEADS, (now, now, now, label)), (_COUNT_BEHIND, (now, now, now, label))
        for query, arguments in counts:
            [(ready_here, delayed_here, all_here, oldest_here)] = cursor.execute(query, arguments).fetchall()
            ready += ready_here
            delayed += delayed_here
            leased += all_here - ready_here - delayed_here
            oldest = min(oldest, oldest_here if oldest_here is not None else now)
    return Depth(ready, delayed, leased, now - oldest if ready else None)


def _is_current(cursor: sqlite3.Cursor, leased: LeasedMessage) -> bool:
    return bool(cursor.execute(_CURRENT, (_seq(leased.token), leased.token)).fetchall())


def _finish(cursor: sqlite3.Cursor, leased: LeasedMessage) -> bool:
    """Remove a leased message. Return False if its lease was lost."""
    message = leased.message
    if cursor.execute(_DONE, (_seq(leased.token), leased.token)).rowcount == 0:
        return False
    if message.group is not None:
        cursor.execute(_PROMOTE, (message.lane.encode(), message.group.encode()))
    return True


def _come_back(cursor: sqlite3.Cursor, leased: LeasedMessage, due: float) -> bool:
    """Let a leased message wait again in its position. Return False if its lease was lost.

    An equal message that waits already is merged with it.
    """
    message = leased.message
    if message.dedup is not None:
        if not _is_current(cursor, leased):
            return False
        lane = message.lane.encode()
        for seq, group, newcomer_due in cursor.execute(_NEWCOMER, (lane, message.dedup.encode())).fetchall():
            due = min(due, newcomer_due)
            cursor.execute(_REMOVE, (seq,))
            if group is not None:
                cursor.execute(_PROMOTE, (lane, group))
    return cursor.execute(_COME_BACK, (due, _seq(leased.token), leased.token)).rowcount > 0


def _seq(token: bytes) -> int:
    return int.from_bytes(token[:_SEQ_BYTES])


def _label(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _text(label: bytes | None) -> str | None:
    return None if label is None else label.decode()
