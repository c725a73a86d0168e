"""Check an activity before it is sent, and an object before it is published.

The checks are made at the call. They need only the document and the routes, so a refused document leaves nothing in the
store.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from apcore.errors import ContractError, RequestError
from apcore.federation.routes import RouteTable
from apcore.http import Origin, parse_url, same_origin
from apcore.vocab import (
    PUBLIC_FORMS,
    Accept,
    Activity,
    Actor,
    Add,
    Announce,
    Create,
    Delete,
    Document,
    Flag,
    Follow,
    Ignore,
    Kind,
    Like,
    Link,
    Move,
    Reject,
    Remove,
    Undo,
    Update,
    kind_of,
)

__all__ = ["check_activity", "check_local_recipients", "check_object", "check_recipients"]

_NEED_OBJECT: Final = (
    *(Accept, Add, Announce, Create, Delete, Flag, Follow, Ignore),
    *(Like, Move, Reject, Remove, Undo, Update),
)
"""The activities that require an object; Block is a kind of Ignore."""
_NEED_TARGET: Final = (Add, Remove)


def check_recipients(recipients: Iterable[str]) -> None:
    """Refuse recipients that are no addresses.

    Raises:
        ValueError: A recipient is neither an http or https URL nor a form of `PUBLIC`.
    """
    for uri in recipients:
        if uri in PUBLIC_FORMS:
            continue
        try:
            _ = parse_url(uri)
        except RequestError as error:
            raise ValueError(f"to={uri!r:.200} is not the address of an actor or a collection: {error}") from error


def check_local_recipients(recipients: Iterable[str], *, places: RouteTable, origin: Origin) -> None:
    """Refuse recipients on our own origin that are neither an actor nor a collection.

    Raises:
        ValueError: No actor and no collection has this address.
    """
    for uri in recipients:
        if uri in PUBLIC_FORMS or parse_url(uri).origin != origin:
            continue
        place = places.read(origin, uri)
        if place is None or place.target.kind not in {"actor", "collection"}:
            raise ValueError(f"to={uri!r:.200} is neither an actor nor a collection of {origin}")


def check_activity(document: Document, *, by: str, places: RouteTable, origin: Origin) -> None:
    """Refuse a document that our actor ``by`` cannot send as an activity.

    Raises:
        ValueError: It is no activity, lacks the object that its type needs, or has an id under which nothing of this
            actor is served; or it creates or updates an object on another origin.
        ContractError: It has another actor.
    """
    if not _is_activity(document):
        raise ValueError(f"send takes an activity, not {_types(document)}: publish() takes objects")
    if any(map(document.is_a, _NEED_TARGET)) and not document.words.get("target"):
        raise ValueError(f"{_types(document)} needs a target: set target= to the collection that it changes")
    if any(map(document.is_a, _NEED_OBJECT)) and not Activity.over(document).objects:
        raise ValueError(f"{_types(document)} needs an object: set object=")
    if document.is_a(Create) or document.is_a(Update):
        _check_embedded_ids(document, origin)
    if document.id is not None:
        _check_id(document.id, by=by, places=places, origin=origin)
    actor = places.actor_uri(origin, by)
    stated_actor = document.words.get("actor", actor)
    if stated_actor != actor:
        raise ContractError(f"an activity sent by {by!r:.60} has the actor {stated_actor!r:.200}, not {actor}")


def check_object(document: Document, *, by: str, places: RouteTable, origin: Origin) -> None:
    """Refuse a document that our actor ``by`` cannot publish as an object.

    Raises:
        ValueError: It is an activity, an actor, a link or of no type, or has an id at which nothing of this actor would
            be served.
        ContractError: It is attributed to another actor.
    """
    if not document.types:
        raise ValueError("publish takes an object with a type, such as Note(...)")
    if document.is_a(Activity) or (not document.classes() and kind_of(document) is Kind.ACTIVITY):
        raise ValueError(f"publish takes an object, not the activity {_types(document)}: send() takes activities")
    if document.is_a(Link) or document.is_a(Actor):
        raise ValueError(f"publish takes an object, not {_types(document)}")
    actor = places.actor_uri(origin, by)
    author = document.words.get("attributedTo", actor)
    if author not in (actor, [actor]):
        raise ContractError(f"an object published by {by!r:.60} is attributed to {author!r:.200}, not {actor}")
    if document.id is None:
        return
    if "#" in document.id:
        raise ValueError(f"the id {document.id!r:.200} names a part of a document, where no object is served")
    _check_id(document.id, by=by, places=places, origin=origin)
    place = places.read(origin, document.id)
    served_type = place.target.name if place is not None and place.target.kind == "object" else None
    names = {*document.types, *(view.type_name for view in document.classes())}
    if served_type is not None and served_type not in names:
        raise ValueError(
            f"the id {document.id!r:.200} is one of {served_type}, so no {_types(document)} is served there"
        )


def _check_embedded_ids(activity: Document, origin: Origin) -> None:
    """Refuse a Create or an Update of an object on another origin: its receivers would not believe it."""
    for reference in Activity.over(activity).objects:
        uri = None if reference.embedded is None else reference.embedded.id
        if uri is not None and not same_origin(uri, str(origin)):
            raise ValueError(
                f"the object {uri!r:.200} is on another origin than {origin}: only its own server changes it"
            )


def _is_activity(document: Document) -> bool:
    if document.is_a(Activity):
        return True
    # A document of a type outside the vocabulary may be an activity if it has an actor or an object.
    return bool(document.types) and not document.classes() and not {"actor", "object"}.isdisjoint(document.words)


def _check_id(uri: str, *, by: str, places: RouteTable, origin: Origin) -> None:
    try:
        url = parse_url(uri)
    except RequestError as error:
        raise ValueError(f"the id {uri!r:.200} is no address: {error}") from error
    if url.origin != origin:
        raise ValueError(f"the id {uri!r:.200} is on another origin than {origin}: leave the id out, and one is made")
    base, hash_sign, _ = uri.partition("#")
    place = places.read(origin, base)
    if hash_sign and by == origin.host and base == places.actor_uri(origin, by):
        return
    # An activity may have an id with a fragment of its actor's id. apcore mints such ids itself.
    allowed = {"object", "managed", "actor"} if hash_sign else {"object", "managed"}
    if place is None or place.target.kind not in allowed:
        raise ValueError(f"nothing is served at the id {uri!r:.200}: register a route for it, or leave the id out")
    if place.target.kind in {"actor", "managed"} and place.identifier != by:
        raise ValueError(f"the id {uri!r:.200} belongs to {place.identifier!r:.60}, not to {by!r:.60}")


def _types(document: Document) -> str:
    return " and ".join(document.types) or "something of no type"
