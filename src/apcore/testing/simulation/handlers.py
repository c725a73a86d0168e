"""Run plain functions and coroutines inside a simulation, one step at a time.

A coroutine handler is driven by hand: each await on its context becomes an operation to run. A plain handler blocks in
its context, so it has a thread. The thread and the simulator pass one baton back and forth, and exactly one of them
runs at any time. So the history does not depend on the operating system's scheduler, and repeats.

In a simulation, a handler may wait only for its context.
"""

from __future__ import annotations

import threading
from collections.abc import Coroutine, Generator
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, Final, Protocol, TypeAlias

from attrs import frozen

from apcore.drivers.outcomes import not_awaited
from apcore.effects import Call, CallOutcome, Op, Raised, Returned
from apcore.errors import ContractError
from apcore.handlers import HandlerKind, handler_name

__all__ = ["Asks", "Ended", "Handler", "handler_of"]

_VANISHING_MAX: Final = 100
"""How often a plain handler of a crashed node may catch the end and continue."""


@frozen
class Asks:
    """The handler needs an operation to be run."""

    op: Op[Any]


@frozen
class Ended:
    """The handler has returned, or raised."""

    outcome: CallOutcome[Any]


Step: TypeAlias = Asks | Ended


class Handler(Protocol):
    """A running handler, between two steps."""

    def go_on(self, answer: CallOutcome[Any] | None, /) -> Step:
        """Run it until its next request or its end; None starts it."""
        ...

    def vanish(self) -> None:
        """End it, because its node has crashed."""
        ...


def handler_of(effect: Call[Any]) -> Handler:
    """Return the handler for the plain or coroutine function of ``effect``."""
    return _Awaited(effect) if effect.handler_kind is HandlerKind.COROUTINE else _Threaded(effect)


@frozen
class _Awaitable:
    op: Op[Any]

    def __await__(self) -> Generator[Any, Any, Any]:
        answer = yield self
        return answer


class _Awaited:
    """A coroutine function."""

    def __init__(self, effect: Call[Any]) -> None:
        context_args = () if effect.contexts_for is None else (effect.contexts_for.awaiting(_ask),)
        self._effect = effect
        self._coroutine: Coroutine[Any, Any, Any] = effect.fn(*context_args, *effect.args)

    def go_on(self, answer: CallOutcome[Any] | None, /) -> Step:
        try:
            if isinstance(answer, Raised):
                awaitable = self._coroutine.throw(answer.error)
            else:
                awaitable = self._coroutine.send(None if answer is None else answer.value)
        except StopIteration as stop:
            return Ended(Returned(stop.value))
        except Exception as error:
            return Ended(Raised(error))
        if isinstance(awaitable, _Awaitable):
            return Asks(awaitable.op)
        self.vanish()
        name = handler_name(self._effect.fn)
        return Ended(Raised(ContractError(f"{name} waits for something other than its context: {awaitable!r:.80}")))

    def vanish(self) -> None:
        try:
            self._coroutine.close()
        except RuntimeError as error:
            # It awaits during its teardown. On a machine without power that would not happen.
            if "ignored GeneratorExit" not in str(error):
                raise


async def _ask(op: Op[Any]) -> Any:
    return await _Awaitable(op)


class _Vanished(BaseException):
    """Thrown into a plain handler of a crashed node."""


class _Threaded:
    """A plain function, in a thread that runs only while the simulator waits for it."""

    def __init__(self, effect: Call[Any]) -> None:
        self._effect = effect
        self._steps: SimpleQueue[Step | BaseException] = SimpleQueue()
        self._answers: SimpleQueue[CallOutcome[Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=copy_context().run, args=(self._main,), daemon=True)

    def go_on(self, answer: CallOutcome[Any] | None, /) -> Step:
        if answer is None:
            self._thread.start()
        else:
            self._answers.put(answer)
        return self._next()

    def vanish(self) -> None:
        for _ in range(_VANISHING_MAX):
            if not self._thread.is_alive():
                return
            self._answers.put(None)
            if isinstance(self._next(), Ended):
                return
        raise ContractError(f"{handler_name(self._effect.fn)} cannot be stopped: it catches everything and asks again")

    def _next(self) -> Step:
        step = self._steps.get()
        if isinstance(step, Asks):
            return step
        self._thread.join()
        if isinstance(step, BaseException):
            raise step
        return step

    def _main(self) -> None:
        effect = self._effect
        context_args = () if effect.contexts_for is None else (effect.contexts_for.blocking(self._run),)
        step: Step | BaseException
        try:
            step = Ended(Returned(not_awaited(effect.fn(*context_args, *effect.args), effect.fn)))
        except Exception as error:
            step = Ended(Raised(error))
        except _Vanished:
            step = Ended(Returned(None))  # there is no receiver any more
        except BaseException as error:
            step = error
        self._steps.put(step)

    def _run(self, op: Op[Any]) -> Any:
        if threading.current_thread() is not self._thread:
            raise ContractError("a blocking context is used outside the worker thread that it was made for")
        self._steps.put(Asks(op))
        answer = self._answers.get()
        if answer is None:
            raise _Vanished
        if isinstance(answer, Raised):
            raise answer.error
        return answer.value
