"""Check key encoding: bytes sort like keys, prefixes bound their extensions, and only valid encodings are read."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from apcore.ports import KEY_BYTES_MAX, KEY_PARTS_MAX, decode_key, digest_part, encode_key, prefix_bounds

# Mostly the difficult characters: NUL and its neighbours, the ends of each UTF-8 length, both sides of the surrogates.
CHARACTERS = st.sampled_from(
    "\x00\x01\x7f\x80\xff\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffffab"
) | st.characters(exclude_categories=["Cs"])
PARTS = st.text(CHARACTERS, max_size=5)
KEYS = st.lists(PARTS, min_size=1, max_size=4).map(tuple)
PREFIXES = st.lists(PARTS, max_size=4).map(tuple)


@given(KEYS)
def test_key_reads_back(key):
    assert decode_key(encode_key(key)) == key


@given(KEYS, KEYS)
@example(("a",), ("a", ""))
@example(("a",), ("a\x00",))
@example(("a\x00",), ("a", "\x00"))
@example(("\uffff",), ("\U00010000",))
def test_byte_order_equals_key_order(first, second):
    assert (encode_key(first) < encode_key(second)) == (first < second)
    assert (encode_key(first) == encode_key(second)) == (first == second)


@given(PREFIXES, KEYS)
@example(("a",), ("a",))
@example(("a",), ("a\x00b",))
@example(("a",), ("a", "b"))
@example((), ("",))
def test_prefix_bounds_contain_exactly_the_longer_keys(prefix, key):
    low, high = prefix_bounds(prefix)
    assert (low < encode_key(key) < high) == (len(key) > len(prefix) and key[: len(prefix)] == prefix)


@given(PREFIXES, KEYS)
def test_every_extension_lies_within_the_prefix_bounds(prefix, suffix):
    low, high = prefix_bounds(prefix)
    assert low < encode_key(prefix + suffix) < high


@given(st.binary(max_size=12))
def test_only_valid_encodings_are_read(encoded):
    try:
        key = decode_key(encoded)
    except ValueError:
        return
    assert encode_key(key) == encoded


@pytest.mark.parametrize(
    ("key", "encoded"),
    [
        (("",), b"\x00"),
        (("", ""), b"\x00\x00"),
        (("a", "b"), b"a\x00b\x00"),
        (("a\x00b",), b"a\x00\xffb\x00"),
        (("\x00",), b"\x00\xff\x00"),
        (("é", "\U0001f600"), b"\xc3\xa9\x00\xf0\x9f\x98\x80\x00"),
    ],
)
def test_encodings_of_stored_keys_never_change(key, encoded):
    assert encode_key(key) == encoded
    assert decode_key(encoded) == key


@pytest.mark.parametrize(
    "encoded",
    [b"", b"a", b"\xff\x00", b"a\x00\xff", b"\xc3\x00", b"\xed\xa0\x80\x00", b"a\x00" * 17],
    ids=repr,
)
def test_malformed_encoding_is_refused(encoded):
    with pytest.raises(ValueError):
        decode_key(encoded)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        pytest.param((), "1 to 16 strings", id="empty"),
        pytest.param(("a",) * 17, "1 to 16 strings", id="seventeen"),
        pytest.param(["a"], "a key is a tuple", id="list"),
        pytest.param("a", "a key is a tuple", id="string"),
        pytest.param(None, "a key is a tuple", id="none"),
        pytest.param(("a", 1), "every part of a key must be a string", id="number"),
        pytest.param(("a", b"b"), "every part of a key must be a string", id="bytes"),
        pytest.param(("a", None), "every part of a key must be a string", id="none-part"),
        pytest.param(("\ud800",), "must not contain lone surrogates", id="high-surrogate"),
        pytest.param(("a\udfff\x00",), "must not contain lone surrogates", id="low-surrogate-with-nul"),
        pytest.param(("a" * 1024,), "at most 1024 bytes encoded, not 1025", id="long"),
        pytest.param(("é" * 512,), "at most 1024 bytes encoded, not 1025", id="long-in-bytes"),
        pytest.param(("\x00" * 512,), "at most 1024 bytes encoded, not 1025", id="long-by-nuls"),
    ],
)
def test_invalid_key_is_refused_in_words(key, words):
    with pytest.raises(ValueError, match=words) as exc_info:
        encode_key(key)
    assert len(str(exc_info.value)) < 200
    if key != ():
        with pytest.raises(ValueError):
            prefix_bounds(key)


def test_longest_keys_are_accepted():
    longest = ("a" * (KEY_BYTES_MAX - 1),)
    assert len(encode_key(longest)) == KEY_BYTES_MAX
    assert decode_key(encode_key(("",) * KEY_PARTS_MAX)) == ("",) * KEY_PARTS_MAX


@given(
    st.text(st.characters() | st.sampled_from("\ud800\udfff")),
    st.text(st.characters() | st.sampled_from("\ud800\udfff")),
)
def test_digest_of_any_string_has_43_plain_characters(first, second):
    assume(first != second)
    name = digest_part(first)
    assert (len(name), name.replace("-", "a").replace("_", "a").isalnum(), name.isascii()) == (43, True, True)
    assert digest_part(first) == name != digest_part(second)


def test_stored_digests_never_change():
    assert digest_part("https://a.example/users/alice") == "KCTDQ7mVhkHDlEEiDQcZekH_4MIryCq3zMGfqQ2WcaM"
