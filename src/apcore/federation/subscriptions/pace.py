"""Keep a polite pace: a budget of requests for each host, and the pauses that a host asks for."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from apcore.effects import Get, Now, Op, commit
from apcore.federation.site import Site
from apcore.federation.subscriptions.records import PACES, PaceKey, PaceRecord
from apcore.ports import Check
from apcore.records.format import to_epoch_ms

__all__ = ["pause_host", "take_turn"]

_ROUNDS_MAX: Final = 20
_LOST_RACE_S: Final = 1.0
_KEPT_S_MIN: Final = 60.0
_PAUSE_S_MAX: Final = 86400.0


def take_turn(site: Site, host: str) -> Op[float]:
    """Spend one request to ``host``, and return 0; or return the seconds after which to try again.

    Effects: one `Get`, `Now` and one commit; again after a lost race, up to 20 times.
    """
    key = PaceKey.of(host)
    for _round in range(_ROUNDS_MAX):
        [entry] = yield from Get((PACES.key(key),))
        now_ms = to_epoch_ms((yield from Now()))
        stored = PACES.read_optional(entry)
        paused_ms = 0 if stored is None else stored.record.paused_ms
        if now_ms < paused_ms <= now_ms + _PAUSE_S_MAX * 1000:
            return (paused_ms - now_ms) / 1000
        decision = site.federation.polls.host_rate.take(None if stored is None else stored.record.full_ms, now_ms)
        if not decision.allowed:
            return decision.retry_after_s
        record = PaceRecord(full_ms=decision.full_ms)
        ttl_s = max((decision.full_ms - now_ms) / 1000, _KEPT_S_MIN)
        check = Check(PACES.key(key), None if entry is None else entry.version)
        if (yield from commit((check,), (PACES.put(key, record, ttl_s=ttl_s),))) is not False:
            return 0.0
    return _LOST_RACE_S


def pause_host(host: str, now: datetime, delay_s: float) -> Op[None]:
    """Poll nothing of ``host`` for ``delay_s``, at most a day. Effects: one `Get` and one commit."""
    key = PaceKey.of(host)
    [entry] = yield from Get((PACES.key(key),))
    stored = PACES.read_optional(entry)
    now_ms = to_epoch_ms(now)
    pause_s = min(delay_s, _PAUSE_S_MAX)
    record = PaceRecord(
        full_ms=now_ms if stored is None else stored.record.full_ms, paused_ms=now_ms + int(pause_s * 1000)
    )
    _ = yield from commit((), (PACES.put(key, record, ttl_s=max(pause_s, _KEPT_S_MIN)),))
