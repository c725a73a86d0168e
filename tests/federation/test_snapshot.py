"""Check the snapshot of a request: each entry serves one rule, and a fetch or a write drops the rest."""

from __future__ import annotations

from typing import Any

import pytest

from apcore.drivers import run
from apcore.effects import Commit, Fetch, Get, Now, RandomBytes, commit
from apcore.federation.snapshot import Snapshot, read_snapshot
from apcore.ports import GET_KEYS_MAX, Put
from inbox_fixture import ALICE, BOB, INBOX, SHARED, Ground, reason_of

KEY, OTHER = ("test", "1", "a"), ("test", "1", "b")


@pytest.fixture
def ground() -> Ground:
    ground = Ground()
    ground.post(ground.bob.request(note(ground, 0), SHARED))
    ground.asked.clear()
    return ground


def note(ground: Ground, number: int, **members: Any) -> dict[str, Any]:
    note = {"id": f"{BOB}/notes/{number}", "type": "Note", "attributedTo": BOB, "content": "hi"}
    return ground.bob.activity("Create", id=f"{BOB}/creates/{number}", object=note, **members)


def kinds_asked(ground: Ground) -> list[type[Any]]:
    return [type(effect) for effect in ground.asked]


@pytest.mark.parametrize("members", [{}, {"to": [ALICE]}], ids=["to nobody", "to an actor of ours"])
def test_delivery_with_a_known_key_reads_once(ground: Ground, members: dict[str, Any]):
    assert ground.post(ground.bob.request(note(ground, 1, **members), SHARED)).status == 202
    assert kinds_asked(ground) == [Now, Get, RandomBytes, Commit]


def test_delivery_to_an_inbox_reads_once(ground: Ground):
    ground.post(ground.bob.request(note(ground, 1), INBOX))
    ground.asked.clear()
    assert ground.post(ground.bob.request(note(ground, 2), INBOX)).status == 202
    assert kinds_asked(ground) == [Now, Get, RandomBytes, Commit]


def test_rule_of_another_process_counts_for_the_next_delivery(ground: Ground):
    ground.node.block_domain("remote.example")
    assert reason_of(ground.post(ground.bob.request(note(ground, 1), SHARED))) == "forbidden"
    ground.node.unblock_domain("remote.example")
    assert ground.post(ground.bob.request(note(ground, 2), SHARED)).status == 202


def test_block_of_another_process_counts_for_the_next_delivery(ground: Ground):
    ground.post(ground.bob.request(note(ground, 1), INBOX))
    ground.node.block(BOB, by="alice")
    assert reason_of(ground.post(ground.bob.request(note(ground, 2), INBOX))) == "actor-blocked"


def test_key_that_was_removed_from_the_store_is_fetched(ground: Ground):
    """A decoded key is kept for its stored bytes, and counts only while the store has them."""
    [entry] = ground.store.scan(("key",), limit=10)
    assert run(commit((), (Put(entry.key, entry.value, 0.5),)), ground.node.ports)
    ground.clock.pass_s(1)
    ground.asked.clear()
    assert ground.post(ground.bob.request(note(ground, 1), SHARED)).status == 202
    assert Fetch in kinds_asked(ground)


def test_entry_serves_one_rule(ground: Ground):
    run(commit((), (Put(KEY, b"old"),)), ground.node.ports)
    snapshot = run(read_snapshot(ground.clock.now(), [KEY, OTHER, KEY]), ground.node.ports)
    run(commit((), (Put(KEY, b"new"),)), ground.node.ports)
    values = [run(snapshot.get([KEY]), ground.node.ports)[0] for _ in range(2)]
    assert [entry and entry.value for entry in values] == [b"old", b"new"]


def test_entries_are_taken_together_or_not_at_all(ground: Ground):
    snapshot = run(read_snapshot(ground.clock.now(), [KEY]), ground.node.ports)
    assert snapshot.take([KEY, OTHER]) is None
    assert snapshot.take([KEY]) == [None]
    assert snapshot.take([KEY]) is None


def test_dropped_snapshot_reads_the_clock_and_the_store(ground: Ground):
    snapshot = run(read_snapshot(ground.clock.now(), [KEY]), ground.node.ports)
    began = ground.clock.now()
    ground.clock.pass_s(5)
    assert run(snapshot.now(), ground.node.ports) == began
    snapshot.drop()
    assert run(snapshot.now(), ground.node.ports) == ground.clock.now()
    assert snapshot.take([KEY]) is None


def test_time_of_a_delivery_is_read_anew_after_a_fetch():
    """Otherwise an activity whose key took long to fetch would count as received before it was."""
    ground = Ground()
    assert ground.post(ground.bob.request(note(ground, 1), SHARED)).status == 202
    kinds = kinds_asked(ground)
    last_fetch = max(index for index, kind in enumerate(kinds) if kind is Fetch)
    assert Now in kinds[last_fetch:]


def test_keys_are_bounded(ground: Ground):
    keys = [("test", "1", str(number)) for number in range(GET_KEYS_MAX + 1)]
    snapshot = run(read_snapshot(ground.clock.now(), keys), ground.node.ports)
    assert snapshot.take(keys[:GET_KEYS_MAX]) == [None] * GET_KEYS_MAX
    assert snapshot.take(keys[GET_KEYS_MAX:]) is None
    assert Snapshot().take([KEY]) is None
