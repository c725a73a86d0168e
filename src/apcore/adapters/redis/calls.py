"""Encode each method of the ports as a call of a function in functions.lua, and read its answer."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
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

__all__ = ["RedisCalls"]

_VERSION_BYTES: Final = 16
_RANDOM_BYTES: Final = 10
_RECLAIM_MAX: Final = 32

Argument = bytes | str | float


class RedisCalls:
    """The calls of one store. ``clock`` replaces the server's clock, in tests."""

    def __init__(self, clock: Callable[[], float] | None) -> None:
        self._clock = clock

    def get(self, keys: Sequence[StoreKey], encoded: Sequence[bytes], /) -> ServerCall[list[Entry | None]]:
        """See `ServerCalls.get`."""

        def read(answer: list[bytes | None]) -> list[Entry | None]:
            return [
                None if packed is None else Entry(key, packed[_VERSION_BYTES:], packed[:_VERSION_BYTES])
                for key, packed in zip(keys, answer, strict=True)
            ]

        return ServerCall("get", (self._now(), *_list(encoded)), read, changes=False)

    def scan(self, low: bytes, high: bytes, /, *, limit: int, reverse: bool) -> ServerCall[list[Entry]]:
        """See `ServerCalls.scan`."""

        def read(answer: list[bytes]) -> list[Entry]:
            return [
                Entry(decode_key(name), packed[_VERSION_BYTES:], packed[:_VERSION_BYTES])
                for name, packed in zip(answer[::2], answer[1::2], strict=True)
            ]

        return ServerCall("scan", (self._now(), low, high, limit, int(reverse)), read, changes=False)

    def commit(
        self, commit: EncodedCommit, messages: Sequence[Message], settles: Sequence[Settlement], /
    ) -> ServerCall[bool]:
        """See `ServerCalls.commit`."""
        checks = [(key, _optional(version)) for key, version in commit.checks]
        puts = [(key, write.value, _duration(write.ttl_s)) for key, write in commit.writes if isinstance(write, Put)]
        deletes = [key for key, write in commit.writes if isinstance(write, DeleteEntry)]
        adds: list[tuple[bytes, Increment]] = [
            (key, write) for key, write in commit.writes if isinstance(write, Increment)
        ]

        def read(answer: list[Any]) -> bool:
            if answer[0] == 2:
                write = adds[int(answer[1]) - 1][1]
                raise ContractError(
                    f"cannot add {write.delta} to {answer[2]!r:.60} at {write.key!r}: not a counter, or beyond 64 bits"
                )
            return bool(answer[0])

        arguments = (
            self._now(),
            commit.token,
            _RECLAIM_MAX,
            *_rows(checks),
            *_rows(puts),
            *_list(deletes),
            *_rows([(key, write.delta) for key, write in adds]),
            *_rows(_message_rows(messages)),
            *_rows(_settlement_rows(settles)),
        )
        return ServerCall("commit", arguments, read)

    def enqueue(self, messages: Sequence[Message], /) -> ServerCall[None]:
        """See `ServerCalls.enqueue`."""
        return ServerCall("enqueue", (self._now(), *_rows(_message_rows(messages))), lambda _: None)

    def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> ServerCall[list[LeasedMessage]]:
        """See `ServerCalls.lease`."""
        names = list(dict.fromkeys(lanes))

        def read(answer: list[list[Any]]) -> list[LeasedMessage]:
            leases: list[LeasedMessage] = []
            for number, ident, group, dedup, delay_s, body, token, attempt in answer:
                message = Message(
                    ident, names[int(number) - 1], body, delay_s=float(delay_s), group=_text(group), dedup=_text(dedup)
                )
                leases.append(LeasedMessage(message, token, attempt))
            return leases

        arguments = (self._now(), limit, float(lease_s), os.urandom(_RANDOM_BYTES), *_list(_labels(names)))
        return ServerCall("lease", arguments, read)

    def extend(self, leases: Sequence[LeasedMessage], /, *, lease_s: float) -> ServerCall[list[LeasedMessage]]:
        """See `ServerCalls.extend`."""
        arguments = (self._now(), float(lease_s), *_list([leased.token for leased in leases]))
        return ServerCall("extend", arguments, _lost_among(leases))

    def settle(self, settlements: Sequence[Settlement], /) -> ServerCall[list[LeasedMessage]]:
        """See `ServerCalls.settle`."""
        leases = [settlement.leased for settlement in settlements]
        return ServerCall("settle", (self._now(), *_rows(_settlement_rows(settlements))), _lost_among(leases))

    def depth(self, lanes: Sequence[str], /) -> ServerCall[Depth]:
        """See `ServerCalls.depth`."""

        def read(answer: list[Any]) -> Depth:
            # Redis ends an array at the first nil.
            oldest = float(answer[3]) if len(answer) > 3 and answer[3] is not None else None
            return Depth(answer[0], answer[1], answer[2], oldest)

        return ServerCall("depth", (self._now(), *_list(_labels(lanes))), read, changes=False)

    def next_due(self, lanes: Sequence[str], /) -> ServerCall[float | None]:
        """See `ServerCalls.next_due`."""
        return ServerCall(
            "next_due",
            (self._now(), *_list(_labels(lanes))),
            lambda answer: None if answer is None else float(answer),
            changes=False,
        )

    def _now(self) -> bytes:
        return b"" if self._clock is None else _optional(repr(self._clock()).encode())


def _lost_among(leases: Sequence[LeasedMessage]) -> Callable[[list[bytes]], list[LeasedMessage]]:
    def read(answer: list[bytes]) -> list[LeasedMessage]:
        lost_tokens = set(answer)
        return [leased for leased in leases if leased.token in lost_tokens]

    return read


# --- arguments ------------------------------------------------------------------------------------------------------


def _list(items: Sequence[bytes]) -> tuple[Argument, ...]:
    return (len(items), *items)


def _rows(rows: Sequence[tuple[Argument, ...]]) -> tuple[Argument, ...]:
    return (len(rows), *(item for row in rows for item in row))


def _optional(value: bytes | None) -> bytes:
    return b"" if value is None else b"+" + value


def _duration(seconds: float | None) -> bytes:
    return b"" if seconds is None else _optional(repr(float(seconds)).encode())


def _message_rows(messages: Sequence[Message]) -> list[tuple[Argument, ...]]:
    return [
        (
            message.id,
            message.lane.encode(),
            _optional(_label(message.group)),
            _optional(_label(message.dedup)),
            float(message.delay_s),
            message.body,
        )
        for message in messages
    ]


def _settlement_rows(settlements: Sequence[Settlement]) -> list[tuple[Argument, ...]]:
    return [
        (settlement.leased.token, _duration(settlement.delay_s) if isinstance(settlement, Retry) else b"")
        for settlement in settlements
    ]


def _labels(texts: Sequence[str]) -> list[bytes]:
    return [text.encode() for text in dict.fromkeys(texts)]


def _label(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _text(label: bytes) -> str | None:
    return label[1:].decode() if label else None
