"""Judging a history: what several workers saw of one store and queue, and whether all of it can be true.

Each worker notes what it asked and was told, with the moments before and after on a clock that all share. `judged` then holds the notes, and what
stands in the store in the end, against the contracts:

- **Chains.** Every commit that moved a key from one version to another is an edge. No version is left twice, none is left that was never reached, and all
  edges lead, one after another, from absence to what stands there now. So no update was lost, and no version returned.
- **Reads.** A version is not seen before the commit that wrote it began, nor after the one that replaced it had answered.
- **Refusals.** A check did not fail while its version stood there the whole time.
- **Counters.** Every ``Add`` that was acknowledged is in the counter, once.
- **Claims.** Each has one winner, whose name stands there.
- **Messages.** Each was handed out once and ended once; a group had one lease at a time, in order of enqueue.

Commits whose outcome stayed unknown may have happened or not; they excuse what they could explain, and nothing else.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import inf

from attrs import field, frozen

from apcore.ports import Key

__all__ = ["Added", "Claimed", "Ended", "Enqueued", "Notes", "Read", "Standing", "Swapped", "judged"]


@frozen
class Swapped:
    """A commit that checks ``key`` for a version and moves it to another; None is absence."""

    key: Key
    before: bytes | None
    after: bytes | None
    began: float
    ended: float
    answer: bool | None
    """None if the outcome is unknown."""


@frozen
class Read:
    """``key`` was seen at ``version``."""

    key: Key
    version: bytes | None
    began: float
    ended: float


@frozen
class Added:
    """``delta`` was added to the counter ``key``."""

    key: Key
    delta: int
    answer: bool | None


@frozen
class Claimed:
    """A worker claimed ``key``, and was told whether it won."""

    key: Key
    name: bytes
    answer: bool | None


@frozen
class Enqueued:
    """A message was enqueued between two moments."""

    id: bytes
    group: str | None
    began: float
    ended: float
    sure: bool = True
    """Whether the queue answered."""


@frozen
class Ended:
    """A message was in a worker's hands from the one moment to the other, and then ended."""

    id: bytes
    group: str | None
    attempt: int
    leased: float
    settled: float
    answer: bool | None
    """Whether the lease was still current, as it had to be; None if the outcome is unknown."""


@frozen
class Notes:
    """What one worker saw."""

    swaps: list[Swapped] = field(factory=list[Swapped])
    reads: list[Read] = field(factory=list[Read])
    adds: list[Added] = field(factory=list[Added])
    claims: list[Claimed] = field(factory=list[Claimed])
    enqueued: list[Enqueued] = field(factory=list[Enqueued])
    ended: list[Ended] = field(factory=list[Ended])
    wrong: list[str] = field(factory=list[str])
    """What could not be true by itself."""


@frozen
class Standing:
    """What stands in the store in the end."""

    versions: Mapping[Key, bytes]
    counters: Mapping[Key, int]
    claims: Mapping[Key, bytes]
    waiting: int = 0
    """Messages left in the queue."""


def judged(notes: Sequence[Notes], final: Standing) -> list[str]:
    """Tell everything that cannot be true, in words."""
    swaps = [swap for each in notes for swap in each.swaps]
    reads = [read for each in notes for read in each.reads]
    enqueued = [message for each in notes for message in each.enqueued]
    ended = [message for each in notes for message in each.ended]
    return [
        *(wrong for each in notes for wrong in each.wrong),
        *_wrong_chains(swaps, reads, final.versions),
        *_wrong_counters([add for each in notes for add in each.adds], final.counters),
        *_wrong_claims([claim for each in notes for claim in each.claims], final.claims),
        *_wrong_messages(enqueued, ended, final.waiting),
        *_wrong_groups(enqueued, ended),
    ]


# --- chains ---------------------------------------------------------------------------------------------------------


def _wrong_chains(swaps: list[Swapped], reads: list[Read], final: Mapping[Key, bytes]) -> Iterable[str]:
    by_key: defaultdict[Key, tuple[list[Swapped], list[Read]]] = defaultdict(lambda: ([], []))
    for swap in swaps:
        by_key[swap.key][0].append(swap)
    for read in reads:
        by_key[read.key][1].append(read)
    for key, (swapped, seen) in by_key.items():
        happened, unknown = _happened(swapped, seen, final.get(key))
        for wrong in (
            *_wrong_links(happened, final.get(key), unknown=unknown),
            *_wrong_moments(happened, [swap for swap in swapped if swap.answer is False], seen, unknown=unknown),
        ):
            yield f"{key}: {wrong}"


def _happened(swaps: list[Swapped], reads: list[Read], last: bytes | None) -> tuple[list[Swapped], int]:
    """Give the swaps that certainly happened, and how many may have. An unknown one whose version was ever seen did."""
    seen = {last, *(read.version for read in reads), *(swap.before for swap in swaps)} - {None}
    happened = [swap for swap in swaps if swap.answer or (swap.answer is None and swap.after in seen)]
    return happened, sum(swap.answer is None for swap in swaps) - sum(swap.answer is None for swap in happened)


def _wrong_links(happened: list[Swapped], last: bytes | None, *, unknown: int) -> Iterable[str]:
    reached = Counter(swap.after for swap in happened)
    left = Counter(swap.before for swap in happened)
    for version, times in left.items():
        if version is not None and times > 1:
            yield f"{times} commits replaced version {version.hex()}: an update was lost"
        if version is not None and not reached[version]:
            yield f"version {version.hex()} was replaced, and no commit wrote it"
    for version, times in reached.items():
        if version is not None and times > 1:
            yield f"version {version.hex()} was written {times} times"
        if version is not None and not left[version] and version != last and not unknown:
            yield f"version {version.hex()} was committed and is gone: a write was lost"
    if last is not None and not reached[last]:
        yield f"version {last.hex()} stands there, and no commit wrote it"
    if last is not None and left[last]:
        yield f"version {last.hex()} stands there, and was replaced"
    if not unknown and left[None] - reached[None] != (last is not None):
        yield f"made {left[None]} times, deleted {reached[None]} times, and {'there' if last else 'gone'} in the end"


def _wrong_moments(
    happened: list[Swapped], refused: list[Swapped], reads: list[Read], *, unknown: int
) -> Iterable[str]:
    wrote = {swap.after: swap for swap in happened if swap.after is not None}
    replaced = {swap.before: swap for swap in happened if swap.before is not None}
    # A swap that happened has seen its version, as a read has.
    seen = [*reads, *(Read(swap.key, swap.before, swap.began, swap.ended) for swap in happened)]
    for read in seen:
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


def _wrong_counters(adds: list[Added], final: Mapping[Key, int]) -> Iterable[str]:
    for key in {add.key for add in adds}:
        mine = [add for add in adds if add.key == key]
        sure = sum(add.delta for add in mine if add.answer)
        low = sure + sum(min(add.delta, 0) for add in mine if add.answer is None)
        high = sure + sum(max(add.delta, 0) for add in mine if add.answer is None)
        counter = final.get(key, 0)
        if not low <= counter <= high:
            yield f"{key}: the counter is {counter}, and the sum of its Adds is {low if low == high else (low, high)}"


def _wrong_claims(claims: list[Claimed], final: Mapping[Key, bytes]) -> Iterable[str]:
    names: defaultdict[Key, list[Claimed]] = defaultdict(list)
    for claim in claims:
        names[claim.key].append(claim)
    for key, mine in names.items():
        winners = [claim.name for claim in mine if claim.answer]
        maybe = [claim.name for claim in mine if claim.answer is None]
        if len(winners) > 1:
            yield f"{key}: {len(winners)} winners"
        elif winners and final.get(key) != winners[0]:
            yield f"{key}: {winners[0]!r} won, and {final.get(key)!r} stands there"
        elif not winners and not maybe:
            yield f"{key}: nobody won, of {len(mine)} who tried"
        elif not winners and final.get(key) not in (None, *maybe):
            yield f"{key}: nobody won, and {final.get(key)!r} stands there"


# --- messages -------------------------------------------------------------------------------------------------------


def _wrong_messages(enqueued: list[Enqueued], ended: list[Ended], waiting: int) -> Iterable[str]:
    known = {message.id for message in enqueued}
    times = Counter(message.id for message in ended if message.answer is not False)
    for message in ended:
        if message.id not in known:
            yield f"message {message.id.hex()} was handed out, and nobody enqueued it"
        if message.answer is False:
            yield f"message {message.id.hex()} was lost from its lease while that lasted"
        if message.attempt != 1:
            yield f"message {message.id.hex()} was handed out for attempt {message.attempt} while its first lease lasted"
    yield from (f"message {id_.hex()} ended {count} times" for id_, count in times.items() if count > 1)
    sure = sum(message.sure for message in enqueued)
    in_doubt = sum(message.answer is None for message in ended)
    if not sure - len(times) <= waiting <= len(known) - len(times) + in_doubt:
        yield f"{len(known)} messages were enqueued, {len(times)} ended, and {waiting} wait"


def _wrong_groups(enqueued: list[Enqueued], ended: list[Ended]) -> Iterable[str]:
    entered = {message.id: message for message in enqueued}
    groups: defaultdict[str, list[Ended]] = defaultdict(list)
    for message in ended:
        if message.group is not None and message.id in entered:
            groups[message.group].append(message)
    for group, mine in groups.items():
        mine.sort(key=lambda message: message.leased)
        free_from, newest = -inf, -inf
        for message in mine:
            if message.leased < free_from:
                yield f"group {group}: message {message.id.hex()} was handed out while another was held"
            if entered[message.id].ended < newest:
                yield f"group {group}: message {message.id.hex()} was handed out after one that was enqueued later"
            free_from = max(free_from, message.settled)
            newest = max(newest, entered[message.id].began)
