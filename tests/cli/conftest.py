"""Provide keys, key files and a fixed time for the tests of the command line; keys are made once per session."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from apcore.signatures import generate_key

OWNER = "https://remote.example/users/alice"


@pytest.fixture(scope="session")
def signers():
    return {
        "rsa": generate_key("rsa-2048", key_id=f"{OWNER}#main-key", owner=OWNER),
        "ed25519": generate_key("ed25519", key_id=f"{OWNER}#ed25519-key", owner=OWNER),
    }


@pytest.fixture(scope="session")
def key_files(signers, tmp_path_factory):
    """Return the path of each private and public PEM file, by `rsa`, `rsa.pub`, `ed25519`, `ed25519.pub`."""
    folder = tmp_path_factory.mktemp("keys")
    files = {}
    for kind, key in signers.items():
        for name, text in ((kind, key.pem()), (f"{kind}.pub", key.public.pem)):
            path = folder / name
            path.write_text(text, encoding="ascii")
            files[name] = str(path)
    return files


@pytest.fixture
def now():
    return datetime(2026, 11, 22, 8, 0, 0, tzinfo=UTC)
