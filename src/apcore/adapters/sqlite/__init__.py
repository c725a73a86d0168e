"""Store and queue in one SQLite file, by the standard library alone: `SqliteStore`, its face for event loops, and ``sqlite:///`` URLs."""

from apcore.adapters.sqlite.asynchronous import AsyncSqliteStore
from apcore.adapters.sqlite.files import Synchronous
from apcore.adapters.sqlite.store import SqliteStore
from apcore.adapters.sqlite.urls import open_url

__all__ = ["AsyncSqliteStore", "SqliteStore", "Synchronous", "open_url"]
