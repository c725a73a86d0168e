"""The verdict of ``apcore verify``, and the steps that lead to it.

`explain`, `explain_proofs` and `explain_ld_signature` say what holds. What is decided here is what comes of it, by the rules of an inbox: a proof that fails
refuses everything, an HTTP signature that is there has to hold, and who has signed has to be the activity's actor. One thing is stricter than in an
inbox, which may believe a document by its proof though the request around it is signed badly: who asks wants to know about the signature.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal

from attrs import field, frozen

from apcore.cli.capture import Captured
from apcore.cli.signing_keys import Fetched, fetch_keys, read_public_key
from apcore.cli.version import installed_version
from apcore.errors import ApcoreError
from apcore.federation.inbox.authenticate import NotTheActor
from apcore.http import Request, format_http_date
from apcore.jsonld import Json, JsonObject, parse_document
from apcore.signatures import (
    CoverageTooSmall,
    ExplainedError,
    ProofRefused,
    PublicKey,
    SchemeRefused,
    SignatureExpired,
    SignatureMissing,
    SignaturePolicy,
    SignatureReport,
    SignatureStep,
    SignatureTooOld,
    Verified,
    VerifiedDocument,
    challenge,
    explain,
    explain_ld_signature,
    explain_proofs,
    read_challenges,
)
from apcore.vocab import same_id

__all__ = ["Answer", "Question", "judge"]


@frozen
class Question:
    """A request, and how it is to be judged."""

    captured: Captured
    policy: SignaturePolicy
    now: datetime
    clock_given: bool
    """Whether somebody said what time it is to be."""

    @property
    def request(self) -> Request:
        """The request itself."""
        return self.captured.request


@frozen(kw_only=True)
class Answer:
    """What came of it."""

    steps: tuple[SignatureStep, ...]
    verdict: Literal["verified", "refused", "key-needed"]
    reason: str | None
    """The slug of a refusal."""
    sentence: str
    error: ApcoreError | None = None
    verified: Verified | None = None
    document: VerifiedDocument | None = None
    key_ids: tuple[str, ...] = field(default=())


@frozen
class _Looked:
    """What `explain` says, with what keys there are."""

    report: SignatureReport[Verified]
    proofs: SignatureReport[VerifiedDocument]
    linked: SignatureReport[VerifiedDocument]

    @property
    def unsigned(self) -> bool:
        return isinstance(self.report.error, SignatureMissing)

    @property
    def proved(self) -> VerifiedDocument | None:
        """What is proved inside: by proofs, if there are any."""
        return self.proofs.verified if self.proofs.steps else self.linked.verified

    @property
    def key_ids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.report.key_ids, *self.proofs.key_ids, *self.linked.key_ids)))


def judge(asked: Question, key_file: str | None, *, fetch: bool, allow_loopback: bool) -> Answer:
    """Look at a request with a key from a file, with fetched ones, or without any.

    Raises:
        click.UsageError: There is no key in the file.
    """
    document = _document(asked.request)
    before = _looked(asked, document, {})
    named = before.key_ids
    fetched = Fetched()
    if key_file is not None:
        _from_file(key_file, before, fetched)
    elif fetch:
        fetched = fetch_keys(named, allow_loopback=allow_loopback, user_agent=f"apcore/{installed_version()}")
    looked = _looked(asked, document, fetched.keys) if fetched.keys else before
    steps = [SignatureStep("capture", None, note) for note in asked.captured.notes]
    steps += [*looked.report.steps, *looked.proofs.steps, *looked.linked.steps, *fetched.steps]
    error = _refusal(looked, fetched, asserted=fetch)
    if error is None and fetch:
        error = _not_the_actor(document, looked, steps)
    steps += _further(asked, looked, error)
    return _answer(asked, looked, error, named, steps)


def _document(request: Request) -> JsonObject | None:
    try:
        return parse_document(request.body)
    except ApcoreError:
        return None


def _looked(asked: Question, document: JsonObject | None, keys: Mapping[str, PublicKey]) -> _Looked:
    report = explain(asked.request, now=asked.now, policy=asked.policy, keys=keys)
    if document is None:
        return _Looked(report, SignatureReport((), None, None), SignatureReport((), None, None))
    by_proof = explain_proofs(document, now=asked.now, policy=asked.policy, keys=keys)
    return _Looked(report, by_proof, explain_ld_signature(document, now=asked.now, policy=asked.policy, keys=keys))


def _from_file(path: str, before: _Looked, fetched: Fetched) -> None:
    """One key is for one signer: for those of the request, or, where that is not signed, for those of the document."""
    signers = before.report.key_ids or before.proofs.key_ids or before.linked.key_ids
    try:
        key = read_public_key(path)
    except ApcoreError as refusal:
        fetched.errors.update(dict.fromkeys(signers, refusal))
        fetched.steps.append(SignatureStep("key", False, f"{refusal.reason}: {refusal}"))
    else:
        fetched.keys.update(dict.fromkeys(signers, key))


# --- deciding -------------------------------------------------------------------------------------------------------


def _refusal(looked: _Looked, fetched: Fetched, *, asserted: bool) -> ApcoreError | None:
    """Return the first reason to refuse: of a proof, of the request, of an LD signature where there is nothing else."""
    report, by_proof, linked = looked.report, looked.proofs, looked.linked
    wrong = by_proof.error or _first(fetched.errors, by_proof.key_ids)
    if wrong is None and asserted and by_proof.verified is not None:
        wrong = _not_for_proofs(by_proof, fetched.asserting)
    if wrong is not None:
        return wrong
    if looked.unsigned and (by_proof.steps or linked.steps):
        return None if by_proof.steps else linked.error or _first(fetched.errors, linked.key_ids)
    return report.error or (None if report.verified is not None else _first(fetched.errors, report.key_ids))


def _first(errors: Mapping[str, ApcoreError], key_ids: tuple[str, ...]) -> ApcoreError | None:
    return next((errors[key_id] for key_id in key_ids if key_id in errors), None)


def _not_for_proofs(by_proof: SignatureReport[VerifiedDocument], asserting: set[str]) -> ApcoreError | None:
    for key_id in by_proof.key_ids:
        if key_id not in asserting:
            return ProofRefused(f"key {key_id} is not in its owner's assertionMethod")
    return None


def _not_the_actor(document: JsonObject | None, looked: _Looked, steps: list[SignatureStep]) -> ApcoreError | None:
    """Compare the activity's actor with whoever is proved; adds a step."""
    actor: Json = None if document is None else document.get("actor")
    if isinstance(actor, dict):
        actor = actor.get("id")
    owners = [each.owner for each in (looked.report.verified, looked.proved) if each is not None]
    if not isinstance(actor, str) or not owners:
        return None
    if any(same_id(owner, actor) for owner in owners):
        steps.append(SignatureStep("actor", True, f"{actor} is the activity's actor, and owns the key"))
        return None
    error = NotTheActor(f"the activity's actor is {actor}, and the key is owned by {owners[0]}")
    hint = "an inbox takes it for something handed on, and asks the actor's own server"
    steps.append(SignatureStep("actor", False, f"{error.reason}: {error}\n{hint}"))
    return error


def _further(asked: Question, looked: _Looked, error: ApcoreError | None) -> Iterator[SignatureStep]:
    """Say what is worth knowing beside the verdict."""
    if error is looked.report.error and error is not None and looked.proved is not None:
        yield SignatureStep("aside", None, "the document is proved, so an inbox may believe it all the same")
    offered = asked.request.headers.get("accept-signature")
    if offered is not None:
        yield _offer_step(offered)
    if isinstance(error, SignatureTooOld | SignatureExpired) and not asked.clock_given:
        offset_s = error.explanation.clock_offset_s
        if offset_s is not None:
            signed = format_http_date(datetime.fromtimestamp(int(asked.now.timestamp()) + offset_s, UTC))
            yield SignatureStep("clock", None, f"to hold it against the time of its signature: --now '{signed}'")
    if isinstance(error, SignatureMissing | CoverageTooSmall | SchemeRefused) and "rfc9421" in asked.policy.schemes:
        wanted = challenge(asked.request.method, policy=asked.policy, has_body=bool(asked.request.body))
        yield SignatureStep("wanted", None, f"a server may answer with what it would take\nAccept-Signature: {wanted}")


def _offer_step(offered: str) -> SignatureStep:
    try:
        challenges = read_challenges(offered)
    except ApcoreError as refusal:
        return SignatureStep("accept-signature", False, f"{refusal.reason}: {refusal}")
    read = [f"{each.label}: {' '.join(str(item.value) for item in each.components)}" for each in challenges]
    return SignatureStep(
        "accept-signature", None, "\n".join(["it asks to be answered with a signature of its own", *read])
    )


def _answer(
    asked: Question, looked: _Looked, error: ApcoreError | None, named: tuple[str, ...], steps: list[SignatureStep]
) -> Answer:
    policy, verified, proved = asked.policy.name, looked.report.verified, looked.proved
    told = tuple(steps)
    if error is not None:
        rule = f" ({error.explanation.rule})" if isinstance(error, ExplainedError) and error.explanation.rule else ""
        sentence = f"refused by policy {policy}: {error.reason}: {error}{rule}"
        return Answer(steps=told, verdict="refused", reason=error.reason, sentence=sentence, error=error, key_ids=named)
    if verified is None and proved is None:
        sentence = f"a key is needed, by --key or --fetch: {', '.join(named)}"
        return Answer(steps=told, verdict="key-needed", reason="key-needed", sentence=sentence, key_ids=named)
    how = [f"{each.scheme} with {each.key_id}" for each in (verified, proved) if each is not None]
    sentence = f"verified by policy {policy}: {', '.join(how)}"
    return Answer(
        steps=told,
        verdict="verified",
        reason=None,
        sentence=sentence,
        verified=verified,
        document=proved,
        key_ids=named,
    )
