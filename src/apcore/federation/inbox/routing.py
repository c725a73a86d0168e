"""Route an activity that another activity embeds or names through the rules of the inbox, as if it had been received.

Groups and relays pass on the activities of others inside an Announce. Its actor proves the Announce, and nothing about
the activity inside. So that one is proved anew, in this order:

1. by the proof or the LD signature of the embedded document;
2. by its origin, which serves it at its id.

If the origin serves an object at the address, and no activity, it is routed as the Create of that object by its owner.
The id of this Create is made from the id of the object. So an activity is only routed if its origin dates it, or dates
the object of a Create: an old activity never counts as new (`apcore.federation.inbox.authenticate`).

The activity is stored by the commit of the handler that routes it, and a worker processes it later.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from attrs import evolve

from apcore.effects import Now, Op
from apcore.errors import Refused, RemoteError
from apcore.federation.actors.keys import instance_identity
from apcore.federation.actors.profiles import load_actor
from apcore.federation.domain_checks import check_domain
from apcore.federation.inbox.addressee_rules import check_blocks, check_mentions, local_actors_in
from apcore.federation.inbox.claims import routed_claim
from apcore.federation.inbox.document_proofs import by_ld_signature, by_proof
from apcore.federation.inbox.evidence import Authenticated, is_old, too_old
from apcore.federation.inbox.parse import IncomingActivity, bytes_of, read_incoming
from apcore.federation.inbox.permissions import check_permitted
from apcore.federation.inbox.received_activity import Received
from apcore.federation.inbox.records import CLAIMS
from apcore.federation.moderation import Severity
from apcore.federation.policies import Drop
from apcore.federation.received_writes import WriteBatch
from apcore.federation.relays import is_relay
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.http import parse_url, same_origin
from apcore.signatures import SignatureFromFuture, SignatureMissing
from apcore.vocab import Create, Document, Kind, Object, Reference, Tombstone, kind_of, owners_of

__all__ = ["create_of", "date_of_activity", "route", "route_relayed"]

_FETCH_S: Final = 15.0
"""The time limit for fetching an activity from its origin."""


def route_relayed(received: Received) -> Op[None]:
    """Process what a relay of ours announces in place of the Announce. Announces of others change nothing.

    Effects: one `Get`, and those of `route`.

    Raises:
        Drop: The announced activity is refused.
    """
    if not (yield from is_relay(received.site, received.actor)):
        return
    received.scope.is_replaced = True
    reference = received.activity.object
    assert reference is not None  # side effects are applied to activities with an object only
    try:
        _ = yield from route(received.site, received.scope, reference)
    except RemoteError as error:
        raise Drop(f"what the relay announces is refused: {error}") from error


def route(site: Site, scope: UnitOfWork[Any], reference: Reference) -> Op[bool]:
    """Note that an activity is processed as if it had been received; return False if it was received before.

    An activity without a listener and without a side effect is not stored.

    Effects: `Now`; those of `key_named` for an embedded activity that is signed, else those of `load`; those of
    `check_blocks`, `check_mentions` and `routed_claim`.

    Raises:
        RemoteError: Nothing proves the activity, it is too old, its actor must not perform it, or all actors of ours
            that it names block that actor.
        Unavailable: Its origin or the server of its key does not answer now.
    """
    now = yield from Now()
    authenticated = yield from _authenticate(site, reference, now)
    actor = authenticated.actor
    if parse_url(actor).origin == site.origin:
        raise Refused(f"{authenticated.id} is an activity of this server, so it is not received")
    severity = yield from check_domain(site, actor)
    check_permitted(site, authenticated.activity, actor)
    actors_named = local_actors_in(site, authenticated.activity)
    yield from check_blocks(site, authenticated, None, actors_named)
    yield from check_mentions(site, authenticated, actors_named)
    federation = site.federation
    document = authenticated.document
    if federation.listener_for(document) is None and federation.side_effect_for(document) is None:
        return False
    is_silenced = scope.is_silenced or severity is Severity.SILENCE
    claim = yield from routed_claim(site, evolve(authenticated, relayed_by=scope.actor), silenced=is_silenced)
    if claim is None:
        return False
    key, batch = claim
    if any(isinstance(note, WriteBatch) and CLAIMS.absent(key) in note.batch.checks for note in scope.notes):
        return False  # this handler has routed it already
    scope.notes.append(WriteBatch(batch))
    return True


def _authenticate(site: Site, reference: Reference, now: datetime) -> Op[Authenticated]:
    embedded = reference.embedded
    if embedded is not None and not {"proof", "signature"}.isdisjoint(embedded.tree) and "@context" in embedded.tree:
        by_document = yield from _by_its_signature(site, embedded, now)
        if by_document is not None:
            return by_document
    if reference.uri is None:
        raise Refused("the activity has no id at which its origin could serve it, and no signature proves it")
    return (yield from _by_its_origin(site, reference.uri, now))


def _by_its_signature(site: Site, embedded: Document, now: datetime) -> Op[Authenticated | None]:
    """Prove an embedded activity by its own signature; None if that is not possible, so that its origin is asked."""
    try:
        incoming = read_incoming(site, bytes_of(embedded.tree))
        _ = yield from check_domain(site, incoming.actor)
        result = yield from by_proof(site, incoming, now)
        if result is None:
            no_request = SignatureMissing("an embedded activity has no request of its own")
            result = yield from by_ld_signature(site, incoming, now, no_request, None)
    except RemoteError:
        return None
    return None if result is None or is_old(result.signed, now, site) else result


def _by_its_origin(site: Site, uri: str, now: datetime) -> Op[Authenticated]:
    if parse_url(uri).origin == site.origin:
        raise Refused(f"{uri} is of this server, so it is not received")
    _ = yield from check_domain(site, uri)
    identity = yield from instance_identity(site)
    loaded = yield from load_actor(site, uri, identity=identity, within_s=_FETCH_S)
    document = loaded.document
    if kind_of(document) is Kind.ACTIVITY:
        proved = read_incoming(site, loaded.body)
    else:
        proved = read_incoming(site, bytes_of(create_of(document)))
    published = date_of_activity(proved)
    if is_old(published, now, site):
        raise too_old("the activity", published)
    if published is not None and (published - now).total_seconds() > site.signatures.clock_skew_s:
        raise SignatureFromFuture(f"the activity was published at {published.isoformat()}, later than now")
    return Authenticated(proved=proved, actor=proved.actor, auth_method="origin")


# --- leaves ---------------------------------------------------------------------------------------------------------


def create_of(document: Document) -> dict[str, Any]:
    """Return the Create of an object that was fetched from its origin."""
    owners = owners_of(document)
    if kind_of(document) is not Kind.OBJECT or document.is_a(Tombstone) or document.id is None or len(owners) != 1:
        raise Refused(f"{document.id} is neither an activity nor an object with one owner")
    if not same_origin(owners[0], document.id):
        raise Refused(f"{document.id} is attributed to {owners[0]}, of another origin")
    members: dict[str, Any] = {name: value for name, value in document.tree.items() if name != "@context"}
    addresses: dict[str, Any] = {
        name: members[name] for name in ("to", "cc", "audience", "published") if name in members
    }
    return {
        "@context": document.tree.get("@context"),
        "id": f"{document.id}#create",
        "type": Create.type_name,
        "actor": owners[0],
        **addresses,
        "object": members,
    }


def date_of_activity(proved: IncomingActivity) -> datetime | None:
    """Return the date of an activity; for a Create without one, that of its object."""
    if proved.activity.published is not None or not proved.document.is_a(Create):
        return proved.activity.published
    object_ = proved.activity.object
    return None if object_ is None or object_.embedded is None else Object.over(object_.embedded).published
