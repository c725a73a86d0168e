"""Keys for tests, made once a process: an RSA key costs up to half a second, and no test needs one that nobody has seen.

`ReusedKeys` is the `Signer` for nodes under test. The keys that it names are the same in every store, so a node that is made anew with an old store
still finds them.
"""

from __future__ import annotations

from functools import cache
from itertools import count
from typing import Final

from apcore.errors import SignerUnavailable
from apcore.ports import KeyKind, MadeKey
from apcore.signatures import PrivateKey, generate_key

__all__ = ["ReusedKeys", "reused_key"]


@cache
def reused_key(name: str, kind: KeyKind = "rsa-2048") -> PrivateKey:
    """Give the key of this name and kind, the same one as long as the process lives; `PrivateKey.renamed` gives it an id and an owner.

    Raises:
        ValueError: Another kind.
    """
    return generate_key(kind, key_id=name, owner=name)


class ReusedKeys:
    """A `Signer` without a secret: the keys that it makes first are those that every other one makes first."""

    never_waits: Final = True

    def __init__(self) -> None:
        self._count = count(1)

    def sign(self, key_name: str, data: bytes, /) -> bytes:
        """As `Signer.sign`."""
        kind, _, number = key_name.partition(" ")
        for known in ("rsa-2048", "ed25519"):
            if kind == known and number.isdigit():
                return reused_key(key_name, known).sign(data)
        raise SignerUnavailable(f"there is no key {key_name!r} for tests")

    def make_key(self, kind: KeyKind, /) -> MadeKey:
        """As `Signer.make_key`."""
        name = f"{kind} {next(self._count)}"
        return MadeKey(name, kind, reused_key(name, kind).public.spki)
