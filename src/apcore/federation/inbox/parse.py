"""Parse an incoming activity before it is authenticated: its type, its id, and the actor that it claims.

Nothing that this module returns is proved yet. `apcore.federation.inbox.authenticate` proves it.

Some activities come without an id. They get one that stands in for it, so that a repetition is recognised:

- A Delete gets an id that is made from its object's id, since an object is deleted only once. GoToSocial sends such
  Deletes.
- A Like, an Announce, a Follow or an Undo gets an id that is made from its type, its actor and its object. It counts
  only in a request that its actor has signed: a proof within the document could be sent again after an Undo.

Others are refused: two Creates without ids could be one or two.
"""

from __future__ import annotations

import json
from typing import Any, Final

from attrs import field, frozen

from apcore.errors import DocumentError, Refused, RequestError
from apcore.federation.site import Site
from apcore.http import parse_url, same_origin
from apcore.jsonld import DEFAULT_LIMITS, WorkBudget
from apcore.ports import digest_part
from apcore.remote import NotAnActivity
from apcore.vocab import (
    PUBLIC_FORMS,
    Activity,
    Announce,
    Delete,
    Document,
    Follow,
    Kind,
    Like,
    Undo,
    Update,
    kind_of,
    read_document,
    same_id,
)

__all__ = ["ACTORS_MAX", "IncomingActivity", "bytes_of", "read_incoming"]

ACTORS_MAX: Final = 20
"""The most actors of an activity, if the policy allows several."""
_ABOUT_ACTORS: Final = frozenset({Delete, Update})
_REPEATABLE: Final = frozenset(view.type_name for view in (Like, Announce, Follow, Undo))
"""The types whose object identifies the activity. A subtype may mean more: each emoji is a reaction of its own."""


@frozen
class IncomingActivity:
    """A received activity that is parsed and not yet authenticated."""

    body: bytes = field(repr=False)
    document: Document
    activity: Activity
    id: str
    """The id of the activity, or the one that stands in for it (see above)."""
    actor: str
    """The actor that the activity claims; the first, if the policy allows several."""
    actor_host: str
    """The host of ``actor``."""
    work: WorkBudget = field(repr=False, eq=False)
    """The rest of the document's work budget. Its proofs are read from the same budget."""

    @property
    def needs_signed_request(self) -> bool:
        """Return whether only a request that its actor signed can prove the activity, since it has no id."""
        return self.document.id is None and not self.document.is_a(Delete)

    @property
    def undone_id(self) -> str | None:
        """Return the id of the activity that this Undo undoes; None for other activities.

        An embedded activity without an id has the one that stands in for it.
        """
        return _undone_id(self.activity, self.actor)

    @property
    def object_uri(self) -> str | None:
        """Return the address of the activity's object, None if it has none."""
        return None if self.activity.object is None else self.activity.object.uri

    @property
    def is_about_its_actor(self) -> bool:
        """Return whether this is an Update or a Delete of the actor itself."""
        if not self.document.is_one_of(_ABOUT_ACTORS):
            return False
        object_uri = self.object_uri
        return object_uri is not None and same_id(object_uri, self.actor)


def read_incoming(site: Site, body: bytes) -> IncomingActivity:
    """Parse the body of a request to an inbox.

    Raises:
        RequestError, LimitExceeded: The body cannot be parsed.
        NotAnActivity: The document is no activity, does not have exactly one actor, or has neither an id nor one that
            can stand in for it.
        Refused: The id is of another origin than the actor. Otherwise an actor could use up the ids of another server.
    """
    work = WorkBudget(DEFAULT_LIMITS, len(body))
    try:
        document = read_document(body, vocabulary=site.federation.vocabulary, work=work)
    except DocumentError as error:
        raise RequestError(f"the body cannot be read: {error}") from error
    if not document.is_a(Activity) and not _is_unknown_activity(document):
        types = ", ".join(document.types)
        raise NotAnActivity(f"the body is no activity: its type is {types}" if types else _why_no_type(document))
    activity = Activity.over(document)
    actor = _actor_of(site, activity)
    activity_id = document.id or _stand_in_id(activity, actor)
    if activity_id is None:
        raise NotAnActivity("the activity has no id, so a repetition of it could not be recognised")
    actor_host = parse_url(actor).origin.host
    if not same_origin(activity_id, actor):
        raise Refused(f"the id {activity_id} is of another origin than the activity's actor {actor}")
    return IncomingActivity(body, document, activity, activity_id, actor, actor_host, work)


def bytes_of(members: dict[str, Any]) -> bytes:
    """Serialise a proved document that differs from the received body."""
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _why_no_type(document: Document) -> str:
    context = document.tree.get("@context")
    if isinstance(context, list) and None in context:
        return "the activity has no type: a null in its @context removes the meaning of its members"
    return "the activity has no type"


def _actor_of(site: Site, activity: Activity) -> str:
    """Return the id of the activity's actor: of the first, if the policy allows several of one origin."""
    sole_actor = activity.document.words.get("actor")
    if type(sole_actor) is str and sole_actor and sole_actor not in PUBLIC_FORMS:
        return sole_actor  # as nearly every server writes it: no reference needs to be made
    uris = [actor.uri for actor in activity.actors[: ACTORS_MAX + 1]]
    if not uris:
        raise NotAnActivity("the activity has no actor")
    first, *others = uris
    if first is None or None in others:
        raise NotAnActivity("an actor of the activity has no id")
    if others and site.federation.several_actors == "refuse":
        raise NotAnActivity("the activity has several actors: exactly one is needed")
    if len(uris) > ACTORS_MAX:
        raise NotAnActivity(f"the activity has more than {ACTORS_MAX} actors")
    if not all(same_origin(first, other or "") for other in others):
        raise NotAnActivity("the activity has actors of several origins")
    return first


def _is_unknown_activity(document: Document) -> bool:
    """Return whether a document is an activity of an unknown type, such as Lemmy's Lock.

    It is not refused as malformed. No listener handles it, so it is ignored later.
    """
    return not document.classes() and bool(document.types) and kind_of(document) is Kind.ACTIVITY


# --- ids that stand in --------------------------------------------------------------------------------------------


def _stand_in_id(activity: Activity, actor: str) -> str | None:
    """Return an id for an activity of ``actor`` without one; None if nothing identifies it.

    It is on the origin of ``actor``, except for a Delete of an object on another origin.
    """
    object_uri = None if activity.object is None else activity.object.uri
    if activity.document.is_a(Delete):
        return None if object_uri is None else f"{object_uri}#delete"
    types = activity.document.types
    if len(types) != 1 or types[0] not in _REPEATABLE or len(activity.objects) != 1:
        return None
    object_id = _undone_id(activity, actor) if types[0] == Undo.type_name else object_uri
    if object_id is None:
        return None
    return f"{actor.partition('#')[0]}#{types[0].lower()}-{digest_part(object_id)}"


def _undone_id(activity: Activity, actor: str) -> str | None:
    """Return the id of the activity that an Undo of ``actor`` undoes; None for other activities.

    An embedded activity without an id has the one that stood in for it.
    """
    undone = activity.object if activity.document.is_a(Undo) and len(activity.objects) == 1 else None
    if undone is None or undone.uri is not None:
        return None if undone is None else undone.uri
    if undone.embedded is None or undone.embedded.is_a(Undo) or undone.embedded.is_a(Delete):
        return None
    undone_activity = Activity.over(undone.embedded)
    undone_actor = undone_activity.actor
    if undone_actor is not None and not same_id(undone_actor.uri or "", actor):
        return None
    return _stand_in_id(undone_activity, actor)
