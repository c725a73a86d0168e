"""What verifying and signing cost beside the bare cryptography, in one interleaved run.

    python -m benchmarks.signatures [rounds]

Every job is measured in turn, round after round, so that a slow stretch of the machine hits all of them; ratios are medians of ratios within
one round. Inputs: a POST of 4 KB with ten fields, RSA-2048, the key loaded; a Create of 3 KB for
proofs and Linked Data Signatures.
"""

from __future__ import annotations

import hashlib
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from apcore.http.messages import Request
from apcore.signatures import (
    DEFAULT,
    cavage,
    check,
    check_document,
    generate_key,
    ld_signature,
    parse,
    proofs,
    read_pem,
    rfc9421,
)

OWNER = "https://remote.example/users/alice"
NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
BODY = b'{"type": "Create", "object": "' + b"x" * 4064 + b'"}'
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
    BODY,
)

CREATE = {
    "@context": [
        "https://www.w3.org/ns/activitystreams",
        "https://w3id.org/security/v1",
        {"toot": "http://joinmastodon.org/ns#", "votersCount": "toot:votersCount", "sensitive": "as:sensitive"},
    ],
    "id": f"{OWNER}/a/1",
    "type": "Create",
    "actor": OWNER,
    "to": ["as:Public"],
    "cc": [f"{OWNER}/followers"],
    "published": "2026-11-22T08:00:00Z",
    "object": {
        "id": f"{OWNER}/n/1",
        "type": "Note",
        "attributedTo": OWNER,
        "content": "<p>" + "word " * 500 + "</p>",
        "sensitive": False,
        "votersCount": 3,
        "tag": [{"type": "Mention", "href": "https://local.example/users/bob", "name": "@bob"}],
    },
}


def per_call(job: Callable[[], object], calls: int) -> float:
    """Seconds a call, over ``calls`` of them."""
    start = time.perf_counter()
    for _ in range(calls):
        job()
    return (time.perf_counter() - start) / calls


def jobs() -> dict[str, tuple[Callable[[], object], int]]:
    """Name -> job and calls a round."""
    rsa = generate_key("rsa-2048", key_id=f"{OWNER}#main-key", owner=OWNER)
    ed = generate_key("ed25519", key_id=f"{OWNER}#ed25519-key", owner=OWNER)
    public, private = rsa.public._native, rsa._native
    pkcs1, sha256 = padding.PKCS1v15(), hashes.SHA256()
    draft, message = cavage.sign(REQUEST, rsa, now=NOW), rfc9421.sign(REQUEST, rsa, now=NOW)
    short = rfc9421.sign(REQUEST, ed, now=NOW)
    base = cavage.parse(draft, DEFAULT, NOW).bases[0].data
    signature = cavage.parse(draft, DEFAULT, NOW).signature
    pem = rsa.public.pem

    proved, signed = proofs.create(CREATE, ed, now=NOW), ld_signature.create(CREATE, rsa, now=NOW)

    def floor() -> None:
        hashlib.sha256(BODY).digest()
        public.verify(signature, base, pkcs1, sha256)

    def floor_sign() -> None:
        hashlib.sha256(BODY).digest()
        private.sign(base, pkcs1, sha256)

    return {
        "sha256 + RSA verify": (floor, 100),
        "verify draft-cavage": (lambda: check(parse(draft, now=NOW), rsa.public), 100),
        "verify RFC 9421": (lambda: check(parse(message, now=NOW), rsa.public), 100),
        "verify RFC 9421, Ed25519": (lambda: check(parse(short, now=NOW), ed.public), 50),
        "parse draft-cavage": (lambda: parse(draft, now=NOW), 100),
        "parse RFC 9421": (lambda: parse(message, now=NOW), 100),
        "sha256 + RSA sign": (floor_sign, 10),
        "sign draft-cavage": (lambda: cavage.sign(REQUEST, rsa, now=NOW), 10),
        "sign RFC 9421": (lambda: rfc9421.sign(REQUEST, rsa, now=NOW), 10),
        "prepare draft-cavage": (lambda: cavage.prepare(REQUEST, key_id=rsa.key_id, now=NOW), 100),
        "prepare RFC 9421": (lambda: rfc9421.prepare(REQUEST, key_id=rsa.key_id, now=NOW), 100),
        "verify eddsa-jcs-2022": (lambda: check_document(proofs.parse(proved, now=NOW)[0], ed.public), 50),
        "verify RsaSignature2017": (lambda: check_document(ld_signature.parse(signed, now=NOW), rsa.public), 5),
        "make eddsa-jcs-2022": (lambda: proofs.create(CREATE, ed, now=NOW), 50),
        "read a public PEM": (lambda: read_pem(pem, key_id=rsa.key_id, owner=OWNER), 50),
    }


BARS = {
    "verify draft-cavage": ("sha256 + RSA verify", 2.5),
    "verify RFC 9421": ("sha256 + RSA verify", 4.0),
    "sign draft-cavage": ("sha256 + RSA sign", None),
    "sign RFC 9421": ("sha256 + RSA sign", None),
}


def main(rounds: int = 60) -> None:
    """Run and print."""
    todo = jobs()
    times: dict[str, list[float]] = {name: [] for name in todo}
    for _ in range(rounds):
        for name, (job, calls) in todo.items():
            times[name].append(per_call(job, calls))
    print(f"{'job':28}{'median us':>12}{'min us':>10}{'ratio':>8}{'bar':>6}   added us (median of pairs)")
    for name, measured in times.items():
        line = f"{name:28}{statistics.median(measured) * 1e6:12.1f}{min(measured) * 1e6:10.1f}"
        if name in BARS:
            floor, bar = BARS[name]
            pairs = list(zip(measured, times[floor], strict=True))
            ratio = statistics.median(mine / theirs for mine, theirs in pairs)
            added = statistics.median(mine - theirs for mine, theirs in pairs) * 1e6
            line += f"{ratio:8.2f}{bar or '':>6}   {added:+.1f}"
        print(line)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
