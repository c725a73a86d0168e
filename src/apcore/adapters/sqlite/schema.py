"""The tables, and the format that a file is in.

- `apcore_entry`: one row an entry. Keys are stored in the row's place of the tree (no rowid), so a page of a collection is one walk over
  neighbours. Big values would spread those neighbours over many pages; they stand in `apcore_value`, and triggers remove them with their entry.
- `apcore_message`: one row a message, in order of enqueue (`seq`). The index that `lease` walks holds *heads* only: messages without a group, and
  the first of each group. So a lease costs what it hands out, however much waits behind. `due` is when a head may be handed out: its due time while
  it waits, the end of its lease while it is leased.
- `apcore_format`: the number of the format. It grows with every change that an older apcore could not read; a file in a newer format is
  refused. The database may also hold an application's own tables, so neither ``user_version`` nor ``application_id`` is ours.

Labels are stored as UTF-8 bytes, so that an application's connection, whatever its ``text_factory``, reads what we wrote.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from apcore.errors import StoreUnavailable

__all__ = ["FORMAT", "INLINE_BYTES_MAX", "format_of", "migrate"]

INLINE_BYTES_MAX: Final = 512
"""Values up to here stand beside their key: at least seven entries on a page of 4,096 bytes."""

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
        due REAL NOT NULL, head INTEGER NOT NULL, leased INTEGER NOT NULL, attempt INTEGER NOT NULL, token BLOB, body BLOB NOT NULL
    )""",
    "CREATE INDEX apcore_message_due ON apcore_message (lane, due, leased) WHERE head = 1",
    "CREATE INDEX apcore_message_group ON apcore_message (lane, grp, seq) WHERE grp IS NOT NULL",
    "CREATE UNIQUE INDEX apcore_message_dedup ON apcore_message (lane, dedup) WHERE dedup IS NOT NULL AND leased = 0",
)

_STEPS: Final[Sequence[Sequence[str]]] = (_FORMAT_1,)
"""What takes a file from format n to n + 1, by n. Steps are never edited once released; a change is a new step."""

FORMAT: Final = len(_STEPS)


def format_of(connection: sqlite3.Connection, newest: int = FORMAT) -> int:
    """Give the format of the database; 0 when it holds no tables of ours.

    Raises:
        StoreUnavailable: It is newer than ``newest``.
    """
    cursor = connection.cursor()
    cursor.row_factory = None
    known = cursor.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'apcore_format'").fetchall()
    if not known:
        return 0
    [(found,)] = cursor.execute("SELECT format FROM apcore_format").fetchall()
    if found > newest:
        raise StoreUnavailable(
            f"the database is in format {found}, written by a newer apcore; this one knows formats up to {newest}"
        )
    return int(found)


def migrate(connection: sqlite3.Connection, steps: Sequence[Sequence[str]] = _STEPS) -> None:
    """Bring the database to the last format, inside the caller's transaction."""
    for number in range(format_of(connection, len(steps)), len(steps)):
        for statement in steps[number]:
            connection.execute(statement)
        connection.execute("UPDATE apcore_format SET format = ?", (number + 1,))
