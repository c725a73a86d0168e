"""Run operations: with the two drivers `run` and `run_async`, or with your own loop over `Stepper`."""

from apcore.drive.awaiting import run_async
from apcore.drive.blocking import run
from apcore.drive.bundle import AsyncPorts, Ports, async_ports, needed
from apcore.drive.commits import commit_calls
from apcore.drive.observing import Observer, Place
from apcore.drive.outcomes import OutboundGuard
from apcore.drive.stepper import Stepper

__all__ = [
    "AsyncPorts",
    "Observer",
    "OutboundGuard",
    "Place",
    "Ports",
    "Stepper",
    "async_ports",
    "commit_calls",
    "needed",
    "run",
    "run_async",
]
