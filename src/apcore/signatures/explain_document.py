"""Why a document with proofs or an LD signature is believed or not: `explain`, for what is signed inside of a body.

A context that is not at hand is ignored and named, as it is on reading: what it would define is then not among what is signed, and the signature
fails if it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final, TypeVar

from apcore.errors import ApcoreError
from apcore.jsonld import BUNDLED, ContextNeeded, ContextTable, JsonObject
from apcore.signatures import ld_signature, proofs
from apcore.signatures.documents import PresentedDocument, VerifiedDocument, check_document
from apcore.signatures.errors import BadSignature, Explained, SignatureMissing
from apcore.signatures.explain import Report, Step, said, visible
from apcore.signatures.keys import PublicKey
from apcore.signatures.policy import DEFAULT, SignaturePolicy

__all__ = ["explain_document"]

_CONTEXTS_IGNORED_MAX: Final = 8
_LINES_SHOWN_MAX: Final = 60
_LINE_CHARS_MAX: Final = 400

T = TypeVar("T")


def explain_document(
    document: JsonObject,
    *,
    now: datetime,
    policy: SignaturePolicy = DEFAULT,
    key: PublicKey | None = None,
    keys: Mapping[str, PublicKey] | None = None,
    contexts: ContextTable = BUNDLED,
) -> Report[VerifiedDocument]:
    """Look at the proofs and the LD signature of ``document``. Never raises for what a peer sent; without steps if there are none.

    Arguments as `explain`. What is verified is the first that holds, if no proof fails: one that does is a reason not to believe the document.
    """
    steps: list[Step] = []
    presented: list[PresentedDocument] = []
    error: ApcoreError | None = None
    names: list[str | None] = []
    for kind, read in _readers(document, now, policy):
        try:
            ignoring, table = _with_contexts(read, contexts)
            presented += table
            steps += [
                Step("context", None, f"{visible(url)} is not at hand: its terms count as not signed")
                for url in ignoring
            ]
        except SignatureMissing:
            continue
        except ApcoreError as exc:
            error = error or exc
            names.append(exc.explanation.key_id if isinstance(exc, Explained) else None)
            steps.append(Step(kind, False, said(exc)))
    verified: VerifiedDocument | None = None
    for one in presented:
        names.append(one.key_id)
        steps.append(Step(one.scheme, None, _described(one)))
        found = (keys or {}).get(one.key_id, key)
        if found is not None:
            step, outcome = _checked(one, found)
            steps += [Step("key", None, found.described), step]
            if isinstance(outcome, VerifiedDocument):
                verified = verified or outcome
            else:
                error = error or outcome
    named = tuple(dict.fromkeys(name for name in names if name))
    return Report(tuple(steps), None if error is not None else verified, error, named)


def _readers(
    document: JsonObject, now: datetime, policy: SignaturePolicy
) -> Iterator[tuple[str, Callable[[ContextTable], tuple[PresentedDocument, ...]]]]:
    yield "proof", lambda contexts: proofs.parse(document, now=now, policy=policy, contexts=contexts)
    yield (
        "RsaSignature2017",
        lambda contexts: (ld_signature.parse(document, now=now, policy=policy, contexts=contexts),),
    )


def _with_contexts(read: Callable[[ContextTable], T], contexts: ContextTable) -> tuple[list[str], T]:
    """Read with what contexts there are; answers which were ignored, too."""
    ignored: list[str] = []
    while True:
        try:
            return ignored, read(contexts)
        except ContextNeeded as needed:
            if len(ignored) >= _CONTEXTS_IGNORED_MAX:
                raise
            ignored.append(needed.url)
            contexts = contexts.ignoring(needed.url)


def _described(presented: PresentedDocument) -> str:
    offset = int((presented.created - presented.now).total_seconds())
    lines = [
        f"key id {visible(presented.key_id)}",
        f"created {presented.created.isoformat()}, our clock {-offset:+d} s",
    ]
    if presented.expires is not None:
        lines.append(f"expires {presented.expires.isoformat()}")
    signed = presented.signed_text.split("\n")
    lines += ["expected to be hashed and signed:", *(f"    {_cut(line)}" for line in signed[:_LINES_SHOWN_MAX])]
    if len(signed) > _LINES_SHOWN_MAX:
        lines.append(f"    and {len(signed) - _LINES_SHOWN_MAX} lines more")
    return "\n".join(lines)


def _cut(line: str) -> str:
    shown = visible(line)
    return shown if len(shown) <= _LINE_CHARS_MAX else f"{shown[:_LINE_CHARS_MAX]}... ({len(line)} characters)"


def _checked(presented: PresentedDocument, key: PublicKey) -> tuple[Step, VerifiedDocument | ApcoreError]:
    name = f"check {presented.scheme}"
    try:
        verified = check_document(presented, key.renamed(key_id=presented.key_id))
    except BadSignature as exc:
        mistake = _mistake(presented, key) or "it holds over none of the values that are commonly signed by mistake"
        return Step(name, False, f"{said(exc)}\n{mistake}"), exc
    except ApcoreError as exc:
        return Step(name, False, said(exc)), exc
    return Step(name, True, "holds"), verified


def _mistake(presented: PresentedDocument, key: PublicKey) -> str | None:
    data, text = presented.data, presented.signed_text.encode("utf-8")
    half = len(data) // 2
    others = {
        "the document's hash came before that of the options": data[half:] + data[:half],
        "the hashes were in hexadecimal": data.hex().encode("ascii"),
        "the two hashes were hashed once more": sha256(data).digest(),
        "the document's hash alone were signed": data[half:],
        "the text itself were signed instead of its hashes": text,
        "the text were signed instead of its hashes, without a line between": text.replace(b"\n", b"", 1),
        "the text were hashed as one": sha256(text).digest(),
    }
    algorithm = key.choose_algorithm()
    for words, other in others.items():
        try:
            key.verify(presented.signature, other, algorithm)
        except BadSignature:
            continue
        return f"it would hold if {words}: the sender builds it so"
    return None
