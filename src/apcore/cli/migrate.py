"""``apcore migrate``: bring a store to the format of this release, before the release serves it."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Protocol, runtime_checkable

import click

from apcore.cli import exit_codes
from apcore.errors import ApcoreError, ConfigurationError
from apcore.node import open_store
from apcore.ports import KvStore

__all__ = ["command"]


@runtime_checkable
class _Versioned(Protocol):
    """A store that tells its format without changing it."""

    @property
    def newest_format(self) -> int: ...

    def stored_format(self) -> int: ...


@click.command("migrate", short_help="Bring a store to the format of this release.")
@click.option(
    "--store",
    required=True,
    envvar="APCORE_STORE",
    metavar="URL",
    help="The store, such as postgresql://db.example/social. [env: APCORE_STORE]",
)
@click.option("--check", "only_check", is_flag=True, help="Change nothing; exit with 1 if there is something to do.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, store: str, only_check: bool, as_json: bool) -> int:
    """Create the tables of a store, or bring them to the format of this release.

    Every process does this by itself when it starts. Use this command to do it at a time of your choice, or as a user
    with more rights. An interrupted migration goes on where it stopped: run it again.
    """
    try:
        with closing(open_store(store)) as opened_store:
            before, newest = _migrate(opened_store, only_check=only_check)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    except ApcoreError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps({"before": before, "newest": newest, "migrated": not only_check and before != newest}))
    elif before == newest:
        click.echo(f"the store is in format {newest}, which is up to date")
    elif only_check:
        click.echo(f"the store is in format {before}; this release uses {newest}")
    else:
        click.echo(f"the store was in format {before}, and is in format {newest} now")
    return exit_codes.FAILED if only_check and before != newest else exit_codes.DONE


def _migrate(store: KvStore, *, only_check: bool) -> tuple[int, int]:
    """Bring a store up to date, and return its format before and the newest one."""
    if not isinstance(store, _Versioned):
        raise ConfigurationError(
            f"{type(store).__name__} has no format to migrate: it is brought up to date whenever it is opened"
        )
    before, newest = store.stored_format(), store.newest_format
    if before > newest:
        raise ConfigurationError(
            f"the store is in format {before}, written by a newer apcore; this one knows formats up to {newest}: "
            "upgrade apcore, or restore a backup from before the upgrade"
        )
    if not only_check:
        _ = store.get([("prepare",)])
    return before, newest
