"""Define keys and signatures, as documents. `apcore.signatures` verifies them."""

from __future__ import annotations

from apcore.vocab.namespaces import CID, DATA_INTEGRITY, SEC
from apcore.vocab.relations import Ref, Uri
from apcore.vocab.scalars import Moment, Text
from apcore.vocab.views import View

__all__ = ["CryptographicKey", "DataIntegrityProof", "LinkedDataSignature", "Multikey"]

_DC_CREATED = "http://purl.org/dc/terms/created"


class CryptographicKey(View, ns=SEC):
    """A public key in PEM, as in ``publicKey``.

    A facet: most servers write no type, some ``Key`` or ``CryptographicKey``.
    """

    owner: Ref = Ref()
    controller: Ref = Ref(ns=CID)
    public_key_pem: Text = Text()


class Multikey(View, ns=CID, type="Multikey"):
    """A public key in multibase, as in ``assertionMethod`` (FEP-521a)."""

    controller: Ref = Ref()
    public_key_multibase: Text = Text()
    expires: Moment = Moment(iri=f"{SEC.iri}expiration", also=("expiration",))
    revoked: Moment = Moment()


class DataIntegrityProof(View, ns=DATA_INTEGRITY, type="DataIntegrityProof"):
    """A proof inside its document (FEP-8b32)."""

    cryptosuite: Text = Text()
    verification_method: Ref = Ref()
    proof_purpose: Text = Text()
    proof_value: Text = Text()
    created: Moment = Moment(iri=_DC_CREATED)
    expires: Moment = Moment(iri=f"{SEC.iri}expiration", also=("expiration",))


class LinkedDataSignature(View, ns=SEC):
    """The older signature inside a document. A facet: its type names the suite, nearly always ``RsaSignature2017``."""

    creator: Uri = Uri(iri="http://purl.org/dc/terms/creator")
    created: Moment = Moment(iri=_DC_CREATED)
    signature_value: Text = Text()
    nonce: Text = Text()
