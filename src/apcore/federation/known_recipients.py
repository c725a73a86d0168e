"""Define `KnownRecipients`, the memory of one node for actors of ours that exist.

`apcore.federation.inbox.recipients` decides what is remembered, and for how long it counts.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

__all__ = ["KNOWN_RECIPIENTS_MAX", "KnownRecipients"]

KNOWN_RECIPIENTS_MAX: Final = 10_000
"""The most actors that are remembered. With one more, all of them are forgotten."""


class KnownRecipients:
    """The ids of actors that existed, with the times at which the application's handler returned them."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[str, datetime] = {}

    def has(self, uri: str, now: datetime, kept_s: float) -> bool:
        """Return whether the actor ``uri`` existed at most ``kept_s`` seconds ago.

        If the clock was set back since, the actor is not known: its time means nothing.
        """
        seen = self._seen.get(uri)
        return seen is not None and 0 <= (now - seen).total_seconds() < kept_s

    def add(self, uri: str, now: datetime) -> None:
        """Remember that the actor ``uri`` exists now."""
        if len(self._seen) >= KNOWN_RECIPIENTS_MAX:
            self._seen.clear()
        self._seen[uri] = now
