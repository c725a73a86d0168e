"""Keep store and queue in one SQLite file, with the standard library alone.

`SqliteStore` is the blocking store, `AsyncSqliteStore` its twin for event loops, and `open_url` opens ``sqlite:///``
URLs.
"""

from apcore.adapters.sqlite.asynchronous import AsyncSqliteStore
from apcore.adapters.sqlite.files import Synchronous
from apcore.adapters.sqlite.store import SqliteStore
from apcore.adapters.sqlite.urls import open_url

__all__ = ["AsyncSqliteStore", "SqliteStore", "Synchronous", "open_url"]
