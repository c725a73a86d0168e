"""What verifying and signing cost beside the bare cryptography and beside the software of others, in one interleaved run.

    python -m benchmarks.signatures [--rounds 60] [--node-modules DIR]

A POST of 4 KB with ten fields, RSA-2048, every key known and loaded; a Create of 3 KB for proofs and Linked Data Signatures. Each contender takes
its turn round after round, and within its turn each call is paired with one of the bare cryptography (SHA-256 of the body and the RSA operation
on a key at hand), so that a slow stretch of the machine hits both: ratios and differences are medians over the pairs. `apsig` and
`http-message-signatures` are measured where they are installed; Fedify where ``--node-modules`` names a directory that has it, in a process of
its own, by its own clock, beside the pairs of the same round. Exit code 1 if one of the bars does not hold.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from attrs import define, evolve, field
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from interop.fedify_signatures import as_json
from interop.others import ALICE, Apsig, Fedify, Keys, MessageSignatures, Missing

from apcore.http.messages import Request
from apcore.signatures import cavage, check, check_document, ld_signature, parse, proofs, read_pem, rfc9421

# Now, since the others look at the clock themselves.
NOW = datetime.now(UTC)
KEYS = Keys()
RSA, ED = KEYS.rsa, KEYS.ed25519
REQUEST = Request(
    "POST",
    "https://local.example/users/bob/inbox",
    {
        "Host": "local.example",
        "User-Agent": "http.rb/5.1.1 (Mastodon/4.3.0; +https://remote.example/)",
        "Accept-Encoding": "gzip",
        "Content-Type": "application/activity+json",
        "Accept": "application/activity+json, application/ld+json",
        "X-Forwarded-For": "192.0.2.7",
        "X-Forwarded-Proto": "https",
    },
    b'{"type": "Create", "object": "' + b"x" * 4064 + b'"}',
)
CREATE: dict[str, Any] = {
    "@context": [
        "https://www.w3.org/ns/activitystreams",
        "https://w3id.org/security/v1",
        "https://w3id.org/security/data-integrity/v1",
        {"toot": "http://joinmastodon.org/ns#", "votersCount": "toot:votersCount", "sensitive": "as:sensitive"},
    ],
    "id": f"{ALICE}/a/1",
    "type": "Create",
    "actor": ALICE,
    "to": [f"{ALICE}/followers"],
    "published": "2026-11-22T08:00:00Z",
    "object": {
        "id": f"{ALICE}/n/1",
        "type": "Note",
        "attributedTo": ALICE,
        "content": "<p>" + "word " * 500 + "</p>",
        "sensitive": False,
        "votersCount": 3,
        "tag": [{"type": "Mention", "href": "https://local.example/users/bob", "name": "@bob"}],
    },
}
BY_PARTS = ("@method", "@path", "@authority", "content-digest")

Job = Callable[[], object]


@define
class Row:
    """One contender at one task, and what was measured of it."""

    task: str
    name: str
    job: Job | None = None
    floor: Job | None = None
    """The bare cryptography that it is paired with."""
    remote: Callable[[int], float] | None = None
    """Seconds a call in another process, instead of ``job``."""
    calls: int = 20
    ratio_bar: float | None = None
    added_bar_us: float | None = None
    times: list[float] = field(factory=list)
    pairs: list[tuple[float, float]] = field(factory=list)

    def turn(self) -> None:
        """Measure ``calls`` calls, each beside one of the floor."""
        if self.remote is not None:
            bare = median(_seconds(self.floor) for _ in range(self.calls)) if self.floor else 0.0
            took = self.remote(self.calls)
            self.times.append(took)
            self.pairs.append((bare, took))
            return
        assert self.job is not None
        for _ in range(self.calls):
            bare = _seconds(self.floor) if self.floor else 0.0
            took = _seconds(self.job)
            self.times.append(took)
            self.pairs.append((bare, took))

    def told(self) -> tuple[str, bool]:
        """Give the line of the table, and whether the bars hold."""
        line = f"  {self.name:32}{median(self.times) * 1e6:10.1f}{min(self.times) * 1e6:10.1f}"
        if self.floor is None:
            return line, True
        ratio = median(took / bare for bare, took in self.pairs)
        added = median(took - bare for bare, took in self.pairs) * 1e6
        line += f"{ratio:9.2f}{added:+10.1f}"
        holds = (self.ratio_bar is None or ratio <= self.ratio_bar) and (
            self.added_bar_us is None or added <= self.added_bar_us
        )
        if self.ratio_bar is not None:
            line += f"   bar {self.ratio_bar:g} x: {'holds' if holds else 'MISSED'}"
        if self.added_bar_us is not None:
            line += f"   bar +{self.added_bar_us:g} us: {'holds' if holds else 'MISSED'}"
        return line, holds


def _seconds(job: Job) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def floors(request: Request = REQUEST) -> tuple[Job, Job]:
    """The bare cryptography: SHA-256 of the body, and one RSA verification or signature with a loaded key."""
    public, private = RSA.public._native, RSA._native
    pkcs1, sha256, body = padding.PKCS1v15(), hashes.SHA256(), request.body
    data = cavage.prepare(request, key_id=RSA.key_id, now=NOW).data
    signature = RSA.sign(data)

    def verify() -> None:
        hashlib.sha256(body).digest()
        public.verify(signature, data, pkcs1, sha256)

    def sign() -> None:
        hashlib.sha256(body).digest()
        private.sign(data, pkcs1, sha256)

    return verify, sign


VERIFY_CAVAGE, VERIFY_9421 = "verify draft-cavage, RSA", "verify RFC 9421, RSA"
SIGN_CAVAGE, SIGN_9421 = "sign draft-cavage, RSA", "sign RFC 9421, RSA"
VERIFY_PROOF, MAKE_PROOF = "verify eddsa-jcs-2022", "make eddsa-jcs-2022"
VERIFY_LD, MAKE_LD = "verify RsaSignature2017", "make RsaSignature2017"


def ours() -> list[Row]:
    """What the bars are for first."""
    verifying, signing = floors()
    draft, message = cavage.sign(REQUEST, RSA, now=NOW), rfc9421.sign(REQUEST, RSA, now=NOW)
    short = rfc9421.sign(REQUEST, ED, now=NOW)
    proved, signed = proofs.create(CREATE, ED, now=NOW), ld_signature.create(CREATE, RSA, now=NOW)
    pem = RSA.public.pem
    us = "apcore"
    return [
        Row(VERIFY_CAVAGE, us, lambda: check(parse(draft, now=NOW), RSA.public), verifying, ratio_bar=2.5),
        Row(VERIFY_9421, us, lambda: check(parse(message, now=NOW), RSA.public), verifying, ratio_bar=4.0),
        Row(SIGN_CAVAGE, us, lambda: cavage.sign(REQUEST, RSA, now=NOW), signing, added_bar_us=60.0),
        Row(SIGN_9421, us, lambda: rfc9421.sign(REQUEST, RSA, now=NOW), signing, added_bar_us=60.0),
        Row(VERIFY_PROOF, us, lambda: check_document(proofs.parse(proved, now=NOW)[0], ED.public)),
        Row(MAKE_PROOF, us, lambda: proofs.create(CREATE, ED, now=NOW)),
        Row(VERIFY_LD, us, lambda: check_document(ld_signature.parse(signed, now=NOW), RSA.public), calls=3),
        Row(MAKE_LD, us, lambda: ld_signature.create(CREATE, RSA, now=NOW), calls=3),
        Row("apcore alone", "verify RFC 9421, Ed25519", lambda: check(parse(short, now=NOW), ED.public)),
        Row("apcore alone", "parse draft-cavage", lambda: parse(draft, now=NOW)),
        Row("apcore alone", "parse RFC 9421", lambda: parse(message, now=NOW)),
        Row("apcore alone", "read a public PEM", lambda: read_pem(pem, key_id=RSA.key_id, owner=ALICE)),
    ]


def of_message_signatures(_stack: ExitStack) -> list[Row]:
    """It has RFC 9421 alone; the body's digest is compared, as we do."""
    MessageSignatures(KEYS)
    import http_message_signatures as theirs
    from interop.others import _Message, native_private, native_public

    resolver = theirs.MappingKeyResolver(
        public_keys={RSA.key_id: native_public(RSA)}, private_keys={RSA.key_id: native_private(RSA)}
    )
    algorithm = theirs.algorithms.RSA_V1_5_SHA256
    verifier = theirs.HTTPMessageVerifier(signature_algorithm=algorithm, key_resolver=resolver)
    signer = theirs.HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=resolver)
    signed = _Message(rfc9421.sign(REQUEST, RSA, now=NOW))
    verifying, signing = floors()

    def sign() -> None:
        signer.sign(_Message(REQUEST), key_id=RSA.key_id, body=REQUEST.body)

    return [
        Row(VERIFY_9421, MessageSignatures.name, lambda: verifier.verify(signed, body=REQUEST.body), verifying),
        Row(SIGN_9421, MessageSignatures.name, sign, signing),
    ]


def of_apsig(_stack: ExitStack) -> list[Row]:
    """It knows fewer components of RFC 9421, and does not look at the body there."""
    Apsig(KEYS)
    import apsig
    import apsig.draft
    import apsig.rfc9421
    from interop.others import native_private, native_public

    public, private = native_public(RSA), native_private(RSA)
    ed_public, ed_private = native_public(ED), native_private(ED)
    verifying, signing = floors()
    plain = dict(REQUEST.headers.pairs)
    draft = dict(cavage.sign(REQUEST, RSA, now=NOW).headers.pairs)
    message = dict(rfc9421.sign(REQUEST, RSA, now=NOW, covered=BY_PARTS).headers.pairs)
    proved, signed = proofs.create(CREATE, ED, now=NOW), ld_signature.create(CREATE, RSA, now=NOW)
    options = {name: value for name, value in proved["proof"].items() if name not in {"@context", "proofValue"}}
    method, url, body, skew = REQUEST.method, REQUEST.url, REQUEST.body, 3600
    path, host = "/users/bob/inbox", "local.example"
    name = Apsig.name

    def verify_draft() -> object:
        return apsig.draft.Verifier(public, method, url, draft, body, skew).verify(raise_on_fail=True)

    def verify_message() -> object:
        return apsig.rfc9421.RFC9421Verifier(public, method, path, host, message, body, skew).verify(raise_on_fail=True)

    def verify_proof() -> object:
        return apsig.ProofVerifier(ed_public).verify({**proved, "proof": dict(proved["proof"])}, raise_on_fail=True)

    return [
        Row(VERIFY_CAVAGE, name, verify_draft, verifying),
        Row(VERIFY_9421, f"{name} (body unread)", verify_message, verifying),
        Row(
            SIGN_CAVAGE,
            name,
            lambda: apsig.draft.Signer(plain, private, method, url, RSA.key_id, body).sign(),
            signing,
        ),
        Row(
            SIGN_9421,
            f"{name} (body not covered)",
            lambda: apsig.rfc9421.RFC9421Signer(private, RSA.key_id).sign(
                method, path, host, {**plain, "date": draft["date"]}, body
            ),
            signing,
        ),
        Row(VERIFY_PROOF, name, verify_proof),
        Row(MAKE_PROOF, name, lambda: apsig.ProofSigner(ed_private).sign(CREATE, options)),
        Row(VERIFY_LD, name, lambda: apsig.LDSignature().verify(signed, public, raise_on_fail=True), calls=2),
        Row(MAKE_LD, name, lambda: apsig.LDSignature().sign(copy.copy(CREATE), RSA.key_id, private), calls=2),
    ]


def of_fedify(stack: ExitStack, modules: Path | None) -> list[Row]:
    """It verifies with a cache of keys that has ours; requests are made before the clock starts."""
    fedify = stack.enter_context(Fedify(KEYS, modules))._process
    name = f"Fedify {fedify.version}"
    verifying, signing = floors()
    plain = as_json(REQUEST)
    draft, message = as_json(cavage.sign(REQUEST, RSA, now=NOW)), as_json(rfc9421.sign(REQUEST, RSA, now=NOW))
    proved, signed = proofs.create(CREATE, ED, now=NOW), ld_signature.create(CREATE, RSA, now=NOW)
    data = cavage.prepare(REQUEST, key_id=RSA.key_id, now=NOW).data
    bare = {"body": plain["body"], "data": b64encode(data).decode(), "signature": b64encode(RSA.sign(data)).decode()}

    def row(task: str, what: str, floor: Job | None, asked: str, *, calls: int = 20, **given: Any) -> Row:
        return Row(task, what, None, floor, lambda count: fedify.seconds(asked, count, **given), calls)

    node = f"bare, in Node {fedify.node_version}"
    spec = "draft-cavage-http-signatures-12"
    return [
        row(VERIFY_CAVAGE, name, verifying, "verify", request=draft),
        row(VERIFY_CAVAGE, node, verifying, "floor", **bare),
        row(VERIFY_9421, name, verifying, "verify", request=message),
        row(SIGN_CAVAGE, name, signing, "sign", spec=spec, request=plain),
        row(SIGN_CAVAGE, node, signing, "floorSign", **bare),
        row(SIGN_9421, name, signing, "sign", spec="rfc9421", request=plain),
        row(VERIFY_PROOF, name, None, "checkProof", calls=3, document=proved),
        row(MAKE_PROOF, name, None, "prove", calls=3, document=CREATE),
        row(VERIFY_LD, name, None, "checkLd", calls=3, document=signed),
        row(MAKE_LD, name, None, "signLd", calls=3, document=CREATE),
    ]


def contenders(stack: ExitStack, modules: Path | None) -> list[Row]:
    """Ours and whoever is there; who is not is said."""
    rows = ours()
    for name, make in (
        (MessageSignatures.name, lambda: of_message_signatures(stack)),
        (Apsig.name, lambda: of_apsig(stack)),
        (Fedify.name, lambda: of_fedify(stack, modules)),
    ):
        try:
            rows += make()
        except Missing as exc:
            print(f"left out: {name}: {exc}")
    return rows


def measure(rows: list[Row], rounds: int) -> None:
    """Everyone once to get warm, another process for longer since its compiler takes its time; then in turns."""
    for row in rows:
        row.turn()
        if row.remote is not None:
            row.remote(20 * row.calls)
        row.times.clear()
        row.pairs.clear()
    for _ in range(rounds):
        for row in rows:
            row.turn()


def by_size(rounds: int) -> None:
    """How verifying grows with the body."""
    print(f"\n{'bytes of body':16}{'bare us':>10}{'verify us':>11}{'ratio':>8}{'added us':>10}   draft-cavage, RSA")
    rows = []
    for size in (4096, 8192, 16384):
        request = evolve(REQUEST, body=b"x" * size)
        draft = cavage.sign(request, RSA, now=NOW)
        rows.append(
            Row(str(size), "", lambda draft=draft: check(parse(draft, now=NOW), RSA.public), floors(request)[0])
        )
    measure(rows, rounds)
    for row in rows:
        bare = median(pair[0] for pair in row.pairs) * 1e6
        ratio = median(took / floor for floor, took in row.pairs)
        added = median(took - floor for floor, took in row.pairs) * 1e6
        print(f"{row.task:16}{bare:10.1f}{median(row.times) * 1e6:11.1f}{ratio:8.2f}{added:+10.1f}")


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Signatures, beside the bare cryptography and beside others.")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--node-modules", type=Path, help="where npm has put Fedify")
    arguments = parser.parse_args()
    missed = 0
    with ExitStack() as stack:
        rows = contenders(stack, arguments.node_modules)
        measure(rows, arguments.rounds)
    print(f"{'':34}{'median us':>10}{'min us':>10}{'x bare':>9}{'added us':>10}")
    for task in dict.fromkeys(row.task for row in rows):
        print(task)
        for row in rows:
            if row.task == task:
                line, holds = row.told()
                missed += not holds
                print(line)
    by_size(arguments.rounds)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
