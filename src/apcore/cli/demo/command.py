"""``apcore demo``: two servers on this machine that federate, step by step.

The servers are processes of their own (`apcore serve`), on two ports of the loopback interface, with real sockets and real signatures. A person
sees a line a step, a program asks for one JSON object. It ends by itself, and leaves nothing behind; with ``--keep`` the servers stay up.
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
from apcore.cli.demo.scenario import Story
from apcore.cli.output import Coming, tell_people, tell_programs
from apcore.cli.step_results import StepResult, timed

__all__ = ["command"]

_GLANCE_S: Final = 0.5


@click.command("demo", short_help="Let two servers federate on this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@click.option("--keep", is_flag=True, help="Keep the servers up afterwards, until Ctrl-C, and say where they are.")
def command(*, as_json: bool, keep: bool) -> int:
    """Let two servers federate on this machine.

    Two processes find each other by WebFinger, follow, post, reply, like, share, edit, undo and delete, over HTTP with signatures; one reads the
    other's outbox; then one is killed between its 202 and its work, and has to do everything that it acknowledged exactly once. It needs no network
    and leaves nothing behind. Exit code 0 if every step holds, 1 if one does not; the output names it, and shows what the servers said.
    """
    with TemporaryDirectory(prefix="apcore-demo-") as directory, _until_terminated():
        story = Story(Path(directory))
        try:
            results = tell_programs(_results(story)) if as_json else _tell(story)
            holds = all(result.ok for result in results)
            if not holds:
                _show_logs(story)
            if keep:
                _stay(story, directory)
        finally:
            story.close()
    return exit_codes.DONE if holds else exit_codes.FAILED


def _tell(story: Story) -> list[StepResult]:
    coming = [Coming(scene.name, scene.says) for scene in story.scenes]
    return tell_people("two servers on this machine", coming, _results(story), all_hold="")


def _results(story: Story) -> Iterator[StepResult]:
    """Run the steps until one fails: those after it stand on it."""
    for scene in story.scenes:
        result = timed(scene.name, scene.run)
        yield result
        if not result.ok:
            return


def _show_logs(story: Story) -> None:
    for server in story.servers:
        click.echo(f"\n--- the last lines of {server.name}, {server.origin} ---\n{server.last_words()}", err=True)


def _stay(story: Story, directory: str) -> None:
    with suppress(KeyboardInterrupt):
        click.echo(f"The servers stay up until Ctrl-C; stores and logs are in {directory}", err=True)
        for player in (story.alice, story.bob):
            click.echo(f"  {player.server.name}: {player.uri}  {player.handle}", err=True)
        while True:
            time.sleep(_GLANCE_S)  # a pause without an end could miss a signal that comes just before it


@contextmanager
def _until_terminated() -> Generator[None, None, None]:
    """Let SIGTERM end us in order, as Ctrl-C does, so that no server is left behind."""

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        _ = signal.signal(signal.SIGTERM, before)
