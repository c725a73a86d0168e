"""What a handler may raise to steer, and what a policy may answer."""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["Drop", "FollowVerdict", "Later"]


class FollowVerdict(Enum):
    """What to do about a request to follow."""

    ACCEPT = "accept"
    REJECT = "reject"
    WAIT = "wait"
    """Neither: the application answers later."""


class Drop(Exception):
    """Raised by a listener: this activity is done with, and nothing that the listener wrote through its context is kept."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason: Final = reason


class Later(Exception):
    """Raised by a listener: hand this activity out again after a delay, in seconds."""

    def __init__(self, delay_s: float, reason: str = "") -> None:
        if delay_s < 0:
            raise ValueError(f"Later takes a delay of 0 or more seconds, not {delay_s}")
        super().__init__(reason)
        self.delay_s: Final = delay_s
        self.reason: Final = reason
