"""Keys in the shapes that documents and files carry them in.

Public: a PEM in `publicKeyPem` (SubjectPublicKeyInfo or PKCS #1, however its lines were broken), a Multikey (FEP-521a), a did:key, DER. Private,
which are ours: PKCS #8, PKCS #1, SEC 1, a secret Multikey.

What makes a key unfit is decided here, once: an RSA modulus outside `RSA_BITS_MIN` and `RSA_BITS_MAX` (a longer one costs the verifier, not
the forger), an exponent that is even or absurd, a point of small order, under which one signature fits every message. The policy may ask for
more bits than `RSA_BITS_MIN`; it cannot ask for fewer.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from apcore.signatures import multibase
from apcore.signatures.errors import Explained, KeyMalformed, KeyMismatch, KeyWeak
from apcore.signatures.keys import Algorithm, KeyType, NativeKey, NativePrivateKey, PrivateKey, PublicKey, algorithms_of

__all__ = [
    "PEM_CHARS_MAX",
    "RSA_BITS_MAX",
    "RSA_BITS_MIN",
    "generate_key",
    "read_did_key",
    "read_multikey",
    "read_pem",
    "read_private_der",
    "read_private_multikey",
    "read_private_pem",
    "read_spki",
]

RSA_BITS_MIN: Final = 1024
"""The shortest modulus that is read at all. The default policy asks for 2,048; keys of the first years of the fediverse had 1,024."""
RSA_BITS_MAX: Final = 8192
"""The longest. Verification with 8,192 bits costs 0.3 ms; the largest in use, Hubzilla's, has 4,096."""
PEM_CHARS_MAX: Final = 8192
"""Longer texts are refused unread. An RSA-8192 public key has about 1,500 characters."""

# Verification costs grow with the exponent; every generator in use takes 65537, and old ones 3 or 17.
_EXPONENT_BITS_MAX: Final = 33

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
    try:
        der = _pem_to_der(text, {"PUBLIC KEY", "RSA PUBLIC KEY"}, key_id)
    except Explained as exc:
        raise exc.explained(key_id=key_id, key=f"from {source}" if source else None) from exc.__cause__
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
        judged = _judged_spki(der, key_id)
        return _named(judged, key_id=key_id, owner=owner, algorithm=algorithm, expires=expires, source=source)
    except Explained as exc:
        raise exc.explained(key_id=key_id, key=f"from {source}" if source else None) from exc.__cause__


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
    try:
        native = _native_of_multikey(text, key_id)
        return _named(
            _judged(native, key_id), key_id=key_id, owner=owner, algorithm=algorithm, expires=expires, source=source
        )
    except Explained as exc:
        raise exc.explained(key_id=key_id, key=f"from {source}" if source else None) from exc.__cause__


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


def _native_of_spki(der: bytes, key_id: str) -> NativeKey:
    try:
        native = load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise KeyMalformed(f"key {key_id}: {len(der)} bytes are no public key ({exc})") from exc
    if not isinstance(native, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey):
        raise KeyMalformed(f"key {key_id} is a {type(native).__name__}, which nothing here verifies with")
    return native


def _native_of_multikey(text: str, key_id: str) -> NativeKey:
    codec, raw = multibase.read_varint(multibase.decode(text))
    try:
        native = _native_of_multicodec(codec, raw)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise KeyMalformed(f"key {key_id}: {len(raw)} bytes are no key of multicodec 0x{codec:x} ({exc})") from exc
    if native is None:
        raise KeyMalformed(f"key {key_id} has multicodec 0x{codec:x}, which is none of the keys used here")
    return native


def _native_of_multicodec(codec: int, raw: bytes) -> NativeKey | None:
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


class _Judged(NamedTuple):
    """A key that passed, before it has an owner."""

    native: NativeKey
    type: KeyType
    bits: int
    spki: bytes


def _judged(native: NativeKey, key_id: str) -> _Judged:
    kind, bits = _kind_of(native, key_id)
    return _Judged(native, kind, bits, native.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


# A cached key comes out of a store as these bytes with every signature that it made. What is refused is not kept, and the keys that are kept
# have at most 1.1 KB each.
@lru_cache(maxsize=256)
def _judged_spki(der: bytes, key_id: str) -> _Judged:
    return _judged(_native_of_spki(der, key_id), key_id)


def _named(
    judged: _Judged,
    *,
    key_id: str,
    owner: str,
    algorithm: Algorithm | None = None,
    expires: datetime | None = None,
    source: str = "",
) -> PublicKey:
    if algorithm is not None and algorithm not in algorithms_of(judged.type):
        raise KeyMismatch(f"key {key_id} is {judged.type}, and said to be for {algorithm}")
    return PublicKey(
        key_id=key_id,
        owner=owner,
        type=judged.type,
        bits=judged.bits,
        spki=judged.spki,
        algorithm=algorithm,
        expires=expires,
        source=source,
        native=judged.native,
    )


def _kind_of(native: NativeKey, key_id: str) -> tuple[KeyType, int]:
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


def _private(native: NativePrivateKey, key_id: str, owner: str, algorithm: Algorithm | None) -> PrivateKey:
    try:
        public = _named(_judged(native.public_key(), key_id), key_id=key_id, owner=owner, algorithm=algorithm)
    except (KeyMalformed, KeyWeak, KeyMismatch) as exc:
        raise ValueError(str(exc)) from exc
    return PrivateKey(public=public, native=native)
