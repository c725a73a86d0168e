"""Prove an activity by its document: by integrity proofs (rule a), or by an LD signature (rule c).

`apcore.federation.inbox.authenticate` has the rules and their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, cast

from apcore.effects import Op
from apcore.errors import DocumentError, LimitExceeded, RemoteError, Unavailable
from apcore.federation.inbox.evidence import Authenticated, AuthMethod, NotTheActor, is_old, too_old
from apcore.federation.inbox.parse import IncomingActivity, bytes_of, read_incoming
from apcore.federation.request_signers import Signed, key_named
from apcore.federation.site import Site
from apcore.http import same_origin
from apcore.jsonld import BUNDLED
from apcore.remote import RemoteKey
from apcore.signatures import (
    PresentedDocument,
    ProofRefused,
    SignatureMissing,
    VerifiedDocument,
    check_document,
    ld_signature,
    proofs,
)
from apcore.vocab import same_id

__all__ = ["GRAPH_BYTES_MAX", "by_ld_signature", "by_proof", "keys_named"]

GRAPH_BYTES_MAX: Final = 128 * 1024
"""The longest document that is canonicalised as a graph before any signature is verified. That takes at most 50 ms.

An LD signature may cover a longer document if the request has a valid HTTP signature."""
_LD_TYPE: Final = "RsaSignature2017"


def by_proof(site: Site, incoming: IncomingActivity, now: datetime) -> Op[Authenticated | None]:
    """Prove an activity by its integrity proofs; None if it has none of a known suite.

    The result may be old (`is_old`).
    """
    if incoming.document.tree.get("proof") is None:
        return None
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
    """Verify a document with the key that its signature names. ``for_proofs`` requires a key that may make proofs."""

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


def by_ld_signature(
    site: Site, incoming: IncomingActivity, now: datetime, _failure: RemoteError | Unavailable, signer: Signed | None
) -> Op[Authenticated | None]:
    """Prove an activity by its LD signature; None if it has none, or if the policy ignores these.

    ``signer`` is the proved signer of the request, if there is one.
    """
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
    if is_old(presented.created, now, site):
        raise too_old("its LD signature", presented.created)
    verified = yield from _verify_document(site, presented, for_proofs=False)
    if not same_id(verified.owner, incoming.actor):
        raise NotTheActor(f"the LD signature is by key {creator} of {verified.owner}, the actor is {incoming.actor}")
    return _by_document(site, incoming, verified, "ld-signature")


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


def _by_document(
    site: Site, incoming: IncomingActivity, verified: VerifiedDocument, auth_method: AuthMethod
) -> Authenticated:
    """Return the signed document in place of the received one. Refuse it if it is another activity."""
    proved = read_incoming(site, bytes_of(verified.document))
    if (proved.id, proved.actor) != (incoming.id, incoming.actor):
        raise ProofRefused(
            f"the signed activity is {proved.id} of {proved.actor}, the body has {incoming.id} of {incoming.actor}"
        )
    return Authenticated(
        proved=proved, actor=proved.actor, auth_method=auth_method, key_id=verified.key_id, signed=verified.created
    )
