"""`FileSigner`: private keys as files in a directory, one PEM a key.

For who backs up, mounts or guards keys apart from the store. A key is called what its file is called (``<name>.pem``); what the federation keeps of
it, in the store, is its name and its public half. Files are written once, with mode 0600 and flushed to the disk before anyone signs with them.

A private key that others can read is no longer private, and nothing here signs with it: what is wrong is said in words, with the command that
mends it. The one exception is a file of root's that its group may read: that is how secrets are mounted for who runs without rights.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from apcore.adapters._loaded_keys import LoadedKeys
from apcore.errors import ConfigurationError, SignerUnavailable
from apcore.ports import KeyKind, MadeKey
from apcore.signatures import PrivateKey, generate_key, read_private_pem

__all__ = ["FileSigner", "open_url"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_BYTES_MAX: Final = 16 * 1024
"""A PEM of RSA-8192 has 6.4 KB."""


class FileSigner:
    """Signs with keys that lie as PEM files in a directory, which is made (mode 0700) if it is not there. Safe from several threads and processes.

    Raises:
        ConfigurationError: The directory cannot be used, others may change it, or a key in it can be read by others.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory)
        self._loaded = LoadedKeys()
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = self._directory.stat().st_mode
            keys = sorted(self._directory.glob("*.pem"))
        except OSError as error:
            raise ConfigurationError(
                f"{self._directory} cannot be a directory of keys: {error.strerror or error}"
            ) from error
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigurationError(
                f"others may put keys into {self._directory} (mode {stat.S_IMODE(mode):04o}): chmod 700 {self._directory}"
            )
        for path in keys:
            complaint = _complaint(path, path.stat())
            if complaint is not None:
                raise ConfigurationError(complaint)

    def sign(self, key_name: str, data: bytes, /) -> bytes:
        """As `Signer.sign`."""
        return self._load(key_name).sign(data)

    def make_key(self, kind: KeyKind, /) -> MadeKey:
        """As `Signer.make_key`. Takes 50 to 500 ms for RSA."""
        name = os.urandom(16).hex()
        key = generate_key(kind, key_id=name, owner=name)
        path = self._path(name)
        try:
            # O_EXCL: over nothing, and through no link that somebody has laid.
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                _ = file.write(key.pem())
                file.flush()
                os.fsync(file.fileno())
            self._sync_directory()
        except OSError as error:
            raise SignerUnavailable(f"a new {kind} key could not be kept at {path}: {error}") from error
        self._loaded.put(name, key)
        return MadeKey(name, kind, key.public.spki)

    def held(self, key_name: str, /) -> MadeKey:
        """Give a key that somebody else has put here, to sign with from now on: see `Node.rotate_keys`.

        Raises:
            SignerUnavailable: It is not there, cannot be read, or is of no kind that actors have.
        """
        public = self._load(key_name).public
        kinds: dict[str, KeyKind] = {"rsa": "rsa-2048", "ed25519": "ed25519"}
        if public.type not in kinds:
            raise SignerUnavailable(
                f"{self._path(key_name)} is a key of type {public.type}: actors have RSA and Ed25519"
            )
        return MadeKey(key_name, kinds[public.type], public.spki)

    def drop_key(self, key_name: str, /) -> None:
        """As `DroppingSigner.drop_key`. What other processes have loaded, they keep until they end."""
        path = self._path(key_name)
        self._loaded.drop(key_name)
        try:
            path.unlink(missing_ok=True)
            self._sync_directory()
        except OSError as error:
            raise SignerUnavailable(f"{path} could not be removed: {error}") from error

    def _load(self, name: str) -> PrivateKey:
        loaded = self._loaded.get(name)
        if loaded is not None:
            return loaded
        path = self._path(name)
        try:
            with path.open("rb") as file:
                found = os.fstat(file.fileno())
                text = file.read(_BYTES_MAX)
        except FileNotFoundError:
            raise SignerUnavailable(f"there is no key {name} in {self._directory}") from None
        except OSError as error:
            raise SignerUnavailable(f"{path} could not be read: {error}") from error
        complaint = _complaint(path, found)
        if complaint is not None:
            raise SignerUnavailable(complaint)
        try:
            key = read_private_pem(text.decode("ascii"), key_id=name, owner=name)
        except ValueError as error:
            raise SignerUnavailable(f"{path} holds no private key: {error}") from error
        self._loaded.put(name, key)
        return key

    def _path(self, name: str) -> Path:
        if _NAME.fullmatch(name) is None:
            raise SignerUnavailable(f"{name!r:.60} cannot be the name of a key file")
        return self._directory / f"{name}.pem"

    def _sync_directory(self) -> None:
        handle = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def open_url(url: str, /) -> FileSigner:
    """Open the directory that ``file:///path/of/keys`` names; ``file:keys`` is under the working directory.

    Raises:
        ConfigurationError: No such URL, or as `FileSigner`.
    """
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc or not parts.path or parts.query or parts.fragment:
        raise ConfigurationError(f"a directory of keys is named file:///path/of/keys, not {url!r:.80}")
    return FileSigner(unquote(parts.path))


def _complaint(path: Path, found: os.stat_result) -> str | None:
    allowed = stat.S_IRWXU | (stat.S_IRGRP if found.st_uid == 0 else 0)
    mode = stat.S_IMODE(found.st_mode)
    if not mode & ~allowed:
        return None
    return f"{path} is a private key that others can read (mode {mode:04o}): chmod 600 {path}"
