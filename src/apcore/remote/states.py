"""Describe a document from the store alone: its state, its age, its provenance, and the rule that decided.

A document is in one of seven states:

- ``unknown``: nothing is stored about it.
- ``fresh``: a copy is stored, and used without asking its origin.
- ``stale``: the copy is asked for again at the next use. It may be used while that happens, or while it fails.
- ``expired``: the copy is only good for a conditional request.
- ``failed``: there is no usable copy, and the last attempt to get one failed.
- ``gone``: its owner deleted it, or its origin answered 410.
- ``redirected``: its address has moved for good. The state of the target tells the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from attrs import frozen

from apcore.effects import Now, Op, Scan
from apcore.http import parse_url
from apcore.ports import StoreKey
from apcore.remote.copies import AddressRecords, due_copies, list_copies, read_address
from apcore.remote.failed_loads import counting_failure, is_outage
from apcore.remote.records import CACHED_DOCUMENTS, FAILED_LOADS, AddressKey, CachedDocument, Provenance

__all__ = [
    "DocumentState",
    "StateName",
    "describe_copy",
    "due_for_refresh",
    "explain",
    "list_states",
    "read_state",
    "read_states",
]

_VIEWERS_MAX: Final = 100
StateName: TypeAlias = Literal["unknown", "fresh", "stale", "expired", "failed", "gone", "redirected"]


@frozen(kw_only=True)
class DocumentState:
    """The state of one document, for one viewer, at one moment."""

    uri: str
    name: StateName
    viewer: str | None = None
    """The actor of ours that the copy is for; None for everyone."""
    reason: str | None = None
    """Of a failure: the reason of the error. Of a document that is gone: ``deleted`` or ``gone``."""
    retry_at: datetime | None = None
    """The time before which the origin is not asked again after a failure."""
    target: str | None = None
    """The address that it has moved to."""
    fetched: datetime | None = None
    """The time at which the copy came here, or was confirmed last."""
    fresh_until: datetime | None = None
    age_s: float | None = None
    provenance: Provenance | None = None
    rule: str | None = None
    """The rule that decided how long the copy is fresh: that of `Freshness`, or ``server`` for the server's word."""
    digest: str | None = None
    updated: datetime | None = None
    """The ``updated`` of the document, if that is believable."""
    size: int | None = None
    """The bytes of the copy."""


def read_state(uri: str, *, viewer: str | None = None) -> Op[DocumentState]:
    """Return the state of the document at ``uri`` for ``viewer``, an actor of ours or None. Nothing is requested.

    Asks for: one `Get` and `Now`.

    Raises:
        RequestError: ``uri`` is no http or https URL.
    """
    records = yield from read_address(str(parse_url(uri)), viewer=viewer)
    now = yield from Now()
    return _describe(records, now)


def read_states(uri: str) -> Op[tuple[DocumentState, ...]]:
    """Return the states of the document at ``uri`` for all viewers that have a copy or a failure, at most a hundred.

    Without any, return the state for everyone. A failure does not name its viewer.

    Asks for: `Now`, two `Scan`s, and one `Get` for each copy.

    Raises:
        RequestError: ``uri`` is no http or https URL.
    """
    address = str(parse_url(uri))
    digest = AddressKey.of(address).uri_digest
    entries = yield from Scan(CACHED_DOCUMENTS.at(digest), limit=_VIEWERS_MAX)
    copies = [CACHED_DOCUMENTS.read(entry) for entry in entries]
    states: list[DocumentState] = []
    for copy in copies:
        state = yield from read_state(address, viewer=copy.record.viewer)
        states.append(state)
    failures = yield from Scan(FAILED_LOADS.at(digest), limit=_VIEWERS_MAX)
    seen = {copy.key for copy in copies}
    for stored in map(FAILED_LOADS.read, failures):
        if stored.key not in seen:
            failure = stored.record
            states.append(DocumentState(uri=address, name="failed", reason=failure.kind, retry_at=failure.retry_at))
    return tuple(states) or ((yield from read_state(address)),)


def due_for_refresh(limit: int) -> Op[tuple[DocumentState, ...]]:
    """Return up to ``limit`` (1 to 100) documents that are not fresh any more, those first that are stale the longest.

    Asks for: `Now`, one `Scan` and one `Get`.
    """
    now = yield from Now()
    copies = yield from due_copies(now, limit=limit)
    return tuple(describe_copy(copy, now) for copy in copies)


def describe_copy(copy: CachedDocument, now: datetime) -> DocumentState:
    """Return the state of a document with this copy, if nothing else is known about it."""
    usable_ms = max(copy.stale_ms, copy.error_ms)
    name: StateName = "fresh"
    if now >= copy.fresh_until:
        name = "stale" if now < copy.fresh_until + timedelta(milliseconds=usable_ms) else "expired"
    return DocumentState(
        uri=copy.uri,
        name=name,
        viewer=copy.viewer,
        fetched=copy.fetched,
        fresh_until=copy.fresh_until,
        age_s=(now - copy.fetched).total_seconds(),
        provenance=copy.provenance,
        rule=copy.rule or None,
        digest=copy.digest or None,
        updated=copy.updated,
        size=len(copy.body),
    )


def _describe(records: AddressRecords, now: datetime) -> DocumentState:
    uri, viewer = records.uri, records.viewer
    if records.tombstone is not None:
        return DocumentState(
            uri=uri, name="gone", viewer=viewer, reason=records.tombstone.reason, fetched=records.tombstone.at
        )
    if records.alias is not None:
        return DocumentState(
            uri=uri, name="redirected", viewer=viewer, target=records.alias.target, fetched=records.alias.at
        )
    state = None if records.copy is None else describe_copy(records.copy, now)
    failure = counting_failure(records)
    is_unusable = state is None or state.name == "expired"
    if failure is not None and (
        is_unusable or (state is not None and state.name != "fresh" and not is_outage(failure))
    ):
        return DocumentState(uri=uri, name="failed", viewer=viewer, reason=failure.kind, retry_at=failure.retry_at)
    return state or DocumentState(uri=uri, name="unknown", viewer=viewer)


def list_states(
    *, owner: str | None = None, origin: str | None = None, after: StoreKey | None = None, limit: int
) -> Op[tuple[tuple[DocumentState, ...], StoreKey | None]]:
    """Return a page of the states of all copies, or of those of one owner or origin, and the key to continue after.

    ``limit`` is 1 to 100. The key is None at the end. All copies come in the order in which they are due.

    Asks for: `Now`, one `Scan` and one `Get`.
    """
    now = yield from Now()
    copies, last_key = yield from list_copies(owner=owner, origin=origin, after=after, limit=limit)
    return tuple(describe_copy(copy, now) for copy in copies), last_key


def explain(state: DocumentState) -> str:
    """Return a sentence that names the rule which decided about the state."""
    match state.name:
        case "unknown":
            return "nothing is stored about it"
        case "gone":
            return "its owner deleted it" if state.reason == "deleted" else "its origin answered 410"
        case "redirected":
            return f"its server redirected it for good to {state.target}"
        case "failed":
            retry = "" if state.retry_at is None else f", and is not asked again before {_time(state.retry_at)}"
            return f"its origin failed ({state.reason}){retry}"
        case "fresh" | "stale" | "expired":
            if state.provenance == "own":
                return "it is ours, so it is never fetched"
            rule = "its server's own word" if state.rule == "server" else f"the rule {state.rule!r} of its type"
            until = "" if state.fresh_until is None else f" until {_time(state.fresh_until)}"
            return f"{_PROVENANCES[state.provenance or 'fetched']}; {rule} makes it fresh{until}"


_PROVENANCES: Final[Mapping[Provenance, str]] = {
    "fetched": "its origin sent it",
    "delivered": "its owner delivered it",
    "proved": "it was delivered with a proof by its owner",
    "own": "it is ours",
}


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%SZ}"
