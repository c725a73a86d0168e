"""Authenticate an incoming activity: decide, by rules in a fixed order, whether its actor really performed it.

An activity can carry up to four kinds of evidence. The first rule that matches decides:

====  =====================================  ======================================  ==================================
rule  evidence                               condition                               outcome
====  =====================================  ======================================  ==================================
a     integrity proofs of a known suite      every proof is valid, by a key of the   ``proof``. If the condition fails,
      (FEP-8b32)                             actor's origin that the actor lists     the activity is refused, and no
                                             for proofs                              other rule is tried
b     an HTTP signature                      valid, by a key of the actor            ``http-signature``
c     an LD signature                        valid, by a key of the actor            ``ld-signature``. An invalid one
      (``RsaSignature2017``)                                                         is ignored
d     an HTTP signature by another actor     valid, and the actor's own server       ``origin``
                                             confirms the activity, or, for a
                                             Delete, that its object is gone
e     none                                                                           the activity is refused
====  =====================================  ======================================  ==================================

Rule a comes first because the author adds the proof last (FEP-8b32), and because a proof is cheap to check. Rules c and
d serve activities that others deliver: relays, and servers that forward replies. Proofs and LD signatures bound the
work that they cause, so their sender need not sign the request. Rule d costs us a request to a third server. It
therefore needs a signed request, and that request is charged to the budget of its signer.

An old activity never counts as new. An activity's id is remembered for `DONE_KEPT_S`, so an older copy may have been
processed and forgotten. A proof or an LD signature that old, or an activity that its origin dates that old or not at
all, counts only under a fresh HTTP signature of its own actor.

An activity inside another one (an Announce of a Create, FEP-1b12) is never authenticated here, even if it carries
signatures: it is a claim of the outer activity's actor.

The result, `Authenticated`, holds only the content that was proved. For an HTTP signature, that is the body. For a
proof, it is the document without its proofs, under the context that the proof binds. For an LD signature, it is the
signed statements in our own terms. For rule d, it is the origin's response. Later steps take an `Authenticated`, so
code that skips authentication does not type-check.
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
"""The kind of evidence that proved an activity."""

GRAPH_BYTES_MAX: Final = 128 * 1024
"""The longest document that is canonicalised as a graph before any signature is verified; that takes at most 50 ms.

An LD signature may cover a longer document if the request has a valid HTTP signature."""
_AS2: Final = "https://www.w3.org/ns/activitystreams"
_LD_TYPE: Final = "RsaSignature2017"


class NotTheActor(SignatureError):
    """The signature or proof belongs to another actor than the activity's."""

    reason = "not-the-actor"


class OriginUnavailable(Unavailable):
    """Another actor delivered the activity, and its origin cannot be reached to confirm it."""

    reason = "origin-unavailable"


@frozen(kw_only=True)
class Authenticated:
    """An activity that is proved to come from its actor. It holds only the proved content."""

    proved: IncomingActivity = field(repr=False)
    actor: str
    auth_method: AuthMethod
    key_id: str | None = None
    """The id of the key that proved the activity; None if its origin confirmed it."""
    relayed_by: str | None = None
    """The actor that signed the request, if it is another one."""
    signed: datetime | None = None
    """The time of the signature, itself signed; None if the origin confirmed the activity, or no time was given."""
    signature: Verified | None = field(default=None, repr=False)
    """The actor's own HTTP signature, if that proved the activity. It may be used only once."""

    @property
    def id(self) -> str:
        """Return the activity's id.

        It shares the origin of the actor, so an actor cannot use up the ids of another server.
        """
        return self.proved.id

    @property
    def document(self) -> Document:
        """Return the proved document."""
        return self.proved.document

    @property
    def activity(self) -> Activity:
        """Return the proved document as an activity."""
        return self.proved.activity

    @property
    def body(self) -> bytes:
        """Return the bytes of the proved document."""
        return self.proved.body


def authenticate(site: Site, request: Request, incoming: IncomingActivity) -> Op[Authenticated]:
    """Prove that an activity comes from its actor, by the rules above.

    Writes only to caches.

    Effects: `Now`; for each signature that a rule checks, its key (see `remote_key`), fetched afresh if the check fails
    with a cached key; under rule d, the instance actor's key and one document (see `load`).

    Raises:
        RequestError, SignatureError: No rule proves the activity. The notes of the error name the other rules that
            failed, and why. Also raised as by `find_signer` and by the proofs.
        KeyRefused, KeyNotOwned: The key does not exist, or its owner does not list it.
        NotTheActor: The valid signature belongs to another actor.
        Refused: The key's host is suspended.
        Unavailable: The deciding evidence cannot be checked now.
    """
    now = yield from Now()
    proof_result = yield from _by_proof(site, incoming, now)
    if proof_result is not None and not _is_old(proof_result.signed, now, site):
        return proof_result
    failures: list[RemoteError | Unavailable] = []
    try:
        signer = yield from find_signer(site, request, prefer=incoming.actor)
    except (RemoteError, Unavailable) as error:
        signer = None
        failures.append(error)
    if signer is not None:
        if same_id(signer.owner, incoming.actor):
            return _by_request(incoming if proof_result is None else proof_result.proved, signer)
        failures.append(
            NotTheActor(f"key {signer.key_id} is owned by {signer.owner}, the activity's actor is {incoming.actor}")
        )
    # Rule a: an activity with a proof is proved by the proof or by its actor's own request, never by rules c and d.
    if proof_result is not None:
        raise _too_old("its proof", proof_result.signed)
    relayed_by = None if signer is None else signer.owner
    for rule in (_by_ld_signature, _by_origin):
        try:
            result = yield from rule(site, incoming, now, failures[0], signer)
        except (RemoteError, Unavailable) as error:
            failures.append(error)
            continue
        if result is not None:
            return evolve(result, relayed_by=relayed_by)
    raise _decisive(failures)


def delivered_by_its_actor(site: Site, request: Request, authenticated: Authenticated) -> Op[Authenticated | None]:
    """Check whether the actor of a proved activity also signed the request; None if another actor delivered it.

    Only the actor's own request shows that the activity is meant for this inbox.

    Effects, and `Unavailable`: as for `find_signer`.
    """
    try:
        signer = yield from find_signer(site, request, prefer=authenticated.actor)
    except RemoteError:
        return None
    return _by_request(authenticated.proved, signer) if same_id(signer.owner, authenticated.actor) else None


def keys_named(members: Mapping[str, Any]) -> list[str]:
    """Return the key ids that the proofs and the LD signature of a document name.

    At most `proofs.PROOFS_MAX` proofs are read, and nothing is verified.
    """
    proof: object = members.get("proof")
    proof_list = cast("list[object]", proof)[: proofs.PROOFS_MAX] if isinstance(proof, list) else [proof]
    key_ids = [_member(entry, "verificationMethod") for entry in proof_list]
    key_ids.append(_member(members.get("signature"), "creator"))
    return [key_id for key_id in key_ids if key_id is not None]


def _member(holder: object, name: str) -> str | None:
    """Return the string member ``name`` of a JSON object; None if there is no object or no such string."""
    value: Any = cast("dict[str, Any]", holder).get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, str) else None


def _decisive(failures: list[RemoteError | Unavailable]) -> RemoteError | Unavailable:
    """Return the error to raise, with the others as its notes.

    The first retryable outage comes before any refusal: after a retry, the same activity may be proved.
    """
    waiting = [failure for failure in failures if isinstance(failure, Unavailable) and failure.retryable]
    decisive = waiting[0] if waiting else failures[0]
    for failure in failures:
        if failure is not decisive:
            decisive.add_note(f"{failure.reason}: {failure}")
    return decisive


def _is_old(signed: datetime | None, now: datetime, site: Site) -> bool:
    # A peer's clock may run ahead of ours by the skew. Its activity was then processed, and is forgotten, that much
    # sooner than its date says.
    return signed is None or (now - signed).total_seconds() > DONE_KEPT_S - site.signatures.clock_skew_s


def _too_old(evidence: str, signed: datetime | None) -> SignatureTooOld:
    moment = "at an unknown time" if signed is None else f"at {signed.isoformat()}"
    return SignatureTooOld(
        f"{evidence} was made {moment}: an activity over {DONE_KEPT_S / 86400:.0f} days old may have been processed "
        "already, so its actor has to sign the request"
    )


# --- rule a: proofs -------------------------------------------------------------------------------------------------


def _by_proof(site: Site, incoming: IncomingActivity, now: datetime) -> Op[Authenticated | None]:
    _check_graph_size(incoming, "eddsa-rdfc-2022")
    try:
        presented_proofs = proofs.parse(incoming.document.tree, now=now, policy=site.signatures, work=incoming.work)
    except SignatureMissing:
        return None
    except DocumentError as error:
        raise ProofRefused(f"the document cannot be read under the context of its proof: {error}") from error
    # Check all origins before any key is fetched.
    for presented in presented_proofs:
        if not same_origin(presented.key_id, incoming.actor):
            raise NotTheActor(
                f"the proof is by key {presented.key_id}, of another origin than the actor {incoming.actor}"
            )
    verified_proofs: list[VerifiedDocument] = []
    for presented in presented_proofs:
        verified = yield from _verify_document(site, presented, for_proofs=True)
        if not same_id(verified.owner, incoming.actor):
            raise NotTheActor(
                f"the proof is by key {presented.key_id} of {verified.owner}, the activity's actor is {incoming.actor}"
            )
        if verified_proofs and verified.document != verified_proofs[0].document:
            raise ProofRefused("the document has several proofs, and they do not cover the same document")
        verified_proofs.append(verified)
    # The oldest proof tells for how long the document has been in circulation.
    oldest = min(verified_proofs, key=lambda verified: verified.created)
    return _by_document(site, incoming, oldest, "proof")


def _verify_document(site: Site, presented: PresentedDocument, *, for_proofs: bool) -> Op[VerifiedDocument]:
    def verify(key: RemoteKey) -> VerifiedDocument:
        if for_proofs and not key.asserts:
            raise ProofRefused(f"key {presented.key_id} is not in the assertionMethod of {key.key.owner}")
        return check_document(presented, key.key)

    return (yield from key_named(site, presented.key_id, verify))


def _check_graph_size(incoming: IncomingActivity, scheme: str) -> None:
    """Refuse to canonicalise a large document before any signer is proved: that takes far longer than reading it."""
    if len(incoming.body) <= GRAPH_BYTES_MAX:
        return
    tree = incoming.document.tree
    proof: object = tree.get("proof")
    proof_list = cast("list[object]", proof) if isinstance(proof, list) else [proof]
    if scheme == _LD_TYPE or any(_member(entry, "cryptosuite") == scheme for entry in proof_list):
        raise LimitExceeded(
            f"the document is signed as a graph and has {len(incoming.body)} bytes, at most {GRAPH_BYTES_MAX}"
        )


def _by_document(
    site: Site, incoming: IncomingActivity, verified: VerifiedDocument, auth_method: AuthMethod
) -> Authenticated:
    """Return the signed document in place of the received one, if it is the same activity."""
    proved = read_incoming(site, bytes_of(verified.document))
    if (proved.id, proved.actor) != (incoming.id, incoming.actor):
        raise ProofRefused(
            f"the signed activity is {proved.id} of {proved.actor}, the body has {incoming.id} of {incoming.actor}"
        )
    return Authenticated(
        proved=proved, actor=proved.actor, auth_method=auth_method, key_id=verified.key_id, signed=verified.created
    )


# --- rule b: the request --------------------------------------------------------------------------------------------


def _by_request(proved: IncomingActivity, signer: Signed) -> Authenticated:
    signed_s = signer.signature.signed
    return Authenticated(
        proved=proved,
        actor=proved.actor,
        auth_method="http-signature",
        key_id=signer.key_id,
        signed=None if signed_s is None else datetime.fromtimestamp(signed_s, UTC),
        signature=signer.signature,
    )


# --- rule c: LD signatures ------------------------------------------------------------------------------------------


def _by_ld_signature(
    site: Site, incoming: IncomingActivity, now: datetime, _failure: RemoteError | Unavailable, signer: Signed | None
) -> Op[Authenticated | None]:
    signature = incoming.document.tree.get("signature")
    if not site.signatures.ld_signatures or _member(signature, "type") != _LD_TYPE:
        return None
    creator = _member(signature, "creator") or ""
    # This check comes before canonicalisation, which costs much more.
    if not same_origin(creator, incoming.actor):
        raise NotTheActor(f"the LD signature is by key {creator!r:.200}, of another origin than {incoming.actor}")
    if signer is None:
        _check_graph_size(incoming, _LD_TYPE)
    contexts = incoming.document.vocabulary.table(BUNDLED)
    presented = ld_signature.parse(
        incoming.document.tree, now=now, contexts=contexts, policy=site.signatures, work=incoming.work
    )
    if _is_old(presented.created, now, site):
        raise _too_old("its LD signature", presented.created)
    verified = yield from _verify_document(site, presented, for_proofs=False)
    if not same_id(verified.owner, incoming.actor):
        raise NotTheActor(f"the LD signature is by key {creator} of {verified.owner}, the actor is {incoming.actor}")
    return _by_document(site, incoming, verified, "ld-signature")


# --- rule d: the origin ---------------------------------------------------------------------------------------------


def _by_origin(
    site: Site, incoming: IncomingActivity, now: datetime, failure: RemoteError | Unavailable, signer: Signed | None
) -> Op[Authenticated | None]:
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
    if _is_old(published, now, site):
        raise _too_old("the activity", published)
    if published is not None and (published - now).total_seconds() > site.signatures.clock_skew_s:
        # We would forget its id before the activity counts as old, so it could be processed twice.
        raise SignatureFromFuture(
            f"the activity was published at {published.isoformat()}, later than the present time {now.isoformat()}"
        )
    return Authenticated(proved=proved, actor=proved.actor, auth_method="origin")


def _deleted_at_origin(site: Site, incoming: IncomingActivity) -> Op[Authenticated | None]:
    """Confirm a deletion at the object's origin: by a 410, or by a Tombstone.

    A 404 proves nothing, since it may be an outage. The result is a Delete with an id made from the object's. The
    received activity stays unproved: otherwise a third party could use up its id.
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
    """Load a document because a stranger's request needs it: from the stranger's budget, and for as long as a key."""
    identity = yield from instance_identity(site)
    until = (yield from Now()) + timedelta(seconds=site.fetching.key_s_max)
    policy = evolve(site.asking, until=until)
    try:
        return (yield from load(uri, policy=policy, identity=identity, fresh=fresh))
    except (FetchFailed, PeerFailing) as error:
        # The peer learns only whether to retry. Responses from our network are not disclosed (design rule 14).
        if error.retryable:
            raise OriginUnavailable(f"{uri}: {error}", retry_after_s=error.retry_after_s) from error
        raise Refused(f"{uri} cannot be loaded to confirm the activity: {error}") from error
