"""Run operations: with the two drivers `run` and `run_async`, or with your own loop over `Stepper`."""

from apcore.drivers.asynchronous import run_async
from apcore.drivers.blocking import run
from apcore.drivers.commits import commit_calls
from apcore.drivers.effect_table import require_port as require_port
from apcore.drivers.observer import EffectPath, Observer
from apcore.drivers.outcomes import OutboundGuard
from apcore.drivers.port_bundle import AsyncPorts, Ports, async_ports
from apcore.drivers.stepper import Stepper

__all__ = [
    "AsyncPorts",
    "EffectPath",
    "Observer",
    "OutboundGuard",
    "Ports",
    "Stepper",
    "async_ports",
    "commit_calls",
    "run",
    "run_async",
]
