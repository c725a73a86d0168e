"""Check the signer of a request: the owner of a verified key, for any request."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from apcore.effects import Fetch, Get, MakeKey
from apcore.errors import ApcoreError, Refused
from apcore.federation import DomainRules
from apcore.federation.request_signers import Signed, find_signer
from apcore.http import Headers, Request
from apcore.remote import KeyRefused, KeyUnavailable
from apcore.signatures import BadSignature, SignatureMissing, rfc9421
from inbox_fixture import ALICE, BOB, CAROL, INBOX, NOON, Ground


def run_find_signer(ground: Ground, request: Request, **kwargs: Any) -> Signed:
    return ground.node.run(find_signer(ground.node.site(), request, **kwargs))


def get(url: str = ALICE) -> Request:
    return Request("GET", url, Headers({"accept": "application/activity+json"}))


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("scheme", ["cavage", "rfc9421"])
def test_signer_is_the_owner_of_the_key(method, scheme):
    ground = Ground()
    ground.bob.scheme = scheme
    body = b"{}" if method == "POST" else b""
    signed = run_find_signer(ground, ground.bob.sign(Request(method, ALICE, Headers(), body)))
    assert (signed.owner, signed.key_id, signed.signature.scheme) == (BOB, f"{BOB}#main-key", scheme)


def test_cached_key_costs_one_read():
    ground = Ground()
    run_find_signer(ground, ground.bob.sign(get()))
    ground.asked.clear()
    run_find_signer(ground, ground.bob.sign(get()))
    reads = [effect for effect in ground.asked if isinstance(effect, Get)]
    assert [{key[0] for key in read.keys} for read in reads] == [{"domain-rule"}, {"key"}], (
        "a key of this server was read"
    )
    assert not any(isinstance(effect, (Fetch, MakeKey)) for effect in ground.asked)


def signed_by_both(ground: Ground, url: str = INBOX) -> Request:
    """Build a request signed by Carol and by Bob, in this order."""
    request = Request("GET", url)
    first = rfc9421.sign(request, ground.carol.key, now=NOON, label="one")
    second = rfc9421.sign(request, ground.bob.key, now=NOON, label="two")
    for name in ("signature-input", "signature"):
        second = evolve(
            second, headers=second.headers.with_set(name, f"{first.headers.get(name)}, {second.headers.get(name)}")
        )
    return second


@pytest.mark.parametrize(
    ("prefer", "owner"),
    [(None, CAROL), (BOB, BOB), (CAROL, CAROL), (f"{BOB}2", BOB), ("https://unknown.example/x", CAROL)],
    ids=["no preference", "the second", "the first", "a neighbour", "a stranger"],
)
def test_signature_of_the_preferred_origin_is_selected(prefer, owner):
    assert run_find_signer(Ground(), signed_by_both(Ground()), prefer=prefer).owner == owner


def request_with_host_down(ground: Ground) -> Request:
    ground.network.down.add("https://remote.example")
    return ground.bob.sign(get())


def request_with_key_gone(ground: Ground) -> Request:
    ground.bob.serve(BOB, None, status=410)
    return ground.bob.sign(get())


def request_for_another_url(ground: Ground) -> Request:
    return evolve(ground.bob.sign(get()), url=f"{ALICE}/followers")


REFUSED: dict[str, tuple[Any, type[ApcoreError]]] = {
    "unsigned": (lambda ground: get(), SignatureMissing),
    "another target": (request_for_another_url, BadSignature),
    "a host that is down": (request_with_host_down, KeyUnavailable),
    "a key that is gone": (request_with_key_gone, KeyRefused),
}


@pytest.mark.parametrize(("make_request", "error"), REFUSED.values(), ids=REFUSED)
def test_request_without_a_valid_signature_is_refused(make_request, error):
    ground = Ground()
    with pytest.raises(error):
        run_find_signer(ground, make_request(ground))


def test_key_of_a_suspended_host_is_not_fetched():
    ground = Ground(rules=DomainRules.suspending(["remote.example"]))
    with pytest.raises(Refused):
        run_find_signer(ground, ground.bob.sign(get()))
    assert [{key[0] for key in effect.keys} for effect in ground.asked if isinstance(effect, Get)] in (
        [],
        [{"domain-rule"}],
    )
    assert not any(isinstance(effect, Fetch) for effect in ground.asked)
