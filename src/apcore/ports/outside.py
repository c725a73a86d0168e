"""`Transport`, `Signer` and `Runtime`: the network, the private keys, and what a core may not have of its own."""

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
"""The kinds of key that we make: RSA because everyone verifies it, Ed25519 for proofs."""


class Transport(Protocol):
    """One HTTP exchange, address-checked at connect time, within the request's limits.

    No redirects, retries, cookies, caching or environment proxies: what a redirect means is decided above, with the checks of a new request.
    Raises `FetchFailed`'s kinds, and nothing else.
    """

    @property
    def checks_addresses(self) -> Literal["enforced", "delegated"]:
        """Who holds the address policy: this transport at connect time, or a proxy that the operator vouches for."""
        ...

    def send(self, request: Request, /) -> Response:
        """Send ``request`` and read its answer, all within ``request.limits``."""
        ...

    def close(self) -> None:
        """Close every connection. Closing twice is fine; a later call opens again."""
        ...


class AsyncTransport(Protocol):
    """`Transport` for event loops: the same contract, awaited."""

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
    """A key pair that a signer now holds."""

    name: str
    """What `Signer.sign` knows it by; never sent to a peer."""
    kind: KeyKind
    public: bytes = field(repr=False)
    """The public half: DER, SubjectPublicKeyInfo (RFC 5280 §4.1)."""


class Signer(Protocol):
    """The holder of private keys: the store's keys in threads, a file, a KMS, an HSM. Raises `SignerUnavailable`."""

    def sign(self, key_name: str, data: bytes, /) -> bytes:
        """Sign ``data``: RSA keys by PKCS #1 v1.5 with SHA-256, Ed25519 keys as RFC 8032 says."""
        ...

    def make_key(self, kind: KeyKind, /) -> MadeKey:
        """Make a key pair and keep its private half, durably, before returning."""
        ...


class DroppingSigner(Signer, Protocol):
    """A `Signer` that can also forget a key; `DropKey` asks for it where it is there."""

    def drop_key(self, key_name: str, /) -> None:
        """Destroy the private half of a key. One that is not there is fine: whoever was interrupted asks again."""
        ...


class AsyncSigner(Protocol):
    """`Signer` for event loops: the same contract, awaited."""

    async def sign(self, key_name: str, data: bytes, /) -> bytes:
        """See `Signer.sign`."""
        ...

    async def make_key(self, kind: KeyKind, /) -> MadeKey:
        """See `Signer.make_key`."""
        ...


class AsyncDroppingSigner(AsyncSigner, Protocol):
    """`DroppingSigner` for event loops: the same contract, awaited."""

    async def drop_key(self, key_name: str, /) -> None:
        """See `DroppingSigner.drop_key`."""
        ...


class Signal(Protocol):
    """A wake-up between threads."""

    def set(self) -> None:
        """Wake the thread that waits, or the next one that does."""
        ...

    def wait(self, *, timeout_s: float) -> None:
        """Return when the signal is set, or after ``timeout_s``; afterwards it is not set."""
        ...


class Crew(Protocol):
    """Threads for jobs that may never return. None of them keeps the process from ending."""

    def start(self, job: Callable[[], None], /) -> Callable[[], None]:
        """Begin ``job`` in a thread, with the caller's context variables.

        Answers a function that forsakes the job: it cannot be ended, but its thread takes no place from others, up to a
        bound.
        """
        ...

    def close(self) -> None:
        """End idle threads. Those at work end with their job."""
        ...


class Runtime(Protocol):
    """Clock, randomness and overlap for blocking programs."""

    def now(self) -> datetime:
        """The time, in UTC, timezone-aware."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never goes back, for pacing and time limits."""
        ...

    def random_bytes(self, count: int, /) -> bytes:
        """``count`` bytes that nobody can guess."""
        ...

    def signal(self) -> Signal:
        """Make a signal."""
        ...

    def crew(self, threads_max: int, /) -> Crew:
        """Make a crew of up to so many threads, which start when they are needed."""
        ...

    def overlap(self, jobs: Sequence[Callable[[], T]], /, *, limit: int) -> Sequence[T]:
        """Run every job, at most ``limit`` at a time, and answer in their order. Jobs catch their own errors."""
        ...

    def share(self, key: Hashable, job: Callable[[], T], /) -> T:
        """Run ``job``, or wait for the answer of a job with an equal key that is under way, error included."""
        ...


class AsyncSignal(Protocol):
    """A wake-up between tasks of one event loop."""

    def set(self) -> None:
        """Wake the task that waits, or the next one that does. Called on the event loop."""
        ...

    async def wait(self, *, timeout_s: float) -> None:
        """Return when the signal is set, or after ``timeout_s``; afterwards it is not set."""
        ...


class AsyncNursery(Protocol):
    """Tasks that live as long as a block of code."""

    def start(self, job: Callable[[], Awaitable[None]], /) -> Callable[[], None]:
        """Begin ``job`` beside the others; answers a function that cancels it."""
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
        """Make a signal for tasks of the event loop that runs."""
        ...

    def nursery(self) -> AbstractAsyncContextManager[AsyncNursery]:
        """Open a nursery. Its block ends when all its tasks have; an error or a cancellation cancels them first."""
        ...

    async def finish(self, job: Callable[[], Awaitable[None]], /, *, within_s: float) -> None:
        """Run ``job`` although the calling task is cancelled, but no longer than ``within_s``."""
        ...

    async def overlap(self, jobs: Sequence[Callable[[], Awaitable[T]]], /, *, limit: int) -> Sequence[T]:
        """See `Runtime.overlap`."""
        ...

    async def share(self, key: Hashable, job: Callable[[], Awaitable[T]], /) -> T:
        """See `Runtime.share`. One waiter's cancellation does not end the job for the others."""
        ...

    async def thread(self, job: Callable[[], T], /, *, lane: Literal["port", "wire", "handler"]) -> T:
        """Run ``job`` in a worker thread.

        Handlers, the transport ("wire") and the other ports have threads of their own, so that none starves the rest.

        A cancelled call of a handler does not wait for its thread, which cannot be ended. Up to a bound, such threads
        take none from others.
        """
        ...

    def from_thread(self, job: Callable[[], Awaitable[T]], /) -> T:
        """From inside `thread`: run ``job`` on the event loop and wait for its answer."""
        ...
