"""``apcore demo``: show on this machine that what apcore promises holds.

It runs the kernel's self-check (`apcore.cli.selfcheck`), step by step. A person sees lines with colours as they come; a program asks for one JSON
object with ``--json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from rich.text import Text

from apcore.cli import exits
from apcore.cli.selfcheck import STEPS, Step, StepResult, run_step
from apcore.cli.version import versions

__all__ = ["command"]

_NAME_WIDTH = max(len(step.name) for step in STEPS)


@click.command("demo", short_help="Run the kernel's self-check on this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@click.option(
    "--only",
    "names",
    type=click.Choice([step.name for step in STEPS]),
    multiple=True,
    help="Run this step only; may be given several times.",
)
def command(*, as_json: bool, names: tuple[str, ...]) -> int:
    """Run the kernel's self-check on this machine.

    Opens a store, drives one operation under every driver, makes one HTTP exchange on the loopback interface and kills a writer. It needs no
    network and leaves nothing behind. Exit code 0 if every step holds, 1 if one does not; the output names it.
    """
    steps = [step for step in STEPS if not names or step.name in names]
    results = _as_json(steps) if as_json else _for_people(steps)
    return exits.DONE if all(result.ok for result in results) else exits.FAILED


def _results(steps: list[Step]) -> Iterator[StepResult]:
    with TemporaryDirectory(prefix="apcore-demo-") as directory:
        for step in steps:
            place = Path(directory) / step.name
            place.mkdir()
            yield run_step(step, place)


def _as_json(steps: list[Step]) -> list[StepResult]:
    results = list(_results(steps))
    told = {
        "ok": all(result.ok for result in results),
        "versions": versions(),
        "steps": [
            {"name": result.name, "ok": result.ok, "detail": result.detail, "duration_ms": round(result.duration_ms, 3)}
            for result in results
        ],
    }
    click.echo(json.dumps(told, indent=2))
    return results


def _for_people(steps: list[Step]) -> list[StepResult]:
    console = Console(highlight=False, soft_wrap=True)
    told = versions()
    console.print(
        Text.assemble(("apcore", "bold"), f" {told['apcore']}: kernel self-check, SQLite {told['SQLite']}"),
    )
    results: list[StepResult] = []
    coming = _results(steps)
    for step in steps:
        if console.is_terminal:
            with console.status(f"{step.name}: {step.says}"):
                result = next(coming)
        else:
            result = next(coming)
        console.print(_line(result))
        results.append(result)
    list(coming)  # ends the iterator, which removes the directory
    failed = [result.name for result in results if not result.ok]
    total_s = sum(result.duration_ms for result in results) / 1000
    if failed:
        console.print(Text(f"FAILED: {', '.join(failed)} ({total_s:.1f} s)", style="bold red"))
    else:
        console.print(Text(f"all {len(results)} steps hold ({total_s:.1f} s)", style="bold green"))
    return results


def _line(result: StepResult) -> Text:
    verdict = ("  ok    ", "green") if result.ok else ("  FAILED", "bold red")
    return Text.assemble(
        verdict,
        "  ",
        (f"{result.name:<{_NAME_WIDTH}}", "bold"),
        f"  {result.detail}  ",
        (f"{result.duration_ms:.1f} ms", "dim"),
    )
