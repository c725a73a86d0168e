"""An activity as it is written, before anybody has proved anything: what it is, its id, and who is said to have done it."""

from __future__ import annotations

import json
from typing import Any, Final

from attrs import field, frozen

from apcore.errors import DocumentError, Refused, RequestError
from apcore.federation.site import Site
from apcore.http import parse_url, same_origin
from apcore.jsonld import DEFAULT_LIMITS, WorkBudget
from apcore.remote import NotAnActivity
from apcore.vocab import Activity, Delete, Document, Kind, Update, kind_of, read_document, same_id

__all__ = ["DONE_KEPT_S", "IncomingActivity", "bytes_of", "read_incoming"]

DONE_KEPT_S: Final = 30 * 86400.0
"""How long an id stays used up: longer than anybody tries again (7 days), and than signatures count. What is older is not new."""


@frozen
class IncomingActivity:
    """An activity as somebody has written it, read but not believed."""

    body: bytes = field(repr=False)
    document: Document
    activity: Activity
    id: str
    actor: str
    work: WorkBudget = field(repr=False, eq=False)
    """The rest of the budget of the document: its proofs are read with that."""

    @property
    def object_uri(self) -> str | None:
        """What it is done to."""
        return None if self.activity.object is None else self.activity.object.uri

    @property
    def is_about_its_actor(self) -> bool:
        """Whether its actor says that it has changed, or is gone."""
        object_uri = self.object_uri
        about = self.document.is_a(Delete) or self.document.is_a(Update)
        return about and object_uri is not None and same_id(object_uri, self.actor)


def read_incoming(site: Site, body: bytes) -> IncomingActivity:
    """Read an activity.

    Raises:
        RequestError, LimitExceeded: It cannot be read.
        NotAnActivity: It is none, or has not one actor and an id.
        Refused: Its id is of another origin than its actor: nobody may use up the ids of another server.
    """
    work = WorkBudget(DEFAULT_LIMITS, len(body))
    try:
        document = read_document(body, vocabulary=site.federation.vocabulary, work=work)
    except DocumentError as error:
        raise RequestError(f"the body cannot be read: {error}") from error
    if not document.is_a(Activity) and not _looks_like_one(document):
        raise NotAnActivity(f"the body is {document.types or 'of no type'}, and no activity")
    activity = Activity.over(document)
    actor = activity.actor
    if actor is None or actor.uri is None:
        raise NotAnActivity("the activity has no actor, or several")
    ident = document.id or _stand_in_id(activity)
    if ident is None:
        raise NotAnActivity("the activity has no id, so it could not be told from its repetition")
    _ = parse_url(actor.uri)
    if not same_origin(ident, actor.uri):
        raise Refused(f"activity {ident} is not of the origin of its actor {actor.uri}")
    return IncomingActivity(body, document, activity, ident, actor.uri, work)


def bytes_of(members: dict[str, Any]) -> bytes:
    """Write down what was proved, where it is not what came."""
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _stand_in_id(activity: Activity) -> str | None:
    """Give a name to a Delete without id, as GoToSocial sends it: nothing is deleted twice, so what is deleted tells it from others."""
    deleted = activity.object if activity.document.is_a(Delete) else None
    return None if deleted is None or deleted.uri is None else f"{deleted.uri}#delete"


def _looks_like_one(document: Document) -> bool:
    """Whether it is an activity of a type that nobody here knows (Lemmy's Lock, say): no reason to complain, and nobody listens to it."""
    return not document.classes() and bool(document.types) and kind_of(document) is Kind.ACTIVITY
