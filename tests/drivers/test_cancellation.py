"""Check that cancellation closes the operation, its members, and the operations of its handlers."""

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


class HangingTransport:
    """Answer one URL and never the other; set ``requested`` at the first request for the latter."""

    checks_addresses = "enforced"

    def __init__(self, event: Callable[[], asyncio.Event | trio.Event]) -> None:
        self.requested = event()
        self._never = event()
        self.abandoned = 0

    async def send(self, request: Request, /) -> Response:
        if request == PAGE:
            return Response(200)
        self.requested.set()
        try:
            await self._never.wait()
        except BaseException:
            self.abandoned += 1
            raise
        raise AssertionError

    async def aclose(self) -> None: ...


def fetch_and_record(closed: list[str], request: Request = NEVER, name: str = "op") -> Op[None]:
    try:
        yield from Fetch(request)
    except Exception:  # cancellation is not an answer
        closed.append("answered")
    finally:
        closed.append(name)


def fetch_several(closed: list[str]) -> Op[None]:
    try:
        yield from gather(
            fetch_and_record(closed, PAGE, "first"),
            fetch_and_record(closed, NEVER, "second"),
            fetch_and_record(closed, NEVER, "third"),
        )
    finally:
        closed.append("whole")


class DriverContext:
    def awaiting(self, run):
        return run

    blocking = awaiting


def fetch_in_coroutine(closed: list[str]) -> Op[None]:
    async def handler(run) -> None:
        try:
            await run(fetch_and_record(closed))
        finally:
            closed.append("handler")

    yield from Call(handler, contexts_for=DriverContext())


OPERATIONS: list[tuple[Callable[[list[str]], Op[None]], list[str]]] = [
    (fetch_and_record, ["op"]),
    (fetch_several, ["first", "second", "third", "whole"]),
    (fetch_in_coroutine, ["op", "handler"]),
]


async def cancel_on_asyncio(op: Op[None]) -> HangingTransport:
    runtime, web = AsyncioRuntime(), HangingTransport(asyncio.Event)
    task = asyncio.create_task(run_async(op, async_ports(runtime=runtime, transport=web)))
    await web.requested.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    runtime.close()
    return web


async def cancel_on_trio(op: Op[None]) -> HangingTransport:
    web = HangingTransport(trio.Event)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_async, op, async_ports(runtime=TrioRuntime(), transport=web))
        await web.requested.wait()
        nursery.cancel_scope.cancel()
    return web


@pytest.mark.parametrize(("make_operation", "expected"), OPERATIONS, ids=lambda x: getattr(x, "__name__", None))
def test_cancellation_closes_all_operations_on_asyncio(make_operation, expected):
    closed: list[str] = []
    web = asyncio.run(cancel_on_asyncio(make_operation(closed)))
    assert (sorted(closed), web.abandoned >= 1) == (sorted(expected), True)


@pytest.mark.parametrize(("make_operation", "expected"), OPERATIONS, ids=lambda x: getattr(x, "__name__", None))
def test_cancellation_closes_all_operations_on_trio(make_operation, expected):
    closed: list[str] = []
    web = trio.run(cancel_on_trio, make_operation(closed))
    assert (sorted(closed), web.abandoned >= 1) == (sorted(expected), True)


def fetch_in_thread(closed: list[str], ended: threading.Event) -> Op[None]:
    def handler(run) -> None:
        try:
            run(fetch_and_record(closed))
        finally:
            closed.append("handler")
            ended.set()

    yield from Call(handler, contexts_for=DriverContext())


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_cancellation_closes_operations_of_handlers_in_threads(loop):
    closed: list[str] = []
    ended = threading.Event()
    if loop == "asyncio":
        asyncio.run(cancel_on_asyncio(fetch_in_thread(closed, ended)))
    else:
        trio.run(cancel_on_trio, fetch_in_thread(closed, ended))
    assert ended.wait(20)
    assert sorted(closed) == ["handler", "op"]


def test_handler_that_outlives_its_cancelled_call_gets_no_answers_on_asyncio():
    """Cancel while the handler runs. asyncio does not wait for its thread; trio does, so this cannot happen there."""
    closed: list[str] = []
    running, cancelled, ended = threading.Event(), threading.Event(), threading.Event()
    outcome: list[BaseException] = []

    def handler(run) -> None:
        running.set()
        assert cancelled.wait(20)
        try:
            run(fetch_and_record(closed))
        except BaseException as error:
            outcome.append(error)
        finally:
            ended.set()

    def op() -> Op[None]:
        yield from Call(handler, contexts_for=DriverContext())

    async def main() -> None:
        runtime = AsyncioRuntime()
        task = asyncio.create_task(
            run_async(op(), async_ports(runtime=runtime, transport=HangingTransport(asyncio.Event)))
        )
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
def test_cancelled_leader_leaves_the_shared_fetch_to_a_waiter(loop):
    """Cancel the first fetch in flight: of two waiters, one fetches anew and the other joins it."""
    requested_urls: list[str] = []
    statuses: list[int] = []

    def op() -> Op[None]:
        statuses.append((yield from Fetch(PAGE, share="page")).status)

    class FirstHangs:
        checks_addresses = "enforced"

        def __init__(self, event, checkpoint) -> None:
            self.requested = event()
            self._never = event()
            self._checkpoint = checkpoint

        async def send(self, request: Request, /) -> Response:
            requested_urls.append(request.url)
            if len(requested_urls) == 1:
                self.requested.set()
                await self._never.wait()
            await self._checkpoint()
            return Response(200)

        async def aclose(self) -> None: ...

    async def on_asyncio() -> None:
        runtime, web = AsyncioRuntime(), FirstHangs(asyncio.Event, lambda: asyncio.sleep(0))
        ports = async_ports(runtime=runtime, transport=web)
        leader = asyncio.create_task(run_async(op(), ports))
        await web.requested.wait()
        waiter = asyncio.create_task(run_async(op(), ports))
        other = asyncio.create_task(run_async(op(), ports))
        await asyncio.sleep(0)
        leader.cancel()
        await asyncio.gather(waiter, other)

    async def on_trio() -> None:
        web = FirstHangs(trio.Event, trio.lowlevel.checkpoint)
        ports = async_ports(runtime=TrioRuntime(), transport=web)
        leader = trio.CancelScope()

        async def run_leader() -> None:
            with leader:
                await run_async(op(), ports)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_leader)
            await web.requested.wait()
            nursery.start_soon(run_async, op(), ports)
            nursery.start_soon(run_async, op(), ports)
            await trio.testing.wait_all_tasks_blocked()
            leader.cancel()

    if loop == "asyncio":
        asyncio.run(on_asyncio())
    else:
        trio.run(on_trio)
    assert (len(requested_urls), statuses) == (2, [200, 200])
