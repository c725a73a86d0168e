"""Forward received activities to our actors' followers, as ActivityPub 7.1.2 requires ("inbox forwarding").

A reply to a post of ours is addressed to our actor's followers, but its author's server does not know them.
Only our server can reach them. So an activity is forwarded, once, if all of this holds:

- It came from another server, and the domain of that is not silenced.
- Its ``to``, ``cc`` or ``audience`` names the followers of an actor of ours, which does not block its author.
- Its object, target, tag or ``inReplyTo`` is something that our server has, or leads there. Embedded documents are
  searched, and up to `FETCHES_MAX` further documents are fetched.
- It carries a proof or an LD signature, so that the receivers can verify it (`Federation.forwarding`).

It is forwarded by the commit that marks it as processed. A listener that raises `Drop` prevents it.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import define, field

from apcore.effects import Get, Op
from apcore.errors import RemoteError, Unavailable
from apcore.federation.actors.keys import instance_identity
from apcore.federation.actors.profiles import dispatch_actor, load_actor, require_actor
from apcore.federation.inbox.records import ReceivedActivityRecord
from apcore.federation.outbox.forwarding import is_signed, received_bytes
from apcore.federation.outbox.records import OBJECTS, DigestKey
from apcore.federation.received_writes import ForwardActivity
from apcore.federation.relations.stored import read_relation
from apcore.federation.relations.table import Direction, RelationState
from apcore.federation.routes import IDENTIFIER, RouteMatch
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.http import same_origin
from apcore.vocab import Activity, Document, Link, Object, audience_of

__all__ = ["DEPTH_MAX", "FETCHES_MAX", "forward_to_followers", "may_be_forwarded"]

DEPTH_MAX: Final = 3
"""How many documents may lie between an activity and something of ours."""
FETCHES_MAX: Final = 4
"""The most documents that are fetched to find something of ours."""
_VALUES_MAX: Final = 50
"""The most values of an activity that are looked at."""
_COLLECTIONS_MAX: Final = 10
"""The most collections that an activity is forwarded to."""
_FETCH_S: Final = 10.0


def may_be_forwarded(site: Site, document: Document) -> bool:
    """Return whether an activity names followers of an actor of ours, so that it is worth processing."""
    return site.federation.forwarding != "off" and bool(_named_followers(site, document))


def forward_to_followers(
    site: Site, scope: UnitOfWork[Any], record: ReceivedActivityRecord, document: Document
) -> Op[None]:
    """Note that a received activity is forwarded, if the rules of this module say so.

    Effects: none for most activities. Else one `Get`; for each collection one `Get` and the actor's handler; for each
    value that has an address of ours its handler or one `Get`; and up to `FETCHES_MAX` times those of `load`.
    """
    if record.auth_method is None or scope.is_silenced or not may_be_forwarded(site, document):
        return
    if site.federation.forwarding == "signed" and not is_signed((yield from received_bytes(scope))):
        return
    noted_addresses = {uri for note in scope.notes if isinstance(note, ForwardActivity) for uri in note.to}
    senders: list[str] = []
    addresses: list[str] = []
    for uri, identifier in _named_followers(site, document).items():
        if uri not in noted_addresses and (yield from _welcomes(site, identifier, record.actor)):
            senders.append(identifier)
            addresses.append(uri)
    if senders and (yield from _Search(site).leads_to_us(document)):
        scope.notes.append(ForwardActivity(senders[0], tuple(addresses), is_by_rule=True))


def _named_followers(site: Site, document: Document) -> dict[str, str]:
    """Return the followers collections of ours that an activity addresses, with the identifiers of their actors."""
    audience = audience_of(document)
    collections: dict[str, str] = {}
    for uri in (*audience.to, *audience.cc, *audience.audience):
        place = site.federation.places.read(site.origin, uri)
        if place is not None and (place.target.kind, place.target.name) == ("collection", "followers"):
            collections[uri] = place.values[IDENTIFIER]
        if len(collections) == _COLLECTIONS_MAX:
            break
    return collections


def _welcomes(site: Site, identifier: str, author: str) -> Op[bool]:
    """Return whether an actor of ours exists and does not block ``author``."""
    try:
        _ = yield from require_actor(site, identifier)
    except RemoteError:
        return False
    us = site.actor_uri(identifier)
    relation = yield from read_relation(site.federation.places, Direction.INBOUND, us, author)
    return relation is None or relation.state is not RelationState.BLOCKED


# --- what an activity refers to -------------------------------------------------------------------------------------


@define
class _Search:
    """The search for something of ours that an activity refers to."""

    site: Site
    values: int = 0
    fetches: int = 0
    visited: set[str] = field(factory=set[str])

    def leads_to_us(self, document: Document, depth: int = 0) -> Op[bool]:
        """Return whether a document refers to something of ours, directly or through other documents."""
        addresses, embedded_documents, linked_addresses = _values_of(document)
        for uri in (*addresses, *linked_addresses):
            self.values += 1
            if self.values > _VALUES_MAX:
                return False
            if (yield from _is_ours(self.site, uri)):
                return True
        if depth == DEPTH_MAX:
            return False
        for embedded in embedded_documents:
            if (yield from self.leads_to_us(embedded, depth + 1)):
                return True
        for uri in addresses:
            fetched = yield from self._fetch(uri)
            if fetched is not None and (yield from self.leads_to_us(fetched, depth + 1)):
                return True
        return False

    def _fetch(self, uri: str) -> Op[Document | None]:
        """Fetch a document; None if it cannot be had, or if enough were fetched."""
        if uri in self.visited or self.fetches == FETCHES_MAX or same_origin(uri, str(self.site.origin)):
            return None
        self.visited.add(uri)
        self.fetches += 1
        try:
            identity = yield from instance_identity(self.site)
            loaded = yield from load_actor(self.site, uri, identity=identity, within_s=_FETCH_S)
        except (RemoteError, Unavailable):
            return None
        return loaded.document


def _values_of(document: Document) -> tuple[list[str], list[Document], list[str]]:
    """Return the addresses that a document refers to, the documents that it embeds, and the addresses of its tags."""
    activity, object_ = Activity.over(document), Object.over(document)
    references = [*activity.objects, *activity.targets]
    if object_.in_reply_to is not None:
        references.append(object_.in_reply_to)
    embedded_documents = [reference.embedded for reference in references if reference.embedded is not None]
    embedded_ids = {embedded.id for embedded in embedded_documents}
    addresses = [reference.uri for reference in references if reference.uri is not None]
    linked_addresses = [uri for uri in addresses if uri in embedded_ids]
    for tag in object_.tag:
        address = Link.over(tag.document).href if tag.document.is_a(Link) else tag.document.id
        if address is not None:
            linked_addresses.append(str(address))
    return [uri for uri in addresses if uri not in embedded_ids], embedded_documents, linked_addresses


def _is_ours(site: Site, uri: str) -> Op[bool]:
    """Return whether our server has something at ``uri``."""
    place = site.federation.places.read(site.origin, uri)
    if place is None:
        return False
    kind = place.target.kind
    if kind == "managed":
        [entry] = yield from Get((OBJECTS.key(DigestKey.of(uri)),))
        stored = OBJECTS.read_optional(entry)
        return stored is not None and stored.record.uri == uri and not stored.record.is_gone
    if kind == "object":
        return (yield from _has_object(site, place))
    if kind in {"actor", "collection"} and place.identifier is not None:
        try:
            _ = yield from require_actor(site, place.identifier)
        except RemoteError:
            return False
        return True
    return False


def _has_object(site: Site, place: RouteMatch) -> Op[bool]:
    handler = place.target.handler
    return handler is not None and (yield from dispatch_actor(site, handler, **place.values)) is not None
