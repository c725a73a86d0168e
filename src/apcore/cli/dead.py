"""``apcore dead``: list, show, retry and drop dead letters, the work that a server has given up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from apcore.cli import exit_codes
from apcore.cli.output import plain
from apcore.cli.store_options import AnyNode, result_of, run_on_node, store_options
from apcore.errors import ContractError
from apcore.federation import DeadLetter

__all__ = ["command"]

_KINDS = ("received", "planning", "delivery")


@click.group("dead", short_help="List, show, retry or drop work that was given up.")
def command() -> None:
    """List, show, retry and drop dead letters.

    A dead letter is a received activity, the planning of a sent one, or a delivery, that was given up. It is stored for
    30 days.
    """


@command.command("list")
@click.option("--kind", type=click.Choice(_KINDS), help="Only dead letters of this kind.")
@store_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_letters(*, kind: Any, store: str | None, target: str | None, as_json: bool) -> int:
    """Print the dead letters."""
    letters = run_on_node(lambda node: _read_all(node, kind), store=store, target=target)
    if as_json:
        click.echo(json.dumps({"dead_letters": [_members(letter) for letter in letters]}, indent=2))
        return exit_codes.DONE
    for letter in letters:
        date = "" if letter.died is None else f"{letter.died:%Y-%m-%d}"
        about = f"{letter.activity_id or '(activity not stored any more)'} {letter.inbox or ''}".rstrip()
        click.echo(plain(f"{letter.id}\n    {date}  {letter.attempts} attempts  {about}\n    {letter.reason}"))
    click.echo(f"{len(letters)} dead letters", err=True)
    return exit_codes.DONE


@command.command("show")
@click.argument("ident", metavar="ID")
@store_options
def show_letter(*, ident: str, store: str | None, target: str | None) -> int:
    """Print a dead letter with its activity, as JSON."""

    async def read(node: AnyNode) -> DeadLetter | None:
        letter: DeadLetter | None = await result_of(node.dead_letter(ident))
        return letter

    letter = _checked(lambda: run_on_node(read, store=store, target=target))
    if letter is None:
        raise click.ClickException(plain(f"there is no dead letter {ident}; see `apcore dead list`"))
    click.echo(json.dumps(_members(letter) | {"document": letter.document}, indent=2, ensure_ascii=False))
    return exit_codes.DONE


@command.command("retry")
@click.argument("idents", nargs=-1, metavar="[ID]...")
@click.option("--all", "takes_all", is_flag=True, help="Retry every dead letter.")
@click.option("--kind", type=click.Choice(_KINDS), help="With --all: only dead letters of this kind.")
@store_options
def retry_letters(*, idents: Sequence[str], takes_all: bool, kind: Any, store: str | None, target: str | None) -> int:
    """Have a worker try each ID again. Attempts are counted anew."""
    return _each(idents, "retry_dead_letter", "retried", takes_all, kind, store=store, target=target)


@command.command("drop")
@click.argument("idents", nargs=-1, metavar="[ID]...")
@click.option("--all", "takes_all", is_flag=True, help="Drop every dead letter.")
@click.option("--kind", type=click.Choice(_KINDS), help="With --all: only dead letters of this kind.")
@store_options
def drop_letters(*, idents: Sequence[str], takes_all: bool, kind: Any, store: str | None, target: str | None) -> int:
    """Delete each ID."""
    return _each(idents, "drop_dead_letter", "dropped", takes_all, kind, store=store, target=target)


# --- leaves ---------------------------------------------------------------------------------------------------------


def _each(
    idents: Sequence[str],
    method: str,
    outcome: str,
    takes_all: bool,
    kind: Any,
    *,
    store: str | None,
    target: str | None,
) -> int:
    """Call a method of the node for each id, and report those without a dead letter."""
    if takes_all == bool(idents):
        raise click.UsageError("name the dead letters, or use --all")

    async def act(node: AnyNode) -> tuple[int, list[str]]:
        names = [letter.id for letter in await _read_all(node, kind)] if takes_all else idents
        failures: list[str] = []
        for ident in names:
            try:
                if not await result_of(getattr(node, method)(ident)):
                    failures.append(f"there is no dead letter {ident}; see `apcore dead list`")
            except ContractError as error:
                failures.append(f"{ident}: {error}")
        return len(names) - len(failures), failures

    count, failures = _checked(lambda: run_on_node(act, store=store, target=target))
    click.echo(f"{count} dead letter{'s' * (count != 1)} {outcome}")
    for failure in failures:
        click.echo(plain(failure), err=True)
    return exit_codes.FAILED if failures else exit_codes.DONE


async def _read_all(node: AnyNode, kind: Any) -> list[DeadLetter]:
    letters: list[DeadLetter] = []
    cursor: str | None = None
    while True:
        page = await result_of(node.dead_letters(kind, cursor=cursor))
        letters += page.items
        cursor = page.next
        if cursor is None:
            return letters


def _checked(action: Any) -> Any:
    """Run an action, and print that an id is malformed."""
    try:
        return action()
    except ValueError as error:
        raise click.UsageError(plain(str(error))) from error


def _members(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "kind": letter.kind,
        "activity": letter.activity_id,
        "actor": letter.actor,
        "inbox": letter.inbox,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "died": None if letter.died is None else f"{letter.died:%Y-%m-%dT%H:%M:%SZ}",
    }
