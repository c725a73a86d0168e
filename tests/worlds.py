"""Run one operation under the blocking driver, asyncio and trio, with ports that answer the same in all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import Any

import pytest
import trio
from attrs import frozen

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.adapters.trio import TrioRuntime
from apcore.drivers import Ports, async_ports, run, run_async
from apcore.effects import CallOutcome, Op
from apcore.http import Request, Response
from apcore.ports import KeyKind, MadeKey

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


class _Steady:
    """A clock that stands, and predictable random bytes, so that traces can be compared."""

    def now(self) -> datetime:
        return NOON

    def random_bytes(self, count: int, /) -> bytes:
        return b"\x07" * count


class SteadyBlocking(_Steady, BlockingRuntime):
    pass


class SteadyAsyncio(_Steady, AsyncioRuntime):
    pass


class SteadyTrio(_Steady, TrioRuntime):
    pass


class Web:
    """A transport over a table of responses and errors, which records the sent requests."""

    checks_addresses = "enforced"

    def __init__(self, answers: Mapping[str, Response | Exception]) -> None:
        self.answers = dict(answers)
        self.sent: list[str] = []

    def send(self, request: Request, /) -> Response:
        self.sent.append(request.url)
        answer = self.answers[request.url]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        pass


class Keyring:
    """A signer with readable signatures."""

    def sign(self, key_name: str, data: bytes, /) -> bytes:
        return key_name.encode() + b":" + data

    def make_key(self, kind: KeyKind, /) -> MadeKey:
        return MadeKey(f"a {kind} key", kind, b"public")

    def drop_key(self, key_name: str, /) -> bool:
        return False


@frozen
class Verdict:
    returned: Any
    raised: type[BaseException] | None
    words: str
    trace: list[tuple[tuple[int, ...], str, str]]
    """(place, effect, outcome) of each effect, sorted by place."""


class Recorder:
    """An observer that records effects and outcomes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.events: list[tuple[tuple[int, ...], str, str]] = []

    def __call__(self, effect: object, place: tuple[int, ...], /) -> Callable[[CallOutcome[Any]], None]:
        def answered(outcome: CallOutcome[Any]) -> None:
            with self._lock:
                self.events.append((place, _repr_without_addresses(effect), _repr_without_addresses(outcome)))

        return answered


def _repr_without_addresses(value: object) -> str:
    # The repr of the members of an `All` and of functions of a `Call` contains addresses.
    text = repr(value)
    return type(value).__name__ if " at 0x" in text else text


def _blocking(op: Op[Any], ports: dict[str, Any]) -> Any:
    return run(op, Ports(runtime=SteadyBlocking(), **ports))


def _asyncio(op: Op[Any], ports: dict[str, Any]) -> Any:
    runtime = SteadyAsyncio()
    try:
        return asyncio.run(run_async(op, async_ports(runtime=runtime, **ports)))
    finally:
        runtime.close()


def _trio(op: Op[Any], ports: dict[str, Any]) -> Any:
    async def main() -> Any:
        return await run_async(op, async_ports(runtime=SteadyTrio(), **ports))

    return trio.run(main)


WORLDS = {"blocking": _blocking, "asyncio": _asyncio, "trio": _trio}

in_each_world = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
in_each_loop = pytest.mark.parametrize("world", [_asyncio, _trio], ids=["asyncio", "trio"])


def default_ports() -> dict[str, Any]:
    """Return an empty store that is also the queue, a web without pages, and a keyring."""
    store = MemoryStore(clock=NOON.timestamp)
    return {"store": store, "queue": store, "transport": Web({}), "signer": Keyring()}


def verdict(world: Callable[[Op[Any], dict[str, Any]], Any], op: Op[Any], **ports: Any) -> Verdict:
    """Run ``op`` in a world, and return its result or error, and its effects."""
    recorder = Recorder()
    try:
        result = world(op, {**default_ports(), **ports, "observer": recorder})
    except Exception as error:
        return Verdict(None, type(error), str(error), sorted(recorder.events))
    return Verdict(result, None, "", sorted(recorder.events))
