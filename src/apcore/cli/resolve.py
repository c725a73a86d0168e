"""``apcore resolve``: resolve a reference as the application would, and print the document."""

from __future__ import annotations

import json

import click

from apcore.cli import exit_codes
from apcore.cli.output import plain
from apcore.cli.store_options import AnyNode, result_of, run_on_node
from apcore.effects import CallOutcome, Returned
from apcore.remote.states import explain
from apcore.vocab import Document, to_wire

__all__ = ["command"]


@click.command("resolve", short_help="Resolve a reference from the store or its origin.")
@click.argument("uri", metavar="URL")
@click.option(
    "--store",
    envvar="APCORE_STORE",
    metavar="URL",
    help="The store that copies are read from and written to.  [default: none; env: APCORE_STORE]",
)
@click.option("--node", "target", metavar="MODULE[:NAME]", help="A node that resolves, instead of --store.")
@click.option("--by", metavar="NAME", help="The actor of the node that signs the requests.")
@click.option("--fresh", is_flag=True, help="Ask the origin even if a copy is fresh.")
@click.option("--walk", "path", metavar="PATH", help="Follow properties, such as in_reply_to.attributed_to.")
@click.option("--why", is_flag=True, help="Name the rule that decided, on standard error.")
def command(
    *, uri: str, store: str | None, target: str | None, by: str | None, fresh: bool, path: str | None, why: bool
) -> int:
    """Print the document at URL, as one JSON object.

    A fresh copy of the store costs no request. Without --store and --node, the document is fetched. The exit code is 1
    if there is no document. With --walk, each document at the end of the path is printed, one a line.
    """

    async def resolve(node: AnyNode) -> list[Document | Exception]:
        pointer = node.reference(uri, by=by)
        documents: list[Document | Exception]
        try:
            documents = [await result_of(pointer.resolve(fresh=fresh))]
            if path is not None:
                outcomes: tuple[CallOutcome[Document], ...] = await result_of(pointer.walk(path))
                documents = [outcome.value if isinstance(outcome, Returned) else outcome.error for outcome in outcomes]
        finally:
            if why:
                state = await result_of(pointer.state())
                click.echo(plain(f"{state.name}: {explain(state)}"), err=True)
        return documents

    try:
        documents = run_on_node(resolve, store=store or "memory:", target=target, is_temporary=store is None)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    has_failed = False
    for document in documents:
        if isinstance(document, Document):
            click.echo(json.dumps(to_wire(document), indent=None if path else 2, ensure_ascii=True))
        else:
            has_failed = True
            click.echo(plain(f"{type(document).__name__}: {document}"), err=True)
    return exit_codes.FAILED if has_failed else exit_codes.DONE
