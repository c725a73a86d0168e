"""Run the statements behind get, scan and commit.

Functions take a cursor and the store's time; their caller begins and ends the transaction. A commit first reads (checks
and counters), and then writes. So a commit that is refused has changed nothing, and needs no savepoint of its own
within a group.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from apcore.adapters.sqlite.schema import INLINE_BYTES_MAX
from apcore.errors import ContractError
from apcore.ports import DeleteEntry, EncodedCommit, Entry, Increment, Put, StoreKey, decode_key, sum_counter

__all__ = ["checks_hold", "get", "reclaim", "scan", "totals", "write"]

_VALUE: Final = "coalesce(value, (SELECT b.value FROM apcore_value AS b WHERE b.id = value_id))"
_LIVE: Final = "(expires IS NULL OR expires > ?)"
_GET_ONE: Final = f"SELECT {_VALUE}, version FROM apcore_entry WHERE k = ? AND {_LIVE}"  # noqa: S608
_SCAN: Final = f"""SELECT k, {_VALUE}, version FROM apcore_entry
    WHERE k > ? AND k < ? AND {_LIVE} ORDER BY k LIMIT ?"""  # noqa: S608
_SCAN_REVERSE: Final = _SCAN.replace("ORDER BY k", "ORDER BY k DESC")
_VERSION: Final = f"SELECT version FROM apcore_entry WHERE k = ? AND {_LIVE}"  # noqa: S608
_PUT: Final = """INSERT INTO apcore_entry (k, version, expires, value, value_id) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (k) DO UPDATE SET
        version = excluded.version, expires = excluded.expires, value = excluded.value, value_id = excluded.value_id"""
_VALUE_ID: Final = "SELECT value_id FROM apcore_entry WHERE k = ? AND value_id IS NOT NULL"
_NEW_VALUE: Final = "INSERT INTO apcore_value (value) VALUES (?)"
_SET_VALUE: Final = "UPDATE apcore_value SET value = ? WHERE id = ?"
_DELETE: Final = "DELETE FROM apcore_entry WHERE k = ?"
_RECLAIM: Final = "DELETE FROM apcore_entry WHERE k IN (SELECT k FROM apcore_entry WHERE expires <= ? LIMIT ?)"

_Row = tuple[bytes, bytes, float | None, bytes | None, int | None]


def get(cursor: sqlite3.Cursor, keys: Sequence[StoreKey], encoded: Sequence[bytes], now: float) -> list[Entry | None]:
    """Read the entries at ``keys``, which are ``encoded``, in one snapshot."""
    if len(encoded) == 1:
        rows = cursor.execute(_GET_ONE, (encoded[0], now)).fetchall()
        return [Entry(keys[0], *rows[0]) if rows else None]
    marks = ", ".join("?" * len(encoded))
    query = f"SELECT k, {_VALUE}, version FROM apcore_entry WHERE k IN ({marks}) AND {_LIVE}"  # noqa: S608
    rows_by_key = {row[0]: row for row in cursor.execute(query, (*encoded, now)).fetchall()}
    return [
        None if (row := rows_by_key.get(name)) is None else Entry(key, row[1], row[2])
        for key, name in zip(keys, encoded, strict=True)
    ]


def scan(cursor: sqlite3.Cursor, low: bytes, high: bytes, *, limit: int, reverse: bool, now: float) -> list[Entry]:
    """Read up to ``limit`` entries strictly between two bounds."""
    rows = cursor.execute(_SCAN_REVERSE if reverse else _SCAN, (low, high, now, limit)).fetchall()
    return [Entry(_key(encoded), value, version) for encoded, value, version in rows]


def checks_hold(cursor: sqlite3.Cursor, checks: Iterable[tuple[bytes, bytes | None]], now: float) -> bool:
    """Return whether each key has the version that its check demands."""
    for key, version in checks:
        row = cursor.execute(_VERSION, (key, now)).fetchone()
        if (None if row is None else row[0]) != version:
            return False
    return True


def totals(cursor: sqlite3.Cursor, commit: EncodedCommit, now: float) -> dict[bytes, bytes]:
    """Return the new value of each counter that ``commit`` adds to.

    Raises:
        ContractError: The value at a key is not a counter, or would exceed 64 bits.
    """
    counted: dict[bytes, bytes] = {}
    for key, write in commit.writes:
        if isinstance(write, Increment):
            rows = cursor.execute(_GET_ONE, (key, now)).fetchall()
            old = rows[0][0] if rows else None
            if (new := sum_counter(old, write.delta)) is None:
                raise ContractError(
                    f"cannot add {write.delta} to {old!r:.60} at {write.key!r}: not a counter, or beyond 64 bits"
                )
            counted[key] = new
    return counted


def write(cursor: sqlite3.Cursor, commit: EncodedCommit, counted: dict[bytes, bytes], now: float) -> None:
    """Write the entries of ``commit``."""
    rows: list[_Row] = []
    removed: list[tuple[bytes]] = []
    for key, change in commit.writes:
        match change:
            case Put(value=value, ttl_s=ttl_s):
                expires = None if ttl_s is None else now + ttl_s
                if len(value) <= INLINE_BYTES_MAX:
                    rows.append((key, commit.token, expires, value, None))
                else:
                    rows.append((key, commit.token, expires, None, _put_apart(cursor, key, value)))
            case Increment():
                rows.append((key, commit.token, None, counted[key], None))
            case DeleteEntry():
                removed.append((key,))
    if rows:
        cursor.executemany(_PUT, rows)
    if removed:
        cursor.executemany(_DELETE, removed)


def _put_apart(cursor: sqlite3.Cursor, key: bytes, value: bytes) -> int | None:
    """Store a big value and return its number. Overwriting the old value, if there is one, is three times as fast."""
    for (value_id,) in cursor.execute(_VALUE_ID, (key,)).fetchall():
        cursor.execute(_SET_VALUE, (value, value_id))
        return int(value_id)
    return cursor.execute(_NEW_VALUE, (value,)).lastrowid


def reclaim(cursor: sqlite3.Cursor, now: float, limit: int) -> int:
    """Remove up to ``limit`` expired entries, and return how many there were."""
    return cursor.execute(_RECLAIM, (now, limit)).rowcount


def _key(encoded: bytes) -> StoreKey:
    # Without FF there is no NUL inside a part, so one split decodes the key.
    return decode_key(encoded) if b"\xff" in encoded else tuple(encoded[:-1].decode().split("\x00"))
