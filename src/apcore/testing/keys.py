"""Provide keys for tests that are made once per process, because an RSA key takes up to half a second.

`ReusedKeys` is a `Signer` for nodes under test. Its key names are the same in every store, so a new node on an old
store still finds its keys.
"""

from __future__ import annotations

from functools import cache
from itertools import count
from typing import Final

from apcore.errors import SignerUnavailable
from apcore.ports import KeyKind, MadeKey
from apcore.signatures import PrivateKey, generate_key

__all__ = ["ReusedKeys", "reuse_key"]


@cache
def reuse_key(name: str, kind: KeyKind = "rsa-2048") -> PrivateKey:
    """Return the key of this name and kind, the same one for the life of the process.

    `PrivateKey.renamed` gives it an id and an owner.

    Raises:
        ValueError: An unknown ``kind``.
    """
    return generate_key(kind, key_id=name, owner=name)


class ReusedKeys:
    """A `Signer` without a secret: every instance makes the same keys, in the same order."""

    never_waits: Final = True

    def __init__(self) -> None:
        self._count = count(1)

    def sign(self, key_name: str, data: bytes, /) -> bytes:
        """See `Signer.sign`."""
        kind, _, number = key_name.partition(" ")
        for key_kind in ("rsa-2048", "ed25519"):
            if kind == key_kind and number.isdigit():
                return reuse_key(key_name, key_kind).sign(data)
        raise SignerUnavailable(f"there is no key {key_name!r} for tests")

    def make_key(self, kind: KeyKind, /) -> MadeKey:
        """See `Signer.make_key`."""
        name = f"{kind} {next(self._count)}"
        return MadeKey(name, kind, reuse_key(name, kind).public.spki)

    def drop_key(self, key_name: str, /) -> bool:
        """Return False: every instance has these keys."""
        del key_name
        return False
