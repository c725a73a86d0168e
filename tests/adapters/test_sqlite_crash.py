"""Writers die by SIGKILL at random moments; what answered True is there, whole, and nothing is there by half.

A few rounds run with every test run. For more, say how many::

    APCORE_CRASH_ROUNDS=200 python -m pytest tests/adapters/test_sqlite_crash.py

Each round starts two processes with three committing threads each on the same file, and kills both some moments later. Every commit puts an entry, adds to
a counter and enqueues a message, so in the end there have to be as many of each; and every commit that a writer reported, by a write to a pipe after
True came back, has to be among them.
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


def acknowledged(path, synchronous, random):
    """Run writers, kill them at some moment, and give the tokens that they reported."""
    command = [sys.executable, "-c", _WRITER, str(path), synchronous]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) for _ in range(WRITERS)]
    try:
        heard = {writer.stdout: bytearray() for writer in writers}
        patience = random.randrange(1, 200)  # reports to hear before the moment is near
        while sum(len(text) for text in heard.values()) < 16 * patience or not all(heard.values()):
            for pipe in select.select(list(heard), [], [], 60)[0]:
                text = pipe.read(4096)
                assert text, "a writer ended by itself"
                heard[pipe] += text
        moment = monotonic() + random.random() * 0.005
        while monotonic() < moment:
            pass
    finally:
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
    for writer in writers:
        with writer:
            heard[writer.stdout] += writer.stdout.read()
            assert writer.wait() == -signal.SIGKILL
    tokens = set()
    for text in heard.values():
        assert len(text) % 16 == 0
        tokens.update(bytes(text[at : at + 16]) for at in range(0, len(text), 16))
    return tokens


@pytest.mark.parametrize("synchronous", ["full", "normal"])
def test_what_answered_true_survives_sigkill(synchronous, tmp_path):
    seed = Random().randrange(10**9)
    sys.stdout.write(f"seed {seed}\n")
    random = Random(seed)
    path = tmp_path / "a.db"
    told = set()
    for _ in range(max(1, ROUNDS // 2)):
        told |= acknowledged(path, synchronous, random)
        with closing(SqliteStore(path)) as store:
            found, after = set(), None
            while entries := store.scan(("entry",), after=after, limit=1000):
                found.update(entry.version for entry in entries if entry.value == entry.version * 40)
                after = entries[-1].key
            [count] = store.get([("count",)])
            assert told <= found
            assert len(found) == int(count.value) == store.depth(["lane"]).ready
        with closing(sqlite3.connect(path)) as other:
            assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    sys.stdout.write(f"{len(told)} commits told of, {len(found)} found\n")
