"""Receive activities at an inbox: read, authenticate, claim once and enqueue them, then answer with 202.

The order matters. Nothing is stored, and no handler is called, before the sender is authenticated and is allowed to
make the statement. The answer is 202 only after the activity is in the store and a message for it is on the queue.

Records::

    ("in", "1", H(actor), H(id), H(origin), H(inbox))        a claim: pending, then done. A done claim is stored for
                                                             longer than any sender retries
    ("in-todo", "1", H(actor), H(id), H(origin), H(inbox))   the proved activity, byte for byte, until it is processed
    ("used", "1", H(key id), H(signature))                   an HTTP signature that was used, for as long as it is valid

A claim is for one actor, id and inbox. An activity that its actor delivers to two inboxes is processed in both, and
only its actor can use up its id. An activity that another actor delivers is processed once at an origin of ours,
whichever inbox it reaches. The reason is that no proof in a document names the inbox it is meant for. Otherwise a third
party could take a Follow that was undone in one inbox to the next inbox, and it would count again.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import timedelta
from typing import Final

from apcore.effects import Enqueue, Get, Now, Op, RandomBytes, Scan, commit
from apcore.errors import LimitExceeded, RemoteError, RequestError, SignatureError, StoreBusy, Unavailable
from apcore.federation.actors.keys import existing_identity
from apcore.federation.actors.profiles import require_actor
from apcore.federation.inbox.authenticate import Authenticated, authenticate, delivered_by_its_actor, keys_named
from apcore.federation.inbox.parse import IncomingActivity, read_incoming
from apcore.federation.inbox.side_effects import MANAGED
from apcore.federation.refusals import log_refusal, one_line, refusal
from apcore.federation.relations.records import MET_ACTORS, ActorKey
from apcore.federation.relations.stored import read_relation
from apcore.federation.relations.table import RelationEvent, RelationState
from apcore.federation.relations.updates import received_updates
from apcore.federation.request_signers import check_domain
from apcore.federation.site import Site
from apcore.federation.wake_ups import INBOX, make_wake
from apcore.http import Headers, Origin, Request, Response, is_activitypub, parse_media_type, parse_url
from apcore.ports import NO_CHANGE, Batch, Check, Entry, Message, Put, StoreKey, digest_part
from apcore.records.format import Record, decode_record, encode_record, key_name, to_epoch_ms
from apcore.remote import cached_key_owners, cached_owners, check_change, end_refresh_pause
from apcore.signatures import parse_all
from apcore.vocab import Actor, Document, Follow, Undo, same_id

__all__ = [
    "BODY_BYTES_MAX",
    "INBOX",
    "Replayed",
    "claim",
    "claim_keys",
    "deliver_locally",
    "inbox_message",
    "receive",
]

BODY_BYTES_MAX: Final = 1024 * 1024
"""The same limit as Mastodon's."""
_LOGGED_CHARS_MAX: Final = 300
"""The longest text of a peer in a log line, for each text."""
_CLOCK_BEHIND_S: Final = 60.0
"""How far a peer's clock may be behind ours.

An Update of its keys that was signed up to so long before our last refresh of them still counts as later."""
_LOG: Final = logging.getLogger("apcore.inbox")
_BOM: Final = b"\xef\xbb\xbf"


class UnsupportedMediaType(RemoteError):
    """The content type of the body is not ActivityPub's."""

    status_hint = 415
    reason = "unsupported-media-type"


class Replayed(SignatureError):
    """The signature has already proved another delivery."""

    reason = "replayed"


def receive(site: Site, request: Request, *, recipient: str | None) -> Op[Response]:
    """Receive a POST to an inbox, and return the response: 202, or a problem document (RFC 9457) with the reason.

    ``recipient`` is the identifier of the inbox's actor, None for the shared inbox. ``request.url`` has the authority
    that the peer addressed.

    A fault of the peer is answered with a 4xx. An outage is answered with a 503 and `Retry-After`. Only a bug raises.

    Effects: the actor's handler, the key (see `authenticate`), one commit with a message.
    """
    try:
        yield from _accept(site, request, recipient)
    except (RemoteError, Unavailable) as error:
        log_refusal(_LOG, parse_url(request.url).path, error)
        return refusal(site, request, error)
    return Response(202, Headers({"Cache-Control": "no-store"}))


def _accept(site: Site, request: Request, recipient: str | None) -> Op[None]:
    _check_body(request)
    if recipient is not None:
        yield from require_actor(site, recipient)
    incoming = read_incoming(site, request.body)
    severity = check_domain(site, incoming.actor)
    if incoming.is_about_its_actor:
        is_stranger = yield from _is_stranger(site, request, incoming)
        if is_stranger:
            # The actor has changed or is gone, and we store nothing about it. Its key is not worth a fetch.
            _log("ignored, since its actor is unknown here,", incoming, recipient)
            return
    authenticated = yield from authenticate(site, request, incoming)
    check_change(authenticated.activity, authenticated.actor)
    if incoming.is_about_its_actor:
        yield from _note_changed_keys(site, authenticated)
    if not _is_handled(site, authenticated.document):
        _log("ignored, since no listener handles it,", authenticated.proved, recipient)
        return
    if authenticated.signature is None and (yield from _is_known_elsewhere(site, authenticated, recipient)):
        own_delivery = yield from delivered_by_its_actor(site, request, authenticated)
        if own_delivery is None:
            # Another actor repeats an activity that was received before.
            _log("received once more", authenticated.proved, recipient)
            return
        authenticated = own_delivery
    yield from claim(site, authenticated, recipient, silenced=severity is not None)


def _note_changed_keys(site: Site, authenticated: Authenticated) -> Op[None]:
    """End the refresh pause of the keys that an actor's Update of itself names; see `end_refresh_pause`.

    They are fetched again as soon as a signature fails with them.
    """
    key_ids = [f"{authenticated.actor}#main-key", authenticated.key_id]
    actor = authenticated.activity.object
    if actor is not None and actor.embedded is not None:
        view = Actor.over(actor.embedded)
        key_ids += [key.uri for key in (*view.public_keys, *view.assertion_method)[: site.fetching.keys_max]]
    signed = authenticated.signed or (yield from Now())
    yield from end_refresh_pause(
        list(dict.fromkeys(key_id for key_id in key_ids if key_id)),
        owner=authenticated.actor,
        said=signed + timedelta(seconds=_CLOCK_BEHIND_S),
        policy=site.fetching,
    )


def _is_handled(site: Site, document: Document) -> bool:
    return site.federation.listener_for(document) is not None or any(map(document.is_a, MANAGED))


def _check_body(request: Request) -> None:
    content_type = request.headers.get("content-type")
    if not is_activitypub(content_type):
        # Some senders leave out the profile. It is part of the signed request and has no other meaning, so accept it.
        essence = parse_media_type(content_type).essence if content_type else ""
        if essence != "application/ld+json":
            raise UnsupportedMediaType(f"an inbox accepts application/activity+json, not {content_type!r:.100}")
    if len(request.body) > BODY_BYTES_MAX:
        raise LimitExceeded(f"the body has {len(request.body)} bytes, at most {BODY_BYTES_MAX}")
    if request.body.startswith(_BOM):
        # A fetched document may start with one, as files do. A signed body is read by several servers, and some of them
        # cannot read it.
        raise RequestError("the body begins with a byte order mark: send the JSON without it")


def _is_stranger(site: Site, request: Request, incoming: IncomingActivity) -> Op[bool]:
    """Return whether a signed activity comes from an actor that is unknown here.

    Such an actor neither follows nor is followed here, none of its keys was looked up lately, and its document is not
    cached. The keys are those that the signatures name, and ``#main-key``, which most actors have. A key's owner is
    remembered for longer than the key is valid (`FetchPolicy.key_kept_s`).

    The answer for an unsigned activity is False: authentication refuses it. It also refuses a signature that cannot be
    parsed.
    """
    now = yield from Now()
    key_ids: list[str] = []
    with suppress(RemoteError):
        key_ids += [signature.key_id for signature in parse_all(request, site.signatures, now=now)]
    key_ids += keys_named(incoming.document.tree)
    if not key_ids:
        return False
    owners = yield from cached_key_owners([*dict.fromkeys([*key_ids, f"{incoming.actor}#main-key"])])
    if any(owner is not None and same_id(owner, incoming.actor) for owner in owners):
        return False
    [met] = yield from Get((MET_ACTORS.key(ActorKey.of(incoming.actor)),))
    if met is not None:
        return False
    identity = yield from existing_identity(site)
    return (yield from cached_owners(incoming.actor, identity=identity)) is None


def _is_known_elsewhere(site: Site, authenticated: Authenticated, recipient: str | None) -> Op[bool]:
    """Return whether an activity was received at another inbox of this origin, and not at this one.

    Two copies that arrive at the same moment may both be processed.
    """
    claim_key, _ = claim_keys(authenticated.actor, authenticated.id, str(site.origin), recipient)
    [claim_here] = yield from Get((claim_key,))
    if claim_here is not None:
        return False
    # The last part of the key is the inbox: scan the claims of all inboxes of this origin.
    return bool((yield from Scan(claim_key[:-1], limit=1)))


def claim_keys(actor: str, activity_id: str, origin: str, recipient: str | None) -> tuple[StoreKey, StoreKey]:
    """Return the keys of an activity's claim and of its "in-todo" record.

    The inbox is that of ``recipient``, or the shared inbox of ``origin`` if None.
    """
    parts = (digest_part(actor), digest_part(activity_id), digest_part(origin), digest_part(recipient or ""))
    return ("in", "1", *parts), ("in-todo", "1", *parts)


def inbox_message(todo: StoreKey, message_id: bytes, *, by: Origin | str, actor: str) -> Message:
    """Make the message that has an activity of ``actor`` processed at ``by``, an origin of ours.

    ``message_id`` is 16 random bytes. The record's key is the message's group, so one worker at a time processes the
    activity, however often it is enqueued.
    """
    return make_wake(INBOX, todo, message_id, by=by, peer=str(parse_url(actor).origin), group=key_name(todo))


def claim(site: Site, authenticated: Authenticated, recipient: str | None, *, silenced: bool) -> Op[None]:
    """Store a proved activity once, together with a message that has it processed.

    The same commit uses up the HTTP signature. Some servers reuse the id of a Follow, or of its Undo, when a person
    follows again. Such an activity counts as new if its actor signed the request anew and the relation shows that the
    earlier one was undone meanwhile.

    Effects: `Now`, two `RandomBytes`, one commit. If the claim exists already, one `Get` and perhaps one `Enqueue`; or,
    for a Follow or an Undo, up to four `Get`s and another commit.

    Raises:
        Replayed: The signature was used up by another activity, or for another inbox.
    """
    claim_key, todo = claim_keys(authenticated.actor, authenticated.id, str(site.origin), recipient)
    now = yield from Now()
    message_id = yield from RandomBytes(16)
    seed = yield from RandomBytes(16)
    members = {
        "origin": str(site.origin),
        "actor": authenticated.actor,
        "id": authenticated.id,
        "recipient": recipient,
        "means": authenticated.auth_method,
        "key_id": authenticated.key_id,
        "relayed_by": authenticated.relayed_by,
        "silenced": silenced or None,
        "received": to_epoch_ms(now),
        "seed": seed.hex(),
    }
    message = inbox_message(todo, message_id, by=site.origin, actor=authenticated.actor)
    signature_key = _signature_key(authenticated)
    checks = [Check(claim_key, None)]
    writes = [Put(claim_key, encode_record({"state": "pending", "id": authenticated.id}))]
    if signature_key is not None:
        checks.append(Check(signature_key, None))
        use = encode_record({"by": key_name(claim_key)})
        writes.append(Put(signature_key, use, float(site.signatures.replay_window_s)))
    writes.append(Put(todo, encode_record(members, authenticated.body)))
    is_new = (yield from commit(checks, writes, messages=(message,))) is not False
    if not is_new:
        done_claim = yield from _repeat(claim_key, signature_key, message)
        if done_claim is not None and (yield from _is_reused(site, authenticated, recipient)):
            # If this commit fails, another request was faster and has stored the activity.
            _ = yield from commit((Check(claim_key, done_claim.version), *checks[1:]), writes, messages=(message,))
    _log("received" if is_new else "received once more", authenticated.proved, recipient)


def _log(outcome: str, incoming: IncomingActivity, recipient: str | None) -> None:
    """Log the outcome for an activity on one line. Text of the peer is escaped and bounded."""
    if _LOG.isEnabledFor(logging.INFO):
        words = (", ".join(incoming.document.types), incoming.id, incoming.actor, recipient or "the shared inbox")
        _LOG.info("%s %s %s by %s for %s", outcome, *(one_line(word, chars_max=_LOGGED_CHARS_MAX) for word in words))


def _is_reused(site: Site, authenticated: Authenticated, recipient: str | None) -> Op[bool]:
    """Return whether a Follow or an Undo reuses the id of an earlier one whose effect was undone meanwhile.

    A new Undo differs from a late repetition by the id of the Follow: it names a Follow of the present relation.
    """
    activity = authenticated.activity
    is_follow = authenticated.document.is_a(Follow)
    if not is_follow and not authenticated.document.is_a(Undo):
        return False
    places = site.federation.places
    us = None if recipient is None else site.actor_uri(recipient)
    updates = yield from received_updates(places, site.origin, activity, actor=authenticated.actor, recipient=us)
    for update in updates:
        relation = yield from read_relation(places, update.direction, update.us, update.them)
        if relation is None:
            continue
        undone_id = None if activity.object is None else activity.object.uri
        if is_follow and relation.state is RelationState.NONE:
            return True
        if update.event is RelationEvent.UNDO_FOLLOW and undone_id in relation.follow_ids:
            return True
    return False


def _repeat(claim_key: StoreKey, signature_key: StoreKey | None, message: Message) -> Op[Entry | None]:
    """Handle an activity that was received before: a sender repeats a request if it got no response.

    Return the claim if it is done and the actor's signature is new.
    """
    [claim_entry, use] = yield from Get((claim_key, claim_key if signature_key is None else signature_key))
    if signature_key is not None and use is not None and decode_record(use.value).text("by") != key_name(claim_key):
        raise Replayed("the signature has already proved another delivery: sign each request anew")
    if claim_entry is None:
        raise StoreBusy("the claim that the commit conflicted with no longer exists: try again")
    if decode_record(claim_entry.value).text("state") == "pending":
        # The first request may have ended after the commit and before its message reached the queue.
        yield from Enqueue((message,))
        return None
    return claim_entry if signature_key is not None and use is None else None


def _signature_key(authenticated: Authenticated) -> StoreKey | None:
    """Return the key of the record that marks the HTTP signature as used; None if there is no such signature.

    A signature with a nonce is identified by the nonce: with some algorithms, a third party can write the same
    signature in two ways.
    """
    signature = authenticated.signature
    if signature is None:
        return None
    signature_id = signature.replay_id if signature.nonce is None else f"nonce {signature.nonce}"
    return ("used", "1", digest_part(signature.key_id), digest_part(signature_id))


def deliver_locally(site: Site, sent: Record, recipient: str, *, name: str) -> Op[Batch]:
    """Return the part of a commit that puts an activity of one local actor into the inbox of another, without a request.

    ``sent`` is the record of the activity, ``name`` its name in the store. Nothing has to be proved, because this
    server wrote the activity.

    Effects: one `Get` of two entries, two `RandomBytes`.
    """
    identifier = site.identifier_of(recipient) or ""
    claim_key, todo = claim_keys(sent.text("actor"), sent.text("id"), str(site.origin), identifier)
    [claim_entry, body] = yield from Get((claim_key, ("sent", "1", name)))
    if claim_entry is not None or body is None:
        return NO_CHANGE
    message_id = yield from RandomBytes(16)
    seed = yield from RandomBytes(16)
    members = {
        "origin": str(site.origin),
        "actor": sent.text("actor"),
        "id": sent.text("id"),
        "recipient": identifier,
        "received": sent.number("created"),
        "seed": seed.hex(),
    }
    return Batch(
        (Check(claim_key, None),),
        (
            Put(claim_key, encode_record({"state": "pending", "id": sent.text("id")})),
            Put(todo, encode_record(members, decode_record(body.value).body)),
        ),
        (inbox_message(todo, message_id, by=site.origin, actor=sent.text("actor")),),
    )
