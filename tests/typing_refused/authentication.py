"""Try to receive an activity without authentication: only an `Authenticated` is accepted."""

from __future__ import annotations

from apcore.effects import Op
from apcore.federation.inbox.authenticate import authenticate
from apcore.federation.inbox.claims import claim
from apcore.federation.inbox.evidence import Authenticated
from apcore.federation.inbox.parse import read_incoming
from apcore.federation.request_signers import find_signer
from apcore.federation.site import Site
from apcore.http import Request


def receive_activity(site: Site, request: Request) -> Op[None]:
    incoming = read_incoming(site, request.body)
    signed = yield from find_signer(site, request)
    # A document that was only parsed.
    yield from claim(site, incoming, None, silenced=False)  # refused
    # The signer of the request, instead of its content.
    yield from claim(site, signed, None, silenced=False)  # refused
    # Received bytes in place of a proved activity.
    _ = Authenticated(proved=request.body, actor="a", auth_method="proof")  # refused
    # An authentication method that does not exist.
    _ = Authenticated(proved=incoming, actor="a", auth_method="hearsay")  # refused
    # The operation itself, before it is run.
    yield from claim(site, authenticate(site, request, incoming), None, silenced=False)  # refused
    _ = yield from claim(site, (yield from authenticate(site, request, incoming)), None, silenced=False)
