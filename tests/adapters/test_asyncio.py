"""Check the runtime on asyncio: tasks, threads, and calls from threads to the loop."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.errors import ConnectFailed, ContractError


@pytest.fixture
def runtime():
    asyncio_runtime = AsyncioRuntime(port_threads_max=2, handler_threads_max=2)
    yield asyncio_runtime
    asyncio_runtime.close()


async def ident() -> int:
    return threading.get_ident()


def test_clock_is_utc_and_random_bytes_differ(runtime):
    assert runtime.now().utcoffset().total_seconds() == 0
    assert len({runtime.random_bytes(16) for _ in range(50)}) == 50


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_overlap_answers_in_order_and_within_the_limit(runtime, limit):
    under_way: set[int] = set()
    overlap_max = 0

    async def job(number: int) -> int:
        nonlocal overlap_max
        under_way.add(number)
        overlap_max = max(overlap_max, len(under_way))
        for _ in range(3):
            await asyncio.sleep(0)
        under_way.discard(number)
        return number

    answers = asyncio.run(runtime.overlap([lambda n=n: job(n) for n in range(10)], limit=limit))
    assert (list(answers), overlap_max) == (list(range(10)), min(limit, 10))


def test_threads_are_named_by_lane_and_depth(runtime):
    def name() -> str:
        return threading.current_thread().name

    def nested() -> tuple[str, str]:
        return name(), runtime.from_thread(lambda: runtime.thread(name, lane="handler"))

    async def main():
        return await runtime.thread(name, lane="port"), await runtime.thread(nested, lane="handler")

    port, (outer, inner) = asyncio.run(main())
    assert (port[:-2], outer[:-2], inner[:-2]) == ("apcore-port", "apcore-handler-0", "apcore-handler-1")


def test_context_variables_are_copied_into_threads_but_not_back(runtime):
    variable: ContextVar[str] = ContextVar("variable", default="unset")

    def job() -> str:
        outer_value = variable.get()
        variable.set("inner")
        return outer_value

    async def main() -> tuple[str, str]:
        variable.set("outer")
        return await runtime.thread(job, lane="handler"), variable.get()

    assert asyncio.run(main()) == ("outer", "outer")


def test_from_thread_runs_on_the_loop_and_returns(runtime):
    async def main() -> bool:
        return await runtime.thread(lambda: runtime.from_thread(ident), lane="handler") == threading.get_ident()

    assert asyncio.run(main())


def test_from_thread_raises_errors_unchanged(runtime):
    error = ConnectFailed("nobody there")

    async def fails() -> None:
        raise error

    async def main() -> None:
        await runtime.thread(lambda: runtime.from_thread(fails), lane="handler")

    with pytest.raises(ConnectFailed) as raised:
        asyncio.run(main())
    assert raised.value is error


def test_from_thread_outside_a_worker_thread_is_a_contract_error(runtime):
    with pytest.raises(ContractError, match="outside the worker thread"):
        runtime.from_thread(ident)


def test_from_thread_on_the_loop_is_a_contract_error(runtime):
    async def on_the_loop() -> None:
        runtime.from_thread(ident)

    async def main() -> None:
        await runtime.thread(lambda: runtime.from_thread(on_the_loop), lane="handler")

    with pytest.raises(ContractError, match="outside the worker thread"):
        asyncio.run(main())


def test_job_waiting_for_a_thread_can_be_cancelled(runtime):
    """Keep both threads busy: the third job never starts."""
    started_jobs: list[str] = []
    busy = threading.Semaphore(0)
    release = threading.Event()

    def blocks() -> None:
        busy.release()
        assert release.wait(20)

    async def main() -> None:
        blocked = [asyncio.create_task(runtime.thread(blocks, lane="port")) for _ in range(2)]
        for _ in range(2):
            await asyncio.to_thread(busy.acquire)
        third = asyncio.create_task(runtime.thread(lambda: started_jobs.append("third"), lane="port"))
        await asyncio.sleep(0)
        third.cancel()
        with pytest.raises(asyncio.CancelledError):
            await third
        release.set()
        await asyncio.gather(*blocked)

    asyncio.run(main())
    assert started_jobs == []


def test_cancellation_waits_for_a_started_port_call(runtime):
    started, ends = threading.Event(), []

    def call() -> None:
        started.set()
        release.wait(10)
        ends.append("call")

    release = threading.Event()

    async def main() -> None:
        task = asyncio.create_task(runtime.thread(call, lane="port"))
        await asyncio.to_thread(started.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        ends.append("task")

    asyncio.run(main())
    assert ends == ["call", "task"]


def test_port_call_that_has_not_started_is_cancelled_at_once(runtime):
    release, calls = threading.Event(), []

    async def main() -> None:
        busy = [asyncio.create_task(runtime.thread(lambda: release.wait(10), lane="port")) for _ in range(2)]
        task = asyncio.create_task(runtime.thread(lambda: calls.append(1), lane="port"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        await asyncio.gather(*busy)

    asyncio.run(main())
    assert not calls


def test_one_wake_up_of_the_loop_answers_all_ended_port_calls(runtime):
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert await runtime.thread(lambda: "first", lane="port") == "first"
        wake_ups = []
        schedule = loop.call_soon_threadsafe

        def call_soon_threadsafe(callback, *args, **options):
            wake_ups.append(callback)
            return schedule(callback, *args, **options)

        loop.call_soon_threadsafe = call_soon_threadsafe
        calls = [asyncio.create_task(runtime.thread(lambda number=number: number, lane="port")) for number in range(5)]
        await asyncio.sleep(0)
        answers = runtime._answers[loop]
        while len(answers._calls) < 5:  # the loop stands still meanwhile
            pass
        assert await asyncio.gather(*calls) == [0, 1, 2, 3, 4]
        assert len(wake_ups) == 1

    asyncio.run(main())


def test_port_call_of_a_closed_loop_ends_without_an_error(runtime):
    started, may_end = threading.Event(), threading.Event()

    def job() -> None:
        started.set()
        assert may_end.wait(60)

    loop = asyncio.new_event_loop()
    task = loop.create_task(runtime.thread(job, lane="port"))
    loop.run_until_complete(asyncio.sleep(0))
    assert started.wait(60)
    for _ in range(3):  # the first waits for the call
        task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
    assert task.cancelled()
    loop.close()
    may_end.set()
    assert asyncio.run(runtime.thread(lambda: "answer", lane="port")) == "answer"


def test_shared_job_runs_once_and_shares_its_error(runtime):
    runs: list[str] = []

    async def fails() -> None:
        runs.append("run")
        await asyncio.sleep(0)
        raise ConnectFailed("nobody there")

    async def main():
        return await asyncio.gather(*[runtime.share("key", fails) for _ in range(4)], return_exceptions=True)

    assert [str(error) for error in asyncio.run(main())] == ["nobody there"] * 4
    assert runs == ["run"]


def test_one_runtime_serves_successive_loops(runtime):
    async def main() -> str:
        async def job() -> str:
            await asyncio.sleep(0)
            return await runtime.thread(lambda: "answer", lane="port")

        first, second = await asyncio.gather(runtime.share("key", job), runtime.share("key", job))
        assert first == second
        return first

    assert [asyncio.run(main()) for _ in range(3)] == ["answer"] * 3


def test_closed_runtime_opens_again(runtime):
    async def main() -> int:
        return await runtime.thread(lambda: 1, lane="port")

    assert asyncio.run(main()) == 1
    runtime.close()
    runtime.close()
    assert asyncio.run(main()) == 1
