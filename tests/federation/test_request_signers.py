"""Who has signed a request: the owner of a key that holds, whatever it asks for."""

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


def asked_by(ground: Ground, request: Request, **more: Any) -> Signed:
    return ground.node.run(find_signer(ground.node.site(), request, **more))


def get(url: str = ALICE) -> Request:
    return Request("GET", url, Headers({"accept": "application/activity+json"}))


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("scheme", ["cavage", "rfc9421"])
def test_whoever_signs_is_named(method, scheme):
    ground = Ground()
    ground.bob.scheme = scheme
    body = b"{}" if method == "POST" else b""
    signed = asked_by(ground, ground.bob.sign(Request(method, ALICE, Headers(), body)))
    assert (signed.owner, signed.key_id, signed.signature.scheme) == (BOB, f"{BOB}#main-key", scheme)


def test_a_key_that_is_kept_costs_nothing_but_its_read():
    ground = Ground()
    asked_by(ground, ground.bob.sign(get()))
    ground.asked.clear()
    asked_by(ground, ground.bob.sign(get()))
    reads = [effect for effect in ground.asked if isinstance(effect, Get)]
    assert [[key[0] for key in read.keys] for read in reads] == [["key"]], "our own keys are for fetching others'"
    assert not any(isinstance(effect, (Fetch, MakeKey)) for effect in ground.asked)


def both(ground: Ground, url: str = INBOX) -> Request:
    """Signed by Carol and by Bob, in this order."""
    request = Request("GET", url)
    one = rfc9421.sign(request, ground.carol.key, now=NOON, label="one")
    two = rfc9421.sign(request, ground.bob.key, now=NOON, label="two")
    for name in ("signature-input", "signature"):
        two = evolve(two, headers=two.headers.with_set(name, f"{one.headers.get(name)}, {two.headers.get(name)}"))
    return two


@pytest.mark.parametrize(
    ("prefer", "owner"),
    [(None, CAROL), (BOB, BOB), (CAROL, CAROL), (f"{BOB}2", BOB), ("https://nobody.example/x", CAROL)],
    ids=["nobody", "the second", "the first", "a neighbour", "a stranger"],
)
def test_of_several_it_is_the_one_that_is_expected(prefer, owner):
    assert asked_by(Ground(), both(Ground()), prefer=prefer).owner == owner


def down(ground: Ground) -> Request:
    ground.network.down.add("https://remote.example")
    return ground.bob.sign(get())


def gone(ground: Ground) -> Request:
    ground.bob.serve(BOB, None, status=410)
    return ground.bob.sign(get())


def elsewhere(ground: Ground) -> Request:
    return evolve(ground.bob.sign(get()), url=f"{ALICE}/followers")


REFUSED: dict[str, tuple[Any, type[ApcoreError]]] = {
    "not signed": (lambda ground: get(), SignatureMissing),
    "another target": (elsewhere, BadSignature),
    "a host that is down": (down, KeyUnavailable),
    "a key that is gone": (gone, KeyRefused),
}


@pytest.mark.parametrize(("make", "error"), REFUSED.values(), ids=REFUSED)
def test_whoever_does_not_is_told_why(make, error):
    ground = Ground()
    with pytest.raises(error):
        asked_by(ground, make(ground))


def test_a_suspended_host_is_not_asked_for_its_keys():
    ground = Ground(rules=DomainRules.suspending(["remote.example"]))
    with pytest.raises(Refused):
        asked_by(ground, ground.bob.sign(get()))
    assert ground.asked
    assert not any(isinstance(effect, (Fetch, Get)) for effect in ground.asked)
