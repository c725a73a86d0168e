"""What arrives: read, authenticated, claimed once, and queued; then answered with 202.

Order is everything here. Nothing is stored and nobody is called before the sender is proved and may say what it says; and 202 is said only
when the activity is a fact of the store and a reason to look at it is on the queue.

Facts::

    ("in", "1", H(actor), H(id), H(inbox))        claimed: pending, then done; done ones outlive every sender's retries
    ("in-todo", "1", H(actor), H(id), H(inbox))   the activity byte for byte, until it is processed

The claim is by actor, id and inbox: an activity that is delivered to two inboxes counts in both, and nobody but its actor can use up an id.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve, frozen

from apcore.effects import Enqueue, Get, Now, Op, RandomBytes, committed
from apcore.errors import DocumentError, LimitExceeded, Refused, RemoteError, RequestError, Unavailable
from apcore.facts import Fact, instant_ms, key_name, pack, unpack
from apcore.federation.actors import require_actor
from apcore.federation.authenticate import authenticate
from apcore.federation.requesters import check_domain
from apcore.federation.sideeffects import MANAGED
from apcore.federation.site import Site
from apcore.http import (
    Headers,
    Request,
    Response,
    is_activitypub,
    parse_media_type,
    parse_url,
    problem_for,
    same_origin,
)
from apcore.ports import Check, Key, Message, Put, Write, digest_part
from apcore.signatures import parse_all
from apcore.vocab import Activity, Delete, Document, Kind, Update, kind_of, owners_of, read_document

__all__ = [
    "BODY_BYTES_MAX",
    "DONE_KEPT_S",
    "INBOX",
    "Arrived",
    "Deposit",
    "claim_keys",
    "deposit",
    "inbox_message",
    "receive",
]

INBOX: Final = "inbox"
"""The lane of the queue for what arrived."""
BODY_BYTES_MAX: Final = 1024 * 1024
"""As Mastodon has it."""
DONE_KEPT_S: Final = 30 * 86400.0
"""How long an id stays used up: longer than anybody tries again (7 days), and than signatures count."""
_RETRY_AFTER_S: Final = 60.0
"""What to ask for where nothing says how long it will take; senders wait a minute or more anyway."""


class UnsupportedMediaType(RemoteError):
    """The body is not said to be ActivityPub."""

    status_hint = 415
    reason = "unsupported-media-type"


class NotAnActivity(DocumentError):
    """The body is no activity that somebody in particular has done."""

    status_hint = 400
    reason = "not-an-activity"


@frozen
class Arrived:
    """An activity as it was delivered, read but not believed."""

    document: Document
    activity: Activity
    id: str
    actor: str


@frozen
class Deposit:
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
    except RemoteError as error:
        return problem_for(error).response()
    except Unavailable as error:
        problem = problem_for(error)
        asked_s = _RETRY_AFTER_S if problem.retry_after_s is None else problem.retry_after_s
        return evolve(problem, retry_after_s=asked_s).response()
    return Response(202, Headers({"Cache-Control": "no-store"}))


def _accept(site: Site, request: Request, recipient: str | None) -> Op[None]:
    _check_body(request)
    if recipient is not None:
        yield from require_actor(site, recipient)
    arrived = _read(site, request.body)
    severity = check_domain(site, arrived.actor)
    if _is_farewell(arrived):
        known = yield from _is_known(site, request)
        if not known:
            return  # a stranger is gone: nothing to do, and nothing worth a fetch
    authenticated = yield from authenticate(site, request, actor=arrived.actor)
    _check_ownership(arrived)
    if site.federation.listener_for(arrived.document) is None and not any(map(arrived.document.is_a, MANAGED)):
        return
    yield from _claim(
        site, arrived, request.body, recipient, key_id=authenticated.key_id, silenced=severity is not None
    )


def _check_body(request: Request) -> None:
    content_type = request.headers.get("content-type")
    if not is_activitypub(content_type):
        # Some senders leave out the profile; what they signed says nothing else, and it is for us to read.
        essence = parse_media_type(content_type).essence if content_type else ""
        if essence != "application/ld+json":
            raise UnsupportedMediaType(f"an inbox takes application/activity+json, not {content_type!r:.100}")
    if len(request.body) > BODY_BYTES_MAX:
        raise LimitExceeded(f"the body has {len(request.body)} bytes, at most {BODY_BYTES_MAX}")


def _read(site: Site, body: bytes) -> Arrived:
    try:
        document = read_document(body, vocabulary=site.federation.vocabulary)
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
        # Nobody may use up the ids of another server.
        raise Refused(f"activity {ident} is not of the origin of its actor {actor.uri}")
    return Arrived(document, activity, ident, actor.uri)


def _stand_in_id(activity: Activity) -> str | None:
    """Give a name to a Delete without id, as GoToSocial sends it: nothing is deleted twice, so what is deleted tells it from others."""
    deleted = activity.object if activity.document.is_a(Delete) else None
    return None if deleted is None or deleted.uri is None else f"{deleted.uri}#delete"


def _looks_like_one(document: Document) -> bool:
    """Whether it is an activity of a type that nobody here knows (Lemmy's Lock, say): no reason to complain, and nobody listens to it."""
    return not document.classes() and bool(document.types) and kind_of(document) is Kind.ACTIVITY


def _is_farewell(arrived: Arrived) -> bool:
    object_ = arrived.activity.object
    return arrived.document.is_a(Delete) and object_ is not None and object_.uri == arrived.actor


def _is_known(site: Site, request: Request) -> Op[bool]:
    """Whether a key that the request is signed with is kept. If not, it is of no use to ask for it: its owner is gone.

    That it could not be had lately is kept as well, and says no more than that.
    """
    now = yield from Now()
    presented = parse_all(request, site.signatures, now=now)
    entries = yield from Get([("key", "1", digest_part(each.key_id)) for each in presented])
    return any(entry is not None and "owner" in unpack(entry.value).members for entry in entries)


def _check_ownership(arrived: Arrived) -> None:
    """Update and Delete are for what the actor owns: an object of its own origin, its own where it says whose it is.

    An object that is only named says nothing; what is kept of it decides there, and that is the listener's to know.
    """
    if not (arrived.document.is_a(Update) or arrived.document.is_a(Delete)):
        return
    object_ = arrived.activity.object
    if object_ is None or object_.uri is None:
        raise NotAnActivity(f"{arrived.id} changes nothing in particular")
    if not same_origin(object_.uri, arrived.actor):
        raise Refused(f"{arrived.actor} changes {object_.uri}, which is of another origin")
    owners = () if object_.embedded is None else owners_of(object_.embedded)
    if owners and arrived.actor not in owners:
        raise Refused(f"{arrived.actor} changes {object_.uri}, which is of {owners[0]}")


def claim_keys(actor: str, ident: str, inbox: str) -> tuple[Key, Key]:
    """Give the keys of the claim and of the work for an activity in an inbox."""
    parts = (digest_part(actor), digest_part(ident), digest_part(inbox))
    return ("in", "1", *parts), ("in-todo", "1", *parts)


def inbox_message(todo: Key, name: bytes) -> Message:
    """Make the wake-up for processing an activity."""
    key = key_name(todo)
    return Message(name, INBOX, key.encode(), dedup=key)


def _claim(
    site: Site, arrived: Arrived, body: bytes, recipient: str | None, *, key_id: str, silenced: bool
) -> Op[None]:
    claim, todo = claim_keys(arrived.actor, arrived.id, f"{site.origin}/{recipient or ''}")
    now = yield from Now()
    name = yield from RandomBytes(16)
    seed = yield from RandomBytes(16)
    about = {
        "origin": str(site.origin),
        "actor": arrived.actor,
        "id": arrived.id,
        "recipient": recipient,
        "key_id": key_id,
        "silenced": silenced or None,
        "received": instant_ms(now),
        "seed": seed.hex(),
    }
    message = inbox_message(todo, name)
    done = yield from committed(
        (Check(claim, None),),
        (Put(claim, pack({"state": "pending", "id": arrived.id})), Put(todo, pack(about, body))),
        messages=(message,),
    )
    if done is not False:
        return
    [kept] = yield from Get((claim,))
    if kept is not None and unpack(kept.value).text("state") == "pending":
        # The first time may have ended between the fact and the queue.
        yield from Enqueue((message,))


def deposit(site: Site, sent: Fact, recipient: str, *, name: str) -> Op[Deposit]:
    """Give the change that puts what one of ours sent into the inbox of another of ours, without a request.

    Nothing is left to prove: it was written here. Asks for: one `Get` of two entries.
    """
    identifier = site.identifier_of(recipient) or ""
    claim, todo = claim_keys(sent.text("actor"), sent.text("id"), f"{site.origin}/{identifier}")
    [known, body] = yield from Get((claim, ("sent", "1", name)))
    if known is not None or body is None:
        return Deposit()
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
    return Deposit(
        (Check(claim, None),),
        (
            Put(claim, pack({"state": "pending", "id": sent.text("id")})),
            Put(todo, pack(about, unpack(body.value).body)),
        ),
        (inbox_message(todo, wake),),
    )
