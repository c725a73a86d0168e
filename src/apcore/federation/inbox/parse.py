"""Parse an incoming activity before it is authenticated: its type, its id, and the actor that it claims.

Nothing that this module returns is proved yet. `apcore.federation.inbox.authenticate` proves it.
"""

from __future__ import annotations

import json
from typing import Any

from attrs import field, frozen

from apcore.errors import DocumentError, Refused, RequestError
from apcore.federation.site import Site
from apcore.http import parse_url, same_origin
from apcore.jsonld import DEFAULT_LIMITS, WorkBudget
from apcore.remote import NotAnActivity
from apcore.vocab import Activity, Delete, Document, Kind, Update, kind_of, read_document, same_id

__all__ = ["IncomingActivity", "bytes_of", "read_incoming"]


@frozen
class IncomingActivity:
    """A received activity that is parsed and not yet authenticated."""

    body: bytes = field(repr=False)
    document: Document
    activity: Activity
    id: str
    """The id of the activity; for a Delete without one, an id made from its object's."""
    actor: str
    """The actor that the activity claims."""
    work: WorkBudget = field(repr=False, eq=False)
    """The rest of the document's work budget. Its proofs are read from the same budget."""

    @property
    def object_uri(self) -> str | None:
        """Return the address of the activity's object, None if it has none."""
        return None if self.activity.object is None else self.activity.object.uri

    @property
    def is_about_its_actor(self) -> bool:
        """Return whether this is an Update or a Delete of the actor itself."""
        object_uri = self.object_uri
        is_change = self.document.is_a(Delete) or self.document.is_a(Update)
        return is_change and object_uri is not None and same_id(object_uri, self.actor)


def read_incoming(site: Site, body: bytes) -> IncomingActivity:
    """Parse the body of a request to an inbox.

    Raises:
        RequestError, LimitExceeded: The body cannot be parsed.
        NotAnActivity: The document is no activity, or does not have exactly one actor and an id.
        Refused: The id is of another origin than the actor. Otherwise an actor could use up the ids of another server.
    """
    work = WorkBudget(DEFAULT_LIMITS, len(body))
    try:
        document = read_document(body, vocabulary=site.federation.vocabulary, work=work)
    except DocumentError as error:
        raise RequestError(f"the body cannot be read: {error}") from error
    if not document.is_a(Activity) and not _is_unknown_activity(document):
        raise NotAnActivity(f"the body is no activity: its type is {document.types or 'missing'}")
    activity = Activity.over(document)
    actor = activity.actor
    if actor is None or actor.uri is None:
        raise NotAnActivity("the activity has no actor or several: exactly one is needed")
    activity_id = document.id or _stand_in_id(activity)
    if activity_id is None:
        raise NotAnActivity("the activity has no id, so a repetition of it could not be recognised")
    _ = parse_url(actor.uri)
    if not same_origin(activity_id, actor.uri):
        raise Refused(f"the id {activity_id} is of another origin than the activity's actor {actor.uri}")
    return IncomingActivity(body, document, activity, activity_id, actor.uri, work)


def bytes_of(members: dict[str, Any]) -> bytes:
    """Serialise a proved document that differs from the received body."""
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _stand_in_id(activity: Activity) -> str | None:
    """Return an id for a Delete without one, as GoToSocial sends it; None for other activities.

    An object is deleted only once, so the object identifies the Delete.
    """
    deleted = activity.object if activity.document.is_a(Delete) else None
    return None if deleted is None or deleted.uri is None else f"{deleted.uri}#delete"


def _is_unknown_activity(document: Document) -> bool:
    """Return whether a document is an activity of an unknown type, such as Lemmy's Lock.

    It is not refused as malformed. No listener handles it, so it is ignored later.
    """
    return not document.classes() and bool(document.types) and kind_of(document) is Kind.ACTIVITY
