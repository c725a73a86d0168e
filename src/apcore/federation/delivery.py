"""Deliveries: from what was sent to rows per inbox, and from rows to POSTs.

Planning turns one sending into rows, a bounded number a step, each step one commit that also moves the cursor: repeating a step changes
nothing, since rows have names that follow from what they are for. Delivering works through the rows of one peer's origin at a time: one
wake-up, one lease, so a dead host is one delayed message however much waits for it, and nobody else waits for it.

Facts::

    ("out", "1", origin, name, H(inbox))                 to deliver, in the order it was sent
    ("out-retry", "1", origin, due, name, H(inbox))      to deliver again when due: its own inbox would not take it
    ("circuit", "1", origin)                             the host does not answer: how often, since when

A peer gets every activity at least once, always with the same id and the same bytes; twice only if an answer was lost, or a crash came between it
and its commit. The signature is made anew for each attempt.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import datetime
from enum import Enum, auto
from typing import Any, Final

from attrs import field, frozen

from apcore.collections import members_page
from apcore.effects import Fetch, Get, Now, Op, Outcome, Raised, RandomBytes, Scan, Settle, Sign, committed, together
from apcore.errors import AddressBlocked, FetchFailed, RemoteError, Unavailable
from apcore.facts import Fact, instant_ms, named_key, of_instant_ms, pack, unpack
from apcore.federation.actors import Inboxes, inboxes_of
from apcore.federation.inbox import deposit
from apcore.federation.keys import signing_key
from apcore.federation.moderation import Severity
from apcore.federation.site import Site
from apcore.http import ACTIVITY_JSON, DELIVERY_LIMITS, Headers, Request, parse_retry_after, parse_url
from apcore.ports import Again, Check, Delete, Done, Entry, Key, Leased, Message, Put, Settlement, Write, digest_part

__all__ = ["DELIVER", "Answer", "classify", "deliver", "deliver_message", "plan"]

DELIVER: Final = "deliver"
"""The lane of the queue for deliveries."""
_STEP: Final = 20
_AT_ONCE: Final = 4
_RETRY_AFTER_S_MAX: Final = 86400.0
_DEAD_KEPT_S: Final = 30 * 86400.0
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


def classify(status: int) -> Answer:
    """Tell what a status means for a delivery (as the field has it: most 4xx are final, 401 and 408 are not)."""
    if 200 <= status < 300:
        return Answer.DELIVERED
    if status in {401, 408, 425}:
        return Answer.INBOX_FAILING
    if status == 429 or (status >= 500 and status != 501):
        return Answer.HOST_FAILING
    return Answer.REFUSED


# --- planning -------------------------------------------------------------------------------------------------------


def deliver_message(peer: str, name: bytes) -> Message:
    """Make the wake-up for the deliveries to a peer's origin."""
    return Message(name, DELIVER, json.dumps({"to": peer}).encode(), dedup=peer, group=peer)


@frozen
class _Step:
    """What one step of planning has found out."""

    found: Sequence[Inboxes]
    ours: Sequence[str]
    """Recipients of our own origin: their inbox is one commit away."""
    left: list[str]
    """Who has yet to be looked at, a collection that is half read through included."""
    failed: list[str] = field(factory=list[str])
    """Whose inbox could not be found out now."""
    cursor: str | None = None


def plan(site: Site, leased: Leased) -> Op[None]:
    """Do one step of planning who gets what was sent: up to 20 recipients, or one page of followers.

    Asks for: one `Get`, one `Scan` for followers or the recipients' documents (see `load`) for others, and one commit.
    """
    key = named_key(leased.message.body.decode())
    [entry] = yield from Get((key,))
    if entry is None:
        _ = yield from Settle((Done(leased),))
        return
    fact = unpack(entry.value)
    early_s = fact.early_s((yield from Now()))
    if early_s is not None:
        _ = yield from Settle((Again(leased, early_s),))
        return
    to: list[str] = list(fact.members["to"])
    place = site.federation.places.read(site.origin, to[0])
    if place is not None and place.target.kind == "collection":
        step = yield from _read_page(site, to, fact.optional("cursor"))
    else:
        step = yield from _ask_recipients(site, to)
    yield from _commit_step(site, leased, entry, fact, step)


def _read_page(site: Site, to: list[str], cursor: str | None) -> Op[_Step]:
    page = yield from members_page(to[0], cursor=cursor, limit=_STEP, oldest_first=True)
    ours = [member.id for member in page.items if site.identifier_of(member.id) is not None]
    found = [_kept_inboxes(member.item) for member in page.items if member.id not in ours]
    return _Step([each for each in found if each.inbox], ours, to if page.next else to[1:], cursor=page.next)


def _ask_recipients(site: Site, to: list[str]) -> Op[_Step]:
    # A collection in between is for the next step.
    places = [site.federation.places.read(site.origin, uri) for uri in to[:_STEP]]
    size = next((n for n, place in enumerate(places) if place and place.target.kind == "collection"), len(places))
    batch = to[:size]
    ours = [uri for uri in batch if site.identifier_of(uri) is not None]
    theirs = [uri for uri, place in zip(batch, places, strict=False) if place is None]
    outcomes = yield from together(*[inboxes_of(site, uri) for uri in theirs], limit=_AT_ONCE)
    found = [outcome.value for outcome in outcomes if not isinstance(outcome, Raised)]
    failed = [uri for uri, outcome in zip(theirs, outcomes, strict=True) if _is_passing(uri, outcome)]
    return _Step(found, ours, to[size:], failed)


def _is_passing(uri: str, outcome: Outcome[Inboxes]) -> bool:
    if not isinstance(outcome, Raised):
        return False
    if isinstance(outcome.error, Unavailable) and outcome.error.retryable:
        return True
    _LOG.info("no delivery to %s: %s", uri, outcome.error)
    return False


def _kept_inboxes(item: bytes) -> Inboxes:
    members: dict[str, Any] = json.loads(item) if item else {}
    return Inboxes(members.get("inbox", ""), members.get("shared"))


def _commit_step(site: Site, leased: Leased, entry: Entry, fact: Fact, step: _Step) -> Op[None]:
    now = yield from Now()
    chance = yield from RandomBytes(2)
    writes, peers = _rows_for(site, step.found, entry.key[2], now)
    messages: list[Message] = []
    for peer in peers:
        ident = yield from RandomBytes(16)
        messages.append(deliver_message(peer, ident))
    checks = [Check(entry.key, entry.version)]
    for uri in step.ours:
        change = yield from deposit(site, fact, uri, name=entry.key[2])
        checks += change.checks
        writes += change.writes
        messages += change.messages
    attempts = fact.number("attempts") + (1 if step.failed and not step.left else 0)
    delay_s: float | None = 0.0
    if step.failed and not step.left:
        age_s = (now - of_instant_ms(fact.number("created"))).total_seconds()
        part = int.from_bytes(chance, "big") / 65535
        delay_s = site.federation.delivery_retries.delay_s(attempts, age_s=age_s, chance=part)
    left = [*step.left, *step.failed]
    settlement: Settlement = Done(leased)
    if left and delay_s is not None:
        members = dict(fact.members) | {"to": left, "cursor": step.cursor, "attempts": attempts}
        members["due"] = instant_ms(now) + int(delay_s * 1000)
        writes.append(Put(entry.key, pack(members)))
        settlement = Again(leased, delay_s)
    else:
        if left:
            _LOG.warning("gave up on finding the inboxes of %s", left)
        writes.append(Delete(entry.key))
    done = yield from committed(checks, writes, messages=messages, settles=(settlement,))
    if done is False:
        _ = yield from Settle((Again(leased, 0.0),))


def _rows_for(site: Site, found: Sequence[Inboxes], name: str, now: datetime) -> tuple[list[Write], list[str]]:
    """Give the rows for some inboxes, shared ones once, and the origins that they are at."""
    writes: list[Write] = []
    peers: dict[str, None] = {}
    for inbox in dict.fromkeys(each.shared or each.inbox for each in found):
        origin = parse_url(inbox).origin
        if origin == site.origin or site.federation.domain_rules.verdict(origin.host) is Severity.SUSPEND:
            continue
        peers[str(origin)] = None
        row = ("out", "1", str(origin), name, digest_part(inbox))
        writes.append(Put(row, pack({"inbox": inbox, "created": instant_ms(now)})))
    return writes, list(peers)


# --- delivering -----------------------------------------------------------------------------------------------------


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


@frozen
class _Result:
    row: _Row
    answer: Answer
    detail: str
    asked_s: float | None = None


def deliver(site: Site, leased: Leased) -> Op[None]:
    """Make up to 20 of the deliveries that wait for the origin which a message of the lane `DELIVER` names.

    Asks for: two `Scan`s and two `Get`s; per delivery one `Get`, `Now`, `Sign` and `Fetch`, four at a time; one commit.
    """
    peer: str = json.loads(leased.message.body)["to"]
    now = yield from Now()
    [circuit] = yield from Get((("circuit", "1", peer),))
    early_s = None if circuit is None else unpack(circuit.value).early_s(now)
    if early_s is not None:
        _ = yield from Settle((Again(leased, early_s),))
        return
    rows = yield from _rows(peer, now)
    if not rows:
        due_s = yield from _next_retry_s(peer, now)
        _ = yield from Settle((Done(leased) if due_s is None else Again(leased, due_s),))
        return
    # One first: what it shows about the host, the others need not find out.
    first = yield from _attempt(site, rows[0], now)
    results = [first]
    if first.answer is Answer.HOST_FAILING:
        # Not tried, but as old as they are: a dead host must not keep its backlog for ever.
        results += [_Result(row, first.answer, first.detail) for row in rows[1:] if _is_old(site, row, now)]
    elif len(rows) > 1:
        outcomes = yield from together(*[_attempt(site, row, now) for row in rows[1:]], limit=_AT_ONCE)
        for outcome in outcomes:
            if isinstance(outcome, Raised):
                raise outcome.error
            results.append(outcome.value)
    yield from _record(site, leased, peer, results)


def _is_old(site: Site, row: _Row, now: datetime) -> bool:
    created = of_instant_ms(row.fact.number("created"))
    return (now - created).total_seconds() >= site.federation.delivery_retries.age_s_max


def _rows(peer: str, now: datetime) -> Op[list[_Row]]:
    until = f"{instant_ms(now):014d}"
    again = yield from Scan(("out-retry", "1", peer), limit=_STEP)
    first = yield from Scan(("out", "1", peer), limit=_STEP)
    due = [entry for entry in again if entry.key[3] <= until]
    return [_Row(entry, unpack(entry.value)) for entry in [*due, *first][:_STEP]]


def _next_retry_s(peer: str, now: datetime) -> Op[float | None]:
    [*earliest] = yield from Scan(("out-retry", "1", peer), limit=1)
    if not earliest:
        return None
    return max(0.0, (int(earliest[0].key[3]) - instant_ms(now)) / 1000)


def _attempt(site: Site, row: _Row, now: datetime) -> Op[_Result]:
    [sent] = yield from Get((("sent", "1", row.name),))
    if sent is None:
        return _Result(row, Answer.REFUSED, "what was sent is not kept any more")
    fact = unpack(sent.value)
    try:
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
    except AddressBlocked as error:
        return _Result(row, Answer.REFUSED, str(error))
    except FetchFailed as error:
        return _Result(row, Answer.HOST_FAILING, str(error))
    except Unavailable as error:
        return _Result(row, Answer.INBOX_FAILING, str(error), error.retry_after_s)
    except RemoteError as error:
        return _Result(row, Answer.REFUSED, str(error))
    asked_s = parse_retry_after(response.headers.get("retry-after"), now=now, max_s=_RETRY_AFTER_S_MAX)
    return _Result(row, classify(response.status), f"status {response.status}", asked_s)


def _record(site: Site, leased: Leased, peer: str, results: Sequence[_Result]) -> Op[None]:
    now = yield from Now()
    chance = int.from_bytes((yield from RandomBytes(2)), "big") / 65535
    circuit_key: Key = ("circuit", "1", peer)
    [circuit] = yield from Get((circuit_key,))
    writes: list[Write] = []
    # New rows may have come, and retries may wait: one more look costs two scans, and ends with `Done`.
    wait_s = 0.0
    failing = next((result for result in results if result.answer is Answer.HOST_FAILING), None)
    if failing is not None:
        failures = 1 + (0 if circuit is None else unpack(circuit.value).number("failures"))
        policy = site.federation.delivery_retries
        # The circuit never gives up: rows do, by their age.
        attempt = min(failures, policy.attempts_max - 1)
        wait_s = policy.delay_s(attempt, age_s=0, chance=chance, asked_s=failing.asked_s) or 0.0
        state = {"failures": failures, "detail": failing.detail[:200], "due": instant_ms(now) + int(wait_s * 1000)}
        writes.append(Put(circuit_key, pack(state), _DEAD_KEPT_S))
    elif circuit is not None:
        writes.append(Delete(circuit_key))
    for result in results:
        writes += _outcome(site, result, now, chance)
    checks = [Check(result.row.entry.key, result.row.entry.version) for result in results]
    done = yield from committed(checks, writes, settles=(Again(leased, wait_s),))
    if done is False:
        _ = yield from Settle((Again(leased, wait_s),))


def _outcome(site: Site, result: _Result, now: datetime, chance: float) -> list[Write]:
    """What becomes of one row."""
    row = result.row
    fact, key = row.fact, row.entry.key
    match result.answer:
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
            return [Delete(key), Put(("out-retry", "1", key[2], due, row.name, key[-1]), changed)]


def _dead(row: _Row, result: _Result, now: datetime) -> Write:
    about = dict(row.fact.members) | {"reason": result.detail[:500], "died": instant_ms(now)}
    return Put(("dead", "1", "out", row.name, row.entry.key[-1]), pack(about), _DEAD_KEPT_S)
