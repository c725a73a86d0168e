# pyright: reportUnusedCallResult=true
"""`Node` and `AsyncNode`: a federation bound to an origin and to ports.

A federation says how; a node says where, and with what: an origin (or several, or none for a node that only pulls), a store, a queue, a way to
the network, the application's data. The two nodes are thin twins over the same operations.

Stores are named by URL (``sqlite:///social.db``, ``memory:``) and found by entry point, as are the runtime and the transport that a node uses
unless it is given others; so nothing here imports an adapter, and an application imports only those that it uses. Ports that the node opened
are closed with it; ports that were handed to it are not.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from datetime import datetime
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, Final, Generic, Literal, Self, TypeAlias, TypedDict, TypeVar, Unpack, cast, overload

import attrs
from typing_extensions import TypeVar as DefaultTypeVar

from apcore.drive import AsyncPorts, Observer, Ports, async_ports, needed, run, run_async
from apcore.effects import Extend, Op
from apcore.errors import ConfigurationError, RequestError, Unavailable
from apcore.federation.acting import act
from apcore.federation.keys import instance_identity
from apcore.federation.origins import Origins, OriginsLike, bind_origins
from apcore.federation.pointers import AsyncPointer, Pointer, resolved_by
from apcore.federation.registration import Federation
from apcore.federation.scope import Note, Publishing, Sending
from apcore.federation.serving import Elsewhere, Served, serve
from apcore.federation.site import Site
from apcore.federation.worker import LANES, LEASE_S, handle, lease_work, origin_of, put_off, reconcile
from apcore.graph import FetchPolicy, Identity
from apcore.http import PUBLIC_ONLY, AddressPolicy, Origin, Request, parse_url
from apcore.ports import (
    AsyncKvStore,
    AsyncMessageQueue,
    AsyncRuntime,
    AsyncSigner,
    AsyncTransport,
    Depth,
    Enlistable,
    KvStore,
    Leased,
    MessageQueue,
    Runtime,
    Signer,
    Transport,
)
from apcore.vocab import PUBLIC, Document, Reference, View

__all__ = ["AsyncNode", "AsyncNodeOptions", "Node", "NodeOptions", "open_store"]

_WAIT_S: Final = 1.0
RECONCILE_S: Final = 60.0
WATCH_S: Final = 60.0
IDLE_S_MAX: Final = 120.0
_LOG: Final = logging.getLogger(__name__)

T = TypeVar("T")
Data = DefaultTypeVar("Data", default=None)

_Factory: TypeAlias = Callable[[], AbstractContextManager[T]]
_AsyncFactory: TypeAlias = Callable[[], AbstractAsyncContextManager[T]]


def open_store(url: str, /) -> KvStore:
    """Open the store that ``url`` names, by the entry point (group ``apcore.stores``) for its scheme.

    Raises:
        ConfigurationError: No scheme, or no adapter for it is installed.
    """
    scheme, colon, _ = url.partition(":")
    if not colon:
        raise ConfigurationError(f"a store is named by a URL such as sqlite:///social.db, not {url!r:.60}")
    opened: KvStore = _entry_point("apcore.stores", scheme)(url)
    return opened


def _entry_point(group: str, name: str) -> Callable[..., Any]:
    from importlib.metadata import entry_points  # costs as much as the rest of apcore, and is needed once

    found = entry_points(group=group)
    for entry in found:
        if entry.name == name:
            return cast("Callable[..., Any]", entry.load())
    known = ", ".join(sorted({entry.name for entry in found})) or "none"
    raise ConfigurationError(f"no adapter {name!r} in {group}; installed: {known}")


class NodeOptions(TypedDict, total=False):
    """The ports of a `Node`, where the defaults will not do."""

    queue: MessageQueue
    """The queue, if it is not the store itself."""
    transport: Transport
    signer: Signer
    runtime: Runtime
    addresses: AddressPolicy
    """Where requests may go; without it, the public Internet over HTTPS."""
    observer: Observer


class AsyncNodeOptions(TypedDict, total=False):
    """The ports of an `AsyncNode`, where the defaults will not do. Blocking ones are fine."""

    queue: MessageQueue | AsyncMessageQueue
    transport: Transport | AsyncTransport
    signer: Signer | AsyncSigner
    runtime: AsyncRuntime | Literal["asyncio", "trio"]
    """Without it, asked of the event loop that runs when the node is first used."""
    addresses: AddressPolicy
    observer: Observer


class _Bound(Generic[Data]):
    """What both nodes are: a federation, its origins, and whom they may talk to."""

    def __init__(
        self,
        federation: Federation[Data],
        origin: OriginsLike,
        addresses: AddressPolicy,
        *,
        blocking: bool,
        store: KvStore | AsyncKvStore,
    ) -> None:
        if not isinstance(federation, Federation):
            raise ConfigurationError(f"a node is made of a Federation, not {federation!r:.60}")
        self.origins: Final[Origins] = bind_origins(origin, plain_http=addresses.plain_http)
        for finding in federation.bind(blocking=blocking, serves=self.origins.serves, durability=store.durability):
            _LOG.warning("%s", finding.text)
        self.federation: Final = federation
        self.addresses: Final = addresses
        self._watch: Final = _Watch()

    def site(self, origin: Origin | None = None, data: Data | None = None) -> Site:
        """Give what an operation has to know of one of our origins; of the only one, if none is named.

        Raises:
            ValueError: None is named, and there is not exactly one.
        """
        where = self.origins.pick(None) if origin is None else origin
        return Site(federation=self.federation, origin=where, fetching=self._fetching(where), data=data)

    def _fetching(self, where: Origin | None) -> FetchPolicy:
        agent = f"{self.federation.software_name}/{self.federation.software_version}"
        return FetchPolicy(
            addresses=self.addresses,
            user_agent=agent if where is None else f"{agent} (+{where}/)",
            vocabulary=self.federation.vocabulary,
            unknown_contexts=self.federation.unknown_contexts,
        )

    def _resolving(self, reference: Reference, *, fresh: bool) -> Op[Document]:
        """Resolve as the instance actor of the first origin; without an origin, unsigned."""
        where = self.origins.listed[0] if self.origins.listed else None
        asks = _nobody if where is None else partial(instance_identity, self.site(where))
        return resolved_by(reference, policy=self._fetching(where), asks=asks, fresh=fresh)

    def asked_origin(self, request: Request) -> Origin | None:
        """Give the origin that a request is to, if it is one of ours."""
        try:
            origin = parse_url(request.url).origin
        except RequestError:
            return None
        return origin if self.origins.has(origin) else None


def _nobody() -> Op[Identity | None]:
    return None
    yield  # an operation that asks for nothing


class _Watch:
    """Notices that nobody works: what arrives is queued, and what is queued stays. Looks at most once a minute, since counting costs."""

    def __init__(self) -> None:
        self._looked: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        if self._looked is not None and (now - self._looked).total_seconds() < WATCH_S:
            return False
        self._looked = now
        return True

    def judge(self, depth: Depth) -> None:
        waiting_s = depth.oldest_ready_s
        if waiting_s is not None and waiting_s > IDLE_S_MAX:
            _LOG.warning(
                "%d messages are due, the oldest for %.0f s: is there a worker? Start one with `apcore work`, Node.work or worker=True",
                depth.ready,
                waiting_s,
            )


class _Pace:
    """When a worker is to stop, and when to put back on the queue what fell off it: at the start, and every minute."""

    def __init__(self, started: datetime, limit_s: float | None) -> None:
        self._started = started
        self._limit_s = limit_s
        self._reconciled: datetime | None = None

    def is_over(self, now: datetime) -> bool:
        return self._limit_s is not None and (now - self._started).total_seconds() >= self._limit_s

    def is_due(self, now: datetime) -> bool:
        if self._reconciled is not None and (now - self._reconciled).total_seconds() < RECONCILE_S:
            return False
        self._reconciled = now
        return True


def _keep(leased: Sequence[Leased]) -> Op[Sequence[Leased]]:
    """Let leases end later; answers those that were lost."""
    return (yield from Extend(leased, lease_s=LEASE_S))


class Node(_Bound[Data]):
    """A federation in a program that waits by waiting: WSGI, a script, a worker process.

    ``data`` is a value, or a function that gives a context manager, entered for every request and every job.

    Raises:
        ConfigurationError: The origin is none, a store cannot be named so, the federation's `Federation.check` finds something.
    """

    @overload
    def __init__(
        self: Node[None],
        federation: Federation[None],
        origin: OriginsLike = None,
        store: KvStore | str = "memory:",
        **options: Unpack[NodeOptions],
    ) -> None: ...
    @overload
    def __init__(
        self,
        federation: Federation[Data],
        origin: OriginsLike = None,
        store: KvStore | str = "memory:",
        *,
        data: Data | _Factory[Data],
        **options: Unpack[NodeOptions],
    ) -> None: ...
    def __init__(
        self,
        federation: Federation[Any],
        origin: OriginsLike = None,
        store: KvStore | str = "memory:",
        *,
        data: Any = None,
        queue: MessageQueue | None = None,
        transport: Transport | None = None,
        signer: Signer | None = None,
        runtime: Runtime | None = None,
        addresses: AddressPolicy = PUBLIC_ONLY,
        observer: Observer | None = None,
    ) -> None:
        held = open_store(store) if isinstance(store, str) else store
        super().__init__(federation, origin, addresses, blocking=True, store=held)
        self._data: Any = data
        self._opened = ExitStack()
        if held is not store:
            _ = self._opened.callback(held.close)
        if transport is None:
            transport = cast("Transport", _entry_point("apcore.transports", "blocking")())
            _ = self._opened.callback(transport.close)
        self.ports: Final = Ports(
            runtime=cast("Runtime", _entry_point("apcore.runtimes", "blocking")()) if runtime is None else runtime,
            store=held,
            queue=_queue_of(held) if queue is None else queue,
            transport=transport,
            signer=_entry_point("apcore.signers", "store")(held) if signer is None else signer,
            observer=observer,
        )

    def run(self, op: Op[T], /) -> T:
        """Drive an operation to its end with this node's ports."""
        return run(op, self.ports)

    @contextmanager
    def entered(self) -> Generator[Data, None, None]:
        """Enter the application's data for one request or job."""
        if callable(self._data):
            with self._data() as data:  # pyright: ignore[reportUnknownVariableType, reportGeneralTypeIssues]
                yield data
        else:
            yield self._data

    def handle(self, request: Request, *, has_pages: bool = False) -> Served:
        """Answer a request that an adapter has received, or say that it is for elsewhere; see `serve`.

        ``request.url`` has to be the address that the peer meant; an origin that is not ours is elsewhere.
        """
        origin = self.asked_origin(request)
        if origin is None:
            return Elsewhere.NOT_OURS
        with self.entered() as data:
            served = self.run(serve(self.site(origin, data), request, has_pages=has_pages))
        queue = self.ports.queue
        if request.method == "POST" and queue is not None and self._watch.is_due(self.ports.runtime.now()):
            with suppress(Unavailable):
                self._watch.judge(queue.depth(LANES))
        return served

    def reference(self, reference: Reference | str, /) -> Pointer:
        """Bind a reference, so that it can be resolved: asked of its origin once, then kept until it is stale. Binding costs nothing."""
        return Pointer(reference, lambda bound, fresh: self.run(self._resolving(bound, fresh=fresh)))

    def send(self, activity: View, /, *, by: str, to: str | Sequence[str], origin: str | None = None) -> None:
        """Deliver an activity; see `Context.send`. When this returns, it is a fact that it will be delivered."""
        self._act(Sending(activity.document, by, _several(to)), origin)

    def publish(
        self,
        object: View,  # noqa: A002 - the field's word
        /,
        *,
        by: str,
        to: str | Sequence[str] = PUBLIC,
        origin: str | None = None,
    ) -> None:
        """Keep an object, announce it in the outbox, deliver it; see `Context.publish`. One commit holds all of it."""
        self._act(Publishing(object.document, by, _several(to)), origin)

    def _act(self, note: Note, origin: str | None) -> None:
        with self.entered() as data:
            self.run(act(self.site(self.origins.pick(origin), data), note))

    def work(self, *, until_idle: bool = False, limit_s: float | None = None) -> int:
        """Work through the queue: process what arrived, plan and make deliveries. Answers how many messages were handled.

        ``until_idle`` returns when nothing is due; ``limit_s`` returns after that many seconds. Without either it works until interrupted.
        """
        runtime, queue = self.ports.runtime, needed(self.ports.queue, "queue")
        pace = _Pace(runtime.now(), limit_s)
        handled = turn = 0
        while not pace.is_over(runtime.now()):
            if pace.is_due(runtime.now()):
                _ = self.run(reconcile())
            leased = self.run(lease_work(turn))
            turn += 1
            self._handle_all(leased)
            handled += len(leased)
            if not leased and until_idle:
                break
            if not leased:
                queue.wait(LANES, timeout_s=_WAIT_S)
        return handled

    def _handle_all(self, leased: Sequence[Leased]) -> None:
        """Handle one after another; those that have waited long keep their leases, or are left to whoever has them by now."""
        runtime = self.ports.runtime
        left: list[Leased] = list(leased)
        since = runtime.now()
        while left:
            now = runtime.now()
            if (now - since).total_seconds() > LEASE_S / 3:
                lost = self.run(_keep(left))
                left, since = [each for each in left if each not in lost], now
            if left:
                self._handle(left.pop(0))

    def _handle(self, leased: Leased) -> None:
        try:
            origin = self.run(origin_of(leased))
            if origin is not None:
                with self.entered() as data:
                    self.run(handle(self.site(origin, data), leased))
        except Unavailable as error:
            # The lease runs out, and then somebody handles it.
            _LOG.warning("a message of the lane %r, attempt %d: %s", leased.message.lane, leased.attempt, error)
        except Exception:
            # One that nobody can handle must not keep the worker from all others.
            _LOG.exception("a message of the lane %r, attempt %d", leased.message.lane, leased.attempt)
            with suppress(Unavailable):
                self.run(put_off(leased))

    @contextmanager
    def enlist(self, connection: object, /) -> Generator[Node[Data], None, None]:
        """Write inside the application's own open transaction on ``connection``: all of it happens when, and if, that commits.

        Raises:
            ConfigurationError: The store is not of a kind that can be enlisted.
            ContractError: The connection is not to this store, or has no suitable transaction open.
        """
        store = self.ports.store
        if not hasattr(store, "enlist"):
            raise ConfigurationError(f"{type(store).__name__} cannot take part in a transaction of yours")
        enlisted = cast("Enlistable", store).enlist(connection)
        node = object.__new__(type(self))
        node.__dict__.update(self.__dict__)
        node.__dict__.update(ports=attrs.evolve(self.ports, store=enlisted, queue=enlisted), _opened=ExitStack())
        yield node

    def close(self) -> None:
        """Close what this node opened. Closing twice is fine."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class AsyncNode(_Bound[Data]):
    """A federation on an event loop, asyncio or trio; otherwise as `Node`. Blocking ports are fine: they work in threads.

    ``data`` may also be a function that gives an asynchronous context manager.
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
        data: Data | _Factory[Data] | _AsyncFactory[Data],
        **options: Unpack[AsyncNodeOptions],
    ) -> None: ...
    def __init__(
        self,
        federation: Federation[Any],
        origin: OriginsLike = None,
        store: KvStore | AsyncKvStore | str = "memory:",
        *,
        data: Any = None,
        queue: MessageQueue | AsyncMessageQueue | None = None,
        transport: Transport | AsyncTransport | None = None,
        signer: Signer | AsyncSigner | None = None,
        runtime: AsyncRuntime | Literal["asyncio", "trio"] | None = None,
        addresses: AddressPolicy = PUBLIC_ONLY,
        observer: Observer | None = None,
    ) -> None:
        self._store = open_store(store) if isinstance(store, str) else store
        super().__init__(federation, origin, addresses, blocking=False, store=self._store)
        self._data: Any = data
        self._owns_store = isinstance(store, str)
        self._queue = queue
        self._transport = transport
        self._signer = signer
        self._runtime = runtime
        self._observer = observer
        self._ports: AsyncPorts | None = None

    @property
    def ports(self) -> AsyncPorts:
        """The ports, bundled when they are first needed: which event loop library is meant shows only then."""
        if self._ports is None:
            name = _loop_library() if self._runtime is None else self._runtime
            runtime = cast("AsyncRuntime", _entry_point("apcore.runtimes", name)()) if isinstance(name, str) else name
            # The transport of the blocking twin serves in threads where the loop's own is not there (trio).
            transport = _entry_point("apcore.transports", "asyncio" if name == "asyncio" else "blocking")
            self._ports = async_ports(
                runtime=runtime,
                store=self._store,
                queue=_queue_of(self._store) if self._queue is None else self._queue,
                transport=transport() if self._transport is None else self._transport,
                signer=self._signer or _store_signer(self._store),
                observer=self._observer,
            )
        return self._ports

    async def run(self, op: Op[T], /) -> T:
        """Drive an operation to its end with this node's ports."""
        return await run_async(op, self.ports)

    @asynccontextmanager
    async def entered(self) -> AsyncGenerator[Data, None]:
        """Enter the application's data for one request or job."""
        if not callable(self._data):
            yield self._data
            return
        manager: Any = self._data()
        if hasattr(manager, "__aenter__"):
            async with manager as data:
                yield data
        else:
            with manager as data:
                yield data

    async def handle(self, request: Request, *, has_pages: bool = False) -> Served:
        """As `Node.handle`."""
        origin = self.asked_origin(request)
        if origin is None:
            return Elsewhere.NOT_OURS
        async with self.entered() as data:
            served = await self.run(serve(self.site(origin, data), request, has_pages=has_pages))
        queue = self.ports.queue
        if request.method == "POST" and queue is not None and self._watch.is_due(self.ports.runtime.now()):
            with suppress(Unavailable):
                self._watch.judge(await queue.depth(LANES))
        return served

    def reference(self, reference: Reference | str, /) -> AsyncPointer:
        """As `Node.reference`."""
        return AsyncPointer(reference, lambda bound, fresh: self.run(self._resolving(bound, fresh=fresh)))

    async def send(self, activity: View, /, *, by: str, to: str | Sequence[str], origin: str | None = None) -> None:
        """As `Node.send`."""
        await self._act(Sending(activity.document, by, _several(to)), origin)

    async def publish(
        self,
        object: View,  # noqa: A002 - the field's word
        /,
        *,
        by: str,
        to: str | Sequence[str] = PUBLIC,
        origin: str | None = None,
    ) -> None:
        """As `Node.publish`."""
        await self._act(Publishing(object.document, by, _several(to)), origin)

    async def _act(self, note: Note, origin: str | None) -> None:
        async with self.entered() as data:
            await self.run(act(self.site(self.origins.pick(origin), data), note))

    async def work(self, *, until_idle: bool = False, limit_s: float | None = None) -> int:
        """As `Node.work`; what was leased together is handled side by side."""
        runtime, queue = self.ports.runtime, needed(self.ports.queue, "queue")
        pace = _Pace(runtime.now(), limit_s)
        handled = turn = 0
        while not pace.is_over(runtime.now()):
            if pace.is_due(runtime.now()):
                _ = await self.run(reconcile())
            leased = await self.run(lease_work(turn))
            turn += 1
            _ = await runtime.overlap([partial(self._handle, each) for each in leased], limit=len(leased) or 1)
            handled += len(leased)
            if not leased and until_idle:
                break
            if not leased:
                await queue.wait(LANES, timeout_s=_WAIT_S)
        return handled

    async def _handle(self, leased: Leased) -> None:
        try:
            origin = await self.run(origin_of(leased))
            if origin is not None:
                async with self.entered() as data:
                    await self.run(handle(self.site(origin, data), leased))
        except Unavailable as error:
            # The lease runs out, and then somebody handles it.
            _LOG.warning("a message of the lane %r, attempt %d: %s", leased.message.lane, leased.attempt, error)
        except Exception:
            _LOG.exception("a message of the lane %r, attempt %d", leased.message.lane, leased.attempt)
            with suppress(Unavailable):
                await self.run(put_off(leased))

    async def aclose(self) -> None:
        """Close what this node opened. Closing twice is fine."""
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


def _several(to: str | Sequence[str]) -> tuple[str, ...]:
    return (to,) if isinstance(to, str) else tuple(to)


def _store_signer(store: Any) -> Signer | None:
    """Give the signer with keys in the store; a store of async methods only cannot hold them for a blocking signer."""
    signer: Signer | None = None if iscoroutinefunction(store.get) else _entry_point("apcore.signers", "store")(store)
    return signer


def _queue_of(store: Any) -> Any:
    """Give the store again if it is also a queue."""
    return store if hasattr(store, "enqueue") else None


def _loop_library() -> Literal["asyncio", "trio"]:
    """Tell which library's loop runs here. Only trio needs asking, and only where somebody imported it."""
    if "trio" not in sys.modules:
        return "asyncio"
    return "trio" if sys.modules["trio"].lowlevel.in_trio_run() else "asyncio"
