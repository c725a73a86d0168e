"""Check the bounds of the store's arguments, on both sides of each, and counters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.ports import (
    COMMIT_BYTES_MAX,
    VALUE_BYTES_MAX,
    Check,
    DeleteEntry,
    EncodedCommit,
    Entry,
    Increment,
    Put,
    check_commit,
    check_get,
    check_scan,
    encode_key,
    sum_counter,
)

T = b"t" * 16
BIG = bytes(VALUE_BYTES_MAX)


def make_keys(count: int) -> list[tuple[str, ...]]:
    return [("k", str(number)) for number in range(count)]


# --- get and scan ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 100])
def test_get_encodes_its_keys_in_their_order(count):
    assert check_get(make_keys(count)) == [encode_key(key) for key in make_keys(count)]


@pytest.mark.parametrize(
    ("requested_keys", "words"),
    [(make_keys(101), "at most 100 keys, not 101"), ([("a",), ()], "a key is a tuple"), (["a"], "a key is a tuple")],
    ids=["101", "empty-key", "string"],
)
def test_get_refuses_invalid_keys(requested_keys, words):
    with pytest.raises(ValueError, match=words):
        check_get(requested_keys)


@pytest.mark.parametrize("limit", [1, 1000])
def test_scan_accepts_limits_from_1_to_1000(limit):
    assert check_scan(("a",), None, limit, reverse=False) == (b"a\x00", b"a\x00\xff")


@pytest.mark.parametrize(
    ("prefix", "after", "limit", "words"),
    [
        pytest.param(("a",), None, 0, "limit of 1 to 1000, not 0", id="limit-0"),
        pytest.param(("a",), None, -1, "limit of 1 to 1000, not -1", id="limit-negative"),
        pytest.param(("a",), None, 1001, "limit of 1 to 1000, not 1001", id="limit-1001"),
        pytest.param("a", None, 1, "a prefix is a tuple", id="prefix-string"),
        pytest.param(("a",) * 17, None, 1, "a prefix is a tuple", id="prefix-of-17"),
        pytest.param(("a",), (), 1, "a key is a tuple", id="after-empty"),
        pytest.param(("a",), ("\ud800",), 1, "lone surrogates", id="after-surrogate"),
    ],
)
def test_scan_refuses_invalid_arguments(prefix, after, limit, words):
    with pytest.raises(ValueError, match=words):
        check_scan(prefix, after, limit, reverse=False)


PARTS = st.text(st.sampled_from("\x00\x01ab\xff"), max_size=2)
KEYS = st.lists(PARTS, min_size=1, max_size=3).map(tuple)


@given(st.lists(PARTS, max_size=2).map(tuple), st.none() | KEYS, KEYS, st.booleans())
def test_scan_bounds_contain_exactly_the_keys_after_the_start(prefix, after, key, reverse):
    low, high = check_scan(prefix, after, 1, reverse=reverse)
    within = len(key) > len(prefix) and key[: len(prefix)] == prefix
    if after is not None:
        within = within and (key < after if reverse else key > after)
    assert (low < encode_key(key) < high) == within


# --- commit ---------------------------------------------------------------------------------------------------------


def test_commit_is_encoded():
    checks = (Check(("a",), None), Check(("b",), T))
    writes = (Put(("a",), b"v", 0.5), DeleteEntry(("c",)), Increment(("n",), -5))
    assert check_commit(checks, writes, T) == EncodedCommit(
        [(b"a\x00", None), (b"b\x00", T)], [(b"a\x00", writes[0]), (b"c\x00", writes[1]), (b"n\x00", writes[2])], T
    )


@pytest.mark.parametrize(
    ("checks", "writes"),
    [
        pytest.param((), (), id="nothing"),
        pytest.param([Check(key, None) for key in make_keys(100)], (), id="100-checks"),
        pytest.param((), [DeleteEntry(key) for key in make_keys(100)], id="100-writes"),
        pytest.param(
            [Check(key, None) for key in make_keys(100)],
            [Put(key, b"") for key in make_keys(100)],
            id="100-keys-in-both",
        ),
        pytest.param((), [Put(("a",), BIG, ttl_s=1e-9)], id="2-MiB"),
        pytest.param((), [Put(("a",), b"", ttl_s=1e12)], id="long-ttl"),
        pytest.param((), [Put((str(n),), bytes(VALUE_BYTES_MAX - 2)) for n in range(4)], id="8-MiB"),
        pytest.param((), [Increment(("a",), 2**63 - 1), Increment(("b",), -(2**63))], id="64-bits"),
    ],
)
def test_commit_within_its_bounds_is_accepted(checks, writes):
    encoded = check_commit(checks, writes, T)
    assert (len(encoded.checks), len(encoded.writes)) == (len(checks), len(writes))


@pytest.mark.parametrize(
    ("checks", "writes", "token", "words"),
    [
        pytest.param((), (), b"t" * 15, "a token is 16 bytes", id="token-15"),
        pytest.param((), (), b"t" * 17, "a token is 16 bytes", id="token-17"),
        pytest.param((), (), "t" * 16, "a token is 16 bytes", id="token-text"),
        pytest.param((), (), None, "a token is 16 bytes", id="token-none"),
        pytest.param((Check(("a",), b""),), (), T, "a version is 16 bytes", id="version-empty"),
        pytest.param((Check(("a",), "t" * 16),), (), T, "a version is 16 bytes", id="version-text"),
        pytest.param((Check(("a",), None), Check(("a",), T)), (), T, "twice in the checks", id="check-twice"),
        pytest.param((), (Put(("a",), b""), DeleteEntry(("a",))), T, "twice in the writes", id="write-twice"),
        pytest.param((), (Increment(("a",), 1), Increment(("a",), 1)), T, "twice in the writes", id="add-twice"),
        pytest.param((Check((), None),), (), T, "a key is a tuple", id="check-key"),
        pytest.param((), (DeleteEntry(("\udc00",)),), T, "lone surrogates", id="write-key"),
        pytest.param(
            (), [DeleteEntry(key) for key in make_keys(101)], T, "at most 100 distinct keys, not 101", id="101-writes"
        ),
        pytest.param(
            [Check(("c", str(n)), None) for n in range(51)],
            [DeleteEntry(("d", str(n))) for n in range(50)],
            T,
            "at most 100 distinct keys, not 101",
            id="101-keys-in-both",
        ),
        pytest.param(
            (), (Put(("a",), BIG + b"x"),), T, f"at most {VALUE_BYTES_MAX} bytes, not {VALUE_BYTES_MAX + 1}", id="value"
        ),
        pytest.param((), (Put(("a",), "text"),), T, "bytes, not a str", id="value-text"),
        pytest.param(
            (),
            [Put((str(n),), BIG) for n in range(4)],
            T,
            f"at most {COMMIT_BYTES_MAX} bytes, not {COMMIT_BYTES_MAX + 8}",
            id="commit",
        ),
        pytest.param((), (Increment(("a",), 2**63),), T, "must be a signed 64-bit number", id="delta-high"),
        pytest.param((), (Increment(("a",), -(2**63) - 1),), T, "must be a signed 64-bit number", id="delta-low"),
        pytest.param((), (Increment(("a",), 1.5),), T, "must be a signed 64-bit number", id="delta-float"),
        *[
            pytest.param((), (Put(("a",), b"", ttl_s=ttl),), T, "must be a positive number", id=f"ttl-{ttl}")
            for ttl in (0, -1, float("nan"), float("inf"))
        ],
    ],
)
def test_commit_out_of_bounds_is_refused_in_words(checks, writes, token, words):
    with pytest.raises(ValueError, match=words) as exc_info:
        check_commit(checks, writes, token)
    assert len(str(exc_info.value)) < 300


def test_repr_never_shows_values():
    for value in (Put(("k",), b"secret"), Entry(("k",), b"secret", T)):
        assert "secret" not in repr(value)


# --- counters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "delta", "total"),
    [
        (None, 0, b"0"),
        (None, -7, b"-7"),
        (b"41", 1, b"42"),
        (b"-1", 1, b"0"),
        (b"9223372036854775806", 1, b"9223372036854775807"),
        (b"9223372036854775807", 1, None),
        (b"-9223372036854775808", 0, b"-9223372036854775808"),
        (b"-9223372036854775808", -1, None),
        (b"", 1, None),
        (b"-", 1, None),
        (b"+1", 1, None),
        (b" 1", 1, None),
        (b"1_0", 1, None),
        (b"1.0", 1, None),
        ("\u0661".encode(), 1, None),
        (b"\xff", 1, None),
        (b"9" * 5000, 1, None),
    ],
    ids=repr,
)
def test_counter_is_incremented_or_refused(value, delta, total):
    assert sum_counter(value, delta) == total


@given(st.binary(max_size=25), st.integers(-(2**63), 2**63 - 1))
def test_any_value_is_a_counter_or_refused_as_one(value, delta):
    total = sum_counter(value, delta)
    assert total is None or int(total) == int(value) + delta
