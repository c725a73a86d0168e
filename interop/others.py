"""The others: each signs and verifies a case of `interop.crosscheck` as its own documentation says."""

from __future__ import annotations

import copy
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_der_public_key,
)
from interop.fedify_signatures import FedifySignatures, as_json

from apcore.http import Headers, Request
from apcore.jsonld import BUNDLED
from apcore.signatures import Algorithm, PrivateKey, generate_key, read_private_der

ALICE = "https://remote.example/users/alice"


class Missing(Exception):
    """It is not installed here."""


class Cannot(Exception):
    """It has no such thing."""


class Refused(Exception):
    """It says that the signature does not hold."""


class Keys:
    """Alice's keys, one of each type."""

    def __init__(self) -> None:
        self.rsa = _made("rsa-2048", "main-key")
        self.ed25519 = _made("ed25519", "ed25519-key")
        # The same key as one for requests: some look for those among `publicKey` alone.
        self.ed25519_of_requests = self.ed25519.renamed(key_id=f"{ALICE}#ed25519-request-key", owner=ALICE)
        self.p256 = _on_curve(ec.SECP256R1(), "p256-key")
        self.p384 = _on_curve(ec.SECP384R1(), "p384-key")

    def for_algorithm(self, algorithm: Algorithm) -> PrivateKey:
        if algorithm.startswith("rsa"):
            return self.rsa
        return {
            "ed25519": self.ed25519_of_requests,
            "ecdsa-p256-sha256": self.p256,
            "ecdsa-p384-sha384": self.p384,
        }[algorithm]


def _made(kind: Any, name: str) -> PrivateKey:
    return generate_key(kind, key_id=f"{ALICE}#{name}", owner=ALICE)


def _on_curve(curve: ec.EllipticCurve, name: str) -> PrivateKey:
    # We read such keys and make none, so this one comes from elsewhere.
    der = ec.generate_private_key(curve).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return read_private_der(der, key_id=f"{ALICE}#{name}", owner=ALICE)


def actor_document(keys: Keys) -> dict[str, Any]:
    """What Alice's server would answer."""
    requests = (keys.rsa, keys.ed25519_of_requests)  # with a key on a curve among them, Fedify finds none at all
    return {
        "@context": [
            "https://www.w3.org/ns/activitystreams",
            "https://w3id.org/security/v1",
            "https://www.w3.org/ns/did/v1",
            "https://w3id.org/security/multikey/v1",
        ],
        "id": ALICE,
        "type": "Person",
        "inbox": f"{ALICE}/inbox",
        "outbox": f"{ALICE}/outbox",
        "publicKey": [{"id": key.key_id, "owner": ALICE, "publicKeyPem": key.public.pem} for key in requests],
        "assertionMethod": [
            {
                "id": keys.ed25519.key_id,
                "type": "Multikey",
                "controller": ALICE,
                "publicKeyMultibase": keys.ed25519.public.multibase,
            }
        ],
    }


def native_private(key: PrivateKey) -> Any:
    return load_der_private_key(key.der(), password=None)


def native_public(key: PrivateKey) -> Any:
    return load_der_public_key(key.public.spki)


class _Other:
    """Nothing to open, nothing to close."""

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        pass


class MessageSignatures(_Other):
    """`http-message-signatures`: RFC 9421."""

    name = "http-message-signatures"

    def __init__(self, keys: Keys) -> None:
        try:
            import http_message_signatures as theirs
        except ImportError as exc:
            raise Missing("pip install http-message-signatures") from exc
        self._theirs = theirs
        self.version = _version(self.name)
        self._keys = keys
        every = (keys.rsa, keys.ed25519_of_requests, keys.p256, keys.p384)
        self._resolver = theirs.MappingKeyResolver(
            public_keys={key.key_id: native_public(key) for key in every},
            private_keys={key.key_id: native_private(key) for key in every},
        )

    def _algorithm(self, case: Any) -> Any:
        if case.scheme != "rfc9421":
            raise Cannot
        names = {
            "rsa-v1_5-sha256": "RSA_V1_5_SHA256",
            "rsa-pss-sha512": "RSA_PSS_SHA512",
            "ecdsa-p256-sha256": "ECDSA_P256_SHA256",
            "ecdsa-p384-sha384": "ECDSA_P384_SHA384",
            "ed25519": "ED25519",
        }
        return getattr(self._theirs.algorithms, names[case.algorithm])

    def sign(self, case: Any) -> Request:
        signer = self._theirs.HTTPMessageSigner(signature_algorithm=self._algorithm(case), key_resolver=self._resolver)
        request = case.request
        message = _Message(request)
        covered = [
            name for name in case.covered or ("@method", "@target-uri", "@authority") if name != "content-digest"
        ]
        body = None if request.method == "GET" else request.body
        key_id = self._keys.for_algorithm(case.algorithm).key_id
        signer.sign(message, key_id=key_id, covered_component_ids=covered, body=body)
        return Request(request.method, request.url, Headers(message.headers), request.body)

    def verify(self, case: Any, signed: Request) -> None:
        verifier = self._theirs.HTTPMessageVerifier(
            signature_algorithm=self._algorithm(case), key_resolver=self._resolver
        )
        body = None if signed.method == "GET" else signed.body
        try:
            verifier.verify(_Message(signed), body=body)
        except self._theirs.HTTPMessageSignaturesException as exc:
            raise Refused(str(exc)) from exc


class _Message:
    """A request as `http-message-signatures` takes it."""

    def __init__(self, request: Request) -> None:
        self.method, self.url = request.method, request.url
        self.headers = dict(request.headers.pairs)


class Apsig(_Other):
    """`apsig`: draft-cavage, RFC 9421, Linked Data Signatures and proofs."""

    name = "apsig"

    def __init__(self, keys: Keys) -> None:
        try:
            import apsig
            import apsig.draft
            import apsig.exceptions
            import apsig.rfc9421
        except ImportError as exc:
            raise Missing("pip install apsig") from exc
        from pyld import jsonld

        self._theirs = apsig
        self.version = _version(self.name)
        self._keys = keys
        jsonld.set_document_loader(_bundled)

    def sign(self, case: Any) -> Any:
        rsa = native_private(self._keys.rsa)
        key_id = self._keys.rsa.key_id
        if case.scheme == "proof":
            options = {
                "type": "DataIntegrityProof",
                "cryptosuite": "eddsa-jcs-2022",
                "verificationMethod": self._keys.ed25519.key_id,
                "proofPurpose": "assertionMethod",
                "created": "2026-11-22T08:00:00Z",
            }
            return self._theirs.ProofSigner(native_private(self._keys.ed25519)).sign(case.document, options)
        if case.scheme == "ld":
            return self._theirs.LDSignature().sign(copy.deepcopy(case.document), key_id, rsa)
        if case.covered or case.algorithm != "rsa-v1_5-sha256":
            raise Cannot
        request, headers = case.request, dict(case.request.headers.pairs)
        if case.scheme == "cavage":
            signed = self._theirs.draft.Signer(headers, rsa, request.method, request.url, key_id, request.body).sign()
        else:
            at = urlsplit(request.url)
            signer = self._theirs.rfc9421.RFC9421Signer(rsa, key_id)
            signed = signer.sign(request.method, at.path, at.netloc, headers, request.body)
        return Request(request.method, request.url, Headers(signed), request.body)

    def verify(self, case: Any, signed: Any) -> None:
        try:
            held = self._verified(case, signed)
        except Exception as exc:  # whatever it raises, it did not accept
            raise Refused(f"{type(exc).__name__}: {exc}") from exc
        if not held:
            raise Refused("verify() gives None")

    def _verified(self, case: Any, signed: Any) -> Any:
        if case.scheme == "proof":
            verifier = self._theirs.ProofVerifier(native_public(self._keys.ed25519))
            return verifier.verify(copy.deepcopy(signed), raise_on_fail=True)
        if case.scheme == "ld":
            return self._theirs.LDSignature().verify(signed, native_public(self._keys.rsa), raise_on_fail=True)
        key = native_public(self._keys.for_algorithm(case.algorithm))
        headers = dict(signed.headers.pairs)
        if case.scheme == "cavage":
            verifier = self._theirs.draft.Verifier(key, signed.method, signed.url, headers, signed.body)
        else:
            at = urlsplit(signed.url)
            verifier = self._theirs.rfc9421.RFC9421Verifier(
                key, signed.method, at.path, at.netloc, headers, signed.body
            )
        return verifier.verify(raise_on_fail=True)


def _bundled(url: str, _options: Any = None) -> dict[str, Any]:
    # The context that apsig names has the terms of security/v1, and no test asks the network.
    known = "https://w3id.org/security/v1" if url.startswith("https://w3c-ccg.github.io/") else url
    context = BUNDLED.get(known)
    if context is None:
        raise LookupError(f"no context {url}")
    return {"contextUrl": None, "documentUrl": url, "document": {"@context": context}}


class Fedify(_Other):
    """Fedify: draft-cavage, RFC 9421, Linked Data Signatures and proofs."""

    name = "Fedify"
    _SPECS: ClassVar = {"cavage": "draft-cavage-http-signatures-12", "rfc9421": "rfc9421"}

    def __init__(self, keys: Keys, modules: Path | None) -> None:
        if modules is None:
            raise Missing("npm install in interop, and --node-modules")
        try:
            self._process = FedifySignatures(
                modules, rsa=keys.rsa, ed25519=keys.ed25519, served={ALICE: actor_document(keys)}
            )
        except FileNotFoundError as exc:
            raise Missing(str(exc)) from exc
        self.version = self._process.version

    def close(self) -> None:
        self._process.close()

    def sign(self, case: Any) -> Any:
        if case.scheme in {"proof", "ld"}:
            task = "prove" if case.scheme == "proof" else "signLd"
            return self._answer(task, "document", document=case.document)
        if case.covered or case.algorithm != "rsa-v1_5-sha256":
            raise Cannot
        request = case.request
        headers = self._answer("sign", "headers", spec=self._SPECS[case.scheme], request=as_json(request))
        return Request(request.method, request.url, Headers([tuple(pair) for pair in headers]), request.body)

    def verify(self, case: Any, signed: Any) -> None:
        if case.scheme in {"proof", "ld"}:
            answer = self._process.ask("checkProof" if case.scheme == "proof" else "checkLd", document=signed)
        else:
            answer = self._process.ask("verify", request=as_json(signed))
        if not answer["holds"]:
            raise Refused(str(answer.get("why", "no reason given")))

    def _answer(self, task: str, member: str, **given: Any) -> Any:
        answer = self._process.ask(task, **given)
        if member not in answer:
            raise RuntimeError(f"Fedify could not {task}: {answer}")
        return answer[member]


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)
