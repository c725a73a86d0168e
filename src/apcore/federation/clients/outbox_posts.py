"""Answer a POST to an actor's outbox, by which a client publishes and sends (ActivityPub §6).

The application authenticates the client: see `Federation.authenticate_client`. Nothing of the body is read before. The
answer is 201 with the id of the new activity once everything is stored, in one commit.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from apcore.effects import Get, Op
from apcore.errors import ContractError, DocumentError, Refused, RemoteError, RequestError, Unavailable
from apcore.federation.actors.profiles import dispatch_actor
from apcore.federation.clients.submissions import Submission, read_submission
from apcore.federation.outbox.records import OBJECTS, DigestKey
from apcore.federation.outbox.send import RecipientUnknown, act
from apcore.federation.refusals import log_refusal, one_line
from apcore.federation.routes import Registered, RouteMatch
from apcore.federation.site import Site
from apcore.federation.unit_setup import unit_of_work_for
from apcore.federation.write_notes import PublishObject
from apcore.http import Headers, Request, Response, is_activitypub, is_unprofiled_json_ld, problem_for
from apcore.jsonld import DEFAULT_LIMITS, WorkBudget
from apcore.remote import NotAnActivity
from apcore.vocab import read_document

__all__ = ["ClientUnknown", "receive_from_client"]

_LOG: Final = logging.getLogger(__name__)
_DETAIL_CHARS_MAX: Final = 300
_CHALLENGE: Final = "Bearer"
"""The `WWW-Authenticate` of a 401 (RFC 6750 §3): OAuth is how ActivityPub clients authenticate."""


class ClientUnknown(RemoteError):
    """The application does not recognise the client's credentials."""

    status_hint = 401
    reason = "client-unknown"


class _WrongMediaType(RequestError):
    """The client posts something else than ActivityPub."""

    status_hint = 415
    reason = "not-activitypub"


def receive_from_client(site: Site, request: Request, route: RouteMatch, authenticate: Registered) -> Op[Response]:
    """Store and send what a client posts to the outbox at ``route``.

    Effects: those of the ``authenticate`` handler, of `read_submission` and `act`, and one `Get`.
    """
    try:
        identifier = yield from _authorised_identifier(site, request, route, authenticate)
        note = yield from _read(site, request, identifier)
        location = yield from _commit(site, note)
    except (RemoteError, Unavailable) as error:
        log_refusal(_LOG, request.url, error)
        # The client acts for a user of ours, who may read what is wrong with the document.
        detail = one_line(str(error), chars_max=_DETAIL_CHARS_MAX) if isinstance(error, NotAnActivity | Refused) else ""
        response = problem_for(error, detail=detail).response()
        if response.status != 401:
            return response
        return Response(401, response.headers.with_set("WWW-Authenticate", _CHALLENGE), response.body)
    return Response(201, Headers({"Location": location, "Cache-Control": "no-store"}))


def _authorised_identifier(site: Site, request: Request, route: RouteMatch, authenticate: Registered) -> Op[str]:
    """Return the identifier of the outbox's actor, for which the client may act.

    Raises:
        ClientUnknown: The application does not recognise the client.
        Refused: The client acts for another actor.
        ContractError: The handler's answer is no identifier.
    """
    identifier: Any = yield from dispatch_actor(site, authenticate, request)
    if identifier is None:
        raise ClientUnknown("the client is not authenticated: see authenticate_client")
    if not isinstance(identifier, str):
        raise ContractError(f"authenticate_client returns an identifier or None, not {identifier!r:.60}")
    if identifier != route.identifier:
        raise Refused(f"the client acts for {identifier!r:.60}, and this outbox is another actor's")
    return identifier


def _read(site: Site, request: Request, identifier: str) -> Op[Submission]:
    content_type = request.headers.get("content-type")
    if not is_activitypub(content_type) and not is_unprofiled_json_ld(content_type):
        raise _WrongMediaType(f"the content type is {content_type!r:.100}, not application/activity+json")
    try:
        document = read_document(
            request.body,
            origin=site.origin,
            vocabulary=site.federation.vocabulary,
            work=WorkBudget(DEFAULT_LIMITS, len(request.body)),
        )
    except DocumentError as error:
        raise RequestError(f"the body cannot be read: {error}") from error
    note = yield from read_submission(site, document, identifier)
    try:
        # The checks need no effects. Here they are made before the write, to tell the client's mistakes from ours.
        _ = unit_of_work_for(site).address(note)
    except (ValueError, ContractError) as error:
        raise NotAnActivity(str(error)) from error
    return note


def _commit(site: Site, note: Submission) -> Op[str]:
    """Commit ``note``, and return the id of its activity."""
    try:
        [note_id] = yield from act(site, note)
    except (RecipientUnknown, ContractError) as error:
        raise NotAnActivity(str(error)) from error
    if not isinstance(note, PublishObject):
        return note_id
    [entry] = yield from Get((OBJECTS.key(DigestKey.of(note_id)),))
    create = None if entry is None else OBJECTS.decode(entry.value).create
    return create or note_id
