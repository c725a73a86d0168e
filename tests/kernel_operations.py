"""Provide operations that use every feature of the kernel, to be run under every driver."""

from __future__ import annotations

from attrs import frozen

from apcore.effects import (
    Call,
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
    RandomBytes,
    Returned,
    Scan,
    Settle,
    Sign,
    commit,
    gather,
)
from apcore.errors import ConnectFailed, ContractError, DocumentError, QueueUnavailable
from apcore.handlers import operation
from apcore.http import Request
from apcore.ports import Check, Done, Increment, Message, Put, Retry

PAGE = Request("GET", "https://a.example/page")
GONE = Request("GET", "https://a.example/gone")
TOKEN = b"\x07" * 16


def message(number: int) -> Message:
    return Message(bytes([number]) * 16, "lane", b"body")


# --- the table of operations ----------------------------------------------------------------------------------------


def every_effect() -> Op[list[object]]:
    now = yield from Now()
    random_bytes = yield from RandomBytes(3)
    version = yield from commit((Check(("k",), None),), (Put(("k",), b"v"), Increment(("n",), 5)))
    second_commit = yield from commit((Check(("k",), None),), (Put(("k",), b"w"),))
    entries = yield from Get((("k",), ("absent",)))
    scanned = yield from Scan((), limit=10, reverse=True)
    yield from Enqueue((message(1), message(2)))
    leases = yield from Lease(("lane",), limit=5, lease_s=60)
    lost_leases = yield from Extend(leases, lease_s=90)
    unsettled = yield from Settle((Done(leases[0]), Retry(leases[1], 5)))
    signature = yield from Sign("key", b"data")
    key = yield from MakeKey("ed25519")
    shared_key = yield from MakeKey("ed25519", share="key")
    dropped = yield from DropKey("key")
    page = yield from Fetch(PAGE)
    shared = yield from Fetch(PAGE, share="page")
    keys = [key, shared_key, dropped]
    return [
        now,
        random_bytes,
        version,
        second_commit,
        entries,
        scanned,
        leases,
        lost_leases,
        unsettled,
        signature,
        keys,
        page,
        shared,
    ]


def forgiving() -> Op[str]:
    try:
        yield from Fetch(GONE)
    except ConnectFailed as error:
        return f"forgave: {error}"
    return "found"


def unforgiving() -> Op[str]:
    yield from Now()
    yield from Fetch(GONE)
    return "found"


def peer_at_fault() -> Op[None]:
    yield from Now()
    raise DocumentError("not JSON")


def member(number: int) -> Op[int]:
    yield from Now()
    if number == 1:
        raise DocumentError("member 1")
    if number == 2:
        yield from Fetch(GONE)
    answer = yield from gather(leaf(number), leaf(number + 1))
    return sum(outcome.value for outcome in answer if isinstance(outcome, Returned))


def leaf(number: int) -> Op[int]:
    yield from Get((("leaf", str(number)),))
    return number


def overlapping() -> Op[tuple[object, ...]]:
    outcomes = yield from gather(*[member(number) for number in range(6)], limit=3)
    return tuple(o.value if isinstance(o, Returned) else type(o.error).__name__ for o in outcomes)


def of_nobody() -> Op[tuple[object, ...]]:
    return (yield from gather())


@frozen
class Reads:
    """A context with one method, in its three forms."""

    run: object = None

    def blocking(self, run):
        return Reads(run)

    def awaiting(self, run):
        return Reads(run)

    def operation(self):
        return self

    def read(self, name: str):
        return self.run(self.read_op(name))

    def read_op(self, name: str) -> Op[bytes | None]:
        [entry] = yield from Get(((name,),))
        return entry.value if entry else None

    def broken(self):
        return self.run(unforgiving())


@operation
def reading_operation(ctx: Reads, name: str) -> Op[list[object]]:
    return [(yield from ctx.read_op(name)), (yield from ctx.read_op("absent"))]


def reading_plain(ctx: Reads, name: str) -> list[object]:
    return [ctx.read(name), ctx.read("absent")]


async def reading_coroutine(ctx: Reads, name: str) -> list[object]:
    return [await ctx.read(name), await ctx.read("absent")]


def calling_plain() -> Op[list[object]]:
    yield from Commit((), (Put(("k",), b"v"),), token=TOKEN)
    with_face = yield from Call(reading_plain, "k", contexts_for=Reads())
    bare = yield from Call(len, "four")
    return [with_face, bare]


def calling_operation() -> Op[list[object]]:
    yield from Commit((), (Put(("k",), b"v"),), token=TOKEN)
    with_face = yield from Call(reading_operation, "k", contexts_for=Reads())
    bare = yield from Call(operation(leaf), 4)
    return [with_face, bare]


class HandlerError(Exception):
    pass


def raising(error: Exception) -> None:
    raise error


def catching() -> Op[list[str]]:
    words = []
    for error in (HandlerError("handler"), DocumentError("document"), QueueUnavailable("queue"), ContractError("ours")):
        try:
            yield from Call(raising, error)
        except Exception as raised:
            words.append(f"{type(raised).__name__}: {raised}, itself: {raised is error}")
    return words


def catching_misuse() -> Op[list[str]]:
    words = []
    for fn in (len, operation(leaf), reading_operation):
        try:
            yield from Call(fn, 1, 2, 3)
        except TypeError as error:
            words.append(str(error).partition(" ")[0])
    return words


def raises_at_once() -> Op[None]:
    raise DocumentError("before the first question")
    yield from Now()


def members_of_all_kinds() -> Op[list[str]]:
    outcomes = yield from gather(raises_at_once(), of_nobody(), leaf(1))
    return [type(outcome).__name__ for outcome in outcomes]


def handler_meets_unavailable() -> Op[str]:
    try:
        yield from Call(Reads.broken, contexts_for=Reads())
    except ConnectFailed as error:
        return str(error)
    return "nothing"


def handler_fails() -> Op[None]:
    yield from Call(raising, HandlerError("through and through"))


TABLE = [
    every_effect,
    forgiving,
    unforgiving,
    peer_at_fault,
    overlapping,
    of_nobody,
    calling_plain,
    calling_operation,
    catching,
    catching_misuse,
    raises_at_once,
    members_of_all_kinds,
    handler_meets_unavailable,
    handler_fails,
]

RETURNS = {
    forgiving: "forgave: nobody there",
    overlapping: (1, "DocumentError", "ConnectFailed", 7, 9, 11),
    of_nobody: (),
    calling_plain: [[b"v", None], 4],
    calling_operation: [[b"v", None], 4],
    handler_meets_unavailable: "nobody there",
    catching_misuse: ["len()", "leaf()", "reading_operation()"],
    members_of_all_kinds: ["Raised", "Returned", "Returned"],
    catching: [
        "HandlerError: handler, itself: True",
        "DocumentError: document, itself: True",
        "QueueUnavailable: queue, itself: True",
        "ContractError: ours, itself: True",
    ],
}
RAISES = {
    unforgiving: ConnectFailed,
    peer_at_fault: DocumentError,
    raises_at_once: DocumentError,
    handler_fails: HandlerError,
}
