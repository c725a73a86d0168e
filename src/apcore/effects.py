# pyright: reportUnusedCallResult=true
"""What an operation may ask for: a closed list.

An operation is a generator function that returns ``Op[T]``. Where it needs something from outside, it yields an effect and is sent the answer::

    def who(ctx_key: Key) -> Op[bytes | None]:
        [entry] = yield from Get((ctx_key,))
        return entry.value if entry else None

Each effect is generic in its answer, and iterating it yields the effect itself and returns the answer; so ``yield from Fetch(request)`` is typed
`Response` under mypy and pyright strict. That one ``__iter__`` is the only step that no type checker sees.

Always write ``yield from``. An effect that is made and not yielded asks for nothing (pyright's ``reportUnusedCallResult`` finds it).

Who answers is a driver's business: `run`, `run_async`, the simulator, or anyone with a loop over `Stepper`. A driver answers with the value, or
throws an `Unavailable` in at the ``yield``, or, for a
`Fetch` that may not leave, a `RemoteError`; an operation may catch those. Effects are coarse, and never stand in an inner loop.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Hashable, Sequence
from datetime import datetime
from typing import Any, Final, Generic, Literal, Protocol, TypeAlias, TypeVar, overload

from attrs import field, frozen

from apcore.handlers import Colour, colour_of
from apcore.http import Request, Response
from apcore.ports import (
    Again,
    Check,
    Done,
    Entry,
    Key,
    KeyKind,
    Leased,
    MadeKey,
    Message,
    Put,
    Settlement,
    Write,
)

__all__ = [
    "All",
    "Call",
    "Commit",
    "DropKey",
    "Effect",
    "Enqueue",
    "Extend",
    "Faces",
    "Fetch",
    "Get",
    "Lease",
    "MakeKey",
    "Now",
    "Op",
    "Outcome",
    "Raised",
    "RandomBytes",
    "Returned",
    "Scan",
    "Settle",
    "Sign",
    "committed",
    "together",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")


class Effect(Generic[T_co]):
    """A question of an operation, whose answer is a ``T_co``. Closed: applications and adapters define no effects."""

    __slots__ = ()

    def __iter__(self) -> Generator[Effect[Any], Any, T_co]:
        """Ask, and return the answer."""
        answer: T_co = yield self  # the unchecked step
        return answer


Op: TypeAlias = Generator[Effect[Any], Any, T]
"""An operation under way, which returns a ``T``."""


@frozen
class Returned(Generic[T_co]):
    """A member of `All`, or an effect, ended with a value."""

    value: T_co


@frozen
class Raised:
    """A member of `All`, or an effect, ended with an error."""

    error: Exception


Outcome: TypeAlias = Returned[T] | Raised
"""How a member of `All`, or an effect, ended."""


# --- the network ----------------------------------------------------------------------------------------------------


@frozen
class Fetch(Effect[Response]):
    """One HTTP exchange: no redirects, no retries.

    ``share`` lets the driver join equal fetches that are in flight: the same answer serves all. Name in it everything that the answer depends
    on, the signer included; None never joins.
    """

    request: Request
    share: Hashable = None


# --- the store ------------------------------------------------------------------------------------------------------


@frozen
class Get(Effect[Sequence[Entry | None]]):
    """Read up to 100 keys, answered in the order asked. Not a snapshot: only the checks of a `Commit` join reads."""

    keys: Sequence[Key]


@frozen
class Scan(Effect[Sequence[Entry]]):
    """Read up to ``limit`` (at most 1,000) strict extensions of ``prefix``; ``after`` is exclusive. Fewer than ``limit`` means the end."""

    prefix: Key
    after: Key | None = field(default=None, kw_only=True)
    limit: int = field(kw_only=True)
    reverse: bool = field(default=False, kw_only=True)


@frozen
class Commit(Effect[bool]):
    """Apply all writes if all checks hold, else nothing; `committed` is the shorter way to ask.

    ``messages`` and ``settles`` go into the same transaction where the store is also the queue. Elsewhere they follow a commit that answered
    True, in that order: store, then queue. An operation whose enqueue fails is told so by `QueueUnavailable`, with the facts already committed.

    A *guarded* commit (one that checks a key which it Puts) whose answer was lost is repeated once by the driver, with the same token.
    """

    checks: Sequence[Check]
    writes: Sequence[Write]
    token: bytes = field(kw_only=True, repr=False)
    """16 unique random bytes: the version of every entry that this commit writes."""
    messages: Sequence[Message] = field(default=(), kw_only=True)
    settles: Sequence[Settlement] = field(default=(), kw_only=True)

    @property
    def guard(self) -> Key | None:
        """A key that is both checked and Put, by which a commit with a lost answer can be recognised."""
        checked = {check.key for check in self.checks}
        return next((write.key for write in self.writes if isinstance(write, Put) and write.key in checked), None)


# --- the queue ------------------------------------------------------------------------------------------------------


@frozen
class Enqueue(Effect[None]):
    """Put up to 100 messages on the queue, all or none."""

    messages: Sequence[Message]


@frozen
class Lease(Effect[Sequence[Leased]]):
    """Take up to ``limit`` due messages from ``lanes``, in the order of the lanes, at most one a group."""

    lanes: Sequence[str]
    limit: int = field(kw_only=True)
    lease_s: float = field(kw_only=True)


@frozen
class Extend(Effect[Sequence[Leased]]):
    """Let leases end ``lease_s`` from now; answers those that were lost."""

    leases: Sequence[Leased]
    lease_s: float = field(kw_only=True)


@frozen
class Settle(Effect[Sequence[Leased]]):
    """End leases, `Done` or `Again`; answers those that were lost."""

    settlements: Sequence[Done | Again]


# --- keys, clock, randomness ----------------------------------------------------------------------------------------


@frozen
class Sign(Effect[bytes]):
    """Sign ``data`` with the private key that the signer knows as ``key_name``."""

    key_name: str
    data: bytes = field(repr=False)


@frozen
class MakeKey(Effect[MadeKey]):
    """Make a key pair; its private half never leaves the signer.

    ``share`` lets the driver join equal questions in flight, as with `Fetch`: whoever asks meanwhile is answered with the same pair.
    """

    kind: KeyKind
    share: Hashable = None


@frozen
class DropKey(Effect[bool]):
    """Forget the private key that the signer knows as ``key_name``; False if the signer cannot forget. One that is not there is fine."""

    key_name: str


@frozen
class Now(Effect[datetime]):
    """The time, in UTC, timezone-aware. Ask once per decision and keep the answer."""


@frozen
class RandomBytes(Effect[bytes]):
    """``count`` bytes that nobody can guess."""

    count: int


# --- the application's own functions --------------------------------------------------------------------------------


class Faces(Protocol):
    """A context that can show itself in each handler colour."""

    def blocking(self, run: Callable[[Op[Any]], Any], /) -> object:
        """The face for plain functions, whose methods wait; ``run`` drives an operation to its end."""
        ...

    def awaiting(self, run: Callable[[Op[Any]], Coroutine[Any, Any, Any]], /) -> object:
        """The face for coroutine functions; ``run`` drives an operation as a coroutine."""
        ...

    def operation(self) -> object:
        """The face for operations, whose methods are operations."""
        ...


@frozen(init=False)
class Call(Effect[T_co]):
    """Run an application's function; its colour decides how.

    With ``faces``, the function's first argument is the face of that context for its colour. What the function raises is thrown in at the
    ``yield`` as it is. A plain function runs in a worker thread under an event loop, unless ``inline`` promises that it never waits.

    Raises:
        ConfigurationError: When made, if ``fn`` has none of the three colours.
    """

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    faces: Faces | None
    inline: bool
    colour: Colour

    @overload
    def __init__(
        self: Call[T], fn: Callable[..., Coroutine[Any, Any, T]], /, *args: object, faces: Faces | None = None
    ) -> None: ...
    @overload
    def __init__(self: Call[T], fn: Callable[..., Op[T]], /, *args: object, faces: Faces | None = None) -> None: ...
    @overload
    def __init__(
        self: Call[T], fn: Callable[..., T], /, *args: object, faces: Faces | None = None, inline: bool = False
    ) -> None: ...
    def __init__(
        self, fn: Callable[..., Any], /, *args: object, faces: Faces | None = None, inline: bool = False
    ) -> None:
        self.__attrs_init__(fn, args, faces, inline, colour_of(fn))  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


# --- several at once ------------------------------------------------------------------------------------------------


@frozen
class All(Effect[tuple[Outcome[Any], ...]]):
    """Run independent operations; the driver decides how much overlaps. `together` is the typed way to ask.

    One outcome per member, in order. A member's `RemoteError` or `Unavailable` is its outcome and never cancels its siblings; anything else that
    a member raises is a bug (a `LocalError` too), which reaches the caller after the others have ended.
    """

    members: tuple[Op[Any], ...]
    limit: int = field(kw_only=True)
    """At most so many under way at once."""


OVERLAP_MAX: Final = 8
"""How much `together` lets overlap unless told otherwise."""


@overload
def together(one: Op[T1], /, *, limit: int = OVERLAP_MAX) -> Op[tuple[Outcome[T1]]]: ...
@overload
def together(one: Op[T1], two: Op[T2], /, *, limit: int = OVERLAP_MAX) -> Op[tuple[Outcome[T1], Outcome[T2]]]: ...
@overload
def together(
    one: Op[T1], two: Op[T2], three: Op[T3], /, *, limit: int = OVERLAP_MAX
) -> Op[tuple[Outcome[T1], Outcome[T2], Outcome[T3]]]: ...
@overload
def together(
    one: Op[T1], two: Op[T2], three: Op[T3], four: Op[T4], /, *, limit: int = OVERLAP_MAX
) -> Op[tuple[Outcome[T1], Outcome[T2], Outcome[T3], Outcome[T4]]]: ...
@overload
def together(*members: Op[T], limit: int = OVERLAP_MAX) -> Op[tuple[Outcome[T], ...]]: ...
def together(*members: Op[Any], limit: int = OVERLAP_MAX) -> Op[Any]:
    """Run independent operations and answer one outcome each, in order.

    At most ``limit`` are under way at once; a driver may overlap less. Their errors are outcomes, and no member cancels another.

    Raises:
        ValueError: A limit below 1.
    """
    if limit < 1:
        raise ValueError(f"together takes a limit of at least 1, not {limit}")
    return _all(All(members, limit=limit))


def _all(effect: All) -> Op[tuple[Outcome[Any], ...]]:
    return (yield from effect)


def committed(
    checks: Sequence[Check],
    writes: Sequence[Write],
    *,
    messages: Sequence[Message] = (),
    settles: Sequence[Settlement] = (),
) -> Op[bytes | Literal[False]]:
    """Commit under a fresh token; answers the version that every written entry now has, or False if a check did not hold.

    Asks for: `RandomBytes` (16), `Commit`.
    """
    token = yield from RandomBytes(16)
    done = yield from Commit(checks, writes, token=token, messages=messages, settles=settles)
    return token if done else False
