"""The runtime on asyncio: tasks, threads and the way back from them."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.errors import ConnectFailed, ContractError


@pytest.fixture
def runtime():
    made = AsyncioRuntime(port_threads_max=2, handler_threads_max=2)
    yield made
    made.close()


async def ident() -> int:
    return threading.get_ident()


def test_clock_and_randomness(runtime):
    assert runtime.now().utcoffset().total_seconds() == 0
    assert len({runtime.random_bytes(16) for _ in range(50)}) == 50


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_overlap_answers_in_order_and_within_the_limit(runtime, limit):
    under_way: set[int] = set()
    most = 0

    async def job(number: int) -> int:
        nonlocal most
        under_way.add(number)
        most = max(most, len(under_way))
        for _ in range(3):
            await asyncio.sleep(0)
        under_way.discard(number)
        return number

    answers = asyncio.run(runtime.overlap([lambda n=n: job(n) for n in range(10)], limit=limit))
    assert (list(answers), most) == (list(range(10)), min(limit, 10))


def test_threads_are_named_by_lane_and_depth(runtime):
    def name() -> str:
        return threading.current_thread().name

    def nested() -> tuple[str, str]:
        return name(), runtime.from_thread(lambda: runtime.thread(name, lane="handler"))

    async def main():
        return await runtime.thread(name, lane="port"), await runtime.thread(nested, lane="handler")

    port, (outer, inner) = asyncio.run(main())
    assert (port[:-2], outer[:-2], inner[:-2]) == ("apcore-port", "apcore-handler-0", "apcore-handler-1")


def test_context_variables_are_carried_over_and_not_back(runtime):
    variable: ContextVar[str] = ContextVar("variable", default="unset")

    def job() -> str:
        seen = variable.get()
        variable.set("inner")
        return seen

    async def main() -> tuple[str, str]:
        variable.set("outer")
        return await runtime.thread(job, lane="handler"), variable.get()

    assert asyncio.run(main()) == ("outer", "outer")


def test_from_thread_runs_on_the_loop_and_answers(runtime):
    async def main() -> bool:
        return await runtime.thread(lambda: runtime.from_thread(ident), lane="handler") == threading.get_ident()

    assert asyncio.run(main())


def test_errors_cross_the_bridge_as_they_are(runtime):
    error = ConnectFailed("nobody there")

    async def fails() -> None:
        raise error

    async def main() -> None:
        await runtime.thread(lambda: runtime.from_thread(fails), lane="handler")

    with pytest.raises(ConnectFailed) as raised:
        asyncio.run(main())
    assert raised.value is error


def test_a_bridge_used_outside_its_thread_is_a_broken_contract(runtime):
    with pytest.raises(ContractError, match="outside the worker thread"):
        runtime.from_thread(ident)


def test_a_bridge_used_on_the_loop_does_not_wait_for_itself(runtime):
    async def on_the_loop() -> None:
        runtime.from_thread(ident)

    async def main() -> None:
        await runtime.thread(lambda: runtime.from_thread(on_the_loop), lane="handler")

    with pytest.raises(ContractError, match="outside the worker thread"):
        asyncio.run(main())


def test_a_job_that_waits_for_a_thread_can_be_cancelled(runtime):
    """Two threads are busy; the third job never begins."""
    begun: list[str] = []
    busy = threading.Semaphore(0)
    go_on = threading.Event()

    def blocks() -> None:
        busy.release()
        assert go_on.wait(20)

    async def main() -> None:
        blocked = [asyncio.create_task(runtime.thread(blocks, lane="port")) for _ in range(2)]
        for _ in range(2):
            await asyncio.to_thread(busy.acquire)
        third = asyncio.create_task(runtime.thread(lambda: begun.append("third"), lane="port"))
        await asyncio.sleep(0)
        third.cancel()
        with pytest.raises(asyncio.CancelledError):
            await third
        go_on.set()
        await asyncio.gather(*blocked)

    asyncio.run(main())
    assert begun == []


def test_cancellation_waits_for_a_call_of_a_port_that_has_begun(runtime):
    begun, ended = threading.Event(), []

    def call() -> None:
        begun.set()
        release.wait(10)
        ended.append("call")

    release = threading.Event()

    async def main() -> None:
        task = asyncio.create_task(runtime.thread(call, lane="port"))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        ended.append("task")

    asyncio.run(main())
    assert ended == ["call", "task"]


def test_a_call_of_a_port_that_has_not_begun_is_cancelled_at_once(runtime):
    release, called = threading.Event(), []

    async def main() -> None:
        busy = [asyncio.create_task(runtime.thread(lambda: release.wait(10), lane="port")) for _ in range(2)]
        task = asyncio.create_task(runtime.thread(lambda: called.append(1), lane="port"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        await asyncio.gather(*busy)

    asyncio.run(main())
    assert not called


def test_shared_jobs_are_joined_and_share_errors(runtime):
    runs: list[str] = []

    async def fails() -> None:
        runs.append("run")
        await asyncio.sleep(0)
        raise ConnectFailed("nobody there")

    async def main():
        return await asyncio.gather(*[runtime.share("key", fails) for _ in range(4)], return_exceptions=True)

    assert [str(error) for error in asyncio.run(main())] == ["nobody there"] * 4
    assert runs == ["run"]


def test_one_runtime_serves_several_loops_one_after_another(runtime):
    async def main() -> str:
        async def job() -> str:
            await asyncio.sleep(0)
            return await runtime.thread(lambda: "answer", lane="port")

        first, second = await asyncio.gather(runtime.share("key", job), runtime.share("key", job))
        assert first == second
        return first

    assert [asyncio.run(main()) for _ in range(3)] == ["answer"] * 3


def test_a_closed_runtime_opens_again(runtime):
    async def main() -> int:
        return await runtime.thread(lambda: 1, lane="port")

    assert asyncio.run(main()) == 1
    runtime.close()
    runtime.close()
    assert asyncio.run(main()) == 1
