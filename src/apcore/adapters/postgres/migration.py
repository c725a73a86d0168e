"""Bring the tables of a database to the format of this release, and check the settings of its server.

A step is one transaction, so an interrupted migration goes on where it stopped. Processes that start at the same time
take turns. Functions have revisions and stay (see functions.sql), so an older release goes on working beside this one
until a step says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, Final
from uuid import UUID

import psycopg

from apcore.adapters.postgres.settings import Settings
from apcore.errors import ConfigurationError

__all__ = ["FORMAT", "STEPS", "Installation", "check_format", "check_server", "migrate", "read_installation"]

Installation = tuple[int, UUID]
"""The format of the tables, and the random name of the installation."""

STEPS: Final[Sequence[Sequence[str]]] = (("tables.sql", "functions.sql"),)
"""The files that take a database from format n to n + 1, by n. Never edit a released step; add a new one."""

FORMAT: Final = len(STEPS)

_TABLE: Final = """SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE nspname = %s AND relname = 'format'"""

_CONNECTION = psycopg.Connection[tuple[Any, ...]]


def read_installation(connection: _CONNECTION, schema: str) -> Installation | None:
    """Return the format of the tables and the name of the installation; None if there are no tables."""
    # Asks the catalogue's tables: to_regclass may answer from a cache that is older than the lock of `migrate`.
    tables = connection.execute(_TABLE, (schema,)).fetchall()
    if not tables:
        return None
    [row] = connection.execute(_in_schema("SELECT format, installation FROM {schema}.format", schema)).fetchall()
    return row[0], row[1]


def check_format(installation: Installation | None, source: str) -> None:
    """Refuse tables of a newer release.

    Raises:
        ConfigurationError: The format is newer than this release knows.
    """
    if installation is not None and installation[0] > FORMAT:
        raise ConfigurationError(
            f"{source} is in format {installation[0]}, written by a newer apcore; this one knows formats up to "
            f"{FORMAT}: upgrade apcore, or restore a backup from before the upgrade"
        )


def check_server(connection: _CONNECTION, settings: Settings) -> None:
    """Refuse a server that may lose what it has acknowledged.

    Raises:
        ConfigurationError: The server runs with ``fsync=off`` or ``full_page_writes=off``, and the store promises to
            survive power loss.
    """
    for name in ("fsync", "full_page_writes"):
        [(value,)] = connection.execute("SELECT current_setting(%s)", (name,)).fetchall()
        if value != "on" and settings.durability == "power":
            raise ConfigurationError(
                f"{settings.source} runs with {name}={value}, so a power loss can destroy it: set {name} = on in "
                "postgresql.conf, or add durability=process to the URL to accept that"
            )


def migrate(
    connection: _CONNECTION, settings: Settings, *, progress: Callable[[int, int], None] = lambda _old, _new: None
) -> Installation:
    """Bring the tables to `FORMAT`, and return the installation. ``progress`` is told of each step.

    Raises:
        ConfigurationError: The tables are in a newer format, or the user may not create them.
    """
    installation = read_installation(connection, settings.schema)
    while installation is None or installation[0] < FORMAT:
        try:
            with connection.transaction():
                # The number is the text "apcore" in ASCII.
                _ = connection.execute("SELECT pg_advisory_xact_lock(%s)", (0x6170636F7265,))
                installation = read_installation(connection, settings.schema)
                check_format(installation, settings.source)
                old = 0 if installation is None else installation[0]
                if old == FORMAT:
                    continue
                if old == 0:
                    _ = connection.execute(_in_schema("CREATE SCHEMA IF NOT EXISTS {schema}", settings.schema))
                for name in STEPS[old]:
                    text = files("apcore.adapters.postgres").joinpath(name).read_text("utf-8")
                    _ = connection.execute(_in_schema(text, settings.schema))
                _ = connection.execute(
                    _in_schema("UPDATE {schema}.format SET format = %s", settings.schema), (old + 1,)
                )
                installation = read_installation(connection, settings.schema)
        except psycopg.errors.InsufficientPrivilege as error:
            raise ConfigurationError(
                f"{settings.source}: the user may not create the tables of apcore ({str(error).strip()}): run "
                f"`CREATE SCHEMA {settings.schema} AUTHORIZATION` with its name, or `apcore migrate` as another user"
            ) from error
        progress(old, old + 1)
    check_format(installation, settings.source)
    return installation


def _in_schema(statements: str, schema: str) -> bytes:
    """Put the name of the schema into statements. `parse_url` has checked it."""
    return statements.replace("{schema}", schema).encode()
