"""Drive an operation with blocking ports: `run`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any, Final, TypeVar

from apcore.drivers.commits import commit_calls
from apcore.drivers.observer import EffectPath
from apcore.drivers.outcomes import HandlerRaised, check_outbound, not_awaited, unwrapped
from apcore.drivers.port_bundle import Ports, require_port
from apcore.drivers.stepper import Stepper
from apcore.effects import (
    All,
    Call,
    CallOutcome,
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
    Op,
    Raised,
    RandomBytes,
    Returned,
    Scan,
    Settle,
    Sign,
)
from apcore.errors import ContractError, Unavailable
from apcore.handlers import HandlerKind, handler_name
from apcore.http import Response
from apcore.ports import Entry, LeasedMessage

__all__ = ["run"]

T = TypeVar("T")


def run(op: Op[T], ports: Ports, /) -> T:
    """Drive ``op`` to its end and return its result.

    An `Unavailable` of a port is thrown into the operation at its ``yield``, and so is a refusal of ``ports.outbound``.
    Any other exception of a port is a bug: the operation is closed, and the exception reaches the caller. The caller
    also gets `ContractError` if a port is missing, or if a `Call` names a coroutine function.

    Raises:
        Exception: Any exception of the operation.
    """
    return _drive(op, ports, ())


def _drive(op: Op[T], ports: Ports, place: EffectPath) -> T:
    step = Stepper(op)
    ask = _ask if ports.observer is None else _ask_observed
    number = 0
    try:
        while (effect := step.wants) is not None:
            failure: Exception | None = None
            answer: object = None
            try:
                answer = ask(effect, ports, (*place, number))
            except HandlerRaised as raised:
                failure = raised.error
            except Unavailable as error:
                failure = error
            # Outside the handlers above, so that the next exception of the operation is not chained to one that it has
            # dealt with.
            if failure is None:
                step.resume(answer)
            else:
                step.fail(failure)
            number += 1
    finally:
        step.close()
    return step.result


def _ask(effect: Effect[Any], ports: Ports, place: EffectPath) -> object:
    return _ANSWERS[type(effect)](effect, ports, place)


def _ask_observed(effect: Effect[Any], ports: Ports, place: EffectPath) -> object:
    observer = require_port(ports.observer, "observer")
    answered = observer(effect, place)
    if answered is None:
        return _ask(effect, ports, place)
    try:
        answer = _ask(effect, ports, place)
    except HandlerRaised as raised:
        answered(Raised(raised.error))
        raise
    except Exception as error:
        answered(Raised(error))
        raise
    answered(Returned(answer))
    return answer


def _fetch(effect: Fetch, ports: Ports, _place: EffectPath) -> Response:
    # Nothing else hands a request to the transport, so nothing leaves that the guard has not let go.
    check_outbound(effect.request, ports.outbound)
    send = partial(require_port(ports.transport, "transport").send, effect.request)
    return send() if effect.share is None else ports.runtime.share(effect.share, send)


def _get(effect: Get, ports: Ports, _place: EffectPath) -> Sequence[Entry | None]:
    return require_port(ports.store, "store").get(effect.keys)


def _scan(effect: Scan, ports: Ports, _place: EffectPath) -> Sequence[Entry]:
    store = require_port(ports.store, "store")
    return store.scan(effect.prefix, after=effect.after, limit=effect.limit, reverse=effect.reverse)


def _commit(effect: Commit, ports: Ports, _place: EffectPath) -> bool:
    calls = commit_calls(effect, require_port(ports.store, "store"), ports.queue)
    call = next(calls)
    while True:
        try:
            try:
                answer = call()
            except Unavailable as error:
                call = calls.throw(error)
            else:
                call = calls.send(answer)
        except StopIteration as stop:
            return bool(stop.value)


def _enqueue(effect: Enqueue, ports: Ports, _place: EffectPath) -> None:
    require_port(ports.queue, "queue").enqueue(effect.messages)


def _lease(effect: Lease, ports: Ports, _place: EffectPath) -> Sequence[LeasedMessage]:
    return require_port(ports.queue, "queue").lease(effect.lanes, limit=effect.limit, lease_s=effect.lease_s)


def _extend(effect: Extend, ports: Ports, _place: EffectPath) -> Sequence[LeasedMessage]:
    return require_port(ports.queue, "queue").extend(effect.leases, lease_s=effect.lease_s)


def _settle(effect: Settle, ports: Ports, _place: EffectPath) -> Sequence[LeasedMessage]:
    return require_port(ports.queue, "queue").settle(effect.settlements)


def _sign(effect: Sign, ports: Ports, _place: EffectPath) -> bytes:
    return require_port(ports.signer, "signer").sign(effect.key_name, effect.data)


def _make_key(effect: MakeKey, ports: Ports, _place: EffectPath) -> object:
    make = partial(require_port(ports.signer, "signer").make_key, effect.kind)
    return make() if effect.share is None else ports.runtime.share((effect.kind, effect.share), make)


def _drop_key(effect: DropKey, ports: Ports, _place: EffectPath) -> bool:
    return require_port(ports.signer, "signer").drop_key(effect.key_name)


def _now(_effect: Now, ports: Ports, _place: EffectPath) -> object:
    return ports.runtime.now()


def _random_bytes(effect: RandomBytes, ports: Ports, _place: EffectPath) -> bytes:
    return ports.runtime.random_bytes(effect.count)


def _call(effect: Call[Any], ports: Ports, place: EffectPath) -> object:
    if effect.handler_kind is HandlerKind.COROUTINE:
        raise ContractError(f"{handler_name(effect.fn)} is a coroutine function, and this driver is blocking")
    try:
        if effect.handler_kind is HandlerKind.OPERATION:
            face = () if effect.contexts_for is None else (effect.contexts_for.operation(),)
            return _drive(effect.fn(*face, *effect.args), ports, place)
        runs = count()

        def drive(op: Op[Any]) -> Any:
            return _drive(op, ports, (*place, next(runs)))

        face = () if effect.contexts_for is None else (effect.contexts_for.blocking(drive),)
        return not_awaited(effect.fn(*face, *effect.args), effect.fn)
    except Exception as error:
        raise HandlerRaised(error) from error


def _all(effect: All, ports: Ports, place: EffectPath) -> tuple[CallOutcome[Any], ...]:
    jobs = [partial(_member, member, ports, (*place, index)) for index, member in enumerate(effect.members)]
    return unwrapped(ports.runtime.overlap(jobs, limit=min(effect.limit, ports.overlap_max)))


def _member(op: Op[Any], ports: Ports, place: EffectPath) -> CallOutcome[Any]:
    try:
        return Returned(_drive(op, ports, place))
    except Exception as error:  # `unwrapped` decides, once every member has ended
        return Raised(error)


_ANSWERS: Final[dict[type[Effect[Any]], Callable[[Any, Ports, EffectPath], object]]] = {
    Fetch: _fetch,
    Get: _get,
    Scan: _scan,
    Commit: _commit,
    Enqueue: _enqueue,
    Lease: _lease,
    Extend: _extend,
    Settle: _settle,
    Sign: _sign,
    MakeKey: _make_key,
    DropKey: _drop_key,
    Now: _now,
    RandomBytes: _random_bytes,
    Call: _call,
    All: _all,
}
