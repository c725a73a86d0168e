"""Decide the verdict of ``apcore verify``, and list the steps that lead to it.

`explain`, `explain_proofs` and `explain_ld_signature` check the signatures. This module combines their results by the
rules of an inbox: an invalid proof refuses the document, an HTTP signature must be valid if there is one, and the owner
of the key must be the activity's actor. The verdict is stricter than an inbox in one case. An inbox may accept a
document by its proof although the HTTP signature is invalid; this command reports the invalid signature.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal

from attrs import field, frozen

from apcore.cli.capture import CapturedRequest
from apcore.cli.signing_keys import FetchedKeys, fetch_keys, read_public_key
from apcore.cli.version import installed_version
from apcore.errors import ApcoreError
from apcore.federation.inbox.evidence import NotTheActor
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

__all__ = ["VerifyInput", "VerifyResult", "judge"]


@frozen
class VerifyInput:
    """A request, and the settings to judge it by."""

    captured: CapturedRequest
    policy: SignaturePolicy
    now: datetime
    is_time_given: bool
    """Whether ``now`` comes from an option, not from the clock."""

    @property
    def request(self) -> Request:
        """The request itself."""
        return self.captured.request


@frozen(kw_only=True)
class VerifyResult:
    """The verdict on a request, and the steps that lead to it."""

    steps: tuple[SignatureStep, ...]
    verdict: Literal["verified", "refused", "key-needed"]
    reason: str | None
    """The slug of a refusal."""
    sentence: str
    """The verdict in words."""
    error: ApcoreError | None = None
    verified: Verified | None = None
    document: VerifiedDocument | None = None
    key_ids: tuple[str, ...] = field(default=())


@frozen
class _Reports:
    """The reports on the HTTP signature, the proofs and the Linked Data Signature, with the available keys."""

    report: SignatureReport[Verified]
    proofs: SignatureReport[VerifiedDocument]
    linked: SignatureReport[VerifiedDocument]

    @property
    def unsigned(self) -> bool:
        return isinstance(self.report.error, SignatureMissing)

    @property
    def verified_document(self) -> VerifiedDocument | None:
        """The document as verified by its proofs, or by its Linked Data Signature if it has no proofs."""
        return self.proofs.verified if self.proofs.steps else self.linked.verified

    @property
    def key_ids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.report.key_ids, *self.proofs.key_ids, *self.linked.key_ids)))


def judge(inputs: VerifyInput, key_file: str | None, *, fetch: bool, allow_loopback: bool) -> VerifyResult:
    """Judge a request with a key from a file, with fetched keys, or without a key.

    Raises:
        click.UsageError: The file does not contain a key.
    """
    document = _document(inputs.request)
    # Without keys, the reports only name the keys that they need.
    first_reports = _make_reports(inputs, document, {})
    key_ids = first_reports.key_ids
    fetched = FetchedKeys()
    if key_file is not None:
        _add_key_from_file(key_file, first_reports, fetched)
    elif fetch:
        fetched = fetch_keys(key_ids, allow_loopback=allow_loopback, user_agent=f"apcore/{installed_version()}")
    reports = _make_reports(inputs, document, fetched.keys) if fetched.keys else first_reports
    steps = [SignatureStep("capture", None, note) for note in inputs.captured.notes]
    steps += [*reports.report.steps, *reports.proofs.steps, *reports.linked.steps, *fetched.steps]
    error = _refusal(reports, fetched, asserted=fetch)
    if error is None and fetch:
        error = _compare_actor(document, reports, steps)
    steps += _hints(inputs, reports, error)
    return _make_result(inputs, reports, error, key_ids, steps)


def _document(request: Request) -> JsonObject | None:
    try:
        return parse_document(request.body)
    except ApcoreError:
        return None


def _make_reports(inputs: VerifyInput, document: JsonObject | None, keys: Mapping[str, PublicKey]) -> _Reports:
    report = explain(inputs.request, now=inputs.now, policy=inputs.policy, keys=keys)
    if document is None:
        return _Reports(report, SignatureReport((), None, None), SignatureReport((), None, None))
    proofs = explain_proofs(document, now=inputs.now, policy=inputs.policy, keys=keys)
    return _Reports(report, proofs, explain_ld_signature(document, now=inputs.now, policy=inputs.policy, keys=keys))


def _add_key_from_file(path: str, first_reports: _Reports, fetched: FetchedKeys) -> None:
    """Read a key, and use it for the signer of the request, or of the document if the request is unsigned."""
    signers = first_reports.report.key_ids or first_reports.proofs.key_ids or first_reports.linked.key_ids
    try:
        key = read_public_key(path)
    except ApcoreError as refusal:
        fetched.errors.update(dict.fromkeys(signers, refusal))
        fetched.steps.append(SignatureStep("key", False, f"{refusal.reason}: {refusal}"))
    else:
        fetched.keys.update(dict.fromkeys(signers, key))


# --- deciding -------------------------------------------------------------------------------------------------------


def _refusal(reports: _Reports, fetched: FetchedKeys, *, asserted: bool) -> ApcoreError | None:
    """Return the first reason to refuse: of a proof, then of the request.

    The Linked Data Signature counts only if the request is unsigned and the document has no proofs. ``asserted``
    requires that the owner of a proof's key lists the key in ``assertionMethod``.
    """
    report, by_proof, linked = reports.report, reports.proofs, reports.linked
    error = by_proof.error or _first(fetched.errors, by_proof.key_ids)
    if error is None and asserted and by_proof.verified is not None:
        error = _check_assertion_keys(by_proof, fetched.assertion_key_ids)
    if error is not None:
        return error
    if reports.unsigned and (by_proof.steps or linked.steps):
        return None if by_proof.steps else linked.error or _first(fetched.errors, linked.key_ids)
    return report.error or (None if report.verified is not None else _first(fetched.errors, report.key_ids))


def _first(errors: Mapping[str, ApcoreError], key_ids: tuple[str, ...]) -> ApcoreError | None:
    return next((errors[key_id] for key_id in key_ids if key_id in errors), None)


def _check_assertion_keys(
    by_proof: SignatureReport[VerifiedDocument], assertion_key_ids: set[str]
) -> ApcoreError | None:
    for key_id in by_proof.key_ids:
        if key_id not in assertion_key_ids:
            return ProofRefused(f"key {key_id} is not in its owner's assertionMethod")
    return None


def _compare_actor(document: JsonObject | None, reports: _Reports, steps: list[SignatureStep]) -> ApcoreError | None:
    """Compare the activity's actor with the owners of the verified keys, and add a step."""
    actor: Json = None if document is None else document.get("actor")
    if isinstance(actor, dict):
        actor = actor.get("id")
    owners = [
        verified.owner for verified in (reports.report.verified, reports.verified_document) if verified is not None
    ]
    if not isinstance(actor, str) or not owners:
        return None
    if any(same_id(owner, actor) for owner in owners):
        steps.append(SignatureStep("actor", True, f"{actor} is the activity's actor, and owns the key"))
        return None
    error = NotTheActor(f"the activity's actor is {actor}, and the key is owned by {owners[0]}")
    hint = "an inbox treats it as forwarded, and fetches the activity from the actor's own server"
    steps.append(SignatureStep("actor", False, f"{error.reason}: {error}\n{hint}"))
    return error


def _hints(inputs: VerifyInput, reports: _Reports, error: ApcoreError | None) -> Iterator[SignatureStep]:
    """Yield steps with information beyond the verdict."""
    if error is reports.report.error and error is not None and reports.verified_document is not None:
        yield SignatureStep("aside", None, "the document has a valid proof, so an inbox may still accept it")
    offered = inputs.request.headers.get("accept-signature")
    if offered is not None:
        yield _offer_step(offered)
    if isinstance(error, SignatureTooOld | SignatureExpired) and not inputs.is_time_given:
        offset_s = error.explanation.clock_offset_s
        if offset_s is not None:
            signed = format_http_date(datetime.fromtimestamp(int(inputs.now.timestamp()) + offset_s, UTC))
            yield SignatureStep("clock", None, f"to check it at the time of its signature, add --now '{signed}'")
    if isinstance(error, SignatureMissing | CoverageTooSmall | SchemeRefused) and "rfc9421" in inputs.policy.schemes:
        header = challenge(inputs.request.method, policy=inputs.policy, has_body=bool(inputs.request.body))
        yield SignatureStep("wanted", None, f"a server may ask for this signature\nAccept-Signature: {header}")


def _offer_step(offered: str) -> SignatureStep:
    try:
        challenges = read_challenges(offered)
    except ApcoreError as refusal:
        return SignatureStep("accept-signature", False, f"{refusal.reason}: {refusal}")
    lines = [f"{offer.label}: {' '.join(str(item.value) for item in offer.components)}" for offer in challenges]
    return SignatureStep("accept-signature", None, "\n".join(["it asks for a signed response", *lines]))


def _make_result(
    inputs: VerifyInput,
    reports: _Reports,
    error: ApcoreError | None,
    key_ids: tuple[str, ...],
    steps: list[SignatureStep],
) -> VerifyResult:
    policy, verified, document = inputs.policy.name, reports.report.verified, reports.verified_document
    all_steps = tuple(steps)
    if error is not None:
        rule = f" ({error.explanation.rule})" if isinstance(error, ExplainedError) and error.explanation.rule else ""
        sentence = f"refused by policy {policy}: {error.reason}: {error}{rule}"
        return VerifyResult(
            steps=all_steps, verdict="refused", reason=error.reason, sentence=sentence, error=error, key_ids=key_ids
        )
    if verified is None and document is None:
        sentence = f"a key is needed, by --key or --fetch: {', '.join(key_ids)}"
        return VerifyResult(
            steps=all_steps, verdict="key-needed", reason="key-needed", sentence=sentence, key_ids=key_ids
        )
    signatures = [f"{part.scheme} with {part.key_id}" for part in (verified, document) if part is not None]
    sentence = f"verified by policy {policy}: {', '.join(signatures)}"
    return VerifyResult(
        steps=all_steps,
        verdict="verified",
        reason=None,
        sentence=sentence,
        verified=verified,
        document=document,
        key_ids=key_ids,
    )
