"""How things are told: steps to a person a line each as they end, to a program one JSON object; and what strangers wrote, harmlessly."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import click
from attrs import frozen
from rich.console import Console
from rich.text import Text

from apcore.cli.step_results import StepResult
from apcore.cli.version import versions

__all__ = ["Coming", "plain", "tell_people", "tell_programs"]


@frozen
class Coming:
    """A step that is about to run."""

    name: str
    says: str
    """What holds if it passes."""


def tell_people(
    title: str, coming: Sequence[Coming], results: Iterator[StepResult], *, all_hold: str
) -> list[StepResult]:
    """Print a line a step, in colour where somebody looks. ``results`` may end early; what did not run is said."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text.assemble(("apcore", "bold"), f" {versions()['apcore']}: {title}"))
    width = max(len(step.name) for step in coming)
    told: list[StepResult] = []
    for step in coming:
        if console.is_terminal:
            with console.status(f"{step.name}: {step.says}"):
                result = next(results, None)
        else:
            result = next(results, None)
        if result is None:
            break
        console.print(_line(result, width))
        told.append(result)
    _ = next(results, None)  # lets it clean up
    failed = [result.name for result in told if not result.ok]
    total_s = sum(result.duration_ms for result in told) / 1000
    unseen = f"; {len(coming) - len(told)} steps not run" if len(told) < len(coming) else ""
    if failed:
        console.print(Text(f"FAILED: {', '.join(failed)}{unseen} ({total_s:.1f} s)", style="bold red"))
    else:
        console.print(Text(f"all {len(told)} steps hold{all_hold} ({total_s:.1f} s)", style="bold green"))
    return told


def tell_programs(results: Iterator[StepResult]) -> list[StepResult]:
    """Print one JSON object when all is over."""
    told = list(results)
    members = {
        "ok": all(result.ok for result in told),
        "versions": versions(),
        "steps": [
            {"name": result.name, "ok": result.ok, "detail": result.detail, "duration_ms": round(result.duration_ms, 3)}
            for result in told
        ],
    }
    click.echo(json.dumps(members, indent=2))
    return told


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
    """Take out what a terminal would act upon: strangers wrote this."""
    return "".join(
        each if each.isprintable() else " " if each.isspace() else "\N{REPLACEMENT CHARACTER}" for each in text
    )
