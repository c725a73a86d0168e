"""What a handler may raise to steer, and what a policy may answer."""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, TypeAlias

from attrs import field, frozen
from attrs.validators import ge, gt

from apcore.vocab import Activity

__all__ = ["AuthorizedFetch", "Drop", "Failure", "FollowVerdict", "KeyPolicy", "Later"]


AuthorizedFetch: TypeAlias = Literal["off", "optional", "required"]
"""How much of what is served depends on who asks: what a predicate guards; also what was published for some only; everything."""


class FollowVerdict(Enum):
    """What to do about a request to follow."""

    ACCEPT = "accept"
    REJECT = "reject"
    PENDING = "wait"
    """Neither: the application answers later."""


@frozen
class Failure:
    """A listener, or a side effect before it, has raised: what the error hook is told."""

    activity: Activity
    error: Exception = field(eq=False)
    attempt: int
    """1 for the first time."""
    final: bool
    """Whether it is not tried again: the activity is a dead letter now."""


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


@frozen(kw_only=True)
class KeyPolicy:
    """How our own keys are made and replaced.

    Raises:
        ValueError: A bound that makes no sense.
    """

    made_max: int = field(default=60, validator=ge(1))
    """So many actors get their keys in one window without having been asked for by us: whose documents are asked for is a stranger's choice, and an
    RSA key costs up to half a second."""
    made_window_s: float = field(default=60.0, validator=gt(0))
    retire_after_s: float = field(default=7 * 86400.0, validator=ge(0))
    """How long a key that was replaced stays published: longer than others keep keys (a day, mostly), and than anything signed with it is under
    way (an hour to half a day)."""
    generations_max: int = field(default=4, validator=ge(2))
    """So many generations are published at most; Mastodon keeps up to ten keys of an actor, and each generation has two."""
