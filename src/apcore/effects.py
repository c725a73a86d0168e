# pyright: reportUnusedCallResult=true
"""Define the effects: the closed list of requests that an operation can make to its driver.

An operation is a generator function that returns ``Op[T]``. To reach the outside world, it yields an effect and is sent
the answer::

    def read_value(key: Key) -> Op[bytes | None]:
        [entry] = yield from Get((key,))
        return entry.value if entry else None

Each effect is generic in its answer. Iterating an effect yields the effect itself and returns the answer, so mypy and
pyright (strict) give ``yield from Fetch(request)`` the type `Response`. That one ``__iter__`` is the only step that
type checkers cannot check.

Always write ``yield from``. An effect that is created but not yielded does nothing (pyright's
``reportUnusedCallResult`` reports it).

A driver answers the effects: `run`, `run_async`, the simulator, or your own loop over `Stepper`. It sends the value, or
throws an `Unavailable` in at the ``yield``. For a `Fetch` that `Ports.outbound` refuses, it throws a `RemoteError`. The
operation may catch these. Effects are coarse: do not yield one in an inner loop.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Hashable, Sequence
from datetime import datetime
from typing import Any, Final, Generic, Literal, Protocol, TypeAlias, TypeVar, overload

from attrs import field, frozen
from typing_extensions import override

from apcore.handlers import HandlerKind, handler_kind_of, handler_name
from apcore.http import Request, Response
from apcore.ports import (
    Batch,
    Check,
    Done,
    Entry,
    KeyKind,
    LeasedMessage,
    MadeKey,
    Message,
    Put,
    Retry,
    Settlement,
    StoreKey,
    Write,
)

__all__ = [
    "All",
    "Call",
    "CallOutcome",
    "Commit",
    "DropKey",
    "Effect",
    "Enqueue",
    "Extend",
    "Fetch",
    "Get",
    "Lease",
    "MakeKey",
    "Now",
    "Op",
    "Raised",
    "RandomBytes",
    "Returned",
    "Scan",
    "Settle",
    "Sign",
    "commit",
    "gather",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")


class Effect(Generic[T_co]):
    """A request of an operation to its driver, answered with a ``T_co``.

    Closed: applications and adapters define no effects.
    """

    __slots__ = ()

    def __iter__(self) -> Generator[Effect[Any], Any, T_co]:
        """Yield the effect, and return the answer."""
        answer: T_co = yield self  # No type checker can check this step.
        return answer

    def summary(self) -> str:
        """Return a description for a history, which is the same in every process."""
        return repr(self)


Op: TypeAlias = Generator[Effect[Any], Any, T]
"""A running operation, which returns a ``T``."""


@frozen
class Returned(Generic[T_co]):
    """A member of `All`, or an effect, ended with a value."""

    value: T_co


@frozen
class Raised:
    """A member of `All`, or an effect, ended with an error."""

    error: Exception


CallOutcome: TypeAlias = Returned[T] | Raised
"""The end of a member of `All`, or of an effect: a value or an error."""


# --- the network ----------------------------------------------------------------------------------------------------


@frozen
class Fetch(Effect[Response]):
    """Make one HTTP exchange: no redirects, no retries.

    ``share`` lets the driver join equal fetches that are in flight, so that one response answers all of them. Include
    in it everything that the response depends on, also the signer. None never joins.
    """

    request: Request
    share: Hashable = None


# --- the store ------------------------------------------------------------------------------------------------------


@frozen
class Get(Effect[Sequence[Entry | None]]):
    """Read up to 100 keys, and answer in their order.

    The reads are not a snapshot: only the checks of a `Commit` tie them together.
    """

    keys: Sequence[StoreKey]


@frozen
class Scan(Effect[Sequence[Entry]]):
    """Read up to ``limit`` (at most 1,000) strict extensions of ``prefix``: longer keys that begin with its parts.

    ``after`` is exclusive. Fewer than ``limit`` entries means the end.
    """

    prefix: StoreKey
    after: StoreKey | None = field(default=None, kw_only=True)
    limit: int = field(kw_only=True)
    reverse: bool = field(default=False, kw_only=True)


@frozen
class Commit(Effect[bool]):
    """Apply all writes if all checks hold, else none. `commit` is the shorter way to write this.

    If the store is also the queue, ``messages`` and ``settles`` join the same transaction. Otherwise the queue gets
    them after the commit has answered True. If the queue then fails, the operation gets `QueueUnavailable`, although
    the writes are committed.

    A *guarded* commit checks a key that it also Puts. If its answer is lost, the driver repeats it once, with the same
    token.
    """

    checks: Sequence[Check]
    writes: Sequence[Write]
    token: bytes = field(kw_only=True, repr=False)
    """16 unique random bytes: the version of every entry that this commit writes."""
    messages: Sequence[Message] = field(default=(), kw_only=True)
    settles: Sequence[Settlement] = field(default=(), kw_only=True)

    @property
    def guard(self) -> StoreKey | None:
        """Return a key that is both checked and Put. It shows whether a commit with a lost answer was applied."""
        checked = {check.key for check in self.checks}
        return next((write.key for write in self.writes if isinstance(write, Put) and write.key in checked), None)


# --- the queue ------------------------------------------------------------------------------------------------------


@frozen
class Enqueue(Effect[None]):
    """Enqueue up to 100 messages, all or none."""

    messages: Sequence[Message]


@frozen
class Lease(Effect[Sequence[LeasedMessage]]):
    """Lease up to ``limit`` due messages from ``lanes``, in the order of the lanes, at most one per group."""

    lanes: Sequence[str]
    limit: int = field(kw_only=True)
    lease_s: float = field(kw_only=True)


@frozen
class Extend(Effect[Sequence[LeasedMessage]]):
    """Let the leases end ``lease_s`` from now. The answer holds the leases that were already lost."""

    leases: Sequence[LeasedMessage]
    lease_s: float = field(kw_only=True)


@frozen
class Settle(Effect[Sequence[LeasedMessage]]):
    """End leases with `Done` or `Retry`. The answer holds the leases that were already lost."""

    settlements: Sequence[Done | Retry]


# --- keys, clock, randomness ----------------------------------------------------------------------------------------


@frozen
class Sign(Effect[bytes]):
    """Sign ``data`` with the private key that the signer knows as ``key_name``."""

    key_name: str
    data: bytes = field(repr=False)


@frozen
class MakeKey(Effect[MadeKey]):
    """Make a key pair. Its private half never leaves the signer.

    ``share`` lets the driver join equal effects in flight, as for `Fetch`: all of them are answered with the same pair.
    """

    kind: KeyKind
    share: Hashable = None


@frozen
class DropKey(Effect[bool]):
    """Delete the private key that the signer knows as ``key_name``.

    The answer is False if the signer cannot delete keys. A missing key is not an error.
    """

    key_name: str


@frozen
class Now(Effect[datetime]):
    """Read the time: UTC, timezone-aware. Read it once per decision, and pass the value on."""


@frozen
class RandomBytes(Effect[bytes]):
    """Draw ``count`` unpredictable bytes."""

    count: int


# --- the application's own functions --------------------------------------------------------------------------------


class HandlerContexts(Protocol):
    """A context that has one variant for each kind of handler."""

    def blocking(self, run: Callable[[Op[Any]], Any], /) -> object:
        """Return the variant for plain functions, with blocking methods. ``run`` drives an operation to its end."""
        ...

    def awaiting(self, run: Callable[[Op[Any]], Coroutine[Any, Any, Any]], /) -> object:
        """Return the variant for coroutine functions. ``run`` drives an operation as a coroutine."""
        ...

    def operation(self) -> object:
        """Return the variant for operations; its methods are operations too."""
        ...


@frozen(init=False)
class Call(Effect[T_co]):
    """Call an application's function, in the way that its kind requires.

    With ``contexts_for``, the function gets a context as its first argument, in the variant for the function's kind.
    An exception of the function is thrown in at the ``yield`` unchanged. Under an event loop, a plain function runs in
    a worker thread.

    Raises:
        ConfigurationError: On construction, if ``fn`` is of none of the three kinds.
    """

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    contexts_for: HandlerContexts | None
    handler_kind: HandlerKind

    @overload
    def __init__(
        self: Call[T],
        fn: Callable[..., Coroutine[Any, Any, T]],
        /,
        *args: object,
        contexts_for: HandlerContexts | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Call[T], fn: Callable[..., Op[T]], /, *args: object, contexts_for: HandlerContexts | None = None
    ) -> None: ...
    @overload
    def __init__(
        self: Call[T],
        fn: Callable[..., T],
        /,
        *args: object,
        contexts_for: HandlerContexts | None = None,
    ) -> None: ...
    def __init__(
        self,
        fn: Callable[..., Any],
        /,
        *args: object,
        contexts_for: HandlerContexts | None = None,
    ) -> None:
        self.__attrs_init__(  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
            fn, args, contexts_for, handler_kind_of(fn)
        )

    @override
    def summary(self) -> str:
        return f"Call({handler_name(self.fn)})"


# --- several at once ------------------------------------------------------------------------------------------------


@frozen
class All(Effect[tuple[CallOutcome[Any], ...]]):
    """Run independent operations; the driver decides how many overlap. `gather` is the typed way to write this.

    The answer holds one outcome per member, in order. A `RemoteError` or `Unavailable` of a member is its outcome, and
    never cancels the other members. Any other exception, a `LocalError` too, is a bug: it reaches the caller after the
    other members have ended.
    """

    members: tuple[Op[Any], ...]
    limit: int = field(kw_only=True)
    """The most members that run at once."""

    @override
    def summary(self) -> str:
        return f"All({len(self.members)}, limit={self.limit})"


OVERLAP_MAX: Final = 8
"""The default limit of `gather`."""


@overload
def gather(one: Op[T1], /, *, limit: int = OVERLAP_MAX) -> Op[tuple[CallOutcome[T1]]]: ...
@overload
def gather(one: Op[T1], two: Op[T2], /, *, limit: int = OVERLAP_MAX) -> Op[tuple[CallOutcome[T1], CallOutcome[T2]]]: ...
@overload
def gather(
    one: Op[T1], two: Op[T2], three: Op[T3], /, *, limit: int = OVERLAP_MAX
) -> Op[tuple[CallOutcome[T1], CallOutcome[T2], CallOutcome[T3]]]: ...
@overload
def gather(
    one: Op[T1], two: Op[T2], three: Op[T3], four: Op[T4], /, *, limit: int = OVERLAP_MAX
) -> Op[tuple[CallOutcome[T1], CallOutcome[T2], CallOutcome[T3], CallOutcome[T4]]]: ...
@overload
def gather(*members: Op[T], limit: int = OVERLAP_MAX) -> Op[tuple[CallOutcome[T], ...]]: ...
def gather(*members: Op[Any], limit: int = OVERLAP_MAX) -> Op[Any]:
    """Run independent operations, and return one outcome each, in order.

    At most ``limit`` run at once; a driver may run fewer. Errors are outcomes, and no member cancels another. Without
    members, no effect is yielded.

    Raises:
        ValueError: A limit below 1.
    """
    if limit < 1:
        raise ValueError(f"gather takes a limit of at least 1, not {limit}")
    return _all(All(members, limit=limit))


def _all(effect: All) -> Op[tuple[CallOutcome[Any], ...]]:
    return (yield from effect) if effect.members else ()


def commit(
    checks: Sequence[Check],
    writes: Sequence[Write],
    *,
    messages: Sequence[Message] = (),
    settles: Sequence[Settlement] = (),
    token: bytes | None = None,
) -> Op[bytes | Literal[False]]:
    """Commit under a new token.

    Return the token, which is the version of every written entry, or False if a check did not hold. If you pass a
    ``token`` of 16 random bytes, it must not have been used before.

    Effects: `RandomBytes` (16) unless you pass a ``token``, `Commit`.
    """
    if token is None:
        token = yield from RandomBytes(16)
    is_committed = yield from Commit(checks, writes, token=token, messages=messages, settles=settles)
    return token if is_committed else False


def commit_batch(
    batch: Batch, *, settles: Sequence[Settlement] = (), token: bytes | None = None
) -> Op[bytes | Literal[False]]:
    """Commit a `Batch`, with each check once and one write per key. Return the answer of `commit`.

    Effects: as `commit`.
    """
    merged = batch.merged
    return (yield from commit(merged.checks, merged.writes, messages=merged.messages, settles=settles, token=token))
