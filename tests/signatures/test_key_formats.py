"""Check that keys are read in every shape in which documents carry them, and that unfit keys are refused."""

from __future__ import annotations

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import ApcoreError, SignatureError
from apcore.signatures import key_formats, multibase
from apcore.signatures.errors import KeyMalformed, KeyWeak
from vector_files import VECTORS, load_json, needs_vectors

NAMES = {"key_id": "https://remote.example/users/alice#main-key", "owner": "https://remote.example/users/alice"}


def pkcs1_pem(key):
    der = key._native.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return f"-----BEGIN RSA PUBLIC KEY-----\n{b64encode(der).decode()}\n-----END RSA PUBLIC KEY-----\n"


SHAPES = {
    "as we write it": lambda key: key.pem,
    "CRLF": lambda key: key.pem.replace("\n", "\r\n"),
    "no final newline": lambda key: key.pem.rstrip(),
    "blanks for line breaks": lambda key: key.pem.replace("\n", " "),
    "no line breaks at all": lambda key: key.pem.replace("\n", ""),
    "indented": lambda key: "\n    ".join(["", *key.pem.split("\n")]),
    "PKCS #1": pkcs1_pem,
    "PKCS #1 with blanks": lambda key: pkcs1_pem(key).replace("\n", " "),
    "PKCS #1 under the other label": lambda key: pkcs1_pem(key).replace("RSA PUBLIC", "PUBLIC"),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_pem_in_any_shape_is_the_same_key(rsa_key, shape):
    key = key_formats.read_pem(shape(rsa_key.public), **NAMES)
    assert key == rsa_key.public
    assert (key.type, key.bits) == ("rsa", 2048)


@pytest.mark.parametrize("kind", ["rsa", "ed25519", "p256", "p384"])
def test_pem_multikey_and_spki_give_equal_keys(any_key, kind):
    key = any_key[kind].public
    names = {"key_id": key.key_id, "owner": key.owner}
    assert key_formats.read_pem(key.pem, **names) == key
    assert key_formats.read_multikey(key.multibase, **names) == key
    assert key_formats.read_spki(key.spki, **names) == key


def test_key_has_its_type_and_size(any_key):
    sizes = {kind: (key.public.type, key.public.bits) for kind, key in any_key.items()}
    assert sizes == {"rsa": ("rsa", 2048), "ed25519": ("ed25519", 256), "p256": ("p256", 256), "p384": ("p384", 384)}


def test_did_key_is_its_own_owner(ed_key):
    did = f"did:key:{ed_key.public.multibase}"
    whole = f"{did}#{ed_key.public.multibase}"
    assert key_formats.read_did_key(did).owner == did
    assert (key_formats.read_did_key(whole).key_id, key_formats.read_did_key(whole).owner) == (whole, did)
    assert key_formats.read_did_key(did).spki == ed_key.public.spki


@pytest.mark.parametrize(
    "text", ["did:key:{m}#zother", "did:web:{m}", "key:{m}", "did:key:", "", "did:key:{m}#", "did:key:{m}#{m}#"]
)
def test_malformed_did_key_is_refused(ed_key, text):
    with pytest.raises(KeyMalformed):
        key_formats.read_did_key(text.format(m=ed_key.public.multibase))


BLOCK = "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        BLOCK.format(""),
        BLOCK.format("AAAA"),
        BLOCK.format("A"),
        BLOCK.format("A=AA"),
        BLOCK.format("é"),
        BLOCK.format("MCowBQYDK2VwAyEA"),
        BLOCK.format("MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=") * 2,
        BLOCK.format("MCowBQYDK2VuAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs="),
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END RSA PUBLIC KEY-----",
        "x" * (key_formats.PEM_CHARS_MAX + 1),
        BLOCK.format(" " * key_formats.PEM_CHARS_MAX),
    ],
    ids=[
        "empty",
        "text",
        "no DER",
        "short DER",
        "half base64",
        "padding inside",
        "not ASCII",
        "cut",
        "twice",
        "X25519",
        "certificate",
        "two labels",
        "too long",
        "too much white",
    ],
)
def test_malformed_pem_is_refused(text):
    with pytest.raises(KeyMalformed):
        key_formats.read_pem(text, **NAMES)


@pytest.mark.parametrize("name", ["dsa_pub.pem", "koblitzCurve.pub"])
@needs_vectors
def test_unsupported_key_type_is_refused(name):
    text = (VECTORS / "http-signatures" / "ccg-test-suite" / name).read_text()
    with pytest.raises(KeyMalformed):
        key_formats.read_pem(text, **NAMES)


def test_private_key_is_refused_as_a_public_key(ed_key):
    with pytest.raises(KeyMalformed):
        key_formats.read_pem(ed_key.pem(), **NAMES)


def spki_of(n, e):
    """Return the DER form of a public key, written by hand so that no library refuses it before apcore does."""

    def encode_number(value):
        raw = value.to_bytes(value.bit_length() // 8 + 1, "big")
        return b"\x02" + encode_length(raw) + raw

    def encode_length(raw):
        if len(raw) < 128:
            return bytes([len(raw)])
        size = len(raw).to_bytes((len(raw).bit_length() + 7) // 8, "big")
        return bytes([0x80 | len(size)]) + size

    def encode_value(tag, raw):
        return bytes([tag]) + encode_length(raw) + raw

    pkcs1 = encode_value(0x30, encode_number(n) + encode_number(e))
    rsa_encryption = bytes.fromhex("300d06092a864886f70d0101010500")
    return encode_value(0x30, rsa_encryption + encode_value(0x03, b"\x00" + pkcs1))


ODD = {bits: (1 << bits) - 1 - 2 * (bits % 7) for bits in (512, 1023, 1024, 2048, 8192, 8193, 16384)}


@pytest.mark.parametrize(
    ("n", "e"),
    [
        (ODD[512], 65537),
        (ODD[1023], 65537),
        (ODD[8193], 65537),
        (ODD[16384], 65537),
        (ODD[2048] - 1, 65537),
        (ODD[2048], 1),
        (ODD[2048], 2),
        (ODD[2048], 65536),
        (ODD[2048], (1 << 40) + 1),
        (ODD[2048], ODD[1024]),
    ],
    ids=["512", "1023", "8193", "16384", "even modulus", "e=1", "e=2", "even e", "e of 41 bits", "e of 1024 bits"],
)
def test_unfit_rsa_key_is_refused(n, e):
    with pytest.raises((KeyWeak, KeyMalformed)):
        key_formats.read_spki(spki_of(n, e), **NAMES)


@pytest.mark.parametrize("e", [3, 17, 65537, (1 << 32) + 1])
@pytest.mark.parametrize("bits", [1024, 2048, 8192])
def test_rsa_key_at_the_limits_is_read(bits, e):
    assert key_formats.read_spki(spki_of(ODD[bits], e), **NAMES).bits == bits


# Compute the points of small order with slow, plain Edwards arithmetic, rather than copy a list of them.
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def add(first, second):
    (x1, y1), (x2, y2) = first, second
    product = D * x1 * x2 * y1 * y2 % P
    return (
        (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P,
    )


def x_of(y):
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    return x if (x * x - square) % P == 0 else None


def small_order_points():
    """Yield points of small order: the order of the large subgroup times any point is one."""
    order = 2**252 + 27742317777372353535851937790883648493
    for y in range(2, 60):
        x = x_of(y)
        if x is None:
            continue
        total, point, factor = (0, 1), (x, y), order
        while factor:
            if factor & 1:
                total = add(total, point)
            point = add(point, point)
            factor >>= 1
        yield total


def test_every_point_of_small_order_is_refused():
    ys = {y for _, y in small_order_points()}
    # Five values of y, with either sign: eight points.
    assert len(ys) == 5
    for y in ys:
        for encoded_y in (y, y + P):
            for sign in (0, 1 << 255):
                if encoded_y < 1 << 255:
                    raw = (encoded_y | sign).to_bytes(32, "little")
                    with pytest.raises(KeyWeak):
                        key_formats.read_multikey(multibase.encode(b"\xed\x01" + raw), **NAMES)


def test_point_above_the_field_is_refused():
    with pytest.raises(KeyWeak):
        key_formats.read_multikey(multibase.encode(b"\xed\x01" + (P + 5).to_bytes(32, "little")), **NAMES)


@pytest.mark.parametrize(
    "raw",
    [
        "ed01" + "00" * 31,
        "ed01" + "00" * 33,
        "e701" + "02" * 33,
        "8024" + "02" + "ff" * 32,
        "8524" + "3000",
        "8026" + "11" * 32,
        "ed01",
    ],
)
def test_malformed_multikey_is_refused(raw):
    with pytest.raises(KeyMalformed):
        key_formats.read_multikey(multibase.encode(bytes.fromhex(raw)), **NAMES)


def test_rsa_multikey_must_be_pkcs1(rsa_key):
    with pytest.raises(KeyMalformed, match="PKCS #1"):
        key_formats.read_multikey(multibase.encode(b"\x85\x24" + rsa_key.public.spki), **NAMES)


GARBAGE = st.text(max_size=200) | st.builds(
    BLOCK.format, st.binary(max_size=120).map(lambda raw: b64encode(raw).decode())
)


@given(GARBAGE)
def test_garbage_pem_is_refused(text):
    with pytest.raises(SignatureError):
        key_formats.read_pem(text, **NAMES)


@given(st.binary(max_size=300))
def test_garbage_der_is_refused(der):
    with pytest.raises(SignatureError):
        key_formats.read_spki(der, **NAMES)


@given(st.data())
def test_key_with_a_changed_byte_is_another_key_or_refused(rsa_key, ed_key, data):
    spki = bytearray(data.draw(st.sampled_from([rsa_key, ed_key])).public.spki)
    spki[data.draw(st.integers(0, len(spki) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        key = key_formats.read_spki(bytes(spki), **NAMES)
    except ApcoreError:
        return
    assert key.spki not in {rsa_key.public.spki, ed_key.public.spki}


@given(st.binary(max_size=60), st.sampled_from([b"\xed\x01", b"\x80\x24", b"\x81\x24", b"\x85\x24", b""]))
def test_garbage_multikey_is_refused_or_reads_back(raw, prefix):
    try:
        key = key_formats.read_multikey(multibase.encode(prefix + raw), **NAMES)
    except SignatureError:
        return
    assert key.multibase == multibase.encode(prefix + raw)


@pytest.mark.parametrize("kind", ["rsa", "ed25519", "p256", "p384"])
def test_private_key_reads_back(any_key, kind):
    key = any_key[kind]
    names = {"key_id": key.key_id, "owner": key.public.owner}
    for read_key in (
        key_formats.read_private_pem(key.pem(), **names, trusted=True),
        key_formats.read_private_der(key.der(), **names, trusted=True),
    ):
        assert read_key.public == key.public
        key.public.verify(read_key.sign(b"x"), b"x", key.public.choose_algorithm())


@pytest.mark.parametrize("text", ["", "nonsense", "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----"])
def test_malformed_private_pem_is_refused(text):
    with pytest.raises(ValueError, match="key https"):
        key_formats.read_private_pem(text, **NAMES)


@pytest.mark.parametrize(
    "text", ["", "zzz", "z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2"], ids=["empty", "cut", "a public one"]
)
def test_malformed_secret_multikey_is_refused(text):
    with pytest.raises(ValueError, match="key https"):
        key_formats.read_private_multikey(text, **NAMES)


def test_short_rsa_key_is_read_but_not_generated():
    with pytest.raises(ValueError, match="rsa-512"):
        key_formats.generate_key("rsa-512", **NAMES)
    short = rsa.generate_private_key(65537, 1024)
    from cryptography.hazmat.primitives.serialization import NoEncryption, PrivateFormat

    der = short.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert key_formats.read_private_der(der, **NAMES).public.bits == 1024


def test_unfit_private_key_is_refused_in_words(rsa_key):
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import NoEncryption, PrivateFormat

    for native in (X25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256K1())):
        der = native.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        with pytest.raises(ValueError, match=r"not supported"):
            key_formats.read_private_der(der, **NAMES)
    with pytest.raises(ValueError, match="declared for ed25519"):
        key_formats.read_private_der(rsa_key.der(), **NAMES, algorithm="ed25519", trusted=True)


@needs_vectors
def test_fep_521a_multikeys_are_read():
    ed, by_rsa = load_json("integrity-proofs/fep-521a.json")["cases"]
    for case in (ed, by_rsa):
        key = key_formats.read_multikey(case["multikey"]["publicKeyMultibase"], **NAMES)
        assert key.multibase == case["multikey"]["publicKeyMultibase"]
    assert (
        key_formats.read_multikey(ed["multikey"]["publicKeyMultibase"], **NAMES)._native.public_bytes_raw().hex()
        == ed["rawPublicKeyHex"]
    )
    assert key._native.public_bytes(Encoding.DER, PublicFormat.PKCS1).hex() == by_rsa["pkcs1DerHex"]


@needs_vectors
def test_secret_multikey_has_its_public_key():
    file = load_json("integrity-proofs/fep-8b32.json")
    key = key_formats.read_private_multikey(file["secretKeyMultibase"], **NAMES)
    assert key.public.multibase == file["publicKeyMultibase"]
