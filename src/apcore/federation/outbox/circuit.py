"""Hosts: whether one is asked at all, and whose doing it is when it does not answer.

A host that fails opens its circuit: nobody asks it again before a pause that grows with every failure. Whoever is answered closes it.

When most hosts stop answering at once, it is our own network that is down. So it is kept of every host whether it answered last; and while more than half
of those that were tried within an hour did not, a host that cannot be reached is charged with nothing: its circuit does not count, its deliveries keep
their attempts, and it is asked again within a quarter of an hour. Age still counts, so that nothing is tried for ever. An answer of any kind, 500
included, shows that the network is there; such a failure is the host's own. All hosts of one registrable domain count as one: whoever owns a domain has as
many hosts and ports as they like, and could have it that the outage is ever ours.

An inbox on another origin than its actor is aimed at that origin by a stranger's word. Such deliveries are a backlog of their own, named ``aimed`` before the
origin, with a circuit of their own and a pause for every attempt: whoever aims our fan-out at a third server neither floods it nor keeps us from our own
deliveries to it.

Facts::

    ("circuit", "1", origin)    the host does not answer: how often, since when; apart for what is aimed at it
    ("reach", "1", origin)      whether it answered when it was asked last; for an hour
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import evolve, field, frozen

from apcore.effects import Get, Op, Scan
from apcore.federation.outbox.attempt import AttemptOutcome, AttemptResult
from apcore.federation.retry import RetryRules, host_pause_s
from apcore.http import Origin, parse_origin
from apcore.ports import DeleteEntry, Entry, Put, StoreKey, Write
from apcore.records.format import Record, decode_record, due_in, encode_record, from_epoch_ms, to_epoch_ms
from apcore.remote import Dialect, dialect_key, read_dialect, registrable_domain, remember_dialect

__all__ = ["HOSTS_MIN", "WINDOW_S", "Host", "after_attempts", "backlog_of", "circuit_key", "is_our_outage", "read_host"]

WINDOW_S: Final = 3600.0
"""Hosts that were tried within so long are counted."""
HOSTS_MIN: Final = 5
"""Of hosts of fewer domains nothing is concluded: one dead peer of two is no outage of ours."""
_HOSTS_MAX: Final = 500
"""So many are looked at."""
_RENEWED_S: Final = WINDOW_S / 4
_OURS_STEPS: Final = 6
"""How often the pause doubles while the outage is ours: up to 16 minutes, by the default policy."""
_OURS_S: Final = 30.0
_AIMED: Final = "aimed "
_AIMED_PAUSE_S: Final = 36.0
"""After each attempt at an inbox on another origin than its actor: a hundred an hour, to one origin."""
_CIRCUIT_KEPT_S: Final = 30 * 86400.0


@frozen
class Host:
    """What is known of a peer's origin at the start of a step; read with one `Get`."""

    backlog: str
    """As `backlog_of` names it."""
    circuit: Entry | None = field(default=None, kw_only=True)
    reach: Entry | None = field(default=None, kw_only=True)
    dialect: Entry | None = field(default=None, kw_only=True)

    @property
    def origin(self) -> str:
        """Who is asked."""
        # Releases before 0.1 had one backlog for all origins of ours, without a name behind it.
        return self.backlog.removeprefix(_AIMED).partition(" ")[0]

    @property
    def circuit_name(self) -> str:
        """The name of its circuit, one for all origins of ours."""
        return f"{_AIMED}{self.origin}" if self.is_cross_origin else self.origin

    @property
    def is_cross_origin(self) -> bool:
        """Whether what waits here goes to inboxes of actors of other origins."""
        return self.backlog.startswith(_AIMED)

    @property
    def known(self) -> Dialect | None:
        """In which dialect to knock first."""
        return read_dialect(self.dialect)

    @property
    def state(self) -> Record:
        """What the circuit says."""
        return Record({}) if self.circuit is None else decode_record(self.circuit.value)

    def pause_s(self, asked: int) -> float:
        """Give how long to leave the host alone after so many attempts, even if they went well."""
        return _AIMED_PAUSE_S * asked if self.is_cross_origin else 0.0

    @property
    def failed(self) -> datetime | None:
        """When it failed last; None if it was answered since, or that is not known."""
        state = self.state
        return from_epoch_ms(state.number("failed")) if "failed" in state.members else None

    def due_in_s(self, now: datetime) -> float | None:
        """Give the seconds until the host may be asked again; None if it may be now."""
        return self.state.due_in_s(now)

    def after(self, writes: Sequence[Write]) -> Host:
        """Give what is known once ``writes`` are committed."""
        now: dict[StoreKey, Entry | None] = {
            write.key: Entry(write.key, write.value, b"") if isinstance(write, Put) else None for write in writes
        }
        circuit, reach, dialect = _keys(self)
        return evolve(
            self,
            circuit=now.get(circuit, self.circuit),
            reach=now.get(reach, self.reach),
            dialect=now.get(dialect, self.dialect),
        )


def backlog_of(origin: Origin, *, by: Origin, aimed: bool) -> str:
    """Return the name under which deliveries to a peer's origin wait; those that are ``aimed`` at it wait apart.

    Each origin of ours has backlogs of its own, so federations that share a store deliver only what they sent. The
    circuit and what else is known of the host is shared by all of them.
    """
    return f"{_AIMED if aimed else ''}{origin} {by}"


def circuit_key(backlog: str) -> StoreKey:
    """Return the key of the circuit that a backlog waits for."""
    return ("circuit", "1", Host(backlog).circuit_name)


def read_host(backlog: str) -> Op[Host]:
    """Read what is known of the host of a backlog. Asks for: one `Get`."""
    host = Host(backlog)
    circuit, reach, dialect = yield from Get(_keys(host))
    return evolve(host, circuit=circuit, reach=reach, dialect=dialect)


def _keys(host: Host) -> tuple[StoreKey, StoreKey, StoreKey]:
    return ("circuit", "1", host.circuit_name), ("reach", "1", host.origin), dialect_key(host.origin)


def is_our_outage(origin: str, now: datetime) -> Op[bool]:
    """Tell of a host that cannot be reached now, whether that is our own doing: more than half of all domains cannot be. Asks for: one `Scan`."""
    entries = yield from Scan(("reach", "1"), limit=_HOSTS_MAX)
    states = sorted(
        ((decode_record(entry.value), entry.key[2]) for entry in entries), key=lambda each: each[0].number("at")
    )
    # What was seen last of a domain is what counts.
    reached = {
        _domain(host): bool(state.number("ok"))
        for state, host in states
        if (now - from_epoch_ms(state.number("at"))).total_seconds() < WINDOW_S
    } | {_domain(origin): False}
    failing = list(reached.values()).count(False)
    return len(reached) >= HOSTS_MIN and failing * 2 > len(reached)


def _domain(origin: str) -> str:
    return registrable_domain(parse_origin(origin).host)


def after_attempts(
    host: Host,
    attempts: Sequence[AttemptResult],
    *,
    policy: RetryRules,
    ours: bool,
    now: datetime,
    chance: float,
    pause_s: float = 0.0,
) -> tuple[list[Write], float]:
    """Give what attempts at a host say about it, as writes, and how long to wait before its next message is looked at.

    ``ours`` says that what cannot be reached now is charged to us; ``pause_s`` is for how long the host is left alone in any case.
    """
    writes: list[Write] = [*_reach(host, attempts, now), *_learnt(host, attempts, now)]
    failing = next((each for each in attempts if each.answer is AttemptOutcome.HOST_FAILING), None)
    if failing is None:
        answered = any(each.answer is not AttemptOutcome.NOT_ASKED for each in attempts)
        unasked = any(each.answer is AttemptOutcome.NOT_ASKED for each in attempts)
        if answered and pause_s:
            writes.append(_open(host, {}, pause_s, now))
        elif answered and host.circuit is not None:
            writes.append(DeleteEntry(host.circuit.key))
        return writes, _OURS_S if unasked else 0.0
    charged = not ours or failing.reached is True
    failures = host.state.number("failures") + (1 if charged else 0)
    spared = 0 if charged else host.state.number("spared") + 1
    attempt = failures if charged else min(spared, _OURS_STEPS)
    wait_s = host_pause_s(policy, attempt, chance=chance, asked_s=failing.asked_s)
    detail = failing.detail[:200]
    state = {"failures": failures, "spared": spared, "failed": to_epoch_ms(now), "detail": detail}
    writes.append(_open(host, state, max(wait_s, pause_s), now))
    # At once for the backlog: what has grown too old is given up a step at a time, and then it waits.
    return writes, 0.0


def _open(host: Host, state: Mapping[str, object], wait_s: float, now: datetime) -> Put:
    return Put(_keys(host)[0], encode_record({**state, **due_in(wait_s, now)}), _CIRCUIT_KEPT_S)


def _reach(host: Host, attempts: Sequence[AttemptResult], now: datetime) -> list[Write]:
    """Note whether it answered, if that is news or soon forgotten."""
    reached = [each.reached for each in attempts if each.reached is not None]
    if not reached:
        return []
    ok = int(reached[-1])
    if host.reach is not None:
        state = decode_record(host.reach.value)
        if state.number("ok") == ok and (now - from_epoch_ms(state.number("at"))).total_seconds() < _RENEWED_S:
            return []
    return [Put(_keys(host)[1], encode_record({"ok": ok, "at": to_epoch_ms(now)}), WINDOW_S)]


def _learnt(host: Host, attempts: Sequence[AttemptResult], now: datetime) -> list[Write]:
    """Note the dialect that was let in last, if that is news or soon forgotten."""
    accepted = [each.accepted for each in attempts if each.accepted is not None]
    write = remember_dialect(host.origin, accepted[-1], host.dialect, now=now) if accepted else None
    return [] if write is None else [write]
