"""Provide helpers for the suites."""

from __future__ import annotations

from typing import Final

from apcore.ports import SCAN_LIMIT_MAX, KvStore, Message, MessageQueue, Put, StoreKey
from apcore.testing.conformance import Tokens

__all__ = ["PATIENCE_S", "counts", "id_of", "keys_under", "lease_ids", "make_message", "put", "value_of"]

PATIENCE_S: Final = 10.0
"""How long a wait may last. A woken thread has half of it, which is long even on a busy machine."""


def put(store: KvStore, tokens: Tokens, values: dict[StoreKey, bytes]) -> None:
    """Put entries without a check."""
    assert store.commit([], [Put(key, value) for key, value in values.items()], token=tokens())


def value_of(store: KvStore, key: StoreKey) -> bytes | None:
    """Read one value."""
    [entry] = store.get([key])
    return entry.value if entry else None


def keys_under(store: KvStore, prefix: StoreKey) -> list[StoreKey]:
    """Return the keys of one page."""
    return [entry.key for entry in store.scan(prefix, limit=SCAN_LIMIT_MAX)]


def id_of(number: int) -> bytes:
    """Return the id of the message that `make_message` makes for ``number``."""
    return number.to_bytes(16, "big")


def make_message(
    number: int, lane: str = "lane", *, group: str | None = None, dedup: str | None = None, delay_s: float = 0
) -> Message:
    """Make a message."""
    return Message(id_of(number), lane, b"%d" % number, group=group, dedup=dedup, delay_s=delay_s)


def lease_ids(queue: MessageQueue, *lanes: str, limit: int = 100) -> list[bytes]:
    """Lease for longer than any check, and return the ids in order."""
    return sorted(leased.message.id for leased in queue.lease(lanes, limit=limit, lease_s=1_000_001))


def counts(queue: MessageQueue, *lanes: str) -> tuple[int, int, int]:
    """Return how many messages are ready, delayed and leased."""
    depth = queue.depth(lanes)
    return depth.ready, depth.delayed, depth.leased
