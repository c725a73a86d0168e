"""Planning: from what was sent to one row for each inbox that it has to reach.

One sending is planned in steps: up to 20 recipients, or as many members of a collection. Each step is one commit that also moves the cursor, so
repeating a step changes nothing. Many members share an inbox, and it gets one row: within a step by comparing, and over several steps by a
marker, or the inbox would get the activity again for each step that finds it.

An inbox that only actors of other origins name is aimed at (`apcore.federation.outbox.circuit`), and one that an actor of its own origin names is not, whichever of
them is come upon first: a row that waits with what is aimed is moved.

Sendings about one object are planned one after another (they are one group of the queue), so that a Delete is not planned before its Create.
Only those whose recipients cannot be found out now leave that line: nobody waits for them. They are looked up again
when the pauses end that their failed look-ups began (`apcore.federation.outbox.inbox_lookups`), for as long as a delivery would be
tried.

Facts: ``("planned", "1", name, H(inbox))``, that a sending has a row for an inbox, and whether with what is aimed at it; kept as long
as what was sent.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Container, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import evolve, field, frozen

from apcore.collections import PageItems, members_page
from apcore.effects import Get, Now, Op, Raised, RandomBytes, Settle, commit, gather
from apcore.errors import ContractError, RequestError, Unavailable
from apcore.federation.actors.profiles import ActorUnknown, Inboxes, dispatch_actor, require_actor
from apcore.federation.inbox.receive import deliver_locally
from apcore.federation.moderation import Severity
from apcore.federation.outbox.circuit import backlog_of
from apcore.federation.outbox.deliver import deliver_message, row_key
from apcore.federation.outbox.inbox_lookups import InboxUnknown, look_up_inboxes
from apcore.federation.outbox.missing_inboxes import InboxOwner, find_current_inbox
from apcore.federation.outbox.pending_writes import SENT_KEPT_S, merged, send_message
from apcore.federation.routes import RouteMatch
from apcore.federation.site import Site
from apcore.federation.wake_ups import read_wake
from apcore.http import Url, parse_url
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
from apcore.records.format import Record, decode_record, due_in, encode_record, from_epoch_ms, to_epoch_ms
from apcore.vocab import Document, View

__all__ = ["STEPS_MAX", "plan"]

STEPS_MAX: Final = 100_000
"""A collection of the application's own whose pages never end is given up after two million members."""
_STEP: Final = 20
_AT_ONCE: Final = 4
_AIMED: Final = b"aimed"
"""What a marker holds where the row waits with what is aimed at the inbox's origin."""
_ASKED_S: Final = 15.0
"""For each recipient whose inbox is not known: 75 s for a step, which is less than its lease."""
_DEPOSIT_BYTES_MAX: Final = 4 * 1024 * 1024
"""Members of our own get a copy each, and a commit holds 8 MiB."""
_LOG: Final = logging.getLogger("apcore.delivery")


@frozen
class _Missed:
    """A recipient whose inbox could not be found out now."""

    uri: str
    attempts: int
    """How many times this sending has asked for it."""
    wait_s: float


@frozen
class _Reached:
    """Whom a step has found out about."""

    found: Sequence[InboxOwner] = ()
    ours: Sequence[str] = ()
    """Recipients of our own origin: their inbox is one commit away."""
    missed: Sequence[_Missed] = ()
    """Whose inbox could not be found out now."""


@frozen
class _Step:
    """What one step of planning has found out, and where the next one begins."""

    reached: _Reached
    left: list[str]
    """Who has yet to be looked at, a collection that is half read through included."""
    cursor: str | None = None
    skip: int = 0
    """How many items of the page at the cursor are done."""


@frozen
class _Sending:
    """A sending as it was read."""

    leased: LeasedMessage
    entry: Entry
    fact: Record
    size: int = field(kw_only=True)
    """How many recipients a step takes."""

    @property
    def name(self) -> str:
        return self.entry.key[2]

    @property
    def to(self) -> list[str]:
        to: list[str] = list(self.fact.members["to"])
        return to

    @property
    def created(self) -> datetime:
        return from_epoch_ms(self.fact.number("created"))

    def attempts(self, uri: str) -> int:
        """How many times it has looked up a recipient in vain."""
        attempts: int = self.fact.members.get("lookups", {}).get(uri, 0)
        return attempts

    @property
    def direct(self) -> frozenset[str]:
        """Recipients that the activity does not name."""
        return frozenset(self.fact.members.get("direct", ()))


def plan(site: Site, leased: LeasedMessage) -> Op[None]:
    """Do one step of planning who gets what was sent: up to 20 recipients, or as many members of a collection.

    Asks for: one `Get`; one `Scan` for a managed collection, or the handler of another one; the recipients' documents (see `load`) where their
    inboxes are not kept; the handlers of our own actors; one commit.
    """
    key = read_wake(leased.message).key
    [entry, sent] = yield from Get((key, ("sent", *key[1:])))
    if entry is None:
        _ = yield from Settle((Done(leased),))
        return
    fact = decode_record(entry.value)
    due_in_s = fact.due_in_s((yield from Now()))
    if due_in_s is not None:
        _ = yield from Settle((Retry(leased, due_in_s),))
        return
    if sent is None or fact.number("steps") >= STEPS_MAX:
        _LOG.error("gave up on planning %s after %d steps", fact.text("id"), fact.number("steps"))
        _ = yield from commit((Check(key, entry.version),), (DeleteEntry(key),), settles=(Done(leased),))
        return
    size = max(1, min(_STEP, _DEPOSIT_BYTES_MAX // len(sent.value)))
    sending = _Sending(leased, entry, fact, size=size)
    place = site.federation.places.read(site.origin, sending.to[0])
    if place is None or place.target.kind != "collection":
        step = yield from _to_recipients(site, sending)
    elif place.target.handler is None:
        step = yield from _to_members(site, sending)
    else:
        step = yield from _to_dispatched(site, sending, place)
    yield from _commit_step(site, sending, step)


# --- whom it is for -------------------------------------------------------------------------------------------------


def _to_recipients(site: Site, sending: _Sending) -> Op[_Step]:
    to = sending.to
    # A collection in between is for the next step.
    places = [site.federation.places.read(site.origin, uri) for uri in to[: sending.size]]
    size = next((n for n, place in enumerate(places) if place and place.target.kind == "collection"), len(places))
    reached = yield from _reach(site, sending, [(uri, None) for uri in to[:size]], direct=sending.direct)
    return _Step(reached, to[size:])


def _to_members(site: Site, sending: _Sending) -> Op[_Step]:
    to = sending.to
    page = yield from members_page(to[0], cursor=sending.fact.optional("cursor"), limit=sending.size, oldest_first=True)
    who = [(member.id, _kept_inboxes(member.item)) for member in page.items]
    reached = yield from _reach(site, sending, who, follows=to[0])
    return _Step(reached, to if page.next else to[1:], cursor=page.next)


def _to_dispatched(site: Site, sending: _Sending, place: RouteMatch) -> Op[_Step]:
    """Take the next few of a page of the application's own collection; its pages may be longer than a step."""
    to, cursor, skip = sending.to, sending.fact.optional("cursor"), sending.fact.number("skip")
    handler = place.target.handler
    page: PageItems | None = (
        None if handler is None else (yield from dispatch_actor(site, handler, place.identifier, cursor))
    )
    items = () if page is None else page.items
    reached = yield from _reach(site, sending, [(_id_of(item), None) for item in items[skip : skip + sending.size]])
    if skip + sending.size < len(items):
        return _Step(reached, to, cursor=cursor, skip=skip + sending.size)
    following = None if page is None else page.next
    return _Step(reached, to if following is not None else to[1:], cursor=following)


def _id_of(item: Any) -> str:
    if isinstance(item, View):
        item = item.document
    ident = item.id if isinstance(item, Document) else item
    if not isinstance(ident, str):
        raise ContractError(f"a collection that is sent to has ids or actors, not {ident!r:.60}")
    return ident


def _kept_inboxes(item: bytes) -> Inboxes | None:
    """Read what is kept beside a follower; nothing is if the application put it in."""
    members: dict[str, Any] = json.loads(item) if item else {}
    inbox = members.get("inbox")
    return Inboxes(inbox, members.get("shared")) if inbox else None


def _reach(
    site: Site,
    sending: _Sending,
    who: Sequence[tuple[str, Inboxes | None]],
    *,
    direct: Container[str] = (),
    follows: str | None = None,
) -> Op[_Reached]:
    """Find out the inboxes of ``who``, with what is known about them; only an inbox of their own will do for those in ``direct``.

    ``follows`` is the managed collection that they are in.
    """
    ours: dict[str, str] = {}
    inboxes: list[tuple[str, Inboxes]] = []
    unknown: list[str] = []
    sender = site.identifier_of(sending.fact.text("actor"))
    for uri, known in who:
        url = _read(uri)
        if url is None or site.federation.domain_rules.verdict(url.origin.host) is Severity.SUSPEND:
            continue
        if url.origin == site.origin:
            identifier = site.identifier_of(uri)
            if identifier is not None and identifier != sender:
                ours[identifier] = uri
        elif known is not None:
            inboxes.append((uri, known))
        else:
            unknown.append(uri)
    for identifier in list(ours):
        try:
            _ = yield from require_actor(site, identifier)
        except ActorUnknown:
            del ours[identifier]
    lookups = [look_up_inboxes(site, uri, within_s=_ASKED_S) for uri in unknown]
    outcomes = yield from gather(*lookups, limit=_AT_ONCE)
    missed: list[_Missed] = []
    for uri, outcome in zip(unknown, outcomes, strict=True):
        if not isinstance(outcome, Raised):
            inboxes.append((uri, Inboxes(outcome.value.inbox) if uri in direct else outcome.value))
        elif isinstance(outcome.error, Unavailable) and outcome.error.retryable:
            later = _asked_later(site, sending, uri, outcome.error, now=(yield from Now()))
            missed += [] if later is None else [later]
        else:
            _LOG.info("no delivery to %s: %s", uri, outcome.error)
    urls = [_read(each.shared or each.inbox) for _, each in inboxes]
    found = [
        InboxOwner(uri, each, url, follows)
        for (uri, each), url in zip(inboxes, urls, strict=True)
        if url is not None and _is_for_others(site, url)
    ]
    return _Reached(found, list(ours.values()), missed)


def _asked_later(site: Site, sending: _Sending, uri: str, error: Unavailable, *, now: datetime) -> _Missed | None:
    """Return when to look up a recipient again; None to give up on it.

    A recipient is given up only if it, or its host, was asked in vain when the sending was too old already. Another
    sending may have asked.
    """
    tried, is_charged = (error.tried, error.is_charged) if isinstance(error, InboxUnknown) else (now, True)
    attempts = sending.attempts(uri) + (1 if is_charged else 0)
    age_s = 0.0 if tried is None else (tried - sending.created).total_seconds()
    wait_s = site.federation.delivery_retries.delay_s(max(attempts, 1), age_s=max(age_s, 0.0), chance=1.0)
    if wait_s is None:
        _LOG.warning("gave up on finding the inbox of %s: %s", uri, error)
        return None
    return _Missed(uri, attempts, wait_s if error.retry_after_s is None else error.retry_after_s)


def _is_for_others(site: Site, url: Url) -> bool:
    return url.origin != site.origin and site.federation.domain_rules.verdict(url.origin.host) is not Severity.SUSPEND


def _read(uri: str) -> Url | None:
    try:
        return parse_url(uri)
    except RequestError as error:
        _LOG.info("no delivery to %.200s: %s", uri, error)
        return None


# --- what is written ------------------------------------------------------------------------------------------------


def _commit_step(site: Site, sending: _Sending, step: _Step) -> Op[None]:
    entry, fact = sending.entry, sending.fact
    now = yield from Now()
    checks = [Check(entry.key, entry.version)]
    writes: list[Write] = []
    messages: list[Message] = []
    there, changes = yield from find_current_inbox(site, step.reached.found)
    inboxes, aimed = yield from _not_yet_planned(
        site, sending, [each for each in there if _is_for_others(site, each.url)]
    )
    for left in changes:
        checks += left.checks
        writes += left.writes
    for inbox, each in inboxes.items():
        about = {
            "inbox": inbox,
            "created": to_epoch_ms(now),
            "origin": str(site.origin),
            "about": fact.optional("about"),
        }
        row = row_key(_backlog(site, each), fact.text("order"), sending.name, inbox)
        before = aimed.get(inbox)
        writes.append(Put(row, encode_record(about) if before is None else before.value))
        if before is not None:
            checks.append(Check(before.key, before.version))
            writes.append(DeleteEntry(before.key))
    for backlog in dict.fromkeys(_backlog(site, each) for each in inboxes.values()):
        ident = yield from RandomBytes(16)
        messages.append(deliver_message(backlog, ident, by=site.origin))
    for uri in step.reached.ours:
        change = yield from deliver_locally(site, fact, uri, name=sending.name)
        checks += change.checks
        writes += change.writes
        messages += change.messages
    rest, settlement, later = yield from _rest(site, sending, step)
    writes.append(rest)
    if isinstance(rest, Put):
        writes += [
            Put(_marker(sending, inbox), _AIMED if each.is_cross_origin else b"", SENT_KEPT_S)
            for inbox, each in inboxes.items()
        ]
    done = yield from commit(checks, merged(writes), messages=[*messages, *later], settles=(settlement,))
    if done is False:
        _ = yield from Settle((Retry(sending.leased, 0.0),))
        return
    for uri in step.reached.ours:
        _LOG.info("delivered %s to %s on this server", fact.text("id"), uri)


def _not_yet_planned(
    site: Site, sending: _Sending, found: Sequence[InboxOwner]
) -> Op[tuple[dict[str, InboxOwner], dict[str, Entry]]]:
    """Give the inboxes that need a row, shared ones once, each with somebody behind it; and the rows that wait among what is aimed, and are to be moved.

    Asks for: nothing in the first step, then one `Get`, and one more for rows that may have to be moved.
    """
    # An inbox that is where one of its actors is, is not aimed at anybody.
    ordered = sorted(found, key=lambda each: not each.is_cross_origin)
    inboxes = {str(each.url): each for each in ordered}
    if not inboxes or not sending.fact.number("steps"):
        return inboxes, {}
    marked = yield from Get([_marker(sending, inbox) for inbox in inboxes])
    markers = {inbox: entry for inbox, entry in zip(inboxes, marked, strict=True) if entry is not None}
    # Else whoever is the first to name a stranger's inbox decides that all who live there have to wait.
    own = [inbox for inbox, marker in markers.items() if marker.value == _AIMED and not inboxes[inbox].is_cross_origin]
    rows = (yield from Get([_aimed_row(site, sending, inboxes[inbox]) for inbox in own])) if own else ()
    # One that is gone was delivered, or tried at least: that is not repeated.
    aimed = {inbox: row for inbox, row in zip(own, rows, strict=True) if row is not None}
    return {inbox: each for inbox, each in inboxes.items() if inbox in aimed or inbox not in markers}, aimed


def _backlog(site: Site, each: InboxOwner) -> str:
    return backlog_of(each.url.origin, by=site.origin, aimed=each.is_cross_origin)


def _aimed_row(site: Site, sending: _Sending, each: InboxOwner) -> StoreKey:
    backlog = backlog_of(each.url.origin, by=site.origin, aimed=True)
    return row_key(backlog, sending.fact.text("order"), sending.name, str(each.url))


def _marker(sending: _Sending, inbox: str) -> StoreKey:
    return ("planned", "1", sending.name, digest_part(inbox))


def _rest(site: Site, sending: _Sending, step: _Step) -> Op[tuple[Write, Settlement, list[Message]]]:
    """Give what becomes of the fact: moved on, waiting for those who could not be reached, or gone."""
    now = yield from Now()
    fact, key, leased = sending.fact, sending.entry.key, sending.leased
    missed = step.reached.missed
    failed = [*fact.members.get("failed", ()), *(each.uri for each in missed)]
    # Those of earlier steps who are looked at only now have their earlier count.
    lookups = {**fact.members.get("lookups", {}), **{each.uri: each.attempts for each in missed}}
    dues = [to_epoch_ms(now) + int(each.wait_s * 1000) for each in missed]
    due = min([*dues, *fact.members.get("failed_due", ())], default=to_epoch_ms(now))
    members = dict(fact.members) | {
        "steps": fact.number("steps") + 1,
        "cursor": step.cursor,
        "skip": step.skip or None,
        "lookups": lookups or None,
    }
    if step.left:
        moved = members | {"to": step.left, "failed": failed or None, "failed_due": [due] if failed else None}
        return Put(key, encode_record(moved)), Retry(leased, 0.0), []
    if not failed:
        return DeleteEntry(key), Done(leased), []
    delay_s = max(0.0, (due - to_epoch_ms(now)) / 1000)
    waiting = members | {
        "to": failed,
        "failed": None,
        "failed_due": None,
        "lookups": {uri: lookups[uri] for uri in failed if lookups.get(uri)} or None,
    }
    waiting |= due_in(delay_s, now)
    # Out of its group: what comes later about the same object is not kept from all others by one who does not answer.
    name = yield from RandomBytes(16)
    wake = evolve(send_message(sending.name, name, by=site.origin, about=None), delay_s=delay_s)
    return Put(key, encode_record(waiting)), Done(leased), [wake]
