"""Run several processes on one store at once, and check that all their observations are consistent.

From a shell, over any store that several processes can open::

    python -m apcore.testing.histories --store sqlite:///histories.db --processes 8 --seconds 60

Use a store that may be thrown away: the data of a run stays in it, under a name of its own. The exit status is 1 if a
check failed. The workers are in `apcore.testing.workload`, the checks in `apcore.testing.history_rules`. In a test,
`run_threads` does the same with threads that share a store.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from threading import BrokenBarrierError
from typing import Any, Final

from attrs import field, frozen

from apcore.errors import ConfigurationError
from apcore.node import open_store
from apcore.ports import KvStore
from apcore.testing.history_rules import WorkerLog, check_history
from apcore.testing.workload import drain_queue, play, read_final_state

__all__ = ["run_processes", "run_threads"]

_START_S: Final = 60.0
"""How long all processes together may take to be ready."""
_END_S: Final = 60.0
"""How long the last step and writing the notes may take."""


@frozen
class HistoryReport:
    """The result of a run."""

    swaps: int
    """Compare-and-set commits that returned True."""
    refused: int
    """Compare-and-set commits that returned False."""
    adds: int
    claims: int
    """Claims that were won."""
    messages: int
    """Messages that were leased and ended."""
    unknown: int
    """Commits with an unknown outcome."""
    wrong: Sequence[str] = field(repr=False)
    """The contradictions, in words; empty if there are none."""

    def __str__(self) -> str:
        return (
            f"{self.swaps} swaps, {self.refused} refused, {self.adds} adds, {self.claims} claims, "
            f"{self.messages} messages, "
            f"{self.unknown} unknown: {len(self.wrong)} violations"
        )


def run_threads(store: KvStore, /, *, threads: int, steps: int, seed: int = 0) -> HistoryReport:
    """Run ``threads`` workers with ``steps`` steps each on one store object."""
    run = f"run {os.urandom(8).hex()}"

    def work(worker: int) -> WorkerLog:
        step_numbers = count()
        return play(store, run=run, worker=worker, seed=seed, goes_on=lambda: next(step_numbers) < steps)

    with ThreadPoolExecutor(threads) as pool:
        notes = list(pool.map(work, range(threads)))
    return _report(store, run, notes)


def run_processes(
    url: str, /, *, processes: int, seconds: float, seed: int = 0, progress: Callable[[float, int], None] | None = None
) -> HistoryReport:
    """Run ``processes`` workers for ``seconds`` on the store at ``url``, each with its own store object.

    Args:
        url: A URL for `apcore.node.open_store`.
        processes: The number of workers.
        seconds: How long they work, once all are ready.
        seed: Decides which steps are made, not when.
        progress: Called about once a second with the elapsed time and the number of steps.

    Raises:
        ConfigurationError: A store in memory, which processes cannot share.
        ChildProcessError: A worker died; its own message is on stderr.
    """
    store = open_store(url)
    try:
        if store.durability == "none":
            raise ConfigurationError(f"processes cannot share the store {url!r:.80}: its durability is 'none'")
        run = f"run {os.urandom(8).hex()}"
        with tempfile.TemporaryDirectory(prefix="histories-") as folder:
            notes = _played(_Plan(url, run, seconds, seed, Path(folder)), processes, progress)
        return _report(store, run, notes)
    finally:
        store.close()


def _report(store: KvStore, run: str, notes: list[WorkerLog]) -> HistoryReport:
    notes = [*notes, drain_queue(store, run=run)]
    swaps = [swap.answer for worker_notes in notes for swap in worker_notes.swaps]
    adds = [add.answer for worker_notes in notes for add in worker_notes.adds]
    claims = [claim.answer for worker_notes in notes for claim in worker_notes.claims]
    return HistoryReport(
        swaps=swaps.count(True),
        refused=swaps.count(False),
        adds=adds.count(True),
        claims=claims.count(True),
        messages=sum(len(worker_notes.ended) for worker_notes in notes),
        unknown=[*swaps, *adds, *claims].count(None),
        wrong=check_history(notes, read_final_state(store, run=run)),
    )


# --- processes ------------------------------------------------------------------------------------------------------


@frozen
class _Plan:
    """The data that every worker needs."""

    url: str
    run: str
    seconds: float
    seed: int
    folder: Path

    def notes_of(self, worker: int) -> Path:
        return self.folder / f"{worker}.notes"


def _played(plan: _Plan, processes: int, progress: Callable[[float, int], None] | None) -> list[WorkerLog]:
    context = multiprocessing.get_context("spawn")  # a new interpreter each: they share only the store
    barrier = context.Barrier(processes + 1)
    steps: Any = context.Array("Q", processes, lock=False)
    workers = [
        context.Process(target=_work, args=(plan, worker, barrier, steps), daemon=True) for worker in range(processes)
    ]
    for process in workers:
        process.start()
    try:
        _ = barrier.wait(_START_S)
        began = time.monotonic()
        while any(process.is_alive() for process in workers) and time.monotonic() < began + plan.seconds + _END_S:
            _ = wait_for([process.sentinel for process in workers if process.is_alive()], 1.0)
            if progress is not None:
                progress(min(time.monotonic() - began, plan.seconds), sum(steps))
    except BrokenBarrierError:
        raise ChildProcessError(f"not all of {processes} workers were ready within {_START_S:g} s") from None
    finally:
        for process in workers:
            if process.is_alive():
                process.kill()
            process.join()
    for worker, process in enumerate(workers):
        if process.exitcode != 0:
            raise ChildProcessError(
                f"worker {worker} ended with {process.exitcode}: its notes are missing, so the run cannot be checked"
            )
    return [pickle.loads(plan.notes_of(worker).read_bytes()) for worker in range(processes)]  # noqa: S301  (our own)


def _work(plan: _Plan, worker: int, barrier: Any, steps: Any) -> None:
    try:
        store = open_store(plan.url)
        _ = store.get([(plan.run,)])  # stores open on first use
    except BaseException:
        barrier.abort()  # otherwise all other workers would wait for this one
        raise
    try:
        barrier.wait(_START_S)
        ends = time.monotonic() + plan.seconds

        def goes_on() -> bool:
            steps[worker] += 1
            return time.monotonic() < ends

        notes = play(store, run=plan.run, worker=worker, seed=plan.seed, goes_on=goes_on)
    finally:
        store.close()
    _ = plan.notes_of(worker).write_bytes(pickle.dumps(notes))


# --- the command ----------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None, /) -> int:
    """Run the command, and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m apcore.testing.histories",
        description="Run several processes on one store, and check that all their observations are consistent.",
    )
    _ = parser.add_argument("--store", required=True, metavar="URL", help="a store that may be thrown away")
    _ = parser.add_argument("--processes", type=int, default=8, metavar="N")
    _ = parser.add_argument("--seconds", type=float, default=60.0, metavar="S")
    _ = parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    report = run_processes(
        options.store, processes=options.processes, seconds=options.seconds, seed=options.seed, progress=_show_progress
    )
    sys.stderr.write("\n")
    for wrong in report.wrong[:50]:
        sys.stdout.write(f"{wrong}\n")
    sys.stdout.write(f"{options.processes} processes, {options.seconds:g} s, seed {options.seed}: {report}\n")
    return 1 if report.wrong else 0


def _show_progress(seconds: float, steps: int) -> None:
    sys.stderr.write(f"\r{seconds:6.0f} s  {steps:12,} steps")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
