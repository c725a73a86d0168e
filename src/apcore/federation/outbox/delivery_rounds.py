"""Make rounds of attempts: some deliveries of a step, all at the same time.

A step may have many deliveries of few activities, of few senders. So each activity and each key is read once in a step.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from attrs import define, evolve, field, frozen

from apcore.effects import Get, Op, Raised, gather
from apcore.errors import ContractError, RemoteError, Unavailable
from apcore.federation.actors.key_ring import KeyRing, OwnKey, key_ring_key
from apcore.federation.actors.keys import signing_key
from apcore.federation.followers_sync import followers_field
from apcore.federation.outbox.attempt import AttemptOutcome, AttemptResult, post
from apcore.federation.outbox.backlog import WaitingDelivery
from apcore.federation.outbox.records import FOLLOWER_DIGESTS, SENT_ACTIVITIES, SendingKey, SentRecord
from apcore.federation.site import Site
from apcore.ports import Entry, StoreKey
from apcore.remote import Dialect

__all__ = ["ROUND_MAX", "SendingMaterial"]

ROUND_MAX: Final = 4
"""The most deliveries of one round."""

_LOG: Final = logging.getLogger("apcore.delivery")


@frozen
class _PreparedDelivery:
    """A delivery with everything that its request needs."""

    inbox: str
    sent: SentRecord
    key: OwnKey
    followers: str | None
    """The value of `Collection-Synchronization`, if the request has one."""


@define
class SendingMaterial:
    """The activities and the keys that a step has read so far."""

    site: Site
    unable_senders: set[str] = field(factory=set[str])
    """Senders whose keys cannot sign now. An empty string stands for a sender that could not be read."""
    _entries: dict[StoreKey, Entry | None] = field(factory=dict[StoreKey, Entry | None])
    """The entries of activities, of followers' digests and of the keys of senders."""
    _keys: dict[tuple[str, str | None], OwnKey] = field(factory=dict[tuple[str, str | None], OwnKey])
    """The signing keys, by the sender and the name of the preferred key."""

    def missing_keys(self, deliveries: Sequence[WaitingDelivery]) -> list[StoreKey]:
        """Return the keys of the entries that some deliveries need and that were not read before."""
        keys: dict[StoreKey, None] = {}
        for delivery in deliveries:
            name = SendingKey(delivery.name)
            keys |= dict.fromkeys((SENT_ACTIVITIES.key(name), FOLLOWER_DIGESTS.key(name)))
            if delivery.record.actor is not None:
                keys[key_ring_key(delivery.record.actor)] = None
        return [key for key in keys if key not in self._entries]

    def add_entries(self, keys: Sequence[StoreKey], entries: Sequence[Entry | None]) -> None:
        """Add the entries of some `missing_keys`."""
        self._entries.update(zip(keys, entries, strict=True))

    def attempt(
        self, deliveries: Sequence[WaitingDelivery], known_dialect: Dialect | None, now: datetime
    ) -> Op[list[AttemptResult]]:
        """Attempt up to `ROUND_MAX` deliveries at the same time, first in ``known_dialect``.

        Asks for: one `Get` for all entries that were not read before; as `post`; and as `signing_key` for a sender that
        the delivery does not name, or that has no keys.
        """
        try:
            if keys := self.missing_keys(deliveries):
                self.add_entries(keys, (yield from Get(keys)))
        except Unavailable as error:
            self.unable_senders.add("")
            return [AttemptResult(AttemptOutcome.NOT_ASKED, str(error)) for _ in deliveries]
        prepared: list[_PreparedDelivery | AttemptResult] = []
        for delivery in deliveries:
            prepared += [(yield from self._prepare(delivery))]
        posts = [self._post(one, known_dialect, now) for one in prepared if isinstance(one, _PreparedDelivery)]
        attempts = iter((yield from _overlap(posts)))
        return [next(attempts) if isinstance(one, _PreparedDelivery) else one for one in prepared]

    def _prepare(self, delivery: WaitingDelivery) -> Op[_PreparedDelivery | AttemptResult]:
        name = SendingKey(delivery.name)
        entry, digests = self._entries[SENT_ACTIVITIES.key(name)], self._entries[FOLLOWER_DIGESTS.key(name)]
        if entry is None:
            return AttemptResult(AttemptOutcome.REFUSED, "the activity is not stored any more")
        sender = ""
        try:
            sent = SENT_ACTIVITIES.read(entry).record
            sender = sent.actor
            if sender in self.unable_senders:
                return AttemptResult(AttemptOutcome.NOT_ASKED, "the key of this sender cannot sign now")
            # The key that was named at sending counts for the first attempt only. A retry uses the key that signs now:
            # the first attempt may have failed because the peer no longer knows the named key.
            key = yield from self._key(sender, None if delivery.record.attempts else sent.key_name)
            inbox = delivery.record.inbox
            return _PreparedDelivery(inbox, sent, key, followers_field(digests, inbox))
        except Unavailable as error:
            self.unable_senders.add(sender)
            return AttemptResult(AttemptOutcome.NOT_ASKED, str(error))
        except RemoteError as error:
            return AttemptResult(AttemptOutcome.REFUSED, str(error))
        except ContractError as error:
            # A newer release wrote the record, and will deliver it. The other results of the step are still recorded.
            _LOG.warning("cannot read the activity %s, so it is left to a newer release: %s", delivery.name, error)
            return AttemptResult(AttemptOutcome.NOT_ASKED, str(error))

    def _key(self, sender: str, prefer: str | None) -> Op[OwnKey]:
        key = self._keys.get((sender, prefer))
        if key is None:
            entry = self._entries.get(key_ring_key(sender))
            ring = None if entry is None else KeyRing.read(sender, entry)
            key = self._keys[sender, prefer] = yield from signing_key(self.site, sender, prefer=prefer, ring=ring)
        return key

    def _post(self, prepared: _PreparedDelivery, known_dialect: Dialect | None, now: datetime) -> Op[AttemptResult]:
        sent = prepared.sent
        attempt = yield from post(
            self.site,
            prepared.inbox,
            sent.body,
            key=prepared.key,
            known_dialect=known_dialect,
            followers=prepared.followers,
            now=now,
        )
        if attempt.outcome is AttemptOutcome.NOT_ASKED:
            self.unable_senders.add(sent.actor)
        return evolve(attempt, activity=sent.activity_id, sender=sent.actor)


def _overlap(posts: Sequence[Op[AttemptResult]]) -> Op[list[AttemptResult]]:
    if len(posts) <= 1:
        return [] if not posts else [(yield from posts[0])]
    outcomes = yield from gather(*posts, limit=ROUND_MAX)
    results: list[AttemptResult] = []
    for outcome in outcomes:
        if isinstance(outcome, Raised):
            raise outcome.error
        results.append(outcome.value)
    return results
