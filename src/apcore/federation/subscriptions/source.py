"""Find the collection that a subscription is about, and read its pages one request at a time.

The address may be that of an actor. Then its outbox is polled; if the outbox shows nothing, its featured objects are.
The owner of a collection is the actor that was asked for it. Otherwise it is the one that the collection names, or the
actor of an embedded activity whose own document names the collection as its outbox.

A collection is polled at its first page, if that has an address: then a poll is one request. Now and then the
collection itself is read, since its first page may move.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from attrs import evolve, frozen

from apcore.collections.cursors import Cursor, ReadPages, advance, begin
from apcore.collections.shapes import is_collection
from apcore.effects import Op
from apcore.errors import RemoteError
from apcore.federation.site import Site
from apcore.federation.subscriptions.records import SubscriptionRecord
from apcore.http import Headers, Url, Validators, fresh_until, parse_url, same_origin, validators_of
from apcore.remote import Identity, LoadedDocument, NotFound, WrongId, load
from apcore.remote.documents import load_changed
from apcore.vocab import Actor, Kind, Reference, kind_of, owners_of, same_id

__all__ = ["NewPages", "asks_home", "find_collection", "prove_owner", "read_pages"]

_HOME_EVERY: Final = 50
"""The number of polls after which the collection itself is read in place of its first page."""
_FRESH_S_MAX: Final = 30 * 86400.0


@frozen(kw_only=True)
class NewPages:
    """The answer to one request for a part of a collection."""

    record: SubscriptionRecord
    """The subscription, with the addresses and validators that the answer brought."""
    items: tuple[Reference, ...] = ()
    """The items, in their order."""
    base: Url | None = None
    """The address that answered; None if nothing has changed."""
    context: Any = None
    onward: str | None = None
    """The address of the next page."""
    is_page: bool = True
    """Whether the answer was a page with items; False for a collection that only leads to its pages."""
    ended: str | None = None
    """The reason why the next page is not read, in words."""
    fresh_s: float = 0.0
    """How long the source says that the answer is fresh."""


def find_collection(site: Site, record: SubscriptionRecord, identity: Identity | None) -> Op[SubscriptionRecord]:
    """Return the subscription with the address of its collection.

    Effects: those of `load`; one more for an actor.

    Raises:
        ApcoreError: The address cannot be loaded, or is neither an actor nor a collection.
    """
    loaded = yield from load(record.address, policy=site.fetching, identity=identity, unnamed=True)
    document = loaded.document
    if kind_of(document) is not Kind.ACTOR:
        owners = owners_of(document) if is_collection(document) else ()
        owner = owners[0] if len(owners) == 1 and same_origin(owners[0], str(loaded.url)) else None
        return evolve(record, collection=record.address, owner=owner)
    actor = Actor.over(document)
    actor_id = document.id or record.address
    featured = None if actor.featured is None else actor.featured.uri
    addresses = [uri for uri in (actor.outbox, featured) if uri is not None and same_origin(uri, actor_id)]
    for address in addresses[:-1]:
        if (yield from _shows_items(site, address, identity)):
            return evolve(record, collection=address, owner=actor_id)
    if not addresses:
        raise NotFound(f"{record.address} is an actor without an outbox on its own origin")
    return evolve(record, collection=addresses[-1], owner=actor_id)


def _shows_items(site: Site, address: str, identity: Identity | None) -> Op[bool]:
    """Return whether a collection has items or pages."""
    try:
        loaded = yield from load(address, policy=site.fetching, identity=identity, unnamed=True)
        pages = begin(_cursor(address, loaded.url), loaded.document)
    except RemoteError:
        return False
    return pages.cursor.next is not None or any(pages.pages)


def asks_home(record: SubscriptionRecord) -> bool:
    """Return whether the next request is for the collection itself, and not for one of its pages."""
    return record.onward is None and (record.page is None or record.polls % _HOME_EVERY == _HOME_EVERY - 1)


def read_pages(site: Site, record: SubscriptionRecord, identity: Identity | None, now: datetime) -> Op[NewPages]:
    """Make the next request of a walk, or the first of a new one.

    Effects: those of one fetch.

    Raises:
        ApcoreError: It fails, or is answered with something else than a part of a collection.
    """
    if record.onward is not None:
        return (yield from _read_onward(site, record, identity))
    collection = record.collection or record.address
    is_home = asks_home(record)
    url = collection if is_home or record.page is None else record.page
    validators = Validators(record.etag, record.last_modified) if url == (record.page or collection) else Validators()
    loaded, headers = yield from load_changed(url, validators=validators, policy=site.fetching, identity=identity)
    fresh_s = _fresh_s(headers, now)
    if loaded is None:
        return NewPages(record=evolve(record, unchanged=record.unchanged + 1), fresh_s=fresh_s)
    _check_origin(url, loaded)
    if not is_home:
        record = _with_validators(record, headers)
        return _answer(record, advance(_cursor(collection, loaded.url, record), loaded), loaded, fresh_s=fresh_s)
    pages = begin(_cursor(collection, loaded.url), loaded.document)
    has_items = any(pages.pages)
    page = None if has_items else pages.cursor.next
    if page is None or page != record.page:
        record = evolve(record, page=page, etag=None, last_modified=None)
    if page is None:
        record = _with_validators(record, headers)
    record = evolve(record, link=pages.cursor.onward)
    return evolve(_answer(record, pages, loaded, fresh_s=fresh_s), is_page=has_items or page is None)


def _read_onward(site: Site, record: SubscriptionRecord, identity: Identity | None) -> Op[NewPages]:
    url = record.onward or ""
    collection = record.collection or record.address
    loaded, headers = yield from load_changed(url, validators=Validators(), policy=site.fetching, identity=identity)
    _check_origin(url, loaded)
    assert loaded is not None
    if url == record.page and record.walked == 0:
        record = _with_validators(record, headers)
    return _answer(record, advance(_cursor(collection, loaded.url, record), loaded), loaded, fresh_s=0.0)


def prove_owner(
    site: Site, record: SubscriptionRecord, items: tuple[Reference, ...], identity: Identity | None
) -> Op[SubscriptionRecord]:
    """Return the subscription with the owner of its collection, if the actor of an embedded activity is the owner.

    The actor's document must name the collection as its outbox. Effects: those of `load`.
    """
    collection = record.collection or record.address
    for item in items:
        actors = (
            () if item.embedded is None or kind_of(item.embedded) is not Kind.ACTIVITY else owners_of(item.embedded)
        )
        if len(actors) != 1 or not same_origin(actors[0], collection):
            continue
        try:
            loaded = yield from load(actors[0], policy=site.fetching, identity=identity)
        except RemoteError:
            return record
        outbox = Actor.over(loaded.document).outbox
        if kind_of(loaded.document) is Kind.ACTOR and outbox is not None and same_id(outbox, collection):
            return evolve(record, owner=loaded.document.id)
        return record
    return record


# --- leaves ---------------------------------------------------------------------------------------------------------


def _cursor(collection: str, base: Url, record: SubscriptionRecord | None = None) -> Cursor:
    home = tuple(dict.fromkeys((collection, str(base))))
    return Cursor(
        collection=collection, home=home, base=base, pages=1, onward="next" if record is None else record.link
    )


def _answer(record: SubscriptionRecord, pages: ReadPages, loaded: LoadedDocument, *, fresh_s: float) -> NewPages:
    return NewPages(
        record=record,
        items=tuple(item for page in pages.pages for item in page),
        base=loaded.url,
        context=loaded.document.tree.get("@context"),
        onward=pages.cursor.next,
        ended=pages.cursor.ended,
        fresh_s=fresh_s,
    )


def _check_origin(url: str, loaded: LoadedDocument | None) -> None:
    if loaded is not None and loaded.url.origin != parse_url(url).origin:
        raise WrongId(f"{url} is answered by {loaded.url}, of another origin")


def _with_validators(record: SubscriptionRecord, headers: Headers) -> SubscriptionRecord:
    validators = validators_of(headers)
    return evolve(record, etag=validators.etag, last_modified=validators.last_modified)


def _fresh_s(headers: Headers, now: datetime) -> float:
    until = fresh_until(headers, received=now, default_s=0.0, max_s=_FRESH_S_MAX)
    return max(0.0, (until - now).total_seconds())
