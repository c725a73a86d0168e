"""Sign and verify requests and documents, and parse keys, without any network access."""

from apcore.signatures import cavage, ld_signature, proofs, rfc9421
from apcore.signatures.accept_signature import (
    Challenge as Challenge,
    answer as answer,
    challenge as challenge,
    read_challenges as read_challenges,
)
from apcore.signatures.documents import (
    DocumentScheme as DocumentScheme,
    PresentedDocument,
    VerifiedDocument,
    check_document,
)
from apcore.signatures.errors import (
    AlgorithmRefused as AlgorithmRefused,
    BadSignature,
    ComponentMissing as ComponentMissing,
    CoverageTooSmall as CoverageTooSmall,
    DigestMalformed as DigestMalformed,
    DigestMismatch as DigestMismatch,
    ExplainedError,
    Explanation,
    GraphRestructured as GraphRestructured,
    KeyExpired as KeyExpired,
    KeyMalformed,
    KeyMismatch,
    KeyWeak as KeyWeak,
    ProofMalformed as ProofMalformed,
    ProofRefused as ProofRefused,
    SchemeRefused as SchemeRefused,
    SignatureExpired as SignatureExpired,
    SignatureFromFuture as SignatureFromFuture,
    SignatureMalformed as SignatureMalformed,
    SignatureMissing,
    SignatureTooOld as SignatureTooOld,
    WrongHost as WrongHost,
)
from apcore.signatures.explain import (
    SignatureReport,
    SignatureStep,
    display_base as display_base,
    explain,
)
from apcore.signatures.explain_documents import (
    explain_ld_signature as explain_ld_signature,
    explain_proofs as explain_proofs,
)
from apcore.signatures.key_formats import (
    generate_key,
    read_did_key as read_did_key,
    read_multikey,
    read_pem,
    read_private_der as read_private_der,
    read_private_multikey as read_private_multikey,
    read_private_pem,
    read_spki,
)
from apcore.signatures.keys import Algorithm as Algorithm, KeyType as KeyType, PrivateKey, PublicKey
from apcore.signatures.policy import (
    DEFAULT,
    LENIENT,
    PRESETS as PRESETS,
    STRICT,
    Coverage as Coverage,
    SignaturePolicy,
    SignatureScheme as SignatureScheme,
)
from apcore.signatures.presented import Presented, Unsigned, Verified, check
from apcore.signatures.requests import (
    is_signed as is_signed,
    parse,
    parse_all as parse_all,
)
from apcore.signatures.sealed_keys import (
    SEALING_NONCE_BYTES as SEALING_NONCE_BYTES,
    Sealing as Sealing,
)

__all__ = [
    "DEFAULT",
    "LENIENT",
    "STRICT",
    "BadSignature",
    "ExplainedError",
    "Explanation",
    "KeyMalformed",
    "KeyMismatch",
    "Presented",
    "PresentedDocument",
    "PrivateKey",
    "PublicKey",
    "SignatureMissing",
    "SignaturePolicy",
    "SignatureReport",
    "SignatureStep",
    "Unsigned",
    "Verified",
    "VerifiedDocument",
    "cavage",
    "check",
    "check_document",
    "explain",
    "generate_key",
    "ld_signature",
    "parse",
    "proofs",
    "read_multikey",
    "read_pem",
    "read_private_pem",
    "read_spki",
    "rfc9421",
]
