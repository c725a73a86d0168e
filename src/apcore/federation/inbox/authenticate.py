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

An activity without an id (a Like, an Announce, a Follow or an Undo) counts only under rule b. Its repetition is
recognised by its actor and object, so a copy of its proof could be sent again after an Undo.

An activity inside another one (an Announce of a Create, FEP-1b12) is never authenticated here, even if it carries
signatures: it is a claim of the outer activity's actor.

The result, `Authenticated`, holds only the content that was proved. For an HTTP signature, that is the body. For a
proof, it is the document without its proofs, under the context that the proof binds. For an LD signature, it is the
signed statements in our own terms. For rule d, it is the origin's response. Later steps take an `Authenticated`, so
code that skips authentication does not type-check.
"""

from __future__ import annotations

from datetime import UTC, datetime

from attrs import evolve

from apcore.effects import Op
from apcore.errors import RemoteError, Unavailable
from apcore.federation.inbox.document_proofs import by_ld_signature, by_proof
from apcore.federation.inbox.evidence import Authenticated, NotTheActor, is_old, too_old
from apcore.federation.inbox.origin_check import by_origin
from apcore.federation.inbox.parse import IncomingActivity
from apcore.federation.request_signers import KeyGone, RequestSignatures, Signed, find_signer
from apcore.federation.site import Site
from apcore.http import Request
from apcore.remote import NotAnActivity
from apcore.vocab import Delete, same_id

__all__ = ["authenticate", "delivered_by_its_actor"]


def authenticate(
    site: Site, request: Request, incoming: IncomingActivity, signatures: RequestSignatures | None = None
) -> Op[Authenticated]:
    """Prove that an activity comes from its actor, by the rules above.

    ``signatures`` are those of the request, if they were parsed already. Writes only to caches.

    Effects: `Now`; for each signature that a rule checks, its key (see `remote_key`), fetched afresh if the check fails
    with a cached key; under rule d, the instance actor's key and one document (see `load`).

    Raises:
        RequestError, SignatureError: No rule proves the activity. The notes of the error name the other rules that
            failed, and why. A proof that is refused ends the authentication with its error.
        KeyRefused, KeyNotOwned: The key does not exist, or its owner does not list it.
        NotTheActor: The valid signature belongs to another actor.
        Refused: The key's host is suspended.
        Unavailable: The deciding evidence cannot be checked now.
    """
    now = yield from site.snapshot.now()
    try:
        proof_result = yield from by_proof(site, incoming, now)
    except KeyGone:
        # An actor that is deleted takes its keys along. Its last Delete is judged as if it had no proof.
        if not (incoming.is_about_its_actor and incoming.document.is_a(Delete)):
            raise
        proof_result = None
    needs_signed_request = incoming.needs_signed_request
    if proof_result is not None and not needs_signed_request and not is_old(proof_result.signed, now, site):
        return proof_result
    failures: list[RemoteError | Unavailable] = []
    try:
        signer = yield from find_signer(site, request, prefer=incoming.actor, signatures=signatures)
    except (RemoteError, Unavailable) as error:
        signer = None
        failures.append(error)
    if signer is not None:
        if same_id(signer.owner, incoming.actor):
            return _by_request(incoming if proof_result is None else proof_result.proved, signer)
        failures.append(
            NotTheActor(f"key {signer.key_id} is owned by {signer.owner}, the activity's actor is {incoming.actor}")
        )
    if needs_signed_request:
        failures.append(NotAnActivity("the activity has no id: only a request that its own actor signed proves it"))
        raise _decisive(failures)
    # Rule a: an activity with a proof is proved by the proof or by its actor's own request, never by rules c and d.
    if proof_result is not None:
        raise too_old("its proof", proof_result.signed)
    relayed_by = None if signer is None else signer.owner
    for rule in (by_ld_signature, by_origin):
        try:
            result = yield from rule(site, incoming, now, failures[0], signer)
        except (RemoteError, Unavailable) as error:
            failures.append(error)
            continue
        if result is not None:
            return evolve(result, relayed_by=relayed_by)
    raise _decisive(failures)


def delivered_by_its_actor(
    site: Site, request: Request, authenticated: Authenticated, signatures: RequestSignatures | None = None
) -> Op[Authenticated | None]:
    """Check whether the actor of a proved activity also signed the request; None if another actor delivered it.

    Only the actor's own request shows that the activity is meant for this inbox.

    Effects, and `Unavailable`: as for `find_signer`.
    """
    try:
        signer = yield from find_signer(site, request, prefer=authenticated.actor, signatures=signatures)
    except RemoteError:
        return None
    return _by_request(authenticated.proved, signer) if same_id(signer.owner, authenticated.actor) else None


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


def _decisive(failures: list[RemoteError | Unavailable]) -> RemoteError | Unavailable:
    """Return the error to raise, with the others as its notes.

    The first retryable outage comes before any refusal: after a retry, the same activity may be proved.
    """
    outages = [failure for failure in failures if isinstance(failure, Unavailable) and failure.retryable]
    decisive = outages[0] if outages else failures[0]
    for failure in failures:
        if failure is not decisive:
            decisive.add_note(f"{failure.reason}: {failure}")
    return decisive
