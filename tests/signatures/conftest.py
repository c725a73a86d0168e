"""Provide keys and requests that all signature tests share; making an RSA key takes longer than most test files."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from apcore.http.messages import Request
from apcore.signatures import key_formats

OWNER = "https://remote.example/users/alice"
NOW = datetime(2026, 11, 22, 8, 0, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def now():
    return NOW


@pytest.fixture(scope="session")
def rsa_key():
    return key_formats.generate_key("rsa-2048", key_id=f"{OWNER}#main-key", owner=OWNER)


@pytest.fixture(scope="session")
def ed_key():
    return key_formats.generate_key("ed25519", key_id=f"{OWNER}#ed25519-key", owner=OWNER)


@pytest.fixture(scope="session")
def p256_key():
    return _ec("SECP256R1")


@pytest.fixture(scope="session")
def p384_key():
    return _ec("SECP384R1")


def _ec(curve):
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    native = ec.generate_private_key(getattr(ec, curve)())
    der = native.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return key_formats.read_private_der(der, key_id=f"{OWNER}#{curve.lower()}", owner=OWNER)


@pytest.fixture(scope="session")
def any_key(rsa_key, ed_key, p256_key, p384_key):
    return {"rsa": rsa_key, "ed25519": ed_key, "p256": p256_key, "p384": p384_key}


@pytest.fixture(scope="session")
def post():
    return Request(
        "POST",
        "https://local.example/users/bob/inbox",
        {"Host": "local.example", "Content-Type": "application/activity+json", "Accept": "*/*"},
        b'{"type": "Follow"}',
    )


@pytest.fixture(scope="session")
def get():
    return Request("GET", "https://local.example/users/bob/outbox?page=2", {"Host": "local.example", "Accept": "*/*"})
