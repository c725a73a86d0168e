"""Check several signatures and malformed activities: edges that mutation testing has found untested."""

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


def sign_with(ground: Ground, *keys: PrivateKey) -> Request:
    """Sign a request with each key, labelled a, b, c."""
    plain = Request("POST", INBOX, Headers({"content-type": "application/activity+json"}), b"{}")
    signed_requests = [rfc9421.sign(plain, key, now=ground.clock.now(), label="abc"[n]) for n, key in enumerate(keys)]
    headers = signed_requests[0].headers
    for other in signed_requests[1:]:
        for name in ("signature-input", "signature"):
            headers = headers.with_added(name, other.headers.get(name) or "")
    return evolve(signed_requests[0], headers=headers)


def unlisted_key(ground: Ground, name: str = "other") -> PrivateKey:
    return ground.bob.key.renamed(key_id=f"{BOB}#{name}", owner=BOB)


def run_find_signer(ground: Ground, request: Request, prefer: str | None = None) -> Any:
    return ground.node.run(find_signer(ground.node.site(), request, prefer=prefer))


@pytest.mark.parametrize("prefer", [None, BOB])
def test_next_signature_is_tried_after_a_refused_one(prefer):
    ground = Ground()
    assert (
        run_find_signer(ground, sign_with(ground, unlisted_key(ground), ground.bob.key), prefer).key_id
        == ground.bob.key_id
    )


@pytest.mark.parametrize("prefer", [None, BOB])
def test_next_signature_is_tried_after_an_unavailable_key(prefer):
    ground = Ground()
    ground.network.down.add("https://third.example")
    assert run_find_signer(ground, sign_with(ground, ground.carol.key, ground.bob.key), prefer).owner == BOB


def test_first_of_several_refused_signatures_is_reported():
    ground = Ground()
    missing_key = ground.carol.key.renamed(key_id=f"{CAROL}#none", owner=CAROL)
    with pytest.raises(ApcoreError) as caught:
        run_find_signer(ground, sign_with(ground, unlisted_key(ground), missing_key))
    assert f"{BOB}#other" in str(caught.value)
    with pytest.raises(ApcoreError) as caught:
        run_find_signer(ground, sign_with(ground, missing_key, unlisted_key(ground, "another")))
    assert f"{CAROL}#none" in str(caught.value)


def test_first_of_several_unavailable_keys_is_reported():
    ground = Ground()
    ground.network.down.update({"https://third.example", "https://remote.example"})
    for first, second in ((ground.bob.key, ground.carol.key), (ground.carol.key, ground.bob.key)):
        with pytest.raises(ApcoreError) as caught:
            run_find_signer(ground, sign_with(ground, first, second))
        assert caught.value.status_hint == 503
        assert first.key_id in str(caught.value)


def test_unavailable_key_is_reported_before_a_refused_signature():
    ground = Ground()
    ground.network.down.add("https://third.example")
    with pytest.raises(ApcoreError) as caught:
        run_find_signer(ground, sign_with(ground, unlisted_key(ground), ground.carol.key))
    assert caught.value.status_hint == 503


# --- activities -----------------------------------------------------------------------------------------------------


def read_activity(**members: Any) -> Any:
    values = {"id": LIKE, "type": "Like", "actor": BOB, "object": ALICE} | members
    body = json.dumps({name: value for name, value in values.items() if value is not None}).encode()
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
def test_activity_about_its_own_actor_is_recognised(members, about):
    assert read_activity(**members).is_about_its_actor == about


@pytest.mark.parametrize(
    "members",
    [
        {"id": None, "type": "Create"},
        {"id": None, "type": "Delete", "object": {"type": "Note"}},
        {"id": None, "type": "Delete", "object": None},
        {"type": "Nothing", "actor": None, "object": None, "content": "x"},
        {"type": None},
    ],
)
def test_malformed_activity_is_refused(members):
    with pytest.raises(ApcoreError) as caught:
        read_activity(**members)
    assert caught.value.reason == "not-an-activity"


def test_bytes_of_an_activity_are_compact_json():
    assert bytes_of({"a": "é", "b": [1, {}]}) == '{"a":"é","b":[1,{}]}'.encode()


def test_processed_ids_are_remembered_for_thirty_days():
    assert timedelta(seconds=DONE_KEPT_S) == timedelta(days=30)
