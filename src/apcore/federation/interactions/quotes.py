"""Approve quotes of our posts with stamps, and read the policy of a post about quotes (FEP-044f).

A stamp (`QuoteAuthorization`) is a document of ours that names the quote and the quoted post. Every Accept of a
QuoteRequest that is sent gets one, whether apcore answers the request or the application does. The quoting server
fetches the stamp from our origin, so a quote without it proves nothing. A Delete of the stamp withdraws the approval.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from apcore.collections import contains
from apcore.effects import Get, Op
from apcore.errors import ContractError
from apcore.federation.interactions.changes import find_interaction
from apcore.federation.interactions.records import INTERACTIONS, InteractionKey, InteractionRecord, encode_item
from apcore.federation.outbox.edit import wire_body
from apcore.federation.outbox.records import OBJECTS, DigestKey, ObjectRecord
from apcore.federation.received_writes import WriteEntry
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.write_notes import AddMember, PendingWrite, SendActivity
from apcore.vocab import (
    PUBLIC,
    Accept,
    Activity,
    Approved,
    Document,
    QuoteAuthorization,
    QuoteRequest,
    read_document,
    same_id,
    to_wire,
)

__all__ = ["approve_quote", "may_quote", "stamps_collection"]

_RULE = "quote-request"


def stamps_collection(object_id: str) -> str:
    """Return the name of the managed collection of the stamps for quotes of a post. It is not served."""
    return f"{object_id}#stamps"


def may_quote(site: Site, record: ObjectRecord, actor: str) -> Op[bool | None]:
    """Return whether the ``interactionPolicy`` of a post of ours lets ``actor`` quote it.

    The result is None if the author decides about each request: for ``manualApproval``, and without a policy.

    Effects: up to four `Get`s.
    """
    if same_id(record.owner, actor):
        return True
    policy = Approved.over(read_document(record.body, origin=site.origin)).interaction_policy
    rule = None if policy is None else policy.can_quote
    if rule is None:
        return None
    if (yield from _names(site, record.owner, (*rule.automatic_approval, *rule.always), actor)):
        return True
    is_asked = yield from _names(site, record.owner, (*rule.manual_approval, *rule.approval_required), actor)
    return None if is_asked else False


def approve_quote(
    site: Site, scope: UnitOfWork[Any], note: SendActivity
) -> Op[tuple[SendActivity, list[PendingWrite]]]:
    """Add a stamp to an Accept of a QuoteRequest that is sent, and return the notes that store the stamp.

    A quote that was approved before gets the same stamp. Any other activity is returned as it is.

    Effects: up to two `Get`s.

    Raises:
        ContractError: The quoted post is not one of the sender, or the request does not name the quote.
    """
    activity = Activity.over(note.activity)
    request = None if activity.object is None else activity.object.claimed(QuoteRequest)
    if request is None or not note.activity.is_a(Accept) or activity.result is not None:
        return note, []
    object_id, quote_id, requester = (
        None if reference is None else reference.uri
        for reference in (request.object, request.instrument, request.actor)
    )
    [entry] = (None,) if object_id is None else (yield from Get((OBJECTS.key(DigestKey.of(object_id)),)))
    quoted_record = None if entry is None else OBJECTS.decode(entry.value)
    is_own = quoted_record is not None and quoted_record.owner == site.actor_uri(note.by)
    if object_id is None or quoted_record is None or not is_own or quoted_record.is_gone:
        raise ContractError(f"{note.by!r:.60} approves a quote of {object_id}, which is no published object of its own")
    if quote_id is None or requester is None:
        raise ContractError(
            f"{note.by!r:.60} approves a quote that the request does not name: set instrument and actor"
        )
    earlier = yield from find_interaction(requester, quote_id)
    if earlier is not None and (earlier.rule, earlier.target) == (_RULE, object_id):
        return _with_stamp(site, note, request, earlier.members[0]), []
    stamp_id = scope.mint_managed("objects", note.by)
    stamp = QuoteAuthorization(
        id=stamp_id,
        attributed_to=site.actor_uri(note.by),
        interacting_object=quote_id,
        interaction_target=object_id,
    )
    record = ObjectRecord(
        uri=stamp_id, owner=site.actor_uri(note.by), is_public=True, create=None, body=wire_body(to_wire(stamp))
    )
    interaction = InteractionRecord(
        actor=requester, id=quote_id, rule=_RULE, target=object_id, collections=(), members=(stamp_id,)
    )
    return _with_stamp(site, note, request, stamp_id), [
        WriteEntry(OBJECTS.put(DigestKey.of(stamp_id), record)),
        WriteEntry(INTERACTIONS.put(InteractionKey.of(requester, quote_id), interaction)),
        AddMember(stamps_collection(object_id), stamp_id, encode_item(quote_id)),
    ]


# --- leaves ---------------------------------------------------------------------------------------------------------


def _with_stamp(site: Site, note: SendActivity, request: QuoteRequest, stamp_id: str) -> SendActivity:
    """Return the Accept anew, in our own terms: under the context of the requester, our words could mean anything."""
    activity = Activity.over(note.activity)
    accept = Accept(
        id=note.activity.id,
        to=[reference.uri for reference in activity.to if reference.uri is not None],
        cc=[reference.uri for reference in activity.cc if reference.uri is not None],
        object=QuoteRequest(
            id=request.id, actor=request.actor, object=_address(request.object), instrument=_address(request.instrument)
        ),
        result=stamp_id,
    )
    return evolve(note, activity=_as_sent(site, accept.document))


def _as_sent(site: Site, document: Document) -> Document:
    return read_document(to_wire(document), origin=site.origin)


def _address(reference: Any) -> str | None:
    return None if reference is None else reference.uri


def _names(site: Site, owner: str, addresses: Sequence[str], actor: str) -> Op[bool]:
    """Return whether a rule names ``actor``: itself, everyone, or a collection of the owner that it is in."""
    if PUBLIC in addresses or any(same_id(address, actor) for address in addresses):
        return True
    identifier = site.identifier_of(owner)
    for name in ("followers", "following"):
        collection = None if identifier is None else site.collection_uri(name, identifier)
        if collection is not None and collection in addresses:
            [is_member] = yield from contains(collection, (actor,))
            if is_member:
                return True
    return False
