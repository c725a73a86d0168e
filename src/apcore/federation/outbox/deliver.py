"""Deliveries: from rows per inbox to POSTs.

Delivering works through the rows of one peer's origin at a time: one wake-up, one lease, so a dead host is one delayed message however much waits
for it, and nobody else waits for it. Rows are made by planning; a single attempt is `posting`, what is known of the host is `circuit`.

Facts::

    ("out", "1", backlog, order, name, H(inbox))                to deliver, in the order it was sent
    ("out-retry", "1", backlog, due, order, name, H(inbox))     to deliver again when due: its own inbox would not take it

A sender whose key does not sign now (the signer does not have it, too many keys were made) keeps nobody else from sending: its rows are passed over, and,
where there are so many of them that others may be behind, moved away for a while; nothing is charged for that.

Rows for one inbox about one object are in line: what comes later waits where the earlier one waits. Others overtake.

A peer gets every activity at least once, always with the same id and the same bytes; twice only if an answer was lost, or a crash came between it
and its commit. What has come of a step is committed within a second or 20 attempts, so that a crash repeats few. The signature is made anew for each
attempt.

A commit checks the versions of the rows it is about, and deletes or moves those that were answered: so it can be repeated when its answer was
lost, without a key that is both checked and put, and changes nothing the second time.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

from attrs import define, evolve, field, frozen

from apcore.effects import Get, Now, Op, Raised, RandomBytes, Scan, Settle, commit, gather
from apcore.errors import ContractError, RemoteError, StoreUnavailable, Unavailable
from apcore.federation.actors.keys import signing_key
from apcore.federation.outbox.attempt import AttemptOutcome, AttemptResult, classify, post
from apcore.federation.outbox.circuit import Host, after_attempts, is_our_outage, read_host
from apcore.federation.outbox.missing_inboxes import lost_inbox
from apcore.federation.refusals import one_line
from apcore.federation.site import Site
from apcore.federation.wake_ups import DELIVER, lane_of, read_wake
from apcore.http import Origin, parse_origin
from apcore.ports import (
    Check,
    DeleteEntry,
    Done,
    Entry,
    LeasedMessage,
    Message,
    Put,
    Retry,
    Settlement,
    StoreKey,
    Write,
    digest_part,
)
from apcore.records.format import CLOCK_SKEW_MS, Record, decode_record, encode_record, from_epoch_ms, to_epoch_ms
from apcore.remote import Dialect

__all__ = ["DELIVER", "UNPROVED_MAX", "AttemptOutcome", "classify", "deliver", "deliver_message", "row_key"]

UNPROVED_MAX: Final = 8
"""So many attempts may end with 401: about an hour of them, for whoever could not fetch our key just then."""
_STEP: Final = 20
_AT_ONCE: Final = 4
_WAITING: Final = 100
"""So many rows that wait are looked at for others that have to wait behind them."""
_BATCH_S: Final = 25.0
"""No attempt begins later than this in a step: with the minute that one may take, it ends before its lease."""
_RECORD_S: Final = 1.0
"""What has come of a step is not kept unwritten for longer, once the round of attempts that is under way has ended."""
_UNSIGNED_S: Final = 30.0
_UNSIGNED_S_MAX: Final = 3600.0
"""How long rows wait, at least and at most, that were moved away because nothing of their sender's can be signed; half of their age in between."""
_DEAD_KEPT_S: Final = 30 * 86400.0
_LABEL_BYTES_MAX: Final = 256
_LOG: Final = logging.getLogger("apcore.delivery")


def deliver_message(peer: str, name: bytes, *, by: Origin | str) -> Message:
    """Make the wake-up for the deliveries of a backlog (`backlog_of`), made ``by`` an origin of ours."""
    # The longest host names are longer than a label of the queue.
    label = peer if len(peer) <= _LABEL_BYTES_MAX else digest_part(peer)
    return Message(
        name, lane_of(DELIVER, by), json.dumps({"to": peer, "by": str(by)}).encode(), dedup=label, group=label
    )


def row_key(peer: str, order: str, name: str, inbox: str) -> StoreKey:
    """Where a delivery waits for its first attempt; ``order`` sorts as things were sent."""
    return ("out", "1", peer, order, name, digest_part(inbox))


@frozen
class _Row:
    """One delivery to make."""

    entry: Entry
    fact: Record

    @property
    def inbox(self) -> str:
        return self.fact.text("inbox")

    @property
    def name(self) -> str:
        return self.entry.key[-2]

    @property
    def line(self) -> tuple[str, str]:
        """What it is in line with: the same object at the same inbox."""
        return self.entry.key[-1], self.fact.optional("about") or self.name

    def age_s(self, now: datetime) -> float:
        """How long ago it was planned."""
        return (now - from_epoch_ms(self.fact.number("created"))).total_seconds()

    def is_due(self, now: datetime) -> bool:
        """Whether its time has come, or it was moved at a time that is still to come: the clock was set back."""
        at = to_epoch_ms(now)
        return int(self.entry.key[3]) <= at or self.fact.number("put_off") - at > CLOCK_SKEW_MS

    def moved(self, due: str, now: datetime, changes: Mapping[str, int | None] = MappingProxyType({})) -> list[Write]:
        """Let it wait until ``due``, with changed members of its fact."""
        key: StoreKey = ("out-retry", "1", self.entry.key[2], due, *self.entry.key[-3:])
        fact = encode_record({**self.fact.members, **changes, "put_off": to_epoch_ms(now)})
        return [DeleteEntry(self.entry.key), Put(key, fact)]


@frozen
class _Result:
    row: _Row
    posted: AttemptResult
    behind: tuple[_Row, ...] = field(default=(), kw_only=True)
    """What is in line behind it, and has not been tried."""


@define
class _Step:
    """What has come of a step so far, and is not written yet."""

    site: Site
    leased: LeasedMessage
    host: Host
    results: list[_Result] = field(factory=list[_Result])
    asked: int = 0
    """How many attempts it has made."""
    is_full: bool = False
    """Whether it has as many rows as one may: there may be more behind them."""
    unable: set[str] = field(factory=set[str])
    """Senders of whom nothing can be signed now; an empty one if not even that can be found out."""


def deliver(site: Site, leased: LeasedMessage) -> Op[None]:
    """Make up to 20 of the deliveries that wait for the origin which a message of the lane `DELIVER` names.

    Asks for: two `Scan`s and one `Get`; per delivery two `Get`s, and as `post`, four at a time; one `Scan` if the host cannot be reached; one commit
    for every second that it takes.
    """
    peer = read_wake(leased.message).peer or ""
    now = yield from Now()
    host = yield from read_host(peer)
    step = _Step(site, leased, host)
    rows, waiting = yield from _rows(peer, now)
    due_in_s = host.due_in_s(now)
    # Not tried themselves, but their host was when they were old: a dead host, or too much that is aimed at one, must not keep a backlog for ever.
    old = [row for row in rows if _is_old(site, row, now if host.is_cross_origin else host.failed)]
    if due_in_s is not None or (host.is_cross_origin and old):
        yield from _give_up(step, old, "too old before it could be tried again", then_s=0.0 if old else due_in_s or 0.0)
    elif not rows:
        due_s = min((_due_s(due, now) for due in waiting.values()), default=None)
        _ = yield from Settle((Done(leased) if due_s is None else Retry(leased, due_s),))
    elif (refusal := site.federation.domain_rules.refusal(parse_origin(host.origin).host)) is not None:
        yield from _give_up(step, rows, str(refusal), then_s=0.0)
    else:
        held = [(row, waiting[row.line]) for row in rows if row.line in waiting]
        yield from _attempts(step, [row for row in rows if row.line not in waiting], held, now)


def _is_old(site: Site, row: _Row, moment: datetime | None) -> bool:
    """Whether nothing more was owed to a row at that moment."""
    return moment is not None and row.age_s(moment) >= site.federation.delivery_retries.age_s_max


def _rows(peer: str, now: datetime) -> Op[tuple[list[_Row], dict[tuple[str, str], str]]]:
    """Give up to 20 rows that are due, and when those are due that are not, by what they are in line with."""
    again = yield from Scan(("out-retry", "1", peer), limit=_WAITING)
    first = yield from Scan(("out", "1", peer), limit=_STEP)
    moved = [_Row(entry, decode_record(entry.value)) for entry in again]
    due = [row for row in moved if row.is_due(now)]
    waiting = [row for row in moved if not row.is_due(now)]
    rows = [*due, *(_Row(entry, decode_record(entry.value)) for entry in first)][:_STEP]
    return rows, {row.line: row.entry.key[3] for row in waiting}


def _due_s(due: str, now: datetime) -> float:
    return max(0.0, (int(due) - to_epoch_ms(now)) / 1000)


# --- attempts -------------------------------------------------------------------------------------------------------


def _attempts(step: _Step, rows: Sequence[_Row], held: Sequence[tuple[_Row, str]], now: datetime) -> Op[None]:
    """Try as many of ``rows`` as the host takes and the time allows, each line in its order, and record what comes of it."""
    lines: dict[tuple[str, str], list[_Row]] = {}
    for row in rows:
        lines.setdefault(row.line, []).append(row)
    known = step.host.known
    step.is_full = len(rows) + len(held) >= _STEP
    clock = recorded = now
    # One first: what it shows about the host, the others need not find out.
    at_once = 1
    while lines and (clock - now).total_seconds() < _BATCH_S:
        if step.results and (clock - recorded).total_seconds() >= _RECORD_S:
            if not (yield from _record_some(step)):
                # Others have taken over; whatever is left is theirs.
                _ = yield from Settle((Retry(step.leased, 0.0),))
                return
            recorded = clock
        results = yield from _round(step, lines, known, at_once)
        step.results += results
        asked = [result.posted for result in results if result.posted.answer is not AttemptOutcome.NOT_ASKED]
        step.asked += len(asked)
        if any(posted.answer is AttemptOutcome.HOST_FAILING for posted in asked) or "" in step.unable:
            break
        known = next((posted.accepted for posted in asked if posted.accepted is not None), known)
        at_once = _AT_ONCE if asked else at_once
        clock = yield from Now()
    yield from _record(step, held, now)


def _round(
    step: _Step, lines: dict[tuple[str, str], list[_Row]], known: Dialect | None, at_once: int
) -> Op[list[_Result]]:
    """Try the heads of a few lines at once, and take out of ``lines`` what is not to be tried again in this step."""
    batch = list(lines)[:at_once]
    outcomes = yield from gather(*[_attempt(step, lines[line][0], known) for line in batch], limit=at_once)
    results: list[_Result] = []
    for line, outcome in zip(batch, outcomes, strict=True):
        if isinstance(outcome, Raised):
            raise outcome.error
        row, *behind = lines.pop(line)
        posted = outcome.value
        if posted.answer in {AttemptOutcome.INBOX_FAILING, AttemptOutcome.UNPROVED, AttemptOutcome.NOT_ASKED}:
            results.append(_Result(row, posted, behind=tuple(behind)))
        else:
            results.append(_Result(row, posted))
            if behind:
                lines[line] = behind
    return results


def _attempt(step: _Step, row: _Row, known: Dialect | None) -> Op[AttemptResult]:
    sender = ""
    try:
        [sent] = yield from Get((("sent", "1", row.name),))
        if sent is None:
            return AttemptResult(AttemptOutcome.REFUSED, "what was sent is not kept any more")
        fact = decode_record(sent.value)
        sender = fact.text("actor")
        if sender in step.unable:
            return AttemptResult(AttemptOutcome.NOT_ASKED, "nothing of this sender can be signed now")
        # A retry is signed with the key of the day: who no longer knows the other one has said so.
        prefer = None if row.fact.number("attempts") else fact.optional("key")
        key = yield from signing_key(step.site, sender, prefer=prefer)
    except Unavailable as error:
        step.unable.add(sender)
        return AttemptResult(AttemptOutcome.NOT_ASKED, str(error))
    except RemoteError as error:
        return AttemptResult(AttemptOutcome.REFUSED, str(error))
    except ContractError as error:
        # Written by a newer release, which sends it. What others of this step have been told is recorded all the same.
        _LOG.warning("%s is left alone: %s", row.name, error)
        return AttemptResult(AttemptOutcome.NOT_ASKED, str(error))
    posted = yield from post(step.site, row.inbox, fact.body, key=key, known=known)
    if posted.answer is AttemptOutcome.NOT_ASKED:
        step.unable.add(sender)
    return evolve(posted, activity=fact.text("id"))


# --- recording ------------------------------------------------------------------------------------------------------


def _give_up(step: _Step, rows: Sequence[_Row], why: str, *, then_s: float) -> Op[None]:
    """Give up on rows for which nobody was asked: that says nothing about the host."""
    now = yield from Now()
    results = [_Result(row, AttemptResult(AttemptOutcome.REFUSED, why)) for row in rows]
    writes = [write for result in results for write in _outcome(step.site, result, now=now, chance=0.0, ours=False)]
    yield from _commit(rows, writes, Retry(step.leased, then_s))


def _record_some(step: _Step) -> Op[bool]:
    """Commit what has come of a step so far, and keep the lease; False if others have taken over."""
    results, step.results = step.results, []
    writes, on_host, _ = yield from _writes(step, results, asked=0)
    done = yield from _repeated(_touched(results), writes)
    step.host = step.host.after(on_host)
    return done


def _record(step: _Step, held: Sequence[tuple[_Row, str]], now: datetime) -> Op[None]:
    """Commit what has come of a step, move what is ``held`` behind what waits, and settle."""
    writes, _, wait_s = yield from _writes(step, step.results, asked=step.asked)
    if step.is_full and "" not in step.unable:
        wait_s = 0.0
    for row, due in held:
        writes += row.moved(due, now)
    # New rows may have come, and retries may wait: one more look costs two scans, and ends with `Done`.
    yield from _commit([*_touched(step.results), *(row for row, _ in held)], writes, Retry(step.leased, wait_s))


def _writes(step: _Step, results: Sequence[_Result], *, asked: int) -> Op[tuple[list[Write], list[Write], float]]:
    """Give the writes for what came of attempts, those among them that are about the host, and how long to wait after ``asked`` attempts."""
    now = yield from Now()
    chance = int.from_bytes((yield from RandomBytes(2)), "big") / 65535
    attempts = [result.posted for result in results]
    unreached = any(each.reached is False for each in attempts)
    ours = unreached and (yield from is_our_outage(step.host.origin, now))
    if ours and not step.host.state.number("spared"):
        _LOG.warning("most hosts cannot be reached, %s neither: nothing is charged to them", step.host.origin)
    policy = step.site.federation.delivery_retries
    on_host, wait_s = after_attempts(
        step.host, attempts, policy=policy, ours=ours, now=now, chance=chance, pause_s=step.host.pause_s(asked)
    )
    writes = list(on_host)
    lost: dict[StoreKey, Write] = {}
    for result in results:
        writes += _outcome(step.site, result, now=now, chance=chance, ours=ours, is_full=step.is_full)
        if result.posted.left is not None:
            put = lost_inbox(result.row.inbox, gone=result.posted.left == "gone")
            lost[put.key] = put
    return [*writes, *lost.values()], on_host, wait_s


def _touched(results: Sequence[_Result]) -> list[_Row]:
    return [row for result in results for row in (result.row, *result.behind)]


def _commit(rows: Sequence[_Row], writes: Sequence[Write], settlement: Settlement) -> Op[None]:
    if not writes or not (yield from _repeated(rows, writes, settles=(settlement,))):
        _ = yield from Settle((settlement,))


def _repeated(rows: Sequence[_Row], writes: Sequence[Write], *, settles: Sequence[Settlement] = ()) -> Op[bool]:
    """Commit, and once more if the answer was lost: if the first attempt happened, the rows are gone, and the second one is False."""
    checks = [Check(row.entry.key, row.entry.version) for row in rows]
    try:
        return bool((yield from commit(checks, writes, settles=settles)))
    except StoreUnavailable as lost:
        if lost.outcome != "unknown":
            raise
        return bool((yield from commit(checks, writes, settles=settles)))


def _outcome(
    site: Site, result: _Result, *, now: datetime, chance: float, ours: bool, is_full: bool = False
) -> list[Write]:
    """What becomes of one row, and of those behind it."""
    row, posted = result.row, result.posted
    fact, key = row.fact, row.entry.key
    activity, inbox, detail = map(one_line, (posted.activity or row.name, row.inbox, posted.detail))
    spared = ours and posted.reached is False
    match posted.answer:
        case AttemptOutcome.NOT_ASKED if not is_full:
            return []
        case AttemptOutcome.NOT_ASKED:
            wait_s = min(max(_UNSIGNED_S, row.age_s(now) / 2), _UNSIGNED_S_MAX)
            return _moved(result, now, wait_s)
        case AttemptOutcome.DELIVERED:
            _LOG.info("delivered %s to %s", activity, inbox)
            return [DeleteEntry(key)]
        case AttemptOutcome.REFUSED:
            _LOG.info("%s does not take %s: %s", inbox, activity, detail)
            return [DeleteEntry(key), _dead(row, posted, now)]
        case AttemptOutcome.HOST_FAILING if spared and not _is_old(site, row, now):
            return []
        case AttemptOutcome.HOST_FAILING | AttemptOutcome.INBOX_FAILING | AttemptOutcome.UNPROVED:
            attempts = fact.number("attempts") + 1
            unproved = fact.number("unproved") + (1 if posted.answer is AttemptOutcome.UNPROVED else 0)
            delay_s = site.federation.delivery_retries.delay_s(
                attempts, age_s=row.age_s(now), chance=chance, asked_s=posted.asked_s
            )
            if delay_s is None or unproved >= UNPROVED_MAX:
                _LOG.warning("gave up on delivering %s to %s: %s", activity, inbox, detail)
                return [DeleteEntry(key), _dead(row, posted, now)]
            _LOG.info("%s is delivered to %s later: %s", activity, inbox, detail)
            changes = {"attempts": attempts, "unproved": unproved or None}
            if posted.answer is AttemptOutcome.HOST_FAILING:
                return [Put(key, encode_record({**fact.members, **changes}))]
            return _moved(result, now, delay_s, changes)


def _moved(
    result: _Result, now: datetime, wait_s: float, changes: Mapping[str, int | None] = MappingProxyType({})
) -> list[Write]:
    due = f"{to_epoch_ms(now) + int(wait_s * 1000):014d}"
    behind = [write for row in result.behind for write in row.moved(due, now)]
    return [*result.row.moved(due, now, changes), *behind]


def _dead(row: _Row, posted: AttemptResult, now: datetime) -> Write:
    about = dict(row.fact.members) | {"reason": posted.detail[:500], "died": to_epoch_ms(now)}
    return Put(("dead", "1", "out", row.name, row.entry.key[-1]), encode_record(about), _DEAD_KEPT_S)
