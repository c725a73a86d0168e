"""Declare the stored records of the adapters: the private keys of `StoreSigner`."""

from __future__ import annotations

from typing import Final, NamedTuple

from attrs import frozen

from apcore.records import RecordKind, StoredRecord

__all__ = ["PRIVATE_KEYS", "PrivateKeyKey", "PrivateKeyRecord"]


class PrivateKeyKey(NamedTuple):
    """The name of the key in the signer."""

    name: str


@frozen(kw_only=True)
class PrivateKeyRecord(StoredRecord):
    """A private key of an actor of yours (PKCS #8), sealed if `StoreSigner` has secrets."""

    secret: str | None = None
    """The id of the secret that seals the key; None for a key in plain form."""


PRIVATE_KEYS: Final = RecordKind(
    "private",
    PrivateKeyRecord,
    PrivateKeyKey,
    lifetime="until the key is retired",
    size="1.3 KiB for RSA, 0.1 KiB for Ed25519",
    written_by="`StoreSigner`",
)
