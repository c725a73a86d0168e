"""A short run of the crash test, and that it would notice."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.ports import Add, Message, Put

SCRIPT = Path(__file__).with_name("kill_writers.py")


def test_a_few_kills_lose_nothing():
    command = [sys.executable, str(SCRIPT), "--kills", "4", "--writers", "2", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every commit that answered True is there" in done.stdout


@pytest.fixture
def store():
    """What a writer leaves that was told True for 0 and 1, and killed before it heard about 2."""
    store = MemoryStore()
    for number in range(3):
        writes = [Put(("n", "w", f"{number:08}"), b""), Add(("count",), 1)]
        message = Message(bytes([number] * 16), "written", b"w/%d" % number)
        assert store.commit([], writes, token=bytes([number] * 16), messages=[message])
    return store


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ([0, 1], []),
        ([0, 1, 2], []),
        ([0], ["w: 3 commits, though it only said 1"]),
        ([0, 1, 2, 3], ["w: 1 acknowledged commits are gone, the first is 3"]),
    ],
    ids=["one-unheard", "all-heard", "two-unheard", "one-lost"],
)
def test_what_was_said_is_held_against_the_store(store, said, says):
    wrong = runpy.run_path(str(SCRIPT))["wrong"]
    assert wrong(store, [SimpleNamespace(name="w", said=said)]) == says


def test_a_lost_message_and_a_lost_count_are_noticed(store):
    [leased] = store.lease(["written"], limit=1, lease_s=60)
    assert leased.attempt == 1
    assert store.commit([], [Add(("count",), 1)], token=bytes(16))
    wrong = runpy.run_path(str(SCRIPT))["wrong"]
    assert wrong(store, [SimpleNamespace(name="w", said=[0, 1, 2])]) == [
        "the counter says 4, and there are 3 entries",
        "there are 2 messages, and 3 entries",
    ]
