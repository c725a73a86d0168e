"""Map every kind of effect to the calls of ports that answer it: the one table that all drivers read.

A blocking port returns the answer, and an async port returns an awaitable. So the same row serves both drivers, and the
simulator. Two kinds of effect are not answered by a port but run further operations (`Composite`): there the drivers
differ, and each has its own function.

To add an effect, define its class in `apcore.effects` and add its row here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, TypeVar

from attrs import frozen

from apcore.drivers.commits import commit_calls
from apcore.drivers.outcomes import guard_calls
from apcore.effects import (
    All,
    Call,
    Commit,
    DropKey,
    Effect,
    Enqueue,
    Extend,
    Fetch,
    Get,
    Lease,
    MakeKey,
    Now,
    RandomBytes,
    Scan,
    Settle,
    Sign,
)
from apcore.errors import ContractError

__all__ = ["EFFECT_TABLE", "PORT_OF_METHOD", "CallSequence", "Composite", "PortCall", "PortName", "require_port"]

P = TypeVar("P")
PortName: TypeAlias = Literal["store", "queue", "transport", "signer", "runtime"]


@frozen
class PortCall:
    """An effect that one call of a port answers."""

    port: PortName
    method: str
    call: Callable[[Any, Any], Any]
    """Called with the effect and the ports. Returns the answer, or an awaitable of it; the ``runtime`` never waits."""


@frozen
class CallSequence:
    """An effect that several calls of ports answer, one after another."""

    port: PortName
    method: str
    """The method of the deciding call. Others may come before or after it."""
    calls: Callable[[Any, Any], Generator[Callable[[], Any], Any, Any]]
    """Called with the effect and the ports. Yields each call, is sent its result, and returns the answer."""


class Composite(Enum):
    """An effect that runs further operations, which each driver does in its own way."""

    CALL = "call"
    """A function of the application, with a context through which it runs operations."""
    ALL = "all"
    """Independent operations, which overlap."""


def require_port(port: P | None, name: str) -> P:
    """Return the port, or raise `ContractError` if it is missing."""
    if port is None:
        raise ContractError(f"this operation needs a {name}, and none was given")
    return port


def _fetch(effect: Fetch, ports: Any) -> Generator[Callable[[], Any], Any, Any]:
    # Only this function hands requests to the transport, so the guard judges every request.
    yield from guard_calls(effect.request, ports.outbound, partial(_read_call, ports))
    send = partial(require_port(ports.transport, "transport").send, effect.request)
    return (yield (send if effect.share is None else partial(ports.runtime.share, effect.share, send)))


def _read_call(ports: Any, effect: Effect[Any]) -> Callable[[], Any]:
    """Return the call that answers an effect of a guard."""
    if not isinstance(effect, Get):
        raise ContractError(f"a guard of outgoing requests may only read the store, and asked for {effect.summary()}")
    return partial(require_port(ports.store, "store").get, effect.keys)


def _get(effect: Get, ports: Any) -> Any:
    return require_port(ports.store, "store").get(effect.keys)


def _scan(effect: Scan, ports: Any) -> Any:
    store = require_port(ports.store, "store")
    return store.scan(effect.prefix, after=effect.after, limit=effect.limit, reverse=effect.reverse)


def _commit(effect: Commit, ports: Any) -> Generator[Callable[[], Any], Any, bool]:
    return commit_calls(effect, require_port(ports.store, "store"), ports.queue)


def _enqueue(effect: Enqueue, ports: Any) -> Any:
    return require_port(ports.queue, "queue").enqueue(effect.messages)


def _lease(effect: Lease, ports: Any) -> Any:
    return require_port(ports.queue, "queue").lease(effect.lanes, limit=effect.limit, lease_s=effect.lease_s)


def _extend(effect: Extend, ports: Any) -> Any:
    return require_port(ports.queue, "queue").extend(effect.leases, lease_s=effect.lease_s)


def _settle(effect: Settle, ports: Any) -> Any:
    return require_port(ports.queue, "queue").settle(effect.settlements)


def _sign(effect: Sign, ports: Any) -> Any:
    return require_port(ports.signer, "signer").sign(effect.key_name, effect.data)


def _make_key(effect: MakeKey, ports: Any) -> Any:
    make = partial(require_port(ports.signer, "signer").make_key, effect.kind)
    return make() if effect.share is None else ports.runtime.share((effect.kind, effect.share), make)


def _drop_key(effect: DropKey, ports: Any) -> Any:
    return require_port(ports.signer, "signer").drop_key(effect.key_name)


def _now(_effect: Now, ports: Any) -> Any:
    return ports.runtime.now()


def _random_bytes(effect: RandomBytes, ports: Any) -> Any:
    return ports.runtime.random_bytes(effect.count)


EFFECT_TABLE: Final = MappingProxyType[type[Effect[Any]], PortCall | CallSequence | Composite](
    {
        Fetch: CallSequence("transport", "send", _fetch),
        Get: PortCall("store", "get", _get),
        Scan: PortCall("store", "scan", _scan),
        Commit: CallSequence("store", "commit", _commit),
        Enqueue: PortCall("queue", "enqueue", _enqueue),
        Lease: PortCall("queue", "lease", _lease),
        Extend: PortCall("queue", "extend", _extend),
        Settle: PortCall("queue", "settle", _settle),
        Sign: PortCall("signer", "sign", _sign),
        MakeKey: PortCall("signer", "make_key", _make_key),
        DropKey: PortCall("signer", "drop_key", _drop_key),
        Now: PortCall("runtime", "now", _now),
        RandomBytes: PortCall("runtime", "random_bytes", _random_bytes),
        Call: Composite.CALL,
        All: Composite.ALL,
    }
)

PORT_OF_METHOD: Final[MappingProxyType[str, PortName]] = MappingProxyType(
    {row.method: row.port for row in EFFECT_TABLE.values() if not isinstance(row, Composite)}
)
"""The port that has a method, for every method in the table."""
