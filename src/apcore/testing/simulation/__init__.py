"""Simulate many nodes in virtual time with seeded faults: one seed, one history.

`sabotaged` and `fault_loop` make an operation fail at each of its effects in turn.
"""

from apcore.testing.simulation.engine import SimulationFailed
from apcore.testing.simulation.faults import Fate, Faults, Odds, swarm
from apcore.testing.simulation.nodes import EPOCH, Boot, Process, SimulatedNode, SimulatedSigner
from apcore.testing.simulation.sabotage import Sabotage, fault_loop, sabotaged
from apcore.testing.simulation.world import Simulation

__all__ = [
    "EPOCH",
    "Boot",
    "Fate",
    "Faults",
    "Odds",
    "Process",
    "Sabotage",
    "SimulatedNode",
    "SimulatedSigner",
    "Simulation",
    "SimulationFailed",
    "fault_loop",
    "sabotaged",
    "swarm",
]
