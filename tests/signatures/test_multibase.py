"""Check multibase: the suite's rows, round trips, and typed errors for everything else."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.signatures import multibase
from apcore.signatures.errors import KeyMalformed
from vector_files import VECTORS, needs_vectors

READ = {"base58btc": "z", "base64url": "u", "base16": "f", "base16upper": "F"}


def suite_rows():
    for path in sorted((VECTORS / "multibase").glob("*.csv")) if VECTORS.is_dir() else ():
        (_, plain), *cases = csv.reader(path.read_text(encoding="utf-8").splitlines(), skipinitialspace=True)
        for encoding, text in cases:
            yield encoding, text, plain.encode().replace(b"\\x00", b"\x00")


@needs_vectors
def test_supported_bases_of_the_suite_are_read():
    read_encodings, refused_encodings = [], []
    for encoding, text, plain in suite_rows():
        if encoding in READ:
            assert multibase.decode(text, bases="zufF") == plain
            read_encodings.append(encoding)
        else:
            with pytest.raises(KeyMalformed):
                multibase.decode(text, bases="zufF")
            refused_encodings.append(encoding)
    assert (len(read_encodings), len(refused_encodings)) == (14, 67)


@given(st.binary(max_size=300))
def test_encoded_value_reads_back(data):
    assert multibase.decode(multibase.encode(data)) == data


@given(st.binary(max_size=40))
def test_leading_zero_bytes_are_written_as_ones(data):
    zeros = len(data) - len(data.lstrip(b"\x00"))
    text = multibase.base58_encode(data)
    assert len(text) - len(text.lstrip("1")) == zeros


@given(st.text(max_size=60) | st.from_regex(r"[zufF][0-9A-Za-z_=-]{0,60}", fullmatch=True))
def test_garbage_is_refused_or_reads_back(text):
    try:
        decoded = multibase.decode(text, bases="zufF")
    except KeyMalformed:
        return
    if text[0] == "z":
        assert multibase.encode(decoded) == text


@pytest.mark.parametrize(
    "text",
    ["", "z0", "zO", "zI", "zl", "z ", "zé", "m", "hello", "u=", "uQQ==", "uA", "uQR", "f0", "fxx", "z" + "1" * 2048],
)
def test_malformed_value_is_refused(text):
    with pytest.raises(KeyMalformed):
        multibase.decode(text, bases="zufF")


def test_length_is_bounded_when_reading_and_writing():
    longest = b"\xff" * 1400
    assert multibase.decode(multibase.encode(longest)) == longest
    with pytest.raises(KeyMalformed, match="at most 2048"):
        multibase.base58_decode("2" * 2049)
    with pytest.raises(ValueError, match="2048 characters"):
        multibase.encode(b"\xff" * 1600)


@pytest.mark.parametrize(
    ("data", "codec"), [("ed01aa", 0xED), ("8524aa", 0x1205), ("8024", 0x1200), ("8026", 0x1300), ("01", 1)]
)
def test_multicodec_prefix_is_split_off(data, codec):
    raw = bytes.fromhex(data)
    read_codec, rest = multibase.read_varint(raw)
    assert read_codec == codec
    assert raw.endswith(rest)


@pytest.mark.parametrize(
    "data", ["", "ed", "ed80", "ed8001", "8000"], ids=["none", "cut", "open", "three", "not minimal"]
)
def test_malformed_multicodec_prefix_is_refused(data):
    with pytest.raises(KeyMalformed):
        multibase.read_varint(bytes.fromhex(data))
