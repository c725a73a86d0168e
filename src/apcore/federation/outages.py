"""Decide whether our own network is down, by the last outcomes of requests to peers."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from apcore.effects import Op, Scan
from apcore.federation.outbox.host_records import REACHES
from apcore.federation.time_limits import REACH_WINDOW_S
from apcore.http import parse_origin
from apcore.remote import registrable_domain

__all__ = ["HOSTS_MIN", "is_our_outage"]

HOSTS_MIN: Final = 5
"""The fewest domains by which an outage of ours is judged: one dead peer of two proves nothing."""
_HOSTS_MAX: Final = 500
"""The most hosts that are read to judge an outage."""


def is_our_outage(origin: str, now: datetime) -> Op[bool]:
    """Return whether our own network is down, given that ``origin`` cannot be reached now.

    It is down if more than half of the domains that were tried within an hour cannot be reached, and at least five were
    tried.

    Effects: one `Scan`.
    """
    entries = yield from Scan(REACHES.at(), limit=_HOSTS_MAX)
    outcomes = sorted(map(REACHES.read, entries), key=lambda outcome: outcome.record.at)
    # Sorted by time, so the latest outcome within a domain counts. The store may still hold expired records.
    is_reachable = {
        _domain(outcome.key.origin): outcome.record.is_reachable
        for outcome in outcomes
        if (now - outcome.record.at).total_seconds() < REACH_WINDOW_S
    } | {_domain(origin): False}
    failing = list(is_reachable.values()).count(False)
    return len(is_reachable) >= HOSTS_MIN and failing * 2 > len(is_reachable)


def _domain(origin: str) -> str:
    return registrable_domain(parse_origin(origin).host)
