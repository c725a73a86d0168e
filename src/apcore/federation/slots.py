"""Slots: how many messages a worker handles side by side, and whose.

Each kind of work (what arrived, fan-outs, deliveries) has slots of its own, so no kind starves another. A message gets
a slot as soon as one is free, and is handled on its own. If it takes longer than `SLOW_S`, it gives its slot up and
goes on beside, in the slow room of its kind: so nothing slow takes the slots of others. The slow room is bounded in
all, for each peer, and for peers that are new together. When the share of a peer is full, more of its work is returned
to the queue for a while; a peer that was prompt since this worker began is not new.

This is bookkeeping alone: it knows no queue, no clock and no thread. Times are seconds on any clock that never goes
back.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Final

from attrs import define, field, frozen

from apcore.errors import ConfigurationError, ContractError
from apcore.federation.wake_ups import KINDS, kind_of_lane, read_wake
from apcore.ports import LEASE_MAX, LeasedMessage

__all__ = ["HANDLER_LIMIT_S", "SLOTS", "SLOTS_MAX", "SLOW_S", "Job", "Slots", "WorkerPolicy"]

SLOTS: Final = 48
"""How many messages of a kind are handled side by side unless told otherwise, not counting slow ones."""
SLOTS_MAX: Final = 1000
HANDLER_LIMIT_S: Final = 300.0
"""How long the handling of a message may take unless told otherwise."""
SLOW_S: Final = 1.0
"""A message that takes longer gives its slot up."""
_SLOW_ROOM: Final = 2
"""The slow room of a kind, as a multiple of its slots. Peers that are new have half of it together."""
_PEER_SHARE: Final = 4
"""One peer has at most this part of the slots in the slow room."""
_AVOID_S: Final = 0.3
"""For how long, to twice as long, a lane is left to another node's worker."""
_PUT_BACK_S: Final = 1.0
_PUT_BACK_S_MAX: Final = 30.0
_PUT_BACK_STEP: Final = 10
_PROMPT_MAX: Final = 10_000
"""So many peers are remembered as prompt."""


@frozen(kw_only=True)
class WorkerPolicy:
    """How a worker handles messages.

    Raises:
        ConfigurationError: A bound that makes no sense.
    """

    slots: int = SLOTS
    """How many messages of a kind are handled side by side, not counting those that take longer than a second.

    For `Node`, 0 handles one after another in the calling thread."""
    handler_limit_s: float = HANDLER_LIMIT_S
    """After so long, the attempt at a message has failed."""
    lease_s: float = 90.0
    """How long a message that is handled stays this worker's without a word from it. It says so each third of that."""

    def __attrs_post_init__(self) -> None:
        if type(self.slots) is not int or not 0 <= self.slots <= SLOTS_MAX:
            raise ConfigurationError(f"slots is a number from 0 to {SLOTS_MAX}, not {self.slots!r:.40}")
        if not 0 < self.handler_limit_s <= 86_400:
            raise ConfigurationError(
                f"handler_limit_s is a number of seconds up to a day, not {self.handler_limit_s!r:.40}"
            )
        if not 0.03 <= self.lease_s <= 86_400:
            raise ConfigurationError(f"lease_s is a number of seconds from 0.03 to a day, not {self.lease_s!r:.40}")


@define(eq=False)
class Job:
    """One message that is being handled."""

    leased: LeasedMessage
    kind: str
    peer: str | None
    began_s: float
    is_new: bool
    """Whether its peer was new when it began."""
    is_lost: bool = False
    """Whether its lease is another worker's by now."""
    is_overdue: bool = False
    """Whether it has taken longer than a handler may, and was recorded as failed."""


@define
class _Room:
    """What of one kind is under way."""

    young: OrderedDict[int, Job] = field(factory=OrderedDict[int, Job])
    """In their slots, the oldest first; by `id`."""
    slow: dict[int, Job] = field(factory=dict[int, Job])
    slow_by_peer: Counter[str] = field(factory=Counter[str])
    slow_new: int = 0


class Slots:
    """The messages that one worker has under way."""

    def __init__(self, policy: WorkerPolicy) -> None:
        self._policy = policy
        self._size = max(1, policy.slots)
        self._rooms = {kind: _Room() for kind in KINDS}
        self._prompt: OrderedDict[str, None] = OrderedDict()
        self._put_back: Counter[tuple[str, str]] = Counter()
        self._facts: set[tuple[str, str]] = set()
        self._forsaken = 0
        self._avoided: dict[str, float] = {}

    @property
    def jobs(self) -> list[Job]:
        """Every message that is under way, forsaken ones left out."""
        return [job for room in self._rooms.values() for job in (*room.slow.values(), *room.young.values())]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is under way."""
        return not any(room.young or room.slow for room in self._rooms.values())

    def free(self, kind: str, now_s: float) -> int:
        """Return how many more messages of a kind may be leased now, at most as many as one lease takes."""
        room = self._rooms[kind]
        self._age(room, now_s)
        in_all = self._size * (1 + _SLOW_ROOM) - len(room.young) - len(room.slow)
        return max(0, min(self._size - len(room.young), in_all, LEASE_MAX))

    def avoid(self, leased: LeasedMessage, now_s: float) -> None:
        """Leave the lane of a message of another node's origin to that node's worker for a moment.

        Both workers look into the lane, and the quicker one would take every message first. How long differs by message, so that
        two workers do not avoid each other in step.
        """
        self._avoided[leased.message.lane] = now_s + _AVOID_S * (1 + leased.message.id[-1] / 255)

    def open_lanes(self, lanes: Sequence[str], now_s: float) -> list[str]:
        """Return those of ``lanes`` that are not avoided now."""
        return [lane for lane in lanes if self._avoided.get(lane, now_s) <= now_s]

    def change_s(self, now_s: float) -> float:
        """Return in how many seconds a slot becomes free because its message turns slow; `SLOW_S` if none does."""
        firsts = [next(iter(room.young.values())) for room in self._rooms.values() if room.young]
        return max(0.0, min((job.began_s + SLOW_S - now_s for job in firsts), default=SLOW_S))

    def begin(self, leased: LeasedMessage, now_s: float) -> Job | float:
        """Take a leased message in.

        If its peer's share is full or its fact is under way, return for how many seconds to put it back instead.
        """
        kind = kind_of_lane(leased.message.lane)
        room = self._rooms.setdefault(kind, _Room())
        self._age(room, now_s)
        peer = _peer_of(leased)
        is_new = peer is not None and peer not in self._prompt
        if peer is not None and (
            room.slow_by_peer[peer] >= max(1, self._size // _PEER_SHARE) or (is_new and room.slow_new >= self._size)
        ):
            self._put_back[kind, peer] += 1
            return min(_PUT_BACK_S + self._put_back[kind, peer] / _PUT_BACK_STEP, _PUT_BACK_S_MAX)
        fact = _fact_of(leased)
        if fact is not None:
            if fact in self._facts:
                # Its lease was lost to this very worker, which still handles it.
                return _PUT_BACK_S
            self._facts.add(fact)
        if peer is not None:
            del self._put_back[kind, peer]
        job = Job(leased, kind, peer, now_s, is_new)
        room.young[id(job)] = job
        return job

    def end(self, job: Job, now_s: float) -> None:
        """Take note that a message is not under way any more. Telling it again changes nothing."""
        room = self._rooms[job.kind]
        self._age(room, now_s)
        if room.young.pop(id(job), None) is not None:
            if job.peer is not None and not job.is_overdue:
                self._prompt[job.peer] = None
                self._prompt.move_to_end(job.peer)
                if len(self._prompt) > _PROMPT_MAX:
                    _ = self._prompt.popitem(last=False)
        elif room.slow.pop(id(job), None) is not None:
            room.slow_new -= job.is_new
            if job.peer is not None:
                room.slow_by_peer[job.peer] -= 1
                if not room.slow_by_peer[job.peer]:
                    del room.slow_by_peer[job.peer]
        elif job.is_overdue:
            self._forsaken -= 1
            return
        fact = _fact_of(job.leased)
        if fact is not None:
            self._facts.discard(fact)

    def forsake(self, job: Job, now_s: float) -> bool:
        """Free the slot of an overdue message whose handler cannot be ended; False if too many are forsaken already.

        `end` is told when the handler ends after all.
        """
        job.is_overdue = True
        if self._forsaken >= self._size:
            return False
        self.end(job, now_s)
        self._forsaken += 1
        return True

    def overdue(self, now_s: float) -> Sequence[Job]:
        """Return the messages that have newly taken longer than a handler may."""
        limit_s = self._policy.handler_limit_s
        return [job for job in self.jobs if not job.is_overdue and now_s - job.began_s >= limit_s]

    def _age(self, room: _Room, now_s: float) -> None:
        """Move messages that have turned slow out of their slots."""
        while room.young:
            key, job = next(iter(room.young.items()))
            if now_s - job.began_s < SLOW_S:
                return
            del room.young[key]
            room.slow[key] = job
            room.slow_new += job.is_new
            if job.peer is not None:
                room.slow_by_peer[job.peer] += 1
                _ = self._prompt.pop(job.peer, None)


def _peer_of(leased: LeasedMessage) -> str | None:
    try:
        return read_wake(leased.message).peer
    except ContractError:
        return None


def _fact_of(leased: LeasedMessage) -> tuple[str, str] | None:
    message = leased.message
    return None if message.dedup is None else (kind_of_lane(message.lane), message.dedup)
