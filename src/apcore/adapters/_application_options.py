"""Check the arguments that the applications of web frameworks have in common."""

from __future__ import annotations

import math
from typing import Any, Final

from apcore.errors import ConfigurationError
from apcore.node import AsyncNode, Node

__all__ = ["GRACE_S", "PATH_SAFE", "check_bound", "check_grace"]

GRACE_S: Final = 8.0
"""The time that a worker has to finish its running messages. Service managers kill a process after 10 s."""

PATH_SAFE: Final = "/!$&'()*+,;=:@~"
"""The characters of a path that clients do not percent-encode. Some servers pass the path on decoded, and peers have
signed it as they wrote it."""


def check_bound(node: Node[Any] | AsyncNode[Any], maker: str) -> None:
    """Check that a node has an origin. ``maker`` is the function that needs it.

    Raises:
        ConfigurationError: The node has no origin.
    """
    if not node.origins.serves:
        raise ConfigurationError(
            f"{maker} needs the origin that it serves, for example: "
            f'{maker}(federation, "https://social.example", "sqlite:///social.db")'
        )


def check_grace(grace_s: float) -> None:
    """Check the grace period of a worker.

    Raises:
        ConfigurationError: ``grace_s`` is negative or not finite.
    """
    if not 0 <= grace_s < math.inf:
        raise ConfigurationError(f"grace_s is a finite number of seconds, 0 or more, not {grace_s!r:.40}")
