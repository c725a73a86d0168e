"""Keys and their spellings at the edges that mutation testing found open."""

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


# --- what is said of a key goes with it -----------------------------------------------------------------------------


def test_every_way_of_reading_keeps_what_is_said_of_the_key(rsa_key, now):
    said = {**NAMES, "algorithm": "rsa-pss-sha512", "expires": now, "source": "https://s.example/"}
    public = rsa_key.public
    for key in (read_pem(public.pem, **said), read_spki(public.spki, **said), read_multikey(public.multibase, **said)):
        assert (key.key_id, key.owner, key.algorithm, key.expires, key.source) == tuple(said.values())
        assert key.choose_algorithm() == key.choose_algorithm("rsa-pss-sha512") == "rsa-pss-sha512"
        with pytest.raises(KeyMismatch):
            key.choose_algorithm("rsa-v1_5-sha256")
    private = read_private_pem(rsa_key.pem(), **NAMES, algorithm="rsa-pss-sha512")
    assert private.public.algorithm == "rsa-pss-sha512"


def test_a_new_name_leaves_the_others(rsa_key, now):
    key = read_pem(rsa_key.public.pem, **NAMES, expires=now + timedelta(days=1), source="s")
    assert key.renamed() == key
    for name in ("key_id", "owner", "source"):
        again = key.renamed(**{name: "new"})
        assert getattr(again, name) == "new"
        assert again.renamed(**{name: getattr(key, name)}) == key


@pytest.mark.parametrize("read", [lambda **more: read_pem("x", **more), lambda **more: read_multikey("x", **more)])
def test_what_cannot_be_read_says_whose_it_is(read):
    with pytest.raises(KeyMalformed) as caught:
        read(**NAMES, source="https://s.example/")
    assert caught.value.explanation.key_id == "k"
    assert caught.value.explanation.key == "from https://s.example/"


# --- spellings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["CERTIFICATE", "PRIVATE KEY", "EC PUBLIC KEY", "RSA PRIVATE KEY"])
def test_a_pem_of_something_else(rsa_key, label):
    with pytest.raises(KeyMalformed, match=label):
        read_pem(rsa_key.public.pem.replace("PUBLIC KEY", label), **NAMES)


def test_a_pem_with_padding_inside(rsa_key):
    head, first, *rest = rsa_key.public.pem.split("\n")
    for wrong in (f"{first[:8]}={first[8:]}", f"{first[:8]}=={first[8:]}", f"={first}"):
        with pytest.raises(KeyMalformed):
            read_pem("\n".join([head, wrong, *rest]), **NAMES)


@pytest.mark.parametrize(("length", "read"), [(PEM_CHARS_MAX, True), (PEM_CHARS_MAX + 1, False)])
def test_the_longest_pem(rsa_key, length, read):
    text = rsa_key.public.pem.ljust(length)
    if read:
        assert read_pem(text, **NAMES).spki == rsa_key.public.spki
    else:
        with pytest.raises(KeyMalformed, match="characters"):
            read_pem(text, **NAMES)


@pytest.mark.parametrize("did", ["xid:key:{}", "did:kex:{}", "did:key:x:{}", "did:key:{}#x", "did:key:{}#", "key:{}"])
def test_what_is_no_did_key(ed_key, did):
    with pytest.raises(KeyMalformed):
        read_did_key(did.format(ed_key.public.multibase))


@pytest.mark.parametrize("codec", [b"\x82\x24", b"\xe7\x01", b"\x83\x24", b"\x12"])
def test_a_point_under_the_codec_of_another_curve(p384_key, codec):
    raw = multibase.decode(p384_key.public.multibase)[2:]
    with pytest.raises(KeyMalformed):
        read_multikey(multibase.encode(codec + raw), **NAMES)


# --- weak keys ------------------------------------------------------------------------------------------------------


def rsa_spki(native, exponent):
    return rsa.RSAPublicNumbers(exponent, native.n).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # fmt: skip


@pytest.mark.parametrize(("exponent", "fit"), [(3, True), (65537, True), ((1 << 33) - 1, True), ((1 << 33) + 1, False), ((1 << 34) + 1, False)])  # fmt: skip
def test_exponents(rsa_key, exponent, fit):
    spki = rsa_spki(rsa_key._native.public_key().public_numbers(), exponent)
    if fit:
        assert read_spki(spki, **NAMES).spki == spki
    else:
        with pytest.raises(KeyWeak):
            read_spki(spki, **NAMES)


@pytest.mark.parametrize("added", [1, 3])
def test_an_even_modulus_is_no_product_of_two_primes(rsa_key, added):
    """The library reads it; anybody can factor half of it."""
    spki, n = rsa_key.public.spki, rsa_key._native.public_key().public_numbers().n
    even = spki.replace(n.to_bytes(256, "big"), (n + added).to_bytes(256, "big"))
    assert even != spki
    with pytest.raises(KeyWeak):
        read_spki(even, **NAMES)


def test_a_key_that_we_make():
    made = generate_key("rsa-2048", **NAMES)
    numbers = made._native.public_key().public_numbers()
    assert (made.public.type, made.public.bits, numbers.e) == ("rsa", 2048, 65537)
    with pytest.raises(ValueError, match="rsa-1024"):
        generate_key("rsa-1024", **NAMES)


# --- signatures of two numbers --------------------------------------------------------------------------------------


def test_both_numbers_have_their_full_length(p256_key):
    """A leading zero left out is another spelling of the same signature."""
    signature = next(made for made in (p256_key.sign(b"x") for _ in range(20_000)) if made[32] == 0)
    p256_key.public.verify(signature, b"x", "ecdsa-p256-sha256")
    for wrong in (signature[:32] + signature[33:], signature + b"\x00", b"\x00" + signature, b""):
        with pytest.raises(BadSignature):
            p256_key.public.verify(wrong, b"x", "ecdsa-p256-sha256")


# --- multibase ------------------------------------------------------------------------------------------------------


def test_the_longest_value():
    most = multibase.MULTIBASE_CHARS_MAX
    assert multibase.decode("z" + "1" * (most - 1)) == bytes(most - 1)
    assert multibase.base58_decode("1" * most) == bytes(most)
    for read in (lambda: multibase.decode("z" + "1" * most), lambda: multibase.base58_decode("1" * (most + 1))):
        with pytest.raises(KeyMalformed):
            read()


def test_the_longest_value_that_is_written():
    data = b"\xff" * 1484
    assert multibase.base58_decode(multibase.base58_encode(data)) == data
    with pytest.raises(ValueError, match="1485 bytes"):
        multibase.base58_encode(b"\xff" * 1485)


@pytest.mark.parametrize("letter", "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
def test_every_letter_stands_anywhere(letter):
    for text in (f"{letter}z", f"z{letter}", letter * 11, f"11{letter}{letter}"):
        assert multibase.base58_encode(multibase.base58_decode(text)) == text


@pytest.mark.parametrize("bits", range(1, 34))
def test_every_length_in_bits(bits):
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
def test_other_bases(text, bases, value):
    if value is not None:
        assert multibase.decode(text, bases=bases) == value
    else:
        with pytest.raises(KeyMalformed):
            multibase.decode(text, bases=bases)


@pytest.mark.parametrize(
    ("data", "split"),
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
def test_numbers_of_one_byte_or_two(data, split):
    if split is not None:
        assert multibase.read_varint(data) == split
    else:
        with pytest.raises(KeyMalformed):
            multibase.read_varint(data)


def test_a_base_that_is_not_named_is_base58():
    assert multibase.decode("z1") == b"\x00"
    for text in ("f00", "uAA", "X1"):
        with pytest.raises(KeyMalformed):
            multibase.decode(text)
