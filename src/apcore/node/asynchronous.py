# pyright: reportUnusedCallResult=true, reportIncompatibleVariableOverride=false
"""Define `AsyncNode`: a federation on an event loop."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, Final, Literal, Self, TypeVar, Unpack, cast, overload

import attrs
from typing_extensions import override

from apcore.drivers import AsyncPorts, Observer, async_ports, require_port, run_async
from apcore.drivers.threaded_ports import store_on_loop
from apcore.effects import CallOutcome, Op
from apcore.errors import ConfigurationError, Unavailable
from apcore.federation.context import AsyncContext
from apcore.federation.jobs import Job, read_job, takes_job
from apcore.federation.origins import HandleHosts, OriginsLike
from apcore.federation.outbox.unit_commit import commit_unit, new_unit
from apcore.federation.pointers import AsyncPointer
from apcore.federation.registration import Federation
from apcore.federation.resolving import PER_HOST, Resolver
from apcore.federation.serving.incoming_request import Elsewhere, IncomingRequest, finish_response
from apcore.federation.serving.serve import Served, serve
from apcore.federation.slots import SLOTS, WorkerPolicy
from apcore.federation.time_limits import HANDLER_LIMIT_S, LEASE_S
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.waiting_methods import AwaitedVariant
from apcore.federation.worker import fail_overdue, handle, named_origin, origin_of, put_off
from apcore.http import PUBLIC_ONLY, AddressPolicy, Origin, Request, Response
from apcore.node.async_worker import AsyncWorker
from apcore.node.binding import NO_JOB, PREPARE_KEY, AsyncFactory, AsyncNodeOptions, Bound, Data, Factory
from apcore.node.host_transactions import async_driver_connection
from apcore.node.loaders import AsyncLoader, Loader, check_loaders, with_async_loaders
from apcore.node.methods import NodeMethods, NodeOperations
from apcore.node.namespaces import in_namespace
from apcore.node.port_urls import entry_point, open_signer, open_store, queue_of
from apcore.node.queue_routing import ALL_WORK, QueuesLike, WorkKind, routed_queue
from apcore.node.single_message import AsyncSingleMessageQueue, lease_of
from apcore.ports import (
    AsyncKvStore,
    AsyncMessageQueue,
    AsyncRuntime,
    AsyncSigner,
    AsyncTransport,
    Enlistable,
    KvStore,
    LeasedMessage,
    Message,
    MessageQueue,
    Signer,
    Transport,
)
from apcore.remote import FetchPolicy
from apcore.vocab import Document, Reference

__all__ = ["AsyncNode"]

_LOG: Final = logging.getLogger("apcore.node")

T = TypeVar("T")


class AsyncNode(AwaitedVariant, NodeMethods, Bound[Data]):
    """A federation on an event loop, asyncio or trio; otherwise like `Node`.

    Blocking ports are fine: they are called in threads. ``data`` may also be a function that returns an asynchronous
    context manager.
    """

    @overload
    def __init__(
        self: AsyncNode[None],
        federation: Federation[None],
        origin: OriginsLike = None,
        store: KvStore | AsyncKvStore | str = "memory:",
        **options: Unpack[AsyncNodeOptions],
    ) -> None: ...
    @overload
    def __init__(
        self,
        federation: Federation[Data],
        origin: OriginsLike = None,
        store: KvStore | AsyncKvStore | str = "memory:",
        *,
        data: Data | Factory[Data] | AsyncFactory[Data],
        **options: Unpack[AsyncNodeOptions],
    ) -> None: ...
    def __init__(
        self,
        federation: Federation[Any],
        origin: OriginsLike = None,
        store: KvStore | AsyncKvStore | str = "memory:",
        *,
        data: Any = None,
        queue: MessageQueue | AsyncMessageQueue | QueuesLike | None = None,
        namespace: str | None = None,
        works: Sequence[WorkKind] = ALL_WORK,
        transport: Transport | AsyncTransport | None = None,
        loaders: Sequence[Loader | AsyncLoader] = (),
        signer: Signer | AsyncSigner | str | None = None,
        runtime: AsyncRuntime | Literal["asyncio", "trio"] | None = None,
        addresses: AddressPolicy = PUBLIC_ONLY,
        fetching: FetchPolicy | None = None,
        observer: Observer | None = None,
        handle_host: HandleHosts = None,
        slots: int = SLOTS,
        handler_limit_s: float = HANDLER_LIMIT_S,
        lease_s: float = LEASE_S,
    ) -> None:
        self._store = in_namespace(open_store(store) if isinstance(store, str) else store, namespace)
        worker = WorkerPolicy(slots=slots, handler_limit_s=handler_limit_s, lease_s=lease_s)
        self._queue = queue_of(self._store) if queue is None else routed_queue(queue, namespace)
        super().__init__(
            federation,
            origin,
            addresses,
            fetching=fetching,
            blocking=False,
            store=self._store,
            has_queue=self._queue is not None,
            has_data=data is not None,
            worker=worker,
            handle_host=handle_host,
            works=works,
        )
        self._data: Any = data
        self._takes_job: Final = takes_job(data)
        self._owns_store = isinstance(store, str)
        self._transport = transport
        check_loaders(loaders, blocking=False)
        self._loaders = tuple(loaders)
        self._signer = open_signer(signer, self._store) if isinstance(signer, str) else signer
        self._runtime = runtime
        self._observer = observer
        self._ports: AsyncPorts | None = None

    @property
    def ports(self) -> AsyncPorts:
        """The ports. They are created on first use, since only then it is known which event loop library runs."""
        if self._ports is None:
            name = _loop_library() if self._runtime is None else self._runtime
            runtime = cast("AsyncRuntime", entry_point("apcore.runtimes", name)()) if isinstance(name, str) else name
            # The asyncio transport needs an asyncio loop. Under trio, the blocking transport is called in threads.
            transport = entry_point("apcore.transports", "asyncio" if name == "asyncio" else "blocking")
            self._ports = async_ports(
                runtime=runtime,
                store=self._store,
                queue=self._queue,
                transport=transport() if self._transport is None else self._transport,
                signer=self._signer or _store_signer(self._store),
                observer=self._observer,
                outbound=self.outbound_refusal,
            )
            if self._ports.transport is not None:
                behind_loaders = with_async_loaders(self._ports.transport, self._loaders)
                self._ports = attrs.evolve(self._ports, transport=behind_loaders)
        return self._ports

    async def run(self, op: Op[T], /) -> T:
        """Drive an operation to its end with this node's ports."""
        return await run_async(op, self.ports)

    async def prepare(self) -> None:
        """See `Node.prepare`. `asgi_app` does this at start."""
        _ = await require_port(self.ports.store, "store").get([PREPARE_KEY])

    @override
    async def _perform(self, make_op: Callable[[Any], Op[T]], /, *, uses_data: bool, origin: str | None = None) -> T:
        if not uses_data:
            return await self.run(make_op(NodeOperations(self, None)))
        async with self.entered(Job(origin or self.only_origin)) as data:
            return await self.run(make_op(NodeOperations(self, data)))

    @property
    def _scope(self) -> UnitOfWork[Any]:  # type: ignore[override]
        return self.unit_of_work()

    @asynccontextmanager
    async def entered(self, job: Job = NO_JOB) -> AsyncGenerator[Data, None]:
        """Enter the application's data for one request or job."""
        if not callable(self._data):
            yield self._data
            return
        manager: Any = self._data(job) if self._takes_job else self._data()
        if hasattr(manager, "__aenter__"):
            async with manager as data:
                yield data
        else:
            with manager as data:
                yield data

    @asynccontextmanager
    async def context(
        self, origin: str | None = None, /, *, request: Request | None = None
    ) -> AsyncGenerator[AsyncContext[Data], None]:
        """See `Node.context`."""
        own_origin = self.origins.pick(origin)
        async with self.entered(Job(str(own_origin), request)) as data:
            scope: UnitOfWork[Data] = await self.run(new_unit(self.site(own_origin, data), request))
            yield AsyncContext(scope, self.run)
            await self.run(commit_unit(self.site(own_origin, data), scope))

    async def handle(self, request: Request, *, has_pages: bool = False) -> Served:
        """See `Node.handle`."""
        origin = self._origin_of(request)
        if origin is None:
            return Elsewhere.NOT_OURS
        if callable(self._data):
            async with self.entered(Job(str(origin), request)) as data:
                served = await self.run(serve(self.site(origin, data), request, has_pages=has_pages))
        else:
            served = await self.run(serve(self.site(origin, self._data), request, has_pages=has_pages))
        queue = self.ports.queue
        if request.method == "POST" and queue is not None and self._idle_watch.is_due(self.ports.runtime.monotonic_s()):
            with suppress(Unavailable):
                self._idle_watch.judge(await queue.depth(self.all_lanes))
        return served

    async def respond(self, incoming: IncomingRequest, body: bytes | None = b"", /) -> Served:
        """See `Node.respond`."""
        method = incoming.head.method
        request = incoming.complete(body)
        if isinstance(request, Response):
            return finish_response(request, method)
        served = await self.handle(request, has_pages=incoming.has_pages)
        return served if isinstance(served, Elsewhere) else finish_response(served, method)

    @override
    def _monotonic_s(self) -> float:
        return self.ports.runtime.monotonic_s()

    def reference(
        self, reference: Reference | str, /, *, by: str | None = None, origin: str | None = None
    ) -> AsyncPointer:
        """See `Node.reference`."""
        return AsyncPointer(reference, self._is_own, partial(self._run_resolver, by=by, origin=origin))

    async def resolve_many(
        self, references: Sequence[Reference | str], /, *, per_host: int = PER_HOST, by: str | None = None
    ) -> tuple[CallOutcome[Document], ...]:
        """See `Node.resolve_many`."""
        outcomes: tuple[CallOutcome[Document], ...] = await self._run_resolver(
            lambda resolver: resolver.resolve_many(references, per_host=per_host), with_data=True, by=by
        )
        return outcomes

    async def _run_resolver(
        self,
        make_op: Callable[[Resolver], Op[Any]],
        /,
        *,
        with_data: bool,
        by: str | None = None,
        origin: str | None = None,
    ) -> Any:
        if not with_data and by is None and self.federation.document_hook is None:
            return await self.run(make_op(self._resolver(origin=origin)))
        async with self.entered() as data:
            return await self.run(make_op(self._resolver(data, by=by, origin=origin)))

    async def work(
        self, *, until_idle: bool = False, limit_s: float | None = None, grace_s: float | None = None
    ) -> int:
        """See `Node.work`. Each message is handled in a task of its own.

        Listeners run at least once for each activity. When this call is cancelled, running handlers are cancelled too,
        and their messages go back to the queue.
        """
        self._check_works()
        if self.federation.registered_subscriptions:
            await self.run(self._subscribing_registered())
        return await AsyncWorker(self, until_idle=until_idle, limit_s=limit_s, grace_s=grace_s).work()

    async def handle_leased(self, leased: LeasedMessage, /) -> None:
        """See `Node.handle_leased`."""
        await self._handle_with(leased, self.ports)

    async def process(self, message: Message, /, *, attempt: int = 1) -> float | None:
        """See `Node.process`."""
        self._check_works()
        single_queue = AsyncSingleMessageQueue(self.ports.queue)
        await self._handle_with(lease_of(message, attempt), attrs.evolve(self.ports, queue=single_queue))
        return single_queue.settlements.retry_in_s

    async def _handle_with(self, leased: LeasedMessage, ports: AsyncPorts) -> None:
        try:
            origin = named_origin(leased, self.origins.has)
            origin = origin or await run_async(origin_of(leased, self.origins.has), ports)
            if origin is not None and not callable(self._data):
                await run_async(handle(self.site(origin, self._data), leased), ports)
            elif origin is not None:
                async with self.entered(await self._job_of(leased, origin)) as data:
                    await run_async(handle(self.site(origin, data), leased), ports)
        except Unavailable as error:
            # The message is not settled. When its lease ends, another worker handles it.
            _LOG.warning(
                "a message of the lane %r, attempt %d, was not handled, and is handled again when its lease ends: %s",
                leased.message.lane,
                leased.attempt,
                error,
            )
        except Exception:
            _LOG.exception("handling a message of the lane %r, attempt %d, failed", leased.message.lane, leased.attempt)
            with suppress(Unavailable):
                await run_async(put_off(leased), ports)

    async def _job_of(self, leased: LeasedMessage, origin: Origin) -> Job:
        """Return the job of a message. The activity is read only for a factory of data that takes the job."""
        return await self.run(read_job(leased, origin)) if self._takes_job else NO_JOB

    async def fail_leased(self, leased: LeasedMessage, /) -> None:
        """See `Node.fail_leased`."""
        try:
            origin = await self.run(origin_of(leased, self.origins.has))
            if origin is not None:
                async with self.entered(await self._job_of(leased, origin)) as data:
                    await self.run(fail_overdue(self.site(origin, data), leased, self.worker_policy.handler_limit_s))
        except Exception:
            _LOG.exception(
                "a message of the lane %r, attempt %d, took too long, and recording that failed",
                leased.message.lane,
                leased.attempt,
            )
            with suppress(Unavailable):
                await self.run(put_off(leased))

    @asynccontextmanager
    async def enlist(self, connection: object, /) -> AsyncGenerator[AsyncNode[Data], None]:
        """Write inside the application's own open transaction on ``connection``; see `Node.enlist`.

        For PostgreSQL, pass a ``psycopg.AsyncConnection``, or an ``AsyncSession`` or ``AsyncConnection`` of SQLAlchemy.
        A `sqlite3.Connection` is used on the event loop itself, since SQLite ties it to its thread.
        """
        store: Any = self.ports.store
        driver = await async_driver_connection(connection)
        if hasattr(store, "enlist"):
            enlisted = await store.enlist(driver)
        elif hasattr(self._store, "enlist"):
            enlisted = store_on_loop(cast("Enlistable", self._store).enlist(driver), self.ports.runtime)
        else:
            raise ConfigurationError(
                f"{type(self._store).__name__} cannot take part in a transaction of the application"
            )
        node = object.__new__(type(self))
        vars(node).update(vars(self))
        vars(node).update(
            _ports=attrs.evolve(self.ports, store=enlisted, queue=enlisted),
            _owns_store=False,
            _transport=self.ports.transport,  # which this node goes on owning
        )
        yield node

    async def aclose(self) -> None:
        """Stop working, and close the ports that this node opened. Closing twice is allowed."""
        self.stop()
        if self._ports is None:
            return
        if self._owns_store and self._ports.store is not None:
            await self._ports.store.aclose()
        if self._transport is None and self._ports.transport is not None:
            await self._ports.transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()


def _store_signer(store: Any) -> Signer | None:
    """Return a signer with keys in the store, or None: a blocking signer cannot use a store with only async methods."""
    return None if iscoroutinefunction(store.get) else open_signer("store:", store)


def _loop_library() -> Literal["asyncio", "trio"]:
    """Return the library of the running event loop. It can only be trio if trio was imported."""
    if "trio" not in sys.modules:
        return "asyncio"
    return "trio" if sys.modules["trio"].lowlevel.in_trio_run() else "asyncio"
