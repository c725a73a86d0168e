"""Try follow relations that public bug reports describe: late answers, departures, and ids that are used twice."""

from __future__ import annotations

from typing import Any

import pytest

from apcore import FollowVerdict
from apcore.testing.peer import Peer
from apcore.vocab import Accept, Follow, Note, Reject, Undo
from local_server import ALICE, BOB, FOLLOWERS, LocalServer


def received_types(peer: Peer) -> list[str]:
    return [str(delivery.activity["type"]) for delivery in peer.received]


# --- a request is approved later (nextcloud/social#36, bookwyrm-social/bookwyrm#33) ----------------------------------


@pytest.mark.parametrize("answer", ["a sent Accept", "accept_follow"])
def test_follow_that_is_approved_later_makes_a_follower_who_gets_posts(answer: str) -> None:
    server = LocalServer(verdict=FollowVerdict.PENDING)
    server.become_follower(server.bob)
    assert server.members("followers") == []
    if answer == "accept_follow":
        server.node.accept_follow(BOB, by="alice")
    else:
        (follow,) = server.activities
        server.node.send(Accept(object=follow), by="alice", to=BOB)
    server.work()
    server.node.publish(Note(content="to my followers"), by="alice")
    server.work()
    assert server.members("followers") == [BOB]
    assert received_types(server.bob) == ["Accept", "Create"]


# --- we take a Follow back (mastodon/mastodon#4781, TryGhost/ActivityPub#290) ----------------------------------------


def start_following(server: LocalServer) -> dict[str, Any]:
    """Let alice follow bob, let bob accept, and return the Follow that bob received."""
    server.node.send(Follow(object=BOB), by="alice", to=BOB)
    server.work()
    follow = server.bob.received[0].activity
    server.receive(server.bob, server.bob.activity("Accept", object=follow))
    assert server.members("following") == [BOB]
    return follow


def test_undo_of_our_follow_ends_it_and_a_late_accept_changes_nothing() -> None:
    server = LocalServer()
    follow = start_following(server)
    server.node.send(Undo(object=Follow(id=follow["id"], actor=ALICE, object=BOB)), by="alice", to=BOB)
    server.work()
    assert server.members("following") == []
    server.receive(server.bob, server.bob.activity("Accept", object=follow))
    assert server.members("following") == []


# --- a follower is removed (w3c/activitypub#471, mastodon/mastodon#5708) ---------------------------------------------


@pytest.mark.parametrize("way", ["a sent Reject", "remove_follower", "block"])
def test_removed_follower_gets_no_post_for_followers(way: str) -> None:
    server = LocalServer()
    follow = server.become_follower(server.bob)
    if way == "remove_follower":
        server.node.remove_follower(BOB, by="alice")
    elif way == "block":
        server.node.block(BOB, by="alice")
    else:
        server.node.send(Reject(object=Follow(id=follow["id"], actor=BOB, object=ALICE)), by="alice", to=BOB)
    server.work()
    server.node.publish(Note(content="followers only"), by="alice", to=FOLLOWERS)
    server.work()
    assert server.members("followers") == []
    assert received_types(server.bob)[0] == "Accept"
    assert "Create" not in received_types(server.bob)


# --- a follower is deleted (mastodon/mastodon#6064, owncast/owncast#2200, pixelfed/pixelfed#1868) --------------------


def test_deleted_actor_leaves_both_collections_and_gets_no_post() -> None:
    server = LocalServer()
    start_following(server)
    server.become_follower(server.bob)
    assert server.members("followers") == server.members("following") == [BOB]
    server.receive(server.bob, server.bob.activity("Delete", object=BOB), to=None)
    assert server.members("followers") == server.members("following") == []
    server.network.exchanges.clear()
    server.node.publish(Note(content="hello"), by="alice")
    server.work()
    assert [exchange for exchange in server.network.exchanges if exchange.method == "POST"] == []


# --- ids are used twice (misskey-dev/misskey#10041, pixelfed/pixelfed#5958) ------------------------------------------


def test_follow_and_undo_with_used_ids_count_anew() -> None:
    server = LocalServer()
    follow = server.bob.activity("Follow", object=ALICE) | {"id": f"{BOB}#follows/alice"}
    undo = server.bob.activity("Undo", object=follow) | {"id": f"{BOB}#follows/alice/undo"}
    followers = []
    for activity in (follow, undo, follow, undo):
        server.receive(server.bob, activity)
        followers.append(server.members("followers"))
        server.clock.pass_s(2)  # another Date, so another signature
    assert followers == [[BOB], [], [BOB], []]
    assert received_types(server.bob) == ["Accept", "Accept"]
