"""Simulate the network: a request finds the node of its origin, or is lost on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from apcore.effects import CallOutcome, Raised, Returned
from apcore.errors import ApcoreError, ConnectFailed, FetchTimedOut, NameUnresolved
from apcore.http import Request, Response
from apcore.testing.simulation.driver import Then
from apcore.testing.simulation.engine import Engine
from apcore.testing.simulation.faults import Fate

if TYPE_CHECKING:
    from apcore.testing.simulation.nodes import SimulatedNode

__all__ = ["Network"]

_HOP_S: Final = 0.05
"""How long a message takes on average, one way."""
_SLOW: Final = 100


class Network:
    """The nodes by origin, and the partitions between them."""

    def __init__(self, engine: Engine, nodes: Mapping[str, SimulatedNode], answer: Answer) -> None:
        self._engine = engine
        self._nodes = nodes
        self._answer = answer
        self._cuts: set[frozenset[str]] = set()

    def cut(self, one: str, two: str) -> None:
        """Drop everything between two origins, in both directions, also requests in flight."""
        self._engine.note(f"{one} and {two} lose sight of each other")
        self._cuts.add(frozenset((one, two)))

    def mend(self, one: str, two: str) -> None:
        """Undo `cut`."""
        self._engine.note(f"{one} and {two} see each other")
        self._cuts.discard(frozenset((one, two)))

    def mend_all(self) -> None:
        """Undo every `cut`."""
        self._cuts.clear()

    def send(self, source: str, request: Request, fate: Fate, then: Then) -> None:
        """Carry ``request`` to its origin and the response back.

        ``then`` is called once, by the request's deadline at the latest.
        """
        engine = self._engine
        delay_s = engine.latency_s(_HOP_S) * (_SLOW if fate is Fate.SLOW else 1)
        exchange = _Exchange(then)
        engine.after(
            request.limits.deadline_s, partial(exchange.end, Raised(FetchTimedOut("simulated: no answer came")))
        )
        if fate is Fate.FAILED:
            engine.after(delay_s, partial(exchange.end, Raised(ConnectFailed("simulated: no connection"))))
            return
        if fate is Fate.LATE:
            delay_s += request.limits.deadline_s
        arrive = partial(self._arrive, source, request, exchange, heard=fate is not Fate.LOST)
        engine.after(delay_s, arrive)
        if fate is Fate.TWICE:
            engine.after(delay_s + engine.latency_s(_HOP_S * _SLOW), arrive)

    def _arrive(self, source: str, request: Request, exchange: _Exchange, *, heard: bool) -> None:
        parts = urlsplit(request.url)
        target = self._nodes.get(f"{parts.scheme}://{parts.netloc}")
        if target is None:
            exchange.end(Raised(NameUnresolved(f"simulated: no server at {parts.netloc}")))
        elif frozenset((source, target.origin)) in self._cuts:
            self._engine.note(f"{source} does not reach {target.origin}")
        elif target.serve is None:
            exchange.end(Raised(ConnectFailed(f"simulated: nothing listens at {parts.netloc}")))
        else:
            self._answer(target, request, partial(self._return, source, target.origin, exchange, heard=heard))

    def _return(self, source: str, target: str, exchange: _Exchange, response: Response, *, heard: bool) -> None:
        def arrive() -> None:
            if frozenset((source, target)) not in self._cuts:
                exchange.end(Returned(response))

        if heard:
            self._engine.after(self._engine.latency_s(_HOP_S), arrive)


Answer = Callable[["SimulatedNode", Request, Callable[[Response], None]], None]
"""Let a node answer a request, if it is alive."""


class _Exchange:
    """One request in flight; its first outcome counts."""

    __slots__ = ("_then",)

    def __init__(self, then: Then) -> None:
        self._then: Then | None = then

    def end(self, outcome: CallOutcome[Response]) -> None:
        then, self._then = self._then, None
        if then is not None:
            then(outcome)


def refusal(error: ApcoreError) -> Response:
    """Return the response of a server for an operation that raised ``error``."""
    return Response(error.status_hint, {"content-type": "text/plain"}, error.reason.encode())
