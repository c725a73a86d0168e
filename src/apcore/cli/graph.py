"""``apcore graph``: list the documents of other servers that a store holds, with state, age and provenance."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

import click
from attrs import asdict

from apcore.cli import exit_codes
from apcore.cli.output import plain
from apcore.cli.store_options import AnyNode, result_of, run_on_node, store_options
from apcore.http import parse_origin, parse_url
from apcore.remote import DocumentState
from apcore.remote.states import explain, list_states, read_states

__all__ = ["command"]

_PAGE: Final = 100


@click.command("graph", short_help="List the documents that a store holds.")
@click.argument("uri", metavar="[URL]", required=False)
@store_options
@click.option("--actor", metavar="URL", help="Only documents of this actor.")
@click.option("--server", metavar="ORIGIN", help="Only documents of this server, such as https://remote.example.")
@click.option("--due", is_flag=True, help="Only documents that are not fresh any more.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="The most documents.")
@click.option("--why", is_flag=True, help="Name the rule that decided about each state.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    *,
    uri: str | None,
    store: str | None,
    target: str | None,
    actor: str | None,
    server: str | None,
    due: bool,
    limit: int,
    why: bool,
    as_json: bool,
) -> int:
    """Print the states of the document at URL, or of all documents in the store, by the time at which they are due.

    Nothing is requested. A copy belongs to the actor that it was fetched as, or to everyone.
    """

    async def read(node: AnyNode) -> list[DocumentState]:
        if uri is not None:
            return list(await result_of(node.run(read_states(uri))))
        owner = None if actor is None else str(parse_url(actor))
        origin = None if server is None else str(parse_origin(server))
        states: list[DocumentState] = []
        after: Any = None
        while len(states) < limit:
            page, after = await result_of(node.run(list_states(owner=owner, origin=origin, after=after, limit=_PAGE)))
            states += [state for state in page if not due or state.name != "fresh"]
            if after is None:
                break
        return states[:limit]

    try:
        states = run_on_node(read, store=store, target=target)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        click.echo(json.dumps({"documents": [_members(state) for state in states]}, indent=2))
        return exit_codes.DONE
    for state in states:
        age = "" if state.age_s is None else _age(state.age_s)
        click.echo(plain(f"{state.name:<10} {age:>6}  {state.provenance or '-':<9}  {state.uri}"))
        if state.viewer is not None:
            click.echo(plain(f"{'':<19} for {state.viewer}"))
        if why:
            click.echo(plain(f"{'':<19} {explain(state)}"))
    click.echo(f"{len(states)} documents", err=True)
    return exit_codes.DONE


def _members(state: DocumentState) -> dict[str, Any]:
    members = asdict(state, filter=lambda _, value: value is not None)
    plain_members = {
        name: f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else value for name, value in members.items()
    }
    return plain_members | {"why": explain(state)}


def _age(seconds: float) -> str:
    """Return an age in its largest unit: ``3 d``, ``5 h``, ``2 min``."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
