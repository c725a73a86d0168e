"""Every way a thing can go wrong, and whose doing it is.

Three branches, by blame:

- `LocalError`: *ours*. The caller broke the contract; a bug, never a peer's doing.
- `RemoteError`: *theirs*. A peer sent something that we refuse; asking again changes nothing.
- `Unavailable`: *not now*. Nobody's mistake; the same thing may work later.

The blame is in the type, and so are the answer to give over HTTP (`status_hint`), whether trying again makes sense (`retryable`) and a stable
slug for logs and metrics (`reason`). The message names the value, the limit and the source. The three branches are abstract: only their kinds
are raised, so that a log line always says which.

Arguments that could never be right (a key of seventeen parts, a negative limit) are `ValueError`, raised before anything happens.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar, Final, Literal

__all__ = [
    "AddressBlocked",
    "ApcoreError",
    "Blame",
    "ConfigurationError",
    "ConnectFailed",
    "ContractError",
    "DocumentError",
    "FetchFailed",
    "FetchTimedOut",
    "LimitExceeded",
    "LocalError",
    "NameUnresolved",
    "Outcome",
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
    "TlsFailed",
    "Unavailable",
]


class Blame(Enum):
    """Whose doing an error is."""

    OURS = "ours"
    THEIRS = "theirs"
    NOT_NOW = "not-now"


class ApcoreError(Exception):
    """The root of every error that apcore raises on purpose."""

    blame: ClassVar[Blame]
    """Whose doing it is."""
    retryable: ClassVar[bool] = False
    """Whether the same attempt may succeed later."""
    status_hint: ClassVar[int] = 500
    """The HTTP status that tells a peer about it."""
    reason: ClassVar[str] = ""
    """A stable kebab-case slug, for logs, metrics and problem documents. Empty on the abstract branches."""

    def __init__(self, message: str) -> None:
        if not self.reason:
            raise TypeError(f"{type(self).__name__} is abstract: raise one of its kinds")
        super().__init__(message)


# --- ours -----------------------------------------------------------------------------------------------------------


class LocalError(ApcoreError):
    """The embedding application, or apcore itself, broke a contract."""

    blame = Blame.OURS


class ContractError(LocalError):
    """A function was used in a way that its documentation excludes."""

    reason = "contract"


class ConfigurationError(LocalError):
    """What was registered or configured is missing something or contradicts itself; raised at start-up, in words."""

    reason = "configuration"


# --- theirs ---------------------------------------------------------------------------------------------------------


class RemoteError(ApcoreError):
    """A peer sent something that we refuse."""

    blame = Blame.THEIRS
    status_hint = 400


class RequestError(RemoteError):
    """A request, or a part of it, that cannot be read."""

    reason = "bad-request"


class SignatureError(RemoteError):
    """Nothing was proved about who sent this."""

    status_hint = 401
    reason = "signature"


class DocumentError(RemoteError):
    """A document that is not what it has to be: not JSON, not linked data, another id, another type."""

    status_hint = 422
    reason = "document"


class Refused(RemoteError):
    """Understood, and not allowed: blocked, not the owner, an address that we do not talk to."""

    status_hint = 403
    reason = "forbidden"


class LimitExceeded(RemoteError):
    """More bytes, hops, pages, depth or work than the policy allows."""

    status_hint = 413
    reason = "limit"


# --- not now --------------------------------------------------------------------------------------------------------


class Unavailable(ApcoreError):
    """Something that we depend on cannot do its part at this moment. Ports raise this and its kinds, and nothing else."""

    blame = Blame.NOT_NOW
    retryable = True
    status_hint = 503

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s: Final = retry_after_s
        """When trying again makes sense, in seconds, if that is known."""


Outcome = Literal["nothing", "unknown"]
"""What became of a change whose answer did not arrive: certainly `nothing`, or `unknown`."""


class StoreUnavailable(Unavailable):
    """The store did not answer; `outcome` says whether the commit may have happened."""

    reason = "store-unavailable"

    def __init__(self, message: str, *, outcome: Outcome = "nothing", retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.outcome: Final[Outcome] = outcome


class StoreBusy(StoreUnavailable):
    """Contention outlasted the deadline. Nothing was written."""

    reason = "store-busy"


class QueueUnavailable(Unavailable):
    """The queue did not answer; an enqueue may have happened (messages are wake-ups, so a second one does no harm)."""

    reason = "queue-unavailable"


class SignerUnavailable(Unavailable):
    """The holder of the private keys did not answer, or does not know the key."""

    reason = "signer-unavailable"


class FetchFailed(Unavailable):
    """An HTTP exchange that did not complete. Its kinds say where it broke off.

    The message is for our logs: what our network answered is never told to a peer (design rule 14).
    """

    origin: str | None = None
    """Whose exchange broke off, if several were made one after another: that of the last redirect, say."""


class NameUnresolved(FetchFailed):
    """The host name has no address, or the resolver did not answer."""

    reason = "dns"


class ConnectFailed(FetchFailed):
    """No connection could be made, or it was closed before the answer began."""

    reason = "refused"


class TlsFailed(FetchFailed):
    """The peer's certificate or its TLS is not acceptable."""

    reason = "tls"


class FetchTimedOut(FetchFailed):
    """The exchange, DNS included, took longer than its total deadline."""

    reason = "timeout"


class AddressBlocked(FetchFailed):
    """The address policy forbids where this request would have gone. Trying again changes nothing."""

    reason = "blocked"
    retryable = False


class ResponseTooBig(FetchFailed):
    """The answer went over one of the request's limits. Trying again changes nothing."""

    reason = "too-big"
    retryable = False


class ProtocolFailed(FetchFailed):
    """The peer did not speak HTTP."""

    reason = "protocol"
