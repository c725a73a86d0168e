"""Recognise the Updates and Deletes of actors that are unknown here, before anything is fetched for them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from apcore.effects import Get, Now, Op
from apcore.federation.actors.keys import existing_identity
from apcore.federation.inbox.document_proofs import keys_named
from apcore.federation.inbox.evidence import Authenticated
from apcore.federation.inbox.parse import IncomingActivity
from apcore.federation.relations.records import MET_ACTORS, ActorKey
from apcore.federation.request_signers import RequestSignatures
from apcore.federation.site import Site
from apcore.remote import cached_key_owners, cached_owners, end_refresh_pause
from apcore.vocab import Actor, same_id

__all__ = ["CLOCK_BEHIND_S", "is_stranger", "note_changed_keys"]

CLOCK_BEHIND_S: Final = 60.0
"""How far a peer's clock may be behind ours.

An Update of its keys counts as later than our last refresh of them even if its date is so much earlier."""


def is_stranger(site: Site, incoming: IncomingActivity, signatures: RequestSignatures) -> Op[bool]:
    """Return whether a signed activity comes from an actor that is unknown here.

    Such an actor neither follows nor is followed here, none of its keys was looked up lately, and its document is not
    cached. The keys are those that the signatures name, and ``#main-key``, which most actors have. A key's owner is
    remembered for longer than the key is valid (`FetchPolicy.key_kept_s`).

    The answer for an unsigned activity is False: authentication refuses it. It also refuses a signature that cannot be
    parsed.
    """
    key_ids = [signature.key_id for signature in signatures.presented]
    key_ids += keys_named(incoming.document.tree)
    if not key_ids:
        return False
    owners = yield from cached_key_owners([*dict.fromkeys([*key_ids, f"{incoming.actor}#main-key"])])
    if any(owner is not None and same_id(owner, incoming.actor) for owner in owners):
        return False
    [met_entry] = yield from Get((MET_ACTORS.key(ActorKey.of(incoming.actor)),))
    if met_entry is not None:
        return False
    identity = yield from existing_identity(site)
    return (yield from cached_owners(incoming.actor, identity=identity)) is None


def note_changed_keys(site: Site, authenticated: Authenticated) -> Op[None]:
    """End the refresh pause of an actor's keys after its Update or Delete of itself; see `end_refresh_pause`.

    These are the keys that the activity names. They are fetched again as soon as a signature fails with them.
    """
    key_ids = [f"{authenticated.actor}#main-key", authenticated.key_id]
    actor = authenticated.activity.object
    if actor is not None and actor.embedded is not None:
        view = Actor.over(actor.embedded)
        key_ids += [key.uri for key in (*view.public_keys, *view.assertion_method)[: site.fetching.keys_max]]
    signed = authenticated.signed or (yield from Now())
    site.snapshot.drop()
    yield from end_refresh_pause(
        list(dict.fromkeys(key_id for key_id in key_ids if key_id)),
        owner=authenticated.actor,
        updated_at=signed + timedelta(seconds=CLOCK_BEHIND_S),
        policy=site.fetching,
    )
