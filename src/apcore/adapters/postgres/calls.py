"""Encode each method of the ports as a call of a function in functions.sql, and read its answer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Any, Final

from apcore.adapters.server_calls import ServerCall
from apcore.errors import ContractError
from apcore.ports import (
    DeleteEntry,
    Depth,
    EncodedCommit,
    Entry,
    Increment,
    LeasedMessage,
    Message,
    Put,
    Retry,
    Settlement,
    StoreKey,
    decode_key,
)

__all__ = ["PostgresCalls"]

_SEQ_BYTES: Final = 6
_RANDOM_BYTES: Final = 10
_RECLAIM_MAX: Final = 32

_PARAMETERS: Final = {
    "get_1": ("bytea[]", "float8"),
    "scan_1": ("bytea", "bytea", "int", "boolean", "float8"),
    "commit_1": (
        *("bigint[]", "boolean[]", "bytea[]", "bytea[]", "bytea[]", "bytea[]", "float8[]", "bytea[]", "bytea[]"),
        *("bigint[]", "bytea", "bytea[]", "bytea[]", "bytea[]", "bytea[]", "float8[]", "bytea[]"),
        *("bigint[]", "bytea[]", "float8[]", "int", "float8"),
    ),
    "enqueue_1": ("bigint[]", "bytea[]", "bytea[]", "bytea[]", "bytea[]", "float8[]", "bytea[]", "float8"),
    "lease_1": ("bytea[]", "int", "float8", "bytea", "float8"),
    "extend_1": ("bigint[]", "bytea[]", "float8", "float8"),
    "settle_1": ("bigint[]", "bigint[]", "bytea[]", "float8[]", "float8"),
    "depth_1": ("bytea[]", "float8"),
    "next_due_1": ("bytea[]", "float8"),
}
"""The types of the parameters of each function, which its arguments are cast to."""

Rows = list[tuple[Any, ...]]


class PostgresCalls:
    """The calls of one store. ``clock`` replaces the server's clock, in tests."""

    def __init__(self, schema: str, clock: Callable[[], float] | None) -> None:
        self._statements: Final = {name: _statement(schema, name) for name in _PARAMETERS}
        self._clock = clock

    def statement(self, call: ServerCall[Any]) -> bytes:
        """Return the statement that makes a call."""
        return self._statements[call.function]

    def get(self, keys: Sequence[StoreKey], encoded: Sequence[bytes], /) -> ServerCall[list[Entry | None]]:
        """See `ServerCalls.get`."""

        def read(rows: Rows) -> list[Entry | None]:
            entries = {name: (value, version) for name, value, version in rows}
            return [
                Entry(key, *entries[name]) if name in entries else None for key, name in zip(keys, encoded, strict=True)
            ]

        return ServerCall("get_1", (list(encoded), self._now()), read, changes=False)

    def scan(self, low: bytes, high: bytes, /, *, limit: int, reverse: bool) -> ServerCall[list[Entry]]:
        """See `ServerCalls.scan`."""

        def read(rows: Rows) -> list[Entry]:
            return [Entry(decode_key(name), value, version) for name, value, version in rows]

        return ServerCall("scan_1", (low, high, limit, reverse, self._now()), read, changes=False)

    def commit(
        self, commit: EncodedCommit, messages: Sequence[Message], settles: Sequence[Settlement], /
    ) -> ServerCall[bool]:
        """See `ServerCalls.commit`."""
        puts = [(key, write.value, _seconds(write.ttl_s)) for key, write in commit.writes if isinstance(write, Put)]
        deletes = [key for key, write in commit.writes if isinstance(write, DeleteEntry)]
        # In key order, so that two commits never wait for each other's counters.
        adds: list[tuple[bytes, Increment]] = sorted(
            ((key, write) for key, write in commit.writes if isinstance(write, Increment)), key=lambda add: add[0]
        )
        exclusive = {_key_lock(key) for key, _ in commit.checks}
        exclusive.update(_key_lock(key) for key, _, _ in puts)
        exclusive.update(map(_key_lock, deletes))
        exclusive.update(_message_locks(messages), _message_locks(settlement.leased.message for settlement in settles))
        shared = {_key_lock(key) for key, _ in adds} - exclusive
        locks = sorted(exclusive | shared)

        def read(rows: Rows) -> bool:
            [(outcome, position, seen)] = rows
            if outcome == 2:
                write = adds[int(position) - 1][1]
                raise ContractError(
                    f"cannot add {write.delta} to {seen!r:.60} at {write.key!r}: not a counter, or beyond 64 bits"
                )
            return bool(outcome)

        arguments = (
            locks,
            [lock in shared for lock in locks],
            *_columns(commit.checks, 2),
            *_columns(puts, 3),
            deletes,
            [key for key, _ in adds],
            [write.delta for _, write in adds],
            commit.token,
            *_message_columns(messages),
            *_settlement_columns(settles),
            _RECLAIM_MAX,
            self._now(),
        )
        return ServerCall("commit_1", arguments, read)

    def enqueue(self, messages: Sequence[Message], /) -> ServerCall[None]:
        """See `ServerCalls.enqueue`."""
        locks = sorted(_message_locks(messages))
        return ServerCall("enqueue_1", (locks, *_message_columns(messages), self._now()), lambda _: None)

    def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> ServerCall[list[LeasedMessage]]:
        """See `ServerCalls.lease`."""
        names = list(dict.fromkeys(lanes))

        def read(rows: Rows) -> list[LeasedMessage]:
            leases: list[LeasedMessage] = []
            # An UPDATE returns its rows in any order: sort by lane, due time, and position in the queue.
            for number, _, _, ident, group, dedup, delay_s, body, token, attempt in sorted(rows):
                message = Message(
                    ident, names[int(number) - 1], body, delay_s=delay_s, group=_text(group), dedup=_text(dedup)
                )
                leases.append(LeasedMessage(message, token, attempt))
            return leases

        arguments = (_labels(names), limit, lease_s, os.urandom(_RANDOM_BYTES), self._now())
        return ServerCall("lease_1", arguments, read)

    def extend(self, leases: Sequence[LeasedMessage], /, *, lease_s: float) -> ServerCall[list[LeasedMessage]]:
        """See `ServerCalls.extend`."""
        tokens = sorted(leased.token for leased in leases)
        arguments = ([_seq(token) for token in tokens], tokens, lease_s, self._now())
        return ServerCall("extend_1", arguments, _lost_among(leases))

    def settle(self, settlements: Sequence[Settlement], /) -> ServerCall[list[LeasedMessage]]:
        """See `ServerCalls.settle`."""
        leases = [settlement.leased for settlement in settlements]
        locks = sorted(_message_locks(leased.message for leased in leases))
        return ServerCall("settle_1", (locks, *_settlement_columns(settlements), self._now()), _lost_among(leases))

    def depth(self, lanes: Sequence[str], /) -> ServerCall[Depth]:
        """See `ServerCalls.depth`."""
        return ServerCall("depth_1", (_labels(lanes), self._now()), lambda rows: Depth(*rows[0]), changes=False)

    def next_due(self, lanes: Sequence[str], /) -> ServerCall[float | None]:
        """See `ServerCalls.next_due`."""
        return ServerCall("next_due_1", (_labels(lanes), self._now()), lambda rows: rows[0][0], changes=False)

    def _now(self) -> float | None:
        return None if self._clock is None else self._clock()


def _statement(schema: str, name: str) -> bytes:
    arguments = ", ".join(f"%b::{kind}" for kind in _PARAMETERS[name])
    return f"SELECT * FROM {schema}.{name}({arguments})".encode()  # noqa: S608 - our own names


def _lost_among(leases: Sequence[LeasedMessage]) -> Callable[[Rows], list[LeasedMessage]]:
    def read(rows: Rows) -> list[LeasedMessage]:
        lost_tokens = {token for (token,) in rows}
        return [leased for leased in leases if leased.token in lost_tokens]

    return read


def _columns(rows: Sequence[tuple[Any, ...]], count: int) -> tuple[list[Any], ...]:
    """Turn rows into columns; no rows are ``count`` empty columns."""
    return tuple(map(list, zip(*rows, strict=True))) if rows else tuple([] for _ in range(count))


def _message_columns(messages: Sequence[Message]) -> tuple[list[Any], ...]:
    rows = [
        (
            message.id,
            message.lane.encode(),
            _label(message.group),
            _label(message.dedup),
            float(message.delay_s),
            message.body,
        )
        for message in messages
    ]
    return _columns(rows, 6)


def _settlement_columns(settlements: Sequence[Settlement]) -> tuple[list[Any], ...]:
    rows = [(_seq(settlement.leased.token), settlement.leased.token, _delay(settlement)) for settlement in settlements]
    # In the order of rows, so that two calls never wait for each other's.
    return _columns(sorted(rows, key=lambda row: row[0]), 3)


def _delay(settlement: Settlement) -> float | None:
    return float(settlement.delay_s) if isinstance(settlement, Retry) else None


def _seconds(duration: float | None) -> float | None:
    return None if duration is None else float(duration)  # an array holds one type


# --- locks ----------------------------------------------------------------------------------------------------------


def _key_lock(key: bytes) -> int:
    return _lock(b"k" + key)


def _message_locks(messages: Iterable[Message]) -> set[int]:
    """Return the lock numbers of the groups and dedups of ``messages``."""
    locks: set[int] = set()
    for message in messages:
        lane = message.lane.encode()
        for kind, label in ((b"g", message.group), (b"d", message.dedup)):
            if label is not None:
                locks.add(_lock(kind + len(lane).to_bytes(4) + lane + label.encode()))
    return locks


def _lock(name: bytes) -> int:
    return int.from_bytes(sha256(name).digest()[:8], signed=True)


# --- labels and tokens ----------------------------------------------------------------------------------------------


def _seq(token: bytes) -> int:
    return int.from_bytes(token[:_SEQ_BYTES])


def _labels(texts: Iterable[str]) -> list[bytes]:
    return [text.encode() for text in dict.fromkeys(texts)]


def _label(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _text(label: bytes | None) -> str | None:
    return None if label is None else label.decode()
