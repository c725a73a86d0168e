"""Poll a subscription: make the requests that its walk needs, and hand the new activities to the inbox.

One message is one poll. Each page is one request. Its activities, the marks for its items and the position after it are
in one commit, so a crash anywhere loses no activity and repeats none. A poll that reaches a limit leaves its position,
and the next one goes on a minute later.

The activities are claimed like received ones (`apcore.federation.inbox.polled`), and workers process them like those:
by the same side effects and the same listeners.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import define, evolve

from apcore.effects import Get, Now, Op, RandomBytes, Settle, commit_batch
from apcore.errors import ApcoreError, FetchFailed, RemoteError
from apcore.federation.actors.keys import instance_identity, signing_key
from apcore.federation.domain_checks import check_domain
from apcore.federation.inbox.evidence import Authenticated
from apcore.federation.inbox.polled import polled_claim
from apcore.federation.moderation import Severity
from apcore.federation.refusals import one_line
from apcore.federation.site import Site
from apcore.federation.subscriptions.items import Source, claims_type, has_type, in_chunks, is_handled, proved_item
from apcore.federation.subscriptions.manage import next_poll, rescheduled
from apcore.federation.subscriptions.pace import pause_host, take_turn
from apcore.federation.subscriptions.records import SUBSCRIPTIONS, SubscriptionKey, SubscriptionRecord
from apcore.federation.subscriptions.schedule import after_failure, after_poll
from apcore.federation.subscriptions.source import NewPages, asks_home, find_collection, prove_owner, read_pages
from apcore.federation.subscriptions.walk import end_walk, is_changed, judge_page, restart_walk, with_marks
from apcore.federation.wake_ups import read_wake
from apcore.http import parse_url
from apcore.ports import NO_CHANGE, Batch, Done, LeasedMessage, Settlement
from apcore.records import Stored, defer
from apcore.remote import Identity, PeerFailing
from apcore.vocab import Reference

__all__ = ["poll"]

_AGAIN_S: Final = 60.0
"""The delay of a poll that goes on where it stopped."""
_POLL_S: Final = 120.0
"""A poll makes no further request after this time."""
_FETCHES_S: Final = 200.0
"""The time at which all requests of a poll must have ended. The worker's limit for a message is longer."""
_ROUNDS_MAX: Final = 3
"""The most attempts of a commit that meets a delivery of the same activity."""
_RETRIES_MAX: Final = 50
"""The most items of a subscription that are asked for again, since their server did not answer."""
_ATTEMPTS_MAX: Final = 10
"""The most polls in which such an item is asked for."""
_LOG: Final = logging.getLogger("apcore.poll")


class _Superseded(Exception):
    """The subscription was changed, ended, or polled by another worker meanwhile."""


def poll(site: Site, leased: LeasedMessage) -> Op[None]:
    """Poll the subscription that a message of the lane `POLL` names.

    Effects: one `Get` and `Now`; for each request those of `take_turn` and of the fetch; for each page one commit.
    """
    key = SUBSCRIPTIONS.parts_of(read_wake(leased.message).key)
    [entry] = yield from Get((SUBSCRIPTIONS.key(key),))
    stored = SUBSCRIPTIONS.read_optional(entry)
    now = yield from Now()
    if stored is None or stored.record.state == "gone" or stored.record.due_in_s(now) is not None:
        _ = yield from Settle((Done(leased),))
        return
    fetching = evolve(site.fetching, until=now + timedelta(seconds=_FETCHES_S))
    poll_run = _Poll(evolve(site, fetching=fetching), leased, stored, stored.record, now)
    try:
        try:
            yield from poll_run.walk()
        except (RemoteError, FetchFailed, PeerFailing) as error:
            yield from poll_run.fail(error)
    except _Superseded:
        _ = yield from Settle((Done(leased),))


@define
class _Poll:
    """One poll: the subscription as stored, and as it will be stored next."""

    site: Site
    leased: LeasedMessage
    stored: Stored[SubscriptionRecord, SubscriptionKey]
    record: SubscriptionRecord
    started: datetime
    fetches: int = 0
    """The number of items that were fetched."""

    def walk(self) -> Op[None]:
        """Read pages until the walk ends or a limit is reached."""
        policy = self.site.federation.polls
        identity = yield from self._identity()
        pages = 0
        while True:
            now = yield from Now()
            wait_s = yield from take_turn(
                self.site, parse_url(self.record.collection or self.record.address).origin.host
            )
            if wait_s or pages >= policy.pages_max or (now - self.started).total_seconds() > _POLL_S:
                yield from self._put_off(max(wait_s, _AGAIN_S if pages else 0.0), now)
                return
            if self.record.collection is None:
                self.record = yield from find_collection(self.site, self.record, identity)
                continue
            answer = yield from read_pages(self.site, self.record, identity, now)
            pages += 1
            self.record = answer.record
            if answer.base is not None and not answer.is_page and answer.onward is not None:
                self.record = evolve(self.record, onward=answer.onward)
                continue
            if self.record.owner is None and answer.items:
                self.record = yield from prove_owner(self.site, self.record, answer.items, identity)
            is_over = yield from self._handle_page(answer, identity, now)
            if is_over:
                return

    def fail(self, error: ApcoreError) -> Op[None]:
        """Record that a request failed, and when the next poll is due."""
        now = yield from Now()
        jitter = yield from self._jitter()
        is_home, policy = asks_home(self.record), self.site.federation.polls
        # A page that does not answer now is asked for again. One that is gone may only have another address by now.
        record = self.record if error.retryable else restart_walk(self.record)
        self.record = after_failure(record, policy, now, error, jitter=jitter)
        if self.record.state == "gone" and not is_home:
            self.record = evolve(self.record, state="missing")
        words = one_line(str(error), chars_max=300)
        _LOG.info("polling %s failed: %s: %s", one_line(self.record.address, chars_max=300), self.record.state, words)
        retry_after_s = error.retry_after_s if isinstance(error, PeerFailing) else None
        if retry_after_s is not None:
            yield from pause_host(parse_url(self.record.address).origin.host, now, retry_after_s)
        yield from self._commit((), ends=True)

    # --- one page ---------------------------------------------------------------------------------------------------

    def _handle_page(self, answer: NewPages, identity: Identity | None, now: datetime) -> Op[bool]:
        """Hand over the new activities of a page, and return whether the poll is over."""
        if answer.base is None:
            source = Source(origin=parse_url(self.record.address).origin, owner=None, identity=identity)
            activities, _ = yield from self._prove((), source, now)
            yield from self._end(activities, answer, now)
            return True
        source = Source(origin=answer.base.origin, owner=self.record.owner, identity=identity, context=answer.context)
        verdict = judge_page(self.record, answer.items, answer.onward)
        # The oldest first, so that listeners get activities in their order as far as workers keep it.
        candidates = verdict.new_items[::-1]
        activities, count = yield from self._prove(candidates, source, now)
        if count < len(candidates):
            # The rest of the page follows. It is read again, so nothing may say that it has not changed.
            self.record = with_marks(self.record, candidates[:count], now, new_items=count)
            self.record = evolve(self.record, etag=None, last_modified=None)
            yield from self._put_off(_AGAIN_S, now, activities)
            return True
        self.record = with_marks(self.record, answer.items, now, new_items=len(candidates))
        self.record = evolve(self.record, walked=self.record.walked + 1, onward=answer.onward)
        if verdict.is_last:
            yield from self._end(activities, answer, now)
            return True
        yield from self._commit(activities, ends=False)
        return False

    def _prove(
        self, items: Sequence[Reference], source: Source, now: datetime
    ) -> Op[tuple[list[tuple[Authenticated, bool]], int]]:
        """Return the activities among ``items`` that are handed over, and the number of items that were handled.

        Items of earlier polls whose servers did not answer come first.
        """
        activities: list[tuple[Authenticated, bool]] = []
        fetches_max = self.site.federation.polls.fetches_max
        earlier = self.record.retries if not self.record.fresh_marks else ()
        retries = [] if earlier else list(self.record.retries)
        for entry in earlier:
            attempts, _, uri = entry.partition(" ")
            activity, is_missing = yield from self._prove_one(Reference(uri), source, now)
            activities += [] if activity is None else [activity]
            if is_missing and int(attempts) < _ATTEMPTS_MAX:
                retries.append(f"{int(attempts) + 1} {uri}")
        count = 0
        for item in items:
            if self.fetches >= fetches_max:
                break
            activity, is_missing = yield from self._prove_one(item, source, now)
            activities += [] if activity is None else [activity]
            if is_missing and item.uri is not None:
                retries.append(f"1 {item.uri}")
            count += 1
        self.record = evolve(self.record, retries=tuple(dict.fromkeys(retries))[-_RETRIES_MAX:])
        return activities, count

    def _prove_one(
        self, item: Reference, source: Source, now: datetime
    ) -> Op[tuple[tuple[Authenticated, bool] | None, bool]]:
        """Return the activity that an item is, if it is handed over, and whether it is silenced.

        The last value tells whether the server of the item does not answer now.
        """
        types = self.record.types
        if not claims_type(item, types):
            return None, False
        try:
            if source.needs_fetch(item):
                self.fetches += 1
            proved = yield from proved_item(self.site, item, source, now, is_change=is_changed(self.record, item))
            if not is_handled(self.site, proved.document):
                return None, False
            if not (yield from has_type(self.site, proved.activity, types, source.identity)):
                return None, False
            severity = yield from check_domain(self.site, proved.actor)
        except (RemoteError, FetchFailed, PeerFailing) as error:
            words = (one_line(item.uri or "without an id", chars_max=300), one_line(str(error), chars_max=300))
            _LOG.info("ignored an item of %s: %s: %s", one_line(self.record.address, chars_max=300), *words)
            return None, error.retryable
        return (proved, severity is Severity.SILENCE), False

    # --- commits ----------------------------------------------------------------------------------------------------

    def _end(self, activities: Sequence[tuple[Authenticated, bool]], answer: NewPages, now: datetime) -> Op[None]:
        jitter = yield from self._jitter()
        new_items = self.record.walk_items
        policy = self.site.federation.polls
        record = end_walk(self.record)
        self.record = after_poll(record, policy, now, new_items=new_items, wish_s=answer.fresh_s, jitter=jitter)
        yield from self._commit(activities, ends=True)

    def _put_off(
        self, delay_s: float, now: datetime, activities: Sequence[tuple[Authenticated, bool]] = ()
    ) -> Op[None]:
        self.record = defer(self.record, delay_s, now)
        yield from self._commit(activities, ends=True)

    def _commit(self, activities: Sequence[tuple[Authenticated, bool]], *, ends: bool) -> Op[None]:
        """Store activities and the subscription, in one commit if they fit, the subscription in the last one.

        Raises:
            _Superseded: The subscription was changed meanwhile.
        """
        chunks = in_chunks(activities)
        for chunk in chunks[:-1]:
            yield from self._commit_chunk(chunk, self.stored.record, NO_CHANGE, settles=())
        settles = (Done(self.leased),) if ends else ()
        message = next_poll(self.stored.key, self.record, (yield from RandomBytes(16))) if ends else NO_CHANGE
        yield from self._commit_chunk(chunks[-1], self.record, message, settles=settles)

    def _commit_chunk(
        self,
        activities: Sequence[tuple[Authenticated, bool]],
        record: SubscriptionRecord,
        message: Batch,
        *,
        settles: Sequence[Settlement],
    ) -> Op[None]:
        key = self.stored.key
        for _round in range(_ROUNDS_MAX):
            batch, count = Batch([self.stored.check]) + message, 0
            for authenticated, is_silenced in activities:
                claim = yield from polled_claim(self.site, authenticated, silenced=is_silenced)
                # Two items may be one activity, such as an object with and without its Create.
                if claim is not None and not set(claim[1].checks) & set(batch.checks):
                    batch, count = batch + claim[1], count + 1
            new_record = evolve(record, activities=record.activities + count)
            batch += rescheduled(key, self.stored.record, new_record)
            version = yield from commit_batch(batch, settles=settles)
            if version is not False:
                put = SUBSCRIPTIONS.put(key, new_record)
                self.record = evolve(self.record, activities=new_record.activities)
                self.stored = Stored(key, new_record, evolve(self.stored.entry, value=put.value, version=version))
                return
            [entry] = yield from Get((SUBSCRIPTIONS.key(key),))
            if entry is None or entry.version != self.stored.entry.version:
                raise _Superseded
        raise _Superseded

    # --- leaves -----------------------------------------------------------------------------------------------------

    def _identity(self) -> Op[Identity]:
        if self.record.by is None:
            return (yield from instance_identity(self.site))
        key = yield from signing_key(self.site, self.site.actor_uri(self.record.by))
        return key.identity(self.site)

    def _jitter(self) -> Op[float]:
        return int.from_bytes((yield from RandomBytes(2)), "big") / 65535
