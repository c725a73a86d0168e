"""Every document in the vectors' payloads arrives at an inbox, signed by a stand-in for its actor: it is taken, or refused for a reason that stands here.

The stand-in has the actor's id and a key of ours, and serves an actor at that id. Documents without a usable actor are signed by a relay, which is
how they would come if they came at all.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.errors import RequestError
from apcore.federation import Federation
from apcore.federation.wake_ups import INBOX, lanes_for
from apcore.http import AddressPolicy, parse_url
from apcore.node import Node
from apcore.testing.keys import ReusedKeys, reuse_key
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Activity, Person
from vector_files import VECTORS, needs_vectors

HERE = "https://local.example"
RELAY = "https://relay.example/actor"
KEY = reuse_key("stand-in")

PATHS = sorted(path for path in (VECTORS / "payloads").rglob("*.json") if path.name != "MANIFEST.json")

REFUSED = {
    (400, "not-an-activity"): 179,
    (401, "bad-signature"): 1,
    (403, "forbidden"): 4,
}
"""Status and reason of a refusal: how many payloads are refused so. The 401 has a proof, by a key that the stand-in does not have."""
TAKEN = 115
"""How many payloads are taken, and heard by a listener for every type of activity."""
ADDRESSES = AddressPolicy(
    plain_http=True, loopback=True, hosts=frozenset({"lemmy-alpha", "ltthostname.local", "mbin-test1"})
)
"""Some were recorded in the test set-ups of their servers, whose names and ports no public server has."""
UNHEARD = 5
"""How many are taken and heard by nobody: three of types that nobody here knows, and two who say that they are gone, whom nobody knew."""


def actor_of(body: bytes) -> str:
    """Who is to have signed: the actor if there is one that can sign, else the relay."""
    try:
        tree: Any = json.loads(body)
    except ValueError:
        return RELAY
    actor = tree.get("actor") if isinstance(tree, dict) else None
    uri = actor.get("id") if isinstance(actor, dict) else actor
    try:
        parse_url(uri)
    except (RequestError, TypeError, AttributeError):
        return RELAY
    return uri


def arrive(body: bytes) -> tuple[int, str | None, list[str]]:
    """Deliver ``body`` to a server of its own; gives the status, the reason of a refusal, and what the listener heard."""
    signer = actor_of(body)
    # Mbin's snapshots have their ids taken out.
    body = body.replace(b"SCRUBBED_ID", f"{parse_url(signer).origin}/scrubbed".encode())
    heard: list[str] = []
    federation: Federation[None] = Federation(software="test/1.0")

    @federation.actor("/users/{identifier}")
    def actor(ctx, identifier):
        return Person(preferred_username=identifier)

    @federation.on(Activity)
    def arrived(ctx, activity):
        heard.append(activity.id)

    network = PeerNetwork()
    node = Node(
        federation,
        HERE,
        MemoryStore(),
        transport=network,
        signer=ReusedKeys(),
        runtime=BlockingRuntime(),
        addresses=ADDRESSES,
    )
    answer = network.peer(signer, key=KEY).deliver(node, body)
    node.work(until_idle=True)
    waiting = node.ports.queue.depth(lanes_for(INBOX))
    assert (waiting.ready, waiting.delayed, waiting.leased) == (0, 0, 0), (
        "something of it failed, and is to be tried again"
    )
    return answer.status, json.loads(answer.body)["reason"] if answer.body else None, heard


def name_of(path: Path) -> str:
    return str(path.relative_to(VECTORS / "payloads"))


@pytest.fixture(scope="module")
def outcomes() -> dict[str, tuple[int, str | None, bool]]:
    """What became of each, filled in as the tests go."""
    return {}


@pytest.mark.parametrize("path", PATHS, ids=map(name_of, PATHS))
def test_a_payload_is_taken_or_refused_for_a_reason(path, outcomes):
    body = path.read_bytes()
    status, reason, heard = arrive(body)
    if reason is None:
        assert status == 202
        assert len(heard) <= 1
    else:
        assert (status, reason) in REFUSED
        assert not heard
    outcomes[name_of(path)] = status, reason, bool(heard)


@needs_vectors
def test_the_numbers_are_pinned(outcomes):
    assert len(PATHS) == 304
    missing = [path for path in PATHS if name_of(path) not in outcomes]  # when this test is run alone
    for path in missing:
        status, reason, heard = arrive(path.read_bytes())
        outcomes[name_of(path)] = status, reason, bool(heard)
    counted = Counter(outcomes.values())
    refused = {(status, reason): n for (status, reason, _), n in counted.items() if reason is not None}
    assert refused == REFUSED
    assert (counted[202, None, True], counted[202, None, False]) == (TAKEN, UNHEARD)


@needs_vectors
@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("invalid/dat__invalid_actor_mismatch.json", (403, "forbidden")),
        ("invalid/dat__invalid_delete_others_object.json", (403, "forbidden")),
        # Another server's id, as an old test of Pleroma has it.
        ("misskey/pleroma-repo__misskey-like.json", (403, "forbidden")),
        ("go-ap/activitypub__like_activity_with_iri_actor.json", (400, "not-an-activity")),
        # A Delete without id, as GoToSocial sends them all.
        ("gotosocial/gts__internaltoas_15.json", (202, None)),
        # Its ids are taken out, so that it seems to change somebody else.
        ("mbin/mbin__UpdateTest__testUpdateUser__1.json", (403, "forbidden")),
        ("lemmy/lemmy-repo__activities_community_lock_page.json", (202, None)),
        ("mastodon/pleroma-repo__mastodon-post-activity.json", (202, None)),
    ],
)
def test_some_by_name(name, outcome):
    status, reason, _ = arrive((VECTORS / "payloads" / name).read_bytes())
    assert (status, reason) == outcome
