"""Answer received requests to quote our posts, and use the answers to our own requests (FEP-044f)."""

from __future__ import annotations

import json
from typing import Any, Final

from apcore.effects import Get, Op
from apcore.errors import RemoteError
from apcore.federation.actors.keys import instance_identity
from apcore.federation.actors.profiles import load_actor
from apcore.federation.ignored_reasons import IgnoredReason
from apcore.federation.inbox.received_activity import Received
from apcore.federation.interactions.changes import find_interaction, find_object
from apcore.federation.interactions.quotes import may_quote
from apcore.federation.interactions.records import INTERACTIONS, InteractionKey, InteractionRecord
from apcore.federation.outbox.records import OBJECTS, DigestKey, ObjectRecord
from apcore.federation.received_writes import WriteEntry
from apcore.federation.write_notes import SendActivity
from apcore.http import same_origin
from apcore.records import Stored
from apcore.remote import owners
from apcore.vocab import (
    Accept,
    QuoteAuthorization,
    QuoteRequest,
    Reject,
    Update,
    View,
    quoted,
    read_document,
    same_id,
)

__all__ = ["answer_quote_request", "store_stamp", "withdraw_stamp"]

_LOOK_UP_S: Final = 30.0
"""The time limit for fetching a stamp: a third of the lease of the message."""
_STAMP: Final = "quoteAuthorization"
_STAMP_TERM: Final = {_STAMP: {"@id": "https://w3id.org/fep/044f#quoteAuthorization", "@type": "@id"}}
_RULE: Final = "quote-stamp"


def answer_quote_request(received: Received) -> Op[None]:
    """Accept or reject a request to quote a post of ours, as the post's ``interactionPolicy`` says.

    Without a policy, and for ``manualApproval``, nothing is sent: the application answers.

    Effects: up to eight `Get`s.
    """
    site, request = received.site, received.document.view(QuoteRequest)
    object_id = None if request.object is None else request.object.uri
    quote = request.instrument
    if object_id is None or quote is None or quote.uri is None:
        received.log_ignored(IgnoredReason.NO_OBJECT, object_id)
        return
    record = yield from find_object(site, object_id, received.actor)
    if not isinstance(record, ObjectRecord):
        received.log_ignored(record or IgnoredReason.NO_OBJECT, object_id)
        return
    quote_owners = () if quote.embedded is None else owners(quote.embedded, several=True)
    is_own = not quote_owners or any(same_id(owner, received.actor) for owner in quote_owners)
    if not same_origin(quote.uri, received.actor) or not is_own:
        received.log_ignored(IgnoredReason.NOT_OWN, quote.uri)
        return
    identifier = site.identifier_of(record.owner)
    permission = yield from may_quote(site, record, received.actor)
    if permission is None or identifier is None:
        return
    answered = QuoteRequest(id=received.id, actor=received.actor, object=object_id, instrument=quote.uri)
    answer: View = Accept(object=answered) if permission else Reject(object=answered)
    _ = received.scope.address(SendActivity(answer.document, identifier, (received.actor,)))


def store_stamp(received: Received) -> Op[None]:
    """Use an Accept of our request to quote a post: store its stamp with our quote, and send an Update with it.

    The stamp counts only if it comes from the origin of the quoted post, and names its author and both posts.

    Effects: three `Get`s, and those of `load`.

    Raises:
        Unavailable: The stamp cannot be fetched now.
    """
    accept = received.activity
    request = None if accept.object is None else accept.object.claimed(QuoteRequest)
    object_id, quote_id, stamp_id = (
        None if reference is None else reference.uri
        for reference in (
            (None, None, None) if request is None else (request.object, request.instrument, accept.result)
        )
    )
    if object_id is None or quote_id is None or stamp_id is None:
        received.log_ignored(IgnoredReason.NO_OBJECT, object_id)
        return
    stored = yield from _read_own(received, quote_id)
    quoted_post = None if stored is None else quoted(read_document(stored.record.body, origin=received.site.origin))
    if stored is None or quoted_post is None or quoted_post.uri != object_id:
        received.log_ignored(IgnoredReason.NO_OBJECT, quote_id)
        return
    if not (yield from _is_stamp(received, stamp_id, quote_id, object_id)):
        received.log_ignored(IgnoredReason.NO_STAMP, stamp_id)
        return
    record = InteractionRecord(
        actor=received.actor, id=stamp_id, rule=_RULE, target=quote_id, collections=(), members=()
    )
    received.scope.notes.append(WriteEntry(INTERACTIONS.put(InteractionKey.of(received.actor, stamp_id), record)))
    _update_quote(received, stored, stamp_id)


def withdraw_stamp(received: Received) -> Op[None]:
    """Apply the Delete of a stamp: our quote loses it, and an Update says so.

    Effects: one `Get`, and one more for a stamp.
    """
    stamp_id = None if received.activity.object is None else received.activity.object.uri
    record = None if stamp_id is None else (yield from find_interaction(received.actor, stamp_id))
    if record is None or record.rule != _RULE:
        return
    received.scope.notes.append(WriteEntry(INTERACTIONS.delete(InteractionKey.of(record.actor, record.id))))
    stored = yield from _read_own(received, record.target)
    if stored is not None and json.loads(stored.record.body).get(_STAMP) == stamp_id:
        _update_quote(received, stored, None)


def _read_own(received: Received, object_id: str) -> Op[Stored[ObjectRecord, DigestKey] | None]:
    """Read a published object of ours that was not deleted."""
    [entry] = yield from Get((OBJECTS.key(DigestKey.of(object_id)),))
    stored = OBJECTS.read_optional(entry)
    if stored is None or stored.record.uri != object_id or stored.record.is_gone:
        return None
    return None if received.site.identifier_of(stored.record.owner) is None else stored


def _is_stamp(received: Received, stamp_id: str, quote_id: str, object_id: str) -> Op[bool]:
    if not (same_origin(stamp_id, received.actor) and same_origin(object_id, received.actor)):
        return False
    identity = yield from instance_identity(received.site)
    try:
        loaded = yield from load_actor(received.site, stamp_id, identity=identity, within_s=_LOOK_UP_S)
    except RemoteError:
        return False
    if not loaded.document.is_a(QuoteAuthorization):
        return False
    stamp = loaded.document.view(QuoteAuthorization)
    named = [reference.uri for reference in (stamp.interacting_object, stamp.interaction_target) if reference]
    authors = [author.uri for author in stamp.attributions]
    return named == [quote_id, object_id] and authors == [received.actor]


def _update_quote(received: Received, stored: Stored[ObjectRecord, DigestKey], stamp_id: str | None) -> None:
    """Note an Update of our quote with another stamp, or none. The commit checks that the quote is as it was read."""
    members: dict[str, Any] = json.loads(stored.record.body)
    context: Any = members.pop("@context", None)
    contexts: list[Any] = [*context] if isinstance(context, list) else [context]
    members[_STAMP] = stamp_id
    if stamp_id is None:
        del members[_STAMP]
    elif _STAMP_TERM not in contexts:
        contexts = [*contexts, _STAMP_TERM]
    addresses: dict[str, Any] = {name: members[name] for name in ("to", "cc", "audience") if name in members}
    update: dict[str, Any] = {"@context": contexts, "type": Update.type_name, **addresses, "object": members}
    identifier = received.site.identifier_of(stored.record.owner) or ""
    document = read_document(update, origin=received.site.origin)
    received.scope.notes.append(WriteEntry(None, stored.check))
    _ = received.scope.address(SendActivity(document, identifier, ()))
