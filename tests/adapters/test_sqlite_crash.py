"""Kill writers at random moments: every reported commit is complete, and no commit is there in part.

A few rounds run with every test run. Set the number of rounds for more::

    APCORE_CRASH_ROUNDS=200 python -m pytest tests/adapters/test_sqlite_crash.py

Each round starts two processes with three committing threads each on the same file, and kills both a moment later.
Every commit puts an entry, adds to a counter and enqueues a message, so at the end their numbers are equal. A writer
reports each commit through a pipe after it has answered True; each reported commit must be in the file.
"""

from __future__ import annotations

import os
import select
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from random import Random
from time import monotonic

import pytest

from apcore.adapters.sqlite import SqliteStore

ROUNDS = int(os.environ.get("APCORE_CRASH_ROUNDS", "4"))
WRITERS = 2

_WRITER = """
import os, sys, threading
from apcore.adapters.sqlite import SqliteStore
from apcore.ports import Increment, Message, Put

path, synchronous = sys.argv[1:]
store = SqliteStore(path, synchronous=synchronous, busy_timeout_s=60)

def write():
    while True:
        token = os.urandom(16)
        writes = [Put(("entry", token.hex()), token * 40), Increment(("count",), 1)]
        if not store.commit([], writes, token=token, messages=[Message(token, "lane", b"", group=token.hex()[0])]):
            os._exit(1)
        os.write(1, token)

for _ in range(3):
    threading.Thread(target=write).start()
"""


def run_and_kill_writers(path, synchronous, random):
    """Run writers, kill them at a random moment, and return the tokens that they reported."""
    command = [sys.executable, "-c", _WRITER, str(path), synchronous]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) for _ in range(WRITERS)]
    try:
        reports = {writer.stdout: bytearray() for writer in writers}
        reports_min = random.randrange(1, 200)  # reports to read before the kill
        while sum(len(text) for text in reports.values()) < 16 * reports_min or not all(reports.values()):
            for pipe in select.select(list(reports), [], [], 60)[0]:
                text = pipe.read(4096)
                assert text, "a writer ended by itself"
                reports[pipe] += text
        moment = monotonic() + random.random() * 0.005
        while monotonic() < moment:
            pass
    finally:
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
    for writer in writers:
        with writer:
            reports[writer.stdout] += writer.stdout.read()
            assert writer.wait() == -signal.SIGKILL
    tokens = set()
    for text in reports.values():
        assert len(text) % 16 == 0
        tokens.update(bytes(text[at : at + 16]) for at in range(0, len(text), 16))
    return tokens


@pytest.mark.parametrize("synchronous", ["full", "normal"])
def test_reported_commits_survive_sigkill(synchronous, tmp_path):
    seed = Random().randrange(10**9)
    sys.stdout.write(f"seed {seed}\n")
    random = Random(seed)
    path = tmp_path / "a.db"
    reported = set()
    for _ in range(max(1, ROUNDS // 2)):
        reported |= run_and_kill_writers(path, synchronous, random)
        with closing(SqliteStore(path)) as store:
            stored, after = set(), None
            while entries := store.scan(("entry",), after=after, limit=1000):
                stored.update(entry.version for entry in entries if entry.value == entry.version * 40)
                after = entries[-1].key
            [count] = store.get([("count",)])
            assert reported <= stored
            assert len(stored) == int(count.value) == store.depth(["lane"]).ready
        with closing(sqlite3.connect(path)) as other:
            assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    sys.stdout.write(f"{len(reported)} commits reported, {len(stored)} stored\n")
