"""Define the tables and the file format.

- `apcore_entry`: one row per entry. The table has no rowid, so keys are neighbours on disk, and a page of a collection
  is one walk over neighbours. Big values would spread those neighbours over many pages, so they are in `apcore_value`,
  and triggers delete them with their entry.
- `apcore_message`: one row per message, in order of enqueue (`seq`). The index that `lease` walks contains *heads*
  only: messages without a group, and the first of each group. So the cost of a lease depends on the number of messages
  leased, not on the number waiting. `due` is the time at which a head may be leased: its due time while it waits, the
  end of its lease while it is leased.
- `apcore_format`: the number of the format. It grows with every change that an older apcore could not read, and a file
  in a newer format is refused. The database may also hold tables of the application, so ``user_version`` and
  ``application_id`` are not used.

Labels are stored as UTF-8 bytes, so that an application's connection reads them in the same way under every
``text_factory``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from apcore.errors import StoreUnavailable

__all__ = ["FORMAT", "INLINE_BYTES_MAX", "format_of", "migrate"]

INLINE_BYTES_MAX: Final = 512
"""The size up to which values stay beside their key: at least seven entries on a page of 4,096 bytes."""

_FORMAT_1: Final = (
    "CREATE TABLE apcore_format (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), format INTEGER NOT NULL)",
    "INSERT INTO apcore_format VALUES (1, 0)",
    """CREATE TABLE apcore_entry (
        k BLOB PRIMARY KEY NOT NULL, version BLOB NOT NULL, expires REAL, value BLOB, value_id INTEGER
    ) WITHOUT ROWID""",
    "CREATE INDEX apcore_entry_expires ON apcore_entry (expires) WHERE expires IS NOT NULL",
    "CREATE TABLE apcore_value (id INTEGER PRIMARY KEY, value BLOB NOT NULL)",
    """CREATE TRIGGER apcore_entry_replaced AFTER UPDATE ON apcore_entry
        WHEN old.value_id IS NOT NULL AND old.value_id IS NOT new.value_id
        BEGIN DELETE FROM apcore_value WHERE id = old.value_id; END""",
    """CREATE TRIGGER apcore_entry_deleted AFTER DELETE ON apcore_entry WHEN old.value_id IS NOT NULL
        BEGIN DELETE FROM apcore_value WHERE id = old.value_id; END""",
    """CREATE TABLE apcore_message (
        seq INTEGER PRIMARY KEY, id BLOB NOT NULL, lane BLOB NOT NULL, grp BLOB, dedup BLOB, delay_s REAL NOT NULL,
        due REAL NOT NULL, head INTEGER NOT NULL, leased INTEGER NOT NULL, attempt INTEGER NOT NULL,
        token BLOB, body BLOB NOT NULL
    )""",
    "CREATE INDEX apcore_message_due ON apcore_message (lane, due, leased) WHERE head = 1",
    "CREATE INDEX apcore_message_group ON apcore_message (lane, grp, seq) WHERE grp IS NOT NULL",
    "CREATE UNIQUE INDEX apcore_message_dedup ON apcore_message (lane, dedup) WHERE dedup IS NOT NULL AND leased = 0",
)

_STEPS: Final[Sequence[Sequence[str]]] = (_FORMAT_1,)
"""The statements that take a file from format n to n + 1, by n. Never edit a released step; add a new one."""

FORMAT: Final = len(_STEPS)


def format_of(connection: sqlite3.Connection, newest: int = FORMAT) -> int:
    """Return the format of the database; 0 if it holds no tables of apcore.

    Raises:
        StoreUnavailable: The format is newer than ``newest``.
    """
    cursor = connection.cursor()
    cursor.row_factory = None
    tables = cursor.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'apcore_format'").fetchall()
    if not tables:
        return 0
    [(file_format,)] = cursor.execute("SELECT format FROM apcore_format").fetchall()
    if file_format > newest:
        raise StoreUnavailable(
            f"the database is in format {file_format}, written by a newer apcore; this one knows formats up to {newest}"
        )
    return int(file_format)


def migrate(connection: sqlite3.Connection, steps: Sequence[Sequence[str]] = _STEPS) -> None:
    """Bring the database to the newest format, inside the caller's transaction."""
    for number in range(format_of(connection, len(steps)), len(steps)):
        for statement in steps[number]:
            connection.execute(statement)
        connection.execute("UPDATE apcore_format SET format = ?", (number + 1,))
