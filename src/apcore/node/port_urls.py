"""Find ports by name: stores and signers by URL, runtimes and transports by the name of their entry point.

So this package imports no adapter, and an application imports only those that it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import iscoroutinefunction
from typing import Any, cast

from apcore.errors import ConfigurationError
from apcore.ports import AsyncKvStore, KvStore, Signer

__all__ = ["entry_point", "open_signer", "open_store", "queue_of"]


def open_store(url: str, /) -> KvStore:
    """Open the store that ``url`` names, by the entry point for its scheme (group ``apcore.stores``).

    Raises:
        ConfigurationError: The URL has no scheme, or no adapter for it is installed.
    """
    scheme, colon, _ = url.partition(":")
    if not colon:
        raise ConfigurationError(f"a store is named by a URL such as sqlite:///social.db, not {url!r:.60}")
    store: KvStore = entry_point("apcore.stores", scheme)(url)
    return store


def open_signer(url: str, store: KvStore | AsyncKvStore, /) -> Signer:
    """Open the signer that ``url`` names, by the entry point for its scheme (group ``apcore.signers``).

    ``store:`` keeps the keys in ``store``.

    Raises:
        ConfigurationError: The URL has no scheme, no adapter for it is installed, or its keys cannot be used.
    """
    scheme, colon, _ = url.partition(":")
    if not colon:
        raise ConfigurationError(f"a signer is named by a URL such as file:///path/of/keys, not {url!r:.60}")
    if scheme == "store" and iscoroutinefunction(store.get):
        raise ConfigurationError("a store with only async methods cannot hold private keys: pass a signer")
    signer: Signer = entry_point("apcore.signers", scheme)(store if scheme == "store" else url)
    return signer


@cache
def entry_point(group: str, name: str) -> Callable[..., Any]:
    """Import and return the object of the entry point ``name`` in ``group``, once per process.

    Raises:
        ConfigurationError: There is no such entry point. The message lists the installed ones.
    """
    from importlib.metadata import entry_points  # costs as much as the rest of apcore

    entries = entry_points(group=group)
    for entry in entries:
        if entry.name == name:
            return cast("Callable[..., Any]", entry.load())
    installed = ", ".join(sorted({entry.name for entry in entries})) or "none"
    raise ConfigurationError(f"no adapter {name!r} in {group}; installed: {installed}")


def queue_of(store: Any) -> Any:
    """Return the store if it is also a queue, else None."""
    return store if hasattr(store, "enqueue") else None
