"""Find the driver's connection behind the application's database objects, without importing their libraries.

Applications hold a connection of Django, or a session or connection of SQLAlchemy. A store enlists in the connection of
the driver below (psycopg, sqlite3). The objects are known by their methods.
"""

from __future__ import annotations

from typing import Any

from apcore.errors import ContractError

__all__ = ["async_driver_connection", "driver_connection"]


def driver_connection(connection: object, /) -> object:
    """Return the driver's connection behind a Django connection, or a SQLAlchemy session or connection.

    Any other object is returned as it is.

    Raises:
        ContractError: Django has no `atomic` block open.
    """
    host: Any = connection
    if hasattr(host, "in_atomic_block"):  # Django's DatabaseWrapper, or the proxy for it
        if not host.in_atomic_block:
            raise ContractError("no transaction is open on Django's connection: enlist inside `with atomic():`")
        return host.connection
    if hasattr(host, "get_bind") and callable(getattr(host, "connection", None)):  # SQLAlchemy's Session
        host = host.connection()
    if hasattr(host, "exec_driver_sql"):  # SQLAlchemy's Connection
        return host.connection.driver_connection
    return host


async def async_driver_connection(connection: object, /) -> object:
    """Do the same as `driver_connection`, also for the asynchronous session and connection of SQLAlchemy."""
    host: Any = connection
    if hasattr(host, "sync_session"):  # AsyncSession
        host = await host.connection()
    if hasattr(host, "sync_connection"):  # AsyncConnection
        return (await host.get_raw_connection()).driver_connection
    return driver_connection(host)
