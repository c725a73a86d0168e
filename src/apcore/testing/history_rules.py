"""Check a history: the observations that several workers made of one store and queue.

Each worker notes its requests and their results, with the times before and after on a clock that all of them share.
`check_history` then checks the notes, and the final content of the store, against the contracts:

- **Chains.** Every commit that moved a key from one version to another is an edge. No version is left twice, no version
  is left that was never reached, and all edges form one path from absence to the final version. So no update was lost,
  and no version recurred.
- **Reads.** No read returned a version before the commit that wrote it began, or after the answer of the commit that
  replaced it.
- **Refusals.** No check failed while its version was current the whole time.
- **Counters.** Every acknowledged increment is in the counter, once.
- **Claims.** Each has one winner, and holds the winner's name.
- **Messages.** Each was leased once and ended once. A group had one lease at a time, in order of enqueue.

Commits with an unknown outcome may have happened or not. They excuse the contradictions that they could explain, and no
others.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import inf

from attrs import field, frozen

from apcore.ports import StoreKey

__all__ = [
    "AddEvent",
    "ClaimEvent",
    "EndEvent",
    "EnqueueEvent",
    "FinalState",
    "ReadEvent",
    "SwapEvent",
    "WorkerLog",
    "check_history",
]


@frozen
class SwapEvent:
    """A commit that checks ``key`` for one version and moves it to another; None is absence."""

    key: StoreKey
    before: bytes | None
    after: bytes | None
    began: float
    ended: float
    answer: bool | None
    """None if the outcome is unknown."""


@frozen
class ReadEvent:
    """A read of ``key`` that returned ``version``."""

    key: StoreKey
    version: bytes | None
    began: float
    ended: float


@frozen
class AddEvent:
    """An addition of ``delta`` to the counter ``key``."""

    key: StoreKey
    delta: int
    answer: bool | None


@frozen
class ClaimEvent:
    """A worker's claim of ``key``, and whether it won."""

    key: StoreKey
    name: bytes
    answer: bool | None


@frozen
class EnqueueEvent:
    """A message that was enqueued between two times."""

    id: bytes
    group: str | None
    began: float
    ended: float
    sure: bool = True
    """Whether the queue answered."""


@frozen
class EndEvent:
    """A message that a worker held between two times, and then ended."""

    id: bytes
    group: str | None
    attempt: int
    leased: float
    settled: float
    answer: bool | None
    """Whether the lease was still current, as it should be; None if the outcome is unknown."""


@frozen
class WorkerLog:
    """The observations of one worker."""

    swaps: list[SwapEvent] = field(factory=list[SwapEvent])
    reads: list[ReadEvent] = field(factory=list[ReadEvent])
    adds: list[AddEvent] = field(factory=list[AddEvent])
    claims: list[ClaimEvent] = field(factory=list[ClaimEvent])
    enqueued: list[EnqueueEvent] = field(factory=list[EnqueueEvent])
    ended: list[EndEvent] = field(factory=list[EndEvent])
    wrong: list[str] = field(factory=list[str])
    """Observations that are wrong on their own."""


@frozen
class FinalState:
    """The final content of the store."""

    versions: Mapping[StoreKey, bytes]
    counters: Mapping[StoreKey, int]
    claims: Mapping[StoreKey, bytes]
    waiting: int = 0
    """Messages that are still in the queue."""


def check_history(notes: Sequence[WorkerLog], final: FinalState) -> list[str]:
    """Return every contradiction, in words."""
    swaps = [swap for worker_notes in notes for swap in worker_notes.swaps]
    reads = [read for worker_notes in notes for read in worker_notes.reads]
    enqueued = [message for worker_notes in notes for message in worker_notes.enqueued]
    ended = [message for worker_notes in notes for message in worker_notes.ended]
    return [
        *(wrong for worker_notes in notes for wrong in worker_notes.wrong),
        *_wrong_chains(swaps, reads, final.versions),
        *_wrong_counters([add for worker_notes in notes for add in worker_notes.adds], final.counters),
        *_wrong_claims([claim for worker_notes in notes for claim in worker_notes.claims], final.claims),
        *_wrong_messages(enqueued, ended, final.waiting),
        *_wrong_groups(enqueued, ended),
    ]


# --- chains ---------------------------------------------------------------------------------------------------------


def _wrong_chains(swaps: list[SwapEvent], reads: list[ReadEvent], final: Mapping[StoreKey, bytes]) -> Iterable[str]:
    by_key: defaultdict[StoreKey, tuple[list[SwapEvent], list[ReadEvent]]] = defaultdict(lambda: ([], []))
    for swap in swaps:
        by_key[swap.key][0].append(swap)
    for read in reads:
        by_key[read.key][1].append(read)
    for key, (swapped, reads_of_key) in by_key.items():
        happened, unknown = _happened(swapped, reads_of_key, final.get(key))
        for wrong in (
            *_wrong_links(happened, final.get(key), unknown=unknown),
            *_wrong_moments(
                happened, [swap for swap in swapped if swap.answer is False], reads_of_key, unknown=unknown
            ),
        ):
            yield f"{key}: {wrong}"


def _happened(swaps: list[SwapEvent], reads: list[ReadEvent], last: bytes | None) -> tuple[list[SwapEvent], int]:
    """Return the swaps that certainly happened, and the number that may have.

    A swap with an unknown outcome happened if its version was ever seen.
    """
    seen_versions = {last, *(read.version for read in reads), *(swap.before for swap in swaps)} - {None}
    happened = [swap for swap in swaps if swap.answer or (swap.answer is None and swap.after in seen_versions)]
    return happened, sum(swap.answer is None for swap in swaps) - sum(swap.answer is None for swap in happened)


def _wrong_links(happened: list[SwapEvent], last: bytes | None, *, unknown: int) -> Iterable[str]:
    reached = Counter(swap.after for swap in happened)
    departures = Counter(swap.before for swap in happened)
    for version, times in departures.items():
        if version is not None and times > 1:
            yield f"{times} commits replaced version {version.hex()}: an update was lost"
        if version is not None and not reached[version]:
            yield f"version {version.hex()} was replaced, and no commit wrote it"
    for version, times in reached.items():
        if version is not None and times > 1:
            yield f"version {version.hex()} was written {times} times"
        if version is not None and not departures[version] and version != last and not unknown:
            yield f"version {version.hex()} was committed and is gone: a write was lost"
    if last is not None and not reached[last]:
        yield f"version {last.hex()} stands there, and no commit wrote it"
    if last is not None and departures[last]:
        yield f"version {last.hex()} stands there, and was replaced"
    if not unknown and departures[None] - reached[None] != (last is not None):
        yield (
            f"made {departures[None]} times, deleted {reached[None]} times, and {'there' if last else 'gone'} "
            "in the end"
        )


def _wrong_moments(
    happened: list[SwapEvent], refused: list[SwapEvent], reads: list[ReadEvent], *, unknown: int
) -> Iterable[str]:
    wrote = {swap.after: swap for swap in happened if swap.after is not None}
    replaced = {swap.before: swap for swap in happened if swap.before is not None}
    # A swap that happened has seen its version, like a read.
    observations = [*reads, *(ReadEvent(swap.key, swap.before, swap.began, swap.ended) for swap in happened)]
    for read in observations:
        if read.version is None:
            continue
        if read.version not in wrote:
            yield f"version {read.version.hex()} was seen, and no commit wrote it"
        elif read.ended < wrote[read.version].began:
            yield f"version {read.version.hex()} was seen before it was written"
        elif read.version in replaced and replaced[read.version].ended < read.began and replaced[read.version].answer:
            yield f"version {read.version.hex()} was seen after it had been replaced"
    for swap in refused:
        if swap.before is None or swap.before not in wrote or unknown:
            continue
        stood_until = replaced[swap.before].began if swap.before in replaced else inf
        if wrote[swap.before].answer and wrote[swap.before].ended < swap.began and swap.ended < stood_until:
            yield f"a check of version {swap.before.hex()} failed while it stood there"


# --- counters and claims --------------------------------------------------------------------------------------------


def _wrong_counters(adds: list[AddEvent], final: Mapping[StoreKey, int]) -> Iterable[str]:
    for key in {add.key for add in adds}:
        adds_to_key = [add for add in adds if add.key == key]
        sure = sum(add.delta for add in adds_to_key if add.answer)
        low = sure + sum(min(add.delta, 0) for add in adds_to_key if add.answer is None)
        high = sure + sum(max(add.delta, 0) for add in adds_to_key if add.answer is None)
        counter = final.get(key, 0)
        if not low <= counter <= high:
            total = low if low == high else (low, high)
            yield f"{key}: the counter is {counter}, and the sum of its increments is {total}"


def _wrong_claims(claims: list[ClaimEvent], final: Mapping[StoreKey, bytes]) -> Iterable[str]:
    names: defaultdict[StoreKey, list[ClaimEvent]] = defaultdict(list)
    for claim in claims:
        names[claim.key].append(claim)
    for key, claims_of_key in names.items():
        winners = [claim.name for claim in claims_of_key if claim.answer]
        maybe = [claim.name for claim in claims_of_key if claim.answer is None]
        if len(winners) > 1:
            yield f"{key}: {len(winners)} winners"
        elif winners and final.get(key) != winners[0]:
            yield f"{key}: {winners[0]!r} won, and {final.get(key)!r} stands there"
        elif not winners and not maybe:
            yield f"{key}: nobody won, of {len(claims_of_key)} who tried"
        elif not winners and final.get(key) not in (None, *maybe):
            yield f"{key}: nobody won, and {final.get(key)!r} stands there"


# --- messages -------------------------------------------------------------------------------------------------------


def _wrong_messages(enqueued: list[EnqueueEvent], ended: list[EndEvent], waiting: int) -> Iterable[str]:
    enqueued_ids = {message.id for message in enqueued}
    times = Counter(message.id for message in ended if message.answer is not False)
    for message in ended:
        if message.id not in enqueued_ids:
            yield f"message {message.id.hex()} was handed out, and nobody enqueued it"
        if message.answer is False:
            yield f"message {message.id.hex()} was lost from its lease while that lasted"
        if message.attempt != 1:
            yield (
                f"message {message.id.hex()} was handed out for attempt {message.attempt} while its first lease lasted"
            )
    yield from (f"message {id_.hex()} ended {count} times" for id_, count in times.items() if count > 1)
    sure = sum(message.sure for message in enqueued)
    in_doubt = sum(message.answer is None for message in ended)
    if not sure - len(times) <= waiting <= len(enqueued_ids) - len(times) + in_doubt:
        yield f"{len(enqueued_ids)} messages were enqueued, {len(times)} ended, and {waiting} wait"


def _wrong_groups(enqueued: list[EnqueueEvent], ended: list[EndEvent]) -> Iterable[str]:
    entered = {message.id: message for message in enqueued}
    groups: defaultdict[str, list[EndEvent]] = defaultdict(list)
    for message in ended:
        if message.group is not None and message.id in entered:
            groups[message.group].append(message)
    for group, messages_of_group in groups.items():
        messages_of_group.sort(key=lambda message: message.leased)
        free_from, newest = -inf, -inf
        for message in messages_of_group:
            if message.leased < free_from:
                yield f"group {group}: message {message.id.hex()} was handed out while another was held"
            if entered[message.id].ended < newest:
                yield f"group {group}: message {message.id.hex()} was handed out after one that was enqueued later"
            free_from = max(free_from, message.settled)
            newest = max(newest, entered[message.id].began)
