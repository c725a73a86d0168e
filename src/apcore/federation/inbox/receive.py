"""What arrives: read, authenticated, claimed once, and queued; then answered with 202.

Order is everything here. Nothing is stored and nobody is called before the sender is proved and may say what it says; and 202 is said only
when the activity is a fact of the store and a reason to look at it is on the queue.

Facts::

    ("in", "1", H(actor), H(id), H(origin), H(inbox))        claimed: pending, then done; done ones outlive every sender's retries
    ("in-todo", "1", H(actor), H(id), H(origin), H(inbox))   what was proved of the activity, byte for byte, until it is processed
    ("used", "1", H(key id), H(signature))                   an HTTP signature that has proved something, for as long as it could again

The claim is by actor, id and inbox: an activity that its actor delivers to two inboxes counts in both, and nobody but its actor can use up an id.
What others bring counts once at an origin of ours, whatever the inbox. No proof in a document says where it was meant to go, so otherwise anybody
could bring a Follow to the next inbox after it was undone in the first, and it would count again.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import timedelta
from typing import Final

from attrs import frozen

from apcore.effects import Enqueue, Get, Now, Op, RandomBytes, Scan, commit
from apcore.errors import LimitExceeded, RemoteError, RequestError, SignatureError, StoreBusy, Unavailable
from apcore.federation.actors.keys import existing_identity
from apcore.federation.actors.profiles import require_actor
from apcore.federation.follow_relations import inbound_updates, met_key, read_relation
from apcore.federation.inbox.authenticate import Authenticated, authenticate, delivered_by_its_actor, keys_named
from apcore.federation.inbox.parse import IncomingActivity, read_incoming
from apcore.federation.inbox.side_effects import MANAGED
from apcore.federation.refusals import log_refusal, one_line, refusal
from apcore.federation.relations import RelationEvent, RelationState
from apcore.federation.request_signers import check_domain
from apcore.federation.site import Site
from apcore.federation.wake_ups import INBOX, make_wake
from apcore.http import Headers, Origin, Request, Response, is_activitypub, parse_media_type, parse_url
from apcore.ports import Check, Entry, Message, Put, StoreKey, Write, digest_part
from apcore.records.format import Record, decode_record, encode_record, key_name, to_epoch_ms
from apcore.remote import cached_key_owners, cached_owners, check_change, end_refresh_pause
from apcore.signatures import parse_all
from apcore.vocab import Actor, Document, Follow, Undo, same_id

__all__ = [
    "BODY_BYTES_MAX",
    "INBOX",
    "LocalDelivery",
    "Replayed",
    "claim",
    "claim_keys",
    "deliver_locally",
    "inbox_message",
    "receive",
]

BODY_BYTES_MAX: Final = 1024 * 1024
"""As Mastodon has it."""
_TOLD_CHARS_MAX: Final = 300
_CLOCK_BEHIND_S: Final = 60.0
"""How far behind ours a peer's clock may be, for an Update of its keys to count as newer than our last refresh."""
_LOG: Final = logging.getLogger("apcore.inbox")
_BOM: Final = b"\xef\xbb\xbf"


class UnsupportedMediaType(RemoteError):
    """The body is not said to be ActivityPub."""

    status_hint = 415
    reason = "unsupported-media-type"


class Replayed(SignatureError):
    """The signature has proved something already, and this is something else."""

    reason = "replayed"


@frozen
class LocalDelivery:
    """Part of a commit that puts an activity into an inbox of ours."""

    checks: tuple[Check, ...] = ()
    writes: tuple[Write, ...] = ()
    messages: tuple[Message, ...] = ()


def receive(site: Site, request: Request, *, recipient: str | None) -> Op[Response]:
    """Take in a POST to an inbox, and answer it: 202, or a problem document (RFC 9457) that names the reason.

    ``recipient`` is the identifier of the inbox's actor, None for the shared inbox; ``request.url`` has the authority that the peer meant.

    Asks for: the actor's handler, the key (see `authenticate`), one commit with a message. What goes wrong is the answer: 4xx for what the
    peer did, 503 with `Retry-After` for what cannot be done now. A bug is raised.
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
    arrived = read_incoming(site, request.body)
    severity = check_domain(site, arrived.actor)
    if arrived.is_about_its_actor:
        is_stranger = yield from _is_stranger(site, request, arrived)
        if is_stranger:
            _log("ignored, from somebody unknown here,", arrived, recipient)
            return  # somebody whom we do not know has changed or is gone: nothing to do, and nothing worth a fetch
    authenticated = yield from authenticate(site, request, arrived)
    check_change(authenticated.activity, authenticated.actor)
    if arrived.is_about_its_actor:
        yield from _note_changed_keys(site, authenticated)
    if not _is_heard(site, authenticated.document):
        _log("ignored, since no listener is for it,", authenticated.proved, recipient)
        return
    if authenticated.signature is None and (yield from _is_known_elsewhere(site, authenticated, recipient)):
        own = yield from delivered_by_its_actor(site, request, authenticated)
        if own is None:
            _log("received once more", authenticated.proved, recipient)
            return  # repeated by others, and taken in already
        authenticated = own
    yield from claim(site, authenticated, recipient, silenced=severity is not None)


def _note_changed_keys(site: Site, authenticated: Authenticated) -> Op[None]:
    """End the refresh pauses of the keys that an Update of its own actor names; see `end_refresh_pause`."""
    named = [f"{authenticated.actor}#main-key", authenticated.key_id]
    person = authenticated.activity.object
    if person is not None and person.embedded is not None:
        view = Actor.over(person.embedded)
        named += [key.uri for key in (*view.public_keys, *view.assertion_method)[: site.fetching.keys_max]]
    said = authenticated.signed or (yield from Now())
    yield from end_refresh_pause(
        list(dict.fromkeys(key_id for key_id in named if key_id)),
        owner=authenticated.actor,
        said=said + timedelta(seconds=_CLOCK_BEHIND_S),
        policy=site.fetching,
    )


def _is_heard(site: Site, document: Document) -> bool:
    return site.federation.listener_for(document) is not None or any(map(document.is_a, MANAGED))


def _check_body(request: Request) -> None:
    content_type = request.headers.get("content-type")
    if not is_activitypub(content_type):
        # Some senders leave out the profile; what they signed says nothing else, and it is for us to read.
        essence = parse_media_type(content_type).essence if content_type else ""
        if essence != "application/ld+json":
            raise UnsupportedMediaType(f"an inbox takes application/activity+json, not {content_type!r:.100}")
    if len(request.body) > BODY_BYTES_MAX:
        raise LimitExceeded(f"the body has {len(request.body)} bytes, at most {BODY_BYTES_MAX}")
    if request.body.startswith(_BOM):
        # What is fetched may have one, as files do. What is signed is read by several, and some would not read this.
        raise RequestError("the body begins with a byte order mark")


def _is_stranger(site: Site, request: Request, arrived: IncomingActivity) -> Op[bool]:
    """Tell whether the actor of an activity is unknown here.

    It neither follows nor is followed here, none of its keys was looked up lately, and no copy of its document is kept.

    The keys are those that this would be proved with, and the one that most actors have; they are remembered as their owner's for longer than they
    count (`FetchPolicy.key_kept_s`). What is not signed at all is nobody's farewell; what cannot be read is refused elsewhere.
    """
    now = yield from Now()
    named: list[str] = []
    with suppress(RemoteError):
        named += [each.key_id for each in parse_all(request, site.signatures, now=now)]
    named += keys_named(arrived.document.tree)
    if not named:
        return False
    owners = yield from cached_key_owners([*dict.fromkeys([*named, f"{arrived.actor}#main-key"])])
    if any(owner is not None and same_id(owner, arrived.actor) for owner in owners):
        return False
    [met] = yield from Get((met_key(arrived.actor),))
    if met is not None:
        return False
    identity = yield from existing_identity(site)
    return (yield from cached_owners(arrived.actor, identity=identity)) is None


def _is_known_elsewhere(site: Site, authenticated: Authenticated, recipient: str | None) -> Op[bool]:
    """Whether an activity was taken in at another inbox of this origin, and not at this one. Two that come at the same moment may both count."""
    mark, _ = claim_keys(authenticated.actor, authenticated.id, str(site.origin), recipient)
    [here] = yield from Get((mark,))
    if here is not None:
        return False
    return bool((yield from Scan(mark[:-1], limit=1)))


def claim_keys(actor: str, ident: str, origin: str, recipient: str | None) -> tuple[StoreKey, StoreKey]:
    """Give the keys of the claim and of the work for an activity in an inbox: that of ``recipient``, or the shared one of ``origin``."""
    parts = (digest_part(actor), digest_part(ident), digest_part(origin), digest_part(recipient or ""))
    return ("in", "1", *parts), ("in-todo", "1", *parts)


def inbox_message(todo: StoreKey, ident: bytes, *, by: Origin | str, actor: str) -> Message:
    """Make the wake-up for processing an activity of ``actor`` at ``by``, an origin of ours.

    Its fact is its group, so the activity is processed by one worker at a time, however often it is enqueued.
    """
    return make_wake(INBOX, todo, ident, by=by, peer=str(parse_url(actor).origin), group=key_name(todo))


def claim(site: Site, authenticated: Authenticated, recipient: str | None, *, silenced: bool) -> Op[None]:
    """Make what was proved a fact, once, with a message that has it processed.

    An HTTP signature is used up in the same commit. Some servers reuse the id of a Follow, or of its Undo, when
    somebody follows again: such an activity counts as new if its actor has signed the request anew and the relation
    says that the thing was undone meanwhile.

    Asks for: `Now`, two `RandomBytes`, one commit; if that finds something, one `Get` and perhaps one `Enqueue`, or,
    for a Follow or an Undo, up to four `Get`s and another commit.

    Raises:
        Replayed: The signature was used up by another activity, or for another inbox.
    """
    mark, todo = claim_keys(authenticated.actor, authenticated.id, str(site.origin), recipient)
    now = yield from Now()
    name = yield from RandomBytes(16)
    seed = yield from RandomBytes(16)
    about = {
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
    message = inbox_message(todo, name, by=site.origin, actor=authenticated.actor)
    used = _use_key(authenticated)
    checks, writes = [Check(mark, None)], [Put(mark, encode_record({"state": "pending", "id": authenticated.id}))]
    if used is not None:
        checks.append(Check(used, None))
        writes.append(Put(used, encode_record({"by": key_name(mark)}), float(site.signatures.replay_window_s)))
    writes.append(Put(todo, encode_record(about, authenticated.body)))
    is_new = (yield from commit(checks, writes, messages=(message,))) is not False
    if not is_new:
        processed = yield from _repeated(mark, used, message)
        if processed is not None and (yield from _is_reused(site, authenticated, recipient)):
            # If somebody else is faster, the activity is taken in by them.
            _ = yield from commit((Check(mark, processed.version), *checks[1:]), writes, messages=(message,))
    _log("received" if is_new else "received once more", authenticated.proved, recipient)


def _log(outcome: str, arrived: IncomingActivity, recipient: str | None) -> None:
    """Log what became of an activity, on one line; the peer's words in it are escaped and bounded."""
    if _LOG.isEnabledFor(logging.INFO):
        words = (", ".join(arrived.document.types), arrived.id, arrived.actor, recipient or "the shared inbox")
        _LOG.info("%s %s %s by %s for %s", outcome, *(one_line(word, chars_max=_TOLD_CHARS_MAX) for word in words))


def _is_reused(site: Site, authenticated: Authenticated, recipient: str | None) -> Op[bool]:
    """Whether a Follow or an Undo has the id of an earlier one, and what that one did is undone by now.

    A late repetition of an Undo is told from a new one by the id of the Follow: one of the present relation has to be
    named.
    """
    activity = authenticated.activity
    is_follow = authenticated.document.is_a(Follow)
    if not is_follow and not authenticated.document.is_a(Undo):
        return False
    places = site.federation.places
    us = None if recipient is None else site.actor_uri(recipient)
    updates = yield from inbound_updates(places, site.origin, activity, actor=authenticated.actor, recipient=us)
    for update in updates:
        relation = yield from read_relation(places, update.direction, update.us, update.them)
        if relation is None:
            continue
        undone = None if activity.object is None else activity.object.uri
        if is_follow and relation.state is RelationState.NONE:
            return True
        if update.event is RelationEvent.UNDO_FOLLOW and undone in relation.follow_ids:
            return True
    return False


def _repeated(mark: StoreKey, used: StoreKey | None, message: Message) -> Op[Entry | None]:
    """Take in again what was taken in before: senders repeat what they have no answer to.

    Returns the claim if it is processed and the actor's signature is a new one.
    """
    [kept, use] = yield from Get((mark, mark if used is None else used))
    if used is not None and use is not None and decode_record(use.value).text("by") != key_name(mark):
        raise Replayed("the signature has proved another delivery before")
    if kept is None:
        raise StoreBusy("what stood in the way of a claim is gone")
    if decode_record(kept.value).text("state") == "pending":
        # The first time may have ended between the fact and the queue.
        yield from Enqueue((message,))
        return None
    return kept if used is not None and use is None else None


def _use_key(authenticated: Authenticated) -> StoreKey | None:
    """Name the very signature: by its nonce if it has one, since some algorithms let anybody write a signature in two ways."""
    signature = authenticated.signature
    if signature is None:
        return None
    mark = signature.replay_id if signature.nonce is None else f"nonce {signature.nonce}"
    return ("used", "1", digest_part(signature.key_id), digest_part(mark))


def deliver_locally(site: Site, sent: Record, recipient: str, *, name: str) -> Op[LocalDelivery]:
    """Give the change that puts what one of ours sent into the inbox of another of ours, without a request.

    Nothing is left to prove: it was written here. Asks for: one `Get` of two entries.
    """
    identifier = site.identifier_of(recipient) or ""
    claim, todo = claim_keys(sent.text("actor"), sent.text("id"), str(site.origin), identifier)
    [known, body] = yield from Get((claim, ("sent", "1", name)))
    if known is not None or body is None:
        return LocalDelivery()
    wake = yield from RandomBytes(16)
    seed = yield from RandomBytes(16)
    about = {
        "origin": str(site.origin),
        "actor": sent.text("actor"),
        "id": sent.text("id"),
        "recipient": identifier,
        "received": sent.number("created"),
        "seed": seed.hex(),
    }
    return LocalDelivery(
        (Check(claim, None),),
        (
            Put(claim, encode_record({"state": "pending", "id": sent.text("id")})),
            Put(todo, encode_record(about, decode_record(body.value).body)),
        ),
        (inbox_message(todo, wake, by=site.origin, actor=sent.text("actor")),),
    )
