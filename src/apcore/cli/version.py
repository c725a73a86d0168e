"""``apcore version``: print the installed versions for a bug report."""

from __future__ import annotations

import json
import platform
import sqlite3
import sys
from importlib.metadata import PackageNotFoundError, version

import click

from apcore.cli import exit_codes

__all__ = ["command", "installed_version", "versions"]

_TOLD = ("attrs", "cattrs", "cryptography", "h11", "http-sf", "idna", "PyLD", "trio")


def installed_version() -> str:
    """Return the version of the installed distribution, or "unknown" if apcore runs from source without one."""
    return _version_of("apcore") or "unknown"


def versions() -> dict[str, str | None]:
    """Return the versions that a bug report should contain, by name; None for a distribution that is not installed."""
    return {
        "apcore": installed_version(),
        platform.python_implementation(): platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        **{name: _version_of(name) for name in _TOLD},
        "system": f"{sys.platform} {platform.machine()}",
    }


@click.command("version", short_help="Print the versions of apcore and its dependencies.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, as_json: bool) -> int:
    """Print the versions of apcore and its dependencies, for a bug report."""
    version_by_name = versions()
    if as_json:
        click.echo(json.dumps(version_by_name, indent=2))
        return exit_codes.DONE
    width = max(map(len, version_by_name))
    for name, number in version_by_name.items():
        click.echo(f"{name:<{width}}  {number or 'not installed'}")
    return exit_codes.DONE


def _version_of(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
