"""Define `StoreSigner`: sign with private keys in the store, sealed if a secret is configured.

A bounded number of loaded keys is cached. Signing releases the interpreter's lock, so under an event loop it
runs in worker threads.

With a secret, the keys in the store are sealed (`apcore.signatures.sealed_keys`). Secrets can be replaced: the first
one seals new keys, and each of them opens the keys that it has sealed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from apcore.adapters._loaded_keys import LoadedKeys
from apcore.adapters._records import PRIVATE_KEYS, PrivateKeyKey, PrivateKeyRecord
from apcore.errors import ConfigurationError, ContractError, SignerUnavailable, StoreUnavailable
from apcore.ports import KeyKind, KvStore, MadeKey
from apcore.signatures import SEALING_NONCE_BYTES, PrivateKey, Sealing, generate_key, read_private_der

__all__ = ["StoreSigner"]


class StoreSigner:
    """Sign with private keys in a `KvStore`. Safe from several threads.

    ``secrets`` maps ids to secrets of at least 32 bytes, the current one first. Without secrets, the keys are stored in
    plain form. Then protect the store like the keys themselves (the SQLite file has mode 0600).

    Raises:
        ConfigurationError: A secret has less than 32 bytes.
    """

    def __init__(self, store: KvStore, *, secrets: Mapping[str, bytes] | None = None) -> None:
        self._store = store
        self._sealing = None if secrets is None else Sealing(secrets)
        self._loaded = LoadedKeys()

    def sign(self, key_name: str, data: bytes, /) -> bytes:
        """See `Signer.sign`."""
        return self._load(key_name).sign(data)

    def make_key(self, kind: KeyKind, /) -> MadeKey:
        """See `Signer.make_key`. Takes 50 to 500 ms for RSA."""
        name = os.urandom(16).hex()
        key = generate_key(kind, key_id=name, owner=name)
        record_key = PrivateKeyKey(name)
        write = PRIVATE_KEYS.put(record_key, self._seal(name, key.der()))
        try:
            is_committed = self._store.commit((PRIVATE_KEYS.absent(record_key),), (write,), token=os.urandom(16))
        except StoreUnavailable as error:
            raise SignerUnavailable(f"a new {kind} key could not be stored: {error}") from error
        if not is_committed:
            raise SignerUnavailable(
                f"the random name {name} of a new key is taken already: check that the store is one single store"
            )
        self._loaded.put(name, key)
        return MadeKey(name, kind, key.public.spki)

    def drop_key(self, key_name: str, /) -> bool:
        """See `Signer.drop_key`. Other processes that have loaded the key keep it until they end."""
        try:
            _ = self._store.commit((), (PRIVATE_KEYS.delete(PrivateKeyKey(key_name)),), token=os.urandom(16))
        except StoreUnavailable as error:
            raise SignerUnavailable(f"key {key_name} could not be deleted: {error}") from error
        self._loaded.drop(key_name)
        return True

    def _load(self, name: str) -> PrivateKey:
        cached_key = self._loaded.get(name)
        if cached_key is not None:
            return cached_key
        try:
            [entry] = self._store.get((PRIVATE_KEYS.key(PrivateKeyKey(name)),))
        except StoreUnavailable as error:
            raise SignerUnavailable(f"key {name} could not be read: {error}") from error
        if entry is None:
            raise SignerUnavailable(f"there is no key {name} in the store")
        try:
            key = read_private_der(self._open(name, entry.value), key_id=name, owner=name, trusted=True)
        except (ValueError, ContractError) as error:
            raise SignerUnavailable(f"the store's entry for key {name} is no private key: {error}") from error
        self._loaded.put(name, key)
        return key

    def _seal(self, name: str, der: bytes) -> PrivateKeyRecord:
        if self._sealing is None:
            return PrivateKeyRecord(body=der)
        nonce = os.urandom(SEALING_NONCE_BYTES)
        return PrivateKeyRecord(secret=self._sealing.current, body=self._sealing.seal(der, name=name, nonce=nonce))

    def _open(self, name: str, value: bytes) -> bytes:
        record = PRIVATE_KEYS.decode(value)
        if record.secret is None:
            return record.body
        if self._sealing is None:
            raise SignerUnavailable(
                f"key {name} is sealed with the secret {record.secret!r}, but no secret is configured"
            )
        try:
            return self._sealing.open(record.body, name=name, secret=record.secret)
        except ConfigurationError as error:
            raise SignerUnavailable(f"key {error}") from error
