"""Misuse the kernel: mypy and pyright must refuse exactly the lines marked ``# refused``.

Only pyright must refuse lines marked ``# refused by pyright``.
"""
# pyright: reportUnusedCallResult=true

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.drivers import AsyncPorts, Ports, run, run_async
from apcore.effects import (
    Call,
    Commit,
    Effect,
    Fetch,
    Get,
    MakeKey,
    Now,
    Op,
    RandomBytes,
    Returned,
    Scan,
    Sign,
    gather,
)
from apcore.handlers import operation
from apcore.http import Request, Response
from apcore.ports import Check, Increment, Message, Put

REQUEST = Request("GET", "https://a.example/")


# --- answers have types ---------------------------------------------------------------------------------------------


def wrong_answer() -> Op[str]:
    answer: str = yield from Fetch(REQUEST)  # refused
    return answer


def wrong_result() -> Op[bytes]:
    return (yield from Now())  # refused


def no_such_field() -> Op[int]:
    response = yield from Fetch(REQUEST)
    return response.status_code  # refused


def maybe_absent() -> Op[bytes]:
    [entry] = yield from Get((("k",),))
    return entry.value  # refused


def not_an_effect() -> Op[None]:
    yield 7  # refused


def outcome_is_not_value() -> Op[Response]:
    (outcome,) = yield from gather(fetches())
    return outcome  # refused


def errors_have_no_value() -> Op[Response]:
    (outcome,) = yield from gather(fetches())
    return outcome.value  # refused


def fetches() -> Op[Response]:
    return (yield from Fetch(REQUEST))


def narrowed() -> Op[Response | None]:
    (outcome,) = yield from gather(fetches())
    return outcome.value if isinstance(outcome, Returned) else None


# --- an effect that is made and never yielded -----------------------------------------------------------------------


def made_and_lost() -> Op[None]:
    Fetch(REQUEST)  # refused by pyright
    yield from Enqueued()


def composed_and_lost() -> Op[None]:
    fetches()  # refused by pyright
    yield from Enqueued()


def together_and_lost() -> Op[None]:
    gather(fetches())  # refused by pyright
    yield from Enqueued()


class Enqueued(Effect[None]):
    """Applications must not define effects, but types cannot express this."""


# --- wrong arguments ------------------------------------------------------------------------------------------------

key_is_a_string = Get(("key",))  # refused
key_has_a_number = Get((("key", 1),))  # refused
no_limit = Scan(("a",))  # refused
prefix_is_a_string = Scan("a", limit=1)  # refused
no_token = Commit((), ())  # refused
check_among_writes = Commit((), (Check(("a",), None),), token=b"")  # refused
value_is_text = Put(("a",), "text")  # refused
delta_is_a_float = Increment(("a",), 1.5)  # refused
body_is_text = Message(b"", "lane", "body")  # refused
no_such_key = MakeKey("dsa")  # refused
data_is_text = Sign("key", "data")  # refused
url_is_no_request = Fetch("https://a.example/")  # refused
count_is_text = RandomBytes("16")  # refused
limit_is_text = gather(fetches(), limit="8")  # refused
member_is_a_function = gather(fetches)  # refused
member_is_an_effect = gather(Fetch(REQUEST))  # refused


# --- handlers -------------------------------------------------------------------------------------------------------


def plain(number: int) -> str:
    return str(number)


async def coroutine(number: int) -> float:
    return number / 2


def asking(number: int) -> Op[int]:
    _ = yield from Now()
    return number


def takes_the_coroutine_for_its_answer() -> Op[float]:
    answer: str = yield from Call(coroutine, 1)  # refused
    return float(answer)


def takes_the_plain_answer_for_another() -> Op[int]:
    return (yield from Call(plain, 1))  # refused


not_callable = Call("plain", 1)  # refused
marked_plain = operation(plain)  # refused
marked_coroutine = operation(coroutine)  # refused


# --- drivers --------------------------------------------------------------------------------------------------------

PORTS = Ports(runtime=BlockingRuntime())
result: str = run(asking(1), PORTS)  # refused
function_in_place_of_operation = run(asking, PORTS)  # refused
effect_in_place_of_operation = run(Now(), PORTS)  # refused
async_runtime_in_blocking_ports = Ports(runtime=AsyncioRuntime())  # refused
blocking_store_in_async_ports = AsyncPorts(runtime=AsyncioRuntime(), store=MemoryStore())  # refused
positional_ports = Ports(BlockingRuntime())  # refused


async def forgets_to_await(ports: AsyncPorts) -> int:
    return run_async(asking(1), ports)  # refused


class HalfAStore:
    """A store without commit."""

    durability = "none"

    def get(self, keys: Any, /) -> list[None]:
        return []

    def close(self) -> None: ...


half_a_store = Ports(runtime=BlockingRuntime(), store=HalfAStore())  # refused


def yields_other_things() -> Generator[int, None, None]:
    yield 1


generator_in_place_of_operation = run(yields_other_things(), PORTS)  # refused
