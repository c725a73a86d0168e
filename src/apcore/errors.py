"""Define every error that apcore raises, in three branches by blame.

- `LocalError`: *ours*. The calling code broke the contract. This is a bug, never the fault of a peer.
- `RemoteError`: *theirs*. A peer sent something that apcore refuses. Trying again changes nothing.
- `Unavailable`: *not now*. The same operation may succeed later.

Each class also carries the HTTP status to answer with (`status_hint`), whether trying again makes sense (`retryable`),
and a stable slug for logs and metrics (`reason`). The message names the value, the limit and the source. The three
branches are abstract: only their subclasses are raised, so that a log line always names a precise reason.

Arguments that can never be right (a key of seventeen parts, a negative limit) raise `ValueError`, before any I/O.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar, Final, Literal

__all__ = [
    "AddressBlocked",
    "ApcoreError",
    "Blame",
    "CommitOutcome",
    "ConfigurationError",
    "ConnectFailed",
    "ContractError",
    "DocumentError",
    "FetchFailed",
    "FetchTimedOut",
    "LimitExceeded",
    "LocalError",
    "NameUnresolved",
    "ProtocolFailed",
    "QueueUnavailable",
    "Refused",
    "RemoteError",
    "RequestError",
    "ResponseTooBig",
    "SignatureError",
    "SignerUnavailable",
    "StoreBusy",
    "StoreUnavailable",
    "ThreadUnavailable",
    "TlsFailed",
    "Unavailable",
]


class Blame(Enum):
    """The side that is to blame for an error."""

    OURS = "ours"
    THEIRS = "theirs"
    NOT_NOW = "not-now"


class ApcoreError(Exception):
    """The base class of every error that apcore raises on purpose."""

    blame: ClassVar[Blame]
    """The side that is to blame."""
    retryable: ClassVar[bool] = False
    """Whether the same attempt may succeed later."""
    status_hint: ClassVar[int] = 500
    """The HTTP status to answer a peer with."""
    reason: ClassVar[str] = ""
    """A stable kebab-case slug for logs, metrics and problem documents. Empty on the abstract branches."""

    def __init__(self, message: str) -> None:
        if not self.reason:
            raise TypeError(f"{type(self).__name__} is abstract: raise one of its subclasses")
        super().__init__(message)


# --- ours -----------------------------------------------------------------------------------------------------------


class LocalError(ApcoreError):
    """The embedding application, or apcore itself, broke a contract."""

    blame = Blame.OURS


class ContractError(LocalError):
    """A function was called in a way that its documentation excludes."""

    reason = "contract"


class ConfigurationError(LocalError):
    """A registration or a setting is missing or contradicts another. Raised at start-up."""

    reason = "configuration"


# --- theirs ---------------------------------------------------------------------------------------------------------


class RemoteError(ApcoreError):
    """A peer sent something that apcore refuses."""

    blame = Blame.THEIRS
    status_hint = 400


class RequestError(RemoteError):
    """A request, or a part of it, cannot be read."""

    reason = "bad-request"


class SignatureError(RemoteError):
    """The signature does not prove the sender."""

    status_hint = 401
    reason = "signature"


class DocumentError(RemoteError):
    """A document is not JSON or not linked data, or has an unexpected id or type."""

    status_hint = 422
    reason = "document"


class Refused(RemoteError):
    """The request is understood and not allowed: a blocked sender, not the owner, a forbidden address."""

    status_hint = 403
    reason = "forbidden"


class LimitExceeded(RemoteError):
    """The peer exceeded a limit on bytes, hops, pages, depth or work."""

    status_hint = 413
    reason = "limit"


# --- not now --------------------------------------------------------------------------------------------------------


class Unavailable(ApcoreError):
    """A service that apcore depends on does not work at present. Ports raise only this error and its subclasses."""

    blame = Blame.NOT_NOW
    retryable = True
    status_hint = 503

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s: Final = retry_after_s
        """Seconds to wait before trying again, if known."""


CommitOutcome = Literal["nothing", "unknown"]
"""The effect of a change that was not answered: `nothing` for certain, or `unknown`."""


class StoreUnavailable(Unavailable):
    """The store did not answer. `outcome` says whether the commit may have happened."""

    reason = "store-unavailable"

    def __init__(self, message: str, *, outcome: CommitOutcome = "nothing", retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.outcome: Final[CommitOutcome] = outcome


class StoreBusy(StoreUnavailable):
    """Other commits held the store until the deadline passed. No write was applied."""

    reason = "store-busy"


class QueueUnavailable(Unavailable):
    """The queue did not answer. The messages may have been enqueued; enqueueing them again is harmless."""

    reason = "queue-unavailable"


class SignerUnavailable(Unavailable):
    """The signer did not answer, or does not know the key."""

    reason = "signer-unavailable"


class ThreadUnavailable(Unavailable):
    """No thread could be started, and no running one can do the work: too many run, or the process is exiting."""

    reason = "thread-unavailable"


class WorkerEnded(Unavailable):
    """The worker that began an operation has ended. Its thread goes on, but may use no port any more."""

    reason = "worker-ended"


class FetchFailed(Unavailable):
    """An HTTP exchange did not complete. The subclass says where it failed.

    The message is for local logs only: do not tell a peer how the local network answered.
    """

    origin: str | None = None
    """The origin of the exchange that failed, if it is known: after a redirect, that of the last hop."""


class NameUnresolved(FetchFailed):
    """The host name has no address, or the resolver did not answer."""

    reason = "dns"


class ConnectFailed(FetchFailed):
    """The connection could not be made, or was closed before the response began."""

    reason = "refused"


class TlsFailed(FetchFailed):
    """The peer's certificate or its TLS is not acceptable."""

    reason = "tls"


class FetchTimedOut(FetchFailed):
    """The exchange, DNS included, took longer than its deadline."""

    reason = "timeout"


class AddressBlocked(FetchFailed):
    """The address policy forbids the destination of the request. Trying again changes nothing."""

    reason = "blocked"
    retryable = False


class ResponseTooBig(FetchFailed):
    """The response exceeded a limit of the request. Trying again changes nothing."""

    reason = "too-big"
    retryable = False


class ProtocolFailed(FetchFailed):
    """The peer did not speak HTTP."""

    reason = "protocol"
