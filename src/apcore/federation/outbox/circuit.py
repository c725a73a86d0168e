"""Decide whether a peer's host may be asked now, and record whether it answers.

A host that fails opens its circuit: it is not asked again before a pause, and the pause grows with every failure. An
answer closes the circuit.

If most hosts stop answering at once, the fault is in our own network. So the last outcome of every host is recorded.
While more than half of the hosts that were tried within an hour did not answer, a host that cannot be reached is not
charged: its count of failures stays, its deliveries keep their attempts, and it is asked again within a quarter of an
hour. The age of a delivery still counts, so nothing is retried for ever. Any answer, even a 500, shows that our network
works, so such a failure is charged to the host. All hosts of one registrable domain count as one. Otherwise the owner
of a domain could fake an outage of ours with many hosts and ports.

An inbox may be on another origin than its actor. Such an inbox is *aimed* at that origin, on the word of a stranger.
These deliveries have a backlog of their own (its name begins with ``aimed``), a circuit of their own, and a pause
after every attempt. So a stranger who aims our deliveries at a third server cannot flood it, and cannot delay our other
deliveries to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from attrs import evolve, field, frozen

from apcore.federation.outbox.attempt import AttemptOutcome, AttemptResult
from apcore.federation.outbox.circuit_states import CircuitAction, CircuitEvent, CircuitState, advance_circuit
from apcore.federation.outbox.host_records import CIRCUITS, REACHES, CircuitKey, CircuitRecord, OriginKey, ReachRecord
from apcore.federation.retry import RetryRules, host_pause_s
from apcore.federation.time_limits import AIMED_PAUSE_S, OUTAGE_PAUSE_STEPS, REACH_RENEWED_S
from apcore.http import Origin
from apcore.ports import Entry, Put, StoreKey, Write
from apcore.records import defer
from apcore.remote import Dialect, dialect_key, read_dialect, remember_dialect

__all__ = ["Host", "after_attempts", "backlog_of", "circuit_key"]

_UNSIGNED_PAUSE_S: Final = 30.0
"""The pause after attempts that failed before their request left."""
_DETAIL_CHARS_MAX: Final = 200
"""The longest description of a failure that is stored with a circuit."""
_AIMED: Final = "aimed "


@frozen
class Host:
    """The records about a peer's origin at the start of a step."""

    backlog: str
    """The name of the backlog, see `backlog_of`."""
    circuit: CircuitRecord | None = field(default=None, kw_only=True)
    """The record of the circuit; None if the circuit is closed."""
    reach: ReachRecord | None = field(default=None, kw_only=True)
    dialect: Entry | None = field(default=None, kw_only=True)

    @property
    def origin(self) -> str:
        """The origin that is asked."""
        # Releases before 0.1 had one backlog for all origins of ours, and its name ended with the peer's origin.
        return self.backlog.removeprefix(_AIMED).partition(" ")[0]

    @property
    def circuit_name(self) -> str:
        """The name of its circuit, one for all origins of ours."""
        return f"{_AIMED}{self.origin}" if self.is_cross_origin else self.origin

    @property
    def is_cross_origin(self) -> bool:
        """Whether the backlog is for inboxes of actors of other origins."""
        return self.backlog.startswith(_AIMED)

    @property
    def known_dialect(self) -> Dialect | None:
        """The dialect to sign in first; None if the host has accepted none yet."""
        return read_dialect(self.dialect)

    @property
    def failed_at(self) -> datetime | None:
        """The time of the last failure; None if an answer came since, or if the time is unknown."""
        return None if self.circuit is None else self.circuit.failed

    def pause_s(self, attempts: int) -> float:
        """Return the pause that the host gets after a number of attempts, even if all of them succeeded."""
        return AIMED_PAUSE_S * attempts if self.is_cross_origin else 0.0

    def due_in_s(self, now: datetime) -> float | None:
        """Return the seconds until the host may be asked again; None if it may be asked now."""
        return None if self.circuit is None else self.circuit.due_in_s(now)

    @property
    def asked_state(self) -> CircuitState:
        """The state of the circuit in a step that asks the host: closed, or at the end of a pause."""
        if self.circuit is None:
            return CircuitState.CLOSED
        pausing = CircuitState.PACED if self.circuit.is_paced else CircuitState.OPEN
        return advance_circuit(pausing, CircuitEvent.DUE).state

    def after(self, writes: Sequence[Write]) -> Host:
        """Return the host as it is once ``writes`` are committed."""
        values = {write.key: write.value if isinstance(write, Put) else None for write in writes}
        circuit_store_key, reach_store_key, dialect_store_key = self.keys
        host = self
        if circuit_store_key in values:
            value = values[circuit_store_key]
            host = evolve(host, circuit=None if value is None else CIRCUITS.decode(value))
        if reach_store_key in values:
            value = values[reach_store_key]
            host = evolve(host, reach=None if value is None else REACHES.decode(value))
        if dialect_store_key in values:
            value = values[dialect_store_key]
            host = evolve(host, dialect=None if value is None else Entry(dialect_store_key, value, b""))
        return host

    @property
    def keys(self) -> tuple[StoreKey, StoreKey, StoreKey]:
        """The store keys of the circuit, of the last outcome and of the dialect."""
        return circuit_key(self.backlog), REACHES.key(OriginKey(self.origin)), dialect_key(self.origin)

    def with_entries(self, entries: Sequence[Entry | None]) -> Host:
        """Return the host with the records in the entries of its `keys`, which ``entries`` begins with."""
        circuit, reach = CIRCUITS.read_optional(entries[0]), REACHES.read_optional(entries[1])
        return evolve(
            self,
            circuit=None if circuit is None else circuit.record,
            reach=None if reach is None else reach.record,
            dialect=entries[2],
        )


def backlog_of(origin: Origin, *, by: Origin, aimed: bool) -> str:
    """Return the name of the backlog for a peer's origin; deliveries that are ``aimed`` at it have one of their own.

    Each origin of ours has its own backlogs, so federations that share a store deliver only their own activities. All
    of them share the records about the host.
    """
    return f"{_AIMED if aimed else ''}{origin} {by}"


def circuit_key(backlog: str) -> StoreKey:
    """Return the key of the circuit that a backlog depends on."""
    return CIRCUITS.key(CircuitKey(Host(backlog).circuit_name))


def after_attempts(
    host: Host,
    attempts: Sequence[AttemptResult],
    *,
    policy: RetryRules,
    our_outage: bool,
    now: datetime,
    jitter: float,
    pause_s: float = 0.0,
) -> tuple[list[Write], float]:
    """Return the writes about a host that follow from attempts, and the seconds until its backlog is looked at again.

    With ``our_outage``, a host that cannot be reached is not charged. ``pause_s`` is the shortest pause of the host,
    and ``jitter`` a random number from 0 to 1.
    """
    writes: list[Write] = [*_reach_writes(host, attempts, now), *_dialect_writes(host, attempts, now)]
    failure = next((attempt for attempt in attempts if attempt.outcome is AttemptOutcome.HOST_FAILING), None)
    event = _event_of(attempts, failure, our_outage=our_outage, pause_s=pause_s)
    circuit = host.circuit or CircuitRecord()
    for action in advance_circuit(host.asked_state, event).actions:
        match action:
            case CircuitAction.FORGET:
                writes.append(CIRCUITS.delete(CircuitKey(host.circuit_name)))
            case CircuitAction.COUNT_FAILURE:
                circuit = evolve(circuit, failures=circuit.failures + 1, spared=0)
            case CircuitAction.COUNT_OUTAGE:
                circuit = evolve(circuit, spared=circuit.spared + 1)
            case CircuitAction.PAUSE if failure is not None:
                pause_step = min(circuit.spared, OUTAGE_PAUSE_STEPS) or circuit.failures
                wait_s = host_pause_s(policy, pause_step, jitter=jitter, retry_after_s=failure.retry_after_s)
                circuit = evolve(circuit, failed=now, detail=failure.detail[:_DETAIL_CHARS_MAX])
                writes.append(_begin_pause(host, circuit, max(wait_s, pause_s), now))
            case CircuitAction.PAUSE | CircuitAction.PACE:
                writes.append(_begin_pause(host, CircuitRecord(), pause_s, now))
    has_unasked = any(attempt.outcome is AttemptOutcome.NOT_ASKED for attempt in attempts)
    # After a failure the backlog is due at once: its next step gives up deliveries that are too old, and then waits for
    # the circuit.
    return writes, _UNSIGNED_PAUSE_S if has_unasked and failure is None else 0.0


def _event_of(
    attempts: Sequence[AttemptResult], failure: AttemptResult | None, *, our_outage: bool, pause_s: float
) -> CircuitEvent:
    """Return the event that some attempts are for the circuit of their host."""
    if failure is not None:
        # An answer proves that our network works, so it is charged even during an outage.
        return CircuitEvent.OUTAGE if our_outage and failure.reached is not True else CircuitEvent.FAILED
    if all(attempt.outcome is AttemptOutcome.NOT_ASKED for attempt in attempts):
        return CircuitEvent.UNASKED
    return CircuitEvent.ANSWERED_AIMED if pause_s else CircuitEvent.ANSWERED


def _begin_pause(host: Host, circuit: CircuitRecord, wait_s: float, now: datetime) -> Put:
    return CIRCUITS.put(CircuitKey(host.circuit_name), defer(circuit, wait_s, now))


def _reach_writes(host: Host, attempts: Sequence[AttemptResult], now: datetime) -> list[Write]:
    """Record whether the host answered, if the record would change or expires soon."""
    outcomes = [attempt.reached for attempt in attempts if attempt.reached is not None]
    if not outcomes:
        return []
    reach = ReachRecord(is_reachable=outcomes[-1], at=now)
    earlier = host.reach
    is_known = (
        earlier is not None
        and earlier.is_reachable == reach.is_reachable
        and (now - earlier.at).total_seconds() < REACH_RENEWED_S
    )
    return [] if is_known else [REACHES.put(OriginKey(host.origin), reach)]


def _dialect_writes(host: Host, attempts: Sequence[AttemptResult], now: datetime) -> list[Write]:
    """Record the dialect that the host accepted last, if the record would change or expires soon."""
    dialects = [attempt.accepted for attempt in attempts if attempt.accepted is not None]
    write = remember_dialect(host.origin, dialects[-1], host.dialect, now=now) if dialects else None
    return [] if write is None else [write]
