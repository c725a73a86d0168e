"""Facts and reasons to look, in one SQLite file."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from apcore.adapters.sqlite import open_url
from apcore.cli.step_results import expect
from apcore.ports import AtomicStore, Check, Done, Message, Put, Retry

__all__ = ["keep_facts", "open_in", "wake_a_worker"]

_LANE = "demo"


def open_in(directory: Path, /) -> AtomicStore:
    """Open the SQLite store of a step."""
    return open_url(f"sqlite:///{directory / 'demo.db'}")


def keep_facts(directory: Path, /) -> str:
    """Commit and read back; refuse a stale write; find everything again in a store opened anew."""
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


def wake_a_worker(directory: Path, /) -> str:
    """Lease, give back, lease again, settle; a late worker's token settles nothing."""
    with closing(open_in(directory)) as queue:
        queue.enqueue([Message(os.urandom(16), _LANE, b"%d" % number, group="one") for number in range(2)])
        [held] = queue.lease([_LANE], limit=10, lease_s=60)
        expect(not queue.lease([_LANE], limit=10, lease_s=60), "two workers hold messages of one group")
        expect(not queue.settle([Retry(held, 0)]), "a current lease cannot give its message back")
        [again] = queue.lease([_LANE], limit=10, lease_s=60)
        expect(again.message.id == held.message.id, "a message that came back lost its place in its group")
        expect((held.attempt, again.attempt) == (1, 2), f"attempts are {held.attempt} and {again.attempt}, not 1 and 2")
        expect(queue.settle([Done(held)]) == [held], "a late worker's token settled the message")
        expect(not queue.settle([Done(again)]), "a current lease cannot be settled")
        [last] = queue.lease([_LANE], limit=10, lease_s=60)
        expect(not queue.settle([Done(last)]), "the second message cannot be settled")
        depth = queue.depth([_LANE])
        expect((depth.ready, depth.delayed, depth.leased) == (0, 0, 0), f"settled messages remain: {depth}")
    return "2 messages of one group, leased one at a time, in order; a late token is reported lost"
