"""What the drivers cost an effect, beside the shortest loop that could run the same operation; and what importing apcore costs.

    python -m benchmarks.kernel [rounds]

The bare loop is a generator, `send`, and a call of the store: no errors, no choice of effects, no places. All jobs take turns within a round, so that a
busy machine disturbs them alike; ratios are medians of ratios within one round. n, 2n and 4n effects show growth. Last, imports: each in a fresh
interpreter, in turns, beside an empty program and beside `cryptography` alone.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from functools import partial
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import trio

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.adapters.trio import TrioRuntime
from apcore.drivers import Ports, async_ports, run, run_async
from apcore.effects import Get, Now, Op, gather
from apcore.testing.simulation import Simulation

N = 1000
KEYS = (("benchmark", "key"),)

STORE = MemoryStore()
BLOCKING = Ports(runtime=BlockingRuntime(), store=STORE)
OBSERVED = Ports(runtime=BlockingRuntime(), store=STORE, observer=lambda _effect, _place: None)
ON_ASYNCIO = async_ports(runtime=AsyncioRuntime(), store=STORE)

Job = Callable[[], object]


def gets(count: int) -> Op[None]:
    for _ in range(count):
        yield from Get(KEYS)


def nows(count: int) -> Op[None]:
    for _ in range(count):
        yield from Now()


def bare(op: Generator[Any, Any, object], answer: Callable[[Any], object]) -> None:
    """Run ``op`` the shortest way."""
    send = op.send
    try:
        effect = send(None)
        while True:
            effect = send(answer(effect))
    except StopIteration:
        pass


async def bare_async(op: Generator[Any, Any, object], answer: Callable[[Any], Any]) -> None:
    """The same on a loop, one coroutine an effect."""
    send = op.send
    try:
        effect = send(None)
        while True:
            effect = send(await answer(effect))
    except StopIteration:
        pass


async def get_async(effect: Get) -> object:
    return STORE.get(effect.keys)


def simulated(op: Op[object]) -> None:
    sim = Simulation(0)
    sim.node("https://a.example", lambda _: None).spawn(op)
    sim.run(for_s=1e9)


def in_trio(op: Op[object]) -> None:
    async def main() -> None:
        await run_async(op, async_ports(runtime=TrioRuntime(), store=STORE))

    trio.run(main)


def of_effects(count: int) -> dict[str, Job]:
    """Jobs that ask ``count`` effects each; the first is the measure."""
    runtime = BlockingRuntime()
    return {
        "bare loop, Get": lambda: bare(gets(count), lambda effect: STORE.get(effect.keys)),
        "blocking, Get": lambda: run(gets(count), BLOCKING),
        "blocking, Get, observed": lambda: run(gets(count), OBSERVED),
        "bare asyncio, Get": lambda: asyncio.run(bare_async(gets(count), get_async)),
        "asyncio, Get": lambda: asyncio.run(run_async(gets(count), ON_ASYNCIO)),
        "trio, Get": lambda: in_trio(gets(count)),
        "simulated, Get": lambda: simulated(gets(count)),
        "bare loop, Now": lambda: bare(nows(count), lambda _: runtime.now()),
        "blocking, Now": lambda: run(nows(count), BLOCKING),
        "asyncio, Now": lambda: asyncio.run(run_async(nows(count), ON_ASYNCIO)),
    }


def of_members(count: int) -> dict[str, Job]:
    """``count`` members of five effects each, together; the first is the measure."""

    def members(limit: int) -> Op[object]:
        return (yield from gather(*[gets(5) for _ in range(count)], limit=limit))

    def one_after_another() -> None:
        for _ in range(count):
            bare(gets(5), lambda effect: STORE.get(effect.keys))

    return {
        "bare, one after another": one_after_another,
        "blocking, limit=1": lambda: run(members(1), BLOCKING),
        "blocking, limit=8 (threads)": lambda: run(members(8), BLOCKING),
        "asyncio, limit=1": lambda: asyncio.run(run_async(members(1), ON_ASYNCIO)),
        "asyncio, limit=8": lambda: asyncio.run(run_async(members(8), ON_ASYNCIO)),
        "trio, limit=8": lambda: in_trio(members(8)),
    }


def imports(bytecode: str) -> dict[str, Job]:
    """What a fresh interpreter takes, bytecode being there (in the directory ``bytecode``) as after an installation; the first is the measure."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode, "PYTHONDONTWRITEBYTECODE": ""}
    statements = {
        "python + cryptography": "from cryptography.hazmat.primitives.asymmetric import rsa, ed25519, padding",
        "python alone": "pass",
        "import apcore": "import apcore",
        "apcore.Federation": "from apcore import Federation",
        "apcore.Node": "from apcore import Node",
        "apcore.vocab": "import apcore.vocab",
    }
    return {
        name: partial(subprocess.run, [sys.executable, "-c", code], env=environment, check=True)
        for name, code in statements.items()
    }


def spent_s() -> float:
    """Processor time; so that others on the machine do not count."""
    own, children = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def taken(jobs: dict[str, Job], rounds: int) -> dict[str, list[float]]:
    """Seconds of processor time a job, its children's included, round after round; one round goes before, unheard."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name, job in jobs.items():
            start = spent_s()
            job()
            if number:
                times[name].append(spent_s() - start)
    return times


def show(
    title: str, unit: str, sizes: list[int], make: Callable[[int], dict[str, Job]], rounds: int, each: float
) -> None:
    """Print a table: the least time a piece at the smallest size, and at every size the ratio to the first row."""
    tables = [taken(make(size), rounds) for size in sizes]
    print(f"\n{title:<30}{unit:>10}" + "".join(f"{f'x at {size}':>12}" for size in sizes))
    for name in tables[0]:
        best = min(tables[0][name]) / sizes[0] * each
        row = f"{name:<30}{best:>10.2f}"
        for table in tables:
            measure = next(iter(table.values()))
            row += f"{median(mine / base for mine, base in zip(table[name], measure, strict=True)):>12.2f}"
        print(row)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    show("effects", "us each", [N, 2 * N, 4 * N], of_effects, rounds, 1e6)
    show("together, members of 5 Gets", "us each", [50, 100, 200], of_members, rounds, 1e6)
    with TemporaryDirectory() as bytecode:
        show("imports", "ms", [1], lambda _: imports(bytecode), rounds, 1e3)


if __name__ == "__main__":
    main()
