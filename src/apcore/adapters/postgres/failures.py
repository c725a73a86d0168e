"""Map the errors of psycopg to apcore's errors, by SQLSTATE (PostgreSQL, appendix A).

A code that indicates a bug (an invalid statement, a wrong type) is not in the table. Such an exception propagates
unchanged.
"""

from __future__ import annotations

from typing import Final

import psycopg

from apcore.errors import CommitOutcome, StoreBusy, StoreUnavailable

__all__ = ["failure", "is_conflict", "is_lost_connection", "refusal"]

_CONFLICTS: Final = frozenset({"40001", "40P01"})
_BUSY: Final = {
    "40001": "other transactions changed the same rows",
    "40P01": "other transactions waited for this one",
    "55P03": "another transaction held a lock for too long",
    "57014": "the server cancelled the statement",
    "25P02": "the transaction has failed before",
    "53200": "the server has no memory for more locks: raise max_locks_per_transaction",
}
_WORDS: Final = {
    "08": "the connection failed",
    "28": "the server refuses this user",
    "53": "the server is out of resources",
    "57": "the server is shutting down or starting",
    "58": "the server's file system failed",
    "XX": "the server reports damaged data",
    "3D000": "the database does not exist",
    "42501": "the user may not use the tables of apcore: run it as their owner, or grant it the schema",
    "25006": "the server takes no writes: it is a standby, or set to read-only",
    # The schema was dropped or changed by hand.
    "3F000": "the tables of apcore are missing or were changed",
    "42P01": "the tables of apcore are missing or were changed",
    "42703": "the tables of apcore are missing or were changed",
    "42883": "the tables of apcore are missing or were changed",
}


def failure(error: psycopg.Error, source: str, *, outcome: CommitOutcome = "nothing") -> StoreUnavailable | None:
    """Return the error that ``error`` stands for, or None if it is a bug. ``source`` names the database.

    ``outcome`` is that of a call whose answer never came. A call that the server has refused has changed nothing.
    """
    code = error.sqlstate
    if code is None or is_lost_connection(error):
        if code is None and not isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
            return None
        return StoreUnavailable(f"{source} does not answer: {_line(error)}", outcome=outcome)
    if code in _BUSY:
        return StoreBusy(f"{source}: {_BUSY[code]}; nothing was written ({_line(error)})")
    words = _WORDS.get(code, _WORDS.get(code[:2]))
    return None if words is None else StoreUnavailable(f"{source}: {words} ({_line(error)})")


def refusal(error: psycopg.Error, source: str) -> StoreUnavailable:
    """Return the error for a connection that could not be opened. The text of the server says why."""
    return StoreUnavailable(f"{source} cannot be opened: {_line(error)}")


def is_conflict(error: psycopg.Error) -> bool:
    """Return whether the server gave up this transaction for another one, so that trying again soon makes sense."""
    return error.sqlstate in _CONFLICTS


def is_lost_connection(error: psycopg.Error) -> bool:
    """Return whether the connection ended with the error, so that the last statement may have been carried out."""
    code = error.sqlstate
    return code is not None and (code.startswith("08") or code in ("57P01", "57P02", "57P03", "57P05"))


def _line(error: psycopg.Error) -> str:
    return " ".join(str(error).split())[:300]
