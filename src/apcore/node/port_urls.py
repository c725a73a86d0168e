"""Find ports by name: stores and signers by URL, runtimes and transports by the name of their entry point.

So this package imports no adapter, and an application imports only those that it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any, Final, cast

from apcore.errors import ConfigurationError
from apcore.ports import AsyncKvStore, KvStore, Signer

__all__ = ["entry_point", "open_signer", "open_store", "queue_of"]

_OWN_ADAPTERS: Final = {
    ("apcore.stores", "memory"): "apcore.adapters.memory:open_url",
    ("apcore.stores", "sqlite"): "apcore.adapters.sqlite:open_url",
    ("apcore.runtimes", "blocking"): "apcore.adapters.threads:BlockingRuntime",
    ("apcore.runtimes", "asyncio"): "apcore.adapters.asyncio:AsyncioRuntime",
    ("apcore.runtimes", "trio"): "apcore.adapters.trio:TrioRuntime",
    ("apcore.transports", "blocking"): "apcore.adapters.h11:H11Transport",
    ("apcore.transports", "asyncio"): "apcore.adapters.h11:AsyncH11Transport",
    ("apcore.signers", "file"): "apcore.adapters.key_files:open_url",
    ("apcore.signers", "store"): "apcore.adapters.keys:StoreSigner",
}
"""The entry points of apcore itself, as ``pyproject.toml`` declares them."""


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

    The adapters that apcore comes with are found without the metadata of installed packages.

    Raises:
        ConfigurationError: There is no such entry point. The message lists the installed ones.
    """
    if (group, name) in _OWN_ADAPTERS:
        module, _, attribute = _OWN_ADAPTERS[group, name].partition(":")
        return cast("Callable[..., Any]", getattr(import_module(module), attribute))
    # Reading the metadata of all installed packages takes as long as importing an adapter.
    from importlib.metadata import entry_points

    entries = entry_points(group=group)
    for entry in entries:
        if entry.name == name:
            return cast("Callable[..., Any]", entry.load())
    installed = ", ".join(sorted({entry.name for entry in entries})) or "none"
    raise ConfigurationError(f"no adapter {name!r} in {group}; installed: {installed}")


def queue_of(store: Any) -> Any:
    """Return the store if it is also a queue, else None."""
    return store if hasattr(store, "enqueue") else None
