"""What apcore does by itself about what arrives: following, in both directions, and its undoing.

These run in the worker, before the application's listener, and only note writes: they are committed with the fact that the activity is
processed, or not at all. A follow counts only when it was answered by whom it was asked of; an answer counts only if we asked.

Facts::

    ("followed", "1", H(actor), H(id))       whom a Follow of this id was accepted for, so that an Undo that only names it can be understood
    ("met", "1", H(actor))                   somebody who follows, or is followed: no stranger, however long nothing was heard
"""

from __future__ import annotations

import json
from typing import Any, Final

from apcore.effects import Call, Get, Op
from apcore.errors import RemoteError
from apcore.facts import pack, unpack
from apcore.federation.actors import inboxes_of, require_actor
from apcore.federation.context import ScopeFaces
from apcore.federation.places import Registered
from apcore.federation.policies import FollowVerdict
from apcore.federation.scope import Appending, Removing, Scope, Sending, Writing
from apcore.federation.site import Site
from apcore.federation.writes import follow_key
from apcore.ports import Delete as DeleteEntry
from apcore.ports import Key, Put, digest_part
from apcore.vocab import Accept, Activity, Document, Follow, Reference, Reject, Undo, View

__all__ = ["MANAGED", "met_key", "take_effect"]

_AS2: Final = "https://www.w3.org/ns/activitystreams"
_ASKED_S: Final = 30.0
"""For the inbox of a follower: a third of the lease of what is processed."""
MANAGED: Final[tuple[type[View], ...]] = (Follow, Undo, Accept, Reject)
"""The types of activity that something happens about without a listener."""


def take_effect(site: Site, scope: Scope[Any], activity: Activity) -> Op[None]:
    """Note what follows from an activity whose actor is proved.

    Asks for: for a Follow the actor's handler, the policy, and the follower's document (see `load`); for the others one `Get`.
    """
    document, actor = activity.document, activity.actor
    if actor is None or actor.uri is None or activity.object is None:
        return
    if document.is_a(Follow):
        yield from _followed(site, scope, document, actor.uri)
    elif document.is_a(Undo):
        yield from _undone(site, scope, activity.object, actor.uri)
    elif document.is_a(Accept) or document.is_a(Reject):
        yield from _answered(site, scope, activity.object, actor.uri, accepted=document.is_a(Accept))


def _followed(site: Site, scope: Scope[Any], document: Document, follower: str) -> Op[None]:
    follow = document.view(Follow)
    identifier = _ours(site, follow.object)
    if identifier is None:
        return
    try:
        _ = yield from require_actor(site, identifier)
    except RemoteError:
        return
    verdict = yield from _verdict(site, scope, follow)
    if verdict is FollowVerdict.WAIT:
        return
    # The answer embeds the request with its own id: some servers recognise it by nothing else. It is said in our words, and under our context. Under
    # the requester's, what we sign could mean anything: that we delete something, say, and his inbox may be somebody else's.
    request = {"id": document.id, "type": "Follow", "actor": follower, "object": follow.object and follow.object.uri}
    if verdict is FollowVerdict.ACCEPT:
        inboxes = yield from inboxes_of(site, follower, within_s=_ASKED_S)
        kept = json.dumps({"inbox": inboxes.inbox, "shared": inboxes.shared}).encode()
        scope.notes.append(Appending(_collection(site, "followers", identifier), follower, kept))
        about = pack({"follower": follower, "identifier": identifier})
        scope.notes.append(Writing(Put(_followed_key(follower, document.id or ""), about)))
        scope.notes.append(Writing(Put(met_key(follower), pack({"actor": follower}))))
    answer: dict[str, Any] = {
        "@context": _AS2,
        "type": "Accept" if verdict is FollowVerdict.ACCEPT else "Reject",
        "object": request,
    }
    _ = scope.address(Sending(Document(answer, answer), identifier, (follower,)))


def _verdict(site: Site, scope: Scope[Any], follow: Follow) -> Op[FollowVerdict]:
    policy = site.federation.follow_verdict
    if not isinstance(policy, Registered):
        return policy
    verdict = yield from Call(policy.fn, follow, faces=ScopeFaces(scope), inline=policy.inline)
    return FollowVerdict(verdict)


def _undone(site: Site, scope: Scope[Any], undone: Reference, actor: str) -> Op[None]:
    """Take back a Follow: embedded, or named by its id, or, where several have lost track of ids, by the pair it was between."""
    embedded = undone.claimed(Follow)
    if embedded is not None and embedded.object is not None:
        identifier = _ours(site, embedded.object)
        said_by = embedded.actor
        if identifier is not None and (said_by is None or said_by.uri == actor):
            scope.notes.append(Removing(_collection(site, "followers", identifier), actor))
        return
    if undone.uri is None:
        return
    key = _followed_key(actor, undone.uri)
    [entry] = yield from Get((key,))
    if entry is None:
        return
    fact = unpack(entry.value)
    if fact.text("follower") == actor:
        scope.notes.append(Removing(_collection(site, "followers", fact.text("identifier")), actor))
        scope.notes.append(Writing(DeleteEntry(key)))


def _answered(site: Site, scope: Scope[Any], answered: Reference, actor: str, *, accepted: bool) -> Op[None]:
    """Take in the answer to a Follow of ours; it counts only from whom was asked.

    It is recognised by the pair, since some servers give the embedded request an id of their own.
    """
    embedded = answered.claimed(Follow)
    follower = None if embedded is None or embedded.actor is None else embedded.actor.uri
    if follower is None and answered.uri is not None:
        follower = answered.uri.partition("#")[0]
    identifier = None if follower is None else site.identifier_of(follower)
    if identifier is None or follower is None:
        return
    key = follow_key(follower, actor)
    [entry] = yield from Get((key,))
    if entry is None:
        return
    fact = unpack(entry.value)
    if fact.text("object") != actor or (embedded is None and answered.uri != fact.text("id")):
        return
    following = _collection(site, "following", identifier)
    scope.notes.append(Appending(following, actor) if accepted else Removing(following, actor))
    state = {"id": fact.text("id"), "object": actor, "state": "accepted" if accepted else "rejected"}
    scope.notes.append(Writing(Put(key, pack(state))))
    if accepted:
        scope.notes.append(Writing(Put(met_key(actor), pack({"actor": actor}))))


def _ours(site: Site, reference: Reference | None) -> str | None:
    return None if reference is None or reference.uri is None else site.identifier_of(reference.uri)


def _collection(site: Site, name: str, identifier: str) -> str:
    return site.federation.places.uri(site.origin, "collection", name, identifier=identifier)


def met_key(actor: str) -> Key:
    """Give the key of the fact that somebody here follows an actor, or is followed by it."""
    return ("met", "1", digest_part(actor))


def _followed_key(follower: str, follow_id: str) -> Key:
    # Of its actor: neighbours on one origin may call different things by one id, and none takes another's Undo away.
    return ("followed", "1", digest_part(follower), digest_part(follow_id))
