"""Check the runtime on trio: tasks, threads, and calls from threads to the loop."""

from __future__ import annotations

import threading
from contextvars import ContextVar

import pytest
import trio

from apcore.adapters.trio import TrioRuntime
from apcore.errors import ConnectFailed, ContractError


@pytest.fixture
def runtime():
    return TrioRuntime(port_threads_max=2, handler_threads_max=2)


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
            await trio.lowlevel.checkpoint()
        under_way.discard(number)
        return number

    async def main():
        return await runtime.overlap([lambda n=n: job(n) for n in range(10)], limit=limit)

    assert (list(trio.run(main)), overlap_max) == (list(range(10)), min(limit, 10))


def test_context_variables_are_copied_into_threads_but_not_back(runtime):
    variable: ContextVar[str] = ContextVar("variable", default="unset")

    def job() -> str:
        outer_value = variable.get()
        variable.set("inner")
        return outer_value

    async def main() -> tuple[str, str]:
        variable.set("outer")
        return await runtime.thread(job, lane="handler"), variable.get()

    assert trio.run(main) == ("outer", "outer")


def test_from_thread_runs_on_the_loop_and_returns(runtime):
    async def main() -> bool:
        return await runtime.thread(lambda: runtime.from_thread(ident), lane="handler") == threading.get_ident()

    assert trio.run(main)


def test_from_thread_raises_errors_unchanged(runtime):
    error = ConnectFailed("nobody there")

    async def fails() -> None:
        raise error

    async def main() -> None:
        await runtime.thread(lambda: runtime.from_thread(fails), lane="handler")

    with pytest.raises(ConnectFailed) as raised:
        trio.run(main)
    assert raised.value is error


def test_runtime_error_of_a_job_is_not_a_contract_error(runtime):
    async def fails() -> None:
        raise RuntimeError("of the job")

    async def main() -> None:
        await runtime.thread(lambda: runtime.from_thread(fails), lane="handler")

    with pytest.raises(RuntimeError, match="of the job"):
        trio.run(main)


def test_from_thread_outside_a_worker_thread_is_a_contract_error(runtime):
    with pytest.raises(ContractError, match="outside the worker thread"):
        runtime.from_thread(ident)


def test_from_thread_on_the_loop_is_a_contract_error(runtime):
    async def on_the_loop() -> None:
        runtime.from_thread(ident)

    async def main() -> None:
        await runtime.thread(lambda: runtime.from_thread(on_the_loop), lane="handler")

    with pytest.raises(ContractError, match="outside the worker thread"):
        trio.run(main)


def test_shared_job_runs_once_and_shares_its_error(runtime):
    runs: list[str] = []
    errors: list[str] = []

    async def fails() -> None:
        runs.append("run")
        await trio.lowlevel.checkpoint()
        raise ConnectFailed("nobody there")

    async def share_and_record() -> None:
        try:
            await runtime.share("key", fails)
        except ConnectFailed as error:
            errors.append(str(error))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(share_and_record)

    trio.run(main)
    assert (runs, errors) == (["run"], ["nobody there"] * 4)


def test_one_runtime_serves_two_loops_at_once(runtime):
    """Share the same key on two loops: their jobs are separate."""
    barrier = threading.Barrier(2, timeout=20)
    answers: list[int] = []

    async def job() -> int:
        await trio.to_thread.run_sync(barrier.wait)
        return threading.get_ident()

    async def main() -> None:
        answers.append(await runtime.share("key", job))

    threads = [threading.Thread(target=trio.run, args=(main,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(set(answers)) == 2
