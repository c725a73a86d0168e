"""Check the bounds of the queue's arguments, on both sides of each."""

from __future__ import annotations

import pytest

from apcore.ports import (
    Done,
    LeasedMessage,
    Message,
    Retry,
    check_enqueue,
    check_extend,
    check_lanes,
    check_lease,
    check_settle,
)

ID = b"i" * 16
LONG = "é" * 128  # 256 bytes


def make_lease(number: int) -> LeasedMessage:
    return LeasedMessage(Message(ID, "lane", b""), number.to_bytes(16, "big"), 1)


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([], id="none"),
        pytest.param([Message(ID, "lane", b"")] * 100, id="100"),
        pytest.param([Message(ID, "", bytes(4096))], id="4-KiB"),
        pytest.param([Message(ID, LONG, b"", group=LONG, dedup=LONG)], id="labels-of-256-bytes"),
        pytest.param([Message(ID, "\x00", b"", delay_s=1e9, group="", dedup="")], id="empty-labels"),
    ],
)
def test_messages_within_their_bounds_are_accepted(messages):
    check_enqueue(messages)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        pytest.param([Message(ID, "lane", b"")] * 101, "at most 100 messages, not 101", id="101"),
        pytest.param([Message(b"i" * 15, "lane", b"")], "a message id is 16 bytes", id="id-15"),
        pytest.param([Message("i" * 16, "lane", b"")], "a message id is 16 bytes", id="id-text"),
        pytest.param([Message(ID, "lane", bytes(4097))], "at most 4096 bytes, not 4097", id="body-4097"),
        pytest.param([Message(ID, "lane", "text")], "at most 4096 bytes, not a str", id="body-text"),
        pytest.param([Message(ID, LONG + "x", b"")], "a lane has at most 256 bytes, not 257", id="lane-257"),
        pytest.param(
            [Message(ID, "a", b"", group=LONG + "x")], "a group has at most 256 bytes, not 257", id="group-257"
        ),
        pytest.param(
            [Message(ID, "a", b"", dedup=LONG + "x")], "a dedup has at most 256 bytes, not 257", id="dedup-257"
        ),
        pytest.param([Message(ID, "\ud800", b"")], "a lane must not contain lone surrogates", id="lane-surrogate"),
        pytest.param(
            [Message(ID, "a", b"", dedup="\udfff")], "a dedup must not contain lone surrogates", id="dedup-surrogate"
        ),
        pytest.param([Message(ID, None, b"")], "a lane is a string, not None", id="lane-none"),
        *[
            pytest.param(
                [Message(ID, "a", b"", delay_s=delay)], "delay_s is a number of seconds >= 0", id=f"delay-{delay}"
            )
            for delay in (-0.001, float("nan"), float("inf"))
        ],
    ],
)
def test_messages_out_of_bounds_are_refused_in_words(messages, words):
    with pytest.raises(ValueError, match=words):
        check_enqueue(messages)


def test_every_message_of_a_batch_is_checked():
    with pytest.raises(ValueError, match="a message id"):
        check_enqueue([Message(ID, "lane", b""), Message(b"", "lane", b"")])


@pytest.mark.parametrize("lanes", [("a",), ["a", "a"], ("a",) * 100, (LONG,)], ids=["one", "twice", "100", "long"])
def test_valid_lanes_are_accepted(lanes):
    check_lanes(lanes)
    check_lease(lanes, 1, 0.001)
    check_lease(lanes, 100, 1e6)


@pytest.mark.parametrize(
    ("lanes", "words"),
    [
        ((), "1 to 100 names"),
        ("lane", "1 to 100 names, not 'lane'"),
        (("a",) * 101, "1 to 100 names"),
        ((LONG + "x",), "at most 256 bytes, not 257"),
        (("\ud800",), "lone surrogates"),
        ((7,), "a lane is a string, not 7"),
    ],
    ids=["none", "string", "101", "long", "surrogate", "number"],
)
def test_invalid_lanes_are_refused_in_words(lanes, words):
    for check in (lambda: check_lanes(lanes), lambda: check_lease(lanes, 1, 1)):
        with pytest.raises(ValueError, match=words):
            check()


@pytest.mark.parametrize("limit", [0, -1, 101])
def test_lease_limit_is_bounded(limit):
    with pytest.raises(ValueError, match=f"a limit of 1 to 100, not {limit}"):
        check_lease(("a",), limit, 1)


@pytest.mark.parametrize("lease_s", [0, -1, float("nan"), float("inf")])
def test_lease_time_is_bounded(lease_s):
    with pytest.raises(ValueError, match=r"lease_s is a number of seconds >= 0\.001"):
        check_lease(("a",), 1, lease_s)
    with pytest.raises(ValueError, match=r"lease_s is a number of seconds >= 0\.001"):
        check_extend((), lease_s)


def test_number_of_extended_leases_is_bounded():
    check_extend([make_lease(number) for number in range(100)], 1)
    with pytest.raises(ValueError, match="at most 100 leases, not 101"):
        check_extend([make_lease(number) for number in range(101)], 1)


def test_number_of_settlements_is_bounded():
    check_settle([Done(make_lease(number)) if number % 2 else Retry(make_lease(number), 0) for number in range(100)])
    with pytest.raises(ValueError, match="at most 100 settlements, not 101"):
        check_settle([Done(make_lease(number)) for number in range(101)])


@pytest.mark.parametrize("delay", [-1, float("nan"), float("inf")])
def test_retry_delay_must_be_a_valid_number(delay):
    with pytest.raises(ValueError, match="delay_s is a number of seconds >= 0"):
        check_settle([Retry(make_lease(1), delay)])


def test_repeated_lease_in_one_settle_is_refused():
    with pytest.raises(ValueError, match="one lease is given twice"):
        check_settle([Done(make_lease(1)), Retry(make_lease(1), 1)])


def test_repr_never_shows_body_or_token():
    text = repr(LeasedMessage(Message(ID, "lane", b"secret"), b"fence", 1))
    assert "secret" not in text
    assert "fence" not in text
    assert ID.hex() in text
