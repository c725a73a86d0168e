"""Deliveries: from rows per inbox to POSTs.

Delivering works through the rows of one peer's origin at a time: one wake-up, one lease, so a dead host is one delayed message however much waits
for it, and nobody else waits for it. Rows are made by planning.

Facts::

    ("out", "1", origin, order, name, H(inbox))                to deliver, in the order it was sent
    ("out-retry", "1", origin, due, order, name, H(inbox))     to deliver again when due: its own inbox would not take it
    ("circuit", "1", origin)                                   the host does not answer: how often, since when

Rows for one inbox about one object are in line: what comes later waits where the earlier one waits. Others overtake.

A peer gets every activity at least once, always with the same id and the same bytes; twice only if an answer was lost, or a crash came between it
and its commit. The signature is made anew for each attempt.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import datetime
from enum import Enum, auto
from typing import Final

from attrs import field, frozen

from apcore.effects import Fetch, Get, Now, Op, Raised, RandomBytes, Scan, Settle, Sign, committed, together
from apcore.errors import FetchFailed, RemoteError, Unavailable
from apcore.facts import Fact, instant_ms, of_instant_ms, pack, unpack
from apcore.federation.keys import signing_key
from apcore.federation.moderation import Severity
from apcore.federation.site import Site
from apcore.graph import check_target
from apcore.http import (
    ACTIVITY_JSON,
    DELIVERY_LIMITS,
    Headers,
    Origin,
    Request,
    parse_origin,
    parse_retry_after,
    parse_url,
)
from apcore.ports import Again, Check, Delete, Done, Entry, Key, Leased, Message, Put, Settlement, Write, digest_part

__all__ = ["DELIVER", "Answer", "classify", "deliver", "deliver_message", "row_key"]

DELIVER: Final = "deliver"
"""The lane of the queue for deliveries."""
_STEP: Final = 20
_AT_ONCE: Final = 4
_WAITING: Final = 100
"""So many rows that wait are looked at for others that have to wait behind them."""
_BATCH_S: Final = 25.0
"""No POST begins later than this in a step: with the two that may take up to their deadline, it ends before its lease."""
_OURS_S: Final = 30.0
_RETRY_AFTER_S_MAX: Final = 86400.0
_DEAD_KEPT_S: Final = 30 * 86400.0
_LABEL_BYTES_MAX: Final = 256
_LOG: Final = logging.getLogger(__name__)


class Answer(Enum):
    """What an answer to a delivery means."""

    DELIVERED = auto()
    REFUSED = auto()
    """For good: this inbox does not take this activity."""
    INBOX_FAILING = auto()
    """Not now, and it says nothing about the host."""
    HOST_FAILING = auto()
    """The host does not answer, or cannot."""
    NOT_ASKED = auto()
    """Our own signer or store failed before the request left: nothing is charged to anybody."""


def classify(status: int) -> Answer:
    """Tell what a status means for a delivery (as the field has it: most 4xx are final, 401 and 408 are not)."""
    if 200 <= status < 300:
        return Answer.DELIVERED
    if status in {401, 408, 425}:
        return Answer.INBOX_FAILING
    if status == 429 or (status >= 500 and status != 501):
        return Answer.HOST_FAILING
    return Answer.REFUSED


def deliver_message(peer: str, name: bytes, *, by: Origin | str) -> Message:
    """Make the wake-up for the deliveries to a peer's origin, made ``by`` an origin of ours."""
    # The longest host names are longer than a label of the queue.
    label = peer if len(peer) <= _LABEL_BYTES_MAX else digest_part(peer)
    return Message(name, DELIVER, json.dumps({"to": peer, "by": str(by)}).encode(), dedup=label, group=label)


def row_key(peer: str, order: str, name: str, inbox: str) -> Key:
    """Where a delivery waits for its first attempt; ``order`` sorts as things were sent."""
    return ("out", "1", peer, order, name, digest_part(inbox))


@frozen
class _Row:
    """One delivery to make."""

    entry: Entry
    fact: Fact

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

    def moved(self, due: str, fact: bytes | None = None) -> list[Write]:
        """Let it wait until ``due``."""
        key: Key = ("out-retry", "1", self.entry.key[2], due, *self.entry.key[-3:])
        return [Delete(self.entry.key), Put(key, self.entry.value if fact is None else fact)]


@frozen
class _Result:
    row: _Row
    answer: Answer
    detail: str
    asked_s: float | None = None
    behind: tuple[_Row, ...] = field(default=(), kw_only=True)
    """What is in line behind it, and has not been tried."""


def deliver(site: Site, leased: Leased) -> Op[None]:
    """Make up to 20 of the deliveries that wait for the origin which a message of the lane `DELIVER` names.

    Asks for: two `Scan`s and one `Get`; per delivery one `Get`, `Sign` and `Fetch`, four at a time; one commit.
    """
    peer: str = json.loads(leased.message.body)["to"]
    now = yield from Now()
    [circuit] = yield from Get((("circuit", "1", peer),))
    rows, waiting = yield from _rows(peer, now)
    old = [
        _Result(row, Answer.REFUSED, "too old, and the host does not answer") for row in rows if _is_old(site, row, now)
    ]
    early_s = None if circuit is None else unpack(circuit.value).early_s(now)
    if early_s is not None:
        if old:
            # Not tried, but as old as they are: a dead host must not keep its backlog for ever.
            yield from _record(site, leased, circuit, old, wait_s=0.0)
        else:
            _ = yield from Settle((Again(leased, early_s),))
        return
    if not rows:
        due_s = min((_due_s(due, now) for due in waiting.values()), default=None)
        _ = yield from Settle((Done(leased) if due_s is None else Again(leased, due_s),))
        return
    if site.federation.domain_rules.verdict(parse_origin(peer).host) is Severity.SUSPEND:
        yield from _record(site, leased, circuit, [_Result(row, Answer.REFUSED, "suspended") for row in rows])
        return
    held = [(row, waiting[row.line]) for row in rows if row.line in waiting]
    results = yield from _attempts(site, [row for row in rows if row.line not in waiting], now)
    yield from _record(site, leased, circuit, results, held=held)


def _is_old(site: Site, row: _Row, now: datetime) -> bool:
    created = of_instant_ms(row.fact.number("created"))
    return (now - created).total_seconds() >= site.federation.delivery_retries.age_s_max


def _rows(peer: str, now: datetime) -> Op[tuple[list[_Row], dict[tuple[str, str], str]]]:
    """Give up to 20 rows that are due, and when those are due that are not, by what they are in line with."""
    until = f"{instant_ms(now):014d}"
    again = yield from Scan(("out-retry", "1", peer), limit=_WAITING)
    first = yield from Scan(("out", "1", peer), limit=_STEP)
    due = [entry for entry in again if entry.key[3] <= until]
    waiting = [_Row(entry, unpack(entry.value)) for entry in again if entry.key[3] > until]
    rows = [_Row(entry, unpack(entry.value)) for entry in [*due, *first][:_STEP]]
    return rows, {row.line: row.entry.key[3] for row in waiting}


def _due_s(due: str, now: datetime) -> float:
    return max(0.0, (int(due) - instant_ms(now)) / 1000)


def _attempts(site: Site, rows: Sequence[_Row], now: datetime) -> Op[list[_Result]]:
    """Try as many of ``rows`` as the host takes and the time allows, each line in its order."""
    lines: dict[tuple[str, str], list[_Row]] = {}
    for row in rows:
        lines.setdefault(row.line, []).append(row)
    results: list[_Result] = []
    clock = now
    # One first: what it shows about the host, the others need not find out.
    at_once = 1
    while lines and (clock - now).total_seconds() < _BATCH_S:
        batch = list(lines)[:at_once]
        outcomes = yield from together(*[_attempt(site, lines[line][0], clock) for line in batch], limit=at_once)
        for line, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Raised):
                raise outcome.error
            _, *behind = lines.pop(line)
            result = outcome.value
            if result.answer is Answer.INBOX_FAILING:
                result = _Result(result.row, result.answer, result.detail, result.asked_s, behind=tuple(behind))
            elif behind:
                lines[line] = behind
            results.append(result)
        if any(result.answer in {Answer.HOST_FAILING, Answer.NOT_ASKED} for result in results):
            break
        at_once = _AT_ONCE
        clock = yield from Now()
    return results


def _attempt(site: Site, row: _Row, now: datetime) -> Op[_Result]:
    try:
        [sent] = yield from Get((("sent", "1", row.name),))
        if sent is None:
            return _Result(row, Answer.REFUSED, "what was sent is not kept any more")
        fact = unpack(sent.value)
        check_target(parse_url(row.inbox), site.fetching.addresses)
        key = yield from signing_key(fact.text("actor"))
        request = Request(
            "POST",
            row.inbox,
            Headers({"Content-Type": ACTIVITY_JSON, "User-Agent": site.fetching.user_agent}),
            fact.body,
            limits=DELIVERY_LIMITS,
            addresses=site.fetching.addresses,
        )
        unsigned = key.identity(site).prepare(request, now=now)
        signature = yield from Sign(key.name, unsigned.data)
        response = yield from Fetch(unsigned.attach(signature))
    except FetchFailed as error:
        return _Result(row, Answer.HOST_FAILING if error.retryable else Answer.REFUSED, str(error))
    except Unavailable as error:
        return _Result(row, Answer.NOT_ASKED, str(error))
    except RemoteError as error:
        return _Result(row, Answer.REFUSED, str(error))
    asked_s = parse_retry_after(response.headers.get("retry-after"), now=now, max_s=_RETRY_AFTER_S_MAX)
    return _Result(row, classify(response.status), f"status {response.status}", asked_s)


# --- recording ------------------------------------------------------------------------------------------------------


def _record(
    site: Site,
    leased: Leased,
    circuit: Entry | None,
    results: Sequence[_Result],
    *,
    held: Sequence[tuple[_Row, str]] = (),
    wait_s: float | None = None,
) -> Op[None]:
    """Commit what came of a step. ``wait_s`` is for steps in which nobody was asked: they say nothing about the host."""
    now = yield from Now()
    chance = int.from_bytes((yield from RandomBytes(2)), "big") / 65535
    writes: list[Write] = []
    if wait_s is None:
        change, wait_s = _circuit(site, circuit, results, now, chance, peer=json.loads(leased.message.body)["to"])
        writes += change
    for result in results:
        writes += _outcome(site, result, now, chance)
    for row, due in held:
        writes += row.moved(due)
    rows = [row for result in results for row in (result.row, *result.behind)] + [row for row, _ in held]
    # New rows may have come, and retries may wait: one more look costs two scans, and ends with `Done`.
    settlement: Settlement = Again(leased, wait_s)
    if not writes:
        _ = yield from Settle((settlement,))
        return
    done = yield from committed(
        [Check(row.entry.key, row.entry.version) for row in rows], writes, settles=(settlement,)
    )
    if done is False:
        _ = yield from Settle((settlement,))


def _circuit(
    site: Site, circuit: Entry | None, results: Sequence[_Result], now: datetime, chance: float, *, peer: str
) -> tuple[list[Write], float]:
    """Give what the results say about the host, and how long to wait."""
    key: Key = ("circuit", "1", peer)
    failing = next((result for result in results if result.answer is Answer.HOST_FAILING), None)
    if failing is None:
        answered = any(result.answer is not Answer.NOT_ASKED for result in results)
        ours = any(result.answer is Answer.NOT_ASKED for result in results)
        return [Delete(key)] if circuit is not None and answered else [], _OURS_S if ours else 0.0
    failures = 1 + (0 if circuit is None else unpack(circuit.value).number("failures"))
    policy = site.federation.delivery_retries
    # The circuit never gives up: rows do, by their age.
    attempt = min(failures, policy.attempts_max - 1)
    wait_s = policy.delay_s(attempt, age_s=0, chance=chance, asked_s=failing.asked_s) or 0.0
    state = {"failures": failures, "detail": failing.detail[:200], "due": instant_ms(now) + int(wait_s * 1000)}
    # At once for the backlog: what has grown too old is given up a step at a time, and then it waits.
    return [Put(key, pack(state), _DEAD_KEPT_S)], 0.0


def _outcome(site: Site, result: _Result, now: datetime, chance: float) -> list[Write]:
    """What becomes of one row, and of those behind it."""
    row = result.row
    fact, key = row.fact, row.entry.key
    match result.answer:
        case Answer.NOT_ASKED:
            return []
        case Answer.DELIVERED:
            return [Delete(key)]
        case Answer.REFUSED:
            _LOG.info("%s does not take %s: %s", row.inbox, row.name, result.detail)
            return [Delete(key), _dead(row, result, now)]
        case Answer.HOST_FAILING | Answer.INBOX_FAILING:
            attempts = fact.number("attempts") + 1
            age_s = (now - of_instant_ms(fact.number("created"))).total_seconds()
            delay_s = site.federation.delivery_retries.delay_s(
                attempts, age_s=age_s, chance=chance, asked_s=result.asked_s
            )
            if delay_s is None:
                _LOG.warning("gave up on delivering %s to %s: %s", row.name, row.inbox, result.detail)
                return [Delete(key), _dead(row, result, now)]
            changed = pack(dict(fact.members) | {"attempts": attempts})
            if result.answer is Answer.HOST_FAILING:
                return [Put(key, changed)]
            due = f"{instant_ms(now) + int(delay_s * 1000):014d}"
            return [*row.moved(due, changed), *(write for each in result.behind for write in each.moved(due))]


def _dead(row: _Row, result: _Result, now: datetime) -> Write:
    about = dict(row.fact.members) | {"reason": result.detail[:500], "died": instant_ms(now)}
    return Put(("dead", "1", "out", row.name, row.entry.key[-1]), pack(about), _DEAD_KEPT_S)
