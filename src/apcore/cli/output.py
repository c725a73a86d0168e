"""Print the results of steps, as lines for people or as one JSON object, and make foreign text harmless."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import click
from attrs import frozen
from rich.console import Console
from rich.text import Text

from apcore.cli.step_results import StepResult
from apcore.cli.version import versions

__all__ = ["PlannedStep", "plain", "print_steps", "print_steps_as_json"]


@frozen
class PlannedStep:
    """A step that is about to run."""

    name: str
    claim: str
    """The statement that the step checks."""


def print_steps(title: str, planned: Sequence[PlannedStep], results: Iterator[StepResult]) -> list[StepResult]:
    """Print one line per step while they run, in colour on a terminal.

    ``results`` may end before all planned steps have run. The last line then counts the steps that did not run.
    """
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text.assemble(("apcore", "bold"), f" {versions()['apcore']}: {title}"))
    width = max(len(step.name) for step in planned)
    printed: list[StepResult] = []
    for step in planned:
        if console.is_terminal:
            with console.status(f"{step.name}: {step.claim}"):
                result = next(results, None)
        else:
            result = next(results, None)
        if result is None:
            break
        console.print(_line(result, width))
        printed.append(result)
    _ = next(results, None)  # Lets the generator clean up.
    failed = [result.name for result in printed if not result.ok]
    total_s = sum(result.duration_ms for result in printed) / 1000
    missing = f"; {len(planned) - len(printed)} steps not run" if len(printed) < len(planned) else ""
    if failed:
        console.print(Text(f"FAILED: {', '.join(failed)}{missing} ({total_s:.1f} s)", style="bold red"))
    else:
        console.print(Text(f"all {len(printed)} steps hold ({total_s:.1f} s)", style="bold green"))
    return printed


def print_steps_as_json(results: Iterator[StepResult]) -> list[StepResult]:
    """Run all steps, and print one JSON object."""
    finished = list(results)
    members = {
        "ok": all(result.ok for result in finished),
        "versions": versions(),
        "steps": [
            {"name": result.name, "ok": result.ok, "detail": result.detail, "duration_ms": round(result.duration_ms, 3)}
            for result in finished
        ],
    }
    click.echo(json.dumps(members, indent=2))
    return finished


def _line(result: StepResult, width: int) -> Text:
    verdict = ("  ok    ", "green") if result.ok else ("  FAILED", "bold red")
    return Text.assemble(
        verdict,
        "  ",
        (f"{result.name:<{width}}", "bold"),
        f"  {result.detail}  ",
        (f"{result.duration_ms:.1f} ms", "dim"),
    )


def plain(text: str) -> str:
    """Replace control characters in ``text``: a peer could send a sequence that changes the terminal."""
    return "".join(
        character if character.isprintable() else " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )
