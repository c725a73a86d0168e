"""Check the store and the queue in one SQLite file."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from apcore.adapters.sqlite import open_url
from apcore.cli.step_results import expect
from apcore.ports import AtomicStore, Check, Done, Message, Put, Retry

__all__ = ["keep_entries", "lease_and_settle", "open_in"]

_LANE = "demo"


def open_in(directory: Path, /) -> AtomicStore:
    """Open the SQLite store of a step."""
    return open_url(f"sqlite:///{directory / 'demo.db'}")


def keep_entries(directory: Path, /) -> str:
    """Commit and read entries, check that a stale write is refused, and read all entries after reopening the store."""
    key = ("demo", "note")
    first, second, late = (os.urandom(16) for _ in range(3))
    with closing(open_in(directory)) as store:
        expect(
            store.commit([Check(key, None)], [Put(key, b"first")], token=first), "a commit on an empty store is False"
        )
        expect(
            store.commit([Check(key, first)], [Put(key, b"second")], token=second),
            "a commit at the right version is False",
        )
        expect(
            not store.commit([Check(key, first)], [Put(key, b"late")], token=late),
            "a commit at a stale version is True",
        )
        durability = store.durability
    with closing(open_in(directory)) as reopened:
        [entry] = reopened.get([key])
        expect(entry is not None and entry.value == b"second", f"after reopening, {key} holds {entry!r}")
        expect(entry is not None and entry.version == second, "after reopening, the version is another")
        [scanned] = reopened.scan(("demo",), limit=10)
        expect(scanned == entry, f"scan and get disagree: {scanned!r} and {entry!r}")
    return f"3 commits, 1 of them stale and refused; read back after reopening (durability: {durability})"


def lease_and_settle(directory: Path, /) -> str:
    """Lease, retry and settle messages, and check that an old token settles nothing."""
    with closing(open_in(directory)) as queue:
        queue.enqueue([Message(os.urandom(16), _LANE, b"%d" % number, group="one") for number in range(2)])
        [first] = queue.lease([_LANE], limit=10, lease_s=60)
        expect(not queue.lease([_LANE], limit=10, lease_s=60), "two workers have leased messages of one group")
        expect(not queue.settle([Retry(first, 0)]), "a current lease cannot be ended with a retry")
        [second] = queue.lease([_LANE], limit=10, lease_s=60)
        expect(second.message.id == first.message.id, "a retried message lost its place in its group")
        attempts = (first.attempt, second.attempt)
        expect(attempts == (1, 2), f"the attempts are {attempts[0]} and {attempts[1]}, not 1 and 2")
        expect(queue.settle([Done(first)]) == [first], "the token of an ended lease settled the message")
        expect(not queue.settle([Done(second)]), "a current lease cannot be settled")
        [last] = queue.lease([_LANE], limit=10, lease_s=60)
        expect(not queue.settle([Done(last)]), "the second message cannot be settled")
        depth = queue.depth([_LANE])
        expect((depth.ready, depth.delayed, depth.leased) == (0, 0, 0), f"settled messages remain: {depth}")
    return "2 messages of one group, leased one at a time, in order; an old token is reported as lost"
