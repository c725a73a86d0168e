"""Sign our activities as documents, so that they stay verifiable when another server relays or forwards them.

An HTTP signature proves an activity only to the server that gets the request. A signature inside the document lasts.
There are two schemes, and `Federation.document_signatures` chooses:

- ``eddsa-jcs-2022`` is an object integrity proof (FEP-8b32), by the Ed25519 key of the actor. Every activity gets one.
  Servers that do not know proofs ignore the member.
- ``RsaSignature2017`` is the LD signature of Mastodon, by the RSA key of the actor. Only public activities get one, as
  with Mastodon: any server that holds such an activity can pass it on as authentic.

The Delete of an actor gets only the proof. Its receivers can fetch none of its keys any more, but may have cached them.
Fedify then accepts the proof alone: to believe an HTTP signature, it fetches the actor, which is gone. Mastodon reads
the HTTP signature.

An activity is signed once, before its first delivery is planned. So all servers get the same bytes. It is signed in the
worker, and not while a request is answered: keys may have to be made first, and the signer may be slow. If the signer
does not answer within an hour, the activity is delivered without these signatures. Its deliveries are signed anyway.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import Any, Final

from apcore.effects import Now, Op, Sign
from apcore.errors import DocumentError, LimitExceeded, RemoteError, Unavailable
from apcore.federation.actors.documents import AS2
from apcore.federation.actors.key_ring import OwnKey
from apcore.federation.actors.keys import own_keys
from apcore.federation.outbox.edit import wire_body
from apcore.federation.outbox.pending_writes import ACTIVITY_BYTES_MAX
from apcore.federation.outbox.records import SentRecord
from apcore.federation.site import Site
from apcore.jsonld import BUNDLED, ContextTable
from apcore.ports import KeyKind
from apcore.signatures import ld_signature, proofs
from apcore.vocab import Activity, Delete, Document, audience_of, read_document

__all__ = ["WAIT_S_MAX", "sign_document"]

WAIT_S_MAX: Final = 3600.0
"""How long an activity waits for its signer before it is delivered without these signatures."""
_PROOF_CONTEXT: Final = "https://w3id.org/security/data-integrity/v1"
_LOG: Final = logging.getLogger("apcore.delivery")


def sign_document(site: Site, sent: SentRecord) -> Op[bytes]:
    """Return the body of an activity with the signatures that the federation makes.

    The body is unchanged if it is signed already, if it has no canonical form, or if it would become too large.

    Asks for: `Now`, as `own_keys`, and one `Sign` for each scheme.

    Raises:
        Unavailable: The signer or the store does not answer, and the activity is less than an hour old.
    """
    schemes = site.federation.document_signatures
    members: dict[str, Any] = json.loads(sent.body)
    if not schemes or not {"proof", "signature"}.isdisjoint(members):
        return sent.body
    try:
        document = read_document(members, origin=site.origin, vocabulary=site.federation.vocabulary)
    except RemoteError as error:  # an application may send content that apcore would not accept
        _LOG.info("%s is sent without a proof: %s", sent.activity_id, error)
        return sent.body
    now = yield from Now()
    try:
        keys = yield from own_keys(site, sent.actor)
        # A proof is made first: an LD signature is left out of the signed document, and a proof is not.
        if "eddsa-jcs-2022" in schemes:
            members = yield from _add_proof(members, _key_for("ed25519", keys, sent), now)
        has_ld_signature = audience_of(document).is_public and not _is_farewell(document, sent.actor)
        if "RsaSignature2017" in schemes and has_ld_signature:
            contexts = document.vocabulary.table(BUNDLED)
            members = yield from _add_ld_signature(members, _key_for("rsa-2048", keys, sent), now, contexts)
    except Unavailable as error:
        if (now - sent.created).total_seconds() < WAIT_S_MAX:
            raise
        _LOG.warning("%s is sent without a proof: %s", sent.activity_id, error)
        return sent.body
    body = wire_body(members)
    return body if len(body) <= ACTIVITY_BYTES_MAX else sent.body


def _add_proof(members: dict[str, Any], key: OwnKey, now: datetime) -> Op[dict[str, Any]]:
    try:
        unsigned = proofs.prepare(_with_proof_context(members), key_id=key.key_id, now=now)
    except (DocumentError, LimitExceeded) as error:
        _LOG.info("%s gets no proof: %s", members.get("id"), error)
        return members
    signature = yield from Sign(key.name, unsigned.data)
    return unsigned.attach(signature)


def _add_ld_signature(
    members: dict[str, Any], key: OwnKey, now: datetime, contexts: ContextTable
) -> Op[dict[str, Any]]:
    try:
        unsigned = ld_signature.prepare(members, key_id=key.key_id, now=now, contexts=contexts)
    except RemoteError as error:  # apcore would refuse to verify it, for instance because of an unknown context
        _LOG.info("%s gets no LD signature: %s", members.get("id"), error)
        return members
    signature = yield from Sign(key.name, unsigned.data)
    return unsigned.attach(signature)


# --- leaves ---------------------------------------------------------------------------------------------------------


def _key_for(kind: KeyKind, keys: tuple[OwnKey, ...], sent: SentRecord) -> OwnKey:
    """Return the key of a kind, of the generation that signs the first delivery.

    Peers know an older generation already when an activity announces the newer one.
    """
    named = next((key for key in keys if key.name == sent.key_name), keys[0])
    of_kind = [key for key in keys if key.kind == kind]
    return next((key for key in of_kind if key.generation == named.generation), of_kind[0])


def _is_farewell(document: Document, actor: str) -> bool:
    object_ = Activity.over(document).object
    return document.is_a(Delete) and object_ is not None and object_.uri == actor


def _with_proof_context(members: dict[str, Any]) -> dict[str, Any]:
    context: Any = members.get("@context") or AS2
    contexts: list[Any] = [*context] if isinstance(context, list) else [context]
    return members if _PROOF_CONTEXT in contexts else members | {"@context": [*contexts, _PROOF_CONTEXT]}
