"""Check `Call` under each driver: threads, nesting deeper than the pools, and refused functions."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import trio

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.adapters.memory import MemoryStore
from apcore.adapters.trio import TrioRuntime
from apcore.drivers import async_ports, run_async
from apcore.effects import Call, Fetch, Get, Now, Op, Returned, gather
from apcore.errors import ContractError
from apcore.http import Request
from worlds import in_each_loop, in_each_world, verdict

PAGE = Request("GET", "https://a.example/page")


class DriverContext:
    """A context that hands the driver's own `run` to its handlers."""

    def blocking(self, run):
        return run

    def awaiting(self, run):
        return run

    def operation(self):
        return None


def call(fn, *args: object, **options: Any) -> Op[object]:
    return (yield from Call(fn, *args, **options))


def read() -> Op[object]:
    return (yield from Get((("k",),)))


def fetch() -> Op[int]:
    return (yield from Fetch(PAGE)).status


async def coroutine(run) -> object:
    return await run(read())


def in_thread(run) -> str:
    return threading.current_thread().name


def test_coroutine_function_is_refused_by_the_blocking_driver():
    from worlds import WORLDS

    outcome = verdict(WORLDS["blocking"], call(coroutine, contexts_for=DriverContext()))
    assert outcome.raised is ContractError
    assert "test_calls.coroutine is a coroutine function, and this driver is blocking" in outcome.words


@in_each_loop
def test_coroutine_function_is_awaited_by_a_loop(world):
    assert verdict(world, call(coroutine, contexts_for=DriverContext())).returned == [None]


@in_each_world
def test_plain_function_that_returns_a_coroutine_is_refused(world):
    outcome = verdict(world, call(lambda: coroutine(None)))
    assert outcome.raised is ContractError
    assert "register an async def" in outcome.words


@in_each_loop
def test_plain_functions_run_in_threads(world):
    own_thread = threading.current_thread().name
    assert verdict(world, call(in_thread, contexts_for=DriverContext())).returned != own_thread


class WaitingStore(MemoryStore):
    """A memory store that does not promise never to wait."""

    never_waits = False


@in_each_world
def test_nested_operation_is_closed_with_its_caller(world):
    closed = []

    def handler(run) -> object:
        def get_and_close() -> Op[None]:
            try:
                yield from Get(((),))
            finally:
                closed.append(True)

        return run(get_and_close())

    assert verdict(world, call(handler, contexts_for=DriverContext())).raised is ValueError
    assert closed == [True]


def nested(depth: int):
    """Build a plain function that calls ``depth`` more plain functions, each through an operation."""

    def fn(run) -> int:
        return 0 if depth == 0 else 1 + run(call(nested(depth - 1), contexts_for=DriverContext()))

    return fn


DEPTH = 12
"""More levels than the two threads of each pool in these tests."""


def nested_calls() -> Op[object]:
    """Occupy every thread of the first pool with a function that needs more of them."""
    return (yield from gather(*[call(nested(DEPTH), contexts_for=DriverContext()) for _ in range(6)], limit=6))


def test_calls_nested_deeper_than_the_pool_do_not_deadlock_on_asyncio():
    runtime = AsyncioRuntime(handler_threads_max=2)
    try:
        assert asyncio.run(run_async(nested_calls(), async_ports(runtime=runtime))) == (Returned(DEPTH),) * 6
    finally:
        runtime.close()


def test_calls_nested_deeper_than_the_pool_do_not_deadlock_on_trio():
    async def main():
        return await run_async(nested_calls(), async_ports(runtime=TrioRuntime(handler_threads_max=2)))

    assert trio.run(main) == (Returned(DEPTH),) * 6


def test_handler_threads_do_not_starve_port_threads():
    def reads_twice() -> Op[object]:
        return (
            yield from gather(
                *[call(lambda run: [run(read()), run(read())], contexts_for=DriverContext()) for _ in range(8)]
            )
        )

    runtime = AsyncioRuntime(handler_threads_max=2, port_threads_max=1)
    try:
        answer = asyncio.run(run_async(reads_twice(), async_ports(runtime=runtime, store=WaitingStore())))
    finally:
        runtime.close()
    assert answer == (Returned([[None], [None]]),) * 8


@in_each_world
def test_blocking_run_can_be_used_repeatedly_in_one_call(world):
    def now() -> Op[object]:
        return (yield from Now())

    outcome = verdict(world, call(lambda run: [run(now()) for _ in range(5)], contexts_for=DriverContext()))
    assert len(set(outcome.returned)) == 1
