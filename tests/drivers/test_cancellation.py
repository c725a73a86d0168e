"""What is given up is closed: the operation, its members, and what handlers had under way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
import trio
import trio.testing

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.adapters.trio import TrioRuntime
from apcore.drivers import async_ports, run_async
from apcore.effects import Call, Fetch, Op, gather
from apcore.http import Request, Response

PAGE = Request("GET", "https://a.example/page")
NEVER = Request("GET", "https://a.example/never")


class Hanging:
    """A transport that answers one address and never answers the other; says when it was asked."""

    checks_addresses = "enforced"

    def __init__(self, event: Callable[[], asyncio.Event | trio.Event]) -> None:
        self.asked = event()
        self._never = event()
        self.abandoned = 0

    async def send(self, request: Request, /) -> Response:
        if request == PAGE:
            return Response(200)
        self.asked.set()
        try:
            await self._never.wait()
        except BaseException:
            self.abandoned += 1
            raise
        raise AssertionError

    async def aclose(self) -> None: ...


def tidy(closed: list[str], request: Request = NEVER, name: str = "op") -> Op[None]:
    try:
        yield from Fetch(request)
    except Exception:  # cancellation is not an answer
        closed.append("answered")
    finally:
        closed.append(name)


def several(closed: list[str]) -> Op[None]:
    try:
        yield from gather(tidy(closed, PAGE, "first"), tidy(closed, NEVER, "second"), tidy(closed, NEVER, "third"))
    finally:
        closed.append("whole")


class Face:
    def awaiting(self, run):
        return run

    blocking = awaiting


def from_coroutine(closed: list[str]) -> Op[None]:
    async def handler(run) -> None:
        try:
            await run(tidy(closed))
        finally:
            closed.append("handler")

    yield from Call(handler, contexts_for=Face())


OPERATIONS: list[tuple[Callable[[list[str]], Op[None]], list[str]]] = [
    (tidy, ["op"]),
    (several, ["first", "second", "third", "whole"]),
    (from_coroutine, ["op", "handler"]),
]


async def cancelled_on_asyncio(op: Op[None]) -> Hanging:
    runtime, web = AsyncioRuntime(), Hanging(asyncio.Event)
    task = asyncio.create_task(run_async(op, async_ports(runtime=runtime, transport=web)))
    await web.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    runtime.close()
    return web


async def cancelled_on_trio(op: Op[None]) -> Hanging:
    web = Hanging(trio.Event)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_async, op, async_ports(runtime=TrioRuntime(), transport=web))
        await web.asked.wait()
        nursery.cancel_scope.cancel()
    return web


@pytest.mark.parametrize(("make", "expected"), OPERATIONS, ids=lambda x: getattr(x, "__name__", None))
def test_cancellation_closes_everything_on_asyncio(make, expected):
    closed: list[str] = []
    web = asyncio.run(cancelled_on_asyncio(make(closed)))
    assert (sorted(closed), web.abandoned >= 1) == (sorted(expected), True)


@pytest.mark.parametrize(("make", "expected"), OPERATIONS, ids=lambda x: getattr(x, "__name__", None))
def test_cancellation_closes_everything_on_trio(make, expected):
    closed: list[str] = []
    web = trio.run(cancelled_on_trio, make(closed))
    assert (sorted(closed), web.abandoned >= 1) == (sorted(expected), True)


def from_thread(closed: list[str], ended: threading.Event) -> Op[None]:
    def handler(run) -> None:
        try:
            run(tidy(closed))
        finally:
            closed.append("handler")
            ended.set()

    yield from Call(handler, contexts_for=Face())


@pytest.mark.parametrize("cancelled", ["asyncio", "trio"])
def test_cancellation_reaches_into_threads(cancelled):
    closed: list[str] = []
    ended = threading.Event()
    if cancelled == "asyncio":
        asyncio.run(cancelled_on_asyncio(from_thread(closed, ended)))
    else:
        trio.run(cancelled_on_trio, from_thread(closed, ended))
    assert ended.wait(20)
    assert sorted(closed) == ["handler", "op"]


def test_a_handler_that_outlives_its_cancelled_call_gets_no_more_answers_on_asyncio():
    """asyncio does not wait for the thread; trio does, so this cannot happen there."""
    closed: list[str] = []
    running, cancelled, ended = threading.Event(), threading.Event(), threading.Event()
    outcome: list[BaseException] = []

    def handler(run) -> None:
        running.set()
        assert cancelled.wait(20)
        try:
            run(tidy(closed))
        except BaseException as error:
            outcome.append(error)
        finally:
            ended.set()

    def op() -> Op[None]:
        yield from Call(handler, contexts_for=Face())

    async def main() -> None:
        runtime = AsyncioRuntime()
        task = asyncio.create_task(run_async(op(), async_ports(runtime=runtime, transport=Hanging(asyncio.Event))))
        await asyncio.to_thread(running.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        cancelled.set()
        await asyncio.to_thread(ended.wait, 20)
        runtime.close()

    asyncio.run(main())
    assert [type(error) for error in outcome] == [asyncio.CancelledError]
    assert closed == []


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_cancelled_leader_leaves_the_shared_fetch_to_a_waiter(loop):
    """The first is cancelled in flight; of two that wait, one asks anew and the other joins it."""
    asked: list[str] = []
    statuses: list[int] = []

    def op() -> Op[None]:
        statuses.append((yield from Fetch(PAGE, share="page")).status)

    class FirstHangs:
        checks_addresses = "enforced"

        def __init__(self, event, checkpoint) -> None:
            self.asked = event()
            self._never = event()
            self._checkpoint = checkpoint

        async def send(self, request: Request, /) -> Response:
            asked.append(request.url)
            if len(asked) == 1:
                self.asked.set()
                await self._never.wait()
            await self._checkpoint()
            return Response(200)

        async def aclose(self) -> None: ...

    async def on_asyncio() -> None:
        runtime, web = AsyncioRuntime(), FirstHangs(asyncio.Event, lambda: asyncio.sleep(0))
        ports = async_ports(runtime=runtime, transport=web)
        leader = asyncio.create_task(run_async(op(), ports))
        await web.asked.wait()
        waiter = asyncio.create_task(run_async(op(), ports))
        other = asyncio.create_task(run_async(op(), ports))
        await asyncio.sleep(0)
        leader.cancel()
        await asyncio.gather(waiter, other)

    async def on_trio() -> None:
        web = FirstHangs(trio.Event, trio.lowlevel.checkpoint)
        ports = async_ports(runtime=TrioRuntime(), transport=web)
        leader = trio.CancelScope()

        async def led() -> None:
            with leader:
                await run_async(op(), ports)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(led)
            await web.asked.wait()
            nursery.start_soon(run_async, op(), ports)
            nursery.start_soon(run_async, op(), ports)
            await trio.testing.wait_all_tasks_blocked()
            leader.cancel()

    if loop == "asyncio":
        asyncio.run(on_asyncio())
    else:
        trio.run(on_trio)
    assert (len(asked), statuses) == (2, [200, 200])
