"""Receive activities at an inbox: read, authenticate, claim once and enqueue them, then answer with 202.

The order matters. An activity is stored only after its sender is authenticated and is allowed to make the statement.
Listeners are called later, by a worker. Before authentication, only the actor handler of the inbox is called, and only
caches are written. The answer to a new activity is 202 only after it is in the store and a message for it on the queue.
"""

from __future__ import annotations

import logging
from typing import Final

from attrs import evolve

from apcore.effects import Op
from apcore.errors import LimitExceeded, RemoteError, RequestError, Unavailable
from apcore.federation.followers_sync import FIELD
from apcore.federation.inbox.addressee_rules import ActorBlocked, check_blocks, check_mentions, local_actors_named
from apcore.federation.inbox.authenticate import authenticate, delivered_by_its_actor
from apcore.federation.inbox.claims import claim, is_known_elsewhere
from apcore.federation.inbox.evidence import Authenticated
from apcore.federation.inbox.forwarding import may_be_forwarded
from apcore.federation.inbox.inbox_requests import InboxRequest, read_inbox_request
from apcore.federation.inbox.interactions import concerns_site
from apcore.federation.inbox.parse import IncomingActivity
from apcore.federation.inbox.permissions import check_permitted
from apcore.federation.inbox.relaying import may_be_relayed
from apcore.federation.inbox.strangers import is_stranger, note_changed_keys
from apcore.federation.inbox.synchronize import covered_state
from apcore.federation.refusals import log_refusal, one_line, refusal
from apcore.federation.relays import is_relay
from apcore.federation.report_calls import call_hook
from apcore.federation.reports import UnprovedActivity
from apcore.federation.serving.access import signer_of_request
from apcore.federation.site import Site
from apcore.http import Headers, Request, Response, is_activitypub, parse_media_type, parse_url
from apcore.vocab import Activity, Announce

__all__ = ["BODY_BYTES_MAX", "receive"]

BODY_BYTES_MAX: Final = 1024 * 1024
"""The longest body that is accepted. Mastodon has the same limit."""
_LOGGED_CHARS_MAX: Final = 300
"""The longest text of a peer in a log line, for each text."""
_LOG: Final = logging.getLogger("apcore.inbox")
_ACCEPTED: Final = Response(202, Headers({"Cache-Control": "no-store"}))
_BOM: Final = b"\xef\xbb\xbf"


class UnsupportedMediaType(RemoteError):
    """The content type of the body is not ActivityPub's."""

    status_hint = 415
    reason = "unsupported-media-type"


class _AnsweredByHook(Exception):
    """The application's hook has answered an activity that nothing proves."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response: Final = response


def receive(site: Site, request: Request, *, recipient: str | None) -> Op[Response]:
    """Receive a POST to an inbox, and return the response: 202, or a problem document (RFC 9457) with the reason.

    ``recipient`` is the identifier of the inbox's actor, None for the shared inbox. ``request.url`` has the authority
    that the peer addressed.

    A fault of the peer is answered with a 4xx. An outage is answered with a 503 and `Retry-After`. Only a bug raises.

    Effects: those of `read_inbox_request`, `authenticate`, `check_mentions`, `is_known_elsewhere` and `claim`; for an
    Update or Delete of the actor itself, those of `is_stranger` and `note_changed_keys`.
    """
    try:
        yield from _accept(site, request, recipient)
    except _AnsweredByHook as answered:
        return answered.response
    except (RemoteError, Unavailable) as error:
        log_refusal(_LOG, parse_url(request.url).path, error)
        return refusal(site, request, error)
    return _ACCEPTED


def _accept(site: Site, request: Request, recipient: str | None) -> Op[None]:
    _check_body(request)
    inbox_request = yield from read_inbox_request(site, request, recipient)
    site, incoming = inbox_request.site, inbox_request.incoming
    signatures, actors_named = inbox_request.signatures, inbox_request.actors_named
    if incoming.is_about_its_actor:
        is_unknown = yield from is_stranger(site, incoming, signatures)
        if is_unknown:
            # The actor has changed or is gone, and we store nothing about it. Its key is not worth a fetch.
            _log("ignored, since its actor is unknown here,", incoming, recipient)
            return
    authenticated = yield from _authenticate(site, request, inbox_request, recipient)
    check_permitted(site, authenticated.activity, authenticated.actor)
    if incoming.is_about_its_actor:
        yield from note_changed_keys(site, authenticated)
    if authenticated.proved is not incoming:
        actors_named = local_actors_named(site, authenticated.proved)
    try:
        yield from check_blocks(site, authenticated, recipient, actors_named)
    except ActorBlocked as blocked:
        if site.federation.inbox_policy.blocked_actors == "refuse":
            raise
        _log(f"dropped, since {blocked},", authenticated.proved, recipient)
        return
    yield from check_mentions(site, authenticated, actors_named)
    is_handled = yield from _is_handled(site, authenticated)
    document = authenticated.document
    if not (is_handled or may_be_forwarded(site, document) or may_be_relayed(site, document)):
        _log("ignored, since no listener handles it,", authenticated.proved, recipient)
        return
    counts_by_origin = site.federation.idempotency == "origin"
    is_own_delivery = authenticated.signature is not None
    if (counts_by_origin or not is_own_delivery) and (yield from is_known_elsewhere(site, authenticated, recipient)):
        own_delivery = (
            None if counts_by_origin else (yield from delivered_by_its_actor(site, request, authenticated, signatures))
        )
        if own_delivery is None:
            # Another actor repeats an activity that was received before.
            _log("received once more", authenticated.proved, recipient)
            return
        authenticated = own_delivery
    followers: str | None = None
    if FIELD in request.headers:
        own_request = authenticated if authenticated.signature else None
        own_request = own_request or (yield from delivered_by_its_actor(site, request, authenticated, signatures))
        followers = covered_state(request, own_request)
    is_new = yield from claim(
        site,
        authenticated,
        recipient,
        silenced=inbox_request.is_silenced,
        received=request.body,
        followers=followers,
    )
    _log("received" if is_new else "received once more", authenticated.proved, recipient)


def _authenticate(
    site: Site, request: Request, inbox_request: InboxRequest, recipient: str | None
) -> Op[Authenticated]:
    """Authenticate an activity. If nothing proves it, tell the application's hook.

    Raises:
        _AnsweredByHook: The hook returned a response.
        RemoteError, Unavailable: As `authenticate`.
    """
    incoming = inbox_request.incoming
    try:
        return (yield from authenticate(site, request, incoming, inbox_request.signatures))
    except (RemoteError, Unavailable) as error:
        if "on_unverified" not in site.federation.report_hooks:
            raise
        site = evolve(site, request=request, identify=signer_of_request)
        activity = Activity.over(incoming.document)
        report = UnprovedActivity(activity=activity, actor=incoming.actor, error=error, recipient=recipient)
        answer = yield from call_hook(site, "on_unverified", report)
        if isinstance(answer, Response):
            raise _AnsweredByHook(answer) from error
        raise


def _is_handled(site: Site, authenticated: Authenticated) -> Op[bool]:
    """Return whether a listener or a side effect handles an activity.

    Effects: one `Get` for an Announce without a listener.
    """
    document = authenticated.document
    if site.federation.listener_for(document) is not None:
        return True
    choice = site.federation.side_effect_for(document)
    if choice is None:
        return False
    if choice.replacement is not None or concerns_site(site, choice.rule, document, authenticated.actor):
        return True
    return document.is_a(Announce) and (yield from is_relay(site, authenticated.actor))


def _check_body(request: Request) -> None:
    content_type = request.headers.get("content-type")
    if not is_activitypub(content_type):
        # Some senders leave out the profile. It is part of the signed request and has no other meaning, so accept it.
        essence = parse_media_type(content_type).essence if content_type else ""
        if essence != "application/ld+json":
            raise UnsupportedMediaType(f"an inbox accepts application/activity+json, not {content_type!r:.100}")
    if len(request.body) > BODY_BYTES_MAX:
        raise LimitExceeded(f"the body has {len(request.body)} bytes, at most {BODY_BYTES_MAX}")
    if request.body.startswith(_BOM):
        # A fetched document may start with one, as files do. A signed body is read by several servers, and some of them
        # cannot read it.
        raise RequestError("the body begins with a byte order mark: send the JSON without it")


def _log(outcome: str, incoming: IncomingActivity, recipient: str | None) -> None:
    """Log the outcome for an activity on one line. Text of the peer is escaped and bounded."""
    if _LOG.isEnabledFor(logging.INFO):
        words = (", ".join(incoming.document.types), incoming.id, incoming.actor, recipient or "the shared inbox")
        _LOG.info("%s %s %s by %s for %s", outcome, *(one_line(word, chars_max=_LOGGED_CHARS_MAX) for word in words))
