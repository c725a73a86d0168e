"""Represent public and private keys as values: parsed once, then reused.

A key object holds the parsed key of the cryptography library, its id, and its claimed owner. Parsing a public key takes
5 to 40 us and a private one 40 ms (`apcore.signatures.key_formats`), so cache these objects, and do not parse keys per
request.

A key knows its algorithms, and a label alone never selects one. An algorithm that the sender names must fit the key,
and without a name the key decides. So no key is used for a purpose that it was not made for.

The owner in a key is a claim. Before you believe it, establish that the actor with that id lists the key.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime
from hashlib import sha256
from typing import Final, Literal, TypeAlias, cast, get_args

from attrs import evolve, field, frozen
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from typing_extensions import override

from apcore.signatures import multibase
from apcore.signatures.errors import BadSignature, Explanation, KeyMismatch

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "KeyType",
    "NativeKey",
    "NativePrivateKey",
    "PrivateKey",
    "PublicKey",
    "algorithms_of",
]

Algorithm: TypeAlias = Literal[
    "rsa-v1_5-sha256",
    "rsa-v1_5-sha512",
    "rsa-pss-sha512",
    "ecdsa-p256-sha256",
    "ecdsa-p384-sha384",
    "ed25519",
]
"""Signature algorithms by their RFC 9421 names. `rsa-v1_5-sha512` is not registered there, but some servers send it
under draft-cavage.
"""

KeyType: TypeAlias = Literal["rsa", "p256", "p384", "ed25519"]

ALGORITHMS: Final[frozenset[Algorithm]] = frozenset(get_args(Algorithm))

_ALGORITHMS_OF: Final[dict[KeyType, tuple[Algorithm, ...]]] = {
    # The first is used if no algorithm is named.
    "rsa": ("rsa-v1_5-sha256", "rsa-v1_5-sha512", "rsa-pss-sha512"),
    "p256": ("ecdsa-p256-sha256",),
    "p384": ("ecdsa-p384-sha384",),
    "ed25519": ("ed25519",),
}

NativeKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey
NativePrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey


def algorithms_of(kind: KeyType) -> tuple[Algorithm, ...]:
    """Return the algorithms of a type of key; the first is used if no algorithm is named."""
    return _ALGORITHMS_OF[kind]


_SHA256: Final = hashes.SHA256()
_SHA384: Final = hashes.SHA384()
_SHA512: Final = hashes.SHA512()
_PKCS1: Final = padding.PKCS1v15()
# RFC 9421 §3.3.1: a salt of 64 bytes.
_PSS: Final = padding.PSS(padding.MGF1(_SHA512), 64)
_RSA: Final = {
    "rsa-v1_5-sha256": (_PKCS1, _SHA256),
    "rsa-v1_5-sha512": (_PKCS1, _SHA512),
    "rsa-pss-sha512": (_PSS, _SHA512),
}
_ECDSA: Final = {"ecdsa-p256-sha256": (_SHA256, 32), "ecdsa-p384-sha384": (_SHA384, 48)}


@frozen(kw_only=True)
class PublicKey:
    """A public key with its id and its claimed owner. Made by the `read_` functions.

    Two keys are equal if they are the same key under the same names.
    """

    key_id: str
    owner: str
    """The id of the claimed owner. Believe it only if that actor lists the key."""
    type: KeyType
    bits: int
    spki: bytes = field(repr=False)
    """DER, SubjectPublicKeyInfo: one spelling for every original form. Caches store this."""
    algorithm: Algorithm | None = None
    """The only algorithm of the key, if its document restricts it; None leaves the choice to the key's type."""
    expires: datetime | None = None
    """The end of the key's validity (Multikey `expires` and `revoked`, whichever is earlier)."""
    source: str = ""
    """The origin of the key, for explanations: a URL, "cache", "--key"."""
    _native: NativeKey = field(repr=False, eq=False, alias="native")

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of the DER, in hexadecimal."""
        return sha256(self.spki).hexdigest()

    @property
    def pem(self) -> str:
        """Return the key in the form of `publicKeyPem`: `BEGIN PUBLIC KEY`, lines of 64, a final newline."""
        text = b64encode(self.spki).decode("ascii")
        lines = "\n".join(text[start : start + 64] for start in range(0, len(text), 64))
        return f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n"

    @property
    def multibase(self) -> str:
        """Return the key in the form of `publicKeyMultibase` (FEP-521a)."""
        native = self._native
        if isinstance(native, Ed25519PublicKey):
            return multibase.encode(b"\xed\x01" + native.public_bytes_raw())
        if isinstance(native, rsa.RSAPublicKey):
            return multibase.encode(b"\x85\x24" + native.public_bytes(Encoding.DER, PublicFormat.PKCS1))
        prefix = b"\x80\x24" if self.type == "p256" else b"\x81\x24"
        return multibase.encode(prefix + native.public_bytes(Encoding.X962, PublicFormat.CompressedPoint))

    @property
    def described(self) -> str:
        """Return a description of the key for explanations."""
        came = f" from {self.source}" if self.source else ""
        owner = self.owner or "not known"
        return f"{self.type} {self.bits} bits sha256:{self.fingerprint[:16]} owner {owner}{came}"

    def choose_algorithm(self, named: Algorithm | None = None) -> Algorithm:
        """Return the algorithm to check with: the named one if it fits the key, or the key's own.

        Raises:
            KeyMismatch: The named one is for another type of key, or the key is restricted to another one.
        """
        own = _ALGORITHMS_OF[self.type]
        if named is None:
            return self.algorithm or own[0]
        if named not in own or (self.algorithm is not None and named != self.algorithm):
            expected = self.algorithm or " or ".join(own)
            raise KeyMismatch(f"algorithm {named} named for key {self.key_id}, which is {self.type} and for {expected}")
        return named

    def verify(self, signature: bytes, data: bytes, algorithm: Algorithm, *, dss_der: bool = False) -> None:
        """Check ``signature`` over ``data``.

        Args:
            signature: As sent. ECDSA as in RFC 9421: r and s side by side.
            data: The signing string.
            algorithm: From `choose_algorithm`.
            dss_der: ECDSA signatures are DER instead, as in draft-cavage.

        Raises:
            BadSignature: The signature does not hold.
        """
        native = self._native
        try:
            # The type is compared, since `isinstance` with these abstract classes takes a tenth of the verification.
            if self.type == "rsa":
                cast("rsa.RSAPublicKey", native).verify(signature, data, *_RSA[algorithm])
            elif self.type == "ed25519":
                cast("Ed25519PublicKey", native).verify(signature, data)
            else:
                hashed, size = _ECDSA[algorithm]
                cast("ec.EllipticCurvePublicKey", native).verify(
                    signature if dss_der else _joined_to_der(signature, size), data, ec.ECDSA(hashed)
                )
        except (InvalidSignature, ValueError) as exc:  # ValueError: not even the form of a signature
            raise BadSignature(
                f"signature of {len(signature)} bytes does not hold under key {self.key_id} by {algorithm}",
                explanation=Explanation(key=self.described),
            ) from exc

    def renamed(self, *, key_id: str | None = None, owner: str | None = None, source: str | None = None) -> PublicKey:
        """Return the same key under other names, without parsing it again."""
        return evolve(
            self,
            key_id=self.key_id if key_id is None else key_id,
            owner=self.owner if owner is None else owner,
            source=self.source if source is None else source,
        )


@frozen(kw_only=True, repr=False, eq=False)
class PrivateKey:
    """A private key and its public half. Its `repr` does not show the secret."""

    public: PublicKey
    _native: NativePrivateKey = field(alias="native")

    @property
    def key_id(self) -> str:
        """Return the id of the public key."""
        return self.public.key_id

    def choose_algorithm(self, named: Algorithm | None = None) -> Algorithm:
        """See `PublicKey.choose_algorithm`.

        `ValueError` for an algorithm that does not fit, since our own code chose it.
        """
        try:
            return self.public.choose_algorithm(named)
        except KeyMismatch as exc:
            raise ValueError(str(exc)) from exc

    def sign(self, data: bytes, algorithm: Algorithm | None = None, *, dss_der: bool = False) -> bytes:
        """Sign ``data``; by default as the `Signer` port does: PKCS #1 v1.5 with SHA-256, or plain Ed25519.

        Raises:
            ValueError: The algorithm is for another type of key.
        """
        key_algorithm = self.choose_algorithm(algorithm)
        native = self._native
        if isinstance(native, rsa.RSAPrivateKey):
            return native.sign(data, *_RSA[key_algorithm])
        if isinstance(native, Ed25519PrivateKey):
            return native.sign(data)
        hashed, size = _ECDSA[key_algorithm]
        der = native.sign(data, ec.ECDSA(hashed))
        return der if dss_der else _der_to_joined(der, size)

    def der(self) -> bytes:
        """Return the secret as DER, PKCS #8, not encrypted. Seal it before you store it."""
        return self._native.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def pem(self) -> str:
        """Return the secret as PEM, PKCS #8, not encrypted. Write it only to a file of mode 0600."""
        return self._native.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")

    def renamed(self, *, key_id: str, owner: str) -> PrivateKey:
        """Return the same key under other names."""
        return PrivateKey(public=self.public.renamed(key_id=key_id, owner=owner), native=self._native)

    @override
    def __repr__(self) -> str:
        return f"PrivateKey({self.public!r}, ...)"


def _joined_to_der(signature: bytes, size: int) -> bytes:
    if len(signature) != 2 * size:
        raise ValueError(f"{len(signature)} bytes, expected {2 * size}")
    return encode_dss_signature(int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big"))


def _der_to_joined(der: bytes, size: int) -> bytes:
    r, s = decode_dss_signature(der)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")
