"""Keep store and queue in one SQLite file, with the standard library alone.

`SqliteStore` is the blocking store, `AsyncSqliteStore` its twin for event loops, and `open_url` opens ``sqlite:///``
URLs.
"""

from apcore.adapters.sqlite.asynchronous import AsyncSqliteStore as AsyncSqliteStore
from apcore.adapters.sqlite.files import Synchronous as Synchronous
from apcore.adapters.sqlite.store import SqliteStore
from apcore.adapters.sqlite.urls import open_url

__all__ = ["SqliteStore", "open_url"]
