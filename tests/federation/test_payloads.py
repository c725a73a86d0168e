"""Deliver every document of the vectors' payloads to an inbox: each is accepted, or refused for an expected reason.

A stand-in signs each document. It has the actor's id and a key of the test, and serves an actor at that id. A relay
signs documents without a usable actor, since only a relay could bring them.
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
    (400, "not-an-activity"): 178,
    (401, "bad-signature"): 1,
    (403, "forbidden"): 4,
}
"""Number of payloads by status and reason. The 401 has a proof by a key that the stand-in does not have."""
ACCEPTED = 117
"""Number of accepted payloads that reach a listener for every type of activity."""
ADDRESSES = AddressPolicy(
    plain_http=True, loopback=True, hosts=frozenset({"lemmy-alpha", "ltthostname.local", "mbin-test1"})
)
"""Some payloads were recorded in test set-ups, with names and ports that no public server has."""
IGNORED = 4
"""Number of accepted payloads that reach no listener: two Deletes of unknown actors, and two Moves.

The target of these Moves cannot confirm them: its server does not answer.
"""


def actor_of(body: bytes) -> str:
    """Return the expected signer: the actor if it can sign, else the relay."""
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


def deliver_body(body: bytes) -> tuple[int, str | None, list[str]]:
    """Deliver ``body`` to a new server; return the status, the reason of a refusal, and the ids that listeners got."""
    signer = actor_of(body)
    # The ids are removed from Mbin's snapshots.
    body = body.replace(b"SCRUBBED_ID", f"{parse_url(signer).origin}/scrubbed".encode())
    heard: list[str] = []
    federation: Federation[None] = Federation(software="test/1.0")

    @federation.actor("/users/{identifier}")
    def actor(ctx, identifier):
        return Person(preferred_username=identifier)

    @federation.on(Activity)
    def record_id(ctx, activity):
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
    # The target of a Move has to confirm it, and its server does not answer here.
    assert waiting.delayed <= int(b'"Move"' in body), "a job has failed and is to be retried"
    assert (waiting.ready, waiting.leased) == (0, 0)
    return answer.status, json.loads(answer.body)["reason"] if answer.body else None, heard


def name_of(path: Path) -> str:
    return str(path.relative_to(VECTORS / "payloads"))


@pytest.fixture(scope="module")
def outcomes() -> dict[str, tuple[int, str | None, bool]]:
    """Return the table of outcomes, which the tests fill in."""
    return {}


@pytest.mark.parametrize("path", PATHS, ids=map(name_of, PATHS))
def test_payload_is_accepted_or_refused_for_an_expected_reason(path, outcomes):
    body = path.read_bytes()
    status, reason, heard = deliver_body(body)
    if reason is None:
        assert status == 202
        assert len(heard) <= 1
    else:
        assert (status, reason) in REFUSED
        assert not heard
    outcomes[name_of(path)] = status, reason, bool(heard)


@needs_vectors
def test_numbers_of_outcomes_are_pinned(outcomes):
    assert len(PATHS) == 304
    missing = [path for path in PATHS if name_of(path) not in outcomes]  # when this test is run alone
    for path in missing:
        status, reason, heard = deliver_body(path.read_bytes())
        outcomes[name_of(path)] = status, reason, bool(heard)
    counts = Counter(outcomes.values())
    refusals = {(status, reason): n for (status, reason, _), n in counts.items() if reason is not None}
    assert refusals == REFUSED
    assert (counts[202, None, True], counts[202, None, False]) == (ACCEPTED, IGNORED)


@needs_vectors
@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("invalid/dat__invalid_actor_mismatch.json", (403, "forbidden")),
        ("invalid/dat__invalid_delete_others_object.json", (403, "forbidden")),
        # An id of another server, from an old test of Pleroma.
        ("misskey/pleroma-repo__misskey-like.json", (403, "forbidden")),
        # A Like without id, in a request that its actor has signed.
        ("go-ap/activitypub__like_activity_with_iri_actor.json", (202, None)),
        # A Delete without id, as GoToSocial sends it.
        ("gotosocial/gts__internaltoas_15.json", (202, None)),
        # Its ids are removed, so that it seems to change another actor.
        ("mbin/mbin__UpdateTest__testUpdateUser__1.json", (403, "forbidden")),
        ("lemmy/lemmy-repo__activities_community_lock_page.json", (202, None)),
        ("mastodon/pleroma-repo__mastodon-post-activity.json", (202, None)),
    ],
)
def test_selected_payloads_have_the_expected_outcome(name, outcome):
    status, reason, _ = deliver_body((VECTORS / "payloads" / name).read_bytes())
    assert (status, reason) == outcome
