# pyright: reportUnusedCallResult=true
"""`Node`: a federation in a program that waits by waiting."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final, Self, TypeVar, Unpack, cast, overload

import attrs

from apcore.drivers import Observer, Ports, run
from apcore.effects import Op
from apcore.errors import ConfigurationError, Unavailable
from apcore.federation.actors.rotation import Rotation, rotate
from apcore.federation.origins import OriginsLike
from apcore.federation.outbox.send import act
from apcore.federation.pointers import Pointer
from apcore.federation.registration import Federation
from apcore.federation.serving.serve import Elsewhere, Served, serve
from apcore.federation.slots import HANDLER_LIMIT_S, SLOTS, WorkerPolicy
from apcore.federation.unit_of_work import PendingWrite, PublishObject, SendActivity
from apcore.federation.worker import LEASE_S, fail_overdue, handle, origin_of, put_off
from apcore.http import PUBLIC_ONLY, AddressPolicy, Request
from apcore.node.binding import Bound, Data, Factory, NodeOptions, several
from apcore.node.port_urls import entry_point, open_signer, open_store, queue_of
from apcore.node.thread_worker import SequentialWorker, ThreadWorker
from apcore.ports import Enlistable, KvStore, LeasedMessage, MadeKey, MessageQueue, Runtime, Signer, Transport
from apcore.vocab import Reference, View

__all__ = ["Node"]

_LOG: Final = logging.getLogger("apcore.node")

T = TypeVar("T")


class Node(Bound[Data]):
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
        queue: MessageQueue | None = None,
        transport: Transport | None = None,
        signer: Signer | str | None = None,
        runtime: Runtime | None = None,
        addresses: AddressPolicy = PUBLIC_ONLY,
        observer: Observer | None = None,
        slots: int = SLOTS,
        handler_limit_s: float = HANDLER_LIMIT_S,
        lease_s: float = LEASE_S,
    ) -> None:
        held = open_store(store) if isinstance(store, str) else store
        worker = WorkerPolicy(slots=slots, handler_limit_s=handler_limit_s, lease_s=lease_s)
        super().__init__(
            federation, origin, addresses, blocking=True, store=held, has_data=data is not None, worker=worker
        )
        self._data: Any = data
        self._opened = ExitStack()
        if held is not store:
            _ = self._opened.callback(held.close)
        if transport is None:
            transport = cast("Transport", entry_point("apcore.transports", "blocking")())
            _ = self._opened.callback(transport.close)
        self.ports: Final = Ports(
            runtime=cast("Runtime", entry_point("apcore.runtimes", "blocking")()) if runtime is None else runtime,
            store=held,
            queue=queue_of(held) if queue is None else queue,
            transport=transport,
            signer=open_signer(signer or "store:", held) if signer is None or isinstance(signer, str) else signer,
            observer=observer,
            outbound=self.outbound_refusal,
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
        if request.method == "POST" and queue is not None and self._watch.is_due(self.ports.runtime.monotonic_s()):
            with suppress(Unavailable):
                self._watch.judge(queue.depth(self.all_lanes))
        return served

    def reference(self, reference: Reference | str, /) -> Pointer:
        """Bind a reference, so that it can be resolved: asked of its origin once, then kept until it is stale. Binding costs nothing."""
        return Pointer(reference, lambda bound, fresh: self.run(self._resolving(bound, fresh=fresh)))

    def send(self, activity: View, /, *, by: str, to: str | Sequence[str], origin: str | None = None) -> str:
        """Deliver an activity; see `Context.send`. When this returns, it is a fact that it will be delivered. Answers its id."""
        return self._act(SendActivity(activity.document, by, several(to)), origin)

    def publish(
        self,
        object: View,  # noqa: A002 - the field's word
        /,
        *,
        by: str,
        to: str | Sequence[str] | None = None,
        origin: str | None = None,
    ) -> str:
        """Keep an object, announce it in the outbox, deliver it; see `Context.publish`. One commit holds all of it.

        Answers the id under which the object is served from now on.
        """
        return self._act(PublishObject(object.document, by, None if to is None else several(to)), origin)

    def rotate_keys(
        self,
        identifier: str | None,
        /,
        *,
        announce: bool = True,
        keys: Sequence[MadeKey] | None = None,
        origin: str | None = None,
    ) -> Rotation:
        """Replace the keys of our actor; of the instance actor, if ``identifier`` is None. What answers signs from now on.

        The old keys stay published for `KeyPolicy.retire_after_s`, then a worker puts them away. With ``announce``, followers get an Update that is
        signed with the old key. With ``keys``, one RSA and one Ed25519 key that the signer holds already are used, and none are made: keys that
        came with the actor from another server, say.

        Raises:
            ActorUnknown: There is no such actor, or it is gone.
            ContractError: As many generations of its keys are published as `KeyPolicy.generations_max` allows.
            ValueError: ``keys`` are not one of each kind, or were this actor's before.
        """
        with self.entered() as data:
            return self.run(
                rotate(self.site(self.origins.pick(origin), data), identifier, announce=announce, keys=keys)
            )

    def _act(self, note: PendingWrite, origin: str | None) -> str:
        with self.entered() as data:
            [ident] = self.run(act(self.site(self.origins.pick(origin), data), note))
        return ident

    def work(self, *, until_idle: bool = False, limit_s: float | None = None, grace_s: float | None = None) -> int:
        """Work through the queue: process what arrived, plan and make deliveries. Answers how many messages were begun.

        Messages are handled side by side in threads (see `NodeOptions.slots`). A message that takes longer than
        ``handler_limit_s`` has failed, and is tried again later. Python cannot end its thread; what the handler writes
        through its context after that is refused.

        Args:
            until_idle: Return when nothing is due or under way.
            limit_s: Lease nothing more after that many seconds. Without either, it works until `stop` or an interrupt.
            grace_s: How long what is under way may go on after that; then it is handed back to the queue. Without it,
                until it ends.

        Raises:
            ConfigurationError: The node has no origin.
            Unavailable: The queue failed while nothing was under way.
        """
        self._check_works()
        if self.worker_policy.slots == 0:
            return SequentialWorker(self, until_idle=until_idle, limit_s=limit_s).work()
        return ThreadWorker(self, until_idle=until_idle, limit_s=limit_s, grace_s=grace_s).work()

    def handle_leased(self, leased: LeasedMessage, /) -> None:
        """Handle one message that was leased; errors are logged, and the message is tried again later."""
        try:
            origin = self.run(origin_of(leased, self.origins.has))
            if origin is not None:
                with self.entered() as data:
                    self.run(handle(self.site(origin, data), leased))
        except Unavailable as error:
            # The lease runs out, and then another worker handles it.
            _LOG.warning("a message of the lane %r, attempt %d: %s", leased.message.lane, leased.attempt, error)
        except Exception:
            # A message that cannot be handled must not keep the worker from all others.
            _LOG.exception("a message of the lane %r, attempt %d", leased.message.lane, leased.attempt)
            with suppress(Unavailable):
                self.run(put_off(leased))

    def fail_leased(self, leased: LeasedMessage, /) -> None:
        """Record that the handling of one message has taken longer than ``handler_limit_s``."""
        try:
            origin = self.run(origin_of(leased, self.origins.has))
            if origin is not None:
                with self.entered() as data:
                    self.run(fail_overdue(self.site(origin, data), leased, self.worker_policy.handler_limit_s))
        except Exception:
            _LOG.exception(
                "a message of the lane %r, attempt %d, has taken too long", leased.message.lane, leased.attempt
            )
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
        """Stop working, and close what this node opened. Closing twice is fine."""
        self.stop()
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
