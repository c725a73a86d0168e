"""Be a relay (FEP-ae0c): pass public activities of subscribed servers on to all other subscribers.

`Federation.relay` names the actor of ours that is a relay. Its followers are the subscribers: the instance actors of
other servers. A server subscribes with a Follow of `PUBLIC`, as Mastodon does, or with a Follow of the relay itself, as
Pleroma does. The policy of `Federation.follows` decides about both. The relay follows the second kind back.

A public Create, Update, Delete or Move is passed on once, if a server of its author's origin subscribes:

- as received, if it carries a proof or an LD signature, so that all subscribers can verify it;
- else, for a Create, as an Announce of its object, which the subscribers fetch from its origin.

Other activities are not passed on, and neither are those of silenced domains.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import evolve

from apcore.collections import members_page
from apcore.effects import Get, Op
from apcore.federation.inbox.records import FORWARDED, ForwardedKey, ForwardedRecord, ReceivedActivityRecord
from apcore.federation.outbox.forwarding import is_signed, received_bytes
from apcore.federation.received_writes import ForwardActivity, WriteBatch
from apcore.federation.relays import is_for_relays
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.write_notes import SendActivity
from apcore.http import same_origin
from apcore.ports import Batch
from apcore.vocab import Activity, Announce, Create, Document

__all__ = ["SUBSCRIBERS_MAX", "may_be_relayed", "relay_to_subscribers"]

SUBSCRIBERS_MAX: Final = 1000
"""The most subscribers among which the author's server is looked for. Servers that subscribed earlier are not found."""
_PAGE: Final = 100
_AS2: Final = "https://www.w3.org/ns/activitystreams"


def may_be_relayed(site: Site, document: Document) -> bool:
    """Return whether an activity is of those that a relay of ours passes on."""
    return site.federation.places.relay_identifier is not None and is_for_relays(document)


def relay_to_subscribers(
    site: Site, scope: UnitOfWork[Any], record: ReceivedActivityRecord, document: Document
) -> Op[None]:
    """Note that a received activity is passed on to the subscribers of our relay, if the rules above say so.

    Effects: none without a relay. Else up to ten `Scan`s and two `Get`s.
    """
    relay = site.federation.places.relay_identifier
    if relay is None or not is_for_relays(document) or record.auth_method is None or scope.is_silenced:
        return
    subscribers = site.collection_uri("followers", relay)
    if not (yield from _has_subscriber_of(subscribers, record.actor)):
        return
    if is_signed((yield from received_bytes(scope))):
        _note_forwarding(scope, relay, subscribers)
    elif document.is_a(Create):
        object_ = Activity.over(document).object
        if object_ is not None and object_.uri is not None and same_origin(object_.uri, record.actor):
            note = _announce(object_.uri, relay, subscribers)
            yield from _note_once(site, scope, note)


def _has_subscriber_of(subscribers: str, author: str) -> Op[bool]:
    cursor: str | None = None
    for _ in range(SUBSCRIBERS_MAX // _PAGE):
        page = yield from members_page(subscribers, cursor=cursor, limit=_PAGE)
        if any(same_origin(member.id, author) for member in page.items):
            return True
        cursor = page.next
        if cursor is None:
            return False
    return False


def _note_forwarding(scope: UnitOfWork[Any], relay: str, subscribers: str) -> None:
    """Note the forwarding to subscribers, together with one to followers that is noted already."""
    for number, note in enumerate(scope.notes):
        if isinstance(note, ForwardActivity) and note.is_by_rule:
            scope.notes[number] = evolve(note, to=(*note.to, subscribers))
            return
    scope.notes.append(ForwardActivity(relay, (subscribers,), is_by_rule=True))


def _announce(object_uri: str, relay: str, subscribers: str) -> SendActivity:
    tree = {"@context": _AS2, "type": Announce.type_name, "object": object_uri, "to": [subscribers]}
    return SendActivity(Document(tree, tree), relay, (subscribers,))


def _note_once(site: Site, scope: UnitOfWork[Any], note: SendActivity) -> Op[None]:
    """Note an Announce, unless the activity was passed on already when it came to another inbox."""
    marker = ForwardedKey.of(str(scope.actor), str(scope.activity_id), site.origin)
    [entry] = yield from Get((FORWARDED.key(marker),))
    if entry is not None:
        return
    if not any(isinstance(noted, ForwardActivity) and noted.is_by_rule for noted in scope.notes):
        # Else the forwarding writes the same mark.
        scope.notes.append(WriteBatch(Batch([FORWARDED.absent(marker)], [FORWARDED.put(marker, ForwardedRecord())])))
    _ = scope.address(note)
