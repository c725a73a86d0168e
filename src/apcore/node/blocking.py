# pyright: reportUnusedCallResult=true
"""`Node`: a federation in a program that waits by waiting."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final, Self, TypeVar, Unpack, cast, overload

import attrs

from apcore.drive import Observer, Ports, needed, run
from apcore.effects import Op
from apcore.errors import ConfigurationError, Unavailable
from apcore.federation.acting import act
from apcore.federation.origins import OriginsLike
from apcore.federation.pointers import Pointer
from apcore.federation.registration import Federation
from apcore.federation.rotation import Rotation, rotate
from apcore.federation.scope import Note, Publishing, Sending
from apcore.federation.serving import Elsewhere, Served, serve
from apcore.federation.worker import LANES, handle, lease_work, origin_of, put_off, reconcile
from apcore.http import PUBLIC_ONLY, AddressPolicy, Request
from apcore.node.binding import WAIT_S, Bound, Data, Factory, NodeOptions, Pace, hand_back, keep_leases, several
from apcore.node.opening import entry_point, open_signer, open_store, queue_of
from apcore.ports import Enlistable, KvStore, Leased, MadeKey, MessageQueue, Runtime, Signer, Transport
from apcore.vocab import Reference, View

__all__ = ["Node"]

_WAITED_S: Final = 4.0
"""Leases that have waited longer are kept before their message is begun: a step of deliveries may take 85 s, and a lease is 90 s."""
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
    ) -> None:
        held = open_store(store) if isinstance(store, str) else store
        super().__init__(federation, origin, addresses, blocking=True, store=held, has_data=data is not None)
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
        if request.method == "POST" and queue is not None and self._watch.is_due(self.ports.runtime.now()):
            with suppress(Unavailable):
                self._watch.judge(queue.depth(LANES))
        return served

    def reference(self, reference: Reference | str, /) -> Pointer:
        """Bind a reference, so that it can be resolved: asked of its origin once, then kept until it is stale. Binding costs nothing."""
        return Pointer(reference, lambda bound, fresh: self.run(self._resolving(bound, fresh=fresh)))

    def send(self, activity: View, /, *, by: str, to: str | Sequence[str], origin: str | None = None) -> str:
        """Deliver an activity; see `Context.send`. When this returns, it is a fact that it will be delivered. Answers its id."""
        return self._act(Sending(activity.document, by, several(to)), origin)

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
        return self._act(Publishing(object.document, by, None if to is None else several(to)), origin)

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

    def _act(self, note: Note, origin: str | None) -> str:
        with self.entered() as data:
            [ident] = self.run(act(self.site(self.origins.pick(origin), data), note))
        return ident

    def work(self, *, until_idle: bool = False, limit_s: float | None = None) -> int:
        """Work through the queue: process what arrived, plan and make deliveries. Answers how many messages were handled.

        ``until_idle`` returns when nothing is due; ``limit_s`` returns after that many seconds. Without either it works until
        it is stopped (`stop`) or interrupted.
        """
        runtime, queue = self.ports.runtime, needed(self.ports.queue, "queue")
        pace = Pace(runtime.now(), limit_s)
        handled = turn = 0
        while not (self._stopped or pace.is_over(runtime.now())):
            if pace.is_due(runtime.now()):
                _ = self.run(reconcile())
            leased = self.run(lease_work(turn))
            turn += 1
            handled += self._handle_all(leased)
            if not leased and until_idle:
                break
            if not leased:
                queue.wait(LANES, timeout_s=WAIT_S)
        return handled

    def _handle_all(self, leased: Sequence[Leased]) -> int:
        """Handle one after another; those that have waited long keep their leases, or are left to whoever has them by now.

        Answers how many it handled.
        """
        runtime = self.ports.runtime
        left: list[Leased] = list(leased)
        since, handled = runtime.now(), 0
        while left and not self._stopped:
            now = runtime.now()
            if (now - since).total_seconds() > _WAITED_S:
                lost = self.run(keep_leases(left))
                left, since = [each for each in left if each not in lost], now
            if left:
                self._handle(left.pop(0))
                handled += 1
        if left:
            with suppress(Unavailable):
                _ = self.run(hand_back(left))
        return handled

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
        """Stop working, and close what this node opened. Closing twice is fine."""
        self.stop()
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
