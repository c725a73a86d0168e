"""Private keys that were loaded, kept ready: an RSA key costs as much to load as sixty signatures."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Final

from apcore.signatures import PrivateKey

__all__ = ["LOADED_MAX", "LoadedKeys"]

LOADED_MAX: Final = 1000
"""Some 2 KB each. A server with more actors that post at once loads some of them again."""


class LoadedKeys:
    """A bounded number of keys by name; the one that was used longest ago makes room. Safe from several threads."""

    def __init__(self, limit: int = LOADED_MAX) -> None:
        self._limit = limit
        self._keys: OrderedDict[str, PrivateKey] = OrderedDict()
        self._lock = Lock()

    def get(self, name: str) -> PrivateKey | None:
        """Give the key of that name, if it is here."""
        with self._lock:
            key = self._keys.get(name)
            if key is not None:
                self._keys.move_to_end(name)
            return key

    def put(self, name: str, key: PrivateKey) -> None:
        """Keep a key."""
        with self._lock:
            self._keys[name] = key
            self._keys.move_to_end(name)
            if len(self._keys) > self._limit:
                _ = self._keys.popitem(last=False)

    def drop(self, name: str) -> None:
        """Forget a key; one that is not here is fine."""
        with self._lock:
            _ = self._keys.pop(name, None)
