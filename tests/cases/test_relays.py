"""Try to subscribe to a relay as public bug reports describe it (FEP-ae0c)."""

from __future__ import annotations

import pytest

from apcore.vocab import Follow
from local_server import ALICE, LOCAL, PUBLIC_URI, LocalServer

RELAY = "https://relay.example/actor"


# mastodon/mastodon#7998, superseriousbusiness/gotosocial#1123
@pytest.mark.parametrize("sender", ["local.example", "alice"])
def test_relay_accepts_our_follow_of_the_public_collection(sender: str) -> None:
    server = LocalServer()
    relay = server.network.peer(RELAY, type="Application")
    follow_id = server.node.send(Follow(object=PUBLIC_URI), by=sender, to=RELAY)
    server.work()
    actor = ALICE if sender == "alice" else f"{LOCAL}/actor"
    follow = {"id": follow_id, "type": "Follow", "actor": actor, "object": PUBLIC_URI}
    assert relay.received[0].activity["actor"] == actor
    server.receive(relay, relay.activity("Accept", object=follow), to=None)
    # The collections of the instance actor are not served, so their addresses are fragments.
    followed_actors = f"{actor}/following" if sender == "alice" else f"{actor}#following"
    assert server.node.contains(followed_actors, RELAY)
