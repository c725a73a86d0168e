"""Check that records of earlier releases are read, and that new ones have the same keys and members."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from apcore.federation.inbox.records import (
    CLAIMS,
    DEAD_ACTIVITIES,
    RECEIVED_ACTIVITIES,
    USED_SIGNATURES,
    ClaimKey,
    ClaimRecord,
    DeadActivityRecord,
    ReceivedActivityRecord,
    UsedSignatureKey,
    UsedSignatureRecord,
)
from apcore.federation.inbox.states import ClaimState
from apcore.ports import digest_part

HERE, ACTOR, ACTIVITY = "https://local.example", "https://remote.example/users/bob", "https://remote.example/1"
KEY = ClaimKey.of(ACTOR, ACTIVITY, HERE, "alice")
PARTS = tuple(digest_part(part) for part in (ACTOR, ACTIVITY, HERE, "alice"))
BODY = b'{"type":"Like"}'
# Each value is as the release before this one wrote it.
WAITING = (
    b'{"v":1,"origin":"https://local.example","actor":"https://remote.example/users/bob",'
    b'"id":"https://remote.example/1","recipient":"alice","means":"http-signature",'
    b'"key_id":"https://remote.example/users/bob#main-key","silenced":true,"received":1767268800000,"seed":"00ff"%s}\n'
    + BODY
)
RECORD = ReceivedActivityRecord(
    origin=HERE,
    actor=ACTOR,
    activity_id=ACTIVITY,
    recipient="alice",
    auth_method="http-signature",
    key_id=f"{ACTOR}#main-key",
    silenced=True,
    received=datetime(2026, 1, 1, 12, tzinfo=UTC),
    seed="00ff",
    body=BODY,
)


def test_keys_are_those_of_the_previous_release():
    assert CLAIMS.key(KEY) == ("in", "1", *PARTS)
    assert CLAIMS.at(*KEY[:-1]) == ("in", "1", *PARTS[:-1])
    assert RECEIVED_ACTIVITIES.key(KEY) == ("in-todo", "1", *PARTS)
    assert DEAD_ACTIVITIES.key(KEY) == ("dead", "in-todo", "1", *PARTS)
    shared_inbox = ClaimKey.of(ACTOR, ACTIVITY, HERE, None)
    assert CLAIMS.key(shared_inbox) == ("in", "1", *PARTS[:-1], digest_part(""))
    signature_key = UsedSignatureKey.of("https://remote.example/key", "nonce 1")
    assert USED_SIGNATURES.key(signature_key) == (
        "used",
        "1",
        digest_part("https://remote.example/key"),
        digest_part("nonce 1"),
    )


@pytest.mark.parametrize(
    ("value", "state"),
    [
        (b'{"v":1,"state":"pending","id":"https://remote.example/1"}\n', ClaimState.PENDING),
        (b'{"v":1,"state":"done","id":"https://remote.example/1"}\n', ClaimState.HANDLED),
        (b'{"v":1,"state":"done","id":"https://remote.example/1","reason":"dead"}\n', ClaimState.DEAD),
        (b'{"v":1,"state":"done","id":"https://remote.example/1","reason":"spam"}\n', ClaimState.DROPPED),
    ],
)
def test_claim_is_read_and_written_alike(value, state):
    record = CLAIMS.decode(value)
    assert record.state is state
    assert CLAIMS.encode(record) == value
    reason = record.reason if state is ClaimState.DROPPED else None
    assert ClaimRecord.of(state, ACTIVITY, reason=reason) == record


def test_waiting_activity_is_read_and_stays_the_same_record():
    assert RECEIVED_ACTIVITIES.decode(WAITING % b"") == RECORD
    assert RECEIVED_ACTIVITIES.decode(RECEIVED_ACTIVITIES.encode(RECORD)) == RECORD


def test_failed_activity_gives_its_attempts_and_due_time():
    record = RECEIVED_ACTIVITIES.decode(WAITING % b',"attempts":2,"due":1767268860000,"put_off":1767268800000')
    assert record.attempts == 2
    assert record.due_in_s(datetime(2026, 1, 1, 12, tzinfo=UTC)) == 60.0


def test_dead_letter_is_read():
    letter = DEAD_ACTIVITIES.decode(WAITING % b',"attempts":10,"reason":"ValueError: no","died":1767268800000')
    assert isinstance(letter, DeadActivityRecord)
    assert (letter.activity_id, letter.attempts, letter.reason, letter.body) == (ACTIVITY, 10, "ValueError: no", BODY)


def test_used_signature_is_read_and_written_alike():
    value = b'{"v":1,"by":"[\\"in\\",\\"1\\"]"}\n'
    assert USED_SIGNATURES.decode(value) == UsedSignatureRecord(claim='["in","1"]')
    assert USED_SIGNATURES.encode(UsedSignatureRecord(claim='["in","1"]')) == value
