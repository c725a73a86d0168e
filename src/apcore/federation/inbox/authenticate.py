"""Who stands behind an activity: rules in an order, and not whatever happens to be at hand.

An activity may be proved in four ways, and often by more than one at once. Which of them counts is decided by the first rule that fits:

====  ==========================================  ====================================  ==================================================
rule  what is there                               what it has to be                     then
====  ==========================================  ====================================  ==================================================
a     an integrity proof of a known suite         each holds, by a key that the actor   ``proof``; anything else is refused, and no other
      (FEP-8b32)                                  lists for proofs, of its own origin   way is tried
b     an HTTP signature                           it holds, by the actor's own key      ``http-signature``
c     an LD signature (`RsaSignature2017`)        it holds, by the actor's own key      ``ld-signature``; what fails is dropped
d     an HTTP signature by somebody else          it holds; the actor's own server is   ``origin``
                                                  asked for the activity, or, if that
                                                  is a Delete, for what is deleted
e     nothing of all this                                                               refused
====  ==========================================  ====================================  ==================================================

Rule a comes first because a proof is what its author said last (FEP-8b32), and it is cheap. Rules c and d are for what others deliver: relays, and
servers that forward replies. A proof and an LD signature bound the work that they cause by themselves, so whoever brings them need not sign the
request. To ask a third server costs us a request, so whoever makes us do that has to be somebody, whose budget it is.

What is old is not new: an id is remembered for `DONE_KEPT_S`, and a copy that was made before that could have been done already. So a proof or an LD
signature that is as old, or an activity whose origin does not date it, counts only under its actor's own fresh HTTP signature.

An activity inside another (an Announce of a Create, FEP-1b12) is never proved here, whatever it carries: it is a claim of the outer one's actor.

The answer, `Authenticated`, holds what was proved and nothing else. For an HTTP signature that is the body. For a proof it is the document without
its proofs, under the context that the proof binds; for an LD signature, the statements that were signed, in our words; for the origin, what it
answered. Whatever comes after takes an `Authenticated`, so that what skips this does not type-check.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias, cast

from attrs import evolve, field, frozen

from apcore.effects import Now, Op
from apcore.errors import DocumentError, FetchFailed, LimitExceeded, Refused, RemoteError, SignatureError, Unavailable
from apcore.federation.actors.keys import instance_identity
from apcore.federation.inbox.parse import DONE_KEPT_S, IncomingActivity, bytes_of, read_incoming
from apcore.federation.request_signers import KeyGone, Signed, find_signer, key_named
from apcore.federation.site import Site
from apcore.http import Request, same_origin
from apcore.jsonld import BUNDLED
from apcore.remote import Gone, LoadedDocument, PeerFailing, RemoteKey, load
from apcore.signatures import (
    PresentedDocument,
    ProofRefused,
    SignatureFromFuture,
    SignatureMissing,
    SignatureTooOld,
    Verified,
    VerifiedDocument,
    check_document,
    ld_signature,
    proofs,
)
from apcore.vocab import Activity, Delete, Document, Tombstone, owners_of, same_id

__all__ = [
    "GRAPH_BYTES_MAX",
    "AuthMethod",
    "Authenticated",
    "NotTheActor",
    "OriginUnavailable",
    "authenticate",
    "delivered_by_its_actor",
    "keys_named",
]

AuthMethod: TypeAlias = Literal["http-signature", "proof", "ld-signature", "origin"]
"""What proved an activity."""

GRAPH_BYTES_MAX: Final = 128 * 1024
"""The longest document whose statements are put in order before anybody is proved; 50 ms at the most. An LD signature may be on a longer one
under somebody's HTTP signature."""
_AS2: Final = "https://www.w3.org/ns/activitystreams"
_LD_TYPE: Final = "RsaSignature2017"


class NotTheActor(SignatureError):
    """What holds is by somebody else than the activity's actor."""

    reason = "not-the-actor"


class OriginUnavailable(Unavailable):
    """Somebody else has brought it, and its own server cannot be asked now."""

    reason = "origin-unavailable"


@frozen(kw_only=True)
class Authenticated:
    """An activity whose actor is proved to have done it. It holds what was proved, and nothing else that came."""

    proved: IncomingActivity = field(repr=False)
    actor: str
    auth_method: AuthMethod
    key_id: str | None = None
    """The key that proved it; None if its origin did."""
    relayed_by: str | None = None
    """Who brought it, if somebody else has signed the request."""
    signed: datetime | None = None
    """When it was signed, as the signer says and has signed for; None if its origin was asked."""
    signature: Verified | None = field(default=None, repr=False)
    """The actor's own HTTP signature, if that proved it: it counts once."""

    @property
    def id(self) -> str:
        """The activity's id: its actor cannot use up another's, and nobody else can use up this one."""
        return self.proved.id

    @property
    def document(self) -> Document:
        """What was proved."""
        return self.proved.document

    @property
    def activity(self) -> Activity:
        """What was proved, as an activity."""
        return self.proved.activity

    @property
    def body(self) -> bytes:
        """What was proved, in bytes."""
        return self.proved.body


def authenticate(site: Site, request: Request, arrived: IncomingActivity) -> Op[Authenticated]:
    """Establish that the actor of an activity has done it, by the rules above.

    Asks for: `Now`; for each signature that a rule looks at its key, see `remote_key`, once more if it fails with a cached one; under rule d the
    instance actor's key and one document, see `load`. Nothing is written but to caches.

    Raises:
        RequestError, SignatureError: Nothing holds; as `find_signer`, or as the proofs. What else was tried and why it failed are the notes of the
            error.
        KeyRefused, KeyNotOwned: The key is not there, or not believed.
        NotTheActor: What holds is somebody else's.
        Refused: The key's host is suspended.
        Unavailable: What would decide cannot be had now.
    """
    now = yield from Now()
    proved = yield from _by_proof(site, arrived, now)
    if proved is not None and not _is_old(proved.signed, now, site):
        return proved
    failures: list[RemoteError | Unavailable] = []
    try:
        signed = yield from find_signer(site, request, prefer=arrived.actor)
    except (RemoteError, Unavailable) as error:
        signed = None
        failures.append(error)
    if signed is not None:
        if same_id(signed.owner, arrived.actor):
            return _by_request(arrived if proved is None else proved.proved, signed)
        failures.append(
            NotTheActor(f"key {signed.key_id} is owned by {signed.owner}, the activity's actor is {arrived.actor}")
        )
    if proved is not None:
        raise _too_old("its proof", proved.signed)
    relayed_by = None if signed is None else signed.owner
    for rule in (_by_ld_signature, _by_origin):
        try:
            found = yield from rule(site, arrived, now, failures[0], signed)
        except (RemoteError, Unavailable) as error:
            failures.append(error)
            continue
        if found is not None:
            return evolve(found, relayed_by=relayed_by)
    raise _decisive(failures)


def delivered_by_its_actor(site: Site, request: Request, authenticated: Authenticated) -> Op[Authenticated | None]:
    """Look whether what is proved by itself has come from its actor all the same: then it is meant for where it came. None if others have brought it.

    Asks and raises `Unavailable` as `find_signer`.
    """
    try:
        signed = yield from find_signer(site, request, prefer=authenticated.actor)
    except RemoteError:
        return None
    return _by_request(authenticated.proved, signed) if same_id(signed.owner, authenticated.actor) else None


def keys_named(members: Mapping[str, Any]) -> list[str]:
    """Give the ids of the keys that the proofs and the LD signature of a document name, unread and unchecked, but bounded."""
    proved: object = members.get("proof")
    listed = cast("list[object]", proved)[: proofs.PROOFS_MAX] if isinstance(proved, list) else [proved]
    named = [_member(each, "verificationMethod") for each in listed] + [_member(members.get("signature"), "creator")]
    return [name for name in named if name is not None]


def _member(holder: object, name: str) -> str | None:
    """Give the text under a name, if the holder is an object that has one there."""
    found: Any = cast("dict[str, Any]", holder).get(name) if isinstance(holder, dict) else None
    return found if isinstance(found, str) else None


def _decisive(failures: list[RemoteError | Unavailable]) -> RemoteError | Unavailable:
    """Give the error to end with: what cannot be had now before what does not hold, and the first of its kind; the others are its notes."""
    waiting = [failure for failure in failures if isinstance(failure, Unavailable) and failure.retryable]
    chosen = waiting[0] if waiting else failures[0]
    for failure in failures:
        if failure is not chosen:
            chosen.add_note(f"{failure.reason}: {failure}")
    return chosen


def _is_old(signed: datetime | None, now: datetime, site: Site) -> bool:
    # The skew, because what was dated ahead of our clock when it was done has been forgotten that much sooner.
    return signed is None or (now - signed).total_seconds() > DONE_KEPT_S - site.signatures.clock_skew_s


def _too_old(what: str, signed: datetime | None) -> SignatureTooOld:
    moment = "at a time that nobody tells" if signed is None else f"at {signed.isoformat()}"
    return SignatureTooOld(
        f"{what} was made {moment}; what is older than {DONE_KEPT_S / 86400:.0f} days may have been done already"
    )


# --- rule a: proofs -------------------------------------------------------------------------------------------------


def _by_proof(site: Site, arrived: IncomingActivity, now: datetime) -> Op[Authenticated | None]:
    _check_graph_size(arrived, "eddsa-rdfc-2022")
    try:
        presented = proofs.parse(arrived.document.tree, now=now, policy=site.signatures, work=arrived.work)
    except SignatureMissing:
        return None
    except DocumentError as error:
        raise ProofRefused(f"the document cannot be read as its proof has it: {error}") from error
    for each in presented:
        if not same_origin(each.key_id, arrived.actor):
            raise NotTheActor(f"the proof is by key {each.key_id}, of another origin than the actor {arrived.actor}")
    held: list[VerifiedDocument] = []
    for each in presented:
        verified = yield from _document_checked(site, each, for_proofs=True)
        if not same_id(verified.owner, arrived.actor):
            raise NotTheActor(
                f"the proof is by key {each.key_id} of {verified.owner}, the activity's actor is {arrived.actor}"
            )
        if held and verified.document != held[0].document:
            raise ProofRefused("the document has several proofs, and each of them is about another one")
        held.append(verified)
    # Of several, the oldest says how long the document has been about.
    return _by_document(site, arrived, min(held, key=lambda each: each.created), "proof")


def _document_checked(site: Site, presented: PresentedDocument, *, for_proofs: bool) -> Op[VerifiedDocument]:
    def checked(found: RemoteKey) -> VerifiedDocument:
        if for_proofs and not found.asserts:
            raise ProofRefused(f"key {presented.key_id} is not in the assertionMethod of {found.key.owner}")
        return check_document(presented, found.key)

    return (yield from key_named(site, presented.key_id, checked))


def _check_graph_size(arrived: IncomingActivity, scheme: str) -> None:
    """Refuse to put the statements of a large document in order, which takes far longer than reading it, for nobody in particular."""
    if len(arrived.body) <= GRAPH_BYTES_MAX:
        return
    tree = arrived.document.tree
    proved: object = tree.get("proof")
    listed = cast("list[object]", proved) if isinstance(proved, list) else [proved]
    if scheme == _LD_TYPE or any(_member(each, "cryptosuite") == scheme for each in listed):
        raise LimitExceeded(f"a document of {len(arrived.body)} bytes signed as a graph, at most {GRAPH_BYTES_MAX}")


def _by_document(
    site: Site, arrived: IncomingActivity, verified: VerifiedDocument, auth_method: AuthMethod
) -> Authenticated:
    """Take what was signed in the place of what came, if it is still the same activity."""
    proved = read_incoming(site, bytes_of(verified.document))
    if (proved.id, proved.actor) != (arrived.id, arrived.actor):
        raise ProofRefused(f"what is signed is {proved.id} of {proved.actor}, not {arrived.id} of {arrived.actor}")
    return Authenticated(
        proved=proved, actor=proved.actor, auth_method=auth_method, key_id=verified.key_id, signed=verified.created
    )


# --- rule b: the request --------------------------------------------------------------------------------------------


def _by_request(proved: IncomingActivity, signed: Signed) -> Authenticated:
    at_s = signed.signature.signed
    return Authenticated(
        proved=proved,
        actor=proved.actor,
        auth_method="http-signature",
        key_id=signed.key_id,
        signed=None if at_s is None else datetime.fromtimestamp(at_s, UTC),
        signature=signed.signature,
    )


# --- rule c: LD signatures ------------------------------------------------------------------------------------------


def _by_ld_signature(
    site: Site, arrived: IncomingActivity, now: datetime, _failure: RemoteError | Unavailable, signed: Signed | None
) -> Op[Authenticated | None]:
    signature = arrived.document.tree.get("signature")
    if not site.signatures.ld_signatures or _member(signature, "type") != _LD_TYPE:
        return None
    creator = _member(signature, "creator") or ""
    # Before the statements are put in order, which costs much more.
    if not same_origin(creator, arrived.actor):
        raise NotTheActor(f"the LD signature is by key {creator!r:.200}, of another origin than {arrived.actor}")
    if signed is None:
        _check_graph_size(arrived, _LD_TYPE)
    contexts = arrived.document.vocabulary.table(BUNDLED)
    presented = ld_signature.parse(
        arrived.document.tree, now=now, contexts=contexts, policy=site.signatures, work=arrived.work
    )
    if _is_old(presented.created, now, site):
        raise _too_old("its LD signature", presented.created)
    verified = yield from _document_checked(site, presented, for_proofs=False)
    if not same_id(verified.owner, arrived.actor):
        raise NotTheActor(f"the LD signature is by key {creator} of {verified.owner}, the actor is {arrived.actor}")
    return _by_document(site, arrived, verified, "ld-signature")


# --- rule d: the origin ---------------------------------------------------------------------------------------------


def _by_origin(
    site: Site, arrived: IncomingActivity, now: datetime, failure: RemoteError | Unavailable, signed: Signed | None
) -> Op[Authenticated | None]:
    if not site.signatures.asks_origin:
        return None
    if arrived.document.is_a(Delete):
        if arrived.is_about_its_actor:
            # Only its own server speaks of its end: by a key that is gone with it, or by that of a neighbour, the instance actor.
            own = isinstance(failure, KeyGone) and same_origin(failure.key_id, arrived.actor)
            if not own and (signed is None or not same_origin(signed.owner, arrived.actor)):
                return None
        elif signed is None:
            return None
        return (yield from _deleted_at_origin(site, arrived))
    if signed is None:
        return None
    found = yield from _asked(site, arrived.id, fresh=False)
    proved = read_incoming(site, found.body)
    if (proved.id, proved.actor) != (arrived.id, arrived.actor):
        raise NotTheActor(f"the origin of {arrived.id} says that it is {proved.id} of {proved.actor}")
    published = proved.activity.published
    if _is_old(published, now, site):
        raise _too_old("the activity", published)
    if published is not None and (published - now).total_seconds() > site.signatures.clock_skew_s:
        # Its id would be forgotten before it is old.
        raise SignatureFromFuture(f"the activity was published at {published.isoformat()}, and it is {now.isoformat()}")
    return Authenticated(proved=proved, actor=proved.actor, auth_method="origin")


def _deleted_at_origin(site: Site, arrived: IncomingActivity) -> Op[Authenticated | None]:
    """Ask for what is said to be deleted: gone for certain, or a tombstone. A 404 may be an outage, and proves nothing.

    What is proved by that is a deletion, and neither the id nor anything else of the activity that came; else that id could be used up.
    """
    deleted = arrived.object_uri
    if deleted is None or not same_origin(deleted, arrived.actor):
        return None
    try:
        found = yield from _asked(site, deleted, fresh=True)
    except Gone:
        pass
    else:
        if found.document.id != deleted or not found.document.is_a(Tombstone):
            return None
        said = owners_of(found.document)
        if said and not any(same_id(owner, arrived.actor) for owner in said):
            return None
    members = {"@context": _AS2, "id": f"{deleted}#delete", "type": "Delete", "actor": arrived.actor, "object": deleted}
    return Authenticated(proved=read_incoming(site, bytes_of(members)), actor=arrived.actor, auth_method="origin")


def _asked(site: Site, uri: str, *, fresh: bool) -> Op[LoadedDocument]:
    """Load something that a stranger makes us load: out of their budget, and not for longer than a key."""
    identity = yield from instance_identity(site)
    until = (yield from Now()) + timedelta(seconds=site.fetching.key_s_max)
    policy = evolve(site.asking, until=until)
    try:
        return (yield from load(uri, policy=policy, identity=identity, fresh=fresh))
    except (FetchFailed, PeerFailing) as error:
        # What our network answered is told to nobody (design rule 14).
        if error.retryable:
            raise OriginUnavailable(f"{uri}: {error}", retry_after_s=error.retry_after_s) from error
        raise Refused(f"{uri} is not asked for: {error}") from error
