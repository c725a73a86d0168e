"""Compare our follows of the sender of an activity with its header `Collection-Synchronization` (FEP-8fcf).

`apcore.federation.followers_sync` describes the header. It counts if the actor's own signature covers it, and if it
names the followers collection in the actor's document. If its digest differs from ours, the list is fetched from the
sender's server, and both sides are brought into agreement:

- An actor of ours that is not in the list does not follow any more.
- For an actor in the list that does not follow, an Undo of its Follow is sent.

A list with another digest than the header's changes nothing: it is newer than the header, or incomplete.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, Final

from attrs import evolve

from apcore.collections import TraversalBounds, traverse
from apcore.collections.records import MEMBERSHIPS, MembershipKey
from apcore.effects import Get, Now, Op, Scan
from apcore.errors import RemoteError, Unavailable
from apcore.federation.actors.keys import instance_identity
from apcore.federation.actors.profiles import load_actor, require_actor
from apcore.federation.followers_sync import FIELD, FollowersState, followers_digest
from apcore.federation.inbox.evidence import Authenticated
from apcore.federation.relations.records import RELATIONS
from apcore.federation.relations.stored import true_state
from apcore.federation.relations.table import Direction, RelationEvent, RelationState
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.write_notes import RelationUpdate, SendActivity
from apcore.http import Request, same_origin
from apcore.ports import GET_KEYS_MAX, digest_part
from apcore.remote import load
from apcore.vocab import Actor, Document

__all__ = ["CHANGES_MAX", "OWN_FOLLOWERS_MAX", "covered_state", "synchronize_followers"]

OWN_FOLLOWERS_MAX: Final = 1000
"""The most relations with one actor that are compared."""
CHANGES_MAX: Final = 10
"""The most relations that one activity changes. The next activity brings the header again."""
_BOUNDS: Final = TraversalBounds(pages_max=10, items_max=OWN_FOLLOWERS_MAX)
_TEXT_MAX: Final = 4096
_FETCH_S: Final = 10.0
_AS2: Final = "https://www.w3.org/ns/activitystreams"
_LOG: Final = logging.getLogger(__name__)


def covered_state(request: Request, by_request: Authenticated | None) -> str | None:
    """Return the value of the header if the signature of the activity's actor covers it, else None."""
    text = request.headers.get(FIELD)
    signature = None if by_request is None else by_request.signature
    if text is None or len(text) > _TEXT_MAX or signature is None:
        return None
    # RFC 9421 writes the names of components in quotation marks.
    return text if {FIELD, f'"{FIELD}"'} & {*signature.covered} else None


def synchronize_followers(site: Site, scope: UnitOfWork[Any], text: str | None) -> Op[None]:
    """Note the changes that bring our relations with the sender into agreement with its header.

    Effects: none without a header. Else one `Scan`, one `Get` for each 100 of our actors, and those of `load` for the
    actor; if the digests differ, also for up to ten pages of the list.
    """
    actor, state = scope.actor, None if text is None else FollowersState.parse(text)
    if actor is None or state is None or not same_origin(state.url, actor):
        return
    try:
        identity = yield from instance_identity(site)
        loaded = yield from load_actor(site, actor, identity=identity, within_s=_FETCH_S)
        collection = Actor.over(loaded.document).followers
        if collection is None or collection.uri != state.collection:
            return
        states = yield from _states_of(site, actor)
        if states is None:
            return
        accepted = {us for us, relation in states.items() if relation is RelationState.ACCEPTED}
        if followers_digest(accepted) == state.digest:
            return
        listed = yield from _load_list(site, state.url)
    except (RemoteError, Unavailable) as error:
        _LOG.info("the followers of %s are not synchronised: %s", actor, error)
        return
    if followers_digest(listed) != state.digest:
        return
    for us in sorted(accepted - listed)[:CHANGES_MAX]:
        _LOG.info("%s does not follow %s any more, by the list of its server", us, actor)
        scope.notes.append(RelationUpdate(Direction.OUTBOUND, us, actor, RelationEvent.END))
    pending = {us for us, relation in states.items() if relation is RelationState.PENDING}
    for us in sorted(listed - accepted - pending)[:CHANGES_MAX]:
        yield from _undo_follow(site, scope, us, actor)


def _states_of(site: Site, actor: str) -> Op[dict[str, RelationState] | None]:
    """Return the state of the Follow of ``actor`` by each of our actors at this origin; None if there are too many.

    Effects: one `Scan`, and one `Get` for each 100 of our actors.
    """
    entries = yield from Scan(RELATIONS.at(digest_part(actor)), limit=OWN_FOLLOWERS_MAX)
    if len(entries) == OWN_FOLLOWERS_MAX:
        return None
    decoded_records = [RELATIONS.decode(entry.value) for entry in entries]
    records = [
        record
        for record in decoded_records
        if record.direction == Direction.OUTBOUND.value
        and record.them == actor
        and same_origin(record.us, str(site.origin))
    ]
    states: dict[str, RelationState] = {}
    for start in range(0, len(records), GET_KEYS_MAX):
        part = records[start : start + GET_KEYS_MAX]
        memberships = yield from Get([MEMBERSHIPS.key(MembershipKey.of(record.members, actor)) for record in part])
        for record, membership in zip(part, memberships, strict=True):
            states[record.us] = true_state(RelationState(record.state), membership is not None)
    return states


def _load_list(site: Site, url: str) -> Op[set[str]]:
    """Return the ids in the collection at ``url``. Its pages have to be on the same origin."""
    identity = yield from instance_identity(site)
    until = (yield from Now()) + timedelta(seconds=_FETCH_S)
    policy = evolve(site.fetching, until=until)
    # A cached copy may be older than the header.
    _ = yield from load(url, policy=policy, identity=identity, fresh=True, unnamed=True)
    traversal = yield from traverse(url, policy=policy, identity=identity, bounds=_BOUNDS)
    return {item.uri for item in traversal.items if item.uri is not None}


def _undo_follow(site: Site, scope: UnitOfWork[Any], us: str, actor: str) -> Op[None]:
    identifier = site.identifier_of(us)
    if identifier is None:
        return
    try:
        _ = yield from require_actor(site, identifier)
    except RemoteError:
        return
    follow = {"type": "Follow", "actor": us, "object": actor}
    tree = {"@context": _AS2, "type": "Undo", "object": follow}
    _ = scope.address(SendActivity(Document(tree, tree), identifier, (actor,)))
