"""Bundle everything that a driver needs: `Ports` and `AsyncPorts`.

Only the runtime is always needed. An operation that needs a missing port gets a `ContractError` that names the port.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from attrs import frozen

from apcore.drivers.commits import is_both
from apcore.drivers.observer import Observer
from apcore.drivers.outcomes import OutboundGuard
from apcore.drivers.threaded_ports import async_queue, async_signer, async_store, async_transport
from apcore.effects import OVERLAP_MAX
from apcore.ports import (
    AsyncAtomicStore,
    AsyncKvStore,
    AsyncMessageQueue,
    AsyncRuntime,
    AsyncSigner,
    AsyncTransport,
    AtomicStore,
    KvStore,
    MessageQueue,
    Runtime,
    Signer,
    Transport,
)

__all__ = ["AsyncPorts", "Ports", "async_ports"]


@frozen(kw_only=True)
class Ports:
    """The ports that `run` drives operations with.

    If ``queue`` is the same object as ``store``, it must be an `AtomicStore`.
    """

    runtime: Runtime
    store: KvStore | AtomicStore | None = None
    queue: MessageQueue | None = None
    transport: Transport | None = None
    signer: Signer | None = None
    observer: Observer | None = None
    outbound: OutboundGuard | None = None
    """Asked about every request before the transport gets it. Without a guard, every request is allowed."""
    overlap_max: int = OVERLAP_MAX
    """The most members of an `All` that overlap, even if an operation sets a higher limit."""
    has_ended: Callable[[], bool] | None = None
    """Asked before every effect. Once it returns True, each effect raises `WorkerEnded`.

    A thread cannot be cancelled. This keeps an abandoned one from using ports that may be closed by now."""


@frozen(kw_only=True)
class AsyncPorts:
    """The ports that `run_async` drives operations with.

    Make one with `async_ports`, which also takes blocking ports.
    """

    runtime: AsyncRuntime
    store: AsyncKvStore | AsyncAtomicStore | None = None
    queue: AsyncMessageQueue | None = None
    transport: AsyncTransport | None = None
    signer: AsyncSigner | None = None
    observer: Observer | None = None
    outbound: OutboundGuard | None = None
    overlap_max: int = OVERLAP_MAX


def async_ports(
    *,
    runtime: AsyncRuntime,
    store: KvStore | AsyncKvStore | None = None,
    queue: MessageQueue | AsyncMessageQueue | None = None,
    transport: Transport | AsyncTransport | None = None,
    signer: Signer | AsyncSigner | None = None,
    observer: Observer | None = None,
    outbound: OutboundGuard | None = None,
    overlap_max: int = OVERLAP_MAX,
) -> AsyncPorts:
    """Bundle ports for `run_async`, blocking ones too.

    A blocking port is called in a worker thread. There are two exceptions: a port that declares ``never_waits = True``
    (the memory store does), and a port that has its own asynchronous twin, made by a method ``asynchronous(runtime)``
    (SQLite does). A store that is also the queue stays one object.
    """
    store_port = None if store is None else async_store(store, runtime)
    queue_port: AsyncMessageQueue | None
    if is_both(store, queue):
        queue_port = cast("AsyncAtomicStore", store_port)
    else:
        queue_port = None if queue is None else async_queue(queue, runtime)
    return AsyncPorts(
        runtime=runtime,
        store=store_port,
        queue=queue_port,
        transport=None if transport is None else async_transport(transport, runtime),
        signer=None if signer is None else async_signer(signer, runtime),
        observer=observer,
        outbound=outbound,
        overlap_max=overlap_max,
    )
