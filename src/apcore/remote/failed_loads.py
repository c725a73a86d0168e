"""Remember that a document could not be loaded, so that its origin is not asked again before a retry time.

Each kind of failure has its own first pause (`FIRST_PAUSE_S`). The pause doubles with each further failure, up to a
day, and is never shorter than the server's `Retry-After`. Until then, the same error is raised without a request.

A failure is remembered for the viewer that met it. It no longer counts once the owner of the document has announced a
change. A 404 also ends the copies, and a refusal (401, 403, 451) that of the viewer. A 410 is no such failure: it
leaves a tombstone (`apcore.remote.documents`). Failures of fetches on behalf of an unauthenticated client are not
remembered, since such a client could bring them about.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from apcore.effects import Now, Op, commit
from apcore.errors import (
    AddressBlocked,
    ApcoreError,
    ConnectFailed,
    DocumentError,
    FetchTimedOut,
    LimitExceeded,
    NameUnresolved,
    ProtocolFailed,
    RemoteError,
    ResponseTooBig,
    TlsFailed,
    Unavailable,
)
from apcore.http import parse_url
from apcore.ports import Check
from apcore.remote.copies import AddressRecords, read_address, read_known
from apcore.remote.dialects import Identity
from apcore.remote.documents import (
    LoadedDocument,
    drop_copy,
    find_fresh,
    load_from,
    loaded_from,
    raise_if_gone,
    viewer_of,
)
from apcore.remote.errors import Forbidden, NotFound, PeerFailing, Rejected, WrongId, WrongMediaType
from apcore.remote.records import FAILED_LOADS, CachedDocument, FailedLoad
from apcore.remote.retrieval import FetchPolicy

__all__ = ["FIRST_PAUSE_S", "PAUSE_S_MAX", "counting_failure", "is_outage", "load_unless_failed", "may_use_stale"]

_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3600.0
PAUSE_S_MAX: Final = 24 * _HOUR_S
FIRST_PAUSE_S: Final[Mapping[type[ApcoreError], float]] = {
    NotFound: 10 * _MINUTE_S,
    Forbidden: _HOUR_S,
    Rejected: _HOUR_S,
    PeerFailing: _MINUTE_S,
    WrongMediaType: _HOUR_S,
    WrongId: _HOUR_S,
    DocumentError: _HOUR_S,
    LimitExceeded: _HOUR_S,
    NameUnresolved: _MINUTE_S,
    ConnectFailed: _MINUTE_S,
    TlsFailed: 10 * _MINUTE_S,
    FetchTimedOut: _MINUTE_S,
    AddressBlocked: 10 * _MINUTE_S,
    ResponseTooBig: _HOUR_S,
    ProtocolFailed: 10 * _MINUTE_S,
}
"""The pause after the first failure of each kind. Other errors are not remembered: they are ours, or depend on us."""
_KINDS: Final = {kind.reason: kind for kind in FIRST_PAUSE_S}
_MESSAGE_MAX: Final = 500


def load_unless_failed(
    uri: str, *, policy: FetchPolicy, identity: Identity | None = None, fresh: bool = False
) -> Op[LoadedDocument]:
    """Return a document as `load` does; after a failure, raise the same error without a request until its retry time.

    While the origin cannot be reached or answers 429 or 5xx, a stale copy is returned, for as long as its `Freshness`
    allows. With ``fresh``, the origin is asked in any case, and its failure is raised.

    Asks for: one `Get` and `Now` if the cache is fresh. Else one more of each, all of `load`, and a commit if it
    failed, or if it had failed before.

    Raises:
        ApcoreError: As `load`. An error that is raised again says until when, and has that as ``retry_after_s`` if it
            is `Unavailable`, `NotFound` or `Forbidden`.
    """
    address, viewer = str(parse_url(uri)), viewer_of(identity)
    if fresh:
        records = yield from read_address(address, viewer=viewer)
    else:
        fresh_document = yield from find_fresh(address, viewer=viewer, policy=policy)
        if fresh_document is not None:
            return fresh_document
        records = yield from read_known(address, viewer=viewer)
    now = yield from Now()
    raise_if_gone(records)
    if not fresh:
        usable_document = yield from _use_copy(records, now, policy)
        if usable_document is not None:
            return usable_document
    try:
        loaded = yield from load_from(records, now, policy=policy, identity=identity, fresh=fresh)
    except (RemoteError, Unavailable) as error:
        yield from _remember_failure(records, error, now, policy)
        copy = None if fresh else records.copy
        if copy is not None and may_use_stale(copy, error, now):
            return (yield from loaded_from(copy, policy))
        raise
    if records.failure_entry is not None:
        yield from _remember(records, None)
    return loaded


def _use_copy(records: AddressRecords, now: datetime, policy: FetchPolicy) -> Op[LoadedDocument | None]:
    """Return the document if a copy may be used without asking its origin, else None.

    Raises:
        ApcoreError: The origin failed, and is not asked again yet.
    """
    copy, failure = records.copy, counting_failure(records)
    if copy is not None and now < copy.fresh_until:
        return (yield from loaded_from(copy, policy))
    if failure is not None and now < failure.retry_at:
        error = _repeated_error(failure, now)
        if copy is not None and may_use_stale(copy, error, now):
            return (yield from loaded_from(copy, policy))
        raise error
    # A copy that was delivered to everyone is nobody's to refresh, so it is loaded anew.
    is_usable = copy is not None and now < copy.fresh_until + _duration(copy.stale_ms)
    if copy is None or not is_usable or copy is not records.own or policy.refresh is None:
        return None
    yield from policy.refresh(records.uri, records.viewer)
    return (yield from loaded_from(copy, policy))


def _remember_failure(
    records: AddressRecords, error: RemoteError | Unavailable, now: datetime, policy: FetchPolicy
) -> Op[None]:
    if type(error) not in FIRST_PAUSE_S or policy.unauthenticated_client is not None:
        return
    failure = _failure_of(error, records.uri, counting_failure(records), now)
    yield from _remember(records, failure)
    if isinstance(error, NotFound | Forbidden):
        # It is not there any more, or not for us. A copy must not outlive that, however long it is fresh.
        yield from drop_copy(records, policy, for_everyone=isinstance(error, NotFound))
        error.retry_after_s = (failure.retry_at - now).total_seconds()


def may_use_stale(copy: CachedDocument, error: ApcoreError, now: datetime) -> bool:
    """Return whether a stale copy may be used although its origin fails with ``error`` (RFC 5861 §4).

    The failure must say nothing about the document: the origin is unreachable, or answers 429 or 5xx.
    """
    return isinstance(error, Unavailable) and now < copy.fresh_until + _duration(copy.error_ms)


def _duration(milliseconds: int) -> timedelta:
    return timedelta(milliseconds=milliseconds)


def is_outage(failure: FailedLoad) -> bool:
    """Return whether a failure says nothing about the document itself."""
    return issubclass(_KINDS[failure.kind], Unavailable)


def counting_failure(records: AddressRecords) -> FailedLoad | None:
    """Return the stored failure, unless the owner of the document has announced a change since."""
    failure = records.failure
    if failure is None or failure.kind not in _KINDS:
        return None
    is_outdated = records.changed is not None and failure.failed <= records.changed
    return None if is_outdated else failure


def _failure_of(error: ApcoreError, uri: str, last_failure: FailedLoad | None, now: datetime) -> FailedLoad:
    """Return the record of an error. The pause is twice that of the last failure of the same kind."""
    kind = type(error)
    attempts = last_failure.attempts + 1 if last_failure is not None and last_failure.kind == kind.reason else 1
    doublings = min(attempts - 1, 20)
    pause_s = max(FIRST_PAUSE_S[kind], min(FIRST_PAUSE_S[kind] * 2.0**doublings, PAUSE_S_MAX))
    if isinstance(error, Unavailable) and error.retry_after_s is not None:
        pause_s = max(pause_s, min(error.retry_after_s, PAUSE_S_MAX))
    return FailedLoad(
        uri=uri,
        kind=kind.reason,
        message=str(error)[:_MESSAGE_MAX],
        failed=now,
        retry_at=now + timedelta(seconds=pause_s),
        attempts=attempts,
    )


def _repeated_error(failure: FailedLoad, now: datetime) -> ApcoreError:
    kind = _KINDS[failure.kind]
    message = f"{failure.message} (at {failure.failed:%Y-%m-%d %H:%M:%SZ}; not asked again before "
    message += f"{failure.retry_at:%Y-%m-%d %H:%M:%SZ})"
    retry_after_s = (failure.retry_at - now).total_seconds()
    if issubclass(kind, Unavailable):
        return kind(message, retry_after_s=retry_after_s)
    error = kind(message)
    if isinstance(error, NotFound | Forbidden):
        error.retry_after_s = retry_after_s
    return error


def _remember(records: AddressRecords, failure: FailedLoad | None) -> Op[None]:
    """Store a failure, or delete the stored one. A lost race or a failing store changes nothing for the caller."""
    write = FAILED_LOADS.delete(records.key) if failure is None else FAILED_LOADS.put(records.key, failure)
    entry = records.failure_entry
    try:
        _ = yield from commit((Check(write.key, None if entry is None else entry.version),), (write,))
    except Unavailable:
        return
