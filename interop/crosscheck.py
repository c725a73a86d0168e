"""Our signatures held against the software of others, in both directions: who signed, who verified, what, and what came of it.

    python -m interop.crosscheck [--node-modules DIRECTORY] [--markdown]

The others are `http-message-signatures` and `apsig` and Fedify (DIRECTORY is the `node_modules` that holds what interop/package.json
names). One that is not installed is said, and left out. Every signature is also checked after the message was altered: who takes that too did
not verify it. Where the two do not agree, `EXCEPTIONS` says why; the exit code is 1 if anything else came out, be it better or worse.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from interop.exceptions import EXCEPTIONS
from interop.others import ALICE, Apsig, Cannot, Fedify, Keys, MessageSignatures, Missing, Refused

from apcore.errors import ApcoreError
from apcore.http import Request
from apcore.signatures import (
    Algorithm,
    cavage,
    check,
    check_document,
    ld_signature,
    parse,
    proofs,
    rfc9421,
)


@frozen(kw_only=True)
class Case:
    """One thing that is signed and verified."""

    name: str
    scheme: str
    """cavage, rfc9421, proof or ld."""
    request: Request | None = None
    document: dict[str, Any] | None = None
    algorithm: Algorithm = "rsa-v1_5-sha256"
    covered: tuple[str, ...] | None = None
    """What we cover, where it is not our usual."""


INBOX = "https://local.example/users/bob/inbox"
BODY = b'{"type":"Create","actor":"https://remote.example/users/alice"}'
JSON = {"Content-Type": "application/activity+json", "Accept": "application/activity+json"}


def _post(url: str = INBOX, body: bytes = BODY) -> Request:
    return Request("POST", url, JSON, body)


def _get(url: str) -> Request:
    return Request("GET", url, JSON)


def _create(*contexts: Any) -> dict[str, Any]:
    return {
        "@context": [
            "https://www.w3.org/ns/activitystreams",
            "https://w3id.org/security/data-integrity/v1",
            *contexts,
        ],
        "id": f"{ALICE}/creates/1",
        "type": "Create",
        "actor": ALICE,
        # Not to the public: Fedify rewrites `as:Public` between its proof and the wire, in a function that it does not export.
        "to": f"{ALICE}/followers",
        "published": "2026-11-22T08:00:00Z",
        "object": {
            "id": f"{ALICE}/notes/1",
            "type": "Note",
            "attributedTo": ALICE,
            "content": "<p>Grüße \u2028 aus \U0001f30d</p>",
            "tag": [{"type": "Mention", "href": "https://local.example/users/bob", "name": "@bob"}],
        },
    }


INLINE = {"toot": "http://joinmastodon.org/ns#", "sensitive": "as:sensitive", "votersCount": "toot:votersCount"}
# What apsig knows of.
BY_PARTS = ("@method", "@path", "@authority", "content-type", "content-digest")

CASES = (
    Case(name="cavage POST", scheme="cavage", request=_post()),
    Case(name="cavage POST, empty body", scheme="cavage", request=_post(body=b"")),
    Case(name="cavage POST, other port", scheme="cavage", request=_post("https://local.example:8443/inbox")),
    Case(name="cavage POST with query", scheme="cavage", request=_post(INBOX + "?a=b&c=d%20e")),
    Case(
        name="cavage POST, hs2019 and (created)",
        scheme="cavage",
        request=_post(),
        covered=("(request-target)", "(created)", "host", "date", "digest"),
    ),
    Case(name="cavage GET", scheme="cavage", request=_get("https://local.example/users/bob")),
    Case(name="cavage GET with query", scheme="cavage", request=_get("https://local.example/outbox?page=2&max=%C3%BC")),
    Case(name="RFC 9421 POST", scheme="rfc9421", request=_post()),
    Case(name="RFC 9421 POST by parts", scheme="rfc9421", request=_post(), covered=BY_PARTS),
    Case(name="RFC 9421 POST, Ed25519", scheme="rfc9421", request=_post(), algorithm="ed25519", covered=BY_PARTS),
    Case(
        name="RFC 9421 POST, RSA-PSS", scheme="rfc9421", request=_post(), algorithm="rsa-pss-sha512", covered=BY_PARTS
    ),
    Case(
        name="RFC 9421 POST, P-256", scheme="rfc9421", request=_post(), algorithm="ecdsa-p256-sha256", covered=BY_PARTS
    ),
    Case(
        name="RFC 9421 POST, P-384", scheme="rfc9421", request=_post(), algorithm="ecdsa-p384-sha384", covered=BY_PARTS
    ),
    Case(name="RFC 9421 POST, empty body", scheme="rfc9421", request=_post(body=b"")),
    Case(name="RFC 9421 POST, other port", scheme="rfc9421", request=_post("https://local.example:8443/inbox")),
    Case(name="RFC 9421 GET", scheme="rfc9421", request=_get("https://local.example/users/bob")),
    Case(
        name="RFC 9421 GET with query",
        scheme="rfc9421",
        request=_get("https://local.example/outbox?page=2&max=%C3%BC"),
    ),
    Case(
        name="RFC 9421 GET, @path and @query",
        scheme="rfc9421",
        request=_get("https://local.example/outbox?page=2"),
        covered=("@method", "@authority", "@path", "@query"),
    ),
    Case(
        name="RFC 9421 GET, @request-target",
        scheme="rfc9421",
        request=_get("https://local.example/outbox?page=2"),
        covered=("@method", "@authority", "@request-target"),
    ),
    Case(name="eddsa-jcs-2022", scheme="proof", document=_create()),
    Case(name="eddsa-jcs-2022, inline context", scheme="proof", document=_create(INLINE)),
    Case(name="RsaSignature2017", scheme="ld", document=_create()),
    Case(name="RsaSignature2017, inline context", scheme="ld", document=_create(INLINE)),
)


class Ours:
    """apcore, with its default policy."""

    name = "apcore"

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def sign(self, case: Case) -> Any:
        key, now = self._keys.for_algorithm(case.algorithm), datetime.now(UTC)
        match case.scheme:
            case "cavage":
                return cavage.sign(case.request, key, now=now, covered=case.covered)
            case "rfc9421":
                return rfc9421.sign(case.request, key, now=now, algorithm=case.algorithm, covered=case.covered)
            case "proof":
                return proofs.create(case.document, self._keys.ed25519, now=now)
            case _:
                return ld_signature.create(case.document, key, now=now)

    def verify(self, case: Case, signed: Any) -> None:
        now = datetime.now(UTC)
        try:
            match case.scheme:
                case "proof":
                    for presented in proofs.parse(signed, now=now):
                        check_document(presented, self._keys.ed25519.public)
                case "ld":
                    check_document(ld_signature.parse(signed, now=now), self._keys.rsa.public)
                case _:
                    check(parse(signed, now=now), self._keys.for_algorithm(case.algorithm).public)
        except ApcoreError as exc:
            raise Refused(f"{type(exc).__name__}: {exc}") from exc


def altered(signed: Any) -> Any:
    """The same signature over something else."""
    if isinstance(signed, Request):
        if signed.body:
            return evolve(signed, body=signed.body.replace(b"alice", b"mallo"))
        return evolve(signed, url=signed.url.replace("bob", "eve").replace("outbox", "inside").replace("/inbox", "/in"))
    changed = copy.deepcopy(signed)
    changed["object"]["content"] += " and more"
    return changed


def outcome(signer: Any, verifier: Any, case: Case) -> str:
    """Give `ok`, `-` where one of them has no such thing, or what went wrong."""
    try:
        signed = signer.sign(case)
    except Cannot:
        return "-"
    try:
        verifier.verify(case, signed)
    except Cannot:
        return "-"
    except Refused as exc:
        return f"refused: {exc}"
    try:
        verifier.verify(case, altered(signed))
    except Refused:
        return "ok"
    return "accepts altered"


def main() -> int:
    parser = argparse.ArgumentParser(description="Cross-checks of signatures with the software of others.")
    parser.add_argument("--node-modules", type=Path, help="where npm has put Fedify")
    parser.add_argument("--markdown", action="store_true", help="print the tables as the documentation has them")
    arguments = parser.parse_args()
    keys = Keys()
    ours = Ours(keys)
    makers: dict[str, Callable[[], Any]] = {
        MessageSignatures.name: lambda: MessageSignatures(keys),
        Apsig.name: lambda: Apsig(keys),
        Fedify.name: lambda: Fedify(keys, arguments.node_modules),
    }
    surprises = 0
    with ExitStack() as stack:
        for name, make in makers.items():
            try:
                theirs = stack.enter_context(make())
            except Missing as exc:
                print(f"left out: {name}: {exc}", file=sys.stderr)
                continue
            surprises += table(ours, theirs, markdown=arguments.markdown)
    print("all as expected" if not surprises else f"{surprises} not as expected", file=sys.stderr)
    return 1 if surprises else 0


def table(ours: Ours, theirs: Any, *, markdown: bool) -> int:
    """Print what came of the cases between two; give how many outcomes `EXCEPTIONS` does not foretell."""
    surprises = 0
    rows = [("what", f"apcore signs, {theirs.name} verifies", f"{theirs.name} signs, apcore verifies")]
    reasons: list[str] = []
    for case in CASES:
        cells = []
        for signer, verifier in ((ours, theirs), (theirs, ours)):
            came = outcome(signer, verifier, case)
            expected, why = EXCEPTIONS.get((signer.name, verifier.name, case.name), ("ok", ""))
            word = came.split(":")[0]
            if word not in {"-", expected}:
                surprises += 1
                cells.append(f"UNEXPECTED {came}")
                continue
            if word != "-" and why:
                if why not in reasons:
                    reasons.append(why)
                word += f" ({reasons.index(why) + 1})"
            cells.append(word)
        if cells != ["-", "-"]:
            rows.append((case.name, *cells))
    print(f"\n## {theirs.name} {theirs.version}\n" if markdown else f"\n{theirs.name} {theirs.version}")
    widths = [0, 0, 0] if markdown else [max(len(row[column]) for row in rows) for column in range(3)]
    for number, row in enumerate(rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("| " + " | ".join(cells) + " |" if markdown else "  " + "  ".join(cells))
        if markdown and number == 0:
            print("|---|---|---|")
    print()
    for number, why in enumerate(reasons, start=1):
        print(f"{number}. {why}" if markdown else f"  ({number}) {why}")
    return surprises


if __name__ == "__main__":
    sys.exit(main())
