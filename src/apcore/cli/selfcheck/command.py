"""``apcore selfcheck``: show on this machine that what the kernel promises holds.

It runs the steps of `apcore.cli.selfcheck`. A person sees lines with colours as they come; a program asks for one JSON object with ``--json``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from apcore.cli import exit_codes
from apcore.cli.output import Coming, tell_people, tell_programs
from apcore.cli.selfcheck.steps import STEPS, Step, run_step
from apcore.cli.step_results import StepResult
from apcore.cli.version import versions

__all__ = ["command"]


@click.command("selfcheck", short_help="Check on this machine what the kernel promises.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@click.option(
    "--only",
    "names",
    type=click.Choice([step.name for step in STEPS]),
    multiple=True,
    help="Run this step only; may be given several times.",
)
def command(*, as_json: bool, names: tuple[str, ...]) -> int:
    """Check on this machine what the kernel promises.

    Opens a store, drives one operation under every driver, makes one HTTP exchange on the loopback interface and kills a writer. It needs no
    network and leaves nothing behind. Exit code 0 if every step holds, 1 if one does not; the output names it.
    """
    steps = [step for step in STEPS if not names or step.name in names]
    if as_json:
        results = tell_programs(_results(steps))
    else:
        title = f"kernel self-check, SQLite {versions()['SQLite']}"
        results = tell_people(title, [Coming(each.name, each.says) for each in steps], _results(steps), all_hold="")
    return exit_codes.DONE if all(result.ok for result in results) else exit_codes.FAILED


def _results(steps: list[Step]) -> Iterator[StepResult]:
    with TemporaryDirectory(prefix="apcore-selfcheck-") as directory:
        for step in steps:
            place = Path(directory) / step.name
            place.mkdir()
            yield run_step(step, place)
