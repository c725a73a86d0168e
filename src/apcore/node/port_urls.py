"""Ports by name: stores by URL, and runtimes, transports and signers by the name of their entry point.

So nothing here imports an adapter, and an application imports only those that it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any, cast

from apcore.errors import ConfigurationError
from apcore.ports import AsyncKvStore, KvStore, Signer

__all__ = ["entry_point", "open_signer", "open_store", "queue_of"]


def open_store(url: str, /) -> KvStore:
    """Open the store that ``url`` names, by the entry point (group ``apcore.stores``) for its scheme.

    Raises:
        ConfigurationError: No scheme, or no adapter for it is installed.
    """
    scheme, colon, _ = url.partition(":")
    if not colon:
        raise ConfigurationError(f"a store is named by a URL such as sqlite:///social.db, not {url!r:.60}")
    opened: KvStore = entry_point("apcore.stores", scheme)(url)
    return opened


def open_signer(url: str, store: KvStore | AsyncKvStore, /) -> Signer:
    """Open the signer that ``url`` names, by the entry point (group ``apcore.signers``) for its scheme; ``store:`` keeps keys in ``store``.

    Raises:
        ConfigurationError: No scheme, no adapter for it is installed, or what it finds cannot be used.
    """
    scheme, colon, _ = url.partition(":")
    if not colon:
        raise ConfigurationError(f"a signer is named by a URL such as file:///path/of/keys, not {url!r:.60}")
    if scheme == "store" and iscoroutinefunction(store.get):
        raise ConfigurationError("a store of async methods only cannot hold private keys: give a signer of your own")
    opened: Signer = entry_point("apcore.signers", scheme)(store if scheme == "store" else url)
    return opened


def entry_point(group: str, name: str) -> Callable[..., Any]:
    """Load what the entry point ``name`` of ``group`` names, imported now.

    Raises:
        ConfigurationError: There is none; the names that there are stand in the message.
    """
    from importlib.metadata import entry_points  # costs as much as the rest of apcore, and is needed once

    found = entry_points(group=group)
    for entry in found:
        if entry.name == name:
            return cast("Callable[..., Any]", entry.load())
    known = ", ".join(sorted({entry.name for entry in found})) or "none"
    raise ConfigurationError(f"no adapter {name!r} in {group}; installed: {known}")


def queue_of(store: Any) -> Any:
    """Give the store again if it is also a queue."""
    return store if hasattr(store, "enqueue") else None
