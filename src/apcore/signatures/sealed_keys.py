"""Encrypt private keys at rest, bound to the name that they are stored under.

The cipher is AES-256-GCM, with the name as associated data: an entry that is copied to another name cannot be opened.
The caller stores the id of the secret with the sealed data, so that secrets can be replaced one after another: the
first one seals, and all of them open.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from apcore.errors import ConfigurationError

__all__ = ["SEALING_NONCE_BYTES", "Sealing"]

SEALING_NONCE_BYTES: Final = 12
_SECRET_BYTES_MIN: Final = 32


class Sealing:
    """Secrets by their ids; the current one comes first.

    Raises:
        ConfigurationError: There is no secret, or one has less than 32 bytes.
    """

    def __init__(self, secrets: Mapping[str, bytes]) -> None:
        if not secrets:
            raise ConfigurationError("sealing needs at least one secret")
        for name, secret in secrets.items():
            if len(secret) < _SECRET_BYTES_MIN:
                raise ConfigurationError(
                    f"the secret {name!r} has {len(secret)} bytes; at least {_SECRET_BYTES_MIN} are needed"
                )
        self._ciphers = {
            name: AESGCM(sha256(b"apcore sealed keys 1\x00" + secret).digest()) for name, secret in secrets.items()
        }
        self.current: Final = next(iter(secrets))
        """The id of the secret that seals."""

    def seal(self, data: bytes, *, name: str, nonce: bytes) -> bytes:
        """Seal ``data`` with the secret `current`, for ``name``. Pass 12 new random bytes as ``nonce`` each time."""
        if len(nonce) != SEALING_NONCE_BYTES:
            raise ValueError(f"a nonce has {SEALING_NONCE_BYTES} bytes, not {len(nonce)}")
        return nonce + self._ciphers[self.current].encrypt(nonce, data, name.encode())

    def open(self, sealed: bytes, *, name: str, secret: str) -> bytes:
        """Return the data that was sealed under ``name`` with the secret of this id.

        Raises:
            ConfigurationError: The secret is not configured or has changed, or the entry was changed.
        """
        cipher = self._ciphers.get(secret)
        if cipher is None:
            raise ConfigurationError(f"{name} is sealed with the secret {secret!r}, which is not configured")
        try:
            return cipher.decrypt(sealed[:SEALING_NONCE_BYTES], sealed[SEALING_NONCE_BYTES:], name.encode())
        except (InvalidTag, ValueError) as error:
            raise ConfigurationError(
                f"{name} does not open with the secret {secret!r}: one of them was changed"
            ) from error
