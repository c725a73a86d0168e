"""Ports for a plain function that runs on the event loop itself: those that never wait, and in place of the others a refusal.

A question that had to wait could not be taken back half-way: what an event loop has begun to wait for, it wakes, whether or not anyone is still
there. So it is refused before it is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Literal, NoReturn, TypeVar

from attrs import evolve

from apcore.drivers.port_bundle import AsyncPorts
from apcore.errors import ContractError
from apcore.ports import AsyncNursery, AsyncRuntime, AsyncSignal

__all__ = ["inline_ports"]

T = TypeVar("T")


def inline_ports(ports: AsyncPorts, handler: str) -> AsyncPorts:
    """Give ``ports`` for a function on the loop, named ``handler`` to whoever reads of its mistake."""
    refusing = _Refusing(handler)

    def without_waiting(port: Any) -> Any:
        return port if port is None or _never_waits(port) else refusing

    return evolve(
        ports,
        runtime=_OnTheLoop(ports.runtime, refusing),
        store=without_waiting(ports.store),
        queue=without_waiting(ports.queue),
        transport=without_waiting(ports.transport),
        signer=without_waiting(ports.signer),
        overlap_max=1,
    )


def _never_waits(port: Any) -> bool:
    return not isinstance(port, _Refusing) and bool(getattr(port, "never_waits", False))


class _Refusing:
    """Stands for a port that may wait: whatever is asked of it is refused."""

    def __init__(self, handler: str) -> None:
        self._handler = handler

    def refuse(self) -> NoReturn:
        raise ContractError(
            f"{self._handler} is registered inline and asked for something that waits; register it without inline=True"
        )

    def __getattr__(self, name: str) -> NoReturn:
        self.refuse()


class _OnTheLoop:
    """A runtime without threads and without overlap."""

    def __init__(self, runtime: AsyncRuntime, refusing: _Refusing) -> None:
        self._runtime = runtime
        self._refusing = refusing

    def now(self) -> datetime:
        return self._runtime.now()

    def monotonic_s(self) -> float:
        return self._runtime.monotonic_s()

    def random_bytes(self, count: int, /) -> bytes:
        return self._runtime.random_bytes(count)

    def signal(self) -> AsyncSignal:
        self._refusing.refuse()

    def nursery(self) -> AbstractAsyncContextManager[AsyncNursery]:
        self._refusing.refuse()

    async def finish(self, job: Callable[[], Awaitable[None]], /, *, within_s: float) -> None:  # noqa: ARG002
        self._refusing.refuse()

    async def overlap(self, jobs: Sequence[Callable[[], Awaitable[T]]], /, *, limit: int) -> Sequence[T]:  # noqa: ARG002
        return [await job() for job in jobs]

    async def share(self, key: Hashable, job: Callable[[], Awaitable[T]], /) -> T:  # noqa: ARG002
        return await job()

    async def thread(self, job: Callable[[], T], /, *, lane: Literal["port", "wire", "handler"]) -> T:  # noqa: ARG002
        self._refusing.refuse()

    def from_thread(self, job: Callable[[], Awaitable[T]], /) -> T:  # noqa: ARG002
        self._refusing.refuse()
