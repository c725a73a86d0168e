"""The contexts of the security vocabulary, old and new: keys, signatures and proofs."""

from __future__ import annotations

from typing import Final

from apcore.jsonld.contexts.notation import Definitions, context, keywords, prefixes, terms

__all__ = [
    "CONTROLLED_IDENTIFIERS_V1",
    "DATA_INTEGRITY_V1",
    "DATA_INTEGRITY_V2",
    "DID_V1",
    "ED25519_2020_V1",
    "IDENTITY_V1",
    "JWK_V1",
    "MULTIKEY_V1",
    "SECURITY_V1",
    "SECURITY_V2",
]

_SEC: Final = "https://w3id.org/security#"
_DC: Final = "http://purl.org/dc/terms/"
_DID: Final = "https://www.w3.org/ns/did#"
_DATE_TIME: Final = "http://www.w3.org/2001/XMLSchema#dateTime"
_MULTIBASE: Final = "https://w3id.org/security#multibase"
_PROTECTED: Final[Definitions] = {"@protected": True}

SECURITY_V1: Final[Definitions] = context(
    keywords("id type"),
    prefixes(dc=_DC, sec=_SEC, xsd="http://www.w3.org/2001/XMLSchema#"),
    terms(
        "sec",
        """EcdsaKoblitzSignature2016 Ed25519Signature2018 GraphSignature2012 LinkedDataSignature2015
        LinkedDataSignature2016 CryptographicKey=Key EncryptedMessage authenticationTag canonicalizationAlgorithm
        cipherAlgorithm cipherData cipherKey digestAlgorithm digestValue domain encryptionKey initializationVector
        iterationCount nonce normalizationAlgorithm password privateKeyPem publicKeyBase58 publicKeyPem
        publicKeyWif salt signature signatureValue signatureAlgorithm=signingAlgorithm""",
    ),
    terms("dc", "created", type_="xsd:dateTime"),
    terms("dc", "creator", type_="@id"),
    terms("sec", "expiration expires=expiration revoked", type_="xsd:dateTime"),
    terms("sec", "owner privateKey publicKey publicKeyService", type_="@id"),
)

# These are the additions to security/v1.
SECURITY_V2: Final[Definitions] = context(
    terms(
        "sec",
        """AesKeyWrappingKey2019 DeleteKeyOperation DeriveSecretOperation EcdsaSecp256k1Signature2019
        EcdsaSecp256r1Signature2019 EcdsaSecp256k1VerificationKey2019 EcdsaSecp256r1VerificationKey2019
        Ed25519Signature2018 Ed25519VerificationKey2018 EquihashProof2018 ExportKeyOperation GenerateKeyOperation
        KmsOperation RevokeKeyOperation RsaSignature2018 RsaVerificationKey2018 Sha256HmacKey2019 SignOperation
        UnwrapKeyOperation VerifyOperation WrapKeyOperation X25519KeyAgreementKey2019 allowedAction
        capabilityAction challenge ciphertext jws kmsModule plaintext proofValue referenceId unwrappedKey
        verifyData wrappedKey""",
    ),
    terms(
        "sec",
        """assertionMethod authentication=authenticationMethod capabilityDelegation=capabilityDelegationMethod
        capabilityInvocation=capabilityInvocationMethod caveat keyAgreement=keyAgreementMethod""",
        type_="@id",
        container="@set",
    ),
    terms(
        "sec",
        "capability controller delegator invocationTarget invoker parentCapability verificationMethod",
        type_="@id",
    ),
    terms("sec", "capabilityChain", type_="@id", container="@list"),
    terms("sec", "equihashParameterK equihashParameterN", type_="xsd:integer"),
    terms("sec", "proof", type_="@id", container="@graph"),
    terms("sec", "proofPurpose", type_="@vocab"),
)

IDENTITY_V1: Final[Definitions] = context(
    keywords("id type"),
    prefixes(
        cred="https://w3id.org/credentials#",
        dc=_DC,
        identity="https://w3id.org/identity#",
        perm="https://w3id.org/permissions#",
        ps="https://w3id.org/payswarm#",
        rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        rdfs="http://www.w3.org/2000/01/rdf-schema#",
        sec=_SEC,
        schema="http://schema.org/",
        xsd="http://www.w3.org/2001/XMLSchema#",
    ),
    terms("https://www.w3.org/ns/activitystreams#", "Group"),
    terms("cred", "Credential CryptographicKeyCredential"),
    terms("cred", "claim credential issuer recipient", type_="@id"),
    terms("cred", "issued", type_="xsd:dateTime"),
    terms(
        "schema",
        """Organization Person PostalAddress addressCountry addressLocality addressRegion description email
        familyName givenName name postalCode streetAddress""",
    ),
    terms("schema", "about address image member memberOf url", type_="@id"),
    terms("rdfs", "comment label"),
    terms("dc", "title"),
    terms("dc", "created", type_="xsd:dateTime"),
    terms("dc", "creator", type_="@id"),
    terms("identity", "Identity"),
    terms("identity", "identityService idp", type_="@id"),
    terms("ps", "paymentProcessor=processor"),
    terms("ps", "preferences", type_="@vocab"),
    terms(
        "sec",
        """CryptographicKey=Key EncryptedMessage GraphSignature2012 LinkedDataSignature2015 cipherAlgorithm
        cipherData cipherKey digestAlgorithm digestValue domain initializationVector nonce normalizationAlgorithm
        password privateKeyPem publicKeyPem signature signatureAlgorithm signatureValue""",
    ),
    terms("sec", "expires=expiration revoked", type_="xsd:dateTime"),
    terms("sec", "owner privateKey publicKey publicKeyService", type_="@id"),
    terms("perm", "accessControl writePermission", type_="@id"),
)


def _relations(words: str) -> Definitions:
    return terms(_SEC, words, type_="@id", container="@set")


_VERIFICATION_RELATIONS: Final = """assertionMethod authentication=authenticationMethod
    capabilityDelegation=capabilityDelegationMethod capabilityInvocation=capabilityInvocationMethod
    keyAgreement=keyAgreementMethod"""


def _proof(*rest: Definitions) -> Definitions:
    """Return the terms inside a ``DataIntegrityProof``. The two versions differ in ``rest``."""
    return context(
        _PROTECTED,
        keywords("id type"),
        terms(_SEC, "challenge domain nonce"),
        terms(_DC, "created", type_=_DATE_TIME),
        terms(_SEC, "expires=expiration", type_=_DATE_TIME),
        terms(
            _SEC,
            "proofPurpose",
            type_="@vocab",
            scoped=context(_PROTECTED, keywords("id type"), _relations(_VERIFICATION_RELATIONS)),
        ),
        terms(_SEC, "proofValue", type_=_MULTIBASE),
        terms(_SEC, "verificationMethod", type_="@id"),
        *rest,
    )


DATA_INTEGRITY_V1: Final[Definitions] = context(
    _PROTECTED,
    keywords("id type"),
    terms(_SEC, "proof", type_="@id", container="@graph"),
    terms(_SEC, "DataIntegrityProof", scoped=_proof(terms(_SEC, "cryptosuite"))),
)

DATA_INTEGRITY_V2: Final[Definitions] = context(
    _PROTECTED,
    keywords("id type"),
    terms(_SEC, "proof", type_="@id", container="@graph"),
    terms(
        _SEC,
        "DataIntegrityProof",
        scoped=_proof(
            terms(_SEC, "cryptosuite", type_=f"{_SEC}cryptosuiteString"), terms(_SEC, "previousProof", type_="@id")
        ),
    ),
)


def _key(words: str, type_: str) -> Definitions:
    """Return the terms inside a verification method with key material in ``words``."""
    return context(
        _PROTECTED,
        keywords("id type"),
        terms(_SEC, "controller", type_="@id"),
        terms(_SEC, "revoked expires=expiration", type_=_DATE_TIME),
        terms(_SEC, words, type_=type_),
    )


_MULTIKEY: Final = terms(_SEC, "Multikey", scoped=_key("publicKeyMultibase secretKeyMultibase", _MULTIBASE))
_JWK: Final = terms(_SEC, "JsonWebKey", scoped=_key("publicKeyJwk secretKeyJwk", "@json"))

MULTIKEY_V1: Final[Definitions] = context(_PROTECTED, keywords("id type"), _MULTIKEY)

JWK_V1: Final[Definitions] = context(_PROTECTED, keywords("id type"), _JWK)

DID_V1: Final[Definitions] = context(
    _PROTECTED,
    keywords("id type"),
    terms("https://www.w3.org/ns/activitystreams#", "alsoKnownAs", type_="@id"),
    _relations(_VERIFICATION_RELATIONS),
    terms(_SEC, "controller verificationMethod", type_="@id"),
    terms(
        _DID,
        "service",
        type_="@id",
        scoped=context(_PROTECTED, keywords("id type"), terms(_DID, "serviceEndpoint", type_="@id")),
    ),
)

CONTROLLED_IDENTIFIERS_V1: Final[Definitions] = context(DID_V1, _MULTIKEY, _JWK)

ED25519_2020_V1: Final[Definitions] = context(
    _PROTECTED,
    keywords("id type"),
    terms(_SEC, "Ed25519VerificationKey2020", scoped=terms(_SEC, "publicKeyMultibase")),
    terms(
        _SEC,
        "Ed25519Signature2020",
        scoped=context(
            terms(_SEC, "verificationMethod", type_="@id"),
            terms(
                _SEC,
                "proofPurpose",
                type_="@vocab",
                scoped=_relations("assertionMethod authentication=authenticationMethod"),
            ),
            terms(_SEC, "domain challenge nonce signature=proofValue"),
            terms(_DC, "created", type_=_DATE_TIME),
            terms(_SEC, "proofValue", type_=_MULTIBASE),
        ),
    ),
)
