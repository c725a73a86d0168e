"""Several signatures on one request, and activities that are hardly any: the edges that mutation testing found open."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from apcore.errors import ApcoreError
from apcore.federation.inbox.parse import bytes_of, read_incoming
from apcore.federation.inbox.records import DONE_KEPT_S
from apcore.federation.request_signers import find_signer
from apcore.http import Headers, Request
from apcore.signatures import PrivateKey, rfc9421
from inbox_fixture import ALICE, BOB, CAROL, INBOX, Ground

LIKE = f"{BOB}/likes/1"


def signed(ground: Ground, *keys: PrivateKey) -> Request:
    """A request with a signature by each key, labelled a, b, c."""
    plain = Request("POST", INBOX, Headers({"content-type": "application/activity+json"}), b"{}")
    made = [rfc9421.sign(plain, key, now=ground.clock.now(), label="abc"[n]) for n, key in enumerate(keys)]
    headers = made[0].headers
    for other in made[1:]:
        for name in ("signature-input", "signature"):
            headers = headers.with_added(name, other.headers.get(name) or "")
    return evolve(made[0], headers=headers)


def unknown(ground: Ground, name: str = "other") -> PrivateKey:
    return ground.bob.key.renamed(key_id=f"{BOB}#{name}", owner=BOB)


def asked(ground: Ground, request: Request, prefer: str | None = None) -> Any:
    return ground.node.run(find_signer(ground.node.site(), request, prefer=prefer))


@pytest.mark.parametrize("prefer", [None, BOB])
def test_one_that_is_refused_leaves_the_next(prefer):
    ground = Ground()
    assert asked(ground, signed(ground, unknown(ground), ground.bob.key), prefer).key_id == ground.bob.key_id


@pytest.mark.parametrize("prefer", [None, BOB])
def test_one_whose_key_cannot_be_had_leaves_the_next(prefer):
    ground = Ground()
    ground.network.down.add("https://third.example")
    assert asked(ground, signed(ground, ground.carol.key, ground.bob.key), prefer).owner == BOB


def test_of_several_that_are_refused_the_first_is_told():
    ground = Ground()
    unauthenticated_client = ground.carol.key.renamed(key_id=f"{CAROL}#none", owner=CAROL)
    with pytest.raises(ApcoreError) as caught:
        asked(ground, signed(ground, unknown(ground), unauthenticated_client))
    assert f"{BOB}#other" in str(caught.value)
    with pytest.raises(ApcoreError) as caught:
        asked(ground, signed(ground, unauthenticated_client, unknown(ground, "another")))
    assert f"{CAROL}#none" in str(caught.value)


def test_of_several_that_cannot_be_had_the_first_is_told():
    ground = Ground()
    ground.network.down.update({"https://third.example", "https://remote.example"})
    for first, second in ((ground.bob.key, ground.carol.key), (ground.carol.key, ground.bob.key)):
        with pytest.raises(ApcoreError) as caught:
            asked(ground, signed(ground, first, second))
        assert caught.value.status_hint == 503
        assert first.key_id in str(caught.value)


def test_what_cannot_be_had_counts_before_what_is_refused():
    ground = Ground()
    ground.network.down.add("https://third.example")
    with pytest.raises(ApcoreError) as caught:
        asked(ground, signed(ground, unknown(ground), ground.carol.key))
    assert caught.value.status_hint == 503


# --- activities -----------------------------------------------------------------------------------------------------


def arrived(**members: Any) -> Any:
    made = {"id": LIKE, "type": "Like", "actor": BOB, "object": ALICE} | members
    body = json.dumps({name: value for name, value in made.items() if value is not None}).encode()
    return read_incoming(Ground().node.site(), body)


@pytest.mark.parametrize(
    ("members", "about"),
    [
        ({"type": "Delete", "object": BOB}, True),
        ({"type": "Update", "object": BOB}, True),
        ({"type": "Like", "object": BOB}, False),
        ({"type": "Delete", "object": f"{BOB}/1"}, False),
        ({"type": "Delete", "object": {"type": "Person"}}, False),
    ],
)
def test_what_is_about_its_actor(members, about):
    assert arrived(**members).is_about_its_actor == about


@pytest.mark.parametrize(
    "members",
    [
        {"id": None},
        {"id": None, "type": "Delete", "object": {"type": "Note"}},
        {"id": None, "type": "Delete", "object": None},
        {"type": "Nothing", "actor": None, "object": None, "content": "x"},
        {"type": None},
    ],
)
def test_what_is_no_activity(members):
    with pytest.raises(ApcoreError) as caught:
        arrived(**members)
    assert caught.value.reason == "not-an-activity"


def test_what_is_written_down_is_json_in_its_shortest_form():
    assert bytes_of({"a": "é", "b": [1, {}]}) == '{"a":"é","b":[1,{}]}'.encode()


def test_an_id_is_remembered_for_thirty_days():
    assert timedelta(seconds=DONE_KEPT_S) == timedelta(days=30)
