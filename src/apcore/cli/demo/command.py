"""``apcore demo``: run two servers on this machine that federate, step by step.

Each server is a process (`apcore serve`) on a port of the loopback interface, with real sockets and signatures. The
output is one line per step, or one JSON object. The demo ends by itself and leaves nothing behind. With ``--keep`` the
servers stay up.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Final, NoReturn

import click

from apcore.cli import exit_codes
from apcore.cli.demo.scenario import Scenario
from apcore.cli.output import PlannedStep, print_steps, print_steps_as_json
from apcore.cli.step_results import StepResult, run_timed

__all__ = ["command"]

_POLL_S: Final = 0.5


@click.command("demo", short_help="Let two servers federate on this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@click.option("--keep", is_flag=True, help="Keep the servers up afterwards until Ctrl-C, and print their addresses.")
def command(*, as_json: bool, keep: bool) -> int:
    """Let two servers federate on this machine.

    Two processes find each other by WebFinger, follow, post, reply, like, share, edit, undo and delete, over HTTP with
    signatures. One reads the other's outbox. Then one is killed after its 202 and before its work; restarted, it has to
    process each acknowledged activity exactly once. The demo needs no network and leaves nothing behind. The exit code
    is 0 if every step holds, and 1 if one does not; the output names the step and shows the logs of the servers.
    """
    with TemporaryDirectory(prefix="apcore-demo-") as directory, _until_terminated():
        scenario = Scenario(Path(directory))
        try:
            results = print_steps_as_json(_results(scenario)) if as_json else _print_text(scenario)
            is_ok = all(result.ok for result in results)
            if not is_ok:
                _show_logs(scenario)
            if keep:
                _stay(scenario, directory)
        finally:
            scenario.close()
    return exit_codes.DONE if is_ok else exit_codes.FAILED


def _print_text(scenario: Scenario) -> list[StepResult]:
    planned = [PlannedStep(step.name, step.claim) for step in scenario.steps]
    return print_steps("two servers on this machine", planned, _results(scenario))


def _results(scenario: Scenario) -> Iterator[StepResult]:
    """Run the steps until one fails: each step depends on the ones before it."""
    for step in scenario.steps:
        result = run_timed(step.name, step.run)
        yield result
        if not result.ok:
            return


def _show_logs(scenario: Scenario) -> None:
    for server in scenario.servers:
        click.echo(f"\n--- the last log lines of {server.name}, {server.origin} ---\n{server.log_tail()}", err=True)


def _stay(scenario: Scenario, directory: str) -> None:
    with suppress(KeyboardInterrupt):
        click.echo(f"The servers stay up until Ctrl-C; stores and logs are in {directory}", err=True)
        for actor in (scenario.alice, scenario.bob):
            click.echo(f"  {actor.server.name}: {actor.uri}  {actor.handle}", err=True)
        while True:
            time.sleep(_POLL_S)  # `signal.pause` could miss a signal that arrives just before it.


@contextmanager
def _until_terminated() -> Generator[None, None, None]:
    """Let SIGTERM end this process as Ctrl-C does, so that it stops its servers."""

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + signal.SIGTERM)

    old_handler = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        _ = signal.signal(signal.SIGTERM, old_handler)
