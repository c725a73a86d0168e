"""The runtime on trio: tasks, threads and the way back from them."""

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
            await trio.lowlevel.checkpoint()
        under_way.discard(number)
        return number

    async def main():
        return await runtime.overlap([lambda n=n: job(n) for n in range(10)], limit=limit)

    assert (list(trio.run(main)), most) == (list(range(10)), min(limit, 10))


def test_context_variables_are_carried_over_and_not_back(runtime):
    variable: ContextVar[str] = ContextVar("variable", default="unset")

    def job() -> str:
        seen = variable.get()
        variable.set("inner")
        return seen

    async def main() -> tuple[str, str]:
        variable.set("outer")
        return await runtime.thread(job, lane="handler"), variable.get()

    assert trio.run(main) == ("outer", "outer")


def test_from_thread_runs_on_the_loop_and_answers(runtime):
    async def main() -> bool:
        return await runtime.thread(lambda: runtime.from_thread(ident), lane="handler") == threading.get_ident()

    assert trio.run(main)


def test_errors_cross_the_bridge_as_they_are(runtime):
    error = ConnectFailed("nobody there")

    async def fails() -> None:
        raise error

    async def main() -> None:
        await runtime.thread(lambda: runtime.from_thread(fails), lane="handler")

    with pytest.raises(ConnectFailed) as raised:
        trio.run(main)
    assert raised.value is error


def test_a_runtime_error_of_the_job_is_not_taken_for_a_broken_contract(runtime):
    async def fails() -> None:
        raise RuntimeError("of the job")

    async def main() -> None:
        await runtime.thread(lambda: runtime.from_thread(fails), lane="handler")

    with pytest.raises(RuntimeError, match="of the job"):
        trio.run(main)


def test_a_bridge_used_outside_its_thread_is_a_broken_contract(runtime):
    with pytest.raises(ContractError, match="outside the worker thread"):
        runtime.from_thread(ident)


def test_a_bridge_used_on_the_loop_does_not_wait_for_itself(runtime):
    async def on_the_loop() -> None:
        runtime.from_thread(ident)

    async def main() -> None:
        await runtime.thread(lambda: runtime.from_thread(on_the_loop), lane="handler")

    with pytest.raises(ContractError, match="outside the worker thread"):
        trio.run(main)


def test_shared_jobs_are_joined_and_share_errors(runtime):
    runs: list[str] = []
    errors: list[str] = []

    async def fails() -> None:
        runs.append("run")
        await trio.lowlevel.checkpoint()
        raise ConnectFailed("nobody there")

    async def asks() -> None:
        try:
            await runtime.share("key", fails)
        except ConnectFailed as error:
            errors.append(str(error))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(asks)

    trio.run(main)
    assert (runs, errors) == (["run"], ["nobody there"] * 4)


def test_one_runtime_serves_two_loops_at_once(runtime):
    """The flights of one loop are not those of another."""
    meet = threading.Barrier(2, timeout=20)
    answers: list[int] = []

    async def job() -> int:
        await trio.to_thread.run_sync(meet.wait)
        return threading.get_ident()

    async def main() -> None:
        answers.append(await runtime.share("key", job))

    threads = [threading.Thread(target=trio.run, args=(main,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(set(answers)) == 2
