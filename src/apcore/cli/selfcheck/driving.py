"""One operation under every driver that is installed: the same verdict, and the same questions in the same places."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeAlias

from attrs import field, frozen

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.adapters.threads import BlockingRuntime
from apcore.cli.selfcheck.storing import open_in
from apcore.cli.step_results import expect
from apcore.drivers import EffectPath, Ports, Stepper, async_ports, run, run_async
from apcore.effects import (
    All,
    Call,
    CallOutcome,
    Effect,
    Enqueue,
    Get,
    Lease,
    Now,
    Op,
    Raised,
    RandomBytes,
    Returned,
    Scan,
    Settle,
    commit,
    gather,
)
from apcore.ports import Check, Done, Increment, Message, Put, Write
from apcore.testing.simulation import SimulatedNode, Simulation

__all__ = ["agree_under_every_driver"]

_LANE: Final = "demo"
_NAMES: Final = ("alice", "bob")

Verdict: TypeAlias = tuple[object, ...]
Trace: TypeAlias = Sequence[tuple[EffectPath, str, str]]


def _survey() -> Op[Verdict]:
    """Ask for something of every kind but the network; the verdict is the same whatever the clock and the dice say."""
    now = yield from Now()
    message = Message((yield from RandomBytes(16)), _LANE, b"look at demo/alice", dedup="alice")
    writes: list[Write] = [*(Put(("demo", name), name.encode()) for name in _NAMES), Increment(("count",), len(_NAMES))]
    first = yield from commit([Check(("demo", "alice"), None)], writes, messages=[message])
    second = yield from commit([Check(("demo", "alice"), None)], [Put(("demo", "alice"), b"twice")])
    yield from Enqueue([message])
    entries = yield from Scan(("demo",), limit=10)
    both = yield from gather(*(_read(name) for name in (*_NAMES, "nobody")))
    leased = yield from Lease((_LANE,), limit=10, lease_s=60)
    lost = yield from Settle([Done(held) for held in leased])
    called = yield from Call(_shouted, "done")
    return (
        now.utcoffset() is not None,
        first is not False,
        second,
        [entry.key for entry in entries],
        [outcome.value if isinstance(outcome, Returned) else type(outcome.error).__name__ for outcome in both],
        len(leased),
        len(lost),
        called,
    )


_EXPECTED: Final[Verdict] = (
    True, True, False, [("demo", "alice"), ("demo", "bob")], [b"alice", b"bob", None], 1, 0, "DONE",
)  # fmt: skip


def _read(name: str) -> Op[bytes | None]:
    [entry] = yield from Get([("demo", name)])
    return None if entry is None else entry.value


def _shouted(text: str) -> str:
    return text.upper()


@frozen
class _Recorder:
    """An observer that keeps where, what, and how it ended."""

    seen: list[tuple[EffectPath, str, str]] = field(factory=list[tuple[EffectPath, str, str]])

    def __call__(self, effect: Effect[Any], place: EffectPath, /) -> Callable[[CallOutcome[Any]], None]:
        def answered(outcome: CallOutcome[Any]) -> None:
            ending = type(outcome.error).__name__ if isinstance(outcome, Raised) else "answered"
            self.seen.append((place, type(effect).__name__, ending))

        return answered

    def trace(self) -> Trace:
        return sorted(self.seen)


def agree_under_every_driver(directory: Path, /) -> str:
    """Drive the operation once under each driver, on a store of its own each, and compare."""
    drivers: dict[str, Callable[[Path], tuple[Verdict, Trace]]] = {"blocking": _blocking, "asyncio": _asyncio}
    if find_spec("trio") is not None:
        drivers["trio"] = _trio
    drivers["simulated"] = _simulated
    traces: dict[str, Trace] = {}
    for name, drive in drivers.items():
        place = directory / name
        place.mkdir()
        verdict, traces[name] = drive(place)
        expect(verdict == _EXPECTED, f"under {name} the operation answered {verdict}, not {_EXPECTED}")
    reference = traces["blocking"]
    for name, trace in traces.items():
        differing = [f"{one} / {other}" for one, other in zip(reference, trace, strict=False) if one != other]
        expect(trace == reference, f"the traces of blocking and {name} differ: {differing[:1] or 'in length'}")
    without = "" if "trio" in drivers else "; trio is not installed"
    return f"{len(reference)} effects, the same under {', '.join(drivers)}{without}"


def _blocking(directory: Path) -> tuple[Verdict, Trace]:
    recorder = _Recorder()
    with closing(open_in(directory)) as store:
        ports = Ports(runtime=BlockingRuntime(), store=store, queue=store, observer=recorder)
        return run(_survey(), ports), recorder.trace()


def _asyncio(directory: Path) -> tuple[Verdict, Trace]:
    recorder = _Recorder()
    runtime = AsyncioRuntime()
    with closing(open_in(directory)) as store, closing(runtime):
        ports = async_ports(runtime=runtime, store=store, queue=store, observer=recorder)
        return asyncio.run(run_async(_survey(), ports)), recorder.trace()


def _trio(directory: Path) -> tuple[Verdict, Trace]:
    import trio

    from apcore.adapters.trio import TrioRuntime

    recorder = _Recorder()

    async def main() -> Verdict:
        with closing(open_in(directory)) as store:
            ports = async_ports(runtime=TrioRuntime(), store=store, queue=store, observer=recorder)
            return await run_async(_survey(), ports)

    return trio.run(main), recorder.trace()


def _simulated(_directory: Path) -> tuple[Verdict, Trace]:
    """In virtual time; the simulator has no observer, so the operation itself is watched."""
    seen: list[tuple[EffectPath, str, str]] = []
    simulation = Simulation(seed=1)
    node = simulation.node("https://demo.example", _idle)
    process = node.spawn(_watched(_survey(), (), seen))
    simulation.run_until(lambda: process.outcome is not None, within_s=60.0)
    if isinstance(process.outcome, Raised):
        raise process.outcome.error
    return (process.outcome.value if process.outcome else ()), sorted(seen)


def _idle(_node: SimulatedNode) -> None:
    """A node that does nothing of its own."""


def _watched(op: Op[Any], place: EffectPath, seen: list[tuple[EffectPath, str, str]]) -> Op[Any]:
    """Drive ``op`` by passing its questions on, and keep what an observer would keep."""
    step = Stepper(op)
    number = 0
    while (effect := step.wants) is not None:
        here = (*place, number)
        try:
            answer: Any = yield from _with_members_watched(effect, here, seen)
        except Exception as error:
            seen.append((here, type(effect).__name__, type(error).__name__))
            step.fail(error)
        else:
            seen.append((here, type(effect).__name__, "answered"))
            step.resume(answer)
        number += 1
    return step.result


def _with_members_watched(
    effect: Effect[Any], place: EffectPath, seen: list[tuple[EffectPath, str, str]]
) -> Effect[Any]:
    if not isinstance(effect, All):
        return effect
    members = (_watched(member, (*place, index), seen) for index, member in enumerate(effect.members))
    return All(tuple(members), limit=effect.limit)
