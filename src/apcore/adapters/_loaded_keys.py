"""Cache loaded private keys in memory: loading an RSA key costs as much as sixty signatures."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Final

from apcore.signatures import PrivateKey

__all__ = ["LOADED_MAX", "LoadedKeys"]

LOADED_MAX: Final = 1000
"""A key takes about 2 KB. A server with more actors that post at the same time loads some keys again."""


class LoadedKeys:
    """Cache a bounded number of keys by name, and evict the least recently used one. Safe from several threads."""

    def __init__(self, limit: int = LOADED_MAX) -> None:
        self._limit = limit
        self._keys: OrderedDict[str, PrivateKey] = OrderedDict()
        self._lock = Lock()

    def get(self, name: str) -> PrivateKey | None:
        """Return the key with that name, or None if it is not cached."""
        with self._lock:
            key = self._keys.get(name)
            if key is not None:
                self._keys.move_to_end(name)
            return key

    def put(self, name: str, key: PrivateKey) -> None:
        """Cache a key."""
        with self._lock:
            self._keys[name] = key
            self._keys.move_to_end(name)
            if len(self._keys) > self._limit:
                _ = self._keys.popitem(last=False)

    def drop(self, name: str) -> None:
        """Drop a key from the cache, if it is there."""
        with self._lock:
            _ = self._keys.pop(name, None)
