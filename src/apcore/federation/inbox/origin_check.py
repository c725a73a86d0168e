"""Prove an activity by asking its actor's own server (rule d).

`apcore.federation.inbox.authenticate` has the rules and their order.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from attrs import evolve

from apcore.effects import Now, Op
from apcore.errors import FetchFailed, Refused, RemoteError, Unavailable
from apcore.federation.actors.keys import instance_identity
from apcore.federation.inbox.evidence import Authenticated, NotTheActor, is_old, too_old
from apcore.federation.inbox.parse import IncomingActivity, bytes_of, read_incoming
from apcore.federation.request_signers import KeyGone, Signed
from apcore.federation.site import Site
from apcore.http import same_origin
from apcore.remote import Gone, LoadedDocument, PeerFailing, load
from apcore.signatures import SignatureFromFuture
from apcore.vocab import Delete, Tombstone, owners_of, same_id

__all__ = ["OriginUnavailable", "by_origin"]

_AS2: Final = "https://www.w3.org/ns/activitystreams"


class OriginUnavailable(Unavailable):
    """Another actor delivered the activity, and its origin cannot be reached to confirm it."""

    reason = "origin-unavailable"


def by_origin(
    site: Site, incoming: IncomingActivity, now: datetime, failure: RemoteError | Unavailable, signer: Signed | None
) -> Op[Authenticated | None]:
    """Prove an activity by the answer of its actor's server; None if the rule does not apply.

    ``failure`` is the error of the request's signature, and ``signer`` its proved signer, if there is one.
    """
    if not site.signatures.asks_origin:
        return None
    if incoming.document.is_a(Delete):
        if incoming.is_about_its_actor:
            # Only the actor's own server may announce that the actor is gone. It signs with a key that is gone too, or
            # with the key of another local actor, such as its instance actor.
            is_own_key_gone = isinstance(failure, KeyGone) and same_origin(failure.key_id, incoming.actor)
            if not is_own_key_gone and (signer is None or not same_origin(signer.owner, incoming.actor)):
                return None
        elif signer is None:
            return None
        return (yield from _deleted_at_origin(site, incoming))
    if signer is None:
        return None
    loaded = yield from _load_for_stranger(site, incoming.id, fresh=False)
    proved = read_incoming(site, loaded.body)
    if (proved.id, proved.actor) != (incoming.id, incoming.actor):
        raise NotTheActor(f"the origin of {incoming.id} answers with {proved.id} of {proved.actor}")
    published = proved.activity.published
    if is_old(published, now, site):
        raise too_old("the activity", published)
    if published is not None and (published - now).total_seconds() > site.signatures.clock_skew_s:
        # We would forget its id before the activity counts as old, so it could be processed twice.
        raise SignatureFromFuture(
            f"the activity was published at {published.isoformat()}, later than the present time {now.isoformat()}"
        )
    return Authenticated(proved=proved, actor=proved.actor, auth_method="origin")


def _deleted_at_origin(site: Site, incoming: IncomingActivity) -> Op[Authenticated | None]:
    """Confirm a deletion at the object's origin: by a 410, or by a Tombstone.

    A 404 proves nothing, since it may be an outage. The result is a new Delete, with an id made from the object's id.
    The received activity stays unproved: otherwise a third party could use up its id.
    """
    object_uri = incoming.object_uri
    if object_uri is None or not same_origin(object_uri, incoming.actor):
        return None
    try:
        loaded = yield from _load_for_stranger(site, object_uri, fresh=True)
    except Gone:
        pass
    else:
        if loaded.document.id != object_uri or not loaded.document.is_a(Tombstone):
            return None
        owners = owners_of(loaded.document)
        if owners and not any(same_id(owner, incoming.actor) for owner in owners):
            return None
    members = {
        "@context": _AS2,
        "id": f"{object_uri}#delete",
        "type": "Delete",
        "actor": incoming.actor,
        "object": object_uri,
    }
    return Authenticated(proved=read_incoming(site, bytes_of(members)), actor=incoming.actor, auth_method="origin")


def _load_for_stranger(site: Site, uri: str, *, fresh: bool) -> Op[LoadedDocument]:
    """Load a document for a stranger's request: at the cost of its budget, and within the time limit for a key."""
    identity = yield from instance_identity(site)
    until = (yield from Now()) + timedelta(seconds=site.fetching.key_s_max)
    policy = evolve(site.asking, until=until)
    site.snapshot.drop()
    try:
        return (yield from load(uri, policy=policy, identity=identity, fresh=fresh))
    except (FetchFailed, PeerFailing) as error:
        # The peer learns only whether to retry. Responses from our network are not disclosed.
        if error.retryable:
            raise OriginUnavailable(f"{uri}: {error}", retry_after_s=error.retry_after_s) from error
        raise Refused(f"{uri} cannot be loaded to confirm the activity: {error}") from error
