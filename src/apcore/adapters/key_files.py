"""Define `FileSigner`: sign with private keys in a directory, one PEM file for each key.

Use it if you back up, mount or protect keys apart from the store. The name of a key is that of its file
(``<name>.pem``). The federation stores only this name and the public key. A file is written once, with mode 0600, and
flushed to the disk before anything is signed with it.

A private key that other users can read is refused. The error gives the command that repairs it. There is one exception:
the group may read a file that root owns. Secrets are mounted like that for programs that do not run as root.
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

__all__ = ["FileSigner"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_BYTES_MAX: Final = 16 * 1024
"""The largest key file. A PEM of RSA-8192 has 6.4 KB."""


class FileSigner:
    """Sign with PEM files in a directory. Safe from several threads and processes.

    The directory is created (mode 0700) if it is missing.

    Raises:
        ConfigurationError: The directory cannot be used, other users may write to it, or they can read a key in it.
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
                f"{self._directory} cannot be used as a directory of keys: {error.strerror or error}"
            ) from error
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigurationError(
                f"other users can write to {self._directory} (mode {stat.S_IMODE(mode):04o}): "
                f"chmod 700 {self._directory}"
            )
        for path in keys:
            fault = _mode_fault(path, path.stat())
            if fault is not None:
                raise ConfigurationError(fault)

    def sign(self, key_name: str, data: bytes, /) -> bytes:
        """See `Signer.sign`."""
        return self._load(key_name).sign(data)

    def make_key(self, kind: KeyKind, /) -> MadeKey:
        """See `Signer.make_key`. Takes 50 to 500 ms for RSA."""
        name = os.urandom(16).hex()
        key = generate_key(kind, key_id=name, owner=name)
        path = self._path(name)
        try:
            # O_EXCL: never overwrite a file, and never follow a link that another user has put there.
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                _ = file.write(key.pem())
                file.flush()
                os.fsync(file.fileno())
            self._sync_directory()
        except OSError as error:
            raise SignerUnavailable(f"a new {kind} key could not be written to {path}: {error}") from error
        self._loaded.put(name, key)
        return MadeKey(name, kind, key.public.spki)

    def held(self, key_name: str, /) -> MadeKey:
        """Return a key that you have put into the directory, so that an actor can use it: see `Node.rotate_keys`.

        Raises:
            SignerUnavailable: The key is missing, cannot be read, or has a type that actors do not have.
        """
        public = self._load(key_name).public
        kinds: dict[str, KeyKind] = {"rsa": "rsa-2048", "ed25519": "ed25519"}
        if public.type not in kinds:
            raise SignerUnavailable(
                f"{self._path(key_name)} is a key of type {public.type}: actors have RSA and Ed25519 keys"
            )
        return MadeKey(key_name, kinds[public.type], public.spki)

    def drop_key(self, key_name: str, /) -> bool:
        """See `Signer.drop_key`. Other processes that have loaded the key keep it until they end."""
        path = self._path(key_name)
        self._loaded.drop(key_name)
        try:
            path.unlink(missing_ok=True)
            self._sync_directory()
        except OSError as error:
            raise SignerUnavailable(f"{path} could not be removed: {error}") from error
        return True

    def _load(self, name: str) -> PrivateKey:
        cached_key = self._loaded.get(name)
        if cached_key is not None:
            return cached_key
        path = self._path(name)
        try:
            with path.open("rb") as file:
                file_status = os.fstat(file.fileno())
                text = file.read(_BYTES_MAX)
        except FileNotFoundError:
            raise SignerUnavailable(f"there is no key {name} in {self._directory}") from None
        except OSError as error:
            raise SignerUnavailable(f"{path} could not be read: {error}") from error
        fault = _mode_fault(path, file_status)
        if fault is not None:
            raise SignerUnavailable(fault)
        try:
            key = read_private_pem(text.decode("ascii"), key_id=name, owner=name)
        except ValueError as error:
            raise SignerUnavailable(f"{path} contains no private key: {error}") from error
        self._loaded.put(name, key)
        return key

    def _path(self, name: str) -> Path:
        if _NAME.fullmatch(name) is None:
            raise SignerUnavailable(f"{name!r:.60} cannot be the name of a key file: use 1 to 128 of A-Z a-z 0-9 . _ -")
        return self._directory / f"{name}.pem"

    def _sync_directory(self) -> None:
        handle = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def open_url(url: str, /) -> FileSigner:
    """Open the directory that ``file:///path/of/keys`` names; ``file:keys`` is relative to the working directory.

    Raises:
        ConfigurationError: ``url`` is no such URL, or as `FileSigner`.
    """
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc or not parts.path or parts.query or parts.fragment:
        raise ConfigurationError(f"a directory of keys is named file:///path/of/keys, not {url!r:.80}")
    return FileSigner(unquote(parts.path))


def _mode_fault(path: Path, file_status: os.stat_result) -> str | None:
    """Return the fault of a key file's mode and how to repair it, or None."""
    allowed_mode = stat.S_IRWXU | (stat.S_IRGRP if file_status.st_uid == 0 else 0)
    mode = stat.S_IMODE(file_status.st_mode)
    if not mode & ~allowed_mode:
        return None
    return f"{path} is a private key that other users can read (mode {mode:04o}): chmod 600 {path}"
