"""Public and private keys as values: parsed once, then only used.

A key is read from one of the shapes that documents carry it in (a PEM in `publicKeyPem`, a Multikey, a did:key, DER) into an object that holds
the parsed key of the cryptography library, its id, and the actor who is said to own it. Reading a public key costs 5 to 40 us and a private one
40 ms, so nothing re-reads per request: whoever caches keys caches these.

What makes a key unfit is decided here, once: an RSA modulus outside `RSA_BITS_MIN` and `RSA_BITS_MAX` (a longer one costs the verifier, not
the forger), an exponent that is even or absurd, a point of small order, under which one signature fits every message. The policy may ask for
more bits than `RSA_BITS_MIN`; it cannot ask for fewer.

The owner in a key is a claim. That the actor of that id lists this key is for the caller to establish before it believes anything.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from datetime import datetime
from hashlib import sha256
from typing import Final, Literal, TypeAlias, get_args

from attrs import evolve, field, frozen
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)
from typing_extensions import override

from apcore.signatures import multibase
from apcore.signatures.errors import BadSignature, Explanation, KeyMalformed, KeyMismatch, KeyWeak

__all__ = [
    "ALGORITHMS",
    "PEM_CHARS_MAX",
    "RSA_BITS_MAX",
    "RSA_BITS_MIN",
    "Algorithm",
    "KeyType",
    "PrivateKey",
    "PublicKey",
    "generate_key",
    "read_did_key",
    "read_multikey",
    "read_pem",
    "read_private_der",
    "read_private_multikey",
    "read_private_pem",
    "read_spki",
]

Algorithm: TypeAlias = Literal[
    "rsa-v1_5-sha256",
    "rsa-v1_5-sha512",
    "rsa-pss-sha512",
    "ecdsa-p256-sha256",
    "ecdsa-p384-sha384",
    "ed25519",
]
"""Signature algorithms by their RFC 9421 names; `rsa-v1_5-sha512` is not registered there, and some servers send it under draft-cavage."""

KeyType: TypeAlias = Literal["rsa", "p256", "p384", "ed25519"]

ALGORITHMS: Final[frozenset[Algorithm]] = frozenset(get_args(Algorithm))

RSA_BITS_MIN: Final = 1024
"""The shortest modulus that is read at all. The default policy asks for 2,048; keys of the first years of the fediverse had 1,024."""
RSA_BITS_MAX: Final = 8192
"""The longest. Verification with 8,192 bits costs 0.3 ms; the largest in use, Hubzilla's, has 4,096."""
PEM_CHARS_MAX: Final = 8192
"""Longer texts are refused unread. An RSA-8192 public key has about 1,500 characters."""

# Verification costs grow with the exponent; every generator in use takes 65537, and old ones 3 or 17.
_EXPONENT_BITS_MAX: Final = 33

_ALGORITHMS_OF: Final[dict[KeyType, tuple[Algorithm, ...]]] = {
    # The first is what an unnamed algorithm means.
    "rsa": ("rsa-v1_5-sha256", "rsa-v1_5-sha512", "rsa-pss-sha512"),
    "p256": ("ecdsa-p256-sha256",),
    "p384": ("ecdsa-p384-sha384",),
    "ed25519": ("ed25519",),
}

_Native: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey
_NativePrivate: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey

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
    """A public key with its id and the owner it claims. Made by the `read_` functions; equal if it is the same key under the same names."""

    key_id: str
    owner: str
    """The id of the actor who is said to control it. Believed only when that actor lists the key."""
    type: KeyType
    bits: int
    spki: bytes = field(repr=False)
    """DER, SubjectPublicKeyInfo: one spelling for every shape it came in; what a cache stores."""
    algorithm: Algorithm | None = None
    """The only algorithm the key is for, where something outside says so; None leaves it to the key's type."""
    expires: datetime | None = None
    """From then on it proves nothing (Multikey `expires` and `revoked`, whichever is earlier)."""
    source: str = ""
    """Where the key came from, for explanations: an URL, "cache", "--key"."""
    _native: _Native = field(repr=False, eq=False, alias="native")

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the DER, in hexadecimal."""
        return sha256(self.spki).hexdigest()

    @property
    def pem(self) -> str:
        """The key as `publicKeyPem` carries it: `BEGIN PUBLIC KEY`, lines of 64, a final newline."""
        text = b64encode(self.spki).decode("ascii")
        lines = "\n".join(text[start : start + 64] for start in range(0, len(text), 64))
        return f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n"

    @property
    def multibase(self) -> str:
        """The key as `publicKeyMultibase` carries it (FEP-521a)."""
        native = self._native
        if isinstance(native, Ed25519PublicKey):
            return multibase.encode(b"\xed\x01" + native.public_bytes_raw())
        if isinstance(native, rsa.RSAPublicKey):
            return multibase.encode(b"\x85\x24" + native.public_bytes(Encoding.DER, PublicFormat.PKCS1))
        prefix = b"\x80\x24" if self.type == "p256" else b"\x81\x24"
        return multibase.encode(prefix + native.public_bytes(Encoding.X962, PublicFormat.CompressedPoint))

    @property
    def described(self) -> str:
        """What an explanation says of it."""
        came = f" from {self.source}" if self.source else ""
        return f"{self.type} {self.bits} bits sha256:{self.fingerprint[:16]} owner {self.owner}{came}"

    def choose_algorithm(self, named: Algorithm | None = None) -> Algorithm:
        """Give the algorithm to check with: the named one if it fits the key, the key's own if none is named.

        Raises:
            KeyMismatch: The named one is for another type of key, or not the one that this key is for.
        """
        own = _ALGORITHMS_OF[self.type]
        if named is None:
            return self.algorithm or own[0]
        if named not in own or (self.algorithm is not None and named != self.algorithm):
            wanted = self.algorithm or " or ".join(own)
            raise KeyMismatch(f"algorithm {named} named for key {self.key_id}, which is {self.type} and for {wanted}")
        return named

    def verify(self, signature: bytes, data: bytes, algorithm: Algorithm, *, dss_der: bool = False) -> None:
        """Check ``signature`` over ``data``.

        Args:
            signature: As sent; ECDSA as RFC 9421 has it, r and s side by side.
            data: The signing string.
            algorithm: From `choose_algorithm`.
            dss_der: ECDSA signatures are DER instead, as draft-cavage has them.

        Raises:
            BadSignature: It does not hold.
        """
        native = self._native
        try:
            if isinstance(native, rsa.RSAPublicKey):
                native.verify(signature, data, *_RSA[algorithm])
            elif isinstance(native, Ed25519PublicKey):
                native.verify(signature, data)
            else:
                hashed, size = _ECDSA[algorithm]
                native.verify(signature if dss_der else _joined_to_der(signature, size), data, ec.ECDSA(hashed))
        except (InvalidSignature, ValueError) as exc:  # ValueError: not even the form of a signature
            raise BadSignature(
                f"signature of {len(signature)} bytes does not hold under key {self.key_id} by {algorithm}",
                explanation=Explanation(key=self.described),
            ) from exc

    def renamed(self, *, key_id: str | None = None, owner: str | None = None, source: str | None = None) -> PublicKey:
        """Give the same key under other names, without parsing it again."""
        return evolve(
            self,
            key_id=self.key_id if key_id is None else key_id,
            owner=self.owner if owner is None else owner,
            source=self.source if source is None else source,
        )


@frozen(kw_only=True, repr=False, eq=False)
class PrivateKey:
    """A private key and its public half. Its `repr` says nothing of the secret."""

    public: PublicKey
    _native: _NativePrivate = field(alias="native")

    @property
    def key_id(self) -> str:
        """The id under which peers find the public half."""
        return self.public.key_id

    def choose_algorithm(self, named: Algorithm | None = None) -> Algorithm:
        """As `PublicKey.choose_algorithm`; `ValueError` for one that does not fit, since it was we who chose it."""
        try:
            return self.public.choose_algorithm(named)
        except KeyMismatch as exc:
            raise ValueError(str(exc)) from exc

    def sign(self, data: bytes, algorithm: Algorithm | None = None, *, dss_der: bool = False) -> bytes:
        """Sign ``data``; by default as the `Signer` port has it: PKCS #1 v1.5 with SHA-256, or plain Ed25519.

        Raises:
            ValueError: The algorithm is for another type of key.
        """
        chosen = self.choose_algorithm(algorithm)
        native = self._native
        if isinstance(native, rsa.RSAPrivateKey):
            return native.sign(data, *_RSA[chosen])
        if isinstance(native, Ed25519PrivateKey):
            return native.sign(data)
        hashed, size = _ECDSA[chosen]
        der = native.sign(data, ec.ECDSA(hashed))
        return der if dss_der else _der_to_joined(der, size)

    def der(self) -> bytes:
        """Give the secret: DER, PKCS #8, not encrypted. For whoever seals it."""
        return self._native.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def pem(self) -> str:
        """Give the secret: PEM, PKCS #8, not encrypted. For whoever writes it to a file of mode 0600."""
        return self._native.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")

    def renamed(self, *, key_id: str, owner: str) -> PrivateKey:
        """Give the same key under other names."""
        return PrivateKey(public=self.public.renamed(key_id=key_id, owner=owner), native=self._native)

    @override
    def __repr__(self) -> str:
        return f"PrivateKey({self.public!r}, ...)"


# --- reading public keys --------------------------------------------------------------------------------------------

# One block, any label, any white space: JSON-LD normalisers replace line breaks by blanks, and Windows servers send CRLF.
_PEM: Final = re.compile(
    r"\s*-----BEGIN (?P<label>[A-Z ]{1,40})-----(?P<body>[A-Za-z0-9+/=\s]*)-----END (?P=label)-----\s*", re.ASCII
)
_WHITE: Final = re.compile(r"\s+", re.ASCII)


def read_pem(
    text: str,
    *,
    key_id: str,
    owner: str,
    algorithm: Algorithm | None = None,
    expires: datetime | None = None,
    source: str = "",
) -> PublicKey:
    """Read a `publicKeyPem`: SubjectPublicKeyInfo or PKCS #1, of RSA, P-256, P-384 or Ed25519, with or without its line breaks.

    Raises:
        KeyMalformed: It cannot be read, or is over `PEM_CHARS_MAX`.
        KeyWeak: It can, and is unfit.
    """
    der = _pem_to_der(text, {"PUBLIC KEY", "RSA PUBLIC KEY"}, key_id)
    return read_spki(der, key_id=key_id, owner=owner, algorithm=algorithm, expires=expires, source=source)


def read_spki(
    der: bytes,
    *,
    key_id: str,
    owner: str,
    algorithm: Algorithm | None = None,
    expires: datetime | None = None,
    source: str = "",
) -> PublicKey:
    """Read DER, SubjectPublicKeyInfo (PKCS #1 for RSA is understood as well); errors as `read_pem`."""
    try:
        native = load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise KeyMalformed(f"key {key_id}: {len(der)} bytes are no public key ({exc})") from exc
    if not isinstance(native, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey):
        raise KeyMalformed(f"key {key_id} is a {type(native).__name__}, which nothing here verifies with")
    return _judged(native, key_id=key_id, owner=owner, algorithm=algorithm, expires=expires, source=source)


def read_multikey(
    text: str,
    *,
    key_id: str,
    owner: str,
    algorithm: Algorithm | None = None,
    expires: datetime | None = None,
    source: str = "",
) -> PublicKey:
    """Read a `publicKeyMultibase` (FEP-521a): base58-btc of a multicodec and the key; errors as `read_pem`."""
    codec, raw = multibase.read_varint(multibase.decode(text))
    try:
        native = _native_of_multicodec(codec, raw)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise KeyMalformed(f"key {key_id}: {len(raw)} bytes are no key of multicodec 0x{codec:x} ({exc})") from exc
    if native is None:
        raise KeyMalformed(f"key {key_id} has multicodec 0x{codec:x}, which is none of the keys used here")
    return _judged(native, key_id=key_id, owner=owner, algorithm=algorithm, expires=expires, source=source)


def read_did_key(did_url: str, *, source: str = "") -> PublicKey:
    """Read the key that a `did:key` is, with or without its fragment. It needs no fetch, and its owner is the DID itself.

    Raises:
        KeyMalformed: No did:key, or its fragment names another key.
    """
    did, number, fragment = did_url.partition("#")
    method, _, text = did.partition(":")[2].partition(":")
    if not did.startswith("did:") or method != "key" or (number and fragment != text):
        raise KeyMalformed(f"{did_url[:200]!r} is no did:key with its own fragment")
    return read_multikey(text, key_id=did_url, owner=did, source=source)


def _pem_to_der(text: str, labels: set[str], key_id: str) -> bytes:
    if len(text) > PEM_CHARS_MAX:
        raise KeyMalformed(f"key {key_id}: PEM of {len(text)} characters, at most {PEM_CHARS_MAX}")
    block = _PEM.fullmatch(text)
    if block is None:
        raise KeyMalformed(f"key {key_id}: not one PEM block")
    if block["label"] not in labels:
        raise KeyMalformed(f"key {key_id}: PEM of a {block['label']}, expected {' or '.join(sorted(labels))}")
    try:
        return b64decode(_WHITE.sub("", block["body"]), validate=True)
    except (Base64Error, ValueError) as exc:
        raise KeyMalformed(f"key {key_id}: PEM without base64 in it ({exc})") from exc


def _native_of_multicodec(codec: int, raw: bytes) -> _Native | None:
    if codec == 0xED:
        return Ed25519PublicKey.from_public_bytes(raw)
    if codec == 0x1205:
        loaded = load_der_public_key(raw)
        # PKCS #1 is what the codec means; the other form would be a second spelling of one key.
        if isinstance(loaded, rsa.RSAPublicKey) and loaded.public_bytes(Encoding.DER, PublicFormat.PKCS1) == raw:
            return loaded
        raise ValueError("not PKCS #1")
    if codec in {0x1200, 0x1201}:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1() if codec == 0x1200 else ec.SECP384R1(), raw)
    return None


def _judged(
    native: _Native,
    *,
    key_id: str,
    owner: str,
    algorithm: Algorithm | None = None,
    expires: datetime | None = None,
    source: str = "",
) -> PublicKey:
    kind, bits = _kind_of(native, key_id)
    if algorithm is not None and algorithm not in _ALGORITHMS_OF[kind]:
        raise KeyMismatch(f"key {key_id} is {kind}, and said to be for {algorithm}")
    return PublicKey(
        key_id=key_id,
        owner=owner,
        type=kind,
        bits=bits,
        spki=native.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        algorithm=algorithm,
        expires=expires,
        source=source,
        native=native,
    )


def _kind_of(native: _Native, key_id: str) -> tuple[KeyType, int]:
    if isinstance(native, rsa.RSAPublicKey):
        _judge_rsa(native, key_id)
        return "rsa", native.key_size
    if isinstance(native, Ed25519PublicKey):
        _judge_point(native.public_bytes_raw(), key_id)
        return "ed25519", 256
    if isinstance(native.curve, ec.SECP256R1):
        return "p256", 256
    if isinstance(native.curve, ec.SECP384R1):
        return "p384", 384
    raise KeyMalformed(f"key {key_id} is on the curve {native.curve.name}, which nothing here verifies with")


def _judge_rsa(native: rsa.RSAPublicKey, key_id: str) -> None:
    if not RSA_BITS_MIN <= native.key_size <= RSA_BITS_MAX:
        raise KeyWeak(f"key {key_id} has {native.key_size} bits, allowed are {RSA_BITS_MIN} to {RSA_BITS_MAX}")
    numbers = native.public_numbers()
    if numbers.n % 2 == 0 or numbers.e % 2 == 0 or not 3 <= numbers.e < 1 << _EXPONENT_BITS_MAX:
        raise KeyWeak(f"key {key_id} has an even modulus, or an exponent of {numbers.e.bit_length()} bits")


_P25519: Final = 2**255 - 19
# The y coordinates of the eight points of small order: under such a key, one signature fits every message (RFC 8032 leaves it to the verifier).
_SMALL_ORDER: Final = frozenset(
    {
        0,
        1,
        _P25519 - 1,
        0x5FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    }
)


def _judge_point(raw: bytes, key_id: str) -> None:
    y = int.from_bytes(raw, "little") & (1 << 255) - 1
    if y >= _P25519 or y in _SMALL_ORDER:
        raise KeyWeak(f"key {key_id} is a point of small order, or not written canonically")


def _joined_to_der(signature: bytes, size: int) -> bytes:
    if len(signature) != 2 * size:
        raise ValueError(f"{len(signature)} bytes, expected {2 * size}")
    return encode_dss_signature(int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big"))


def _der_to_joined(der: bytes, size: int) -> bytes:
    r, s = decode_dss_signature(der)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


# --- private keys: ours, so what is wrong with them is a ValueError --------------------------------------------------

_PRIVATE_LABELS: Final = {"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"}


def read_private_pem(
    text: str, *, key_id: str, owner: str, algorithm: Algorithm | None = None, trusted: bool = False
) -> PrivateKey:
    """Read a private key of ours: PKCS #8, PKCS #1 or SEC 1, not encrypted.

    Args:
        text: The PEM.
        key_id: The id under which peers find the public half.
        owner: The actor it signs for.
        algorithm: What the key is for, if only for one.
        trusted: Leave out the check of an RSA key's primes, which takes 40 ms. For keys that we wrote ourselves.

    Raises:
        ValueError: It cannot be read, or is unfit.
    """
    try:
        der = _pem_to_der(text, _PRIVATE_LABELS, key_id)
    except KeyMalformed as exc:
        raise ValueError(str(exc)) from exc
    return read_private_der(der, key_id=key_id, owner=owner, algorithm=algorithm, trusted=trusted)


def read_private_der(
    der: bytes, *, key_id: str, owner: str, algorithm: Algorithm | None = None, trusted: bool = False
) -> PrivateKey:
    """Read a private key of ours from DER; arguments and errors as `read_private_pem`."""
    try:
        native = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=trusted)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise ValueError(f"key {key_id}: {len(der)} bytes are no private key ({type(exc).__name__})") from exc
    if not isinstance(native, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise ValueError(f"key {key_id} is a {type(native).__name__}, which nothing here signs with")  # noqa: TRY004
    return _private(native, key_id, owner, algorithm)


def read_private_multikey(text: str, *, key_id: str, owner: str) -> PrivateKey:
    """Read a `secretKeyMultibase` of Ed25519. `ValueError` for anything else."""
    try:
        codec, raw = multibase.read_varint(multibase.decode(text))
    except KeyMalformed as exc:
        raise ValueError(f"key {key_id} is no secretKeyMultibase") from exc
    if codec != 0x1300 or len(raw) != 32:
        raise ValueError(f"key {key_id} has multicodec 0x{codec:x} and {len(raw)} bytes, expected Ed25519 (0x1300, 32)")
    return _private(Ed25519PrivateKey.from_private_bytes(raw), key_id, owner, None)


def generate_key(kind: Literal["rsa-2048", "ed25519"], *, key_id: str, owner: str) -> PrivateKey:
    """Make a key pair. Takes the operating system's randomness and, for RSA, 20 to 500 ms: for a `Signer`, never for an operation.

    Raises:
        ValueError: Another kind.
    """
    if kind == "ed25519":
        return _private(Ed25519PrivateKey.generate(), key_id, owner, None)
    if kind == "rsa-2048":
        return _private(rsa.generate_private_key(65537, 2048), key_id, owner, None)
    raise ValueError(f"cannot make a key of kind {kind!r}: expected rsa-2048 or ed25519")


def _private(native: _NativePrivate, key_id: str, owner: str, algorithm: Algorithm | None) -> PrivateKey:
    try:
        public = _judged(native.public_key(), key_id=key_id, owner=owner, algorithm=algorithm)
    except (KeyMalformed, KeyWeak, KeyMismatch) as exc:
        raise ValueError(str(exc)) from exc
    return PrivateKey(public=public, native=native)
