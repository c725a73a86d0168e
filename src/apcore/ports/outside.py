"""Define `Transport`, `Signer` and `Runtime`: the network, the private keys, and time, randomness and overlap."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Literal, Protocol, TypeVar

from attrs import field, frozen

from apcore.http import Request, Response

__all__ = [
    "AsyncNursery",
    "AsyncRuntime",
    "AsyncSignal",
    "AsyncSigner",
    "AsyncTransport",
    "Crew",
    "KeyKind",
    "MadeKey",
    "Runtime",
    "Signal",
    "Signer",
    "Transport",
]

T = TypeVar("T")

KeyKind = Literal["rsa-2048", "ed25519"]
"""The kinds of keys that actors have: RSA because every server verifies it, Ed25519 for proofs."""


class Transport(Protocol):
    """Perform one HTTP exchange, within the request's limits, with addresses checked at connect time.

    A transport has no redirects, retries, cookies, cache or environment proxies. Its caller follows redirects, and
    checks each one as a new request.

    Raises only `FetchFailed` and its subclasses.
    """

    @property
    def checks_addresses(self) -> Literal["enforced", "delegated"]:
        """Return the place of the address check: this transport, or a proxy that the operator has approved."""
        ...

    def send(self, request: Request, /) -> Response:
        """Send ``request`` and read the response, both within ``request.limits``."""
        ...

    def close(self) -> None:
        """Close every connection. Closing twice is allowed; a later call reopens."""
        ...


class AsyncTransport(Protocol):
    """`Transport` for event loops: the same contract, with coroutine methods."""

    @property
    def checks_addresses(self) -> Literal["enforced", "delegated"]:
        """See `Transport.checks_addresses`."""
        ...

    async def send(self, request: Request, /) -> Response:
        """See `Transport.send`."""
        ...

    async def aclose(self) -> None:
        """See `Transport.close`."""
        ...


@frozen
class MadeKey:
    """A key pair that a signer has made."""

    name: str
    """The argument of `Signer.sign` for this key. It is never sent to a peer."""
    kind: KeyKind
    public: bytes = field(repr=False)
    """The public half: DER, SubjectPublicKeyInfo (RFC 5280 §4.1)."""


class Signer(Protocol):
    """Sign with private keys that stay inside: of the store, a file, a KMS or an HSM. Raises `SignerUnavailable`."""

    def sign(self, key_name: str, data: bytes, /) -> bytes:
        """Sign ``data``: with PKCS #1 v1.5 and SHA-256 for an RSA key, as in RFC 8032 for an Ed25519 key."""
        ...

    def make_key(self, kind: KeyKind, /) -> MadeKey:
        """Make a key pair, and store its private half durably before returning."""
        ...

    def drop_key(self, key_name: str, /) -> bool:
        """Destroy the private half of a key. A missing key is not an error: an interrupted caller repeats the call.

        Return False, and change nothing, if this signer cannot destroy keys.
        """
        ...


class AsyncSigner(Protocol):
    """`Signer` for event loops: the same contract, with coroutine methods."""

    async def sign(self, key_name: str, data: bytes, /) -> bytes:
        """See `Signer.sign`."""
        ...

    async def make_key(self, kind: KeyKind, /) -> MadeKey:
        """See `Signer.make_key`."""
        ...

    async def drop_key(self, key_name: str, /) -> bool:
        """See `Signer.drop_key`."""
        ...


class Signal(Protocol):
    """A wake-up between threads."""

    def set(self) -> None:
        """Wake the waiting thread, or else the next one that waits."""
        ...

    def wait(self, *, timeout_s: float) -> None:
        """Return when the signal is set, or after ``timeout_s``. Afterwards it is not set."""
        ...


class Crew(Protocol):
    """Threads for jobs that may never return. None of them keeps the process from ending."""

    def start(self, job: Callable[[], None], /) -> Callable[[], None]:
        """Start ``job`` in a thread, with the caller's context variables.

        Return a function that abandons the job. A thread cannot be ended, but up to a bound, the thread of an abandoned
        job takes no place from other jobs.
        """
        ...

    def close(self) -> None:
        """End idle threads. Busy threads end with their job."""
        ...


class Runtime(Protocol):
    """Clock, randomness and overlap for blocking programs."""

    def now(self) -> datetime:
        """Return the time, in UTC, timezone-aware."""
        ...

    def monotonic_s(self) -> float:
        """Return the seconds of a clock that never goes back, for pacing and time limits."""
        ...

    def random_bytes(self, count: int, /) -> bytes:
        """Return ``count`` unpredictable bytes."""
        ...

    def signal(self) -> Signal:
        """Make a signal."""
        ...

    def crew(self, threads_max: int, /) -> Crew:
        """Make a crew of at most ``threads_max`` threads, which start when they are needed."""
        ...

    def overlap(self, jobs: Sequence[Callable[[], T]], /, *, limit: int) -> Sequence[T]:
        """Run every job, at most ``limit`` at a time, and return the results in order. Jobs catch their own errors."""
        ...

    def share(self, key: Hashable, job: Callable[[], T], /) -> T:
        """Run ``job``. If a job with an equal key is running, wait for its result instead, or raise its error."""
        ...


class AsyncSignal(Protocol):
    """A wake-up between tasks of one event loop."""

    def set(self) -> None:
        """Wake the waiting task, or else the next one that waits. Call it on the event loop."""
        ...

    async def wait(self, *, timeout_s: float) -> None:
        """Return when the signal is set, or after ``timeout_s``. Afterwards it is not set."""
        ...


class AsyncNursery(Protocol):
    """Tasks that live as long as a block of code."""

    def start(
        self, job: Callable[[], Awaitable[None]], /, *, abandon_after_s: float | None = None
    ) -> Callable[[], None]:
        """Start ``job`` beside the other tasks, and return a function that cancels it.

        With ``abandon_after_s``, a job that still runs so long after it was cancelled no longer holds up the nursery:
        it may have swallowed the cancellation. Under trio, nothing can be left behind, and the time has no effect.
        """
        ...


class AsyncRuntime(Protocol):
    """Clock, randomness, overlap and threads for one event loop library."""

    def now(self) -> datetime:
        """See `Runtime.now`; never waits."""
        ...

    def monotonic_s(self) -> float:
        """See `Runtime.monotonic_s`; never waits."""
        ...

    def random_bytes(self, count: int, /) -> bytes:
        """See `Runtime.random_bytes`; never waits."""
        ...

    def signal(self) -> AsyncSignal:
        """Make a signal for tasks of the running event loop."""
        ...

    def nursery(self) -> AbstractAsyncContextManager[AsyncNursery]:
        """Open a nursery. Its block ends when all its tasks have; an error or a cancellation cancels them first."""
        ...

    async def finish(self, job: Callable[[], Awaitable[None]], /, *, within_s: float) -> None:
        """Run ``job`` even if the calling task is cancelled, for at most ``within_s``."""
        ...

    async def overlap(self, jobs: Sequence[Callable[[], Awaitable[T]]], /, *, limit: int) -> Sequence[T]:
        """See `Runtime.overlap`."""
        ...

    async def share(self, key: Hashable, job: Callable[[], Awaitable[T]], /) -> T:
        """See `Runtime.share`. One waiter's cancellation does not end the job for the others."""
        ...

    async def thread(self, job: Callable[[], T], /, *, lane: Literal["port", "wire", "handler"]) -> T:
        """Run ``job`` in a worker thread.

        Handlers, the transport ("wire") and the other ports have separate threads, so that none starves the others.

        A cancelled call of a handler does not wait for its thread, which cannot be ended. Up to a bound, such threads
        take no place from other calls.
        """
        ...

    def from_thread(self, job: Callable[[], Awaitable[T]], /) -> T:
        """Run ``job`` on the event loop, called from inside `thread`, and wait for its result."""
        ...
