"""Check keys and their spellings at the edges that mutation testing found untested."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from apcore.signatures import (
    generate_key,
    multibase,
    read_did_key,
    read_multikey,
    read_pem,
    read_private_pem,
    read_spki,
)
from apcore.signatures.errors import BadSignature, KeyMalformed, KeyMismatch, KeyWeak
from apcore.signatures.key_formats import PEM_CHARS_MAX

NAMES = {"key_id": "k", "owner": "o"}


# --- the metadata of a key ------------------------------------------------------------------------------------------


def test_every_reader_keeps_the_metadata_of_the_key(rsa_key, now):
    metadata = {**NAMES, "algorithm": "rsa-pss-sha512", "expires": now, "source": "https://s.example/"}
    public = rsa_key.public
    for key in (
        read_pem(public.pem, **metadata),
        read_spki(public.spki, **metadata),
        read_multikey(public.multibase, **metadata),
    ):
        assert (key.key_id, key.owner, key.algorithm, key.expires, key.source) == tuple(metadata.values())
        assert key.choose_algorithm() == key.choose_algorithm("rsa-pss-sha512") == "rsa-pss-sha512"
        with pytest.raises(KeyMismatch):
            key.choose_algorithm("rsa-v1_5-sha256")
    private = read_private_pem(rsa_key.pem(), **NAMES, algorithm="rsa-pss-sha512")
    assert private.public.algorithm == "rsa-pss-sha512"


def test_renaming_a_key_changes_nothing_else(rsa_key, now):
    key = read_pem(rsa_key.public.pem, **NAMES, expires=now + timedelta(days=1), source="s")
    assert key.renamed() == key
    for name in ("key_id", "owner", "source"):
        renamed = key.renamed(**{name: "new"})
        assert getattr(renamed, name) == "new"
        assert renamed.renamed(**{name: getattr(key, name)}) == key


@pytest.mark.parametrize("read", [lambda **more: read_pem("x", **more), lambda **more: read_multikey("x", **more)])
def test_refusal_of_a_malformed_key_names_key_and_source(read):
    with pytest.raises(KeyMalformed) as exc_info:
        read(**NAMES, source="https://s.example/")
    assert exc_info.value.explanation.key_id == "k"
    assert exc_info.value.explanation.key == "from https://s.example/"


# --- spellings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["CERTIFICATE", "PRIVATE KEY", "EC PUBLIC KEY", "RSA PRIVATE KEY"])
def test_pem_with_another_label_is_refused(rsa_key, label):
    with pytest.raises(KeyMalformed, match=label):
        read_pem(rsa_key.public.pem.replace("PUBLIC KEY", label), **NAMES)


def test_pem_with_padding_inside_is_refused(rsa_key):
    head, first, *other_lines = rsa_key.public.pem.split("\n")
    for wrong_line in (f"{first[:8]}={first[8:]}", f"{first[:8]}=={first[8:]}", f"={first}"):
        with pytest.raises(KeyMalformed):
            read_pem("\n".join([head, wrong_line, *other_lines]), **NAMES)


@pytest.mark.parametrize(("length", "is_read"), [(PEM_CHARS_MAX, True), (PEM_CHARS_MAX + 1, False)])
def test_pem_length_is_bounded(rsa_key, length, is_read):
    text = rsa_key.public.pem.ljust(length)
    if is_read:
        assert read_pem(text, **NAMES).spki == rsa_key.public.spki
    else:
        with pytest.raises(KeyMalformed, match="characters"):
            read_pem(text, **NAMES)


@pytest.mark.parametrize("did", ["xid:key:{}", "did:kex:{}", "did:key:x:{}", "did:key:{}#x", "did:key:{}#", "key:{}"])
def test_malformed_did_key_is_refused(ed_key, did):
    with pytest.raises(KeyMalformed):
        read_did_key(did.format(ed_key.public.multibase))


@pytest.mark.parametrize("codec", [b"\x82\x24", b"\xe7\x01", b"\x83\x24", b"\x12"])
def test_point_under_the_codec_of_another_curve_is_refused(p384_key, codec):
    raw = multibase.decode(p384_key.public.multibase)[2:]
    with pytest.raises(KeyMalformed):
        read_multikey(multibase.encode(codec + raw), **NAMES)


# --- weak keys ------------------------------------------------------------------------------------------------------


def rsa_spki(native, exponent):
    public_key = rsa.RSAPublicNumbers(exponent, native.n).public_key()
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("exponent", "is_accepted"),
    [(3, True), (65537, True), ((1 << 33) - 1, True), ((1 << 33) + 1, False), ((1 << 34) + 1, False)],
)
def test_rsa_exponent_has_at_most_33_bits(rsa_key, exponent, is_accepted):
    spki = rsa_spki(rsa_key._native.public_key().public_numbers(), exponent)
    if is_accepted:
        assert read_spki(spki, **NAMES).spki == spki
    else:
        with pytest.raises(KeyWeak):
            read_spki(spki, **NAMES)


@pytest.mark.parametrize("increment", [1, 3])
def test_even_rsa_modulus_is_refused(rsa_key, increment):
    """The library reads an even modulus, but half of it is easy to factor."""
    spki, n = rsa_key.public.spki, rsa_key._native.public_key().public_numbers().n
    even = spki.replace(n.to_bytes(256, "big"), (n + increment).to_bytes(256, "big"))
    assert even != spki
    with pytest.raises(KeyWeak):
        read_spki(even, **NAMES)


def test_generated_rsa_key_has_its_size_and_exponent():
    private_key = generate_key("rsa-2048", **NAMES)
    numbers = private_key._native.public_key().public_numbers()
    assert (private_key.public.type, private_key.public.bits, numbers.e) == ("rsa", 2048, 65537)
    with pytest.raises(ValueError, match="rsa-1024"):
        generate_key("rsa-1024", **NAMES)


# --- signatures of two numbers --------------------------------------------------------------------------------------


def test_ecdsa_signature_numbers_have_their_full_length(p256_key):
    """Without its leading zero, the number would be a second spelling of the same signature."""
    signature = next(candidate for candidate in (p256_key.sign(b"x") for _ in range(20_000)) if candidate[32] == 0)
    p256_key.public.verify(signature, b"x", "ecdsa-p256-sha256")
    for wrong_signature in (signature[:32] + signature[33:], signature + b"\x00", b"\x00" + signature, b""):
        with pytest.raises(BadSignature):
            p256_key.public.verify(wrong_signature, b"x", "ecdsa-p256-sha256")


# --- multibase ------------------------------------------------------------------------------------------------------


def test_multibase_text_length_is_bounded():
    length_max = multibase.MULTIBASE_CHARS_MAX
    assert multibase.decode("z" + "1" * (length_max - 1)) == bytes(length_max - 1)
    assert multibase.base58_decode("1" * length_max) == bytes(length_max)
    for read in (
        lambda: multibase.decode("z" + "1" * length_max),
        lambda: multibase.base58_decode("1" * (length_max + 1)),
    ):
        with pytest.raises(KeyMalformed):
            read()


def test_base58_output_length_is_bounded():
    data = b"\xff" * 1484
    assert multibase.base58_decode(multibase.base58_encode(data)) == data
    with pytest.raises(ValueError, match="1485 bytes"):
        multibase.base58_encode(b"\xff" * 1485)


@pytest.mark.parametrize("letter", "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
def test_every_base58_letter_is_allowed_at_any_place(letter):
    for text in (f"{letter}z", f"z{letter}", letter * 11, f"11{letter}{letter}"):
        assert multibase.base58_encode(multibase.base58_decode(text)) == text


@pytest.mark.parametrize("bits", range(1, 34))
def test_value_of_any_bit_length_reads_back(bits):
    data = (1 << (bits - 1)).to_bytes((bits + 7) // 8, "big")
    assert multibase.decode(multibase.encode(data)) == data


@pytest.mark.parametrize(
    ("text", "bases", "value"),
    [
        ("uAAAX", "u", b"\x00\x00\x17"),
        ("uAA", "u", b"\x00"),
        ("f00fF", "f", b"\x00\xff"),
        ("F00fF", "F", b"\x00\xff"),
        ("uAB", "u", None),
        ("uA", "u", None),
        ("uAA==", "u", None),
        ("uA+A", "u", None),
        ("uA A", "u", None),
        ("f0", "f", None),
        ("m00", "m", None),
        ("X00", "X", None),
        ("z1", "u", None),
        ("", "z", None),
    ],
)
def test_value_in_an_allowed_base_is_read(text, bases, value):
    if value is not None:
        assert multibase.decode(text, bases=bases) == value
    else:
        with pytest.raises(KeyMalformed):
            multibase.decode(text, bases=bases)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x00", (0, b"")),
        (b"\x12\xaa\xbb", (0x12, b"\xaa\xbb")),
        (b"\x7f\x01", (0x7F, b"\x01")),
        (b"\x80\x01", (0x80, b"")),
        (b"\xed\x01\xaa", (0xED, b"\xaa")),
        (b"\xff\x7f\xaa", (0x3FFF, b"\xaa")),
        (b"\x80\x7f", (0x3F80, b"")),
        (b"", None),
        (b"\x80", None),
        (b"\x80\x00", None),
        (b"\x80\x80\x01", None),
        (b"\xff\xff\x01", None),
    ],
)
def test_varint_has_one_or_two_bytes(data, expected):
    if expected is not None:
        assert multibase.read_varint(data) == expected
    else:
        with pytest.raises(KeyMalformed):
            multibase.read_varint(data)


def test_only_base58_is_allowed_by_default():
    assert multibase.decode("z1") == b"\x00"
    for text in ("f00", "uAA", "X1"):
        with pytest.raises(KeyMalformed):
            multibase.decode(text)
