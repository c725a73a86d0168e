"""Pool the blocking connections of one process: as many as are used at one time, up to a bound.

A connection that was lost while it was idle is noticed before it is used. So a server that was restarted costs no call.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from threading import Condition
from typing import Any

import psycopg

from apcore.adapters.postgres.failures import failure, refusal
from apcore.adapters.postgres.settings import Settings
from apcore.errors import StoreBusy

__all__ = ["Connection", "Connections", "is_stale"]

Connection = psycopg.Connection[tuple[Any, ...]]


class Connections:
    """A pool. Connections open on first use; after a fork, the child opens its own."""

    def __init__(
        self, settings: Settings, *, prepare: Callable[[Connection], None], connections_max: int, listens: bool = False
    ) -> None:
        """Bind to a database.

        Args:
            settings: The database.
            prepare: Called with each new connection.
            connections_max: How many connections may be in use at one time.
            listens: Whether the server sends notifications to idle connections.
        """
        self._settings = settings
        self._prepare = prepare
        self._connections_max = connections_max
        self._listens = listens
        self._pid = os.getpid()
        self._returned = Condition()
        self._idle: list[Connection] = []
        self._in_use = 0
        self._lent: set[Connection] = set()
        self._outdated: set[Connection] = set()

    def take(self) -> Connection:
        """Borrow a connection. Return it with `give_back`.

        Raises:
            StoreUnavailable: The server cannot be reached, or refuses the connection.
            StoreBusy: All connections stayed in use for `Settings.busy_timeout_s`.
        """
        if self._pid != os.getpid():
            self._forget()  # psycopg leaves the connections of another process alone
        connection = self._take_idle()
        if connection is None:
            try:
                connection = self._open()
            except BaseException:
                with self._returned:
                    self._in_use -= 1
                    self._returned.notify()
                raise
        self._lent.add(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Return a connection. One that is not usable any more is closed."""
        with self._returned:
            self._in_use -= 1
            self._lent.discard(connection)
            is_outdated = connection in self._outdated
            self._outdated.discard(connection)
            if not (is_outdated or connection.closed):
                self._idle.append(connection)
            self._returned.notify()
        if is_outdated:
            connection.close()

    def close(self) -> None:
        """Close the idle connections. Those in use close when they come back; a later call opens new ones."""
        if self._pid != os.getpid():
            self._forget()
        with self._returned:
            idle, self._idle = self._idle, []
            self._outdated |= self._lent
        for connection in idle:
            connection.close()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._returned = Condition()
        self._idle = []
        self._in_use = 0
        self._lent = set()
        self._outdated = set()

    def _take_idle(self) -> Connection | None:
        """Take an idle connection, or else the place of a new one."""
        deadline = time.monotonic() + self._settings.busy_timeout_s
        with self._returned:
            while True:
                while self._idle:
                    connection = self._idle.pop()
                    if self._listens or not is_stale(connection):
                        self._in_use += 1
                        return connection
                    connection.close()
                if self._in_use < self._connections_max:
                    self._in_use += 1
                    return None
                if not self._returned.wait(deadline - time.monotonic()):
                    raise StoreBusy(
                        f"{self._settings.source}: all {self._connections_max} connections of this process stayed in "
                        f"use for {self._settings.busy_timeout_s:g} s; nothing was written"
                    )

    def _open(self) -> Connection:
        try:
            connection = psycopg.connect(self._settings.connection_string, autocommit=True)
        except psycopg.Error as error:
            raise refusal(error, self._settings.source) from error
        try:
            _ = connection.execute(self._settings.session_statement)
            self._prepare(connection)
        except psycopg.Error as error:
            connection.close()
            unavailable = failure(error, self._settings.source)
            if unavailable is None:
                raise
            raise unavailable from error
        except BaseException:
            connection.close()
            raise
        return connection


def is_stale(connection: Connection | psycopg.AsyncConnection[Any]) -> bool:
    """Return whether an idle connection was lost. An idle server sends nothing, so anything to read means its end."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))
