"""Check the guard of outgoing requests under both drivers: a function, or an operation that reads the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.drivers import Ports, async_ports, run, run_async
from apcore.effects import Fetch, Get, Now, Op
from apcore.errors import ContractError, Refused, RemoteError, StoreUnavailable
from apcore.http import Request, Response
from apcore.ports import Entry, Put, StoreKey

URL = "https://remote.example/1"
KEY = ("rules", "remote.example")


class Web:
    """A network that answers every request, and counts them."""

    checks_addresses = "enforced"
    never_waits = True

    def __init__(self) -> None:
        self.urls: list[str] = []

    def send(self, request: Request, /) -> Response:
        self.urls.append(request.url)
        return Response(200)

    def close(self) -> None:
        pass


class Down(MemoryStore):
    def get(self, keys: Any, /) -> list[Entry | None]:
        raise StoreUnavailable("down")


Answer = tuple[object, list[str]]


def ask_blocking(op: Op[Any], store: MemoryStore, guard: Any) -> Answer:
    web = Web()
    ports = Ports(runtime=BlockingRuntime(), store=store, transport=web, outbound=guard)
    return run(op, ports), web.urls


def ask_asyncio(op: Op[Any], store: MemoryStore, guard: Any) -> Answer:
    async def main() -> Answer:
        web = Web()
        ports = async_ports(runtime=AsyncioRuntime(), store=store, transport=web, outbound=guard)
        return await run_async(op, ports), web.urls

    return asyncio.run(main())


Ask = Callable[[Op[Any], MemoryStore, Any], Answer]
DRIVERS = pytest.mark.parametrize("ask", [ask_blocking, ask_asyncio], ids=["blocking", "asyncio"])


def fetch_or_error(share: str | None = None) -> Op[object]:
    """Return the status of the response, or the error that the operation got at its ``yield``."""
    try:
        return (yield from Fetch(Request("GET", URL), share=share)).status
    except (RemoteError, StoreUnavailable) as error:
        return error


def refuse(request: Request, /) -> RemoteError | None:
    return Refused(request.url)


def allow(request: Request, /) -> RemoteError | None:
    return None


def refuse_stored(request: Request, /) -> Op[RemoteError | None]:
    """Refuse the request if the store has a rule."""
    key: StoreKey = KEY
    [entry] = yield from Get((key,))
    return None if entry is None else Refused(request.url)


def store_with_rule() -> MemoryStore:
    store = MemoryStore()
    assert store.commit((), (Put(KEY, b""),), token=bytes(16))
    return store


@DRIVERS
@pytest.mark.parametrize("share", [None, URL], ids=["alone", "shared"])
@pytest.mark.parametrize(
    ("guard", "store", "is_allowed"),
    [
        (None, MemoryStore(), True),
        (allow, MemoryStore(), True),
        (refuse, MemoryStore(), False),
        (refuse_stored, MemoryStore(), True),
        (refuse_stored, store_with_rule(), False),
    ],
    ids=["no guard", "allows", "refuses", "reads no rule", "reads a rule"],
)
def test_refused_request_is_not_sent_and_the_operation_gets_the_error(
    ask: Ask, share: str | None, guard: Any, store: MemoryStore, is_allowed: bool
) -> None:
    answer, urls = ask(fetch_or_error(share), store, guard)
    assert urls == ([URL] if is_allowed else [])
    assert answer == 200 if is_allowed else isinstance(answer, Refused)


@DRIVERS
def test_nothing_is_sent_while_the_store_of_the_rules_is_down(ask: Ask) -> None:
    answer, urls = ask(fetch_or_error(), Down(), refuse_stored)
    assert isinstance(answer, StoreUnavailable)
    assert urls == []


@DRIVERS
def test_guard_may_handle_an_outage_itself(ask: Ask) -> None:
    def guard(request: Request, /) -> Op[RemoteError | None]:
        try:
            return (yield from refuse_stored(request))
        except StoreUnavailable:
            return Refused("cannot tell")

    answer, urls = ask(fetch_or_error(), Down(), guard)
    assert (str(answer), urls) == ("cannot tell", [])


@DRIVERS
def test_guard_that_does_more_than_read_is_a_bug(ask: Ask) -> None:
    def guard(request: Request, /) -> Op[RemoteError | None]:
        _ = yield from Now()
        return None

    with pytest.raises(ContractError, match="may only read the store, and asked for Now"):
        ask(fetch_or_error(), MemoryStore(), guard)


@DRIVERS
def test_guard_that_reads_needs_a_store(ask: Ask) -> None:
    with pytest.raises(ContractError, match="needs a store"):
        ask(fetch_or_error(), None, refuse_stored)  # type: ignore[arg-type]
