"""`StoreSigner`: private keys in the store, sealed if a secret is configured, loaded once.

Loaded keys are kept, a bounded number of them. Signing releases the interpreter's lock, so under an event loop it runs in worker threads.

With a secret, what lies in the store is sealed (`apcore.signatures.sealed_keys`); secrets can be replaced, the first one seals, all of them open.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from apcore.adapters._loaded_keys import LoadedKeys
from apcore.errors import ConfigurationError, ContractError, SignerUnavailable, StoreUnavailable
from apcore.ports import Check, DeleteEntry, KeyKind, KvStore, MadeKey, Put, StoreKey
from apcore.records.format import decode_record, encode_record
from apcore.signatures import SEALING_NONCE_BYTES, PrivateKey, Sealing, generate_key, read_private_der

__all__ = ["StoreSigner"]


class StoreSigner:
    """Signs with keys that lie in a `KvStore`. Safe from several threads.

    ``secrets`` maps ids to secrets of at least 32 bytes, the one in use first. Without any, keys lie open in the store, which then has to be
    guarded as they would be (the SQLite file is mode 0600).

    Raises:
        ConfigurationError: A secret of less than 32 bytes.
    """

    def __init__(self, store: KvStore, *, secrets: Mapping[str, bytes] | None = None) -> None:
        self._store = store
        self._sealing = None if secrets is None else Sealing(secrets)
        self._loaded = LoadedKeys()

    def sign(self, key_name: str, data: bytes, /) -> bytes:
        """As `Signer.sign`."""
        return self._load(key_name).sign(data)

    def make_key(self, kind: KeyKind, /) -> MadeKey:
        """As `Signer.make_key`. Takes 50 to 500 ms for RSA."""
        name = os.urandom(16).hex()
        key = generate_key(kind, key_id=name, owner=name)
        value = self._written(name, key.der())
        try:
            done = self._store.commit((Check(_place(name), None),), (Put(_place(name), value),), token=os.urandom(16))
        except StoreUnavailable as error:
            raise SignerUnavailable(f"a new {kind} key could not be kept: {error}") from error
        if not done:
            raise SignerUnavailable(
                "a new key's name was taken, which 16 random bytes never are: is the store two stores?"
            )
        self._loaded.put(name, key)
        return MadeKey(name, kind, key.public.spki)

    def drop_key(self, key_name: str, /) -> None:
        """As `DroppingSigner.drop_key`. What other processes have loaded, they keep until they end."""
        try:
            _ = self._store.commit((), (DeleteEntry(_place(key_name)),), token=os.urandom(16))
        except StoreUnavailable as error:
            raise SignerUnavailable(f"key {key_name} could not be destroyed: {error}") from error
        self._loaded.drop(key_name)

    def _load(self, name: str) -> PrivateKey:
        loaded = self._loaded.get(name)
        if loaded is not None:
            return loaded
        try:
            [entry] = self._store.get((_place(name),))
        except StoreUnavailable as error:
            raise SignerUnavailable(f"key {name} could not be read: {error}") from error
        if entry is None:
            raise SignerUnavailable(f"there is no key {name} in the store")
        try:
            key = read_private_der(self._read(name, entry.value), key_id=name, owner=name, trusted=True)
        except (ValueError, ContractError) as error:
            raise SignerUnavailable(f"what the store has for key {name} is no key: {error}") from error
        self._loaded.put(name, key)
        return key

    def _written(self, name: str, der: bytes) -> bytes:
        if self._sealing is None:
            return encode_record({}, der)
        nonce = os.urandom(SEALING_NONCE_BYTES)
        return encode_record({"secret": self._sealing.current}, self._sealing.seal(der, name=name, nonce=nonce))

    def _read(self, name: str, value: bytes) -> bytes:
        fact = decode_record(value)
        secret = fact.optional("secret")
        if secret is None:
            return fact.body
        if self._sealing is None:
            raise SignerUnavailable(f"key {name} is sealed with the secret {secret!r}, and no secret is configured")
        try:
            return self._sealing.open(fact.body, name=name, secret=secret)
        except ConfigurationError as error:
            raise SignerUnavailable(f"key {error}") from error


def _place(name: str) -> StoreKey:
    return ("private", "1", name)
