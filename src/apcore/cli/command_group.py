"""Define the group of commands. Each command has its own module, which is imported on use.

A command is a function that returns an exit code of `apcore.cli.exit_codes`. The command line makes no decisions about
the protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Final, cast

import click
from typing_extensions import override

from apcore.cli import exit_codes
from apcore.cli.version import installed_version

__all__ = ["run_command"]

_MODULES: Final = {
    "block": "apcore.cli.block",
    "check": "apcore.cli.check",
    "dead": "apcore.cli.dead",
    "demo": "apcore.cli.demo",
    "graph": "apcore.cli.graph",
    "inbox": "apcore.cli.inbox",
    "keygen": "apcore.cli.keygen",
    "lookup": "apcore.cli.lookup",
    "migrate": "apcore.cli.migrate",
    "resolve": "apcore.cli.resolve",
    "rotate": "apcore.cli.rotate",
    "serve": "apcore.cli.serve",
    "sign": "apcore.cli.sign",
    "verify": "apcore.cli.verify",
    "version": "apcore.cli.version",
    "work": "apcore.cli.work",
}
"""A map from each command to its module, which defines it as ``command``."""


class _Commands(click.Group):
    """Import the module of a command on use, so that ``apcore version`` does not import a web server."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_MODULES)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _MODULES.get(cmd_name)
        return None if module is None else cast("click.Command", import_module(module).command)

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in _MODULES:
            similar = get_close_matches(args[0], _MODULES, n=1)
            hint = f"; did you mean '{similar[0]}'?" if similar else f"; there are: {', '.join(sorted(_MODULES))}"
            raise click.UsageError(f"there is no command '{args[0]}'{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands, epilog="\b\nExit codes:\n" + exit_codes.in_words(), context_settings={"max_content_width": 100}
)
@click.version_option(installed_version(), prog_name="apcore", message="%(prog)s %(version)s")
def _apcore() -> None:
    """Use the embedded core for ActivityPub from a shell."""


def run_command(arguments: Sequence[str]) -> int:
    """Run one command, and return its exit code. Errors are printed on standard error."""
    try:
        code: object = _apcore.main(list(arguments), prog_name="apcore", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return exit_codes.USAGE
    except click.ClickException as error:
        error.show()
        return exit_codes.FAILED
    except click.Abort:
        return exit_codes.INTERRUPTED
    return code if isinstance(code, int) else exit_codes.DONE
