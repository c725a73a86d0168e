"""Decide which items of a polled collection are handed to listeners, and prove them.

An item is proved in one of two ways:

- It is embedded in a page of its own origin, and it belongs to the proved owner of the collection (FEP-fe34, rule 7).
- It is fetched from its own origin, at its id.

So nothing that a server says about the objects of others is believed. An item that is an object, and no activity, is
handed over as the Create of that object by its owner, like an object that a group announces
(`apcore.federation.inbox.routing`).

A Follow, its answers, a Block and a Flag are messages to one actor. A collection does not tell whether they still
stand, so they count only if they are delivered.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from attrs import frozen

from apcore.effects import Op
from apcore.errors import Refused, RemoteError
from apcore.federation.inbox.evidence import Authenticated
from apcore.federation.inbox.parse import bytes_of, read_incoming
from apcore.federation.inbox.permissions import check_permitted
from apcore.federation.inbox.routing import create_of, date_of_activity
from apcore.federation.site import Site
from apcore.http import Origin, parse_url, same_origin
from apcore.remote import Identity, is_embedded_trusted, load_unless_failed
from apcore.signatures import SignatureFromFuture
from apcore.vocab import (
    Accept,
    Activity,
    Block,
    Document,
    Flag,
    Follow,
    Kind,
    Object,
    Reference,
    Reject,
    Update,
    View,
    kind_of,
)

__all__ = ["Source", "claims_type", "has_type", "in_chunks", "is_handled", "proved_item"]

_ADDRESSED: Final[tuple[type[View], ...]] = (Follow, Accept, Reject, Block, Flag)
"""The types that count only if they are delivered."""
_CHUNK: Final = 20
"""The most activities of one commit; each takes four of its 100 keys."""
_CHUNK_BYTES: Final = 4 * 1024 * 1024


@frozen(kw_only=True)
class Source:
    """The place at which items were found."""

    origin: Origin
    owner: str | None
    """The proved owner of the collection."""
    identity: Identity | None
    context: Any = None
    """The ``@context`` of the page."""

    def believed(self, item: Reference) -> Document | None:
        """Return the embedded document of an item if it is believed without a request, else None."""
        document = item.embedded
        if document is None or document.id is None or self.owner is None:
            return None
        is_on_origin = same_origin(document.id, f"{self.origin}/")
        is_trusted = is_on_origin and is_embedded_trusted(document, wrapper=None, owner=self.owner)
        return document if is_trusted else None

    def needs_fetch(self, item: Reference) -> bool:
        """Return whether an item must be fetched from its own origin."""
        return self.believed(item) is None


def proved_item(
    site: Site, item: Reference, source: Source, now: datetime, *, is_change: bool = False
) -> Op[Authenticated]:
    """Return the activity that an item is, or the Create of the object that it is; its Update if it ``is_change``.

    Effects: none for an embedded item that is believed, else those of `load_unless_failed`.

    Raises:
        RemoteError: The item is nothing that can be handed over.
        Unavailable: Its origin does not answer now.
    """
    embedded = source.believed(item)
    if embedded is not None:
        tree = embedded.tree if "@context" in embedded.tree else {"@context": source.context, **embedded.tree}
        document, body = embedded, bytes_of(tree)
    else:
        if item.uri is None:
            raise Refused("the item has no id at which its origin could serve it")
        if parse_url(item.uri).origin == site.origin:
            raise Refused(f"{item.uri} is of this server, so it is not received")
        loaded = yield from load_unless_failed(item.uri, policy=site.fetching, identity=source.identity)
        document, body = loaded.document, loaded.body
    if kind_of(document) is Kind.ACTIVITY:
        proved = read_incoming(site, body)
    else:
        context = document.tree.get("@context", source.context)
        members = {**create_of(document), "@context": context}
        if is_change:
            updated = Object.over(document).updated
            moment = "" if updated is None else f"-{int(updated.timestamp())}"
            members |= {"type": Update.type_name, "id": f"{document.id}#update{moment}"}
            _ = members.pop("published", None)
        proved = read_incoming(site, bytes_of(members))
    if parse_url(proved.actor).origin == site.origin:
        raise Refused(f"{proved.id} is an activity of this server, so it is not received")
    if any(map(proved.document.is_a, _ADDRESSED)):
        raise Refused(f"{proved.id} is a message to one actor, which counts only if it is delivered")
    published = date_of_activity(proved)
    if published is not None and (published - now).total_seconds() > site.signatures.clock_skew_s:
        raise SignatureFromFuture(f"{proved.id} was published at {published.isoformat()}, later than now")
    check_permitted(site, proved.activity, proved.actor)
    return Authenticated(proved=proved, actor=proved.actor, auth_method="origin")


def is_handled(site: Site, document: Document) -> bool:
    """Return whether a listener or a side effect handles an activity."""
    federation = site.federation
    return federation.listener_for(document) is not None or federation.side_effect_for(document) is not None


# --- types ----------------------------------------------------------------------------------------------------------


def claims_type(item: Reference, types: tuple[str, ...]) -> bool:
    """Return whether an item may be of one of ``types``. An embedded claim may exclude it without a request."""
    if not types or item.embedded is None or not item.embedded.types:
        return True
    return _is_of(item.embedded, types) or _object_may_be(item.embedded, types)


def has_type(site: Site, activity: Activity, types: tuple[str, ...], identity: Identity | None) -> Op[bool]:
    """Return whether an activity, or its object, is of one of ``types``.

    Effects: those of `load_unless_failed` if only the object can tell, and it is not embedded.
    """
    if not types or _is_of(activity.document, types):
        return True
    reference = activity.object
    if reference is None:
        return False
    if reference.embedded is not None and reference.embedded.types:
        return _is_of(reference.embedded, types)
    if reference.uri is None:
        return False
    own_document = yield from site.load_own(site, reference.uri)
    if own_document is not None:
        return _is_of(own_document, types)
    try:
        loaded = yield from load_unless_failed(reference.uri, policy=site.fetching, identity=identity)
    except RemoteError:
        return False
    return _is_of(loaded.document, types)


def _object_may_be(document: Document, types: tuple[str, ...]) -> bool:
    reference = Activity.over(document).object if kind_of(document) is Kind.ACTIVITY else None
    if reference is None:
        return False
    return reference.embedded is None or not reference.embedded.types or _is_of(reference.embedded, types)


def _is_of(document: Document, types: tuple[str, ...]) -> bool:
    """Return whether a document declares one of ``types`` or a subtype of one."""
    if not set(types).isdisjoint(document.types):
        return True
    ancestors = {base for view in document.classes() for base in view.__mro__}
    return any(getattr(base, "type_name", None) in types for base in ancestors)


# --- commits --------------------------------------------------------------------------------------------------------


def in_chunks(activities: Sequence[tuple[Authenticated, bool]]) -> list[list[tuple[Authenticated, bool]]]:
    """Return the activities of each commit; at least one list."""
    chunks: list[list[tuple[Authenticated, bool]]] = [[]]
    size = 0
    for activity in activities:
        size += len(activity[0].body)
        if len(chunks[-1]) >= _CHUNK or (chunks[-1] and size > _CHUNK_BYTES):
            chunks.append([])
            size = len(activity[0].body)
        chunks[-1].append(activity)
    return chunks
