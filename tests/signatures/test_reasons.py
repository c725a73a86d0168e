"""Produce every reason of a signature refusal, and check that its explanation has all that is known by then."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from apcore.signatures import cavage, check, errors, ld_signature, parse, proofs, read_pem, rfc9421
from apcore.signatures.explain import explain
from apcore.signatures.explain_documents import explain_ld_signature, explain_proofs
from apcore.signatures.policy import DEFAULT, STRICT

READ = {"rule", "scheme", "key_id", "algorithm", "covered"}
VALID = {*READ, "signing_string", "clock_offset_s"}
CHECKED = {*VALID, "key"}

OWNER = "https://remote.example/users/alice"
NOTE = {
    "@context": ["https://www.w3.org/ns/activitystreams", "https://w3id.org/security/data-integrity/v2"],
    "id": "https://remote.example/notes/1",
    "type": "Note",
    "content": "hi",
}


class Case:
    def __init__(self, rsa_key, ed_key, post, get, now):
        self.rsa, self.ed, self.post, self.get, self.now = rsa_key, ed_key, post, get, now

    def request_refusal(self, request, *, key=None, policy=DEFAULT, now=None):
        """Return the refusal that `check` raises; the explanation of the request must end with the same one."""
        report = explain(request, now=now or self.now, policy=policy, key=key)
        with pytest.raises(type(report.error)) as exc_info:
            check(parse(request, policy, now=now or self.now), key and key.renamed(key_id=self.rsa.key_id))
        assert exc_info.value.explanation == report.error.explanation
        return report.error

    def document_refusal(self, document, *, key=None):
        explain_it = explain_proofs if "proof" in document else explain_ld_signature
        return explain_it(document, now=self.now, keys={f"{OWNER}#ed25519-key": key} if key else None).error

    def sign(self, module=cavage, **changes):
        return module.sign(self.post, self.rsa, now=self.now - timedelta(seconds=5), **changes)


def with_field(request, name, value):
    return evolve(request, headers=request.headers.with_set(name, value))


def without_field(request, name):
    return evolve(request, headers=request.headers.without(name))


def proved_note(case, **changes):
    document = proofs.create(NOTE, case.ed, now=case.now)
    return {**document, "proof": {**document["proof"], **changes}}


def ld_signed_note(case, **changes):
    document = ld_signature.create({**NOTE, "@context": NOTE["@context"][0]}, case.rsa, now=case.now)
    return {**document, **changes}


def small_pem():
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    # Two primes of 256 bits. Libraries refuse to generate such keys, so the test builds the key by hand.
    p, q = 2**255 + 95, 2**255 + 1083
    numbers = rsa.RSAPublicNumbers(65537, p * q | 1)
    return numbers.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def read_refusal(text):
    with pytest.raises(Exception) as exc_info:
        read_pem(text, key_id="https://remote.example/k", owner="", source="https://remote.example/users/alice")
    return exc_info.value


CASES = {
    "signature-missing": (lambda c: c.request_refusal(c.post), {"rule"}),
    "signature-malformed": (lambda c: c.request_refusal(with_field(c.post, "signature", "x")), {"rule", "scheme"}),
    "signature-malformed, rfc9421": (
        lambda c: c.request_refusal(with_field(c.sign(rfc9421), "signature-input", "(")),
        {"rule", "scheme"},
    ),
    "digest-malformed": (lambda c: c.request_refusal(tamper(c, "digest", "SHA-256=?")), VALID),
    "digest-malformed, rfc9421": (
        lambda c: c.request_refusal(with_field(c.sign(rfc9421), "content-digest", "sha-256")),
        {*VALID, "label"},
    ),
    "digest-mismatch": (lambda c: c.request_refusal(evolve(c.sign(), body=b"")), VALID),
    "digest-mismatch, rfc9421": (lambda c: c.request_refusal(evolve(c.sign(rfc9421), body=b"x")), {*VALID, "label"}),
    "scheme-refused": (
        lambda c: c.request_refusal(c.sign(), policy=DEFAULT.with_(schemes=frozenset({"rfc9421"}))),
        VALID,
    ),
    "scheme-refused, rfc9421": (
        lambda c: c.request_refusal(c.sign(rfc9421), policy=DEFAULT.with_(schemes=frozenset({"cavage"}))),
        {*VALID, "label"},
    ),
    "algorithm-refused": (lambda c: c.request_refusal(tamper(c, "signature", "rsa-sha256", "hmac-sha256")), VALID),
    "algorithm-refused, by the policy": (
        lambda c: c.request_refusal(c.sign(algorithm="rsa-v1_5-sha512"), policy=STRICT, key=c.rsa.public),
        CHECKED,
    ),
    "coverage-too-small": (lambda c: c.request_refusal(c.sign(covered=("date",))), VALID),
    "coverage-too-small, rfc9421": (
        lambda c: c.request_refusal(c.sign(rfc9421, covered=("@method",))),
        {*VALID, "label"},
    ),
    "component-missing": (lambda c: c.request_refusal(without_field(c.sign(), "content-type")), READ),
    "component-missing, rfc9421": (
        lambda c: c.request_refusal(without_field(c.sign(rfc9421), "content-digest")),
        {*READ, "label", "clock_offset_s"},
    ),
    "signature-too-old": (lambda c: c.request_refusal(c.sign(), now=c.now + timedelta(days=1)), VALID),
    "signature-expired": (
        lambda c: c.request_refusal(
            c.sign(covered=("(request-target)", "host", "digest", "(created)", "(expires)"), expires_s=10),
            now=c.now + timedelta(hours=2),
        ),
        VALID,
    ),
    "signature-expired, rfc9421": (
        lambda c: c.request_refusal(c.sign(rfc9421, expires_s=10), now=c.now + timedelta(hours=2)),
        {*VALID, "label"},
    ),
    "signature-from-future": (lambda c: c.request_refusal(c.sign(), now=c.now - timedelta(hours=2)), VALID),
    "signature-from-future, proof": (
        lambda c: c.document_refusal(proved_note(c, created="2099-01-01T00:00:00Z")),
        {"rule", "scheme", "key_id", "algorithm", "clock_offset_s"},
    ),
    "wrong-host": (lambda c: c.request_refusal(evolve(c.sign(), url="https://other.example/users/bob/inbox")), VALID),
    "key-mismatch": (lambda c: c.request_refusal(c.sign(), key=c.ed.public), CHECKED),
    "key-malformed": (
        lambda _: read_refusal("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"),
        {"rule", "key_id", "key"},
    ),
    "key-weak": (lambda _: read_refusal(small_pem()), {"rule", "key_id", "key"}),
    "key-weak, by the policy": (
        lambda c: c.request_refusal(c.sign(), key=c.rsa.public, policy=DEFAULT.with_(rsa_bits_min=3072)),
        CHECKED,
    ),
    "key-expired": (lambda c: c.request_refusal(c.sign(), key=evolve(c.rsa.public, expires=c.now)), CHECKED),
    "bad-signature": (
        lambda c: c.request_refusal(with_field(c.sign(), "date", "Sun, 22 Nov 2026 08:00:01 GMT"), key=c.rsa.public),
        CHECKED,
    ),
    "bad-signature, proof": (
        lambda c: c.document_refusal({**proved_note(c), "content": "bye"}, key=c.ed.public),
        CHECKED - {"covered"},
    ),
    "proof-malformed": (
        lambda c: c.document_refusal(proved_note(c, proofValue="z")),
        {"rule", "scheme", "key_id", "clock_offset_s"},
    ),
    "proof-malformed, linked data": (
        lambda c: c.document_refusal(
            ld_signed_note(c, signature={**ld_signed_note(c)["signature"], "signatureValue": "?"})
        ),
        {"rule", "scheme", "key_id", "clock_offset_s"},
    ),
    "proof-refused": (
        lambda c: c.document_refusal(proved_note(c, proofPurpose="authentication")),
        {"rule", "scheme", "key_id", "clock_offset_s"},
    ),
    "graph-restructured": (
        lambda c: c.document_refusal(ld_signed_note(c, **{"@reverse": {"object": {"id": "https://remote.example/x"}}})),
        {"rule", "scheme", "key_id", "clock_offset_s"},
    ),
}


def tamper(case, name, old, new=None):
    """Return a signed request in which one field has another value."""
    signed = case.sign()
    return with_field(signed, name, old if new is None else signed.headers.get(name).replace(old, new))


@pytest.fixture(scope="module")
def case(rsa_key, ed_key, post, get, now):
    return Case(rsa_key, ed_key, post, get, now)


@pytest.mark.parametrize("name", CASES)
def test_reason_is_produced_and_explained(name, case):
    produce, fields = CASES[name]
    error = produce(case)
    assert error.reason == name.partition(",")[0]
    explained_fields = {field for field in fields if getattr(error.explanation, field) not in {None, "", ()}}
    assert explained_fields == fields
    assert len(error.explanation.lines()) >= len(fields)


def test_every_reason_is_produced():
    kinds = {
        kind.reason
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.ExplainedError)
    }
    assert {name.partition(",")[0] for name in CASES} == kinds - {""}
