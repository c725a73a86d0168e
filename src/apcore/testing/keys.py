"""Provide keys for tests that are made once per process, because an RSA key takes up to half a second.

RSA keys combine the primes of a few generated keys: five generated keys give 45. Such keys differ, and protect nothing.

`ReusedKeys` is a `Signer` for nodes under test. Its key names are the same in every store, so a new node on an old
store still finds its keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import count
from threading import Lock
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from apcore.errors import SignerUnavailable
from apcore.ports import KeyKind, MadeKey
from apcore.signatures import PrivateKey, generate_key, read_private_der

__all__ = ["ReusedKeys", "reuse_key"]


_LOCK: Final = Lock()
_EXPONENT: Final = 65_537


def reuse_key(name: str, kind: KeyKind = "rsa-2048") -> PrivateKey:
    """Return the key of this name and kind, the same one for the life of the process.

    `PrivateKey.renamed` gives it an id and an owner.

    Raises:
        ValueError: An unknown ``kind``.
    """
    with _LOCK:  # Two threads that need a new key at once must get the same one.
        return _make_key(name, kind)


@cache
def _make_key(name: str, kind: KeyKind) -> PrivateKey:
    if kind == "rsa-2048":
        return read_private_der(next(_RSA_KEYS), key_id=name, owner=name, trusted=True)
    return generate_key(kind, key_id=name, owner=name)


def _combine_primes() -> Iterator[bytes]:
    """Yield RSA keys of 2048 bits as DER, each of another pair of primes."""
    primes: list[int] = []
    while True:
        generated = rsa.generate_private_key(_EXPONENT, 2048)
        numbers = generated.private_numbers()
        yield _to_der(generated)
        pairs = [(new, old) for new in (numbers.p, numbers.q) for old in primes]
        primes += (numbers.p, numbers.q)
        for p, q in pairs:
            yield _to_der(_from_primes(p, q))


def _from_primes(p: int, q: int) -> rsa.RSAPrivateKey:
    exponent = rsa.rsa_recover_private_exponent(_EXPONENT, p, q)
    return rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=exponent,
        dmp1=rsa.rsa_crt_dmp1(exponent, p),
        dmq1=rsa.rsa_crt_dmq1(exponent, q),
        iqmp=rsa.rsa_crt_iqmp(p, q),
        public_numbers=rsa.RSAPublicNumbers(_EXPONENT, p * q),
    ).private_key(unsafe_skip_rsa_key_validation=True)


def _to_der(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


_RSA_KEYS: Final = _combine_primes()


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
