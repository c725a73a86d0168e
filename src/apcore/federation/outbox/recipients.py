"""Find the recipients of one step of a sending, and the inboxes that reach them.

A step has up to 20 addresses, or up to 20 members of one collection. Recipients at our own origin are reached without a
request. The inboxes of followers are stored with them; those of others are looked up.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import field, frozen

from apcore.collections import PageItems, members_page
from apcore.effects import Now, Op, Raised, gather
from apcore.errors import ContractError, RequestError, Unavailable
from apcore.federation.actors.profiles import ActorUnknown, Inboxes, dispatch_page, require_actor
from apcore.federation.domain_checks import read_suspensions
from apcore.federation.outbox.inbox_lookups import InboxUnknown, look_up_inboxes
from apcore.federation.outbox.missing_inboxes import InboxOwner
from apcore.federation.outbox.records import SendingKey, SendingRecord, SentRecord, decode_inboxes
from apcore.federation.relations.stored import blocked_among, own_requests_collection, requests_collection
from apcore.federation.routes import RouteMatch
from apcore.federation.site import Site
from apcore.federation.time_limits import LOOKUP_S, LOOKUPS_AT_ONCE
from apcore.http import Url, parse_url
from apcore.ports import LeasedMessage
from apcore.records import Stored
from apcore.vocab import Document, View

__all__ = ["FailedLookup", "PlanStep", "Recipients", "Sending", "find_step", "item_id", "keep_deliverable"]

_LOG: Final = logging.getLogger("apcore.delivery")


@frozen
class FailedLookup:
    """A recipient whose inbox cannot be found now."""

    uri: str
    attempts: int
    """The number of failed look-ups that count for this sending, this one included."""
    wait_s: float
    """The seconds until the next one."""


@frozen
class Recipients:
    """The recipients of a step, by the way they are reached."""

    remote: Sequence[InboxOwner] = ()
    """Recipients with an inbox on another origin."""
    local: Sequence[str] = ()
    """Recipients of our own origin: the commit of the step delivers to them."""
    failed_lookups: Sequence[FailedLookup] = ()


@frozen
class PlanStep:
    """The recipients of one step of planning, and the place where the next step begins."""

    recipients: Recipients
    remaining: tuple[str, ...]
    """The addresses for the next steps. A collection that is partly read is the first of them."""
    cursor: str | None = None
    skip: int = 0
    """The number of items of the page at the cursor that are planned already."""


@frozen
class Sending:
    """A sending as it is stored."""

    leased: LeasedMessage
    stored: Stored[SendingRecord, SendingKey]
    activity: SentRecord
    """The activity as it is delivered."""
    size: int = field(kw_only=True)
    """The number of recipients in a step."""

    @property
    def name(self) -> str:
        """The name of the sending."""
        return self.stored.key.name

    @property
    def record(self) -> SendingRecord:
        """The stored record."""
        return self.stored.record


def find_step(site: Site, sending: Sending) -> Op[PlanStep]:
    """Return the recipients of the next step of a sending, and the place where the step after it begins.

    Asks for: one `Scan` for a managed collection, or the handler of another one; one `Get` for the actors that the
    sender blocks; the recipients' documents (see `load`) where their inboxes are not cached; the handlers of our own
    actors.
    """
    first = sending.record.recipients[0]
    place = site.federation.places.read(site.origin, first)
    if not _is_collection(sending, first, place):
        return (yield from _find_addresses(site, sending))
    if place is None or place.target.handler is None or place.target.kind != "collection":
        return (yield from _find_members(site, sending))
    return (yield from _find_dispatched(site, sending, place))


def _is_collection(sending: Sending, address: str, place: RouteMatch | None) -> bool:
    """Return whether an address is a collection of ours. The sender's pending requests count, which have no route."""
    if place is not None and place.target.kind == "collection":
        return True
    return address in {requests_collection(sending.record.actor), own_requests_collection(sending.record.actor)}


def _find_addresses(site: Site, sending: Sending) -> Op[PlanStep]:
    addresses = sending.record.recipients
    # The step ends before the first collection, which gets steps of its own.
    places = [site.federation.places.read(site.origin, uri) for uri in addresses[: sending.size]]
    is_collection = [_is_collection(sending, uri, place) for uri, place in zip(addresses, places, strict=False)]
    size = next((number for number, is_one in enumerate(is_collection) if is_one), len(places))
    recipients = yield from _find_recipients(
        site,
        sending,
        [(uri, Inboxes(uri) if uri in sending.record.inboxes else None) for uri in addresses[:size]],
        direct=sending.record.direct,
    )
    return PlanStep(recipients, addresses[size:])


def _find_members(site: Site, sending: Sending) -> Op[PlanStep]:
    addresses, cursor = sending.record.recipients, sending.record.cursor
    page = yield from members_page(addresses[0], cursor=cursor, limit=sending.size, oldest_first=True)
    members = [(member.id, decode_inboxes(member.item)) for member in page.items]
    recipients = yield from _find_recipients(site, sending, members, follows=addresses[0])
    return PlanStep(recipients, addresses if page.next else addresses[1:], cursor=page.next)


def _find_dispatched(site: Site, sending: Sending, place: RouteMatch) -> Op[PlanStep]:
    """Find the recipients among the next items of an application's collection. Its pages may be longer than a step."""
    addresses, cursor, skip = sending.record.recipients, sending.record.cursor, sending.record.skip
    page: PageItems | None = yield from dispatch_page(site, place, cursor)
    items = () if page is None else page.items
    uris = [(item_id(item), None) for item in items[skip : skip + sending.size]]
    recipients = yield from _find_recipients(site, sending, uris)
    if skip + sending.size < len(items):
        return PlanStep(recipients, addresses, cursor=cursor, skip=skip + sending.size)
    next_cursor = None if page is None else page.next
    return PlanStep(recipients, addresses if next_cursor is not None else addresses[1:], cursor=next_cursor)


def item_id(item: Any) -> str:
    """Return the id of a collection's item: an id, a document or a view.

    Raises:
        ContractError: It is something else.
    """
    if isinstance(item, View):
        item = item.document
    ident = item.id if isinstance(item, Document) else item
    if not isinstance(ident, str):
        raise ContractError(
            f"the handler of a collection that is sent to returned {ident!r:.60}: return ids, or actors with an id"
        )
    return ident


def _find_recipients(
    site: Site,
    sending: Sending,
    addressees: Sequence[tuple[str, Inboxes | None]],
    *,
    direct: Container[str] = (),
    follows: str | None = None,
) -> Op[Recipients]:
    """Find the inboxes of ``addressees``, each an actor's id with its inboxes if they are stored.

    Those in ``direct`` are reached at their own inbox, never at a shared one. ``follows`` is the managed collection
    that the addressees are members of.
    """
    local: dict[str, str] = {}
    inboxes: list[tuple[str, Inboxes]] = []
    unresolved_uris: list[str] = []
    sender = site.identifier_of(sending.record.actor)
    if sending.record.skips_blocked:
        blocked = yield from blocked_among(sending.record.actor, [uri for uri, _ in addressees])
        addressees = [addressee for addressee in addressees if addressee[0] not in blocked]
    address_urls = {uri: url for uri, _ in addressees if (url := _parse_address(uri)) is not None}
    suspensions = yield from read_suspensions(site, {url.origin.host for url in address_urls.values()})
    for uri, stored_inboxes in addressees:
        url = address_urls.get(uri)
        if url is None or url.origin.host in suspensions:
            continue
        if url.origin == site.origin:
            identifier = site.identifier_of(uri)
            if identifier is not None and identifier != sender:
                local[identifier] = uri
        elif stored_inboxes is not None:
            inboxes.append((uri, stored_inboxes))
        else:
            unresolved_uris.append(uri)
    for identifier in list(local):
        try:
            _ = yield from require_actor(site, identifier)
        except ActorUnknown:
            del local[identifier]
    lookups = [look_up_inboxes(site, uri, within_s=LOOKUP_S) for uri in unresolved_uris]
    outcomes = yield from gather(*lookups, limit=LOOKUPS_AT_ONCE)
    failed_lookups: list[FailedLookup] = []
    for uri, outcome in zip(unresolved_uris, outcomes, strict=True):
        if not isinstance(outcome, Raised):
            inboxes.append((uri, Inboxes(outcome.value.inbox) if uri in direct else outcome.value))
        elif isinstance(outcome.error, Unavailable) and outcome.error.retryable:
            lookup = _failed_lookup(site, sending, uri, outcome.error, now=(yield from Now()))
            failed_lookups += [] if lookup is None else [lookup]
        else:
            _LOG.info("no delivery to %s: %s", uri, outcome.error)
    urls = [_parse_address(actor_inboxes.shared or actor_inboxes.inbox) for _, actor_inboxes in inboxes]
    remote = [
        InboxOwner(uri, actor_inboxes, url, follows)
        for (uri, actor_inboxes), url in zip(inboxes, urls, strict=True)
        if url is not None and url.origin != site.origin
    ]
    return Recipients(remote, list(local.values()), failed_lookups)


def _failed_lookup(site: Site, sending: Sending, uri: str, error: Unavailable, *, now: datetime) -> FailedLookup | None:
    """Return a failed look-up with the time of the next one; None to give the recipient up.

    The age of this sending counts at the last failed request to the recipient or its host, and not now. That request
    may have been made for another sending.
    """
    tried, is_charged = (error.tried, error.is_charged) if isinstance(error, InboxUnknown) else (now, True)
    attempts = sending.record.lookups.get(uri, 0) + (1 if is_charged else 0)
    age_s = 0.0 if tried is None else (tried - sending.record.created).total_seconds()
    wait_s = site.federation.delivery_retries.delay_s(max(attempts, 1), age_s=max(age_s, 0.0), jitter=1.0)
    if wait_s is None:
        _LOG.warning("gave up on finding the inbox of %s: %s", uri, error)
        return None
    return FailedLookup(uri, attempts, wait_s if error.retry_after_s is None else error.retry_after_s)


def keep_deliverable(site: Site, owners: Sequence[InboxOwner]) -> Op[list[InboxOwner]]:
    """Return those whose inbox is on another origin than ours, and on no suspended domain.

    Effects: those of `read_suspensions`.
    """
    remote = [owner for owner in owners if owner.url.origin != site.origin]
    suspensions = yield from read_suspensions(site, {owner.url.origin.host for owner in remote})
    return [owner for owner in remote if owner.url.origin.host not in suspensions]


def _parse_address(uri: str) -> Url | None:
    try:
        return parse_url(uri)
    except RequestError as error:
        _LOG.info("no delivery to %.200s: %s", uri, error)
        return None
