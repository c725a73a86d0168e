"""Hold the settings of one store, and the statements that every connection begins with."""

from __future__ import annotations

from typing import Any, Final

from attrs import field, frozen
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from apcore.ports import Durability

__all__ = ["Settings"]

_DEFAULTS: Final = {
    "application_name": "apcore",
    "connect_timeout": "10",
    # A server that vanishes is noticed after this time, also in the middle of a call.
    "tcp_user_timeout": "30000",
}


@frozen
class Settings:
    """The database, and how its connections are used."""

    conninfo: str = field(repr=False)
    """A URL or connection string of libpq. It may hold a password."""
    schema: str = "apcore"
    durability: Durability = "power"
    busy_timeout_s: float = 5.0
    connections_max: int = 16

    @property
    def source(self) -> str:
        """Return the name of the database in messages, without user and password."""
        parts = conninfo_to_dict(self.conninfo)
        place = parts.get("host") or parts.get("hostaddr") or parts.get("service") or "the default host"
        port = f":{parts['port']}" if parts.get("port") else ""
        return f"PostgreSQL database {parts.get('dbname') or parts.get('user') or 'of the user'} at {place}{port}"

    @property
    def connection_string(self) -> str:
        """Return the connection string with our defaults for what it leaves open."""
        given: dict[str, Any] = conninfo_to_dict(self.conninfo)
        return make_conninfo(**{**_DEFAULTS, **given})

    @property
    def session_statement(self) -> bytes:
        """Return the statement that prepares a session.

        A server that is set to commit before the disk has the data would lose acknowledged commits when it is killed.
        """
        return f"""SELECT set_config('default_transaction_isolation', 'read committed', false),
            set_config('lock_timeout', '{int(self.busy_timeout_s * 1000)}ms', false),
            set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
                ELSE current_setting('synchronous_commit') END, false)""".encode()
