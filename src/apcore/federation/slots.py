"""Allot slots: decide how many messages a worker handles at once, and of which kinds and peers.

Each kind of work (received activities, fan-outs, deliveries) has its own slots, so no kind starves another. A message
gets a slot as soon as one is free, and is handled independently of the others. A message that takes longer than
`SLOW_S` gives up its slot and continues in the slow room of its kind, so slow messages never take the slots of others.

The slow room is bounded in total, for each peer, and for all new peers together. When a peer's share is full, more of
its messages are returned to the queue for a while. A peer is new until one of its messages has ended without turning
slow, and again after one has turned slow. A worker that starts knows only new peers.

This module only keeps the books: it knows no queue, no clock and no thread. Times are seconds on any monotonic clock.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Final

from attrs import define, field, frozen

from apcore.errors import ConfigurationError, ContractError
from apcore.federation.time_limits import HANDLER_LIMIT_S, LEASE_S
from apcore.federation.wake_ups import KINDS, kind_of_lane, read_wake
from apcore.ports import LEASE_MAX, LeasedMessage

__all__ = ["SLOTS", "SLOTS_MAX", "SLOW_S", "Job", "Slots", "WorkerPolicy"]

SLOTS: Final = 48
"""The default number of messages of a kind that are handled at once, not counting slow ones."""
SLOTS_MAX: Final = 1000
"""The most slots that a policy may allow."""
SLOW_S: Final = 1.0
"""A message that takes longer gives up its slot."""
_SLOW_ROOM: Final = 2
"""The size of the slow room of a kind, as a multiple of its slots. All new peers together may use half of it."""
_PEER_SHARE: Final = 4
"""One peer may have as many messages in the slow room as there are slots, divided by this number."""
_AVOID_S: Final = 0.3
"""The shortest time for which a lane is left to the worker of another node; the longest is twice as long."""
_PUT_BACK_S: Final = 1.0
"""The first delay of a message that is returned to the queue."""
_PUT_BACK_S_MAX: Final = 30.0
_PUT_BACK_STEP: Final = 10
"""The returned messages of one peer for which the delay grows by a second."""
_PROMPT_MAX: Final = 10_000
"""The most peers that are remembered as prompt."""


@frozen(kw_only=True)
class WorkerPolicy:
    """The slots, the time limit and the leases of a worker.

    Raises:
        ConfigurationError: A bound is out of its range.
    """

    slots: int = SLOTS
    """The number of messages of a kind that are handled at once, not counting those that take longer than a second.

    For `Node`, 0 means one message after another in the calling thread."""
    handler_limit_s: float = HANDLER_LIMIT_S
    """The time after which the attempt at a message has failed."""
    lease_s: float = LEASE_S
    """The length of the lease of a message. While it is handled, the worker extends the lease every third of it."""

    def __attrs_post_init__(self) -> None:
        if type(self.slots) is not int or not 0 <= self.slots <= SLOTS_MAX:
            raise ConfigurationError(f"slots is a whole number from 0 to {SLOTS_MAX}, not {self.slots!r:.40}")
        if not 0 < self.handler_limit_s <= 86_400:
            raise ConfigurationError(
                f"handler_limit_s is a number of seconds above 0 and up to a day, not {self.handler_limit_s!r:.40}"
            )
        if not 0.03 <= self.lease_s <= 86_400:
            raise ConfigurationError(f"lease_s is a number of seconds from 0.03 to a day, not {self.lease_s!r:.40}")


@define(eq=False)
class Job:
    """A message that is being handled."""

    leased: LeasedMessage
    kind: str
    peer: str | None
    began_s: float
    is_new: bool
    """Whether the peer was new when the job began."""
    is_lost: bool = False
    """Whether another worker has the lease by now."""
    is_overdue: bool = False
    """Whether the job exceeded the handler limit and was recorded as failed."""


@define
class _Room:
    """The jobs of one kind."""

    young: OrderedDict[int, Job] = field(factory=OrderedDict[int, Job])
    """The jobs in slots, the oldest first, by their `id`."""
    slow: dict[int, Job] = field(factory=dict[int, Job])
    slow_by_peer: Counter[str] = field(factory=Counter[str])
    slow_new: int = 0


class Slots:
    """The messages that one worker is handling."""

    def __init__(self, policy: WorkerPolicy) -> None:
        self._policy = policy
        self._size = max(1, policy.slots)
        self._rooms = {kind: _Room() for kind in KINDS}
        self._prompt: OrderedDict[str, None] = OrderedDict()
        self._put_back: Counter[tuple[str, str]] = Counter()
        self._records: dict[tuple[str, str], Job] = {}
        """The job that handles each record."""
        self._forsaken: set[Job] = set()
        self._avoided: dict[str, float] = {}

    @property
    def jobs(self) -> list[Job]:
        """Return all jobs except the forsaken ones (see `forsake`)."""
        return [job for room in self._rooms.values() for job in (*room.slow.values(), *room.young.values())]

    @property
    def is_empty(self) -> bool:
        """Return whether there are no jobs, apart from forsaken ones."""
        return not any(room.young or room.slow for room in self._rooms.values())

    def free(self, kind: str, now_s: float) -> int:
        """Return how many more messages of a kind may be leased now, at most the size of one lease."""
        room = self._rooms[kind]
        self._age(room, now_s)
        total_free = self._size * (1 + _SLOW_ROOM) - len(room.young) - len(room.slow)
        return max(0, min(self._size - len(room.young), total_free, LEASE_MAX))

    def avoid(self, leased: LeasedMessage, now_s: float) -> None:
        """Leave the lane of a message of another node's origin to that node's worker for a moment.

        Both workers lease from the lane, and the quicker one would get every message first. The pause depends on the
        message, so that two workers do not avoid the lane in step.
        """
        self._avoided[leased.message.lane] = now_s + _AVOID_S * (1 + leased.message.id[-1] / 255)

    def open_lanes(self, lanes: Sequence[str], now_s: float) -> list[str]:
        """Return those of ``lanes`` that are not avoided now."""
        return [lane for lane in lanes if self._avoided.get(lane, now_s) <= now_s]

    def change_s(self, now_s: float) -> float:
        """Return the seconds until a slot becomes free because its message turns slow; `SLOW_S` without any message."""
        oldest_jobs = [next(iter(room.young.values())) for room in self._rooms.values() if room.young]
        return max(0.0, min((job.began_s + SLOW_S - now_s for job in oldest_jobs), default=SLOW_S))

    def begin(self, leased: LeasedMessage, now_s: float) -> Job | float:
        """Begin a job for a leased message, and return the job.

        If the share of the message's peer is full, or its record is being handled already, begin no job: return the
        seconds for which to put the message back.
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
        record = _record_of(leased)
        if record is not None and record in self._records:
            # This worker still handles the record: it lost the first lease, and has leased the message again.
            return _PUT_BACK_S
        if peer is not None:
            del self._put_back[kind, peer]
        job = Job(leased, kind, peer, now_s, is_new)
        if record is not None:
            self._records[record] = job
        room.young[id(job)] = job
        return job

    def end(self, job: Job, now_s: float) -> None:
        """End a job and free its place. A second call changes nothing."""
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
        else:
            self._forsaken.discard(job)
            return
        record = _record_of(job.leased)
        if record is not None:
            _ = self._records.pop(record, None)

    def forsake(self, job: Job, now_s: float) -> bool:
        """Free the slot of an overdue job whose handler cannot be stopped; False if too many are forsaken already.

        Call `end` when the handler ends after all.
        """
        job.is_overdue = True
        if len(self._forsaken) >= self._size:
            return False
        self.end(job, now_s)
        self._forsaken.add(job)
        return True

    def overdue(self, now_s: float) -> Sequence[Job]:
        """Return the jobs that exceed the handler limit and are not marked as overdue yet."""
        limit_s = self._policy.handler_limit_s
        return [job for job in self.jobs if not job.is_overdue and now_s - job.began_s >= limit_s]

    def _age(self, room: _Room, now_s: float) -> None:
        """Move the jobs that turned slow from their slots to the slow room."""
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


def _record_of(leased: LeasedMessage) -> tuple[str, str] | None:
    message = leased.message
    return None if message.dedup is None else (kind_of_lane(message.lane), message.dedup)
