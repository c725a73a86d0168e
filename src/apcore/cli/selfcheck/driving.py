"""Run one operation under every installed driver, and compare results and effects."""

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
    """Yield effects of every kind except `Fetch`. The result does not depend on the clock or the random bytes."""
    now = yield from Now()
    message = Message((yield from RandomBytes(16)), _LANE, b"look at demo/alice", dedup="alice")
    writes: list[Write] = [*(Put(("demo", name), name.encode()) for name in _NAMES), Increment(("count",), len(_NAMES))]
    first = yield from commit([Check(("demo", "alice"), None)], writes, messages=[message])
    second = yield from commit([Check(("demo", "alice"), None)], [Put(("demo", "alice"), b"twice")])
    yield from Enqueue([message])
    entries = yield from Scan(("demo",), limit=10)
    outcomes = yield from gather(*(_read(name) for name in (*_NAMES, "nobody")))
    leased = yield from Lease((_LANE,), limit=10, lease_s=60)
    lost_leases = yield from Settle([Done(message) for message in leased])
    text = yield from Call(_upper, "done")
    return (
        now.utcoffset() is not None,
        first is not False,
        second,
        [entry.key for entry in entries],
        [outcome.value if isinstance(outcome, Returned) else type(outcome.error).__name__ for outcome in outcomes],
        len(leased),
        len(lost_leases),
        text,
    )


_EXPECTED: Final[Verdict] = (
    True, True, False, [("demo", "alice"), ("demo", "bob")], [b"alice", b"bob", None], 1, 0, "DONE",
)  # fmt: skip


def _read(name: str) -> Op[bytes | None]:
    [entry] = yield from Get([("demo", name)])
    return None if entry is None else entry.value


def _upper(text: str) -> str:
    return text.upper()


@frozen
class _Recorder:
    """An observer that records the path, the kind and the ending of each effect."""

    records: list[tuple[EffectPath, str, str]] = field(factory=list[tuple[EffectPath, str, str]])

    def __call__(self, effect: Effect[Any], path: EffectPath, /) -> Callable[[CallOutcome[Any]], None]:
        def record(outcome: CallOutcome[Any]) -> None:
            ending = type(outcome.error).__name__ if isinstance(outcome, Raised) else "answered"
            self.records.append((path, type(effect).__name__, ending))

        return record

    def trace(self) -> Trace:
        return sorted(self.records)


def agree_under_every_driver(directory: Path, /) -> str:
    """Run the operation once under each driver, each with its own store, and compare the results and the effects."""
    drivers: dict[str, Callable[[Path], tuple[Verdict, Trace]]] = {"blocking": _blocking, "asyncio": _asyncio}
    if find_spec("trio") is not None:
        drivers["trio"] = _trio
    drivers["simulated"] = _simulated
    traces: dict[str, Trace] = {}
    for name, drive in drivers.items():
        driver_directory = directory / name
        driver_directory.mkdir()
        verdict, traces[name] = drive(driver_directory)
        expect(verdict == _EXPECTED, f"under {name} the operation returned {verdict}, not {_EXPECTED}")
    reference = traces["blocking"]
    for name, trace in traces.items():
        differences = [f"{one} / {other}" for one, other in zip(reference, trace, strict=False) if one != other]
        expect(trace == reference, f"the traces of blocking and {name} differ: {differences[:1] or 'in length'}")
    note = "" if "trio" in drivers else "; trio is not installed"
    return f"{len(reference)} effects, the same under {', '.join(drivers)}{note}"


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
    """Run the operation in virtual time. The simulator has no observer, so the operation records its own effects."""
    records: list[tuple[EffectPath, str, str]] = []
    simulation = Simulation(seed=1)
    node = simulation.node("https://demo.example", _idle)
    process = node.spawn(_record_op(_survey(), (), records))
    simulation.run_until(lambda: process.outcome is not None, within_s=60.0)
    if isinstance(process.outcome, Raised):
        raise process.outcome.error
    return (process.outcome.value if process.outcome else ()), sorted(records)


def _idle(_node: SimulatedNode) -> None:
    """Start a node that does nothing by itself."""


def _record_op(op: Op[Any], path: EffectPath, records: list[tuple[EffectPath, str, str]]) -> Op[Any]:
    """Pass on the effects of ``op``, and record them as an observer does."""
    step = Stepper(op)
    number = 0
    while (effect := step.wants) is not None:
        effect_path = (*path, number)
        try:
            answer: Any = yield from _record_members(effect, effect_path, records)
        except Exception as error:
            records.append((effect_path, type(effect).__name__, type(error).__name__))
            step.fail(error)
        else:
            records.append((effect_path, type(effect).__name__, "answered"))
            step.resume(answer)
        number += 1
    return step.result


def _record_members(effect: Effect[Any], path: EffectPath, records: list[tuple[EffectPath, str, str]]) -> Effect[Any]:
    if not isinstance(effect, All):
        return effect
    members = (_record_op(member, (*path, index), records) for index, member in enumerate(effect.members))
    return All(tuple(members), limit=effect.limit)
