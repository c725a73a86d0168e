"""``apcore selfcheck``: check the promises of the kernel on this machine.

It runs the steps of `apcore.cli.selfcheck`. The output is one coloured line per step, or one JSON object with
``--json``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from apcore.cli import exit_codes
from apcore.cli.output import PlannedStep, print_steps, print_steps_as_json
from apcore.cli.selfcheck.steps import STEPS, Step, run_step
from apcore.cli.step_results import StepResult
from apcore.cli.version import versions

__all__ = ["command"]


@click.command("selfcheck", short_help="Check the promises of the kernel on this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@click.option(
    "--only",
    "names",
    type=click.Choice([step.name for step in STEPS]),
    multiple=True,
    help="Run this step only; may be given several times.",
)
def command(*, as_json: bool, names: tuple[str, ...]) -> int:
    """Check the promises of the kernel on this machine.

    The check opens a store, runs one operation under every driver, makes one HTTP exchange on the loopback interface
    and kills a writer. It needs no network and leaves nothing behind. The exit code is 0 if every step holds, and 1 if
    one does not; the output names it.
    """
    steps = [step for step in STEPS if not names or step.name in names]
    if as_json:
        results = print_steps_as_json(_results(steps))
    else:
        title = f"kernel self-check, SQLite {versions()['SQLite']}"
        results = print_steps(title, [PlannedStep(step.name, step.claim) for step in steps], _results(steps))
    return exit_codes.DONE if all(result.ok for result in results) else exit_codes.FAILED


def _results(steps: list[Step]) -> Iterator[StepResult]:
    with TemporaryDirectory(prefix="apcore-selfcheck-") as directory:
        for step in steps:
            step_directory = Path(directory) / step.name
            step_directory.mkdir()
            yield run_step(step, step_directory)
