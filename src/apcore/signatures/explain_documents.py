"""Explain why a document with proofs or an LD signature is believed or not: `explain` for signed documents.

The two functions differ in one way. A proof that fails is a reason to refuse the document, even if another proof holds.
An LD signature that fails is no reason to refuse the document: it only proves nothing.

An unavailable context is ignored and named, as when reading documents. Its terms then do not count as signed, and the
signature fails if they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final, TypeVar

from apcore.errors import ApcoreError
from apcore.jsonld import BUNDLED, ContextNeeded, ContextTable, JsonObject
from apcore.signatures import ld_signature, proofs
from apcore.signatures.documents import PresentedDocument, VerifiedDocument, check_document
from apcore.signatures.errors import BadSignature, ExplainedError, Explanation, SchemeRefused, SignatureMissing, visible
from apcore.signatures.explain import SignatureReport, SignatureStep, describe_error
from apcore.signatures.keys import PublicKey
from apcore.signatures.policy import DEFAULT, SignaturePolicy

__all__ = ["explain_ld_signature", "explain_proofs"]

_CONTEXTS_IGNORED_MAX: Final = 8
_LINES_SHOWN_MAX: Final = 60
_LINE_CHARS_MAX: Final = 400

T = TypeVar("T")


def explain_proofs(
    document: JsonObject,
    *,
    now: datetime,
    policy: SignaturePolicy = DEFAULT,
    keys: Mapping[str, PublicKey] | None = None,
    contexts: ContextTable = BUNDLED,
) -> SignatureReport[VerifiedDocument]:
    """Examine the integrity proofs of ``document``. Never raises for its content; no steps if there are none.

    Arguments are those of `explain`. Every proof must hold, so the result is unverified if one key is missing.
    """
    return _explained(
        "proof",
        lambda table: proofs.parse(document, now=now, policy=policy, contexts=table),
        contexts=contexts,
        keys=keys or {},
    )


def explain_ld_signature(
    document: JsonObject,
    *,
    now: datetime,
    policy: SignaturePolicy = DEFAULT,
    keys: Mapping[str, PublicKey] | None = None,
    contexts: ContextTable = BUNDLED,
) -> SignatureReport[VerifiedDocument]:
    """Examine the LD signature of ``document``. Never raises for its content; no steps if there is none.

    Arguments are those of `explain`.
    """
    return _explained(
        "RsaSignature2017",
        lambda table: (_parse_ld(document, now, policy, table),),
        contexts=contexts,
        keys=keys or {},
    )


def _parse_ld(
    document: JsonObject, now: datetime, policy: SignaturePolicy, contexts: ContextTable
) -> PresentedDocument:
    presented = ld_signature.parse(document, now=now, policy=policy, contexts=contexts)
    if not policy.ld_signatures:
        raise SchemeRefused(
            "LD signatures are not accepted",
            explanation=Explanation(
                rule=f"policy {policy.name}: ld_signatures", scheme=presented.scheme, key_id=presented.key_id
            ),
        )
    return presented


def _explained(
    kind: str,
    read: Callable[[ContextTable], tuple[PresentedDocument, ...]],
    *,
    contexts: ContextTable,
    keys: Mapping[str, PublicKey],
) -> SignatureReport[VerifiedDocument]:
    try:
        ignored, presented = _with_contexts(read, contexts)
    except SignatureMissing:
        return SignatureReport((), None, None)
    except ApcoreError as exc:
        named = exc.explanation.key_id if isinstance(exc, ExplainedError) else None
        return SignatureReport(
            (SignatureStep(kind, False, describe_error(exc)),), None, exc, () if named is None else (named,)
        )
    steps = [
        SignatureStep("context", None, f"{visible(url)} is not available: its terms count as not signed")
        for url in ignored
    ]
    verified_documents: list[VerifiedDocument] = []
    error: ApcoreError | None = None
    for one in presented:
        steps.append(SignatureStep(one.scheme, None, _described(one)))
        if one.key_id not in keys:
            continue
        step, outcome = _checked(one, keys[one.key_id])
        steps += [SignatureStep("key", None, keys[one.key_id].described), step]
        if isinstance(outcome, VerifiedDocument):
            verified_documents.append(outcome)
        else:
            error = error or outcome
    verified = verified_documents[0] if len(verified_documents) == len(presented) else None
    return SignatureReport(tuple(steps), verified, error, tuple(dict.fromkeys(one.key_id for one in presented)))


def _with_contexts(read: Callable[[ContextTable], T], contexts: ContextTable) -> tuple[list[str], T]:
    """Read with the available contexts. Also return the urls of the contexts that were ignored."""
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
    visible_line = visible(line)
    return (
        visible_line
        if len(visible_line) <= _LINE_CHARS_MAX
        else f"{visible_line[:_LINE_CHARS_MAX]}... ({len(line)} characters)"
    )


def _checked(presented: PresentedDocument, key: PublicKey) -> tuple[SignatureStep, VerifiedDocument | ApcoreError]:
    name = f"check {presented.scheme}"
    try:
        verified = check_document(presented, key.renamed(key_id=presented.key_id))
    except BadSignature as exc:
        mistake = _mistake(presented, key) or "it holds under none of the common mistakes"
        return SignatureStep(name, False, f"{describe_error(exc)}\n{mistake}"), exc
    except ApcoreError as exc:
        return SignatureStep(name, False, describe_error(exc)), exc
    return SignatureStep(name, True, "holds"), verified


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
        return f"it would hold if {words}: the sender does that"
    return None
