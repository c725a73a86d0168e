"""Drive an operation on an event loop with `run_async`. Only the runtime port knows which event loop library it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from itertools import count
from typing import Any, Final, TypeVar

from apcore.drivers.commits import commit_calls
from apcore.drivers.observer import EffectPath
from apcore.drivers.outcomes import HandlerRaised, check_outbound, not_awaited, unwrapped
from apcore.drivers.port_bundle import AsyncPorts, require_port
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
from apcore.errors import Unavailable
from apcore.handlers import HandlerKind
from apcore.http import Response
from apcore.ports import Entry, LeasedMessage

__all__ = ["run_async"]

T = TypeVar("T")


async def run_async(op: Op[T], ports: AsyncPorts, /) -> T:
    """Drive ``op`` to its end and return its result, as `run` does. Cancellation closes the operation."""
    return await _drive(op, ports, ())


async def _drive(op: Op[T], ports: AsyncPorts, place: EffectPath) -> T:
    step = Stepper(op)
    ask = _ask if ports.observer is None else _ask_observed
    number = 0
    try:
        while (effect := step.wants) is not None:
            failure: Exception | None = None
            answer: object = None
            try:
                answer = await ask(effect, ports, (*place, number))
            except HandlerRaised as raised:
                failure = raised.error
            except Unavailable as error:
                failure = error
            if failure is None:
                step.resume(answer)
            else:
                step.fail(failure)
            number += 1
    finally:
        step.close()
    return step.result


def _ask(effect: Effect[Any], ports: AsyncPorts, place: EffectPath) -> Awaitable[object]:
    return _ANSWERS[type(effect)](effect, ports, place)


async def _ask_observed(effect: Effect[Any], ports: AsyncPorts, place: EffectPath) -> object:
    observer = require_port(ports.observer, "observer")
    answered = observer(effect, place)
    if answered is None:
        return await _ask(effect, ports, place)
    try:
        answer = await _ask(effect, ports, place)
    except HandlerRaised as raised:
        answered(Raised(raised.error))
        raise
    except Exception as error:
        answered(Raised(error))
        raise
    answered(Returned(answer))
    return answer


async def _fetch(effect: Fetch, ports: AsyncPorts, _place: EffectPath) -> Response:
    # Nothing else hands a request to the transport, so nothing leaves that the guard has not let go.
    check_outbound(effect.request, ports.outbound)
    send = partial(require_port(ports.transport, "transport").send, effect.request)
    return await (send() if effect.share is None else ports.runtime.share(effect.share, send))


async def _get(effect: Get, ports: AsyncPorts, _place: EffectPath) -> Sequence[Entry | None]:
    return await require_port(ports.store, "store").get(effect.keys)


async def _scan(effect: Scan, ports: AsyncPorts, _place: EffectPath) -> Sequence[Entry]:
    store = require_port(ports.store, "store")
    return await store.scan(effect.prefix, after=effect.after, limit=effect.limit, reverse=effect.reverse)


async def _commit(effect: Commit, ports: AsyncPorts, _place: EffectPath) -> bool:
    calls = commit_calls(effect, require_port(ports.store, "store"), ports.queue)
    call = next(calls)
    while True:
        try:
            try:
                answer = await call()
            except Unavailable as error:
                call = calls.throw(error)
            else:
                call = calls.send(answer)
        except StopIteration as stop:
            return bool(stop.value)


async def _enqueue(effect: Enqueue, ports: AsyncPorts, _place: EffectPath) -> None:
    await require_port(ports.queue, "queue").enqueue(effect.messages)


async def _lease(effect: Lease, ports: AsyncPorts, _place: EffectPath) -> Sequence[LeasedMessage]:
    return await require_port(ports.queue, "queue").lease(effect.lanes, limit=effect.limit, lease_s=effect.lease_s)


async def _extend(effect: Extend, ports: AsyncPorts, _place: EffectPath) -> Sequence[LeasedMessage]:
    return await require_port(ports.queue, "queue").extend(effect.leases, lease_s=effect.lease_s)


async def _settle(effect: Settle, ports: AsyncPorts, _place: EffectPath) -> Sequence[LeasedMessage]:
    return await require_port(ports.queue, "queue").settle(effect.settlements)


async def _sign(effect: Sign, ports: AsyncPorts, _place: EffectPath) -> bytes:
    return await require_port(ports.signer, "signer").sign(effect.key_name, effect.data)


async def _make_key(effect: MakeKey, ports: AsyncPorts, _place: EffectPath) -> object:
    make = partial(require_port(ports.signer, "signer").make_key, effect.kind)
    return await (make() if effect.share is None else ports.runtime.share((effect.kind, effect.share), make))


async def _drop_key(effect: DropKey, ports: AsyncPorts, _place: EffectPath) -> bool:
    return await require_port(ports.signer, "signer").drop_key(effect.key_name)


async def _now(_effect: Now, ports: AsyncPorts, _place: EffectPath) -> object:
    return ports.runtime.now()


async def _random_bytes(effect: RandomBytes, ports: AsyncPorts, _place: EffectPath) -> bytes:
    return ports.runtime.random_bytes(effect.count)


async def _call(effect: Call[Any], ports: AsyncPorts, place: EffectPath) -> object:
    try:
        return await _CALLS[effect.handler_kind](effect, ports, place)
    except Exception as error:
        raise HandlerRaised(error) from error


async def _call_operation(effect: Call[Any], ports: AsyncPorts, place: EffectPath) -> object:
    face = () if effect.contexts_for is None else (effect.contexts_for.operation(),)
    return await _drive(effect.fn(*face, *effect.args), ports, place)


async def _call_coroutine(effect: Call[Any], ports: AsyncPorts, place: EffectPath) -> object:
    runs = count()

    def drive(op: Op[Any]) -> Coroutine[Any, Any, Any]:
        return _drive(op, ports, (*place, next(runs)))

    face = () if effect.contexts_for is None else (effect.contexts_for.awaiting(drive),)
    return await effect.fn(*face, *effect.args)


async def _call_plain(effect: Call[Any], ports: AsyncPorts, place: EffectPath) -> object:
    runs = count()

    def drive(op: Op[Any]) -> Any:
        return ports.runtime.from_thread(partial(_drive, op, ports, (*place, next(runs))))

    def job() -> CallOutcome[Any]:
        # The future of a thread cannot carry every exception (StopIteration), so it carries an outcome.
        try:
            return Returned(not_awaited(effect.fn(*face, *effect.args), effect.fn))
        except Exception as error:
            return Raised(error)

    face = () if effect.contexts_for is None else (effect.contexts_for.blocking(drive),)
    outcome = await ports.runtime.thread(job, lane="handler")
    if isinstance(outcome, Raised):
        raise outcome.error
    return outcome.value


_CALLS: Final = {
    HandlerKind.OPERATION: _call_operation,
    HandlerKind.COROUTINE: _call_coroutine,
    HandlerKind.PLAIN: _call_plain,
}


async def _all(effect: All, ports: AsyncPorts, place: EffectPath) -> tuple[CallOutcome[Any], ...]:
    jobs = [partial(_member, member, ports, (*place, index)) for index, member in enumerate(effect.members)]
    return unwrapped(await ports.runtime.overlap(jobs, limit=min(effect.limit, ports.overlap_max)))


async def _member(op: Op[Any], ports: AsyncPorts, place: EffectPath) -> CallOutcome[Any]:
    try:
        return Returned(await _drive(op, ports, place))
    except Exception as error:  # `unwrapped` decides, once every member has ended
        return Raised(error)


_ANSWERS: Final[dict[type[Effect[Any]], Callable[[Any, AsyncPorts, EffectPath], Awaitable[object]]]] = {
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
