"""Remember that a document could not be loaded, so that its origin is not asked again before a retry time.

Each kind of failure has its own first pause (`FIRST_PAUSE_S`). The pause doubles with each further failure, up to a
day, and is never shorter than the server's `Retry-After`. Until then, the same error is raised without a request.

A failure is remembered for the signer that met it. It no longer counts once the owner of the document has announced a
change, apart from a 410: a deleted document is never asked for again while the record is kept. Failures of fetches on
behalf of an unauthenticated client are not remembered, since such a client could bring them about.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from apcore.effects import Get, Now, Op, commit
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
from apcore.ports import Check, Entry
from apcore.remote.dialects import Identity
from apcore.remote.documents import LoadedDocument, load, load_kept
from apcore.remote.errors import Forbidden, Gone, NotFound, PeerFailing, Rejected, WrongId, WrongMediaType
from apcore.remote.records import (
    DOCUMENT_CHANGES,
    FAILED_LOAD_KEPT_S,
    FAILED_LOADS,
    DocumentChangeKey,
    DocumentKey,
    FailedLoad,
)
from apcore.remote.retrieval import FetchPolicy

__all__ = ["FIRST_PAUSE_S", "PAUSE_S_MAX", "load_unless_failed"]

_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3600.0
PAUSE_S_MAX: Final = 24 * _HOUR_S
FIRST_PAUSE_S: Final[Mapping[type[ApcoreError], float]] = {
    Gone: FAILED_LOAD_KEPT_S,
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
    """Return the document with the id ``uri``, as `load` does, unless loading it failed lately.

    With ``fresh``, the origin is asked in any case.

    Asks for: one `Get` and `Now` if the cache is fresh. Else one more `Get`, all of `load`, and a commit if it failed,
    or if it had failed before.

    Raises:
        ApcoreError: As `load`. An error that is raised again says until when, and has that as ``retry_after_s`` if it
            is `Unavailable`, `NotFound` or `Forbidden`.
    """
    if not fresh:
        cached_document = yield from load_kept(uri, policy=policy, identity=identity)
        if cached_document is not None:
            return cached_document
    address = str(parse_url(uri))
    key = DocumentKey.of(address, viewer=None if identity is None else identity.key_id)
    entry, change = yield from Get((FAILED_LOADS.key(key), DOCUMENT_CHANGES.key(DocumentChangeKey.of(address))))
    now = yield from Now()
    failure = _read_failure(entry, change, address)
    if failure is not None and not fresh and now < failure.retry_at:
        raise _repeated_error(failure, now)
    try:
        loaded = yield from load(uri, policy=policy, identity=identity, fresh=fresh)
    except (RemoteError, Unavailable) as error:
        if type(error) in FIRST_PAUSE_S and policy.unauthenticated_client is None:
            new_failure = _failure_of(error, address, failure, now)
            yield from _remember(key, entry, new_failure)
            if isinstance(error, NotFound | Forbidden):
                error.retry_after_s = (new_failure.retry_at - now).total_seconds()
        raise
    if entry is not None:
        yield from _remember(key, entry, None)
    return loaded


def _read_failure(entry: Entry | None, change_entry: Entry | None, uri: str) -> FailedLoad | None:
    """Return the stored failure if it still counts."""
    failure = None if entry is None else FAILED_LOADS.decode(entry.value)
    if failure is None or failure.uri != uri or failure.kind not in _KINDS:
        return None
    change = None if change_entry is None else DOCUMENT_CHANGES.decode(change_entry.value)
    is_outdated = change is not None and change.uri == uri and failure.failed <= change.at
    return None if is_outdated and failure.kind != Gone.reason else failure


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


def _remember(key: DocumentKey, entry: Entry | None, failure: FailedLoad | None) -> Op[None]:
    """Store a failure, or delete the stored one. A lost race or a failing store changes nothing for the caller."""
    write = FAILED_LOADS.delete(key) if failure is None else FAILED_LOADS.put(key, failure)
    try:
        _ = yield from commit((Check(write.key, None if entry is None else entry.version),), (write,))
    except Unavailable:
        return
