"""`Call` under loops: threads, nesting deeper than the pools, and refusals."""

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


class Face:
    """A context whose face is the driver itself."""

    def blocking(self, run):
        return run

    def awaiting(self, run):
        return run

    def operation(self):
        return None


def of(fn, *args: object, **options: Any) -> Op[object]:
    return (yield from Call(fn, *args, **options))


def read() -> Op[object]:
    return (yield from Get((("k",),)))


def fetch() -> Op[int]:
    return (yield from Fetch(PAGE)).status


async def coroutine(run) -> object:
    return await run(read())


def in_thread(run) -> str:
    return threading.current_thread().name


def test_a_coroutine_function_is_refused_by_the_blocking_driver():
    from worlds import WORLDS

    told = verdict(WORLDS["blocking"], of(coroutine, contexts_for=Face()))
    assert told.raised is ContractError
    assert "test_calls.coroutine is a coroutine function, and this driver is blocking" in told.words


@in_each_loop
def test_a_coroutine_function_is_awaited(world):
    assert verdict(world, of(coroutine, contexts_for=Face())).returned == [None]


@in_each_world
def test_a_coroutine_function_in_disguise_is_refused(world):
    told = verdict(world, of(lambda: coroutine(None)))
    assert told.raised is ContractError
    assert "register an async def" in told.words


@in_each_loop
def test_plain_functions_run_in_threads(world):
    here = threading.current_thread().name
    assert verdict(world, of(in_thread, contexts_for=Face())).returned != here


class Waiting(MemoryStore):
    """Memory that does not promise anything."""

    never_waits = False


@in_each_world
def test_an_operation_that_is_called_closes_with_its_caller(world):
    closed = []

    def asks(run) -> object:
        def tidies() -> Op[None]:
            try:
                yield from Get(((),))
            finally:
                closed.append(True)

        return run(tidies())

    assert verdict(world, of(asks, contexts_for=Face())).raised is ValueError
    assert closed == [True]


def nested(depth: int):
    """A plain function that calls a plain function that calls ..., each through an operation."""

    def fn(run) -> int:
        return 0 if depth == 0 else 1 + run(of(nested(depth - 1), contexts_for=Face()))

    return fn


DEPTH = 12
"""More than the two threads that each pool has below."""


def many() -> Op[object]:
    """Every thread of the first pool is taken by a function that needs more of them."""
    return (yield from gather(*[of(nested(DEPTH), contexts_for=Face()) for _ in range(6)], limit=6))


def test_plain_functions_nested_deeper_than_the_pools_do_not_wait_for_themselves_on_asyncio():
    runtime = AsyncioRuntime(handler_threads_max=2)
    try:
        assert asyncio.run(run_async(many(), async_ports(runtime=runtime))) == (Returned(DEPTH),) * 6
    finally:
        runtime.close()


def test_plain_functions_nested_deeper_than_the_pools_do_not_wait_for_themselves_on_trio():
    async def main():
        return await run_async(many(), async_ports(runtime=TrioRuntime(handler_threads_max=2)))

    assert trio.run(main) == (Returned(DEPTH),) * 6


def test_ports_in_threads_are_not_starved_by_handlers_in_threads():
    def reads_twice() -> Op[object]:
        return (yield from gather(*[of(lambda run: [run(read()), run(read())], contexts_for=Face()) for _ in range(8)]))

    runtime = AsyncioRuntime(handler_threads_max=2, port_threads_max=1)
    try:
        answer = asyncio.run(run_async(reads_twice(), async_ports(runtime=runtime, store=Waiting())))
    finally:
        runtime.close()
    assert answer == (Returned([[None], [None]]),) * 8


@in_each_world
def test_a_blocking_face_can_be_driven_again_and_again(world):
    def now() -> Op[object]:
        return (yield from Now())

    assert len(set(verdict(world, of(lambda run: [run(now()) for _ in range(5)], contexts_for=Face())).returned)) == 1
