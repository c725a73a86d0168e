"""Let five servers poll twenty sources for a virtual day, while half of all activities are also delivered.

Sources differ: some are silent and some busy, with pages by cursor, by offset or none, with and without validators.
Servers and sources fail, and workers die in the middle of polls. `APCORE_SEEDS=200` plays more histories, each for a
week of virtual time.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any, Literal

import pytest
from attrs import define, field

from apcore.errors import ConnectFailed
from apcore.federation import PollPolicy
from apcore.federation.wake_ups import POLL, lanes_for
from apcore.federation.worker import handle, lease_lanes
from apcore.http import Response
from source_pages import Crash, Reader, Source, SourceWeb, crash_before

SEEDS = int(os.environ.get("APCORE_SEEDS", "1"))
DAYS = 1 if SEEDS <= 4 else 7
SOURCES, READERS = 20, 5
STEP_S = 120
POLICY = PollPolicy(interval_s=900, interval_s_min=600, interval_s_max=3600)
TWO_INTERVALS = timedelta(seconds=2 * 3600 * 1.1 + 2 * STEP_S)
PAGINGS: tuple[Literal["cursor", "offset", "none"], ...] = ("cursor", "offset", "none")
OUTAGES = (ConnectFailed("cut"), Response(503), Response(429, {"retry-after": "1200"}))


@define
class Published:
    """One activity, the time of its publication, and the times at which its source could be reached since."""

    source: Source
    id: str
    at: datetime
    reachable_s: float = 0.0


@define
class Day:
    """One history."""

    seed: int
    web: SourceWeb = field(factory=SourceWeb)
    sources: list[Source] = field(factory=list)
    readers: list[Reader] = field(factory=list)
    published: list[Published] = field(factory=list)
    rates: dict[str, float] = field(factory=dict)
    """The activities of each source in an hour."""
    first_requests: dict[str, int] = field(factory=dict)
    """The number of requests to each source in the first hour, in which it is read for the first time."""
    crashes: int = 0
    pushes: int = 0

    def begin(self) -> None:
        rng = random.Random(self.seed)
        for number in range(SOURCES):
            source = Source(
                self.web,
                f"source{number}.example",
                paging=PAGINGS[number % 3],
                page_size=rng.choice([3, 5, 20]),
                embeds=number % 4 != 3,
                sends_validators=number % 5 != 4,
            )
            self.rates[source.here] = 0.0 if number < 8 else rng.choice([0.1, 0.5, 2.0])
            self.sources.append(source)
            for _ in range(rng.randrange(4)):
                self._publish(source)
        for number in range(READERS):
            reader = Reader(self.web, f"https://reader{number}.example", polls=POLICY)
            for source in self.sources:
                _ = reader.node.subscribe(rng.choice([source.actor, source.outbox]), history=3)
            self.readers.append(reader)

    def play(self) -> None:
        rng = random.Random(self.seed + 1)
        self.begin()
        for tick in range(DAYS * 86400 // STEP_S):
            hours = STEP_S / 3600
            if tick == 3600 // STEP_S:
                self.first_requests = {source.here: len(source.statuses) for source in self.sources}
            for source in self.sources:
                if source.answer is None:
                    if rng.random() < self.rates[source.here] * hours:
                        self._publish(source)
                        self._push(source, rng)
                    if rng.random() < 0.02 * hours:
                        source.answer = rng.choice(OUTAGES)
                elif rng.random() < 2 * hours:
                    source.answer = None
            for entry in self.published:
                entry.reachable_s += STEP_S if entry.source.answer is None else 0
            for reader in self.readers:
                if tick and rng.random() < 0.01:
                    self._crash(reader, rng)
                _ = reader.node.work(until_idle=True)
            self.web.runtime.moment += timedelta(seconds=STEP_S)

    def _publish(self, source: Source) -> None:
        self.published.append(Published(source, source.publish(), self.web.runtime.moment))

    def _push(self, source: Source, rng: random.Random) -> None:
        if rng.random() < 0.5:
            activity = {"@context": "https://www.w3.org/ns/activitystreams", **source.items[0]}
            for reader in self.readers:
                self.pushes += 1
                response = source.peer.deliver(reader.node, activity, to=rng.choice([None, "rita"]))
                assert response.status == 202

    def _crash(self, reader: Reader, rng: random.Random) -> None:
        """Let a worker of the reader die in the middle of a poll."""
        for leased in reader.node.run(lease_lanes(lanes_for(POLL), limit=3)):
            op = handle(reader.node.site(), leased)
            try:
                reader.node.run(crash_before(op, rng.randrange(1, 25)))
            except Crash:
                self.crashes += 1


@pytest.mark.parametrize("seed", range(SEEDS))
def test_pollers_miss_nothing_repeat_nothing_and_stay_within_their_budget(seed: int) -> None:
    day = Day(seed)
    day.play()
    assert day.pushes > 50
    assert len(day.published) > 80

    for reader in day.readers:
        calls = Counter(reader.calls)
        assert max(calls.values()) == 1, f"seed {seed}: an activity ran the listener twice"
        missed = [
            entry
            for entry in day.published
            if entry.id not in calls and entry.reachable_s >= TWO_INTERVALS.total_seconds() and is_settled(entry, day)
        ]
        assert [(entry.id, entry.at) for entry in missed] == [], f"seed {seed}"

    for source in day.sources:
        statuses = [status for _, status in source.statuses]
        # One request for each poll; after news, one more for each page that is read again, and for each item that is
        # not embedded. The first polls find the actor and the collection.
        news = sum(entry.source is source for entry in day.published)
        polls = DAYS * 86400 / (POLICY.interval_s_min * 0.9)
        assert len(statuses) <= READERS * (polls + 6 * news + 10), f"seed {seed}: {source.here}"
        if not day.rates[source.here] and source.sends_validators:
            later = statuses[day.first_requests[source.here] :]
            answers = [status for status in later if status in {200, 304}]
            assert answers.count(304) >= 0.9 * len(answers), f"seed {seed}: {source.here}"


def is_settled(entry: Published, day: Day) -> bool:
    """Return whether the last poll, and not an outage before it, decides: after an outage the pause is longer."""
    states: list[Any] = []
    for reader in day.readers:
        states += [reader.node.subscription(address) for address in (entry.source.actor, entry.source.outbox)]
    return all(state is None or state.state == "active" for state in states)
