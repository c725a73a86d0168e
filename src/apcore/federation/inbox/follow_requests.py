"""Answer a received Follow according to the policy of the application.

A Follow of a silenced domain that the policy would accept waits for approval.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import evolve

from apcore.effects import Call, Op
from apcore.errors import RemoteError
from apcore.federation.actors.profiles import inboxes_of, require_actor
from apcore.federation.context import UnitContexts
from apcore.federation.ignored_reasons import IgnoredReason
from apcore.federation.inbox.received_activity import Received, relation_updates
from apcore.federation.outbox.records import encode_inboxes
from apcore.federation.policies import FollowVerdict
from apcore.federation.received_writes import WriteEntry
from apcore.federation.relations.actions import note_follow
from apcore.federation.relations.changes import is_overtaken
from apcore.federation.relations.records import DELETED_ACTORS, ActorKey
from apcore.federation.relations.stored import Relation, read_relation
from apcore.federation.relations.table import RelationAction, RelationEvent, transition
from apcore.federation.relays import may_follow_back
from apcore.federation.routes import Registered
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.write_notes import SendActivity
from apcore.remote import revive_actor
from apcore.vocab import Document, Follow

__all__ = ["answer_follow"]

_AS2: Final = "https://www.w3.org/ns/activitystreams"
_LOOK_UP_S: Final = 30.0
"""The time limit for looking up the inbox of a follower: a third of the lease of the message."""


def answer_follow(received: Received) -> Op[None]:
    """Store a request to follow one of our actors, and answer it according to the policy."""
    site, scope, follower = received.site, received.scope, received.actor
    follow = received.document.view(Follow)
    updates = yield from relation_updates(received)
    if not updates:
        received.log_ignored(IgnoredReason.NO_ACTOR, None if follow.object is None else follow.object.uri)
    for update in updates:
        identifier = site.identifier_of(update.us)
        if identifier is None:
            continue
        relation = yield from read_relation(site.federation.places, update.direction, update.us, update.them)
        if relation is not None and is_overtaken(relation, update):
            continue  # its Undo, or a later Follow, is processed already
        if identifier == site.origin.host:
            # Only relays that the instance actor follows may follow it. Those of the LitePub kind follow back.
            if not (yield from may_follow_back(site, follower)):
                received.log_ignored(IgnoredReason.NO_ACTOR, update.us)
                continue
            verdict = FollowVerdict.ACCEPT
        else:
            try:
                _ = yield from require_actor(site, identifier)
            except RemoteError:
                received.log_ignored(IgnoredReason.NO_ACTOR, update.us)
                continue
            verdict = yield from _verdict(site, scope, follow, relation)
        if verdict is FollowVerdict.REJECT:
            scope.notes.append(update)
        else:
            yield from revive_actor(follower)
            inboxes = yield from inboxes_of(site, follower, within_s=_LOOK_UP_S)
            scope.notes += [
                evolve(update, item=encode_inboxes(inboxes)),
                WriteEntry(DELETED_ACTORS.delete(ActorKey.of(follower))),
            ]
        if verdict is not FollowVerdict.PENDING:
            _ = scope.address(SendActivity(_answer(received, follow, verdict), identifier, (follower,)))
        is_relay = identifier == site.federation.places.relay_identifier
        is_litepub = follow.object is not None and follow.object.uri == update.us
        if is_relay and is_litepub and verdict is FollowVerdict.ACCEPT:
            # Servers of the LitePub kind expect that the relay follows back.
            _ = yield from note_follow(scope, follower, identifier)


def _verdict(site: Site, scope: UnitOfWork[Any], follow: Follow, relation: Relation | None) -> Op[FollowVerdict]:
    actions = () if relation is None else transition(relation.state, RelationEvent.FOLLOW).actions
    if RelationAction.REFUSE in actions:
        return FollowVerdict.REJECT
    policy = site.federation.follow_verdict
    verdict = policy
    if isinstance(policy, Registered):
        answer = yield from Call(policy.fn, follow, contexts_for=UnitContexts(scope))
        verdict = FollowVerdict(answer)
    assert isinstance(verdict, FollowVerdict)
    is_follower = RelationAction.CONFIRM in actions
    if scope.is_silenced and verdict is FollowVerdict.ACCEPT and not is_follower:
        return FollowVerdict.PENDING
    return FollowVerdict.ACCEPT if is_follower and verdict is FollowVerdict.PENDING else verdict


def _answer(received: Received, follow: Follow, verdict: FollowVerdict) -> Document:
    # The answer embeds the request with its original id, because some servers recognise the request by that id alone.
    # It is rewritten under our own context. Under the requester's context, our signed text could mean anything, for
    # instance a Delete.
    members = {
        "id": received.document.id,
        "type": "Follow",
        "actor": received.actor,
        "object": follow.object and follow.object.uri,
    }
    request = {name: value for name, value in members.items() if value is not None}
    kind = "Accept" if verdict is FollowVerdict.ACCEPT else "Reject"
    answer: dict[str, Any] = {"@context": _AS2, "type": kind, "object": request}
    return Document(answer, answer)
