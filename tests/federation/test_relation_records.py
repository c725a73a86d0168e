"""Check that relation records of earlier releases are read, and that new ones have the same keys and members."""

from __future__ import annotations

import json

import pytest

from apcore.federation.relations.records import (
    DELETED_ACTORS,
    FOLLOW_IDS,
    LEGACY_FOLLOWS,
    MET_ACTORS,
    RELATIONS,
    ActorKey,
    DeletedActorRecord,
    FollowIdKey,
    FollowIdRecord,
    LegacyFollowKey,
    LegacyFollowRecord,
    MetActorRecord,
    RelationKey,
    RelationRecord,
)
from apcore.federation.relations.table import Direction
from apcore.ports import digest_part

US, THEM, FOLLOW = "https://home.example/people/anna", "https://away.example/@mila", "https://away.example/follows/1"

# Each row is a value as the release before this one wrote it, with its key and the record that it is read as.
STORED = [
    (
        ("relation", "1", digest_part(THEM), digest_part(US), "inbound"),
        b'{"v":1,"direction":"inbound","us":"%s","them":"%s","members":"%s/followers","state":"accepted",'
        b'"follow_ids":["%s"],"answer_id":"%s#accept/1"}\n{"inbox":"x"}'
        % (US.encode(), THEM.encode(), US.encode(), FOLLOW.encode(), US.encode()),
        RELATIONS,
        RelationKey.of(Direction.INBOUND, US, THEM),
        RelationRecord(
            direction="inbound",
            us=US,
            them=THEM,
            members=f"{US}/followers",
            state="accepted",
            follow_ids=(FOLLOW,),
            answer_id=f"{US}#accept/1",
            body=b'{"inbox":"x"}',
        ),
    ),
    (
        ("follow", "1", digest_part(US), digest_part(THEM)),
        b'{"v":1,"id":"%s#follow/1","state":"asked","object":"%s"}\n' % (US.encode(), THEM.encode()),
        LEGACY_FOLLOWS,
        LegacyFollowKey.of(US, THEM),
        LegacyFollowRecord(id=f"{US}#follow/1", state="asked", object=THEM),
    ),
    (
        ("followed", "1", digest_part(THEM), digest_part(FOLLOW)),
        b'{"v":1,"follower":"%s","us":"%s","identifier":"anna"}\n' % (THEM.encode(), US.encode()),
        FOLLOW_IDS,
        FollowIdKey.of(THEM, FOLLOW),
        FollowIdRecord(follower=THEM, us=US, identifier="anna"),
    ),
    (
        ("met", "1", digest_part(THEM)),
        b'{"v":1,"actor":"%s"}\n' % THEM.encode(),
        MET_ACTORS,
        ActorKey.of(THEM),
        MetActorRecord(actor=THEM),
    ),
    (
        ("gone", "1", digest_part(THEM)),
        b'{"v":1,"actor":"%s"}\n' % THEM.encode(),
        DELETED_ACTORS,
        ActorKey.of(THEM),
        DeletedActorRecord(actor=THEM),
    ),
]


@pytest.mark.parametrize(
    ("store_key", "value", "kind", "key", "record"), STORED, ids=lambda part: part.__class__.__name__
)
def test_record_of_the_previous_release_is_read_and_written_alike(store_key, value, kind, key, record):
    assert kind.key(key) == store_key
    assert kind.decode(value) == record
    assert kind.encode(record) == value


def test_earlier_answers_are_stored_beside_the_newest():
    record = RelationRecord(
        direction="inbound", us=US, them=THEM, members="", state="accepted", answer_id="b", earlier_answer_ids=("a",)
    )
    members = json.loads(RELATIONS.encode(record))
    assert (members["answer_id"], members["earlier_answer_ids"]) == ("b", ["a"])
