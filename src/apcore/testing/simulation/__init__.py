"""Simulate many nodes in virtual time with seeded faults: one seed, one history.

`inject_failure` and `fault_loop` make an operation fail at each of its effects in turn.
"""

from apcore.testing.simulation.engine import SimulationFailed
from apcore.testing.simulation.faults import Fate, Faults, Odds, swarm
from apcore.testing.simulation.injection import InjectedFailure, fault_loop, inject_failure
from apcore.testing.simulation.nodes import (
    EPOCH as EPOCH,
    Boot,
    Process,
    SimulatedNode,
    SimulatedSigner,
)
from apcore.testing.simulation.server import SimulatedServer
from apcore.testing.simulation.world import Simulation

__all__ = [
    "Boot",
    "Fate",
    "Faults",
    "InjectedFailure",
    "Odds",
    "Process",
    "SimulatedNode",
    "SimulatedServer",
    "SimulatedSigner",
    "Simulation",
    "SimulationFailed",
    "fault_loop",
    "inject_failure",
    "swarm",
]
