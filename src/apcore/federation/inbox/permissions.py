"""Ask the application's policy whether an actor may change what belongs to another one, such as a group's moderator.

FEP-fe34 lets an actor change only its own documents and collections. `Federation.may_change` sets a policy for the
changes of others. The worker asks it, so an inbox answers such an activity with 202 before it is known whether it has
an effect. Without a policy, the inbox refuses it with 403.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from apcore.effects import Call, Op
from apcore.errors import Refused
from apcore.federation.context import UnitContexts
from apcore.federation.policies import Drop
from apcore.federation.refusals import one_line
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.remote import OwnerUnclear, check_change
from apcore.vocab import Activity, Add, Delete, Document, Move, Remove, Update

__all__ = ["changed_ids", "check_permitted", "is_permitted"]

CHANGED_MAX: Final = 20
"""The most objects of one activity for which the policy is asked."""
_CHANGES: Final = frozenset({Update, Delete, Move})
_LOG: Final = logging.getLogger("apcore.inbox")


def check_permitted(site: Site, activity: Activity, actor: str) -> None:
    """Refuse a change that ``actor`` may not make, unless the application's policy has to decide about it.

    Raises:
        NotAnActivity: The activity names no object that it changes.
        Refused: The object belongs to another actor, and there is no policy that could permit the change. Or it is an
            actor of ours, or something under it, which no policy leaves to others.
    """
    try:
        check_change(activity, actor)
    except OwnerUnclear:
        raise
    except Refused:
        if site.federation.change_policy is None or not _is_askable(activity.document):
            raise
    _check_not_ours(site, activity, actor)


def _check_not_ours(site: Site, activity: Activity, actor: str) -> None:
    """Refuse the change of an actor of ours, or of anything under it, by another actor.

    `check_change` refuses changes across origins, but knows no owner of an object that is only named. It allows every
    object of a Move.
    """
    if not activity.document.is_one_of(_CHANGES):
        return
    is_askable = activity.document.is_a(Delete) and site.federation.change_policy is not None
    for uri in (reference.uri for reference in activity.objects):
        route = None if uri is None else site.federation.places.read(site.origin, uri)
        if route is None or (route.identifier is None and route.target.kind != "instance"):
            continue
        if is_askable and route.target.kind in {"managed", "object"}:
            continue  # the application's policy decides
        if route.identifier is None or site.actor_uri(route.identifier) != actor:
            raise Refused(f"{actor} changes {uri}, which only its own actor on this server can change")


def is_permitted(site: Site, scope: UnitOfWork[Any], activity: Activity, actor: str) -> Op[bool]:
    """Return whether the policy permits a change of what belongs to another actor; False for an actor's own changes.

    Effects: none for an actor's own changes; else one `Call` for each object.

    Raises:
        Drop: The policy does not permit the change.
    """
    try:
        check_change(activity, actor)
    except Refused:
        pass
    else:
        return False
    policy = site.federation.change_policy
    ids = changed_ids(activity)
    if policy is not None and ids and _is_askable(activity.document):
        for object_id in ids[:CHANGED_MAX]:
            answer = yield from Call(policy.fn, actor, activity, object_id, contexts_for=UnitContexts(scope))
            if not answer:
                break
        else:
            if len(ids) <= CHANGED_MAX:
                return True
    words = (", ".join(activity.document.types), scope.activity_id or "", actor, ", ".join(ids))
    _LOG.info("no effect of %s %s by %s on %s: not-permitted", *(one_line(word, chars_max=300) for word in words))
    raise Drop("may_change does not permit it")


def changed_ids(activity: Activity) -> list[str]:
    """Return the ids of the objects that an activity changes: for an Add or a Remove, those of the collections."""
    is_about_target = activity.document.is_a(Add) or activity.document.is_a(Remove)
    references = activity.targets if is_about_target else activity.objects
    return list(dict.fromkeys(reference.uri for reference in references if reference.uri is not None))


def _is_askable(document: Document) -> bool:
    """Return whether the policy may permit an activity. The content of an object is its author's alone."""
    return not document.is_a(Update)
