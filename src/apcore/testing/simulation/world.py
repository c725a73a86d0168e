"""Simulate many nodes in virtual time, with one seed for everything that happens: `Simulation`.

::

    sim = Simulation(seed, faults=swarm(seed))
    alice = sim.node("https://a.example", boot)  # boot(node) sets node.serve and begins loops
    alice.spawn(publish(), "publish")
    sim.run(for_s=600)  # under faults
    sim.heal()  # everything is up, and there are no more faults
    sim.run_until(everything_arrived, within_s=3600)
    sim.hold(balance() == 400, "nothing is lost and nothing is made")

Operations run unchanged, over the same `Stepper` and the same rules for commits as everywhere. Between any two of their
effects a node may crash, and others run. The same seed with the same code gives the same history, to the last byte of
`Simulation.digest`.

A simulation has no sleep, sockets, event loops or real clock. Handlers of all kinds run; they may wait only for their
context.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from apcore.effects import CallOutcome, Raised
from apcore.errors import RemoteError, Unavailable
from apcore.http import Request, Response
from apcore.ports import Signer
from apcore.testing.simulation.engine import Engine
from apcore.testing.simulation.faults import Faults
from apcore.testing.simulation.network import Network, refusal
from apcore.testing.simulation.nodes import Boot, SimulatedNode

__all__ = ["STEPS_MAX", "Simulation"]

STEPS_MAX: Final = 1_000_000
"""The default limit on the actions of one simulation."""


class Simulation:
    """A world that is determined by one seed."""

    def __init__(self, seed: int, *, faults: Faults | None = None, steps_max: int = STEPS_MAX) -> None:
        self.seed: Final = seed
        self.faults = Faults() if faults is None else faults
        self.engine: Final = Engine(seed, steps_max=steps_max)
        self.nodes: Final[dict[str, SimulatedNode]] = {}
        self.network: Final = Network(self.engine, self.nodes, self._answer)
        self.crashes = 0
        self._bug: BaseException | None = None
        if self.faults.partition_every_s is not None:
            self.engine.after(self.engine.latency_s(self.faults.partition_every_s), self._partition)

    @property
    def digest(self) -> str:
        """Return 32 characters that are equal for equal histories."""
        return self.engine.digest

    def node(self, origin: str, boot: Boot, *, atomic: bool = True, signer: Signer | None = None) -> SimulatedNode:
        """Add a node and start it. Its store is its queue, unless ``atomic`` is False.

        Raises:
            ValueError: There is a node of that origin.
        """
        if origin in self.nodes:
            raise ValueError(f"there is a node at {origin!r} already")
        skew_s = self.engine.random.uniform(-self.faults.skew_s_max, self.faults.skew_s_max)
        node = self.nodes[origin] = SimulatedNode(self, origin, boot, atomic=atomic, signer=signer, skew_s=skew_s)
        node.start()
        return node

    def run(self, *, for_s: float) -> None:
        """Let ``for_s`` of virtual time pass.

        Raises:
            SimulationFailed: A bug appeared, or there were too many actions.
        """
        until_s = self.engine.now_s + for_s
        self._raise_bug()  # a bug of a process that ran as it was spawned
        while self.engine.advance(until_s):
            self._raise_bug()

    def run_until(self, reached: Callable[[], bool], *, within_s: float) -> None:
        """Let time pass until ``reached`` returns True. It is called after every step.

        Raises:
            SimulationFailed: Not reached within ``within_s``, or as for `run`.
        """
        until_s = self.engine.now_s + within_s
        self._raise_bug()
        while not reached():
            if not self.engine.advance(until_s):
                raise self.engine.failure(f"not reached within {within_s} s: {getattr(reached, '__name__', reached)}")
            self._raise_bug()

    def heal(self) -> None:
        """End all faults, mend the network, and start every node that is down."""
        self.engine.note("healed")
        self.faults = Faults()
        self.network.mend_all()
        for node in self.nodes.values():
            node.start()

    def crash(self, node: SimulatedNode) -> None:
        """Crash ``node``, and start it again after a while."""
        if node.is_up:
            self.crashes += 1
            node.crash()
            self.engine.after(self.engine.latency_s(self.faults.down_s), node.start)

    def hold(self, law: bool, words: str) -> None:
        """Fail unless ``law`` is True. The message has the seed and the end of the history.

        Raises:
            SimulationFailed: ``law`` is False.
        """
        if not law:
            raise self.engine.failure(f"does not hold: {words}")

    def broke(self, error: BaseException) -> None:
        """Record a bug, which ends the simulation."""
        self._bug = self._bug or error

    def _raise_bug(self) -> None:
        if self._bug is None:
            return
        if isinstance(self._bug, Exception):
            raise self.engine.failure(f"a bug: {self._bug!r}") from self._bug
        raise self._bug

    def _answer(self, node: SimulatedNode, request: Request, then: Callable[[Response], None]) -> None:
        serve = node.serve
        assert serve is not None

        def ended(outcome: CallOutcome[Any]) -> None:
            if not isinstance(outcome, Raised):
                then(outcome.value)
            elif isinstance(outcome.error, (RemoteError, Unavailable)):
                then(refusal(outcome.error))
            else:
                self.broke(outcome.error)

        node.process(serve(request), f"{request.method} {request.url}", ended)

    def _partition(self) -> None:
        every_s = self.faults.partition_every_s
        if every_s is None:
            return
        if len(self.nodes) > 1:
            one, two = self.engine.random.sample(sorted(self.nodes), 2)
            self.network.cut(one, two)
            self.engine.after(self.engine.latency_s(self.faults.partition_s), partial(self.network.mend, one, two))
        self.engine.after(self.engine.latency_s(every_s), self._partition)
