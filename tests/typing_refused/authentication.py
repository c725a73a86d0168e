"""What skips authentication is not an `Authenticated`."""

from __future__ import annotations

from apcore.effects import Op
from apcore.federation.inbox.authenticate import authenticate
from apcore.federation.inbox.claims import claim
from apcore.federation.inbox.evidence import Authenticated
from apcore.federation.inbox.parse import read_incoming
from apcore.federation.request_signers import find_signer
from apcore.federation.site import Site
from apcore.http import Request


def takes_it_in(site: Site, request: Request) -> Op[None]:
    arrived = read_incoming(site, request.body)
    signed = yield from find_signer(site, request)
    # What was merely read.
    yield from claim(site, arrived, None, silenced=False)  # refused
    # Who has signed the request: of whatever it says.
    yield from claim(site, signed, None, silenced=False)  # refused
    # What came, in the place of what was proved.
    _ = Authenticated(proved=request.body, actor="a", auth_method="proof")  # refused
    # A way of proving things that there is not.
    _ = Authenticated(proved=arrived, actor="a", auth_method="hearsay")  # refused
    # The operation, before it has been answered.
    yield from claim(site, authenticate(site, request, arrived), None, silenced=False)  # refused
    _ = yield from claim(site, (yield from authenticate(site, request, arrived)), None, silenced=False)
