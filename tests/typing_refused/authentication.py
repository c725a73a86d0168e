"""What skips authentication is not an `Authenticated`."""

from __future__ import annotations

from apcore.effects import Op
from apcore.federation.arriving import read_arrived
from apcore.federation.authenticate import Authenticated, authenticate
from apcore.federation.inbox import claim
from apcore.federation.requesters import signed_by
from apcore.federation.site import Site
from apcore.http import Request


def takes_it_in(site: Site, request: Request) -> Op[None]:
    arrived = read_arrived(site, request.body)
    signed = yield from signed_by(site, request)
    # What was merely read.
    yield from claim(site, arrived, None, silenced=False)  # refused
    # Who has signed the request: of whatever it says.
    yield from claim(site, signed, None, silenced=False)  # refused
    # What came, in the place of what was proved.
    _ = Authenticated(proved=request.body, actor="a", means="proof")  # refused
    # A way of proving things that there is not.
    _ = Authenticated(proved=arrived, actor="a", means="hearsay")  # refused
    # The operation, before it has been answered.
    yield from claim(site, authenticate(site, request, arrived), None, silenced=False)  # refused
    yield from claim(site, (yield from authenticate(site, request, arrived)), None, silenced=False)
