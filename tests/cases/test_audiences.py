"""Try audiences of posts that public bug reports describe: unlisted posts, and actors that are only named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apcore.vocab import Note, joint_audience, read_document
from local_server import ALICE, BOB, FOLLOWERS, PUBLIC_URI, LocalServer


# snarfed/bridgy-fed#372, Plume-org/Plume#77
@pytest.mark.parametrize("to", [None, FOLLOWERS])
def test_unlisted_post_has_one_audience_and_is_served(to: str | None) -> None:
    server = LocalServer()
    server.become_follower(server.bob)
    note_id = server.node.publish(Note(content="unlisted", to=[FOLLOWERS], cc=[PUBLIC_URI]), by="alice", to=to)
    server.work()
    create = server.bob.received[-1].activity
    for document in (create, create["object"]):
        assert (document["to"], document["cc"]) == ([FOLLOWERS], [PUBLIC_URI])
    assert joint_audience(read_document(json.dumps(create).encode())).visibility.value == "unlisted"
    assert server.request(note_id).status == 200
    assert server.items(f"{ALICE}/outbox") == []


# pixelfed/pixelfed#1637, hyphacoop/social.distributed.press#14
@pytest.mark.parametrize("member", ["to", "cc", "bto", "bcc", "audience"])
def test_actor_named_anywhere_gets_the_post_once(member: str) -> None:
    server = LocalServer()
    audience: dict[str, Any] = {"to": [PUBLIC_URI]}
    audience[member] = [*audience.get(member, []), BOB]
    server.node.publish(Note(content="@bob hello", **audience), by="alice")
    server.work()
    (delivery,) = server.bob.received
    named = delivery.activity.get(member, [])
    assert (BOB in named) == (member not in {"bto", "bcc"})
