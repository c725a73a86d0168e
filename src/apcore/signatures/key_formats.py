"""Parse keys in all the forms that documents and files contain.

Public keys: a PEM in `publicKeyPem` (SubjectPublicKeyInfo or PKCS #1, with any line breaks), a Multikey (FEP-521a), a
did:key, DER. Private keys, which are ours: PKCS #8, PKCS #1, SEC 1, a secret Multikey.

Unfit keys are refused here: an RSA modulus outside `RSA_BITS_MIN` and `RSA_BITS_MAX` (a longer one costs the verifier,
not the forger), an exponent that is even or absurd, and a point of small order, under which one signature fits every
message. The policy may require more bits than `RSA_BITS_MIN`, never fewer.
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
from apcore.signatures.errors import ExplainedError, KeyMalformed, KeyMismatch, KeyWeak
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
"""The shortest accepted modulus. The default policy requires 2,048 bits; the first fediverse servers made keys of
1,024.
"""
RSA_BITS_MAX: Final = 8192
"""The longest accepted modulus. Verification with 8,192 bits takes 0.3 ms; the longest in use, Hubzilla's, has
4,096.
"""
PEM_CHARS_MAX: Final = 8192
"""Longer texts are refused unparsed. An RSA-8192 public key has about 1,500 characters."""

# The cost of verification grows with the exponent. Every generator in use takes 65537, and old ones 3 or 17.
_EXPONENT_BITS_MAX: Final = 33

# --- reading public keys --------------------------------------------------------------------------------------------

# One block, any label, any white space: JSON-LD normalisers replace line breaks by blanks, and Windows servers send
# CRLF.
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
    """Parse a `publicKeyPem`: SubjectPublicKeyInfo or PKCS #1, of RSA, P-256, P-384 or Ed25519.

    Line breaks may be missing.

    Raises:
        KeyMalformed: It is malformed, or longer than `PEM_CHARS_MAX`.
        KeyWeak: It is well-formed, but unfit.
    """
    try:
        der = _pem_to_der(text, {"PUBLIC KEY", "RSA PUBLIC KEY"}, key_id)
    except ExplainedError as exc:
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
    """Parse DER: SubjectPublicKeyInfo, or PKCS #1 for RSA. Errors as for `read_pem`."""
    try:
        unnamed_key = _check_spki(der, key_id)
        return _name_key(unnamed_key, key_id=key_id, owner=owner, algorithm=algorithm, expires=expires, source=source)
    except ExplainedError as exc:
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
    """Parse a `publicKeyMultibase` (FEP-521a): base58-btc of a multicodec and the key. Errors as for `read_pem`."""
    try:
        native = _native_of_multikey(text, key_id)
        return _name_key(
            _check_native_key(native, key_id),
            key_id=key_id,
            owner=owner,
            algorithm=algorithm,
            expires=expires,
            source=source,
        )
    except ExplainedError as exc:
        raise exc.explained(key_id=key_id, key=f"from {source}" if source else None) from exc.__cause__


def read_did_key(did_url: str, *, source: str = "") -> PublicKey:
    """Parse the key in a `did:key`, with or without its fragment. No fetch is needed, and the owner is the DID itself.

    Raises:
        KeyMalformed: It is not a did:key, or its fragment names another key.
    """
    did, number, fragment = did_url.partition("#")
    method, _, text = did.partition(":")[2].partition(":")
    if not did.startswith("did:") or method != "key" or (number and fragment != text):
        raise KeyMalformed(f"{did_url[:200]!r} is not a did:key with its own fragment")
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
        raise KeyMalformed(f"key {key_id}: PEM without valid base64 ({exc})") from exc


def _native_of_spki(der: bytes, key_id: str) -> NativeKey:
    try:
        native = load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise KeyMalformed(f"key {key_id}: {len(der)} bytes are not a public key ({exc})") from exc
    if not isinstance(native, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey):
        raise KeyMalformed(f"key {key_id} is a {type(native).__name__}, which is not supported")
    return native


def _native_of_multikey(text: str, key_id: str) -> NativeKey:
    codec, raw = multibase.read_varint(multibase.decode(text))
    try:
        native = _native_of_multicodec(codec, raw)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise KeyMalformed(f"key {key_id}: {len(raw)} bytes are not a key of multicodec 0x{codec:x} ({exc})") from exc
    if native is None:
        raise KeyMalformed(f"key {key_id} has multicodec 0x{codec:x}, which is not a supported key")
    return native


def _native_of_multicodec(codec: int, raw: bytes) -> NativeKey | None:
    if codec == 0xED:
        return Ed25519PublicKey.from_public_bytes(raw)
    if codec == 0x1205:
        loaded = load_der_public_key(raw)
        # The codec means PKCS #1; the other form would be a second spelling of one key.
        if isinstance(loaded, rsa.RSAPublicKey) and loaded.public_bytes(Encoding.DER, PublicFormat.PKCS1) == raw:
            return loaded
        raise ValueError("not PKCS #1")
    if codec in {0x1200, 0x1201}:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1() if codec == 0x1200 else ec.SECP384R1(), raw)
    return None


class _UnnamedKey(NamedTuple):
    """A checked key, still without its id and its owner."""

    native: NativeKey
    type: KeyType
    bits: int
    spki: bytes


def _check_native_key(native: NativeKey, key_id: str) -> _UnnamedKey:
    kind, bits = _kind_of(native, key_id)
    return _UnnamedKey(native, kind, bits, native.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


# The store holds a peer's key as these bytes, which are parsed for every signature. Refused keys are not cached, and a
# cached key has at most 1.1 KB.
@lru_cache(maxsize=256)
def _check_spki(der: bytes, key_id: str) -> _UnnamedKey:
    return _check_native_key(_native_of_spki(der, key_id), key_id)


def _name_key(
    unnamed_key: _UnnamedKey,
    *,
    key_id: str,
    owner: str,
    algorithm: Algorithm | None = None,
    expires: datetime | None = None,
    source: str = "",
) -> PublicKey:
    if algorithm is not None and algorithm not in algorithms_of(unnamed_key.type):
        raise KeyMismatch(f"key {key_id} is {unnamed_key.type}, but is declared for {algorithm}")
    return PublicKey(
        key_id=key_id,
        owner=owner,
        type=unnamed_key.type,
        bits=unnamed_key.bits,
        spki=unnamed_key.spki,
        algorithm=algorithm,
        expires=expires,
        source=source,
        native=unnamed_key.native,
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
    raise KeyMalformed(f"key {key_id} is on the curve {native.curve.name}, which is not supported")


def _judge_rsa(native: rsa.RSAPublicKey, key_id: str) -> None:
    if not RSA_BITS_MIN <= native.key_size <= RSA_BITS_MAX:
        raise KeyWeak(f"key {key_id} has {native.key_size} bits, expected {RSA_BITS_MIN} to {RSA_BITS_MAX}")
    numbers = native.public_numbers()
    if numbers.n % 2 == 0 or numbers.e % 2 == 0 or not 3 <= numbers.e < 1 << _EXPONENT_BITS_MAX:
        raise KeyWeak(f"key {key_id} has an even modulus, or an exponent of {numbers.e.bit_length()} bits")


_P25519: Final = 2**255 - 19
# The five y coordinates of the eight points of small order. Under such a key, one signature fits every message
# (RFC 8032 leaves the check to the verifier).
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


# --- private keys: ours, so a fault in one is a ValueError ----------------------------------------------------------

_PRIVATE_LABELS: Final = {"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"}


def read_private_pem(
    text: str, *, key_id: str, owner: str, algorithm: Algorithm | None = None, trusted: bool = False
) -> PrivateKey:
    """Parse a private key of ours: PKCS #8, PKCS #1 or SEC 1, not encrypted.

    Args:
        text: The PEM.
        key_id: The id of the public key.
        owner: The actor that the key signs for.
        algorithm: The only algorithm of the key, if it is restricted.
        trusted: Skip the check of an RSA key's primes, which takes 40 ms. For keys that apcore itself wrote.

    Raises:
        ValueError: It is malformed or unfit.
    """
    try:
        der = _pem_to_der(text, _PRIVATE_LABELS, key_id)
    except KeyMalformed as exc:
        raise ValueError(str(exc)) from exc
    return read_private_der(der, key_id=key_id, owner=owner, algorithm=algorithm, trusted=trusted)


def read_private_der(
    der: bytes, *, key_id: str, owner: str, algorithm: Algorithm | None = None, trusted: bool = False
) -> PrivateKey:
    """Parse a private key of ours from DER. Arguments and errors are those of `read_private_pem`."""
    try:
        native = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=trusted)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise ValueError(f"key {key_id}: {len(der)} bytes are not a private key ({type(exc).__name__})") from exc
    if not isinstance(native, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise ValueError(f"key {key_id} is a {type(native).__name__}, which is not supported")  # noqa: TRY004
    return _private(native, key_id, owner, algorithm)


def read_private_multikey(text: str, *, key_id: str, owner: str) -> PrivateKey:
    """Parse a `secretKeyMultibase` of Ed25519. `ValueError` for anything else."""
    try:
        codec, raw = multibase.read_varint(multibase.decode(text))
    except KeyMalformed as exc:
        raise ValueError(f"key {key_id} is not a secretKeyMultibase") from exc
    if codec != 0x1300 or len(raw) != 32:
        raise ValueError(f"key {key_id} has multicodec 0x{codec:x} and {len(raw)} bytes, expected Ed25519 (0x1300, 32)")
    return _private(Ed25519PrivateKey.from_private_bytes(raw), key_id, owner, None)


def generate_key(kind: Literal["rsa-2048", "ed25519"], *, key_id: str, owner: str) -> PrivateKey:
    """Make a key pair. Reads randomness and takes 20 to 500 ms for RSA: call it in a `Signer`, never in an operation.

    Raises:
        ValueError: An unknown ``kind``.
    """
    if kind == "ed25519":
        return _private(Ed25519PrivateKey.generate(), key_id, owner, None)
    if kind == "rsa-2048":
        return _private(rsa.generate_private_key(65537, 2048), key_id, owner, None)
    raise ValueError(f"cannot make a key of kind {kind!r}: expected rsa-2048 or ed25519")


def _private(native: NativePrivateKey, key_id: str, owner: str, algorithm: Algorithm | None) -> PrivateKey:
    try:
        public = _name_key(
            _check_native_key(native.public_key(), key_id), key_id=key_id, owner=owner, algorithm=algorithm
        )
    except (KeyMalformed, KeyWeak, KeyMismatch) as exc:
        raise ValueError(str(exc)) from exc
    return PrivateKey(public=public, native=native)
