"""What an operation asks for has the type of its answer. Checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, assert_type

from apcore.effects import (
    Call,
    CallOutcome,
    Commit,
    DropKey,
    Enqueue,
    Extend,
    Fetch,
    Get,
    Lease,
    MakeKey,
    Now,
    Op,
    Raised,
    RandomBytes,
    Returned,
    Scan,
    Settle,
    Sign,
    commit,
    gather,
)
from apcore.handlers import operation
from apcore.http import Request, Response
from apcore.ports import Check, Done, Entry, LeasedMessage, MadeKey, Message, Put


def network(request: Request) -> Op[Response]:
    response = yield from Fetch(request)
    assert_type(response, Response)
    shared = yield from Fetch(request, share=(request.url, "signer"))
    assert_type(shared, Response)
    return response


def store() -> Op[bytes | None]:
    [entry] = yield from Get((("a",),))
    assert_type(entry, Entry | None)
    entries = yield from Scan(("a",), after=("a", "b"), limit=20, reverse=True)
    assert_type(entries, Sequence[Entry])
    done = yield from Commit((Check(("a",), None),), (Put(("a",), b"v"),), token=b"t" * 16)
    assert_type(done, bool)
    version = yield from commit((Check(("a",), None),), (Put(("a",), b"v"),))
    assert_type(version, bytes | Literal[False])
    return entry.value if entry else None


def queue(message: Message) -> Op[Sequence[LeasedMessage]]:
    nothing = Enqueue((message,))
    yield from nothing
    leased = yield from Lease(("lane",), limit=10, lease_s=60)
    assert_type(leased, Sequence[LeasedMessage])
    lost = yield from Extend(leased, lease_s=60)
    assert_type(lost, Sequence[LeasedMessage])
    return (yield from Settle([Done(one) for one in leased]))


def the_rest() -> Op[datetime]:
    signature = yield from Sign("key", b"data")
    assert_type(signature, bytes)
    key = yield from MakeKey("ed25519")
    dropped = yield from DropKey(key.name)
    assert_type(dropped, bool)
    assert_type(key, MadeKey)
    some = yield from RandomBytes(16)
    assert_type(some, bytes)
    return (yield from Now())


def plain(number: int) -> str:
    return str(number)


async def coroutine(number: int) -> float:
    return number / 2


@operation
def asking(number: int) -> Op[list[int]]:
    _ = yield from Now()
    return [number]


def calls() -> Op[None]:
    from_plain = yield from Call(plain, 1)
    assert_type(from_plain, str)
    from_coroutine = yield from Call(coroutine, 1)
    assert_type(from_coroutine, float)
    from_operation = yield from Call(asking, 1)
    assert_type(from_operation, list[int])
    composed = yield from asking(1)
    assert_type(composed, list[int])


def several(request: Request) -> Op[int]:
    one = yield from gather(network(request))
    assert_type(one, tuple[CallOutcome[Response]])
    two = yield from gather(network(request), store())
    assert_type(two, tuple[CallOutcome[Response], CallOutcome[bytes | None]])
    three = yield from gather(network(request), store(), asking(1), limit=2)
    assert_type(three, tuple[CallOutcome[Response], CallOutcome[bytes | None], CallOutcome[list[int]]])
    four = yield from gather(network(request), store(), asking(1), the_rest())
    assert_type(
        four, tuple[CallOutcome[Response], CallOutcome[bytes | None], CallOutcome[list[int]], CallOutcome[datetime]]
    )
    many = yield from gather(*[asking(number) for number in range(9)])
    assert_type(many, tuple[CallOutcome[list[int]], ...])
    total = 0
    for outcome in many:
        match outcome:
            case Returned(value):
                assert_type(value, list[int])
                total += len(value)
            case Raised(error):
                assert_type(error, Exception)
    return total
