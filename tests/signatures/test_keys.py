"""Check keys: the key decides the algorithm, and only signatures over the signed data hold."""

from __future__ import annotations

from collections import Counter

import pytest

from apcore.signatures import key_formats
from apcore.signatures.errors import BadSignature, KeyMismatch
from vector_files import load_json, needs_vectors

NAMES = {"key_id": "https://remote.example/users/alice#main-key", "owner": "https://remote.example/users/alice"}


@pytest.mark.parametrize(
    ("kind", "requested", "algorithm"),
    [
        ("rsa", None, "rsa-v1_5-sha256"),
        ("rsa", "rsa-v1_5-sha512", "rsa-v1_5-sha512"),
        ("rsa", "rsa-pss-sha512", "rsa-pss-sha512"),
        ("rsa", "ed25519", None),
        ("ed25519", None, "ed25519"),
        ("ed25519", "rsa-v1_5-sha256", None),
        ("p256", None, "ecdsa-p256-sha256"),
        ("p256", "ecdsa-p384-sha384", None),
        ("p384", None, "ecdsa-p384-sha384"),
    ],
)
def test_key_decides_the_algorithm(any_key, kind, requested, algorithm):
    if algorithm is None:
        with pytest.raises(KeyMismatch):
            any_key[kind].public.choose_algorithm(requested)
        with pytest.raises(ValueError, match="named for key"):
            any_key[kind].sign(b"", requested)
    else:
        assert any_key[kind].public.choose_algorithm(requested) == algorithm


def test_key_declared_for_one_algorithm_refuses_others(rsa_key):
    key = key_formats.read_pem(rsa_key.public.pem, **NAMES, algorithm="rsa-pss-sha512")
    assert key.choose_algorithm() == "rsa-pss-sha512"
    with pytest.raises(KeyMismatch):
        key.choose_algorithm("rsa-v1_5-sha256")
    with pytest.raises(KeyMismatch):
        key_formats.read_pem(rsa_key.public.pem, **NAMES, algorithm="ed25519")


ALGORITHMS = [
    ("rsa", "rsa-v1_5-sha256"),
    ("rsa", "rsa-v1_5-sha512"),
    ("rsa", "rsa-pss-sha512"),
    ("ed25519", "ed25519"),
    ("p256", "ecdsa-p256-sha256"),
    ("p384", "ecdsa-p384-sha384"),
]


@pytest.mark.parametrize("dss_der", [False, True])
@pytest.mark.parametrize(("kind", "algorithm"), ALGORITHMS)
def test_only_the_exact_signature_over_the_data_holds(any_key, kind, algorithm, dss_der):
    key = any_key[kind]
    signature = key.sign(b"data", algorithm, dss_der=dss_der)
    key.public.verify(signature, b"data", algorithm, dss_der=dss_der)
    for wrong_signature in (signature[:-1], signature + b"\x00", b"", bytes(len(signature)), signature[::-1]):
        with pytest.raises(BadSignature):
            key.public.verify(wrong_signature, b"data", algorithm, dss_der=dss_der)
    with pytest.raises(BadSignature) as exc_info:
        key.public.verify(signature, b"date", algorithm, dss_der=dss_der)
    assert key.public.fingerprint[:16] in exc_info.value.explanation.key


def test_repr_never_shows_the_private_key(ed_key):
    assert repr(ed_key).endswith(", ...)")
    assert ed_key._native.private_bytes_raw().hex() not in repr(ed_key)


def test_renaming_shares_the_parsed_key(rsa_key):
    other = rsa_key.public.renamed(key_id="acct:alice@remote.example", source="webfinger")
    assert (other.key_id, other.owner, other._native) == (
        "acct:alice@remote.example",
        rsa_key.public.owner,
        rsa_key.public._native,
    )
    assert "webfinger" in other.described
    assert rsa_key.renamed(key_id="k", owner="o").public.owner == "o"


WYCHEPROOF = {
    "ed25519_test": ({"valid": 88, "invalid": 63}, "ed25519"),
    "rsa_signature_2048_sha256_test": ({"valid": 9, "invalid": 249, "acceptable": 1}, "rsa-v1_5-sha256"),
    "rsa_signature_4096_sha256_test": ({"valid": 7, "invalid": 250, "acceptable": 1}, "rsa-v1_5-sha256"),
}


@pytest.mark.hole(41)
@pytest.mark.parametrize("name", WYCHEPROOF)
@needs_vectors
def test_wycheproof_vectors(name):
    expected_counts, algorithm = WYCHEPROOF[name]
    counts = Counter()
    for group in load_json(f"wycheproof/{name}.json")["testGroups"]:
        key = key_formats.read_pem(group["publicKeyPem"], **NAMES)
        assert key == key_formats.read_spki(bytes.fromhex(group["publicKeyDer"]), **NAMES)
        for case in group["tests"]:
            signature, message = bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"])
            if case["result"] == "valid":
                key.verify(signature, message, algorithm)
            else:
                # The one "acceptable" case leaves out the NULL of the algorithm: refused, since no signer writes it so.
                with pytest.raises(BadSignature):
                    key.verify(signature, message, algorithm)
            counts[case["result"]] += 1
    assert counts == expected_counts
