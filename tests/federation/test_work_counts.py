"""Count the work for one delivery to an inbox and for one delivery of ours. Counts do not depend on the machine.

A change that needs more effects or more Python calls fails here. If it is worth its price, raise the number in the same
commit and say why; after an improvement, lower it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from apcore.effects import Call, Commit, Effect, Fetch, Get, Now, RandomBytes, Sign
from apcore.federation.wake_ups import DELIVER, FANOUT
from apcore.federation.worker import lease_lanes, lease_work
from apcore.vocab import Note
from inbox_fixture import ALICE, BOB, INBOX, SHARED, Ground

POST_EFFECTS = {Now: 1, Get: 1, RandomBytes: 1, Commit: 1}
"""The effects of a POST by an actor whose key is known, to an actor that was seen lately."""
PROCESS_EFFECTS = {Get: 2, Now: 3, Call: 1, RandomBytes: 1, Commit: 1}
"""The effects of processing a Create whose listener writes nothing. Its lease is shared with others.

One `Get` and two `Now` are for the copy of the delivered object that is kept (`delivered_copies`).
"""
STEP = 20
STEP_EFFECTS_MAX = 64
"""The effects of such a step, all deliveries to one server: 3.2 for each, its signature and its request included."""
POST_CALLS_MAX = {"shared": 490, "actor": 560}
"""The most Python calls of such a POST, those of the memory store included."""


def create(ground: Ground, number: int) -> dict[str, Any]:
    """Return an activity as servers send it: 3 KB, public, with an inline context."""
    note = {
        "id": f"{BOB}/notes/{number}",
        "type": "Note",
        "attributedTo": BOB,
        "content": "<p>" + "word " * 600 + "</p>",
        "to": ["https://www.w3.org/ns/activitystreams#Public"],
        "cc": [f"{BOB}/followers"],
    }
    activity = ground.bob.activity("Create", id=f"{BOB}/creates/{number}", object=note, to=note["to"], cc=note["cc"])
    context = ["https://www.w3.org/ns/activitystreams", {"sensitive": "as:sensitive", "Hashtag": "as:Hashtag"}]
    return {**activity, "@context": context}


def count_calls(job: Callable[[], object]) -> int:
    """Run ``job``, and return the number of Python functions and generator steps that were entered."""
    calls = 0

    def hook(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(hook)
    try:
        job()
    finally:
        sys.setprofile(before)
    return calls


def effects_of(ground: Ground, job: Callable[[], object]) -> Counter[type[Effect[Any]]]:
    ground.asked.clear()
    job()
    return Counter(map(type, ground.asked))


@pytest.mark.parametrize("inbox", [SHARED, INBOX], ids=["shared", "actor"])
def test_post_needs_four_effects(inbox: str):
    ground = Ground()
    requests = [ground.bob.request(create(ground, number), inbox) for number in range(3)]
    for request in requests[:2]:
        assert ground.post(request).status == 202
    assert effects_of(ground, lambda: ground.post(requests[2])) == POST_EFFECTS


@pytest.mark.parametrize("inbox", [SHARED, INBOX], ids=["shared", "actor"])
def test_post_needs_few_python_calls(inbox: str):
    ground = Ground(observed=False)
    requests = [ground.bob.request(create(ground, number), inbox) for number in range(8)]
    for request in requests[:5]:
        assert ground.post(request).status == 202
    # The least of three: the memory store sometimes reclaims what has expired.
    calls = min(count_calls(lambda request=request: ground.post(request)) for request in requests[5:])
    assert calls <= POST_CALLS_MAX["shared" if inbox == SHARED else "actor"]


def test_processing_needs_one_read_and_one_commit():
    ground = Ground()
    ground.records_runs = False
    for number in range(5):
        assert ground.post(ground.bob.request(create(ground, number), SHARED)).status == 202
        ground.work()
    assert ground.post(ground.bob.request(create(ground, 9), SHARED)).status == 202
    [message] = ground.node.run(lease_work(0))
    counts = effects_of(ground, lambda: ground.node.handle_leased(message))
    assert counts == PROCESS_EFFECTS


def test_step_of_twenty_deliveries_needs_few_effects_and_one_commit():
    ground = Ground()
    follow = ground.bob.activity("Follow", id=f"{BOB}/follows/1", object=ALICE)
    assert ground.post(ground.bob.request(follow, INBOX)).status == 202
    ground.work()
    for number in range(STEP):
        ground.node.publish(Note(content=f"hi {number}"), by="alice", visibility="public")
    while leased := ground.node.run(lease_lanes(ground.node.lanes[FANOUT], limit=STEP)):
        for message in leased:
            ground.node.handle_leased(message)
    received_before = len(ground.bob.received)
    [message] = ground.node.run(lease_lanes(ground.node.lanes[DELIVER], limit=STEP))
    counts = effects_of(ground, lambda: ground.node.handle_leased(message))
    assert len(ground.bob.received) - received_before == STEP
    assert counts[Sign] == counts[Fetch] == STEP
    assert counts[Commit] == 1
    assert counts.total() <= STEP_EFFECTS_MAX
