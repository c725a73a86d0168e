# pyright: reportUnusedCallResult=true, reportIncompatibleVariableOverride=false
"""Define `Node`: a federation in a blocking program."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, Final, Self, TypeVar, Unpack, cast, overload

import attrs
from typing_extensions import override

from apcore.drivers import Observer, Ports, require_port, run
from apcore.effects import CallOutcome, Op
from apcore.errors import ConfigurationError, Unavailable, WorkerEnded
from apcore.federation.context import Context
from apcore.federation.jobs import Job, read_job, takes_job
from apcore.federation.origins import HandleHosts, OriginsLike
from apcore.federation.outbox.unit_commit import commit_unit, new_unit
from apcore.federation.pointers import Pointer
from apcore.federation.registration import Federation
from apcore.federation.resolving import PER_HOST, Resolver
from apcore.federation.serving.incoming_request import Elsewhere, IncomingRequest, finish_response
from apcore.federation.serving.serve import Served, serve
from apcore.federation.slots import SLOTS, WorkerPolicy
from apcore.federation.time_limits import HANDLER_LIMIT_S, LEASE_S
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.waiting_methods import BlockingVariant
from apcore.federation.worker import fail_overdue, handle, named_origin, origin_of, put_off
from apcore.http import PUBLIC_ONLY, AddressPolicy, Origin, Request, Response
from apcore.node.binding import NO_JOB, PREPARE_KEY, Bound, Data, Factory, NodeOptions
from apcore.node.host_transactions import driver_connection
from apcore.node.loaders import Loader, check_loaders, with_loaders
from apcore.node.methods import NodeMethods, NodeOperations
from apcore.node.namespaces import in_namespace
from apcore.node.port_urls import entry_point, open_signer, open_store, queue_of
from apcore.node.queue_routing import ALL_WORK, QueuesLike, WorkKind, routed_queue
from apcore.node.single_message import SingleMessageQueue, lease_of
from apcore.node.thread_worker import SequentialWorker, ThreadWorker
from apcore.ports import Enlistable, KvStore, LeasedMessage, Message, MessageQueue, Runtime, Signer, Transport
from apcore.remote import FetchPolicy
from apcore.vocab import Document, Reference

__all__ = ["Node"]

_LOG: Final = logging.getLogger("apcore.node")

T = TypeVar("T")


class Node(BlockingVariant, NodeMethods, Bound[Data]):
    """A federation in a blocking program: WSGI, a script, a worker process.

    `handle` answers requests. `work` runs the listeners, each at least once for an activity.

    ``data`` is a value, or a function that returns a context manager, which is entered for every request and every job.

    Raises:
        ConfigurationError: The origin is invalid, the store's URL is unknown, or `Federation.check` finds an error.
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
        data: Data | Factory[Data],
        **options: Unpack[NodeOptions],
    ) -> None: ...
    def __init__(
        self,
        federation: Federation[Any],
        origin: OriginsLike = None,
        store: KvStore | str = "memory:",
        *,
        data: Any = None,
        queue: MessageQueue | QueuesLike | None = None,
        namespace: str | None = None,
        works: Sequence[WorkKind] = ALL_WORK,
        transport: Transport | None = None,
        loaders: Sequence[Loader] = (),
        signer: Signer | str | None = None,
        runtime: Runtime | None = None,
        addresses: AddressPolicy = PUBLIC_ONLY,
        fetching: FetchPolicy | None = None,
        observer: Observer | None = None,
        handle_host: HandleHosts = None,
        slots: int = SLOTS,
        handler_limit_s: float = HANDLER_LIMIT_S,
        lease_s: float = LEASE_S,
    ) -> None:
        opened_store = open_store(store) if isinstance(store, str) else store
        check_loaders(loaders, blocking=True)
        part: KvStore = in_namespace(opened_store, namespace)
        worker = WorkerPolicy(slots=slots, handler_limit_s=handler_limit_s, lease_s=lease_s)
        own_queue: MessageQueue | None = queue_of(part) if queue is None else routed_queue(queue, namespace)
        super().__init__(
            federation,
            origin,
            addresses,
            fetching=fetching,
            blocking=True,
            store=part,
            has_queue=own_queue is not None,
            has_data=data is not None,
            worker=worker,
            handle_host=handle_host,
            works=works,
        )
        self._data: Any = data
        self._takes_job: Final = takes_job(data)
        self._opened = ExitStack()
        if opened_store is not store:
            _ = self._opened.callback(opened_store.close)
        if transport is None:
            transport = cast("Transport", entry_point("apcore.transports", "blocking")())
            _ = self._opened.callback(transport.close)
        self.ports: Final = Ports(
            runtime=cast("Runtime", entry_point("apcore.runtimes", "blocking")()) if runtime is None else runtime,
            store=part,
            queue=own_queue,
            transport=with_loaders(transport, loaders),
            signer=open_signer(signer or "store:", part) if signer is None or isinstance(signer, str) else signer,
            observer=observer,
            outbound=self.outbound_refusal,
        )

    def run(self, op: Op[T], /) -> T:
        """Drive an operation to its end with this node's ports."""
        return run(op, self.ports)

    def prepare(self) -> None:
        """Open the store: connect, check its server, and bring its tables up to date. `wsgi_app` does this at start.

        Otherwise that happens with the first request or message.

        Raises:
            ConfigurationError: The server's settings or the user's rights are not suitable, or the data is in a newer
                format.
            StoreUnavailable: The store cannot be reached.
        """
        _ = require_port(self.ports.store, "store").get([PREPARE_KEY])

    @override
    def _perform(self, make_op: Callable[[Any], Op[T]], /, *, uses_data: bool, origin: str | None = None) -> T:
        if not uses_data:
            return self.run(make_op(NodeOperations(self, None)))
        with self.entered(Job(origin or self.only_origin)) as data:
            return self.run(make_op(NodeOperations(self, data)))

    @property
    def _scope(self) -> UnitOfWork[Any]:  # type: ignore[override]
        return self.unit_of_work()

    @contextmanager
    def entered(self, job: Job = NO_JOB) -> Generator[Data, None, None]:
        """Enter the application's data for one request or job."""
        if not callable(self._data):
            yield self._data
            return
        manager: Any = self._data(job) if self._takes_job else self._data()
        with manager as data:
            yield data

    @contextmanager
    def context(
        self, origin: str | None = None, /, *, request: Request | None = None
    ) -> Generator[Context[Data], None, None]:
        """Return a context like that of a handler, for code of yours that runs outside of handlers.

        What you note through it (`Context.publish`, `Context.append` ...) is committed together when the ``with`` block
        ends. If the block raises, nothing is written. ``request`` is the request that you are answering, if any.

        Raises:
            ValueError: ``origin`` is not an origin of this node, or missing although there are several.
            StoreBusy: Other writers changed the same records five times in a row.
        """
        own_origin = self.origins.pick(origin)
        with self.entered(Job(str(own_origin), request)) as data:
            scope: UnitOfWork[Data] = self.run(new_unit(self.site(own_origin, data), request))
            yield Context(scope, self.run)
            self.run(commit_unit(self.site(own_origin, data), scope))

    def handle(self, request: Request, *, has_pages: bool = False) -> Served:
        """Answer a request, or return `Elsewhere` if it is for another application; see `serve`.

        ``request.url`` must be the address that the peer used. A request to an origin that is not ours is for another
        application.
        """
        origin = self._origin_of(request)
        if origin is None:
            return Elsewhere.NOT_OURS
        if callable(self._data):
            with self.entered(Job(str(origin), request)) as data:
                served = self.run(serve(self.site(origin, data), request, has_pages=has_pages))
        else:
            served = self.run(serve(self.site(origin, self._data), request, has_pages=has_pages))
        queue = self.ports.queue
        if request.method == "POST" and queue is not None and self._idle_watch.is_due(self.ports.runtime.monotonic_s()):
            with suppress(Unavailable):
                self._idle_watch.judge(queue.depth(self.all_lanes))
        return served

    def respond(self, incoming: IncomingRequest, body: bytes | None = b"", /) -> Served:
        """Answer an incoming request, once its body is read as `IncomingRequest.body_length` says.

        ``body`` is None if the client or the server broke it off.

        The response is ready to be sent: it has its `Content-Length`, and no body if the method is HEAD. `Elsewhere`
        is only returned for requests with an unread body; pass such a request on to your site.
        """
        method = incoming.head.method
        request = incoming.complete(body)
        if isinstance(request, Response):
            return finish_response(request, method)
        served = self.handle(request, has_pages=incoming.has_pages)
        return served if isinstance(served, Elsewhere) else finish_response(served, method)

    @override
    def _monotonic_s(self) -> float:
        return self.ports.runtime.monotonic_s()

    def reference(self, reference: Reference | str, /, *, by: str | None = None, origin: str | None = None) -> Pointer:
        """Bind a reference, so that it can be resolved. Binding costs nothing.

        A document of our own comes from the store or its handler, whoever may see it. Any other is fetched from its
        origin, then cached. Our actor ``by`` signs the requests, or else the instance actor. Copies that were fetched
        for one actor are not used for another.
        """
        return Pointer(reference, self._is_own, partial(self._run_resolver, by=by, origin=origin))

    def resolve_many(
        self, references: Sequence[Reference | str], /, *, per_host: int = PER_HOST, by: str | None = None
    ) -> tuple[CallOutcome[Document], ...]:
        """Resolve references at once, and return one outcome each, in order: the document or the error.

        Of one host, at most ``per_host`` references are resolved at the same time. Equal references are resolved once.

        Raises:
            ValueError: There are more than a thousand references, or ``per_host`` is less than 1.
        """
        outcomes: tuple[CallOutcome[Document], ...] = self._run_resolver(
            lambda resolver: resolver.resolve_many(references, per_host=per_host), with_data=True, by=by
        )
        return outcomes

    def _run_resolver(
        self,
        make_op: Callable[[Resolver], Op[Any]],
        /,
        *,
        with_data: bool,
        by: str | None = None,
        origin: str | None = None,
    ) -> Any:
        if not with_data and by is None and self.federation.document_hook is None:
            return self.run(make_op(self._resolver(origin=origin)))
        with self.entered() as data:  # a handler of the application may make the document
            return self.run(make_op(self._resolver(data, by=by, origin=origin)))

    def work(self, *, until_idle: bool = False, limit_s: float | None = None, grace_s: float | None = None) -> int:
        """Lease messages and handle them: process activities, plan and make deliveries. Return the number of messages.

        Listeners run at least once for each activity: again after a crash, a failure or a lost lease. Their writes
        through the context take effect exactly once. Make other effects idempotent, by `Context.activity_id`; see
        `Federation.on`.

        Messages are handled side by side in threads (see `NodeOptions.slots`). A message that takes longer than
        ``handler_limit_s`` has failed, and is tried again later. Python cannot end its thread, but every write of that
        handler through its context is refused from then on.

        Args:
            until_idle: Return when no message is due or running.
            limit_s: Lease no more messages after this time. Without ``until_idle`` and ``limit_s``, work until `stop`
                or an interrupt.
            grace_s: How long running handlers may go on after that. Then their messages are handed back to the queue.
                Without ``grace_s``, this call waits until they have finished.

        Raises:
            ConfigurationError: The node has no origin.
            Unavailable: The queue failed while no message was running, and ``until_idle`` or ``limit_s`` is given.
                Without them, the worker pauses and goes on: after a second, then twice as long, up to 16 s.
        """
        self._check_works()
        if self.federation.registered_subscriptions:
            self.run(self._subscribing_registered())
        if self.worker_policy.slots == 0:
            return SequentialWorker(self, until_idle=until_idle, limit_s=limit_s).work()
        return ThreadWorker(self, until_idle=until_idle, limit_s=limit_s, grace_s=grace_s).work()

    def handle_leased(self, leased: LeasedMessage, /, *, has_ended: Callable[[], bool] | None = None) -> None:
        """Handle one leased message. Errors are logged, and the message is tried again later.

        Once ``has_ended`` returns True, the handler can use no port any more: its worker has given the message up.
        """
        self._handle_with(leased, self.ports if has_ended is None else attrs.evolve(self.ports, has_ended=has_ended))

    def process(self, message: Message, /, *, attempt: int = 1) -> float | None:
        """Process one message that a platform hands out, such as a serverless queue, without leasing from the queue.

        Return None if the message is done, else the seconds after which the platform should present it again.
        ``attempt`` is how often it was presented, from 1. Errors are logged. New messages go to the node's queue.

        Raises:
            ConfigurationError: The node has no origin.
            ValueError: ``attempt`` is less than 1.
        """
        self._check_works()
        single_queue = SingleMessageQueue(self.ports.queue)
        self._handle_with(lease_of(message, attempt), attrs.evolve(self.ports, queue=single_queue))
        return single_queue.settlements.retry_in_s

    def _handle_with(self, leased: LeasedMessage, ports: Ports) -> None:
        try:
            origin = named_origin(leased, self.origins.has) or run(origin_of(leased, self.origins.has), ports)
            if origin is not None:
                with self.entered(self._job_of(leased, origin)) as data:
                    run(handle(self.site(origin, data), leased), ports)
        except WorkerEnded:
            _LOG.debug("the handler of a message of the lane %r has outlived its worker", leased.message.lane)
        except Unavailable as error:
            # The message is not settled. When its lease ends, another worker handles it.
            _LOG.warning(
                "a message of the lane %r, attempt %d, was not handled, and is handled again when its lease ends: %s",
                leased.message.lane,
                leased.attempt,
                error,
            )
        except Exception:
            # A message that cannot be handled must not keep the worker from all others.
            _LOG.exception("handling a message of the lane %r, attempt %d, failed", leased.message.lane, leased.attempt)
            with suppress(Unavailable):
                run(put_off(leased), ports)

    def _job_of(self, leased: LeasedMessage, origin: Origin) -> Job:
        """Return the job of a message. The activity is read only for a factory of data that takes the job."""
        return self.run(read_job(leased, origin)) if self._takes_job else NO_JOB

    def fail_leased(self, leased: LeasedMessage, /) -> None:
        """Record that the handler of one leased message took longer than ``handler_limit_s``."""
        try:
            origin = self.run(origin_of(leased, self.origins.has))
            if origin is not None:
                with self.entered(self._job_of(leased, origin)) as data:
                    self.run(fail_overdue(self.site(origin, data), leased, self.worker_policy.handler_limit_s))
        except Exception:
            _LOG.exception(
                "a message of the lane %r, attempt %d, took too long, and recording that failed",
                leased.message.lane,
                leased.attempt,
            )
            with suppress(Unavailable):
                self.run(put_off(leased))

    @contextmanager
    def enlist(self, connection: object, /) -> Generator[Node[Data], None, None]:
        """Write inside the application's own open transaction on ``connection``, so that both commit together.

        Pass the connection of the driver (psycopg or sqlite3), Django's ``django.db.connection`` inside ``atomic()``,
        or a session or connection of SQLAlchemy. If that transaction is rolled back, nothing was sent or stored.

        Raises:
            ConfigurationError: The store cannot take part in a transaction.
            ContractError: The connection is not to this store, or has no suitable transaction open.
        """
        store = self.ports.store
        if not hasattr(store, "enlist"):
            raise ConfigurationError(f"{type(store).__name__} cannot take part in a transaction of the application")
        enlisted = cast("Enlistable", store).enlist(driver_connection(connection))
        node = object.__new__(type(self))
        vars(node).update(vars(self))
        vars(node).update(ports=attrs.evolve(self.ports, store=enlisted, queue=enlisted), _opened=ExitStack())
        yield node

    def close(self) -> None:
        """Stop working, and close the ports that this node opened. Closing twice is allowed."""
        self.stop()
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
