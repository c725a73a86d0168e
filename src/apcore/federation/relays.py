"""Subscribe the instance actor to relays (FEP-ae0c), and leave them.

A relay passes public activities on between servers that do not follow each other. There are two kinds:

- A relay of the ``mastodon`` kind is known by its inbox. It gets a Follow of `PUBLIC`, and sends the activities of
  others as they are, so these need an LD signature or a proof.
- A relay of the ``litepub`` kind is known by its actor. It gets a Follow of itself, follows back, and sends an Announce
  of each activity.

An accepted relay is in ``following`` of the instance actor, and what is there counts as a relay. The actor of a relay
that is known by its inbox is learned from its Accept: an actor on the inbox's origin that names our Follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

from attrs import evolve

from apcore.collections import contains, members_page
from apcore.effects import Get, Op, Scan
from apcore.errors import ContractError
from apcore.federation.actors.profiles import Inboxes
from apcore.federation.outbox.records import encode_inboxes
from apcore.federation.outbox.validation import check_recipients
from apcore.federation.received_writes import WriteEntry
from apcore.federation.relations.records import RELAYS, RelayKey, RelayRecord
from apcore.federation.relations.statements import read_statement
from apcore.federation.relations.stored import read_relation
from apcore.federation.relations.table import Direction, RelationEvent, RelationState
from apcore.federation.routes import RouteTable
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.write_notes import PendingWrite, PublishObject, RelationUpdate, SendActivity
from apcore.http import Origin, parse_url, same_origin
from apcore.ports import digest_part
from apcore.records import Stored
from apcore.vocab import PUBLIC, Activity, Create, Delete, Document, Move, Update, Visibility, audience_of

__all__ = [
    "RELAYS_MAX",
    "RelayKind",
    "adopt_relay",
    "is_for_relays",
    "is_relay",
    "may_follow_back",
    "note_join",
    "note_leave",
    "relay_states",
    "relays_collection",
    "relays_for",
]

RelayKind: TypeAlias = Literal["mastodon", "litepub"]
"""The kind of a relay: ``mastodon`` is known by its inbox, ``litepub`` by its actor."""

RELAYS_MAX: Final = 100
"""The most relays of one origin."""
_RELAYED: Final = (Create, Update, Delete, Move)
_AS2: Final = "https://www.w3.org/ns/activitystreams"


def note_join(scope: UnitOfWork[Any], url: str, kind: RelayKind) -> Op[str]:
    """Note the Follow that subscribes to a relay, and return its id. Joining again sends another Follow.

    Effects: one `Scan`.

    Raises:
        ValueError: ``url`` is no address, or ``kind`` is unknown.
        ContractError: The origin has `RELAYS_MAX` relays already.
    """
    check_recipients((url,))
    if kind not in get_args(RelayKind):
        raise ValueError(f"kind is {' or '.join(get_args(RelayKind))}, not {kind!r:.60}")
    if url == PUBLIC or parse_url(url).origin == scope.origin:
        raise ValueError(f"{url} is not the address of a relay on another server")
    origin = _origin_of(scope)
    stored_relays = yield from _read_relays(origin)
    if len(stored_relays) >= RELAYS_MAX and all(stored.record.url != url for stored in stored_relays):
        raise ContractError(f"{origin} has {len(stored_relays)} relays, at most {RELAYS_MAX}: leave one first")
    object_ = PUBLIC if kind == "mastodon" else url
    follow_id = scope.address(_sending(scope, {"type": "Follow", "object": object_}, url, kind))
    actor = url if kind == "litepub" else None
    record = RelayRecord(url=url, kind=kind, follow_id=follow_id, actor=actor)
    scope.notes.append(WriteEntry(RELAYS.put(RelayKey.of(origin, url), record)))
    return follow_id


def note_leave(scope: UnitOfWork[Any], url: str) -> Op[str | None]:
    """Note the Undo that ends a subscription, and return its id; None if there is none.

    Effects: one `Get`.
    """
    origin = _origin_of(scope)
    key = RelayKey.of(origin, url)
    [entry] = yield from Get((RELAYS.key(key),))
    record = RELAYS.decode(entry.value) if entry is not None else None
    if record is None:
        return None
    kind: RelayKind = "litepub" if record.kind == "litepub" else "mastodon"
    follow = {
        "id": record.follow_id,
        "type": "Follow",
        "actor": scope.places.actor_uri(origin, origin.host),
        "object": PUBLIC if kind == "mastodon" else url,
    }
    note = _sending(scope, {"type": "Undo", "object": follow}, url, kind)
    if kind == "mastodon" and record.actor is not None:
        # The Undo goes to the inbox, like the Follow, and ends the relation with the actor that has accepted it.
        us = scope.places.actor_uri(origin, origin.host)
        scope.notes.append(RelationUpdate(Direction.OUTBOUND, us, record.actor, RelationEvent.UNDO_FOLLOW))
    scope.notes.append(WriteEntry(RELAYS.delete(key)))
    return scope.address(note)


def relay_states(site: Site) -> Op[dict[str, str]]:
    """Return the state of the subscription to each relay: ``pending``, ``accepted``, ``rejected`` or ``none``.

    Effects: one `Scan`, and two `Get`s for each relay.
    """
    states: dict[str, str] = {}
    for stored in (yield from _read_relays(site.origin)):
        record = stored.record
        states[record.url] = "pending"
        if record.actor is not None:
            relation = yield from read_relation(
                site.federation.places, Direction.OUTBOUND, site.instance_uri, record.actor
            )
            states[record.url] = "none" if relation is None else relation.state.value
    return states


def relays_collection(routes: RouteTable, origin: Origin) -> str:
    """Return the address of the collection that holds the relays of ``origin``."""
    return routes.collection_uri(origin, "following", origin.host)


def is_relay(site: Site, actor: str) -> Op[bool]:
    """Return whether ``actor`` is a relay that the instance actor follows. Effects: one `Get`."""
    [is_member] = yield from contains(relays_collection(site.federation.places, site.origin), (actor,))
    return is_member


def relays_for(site: Site, notes: Sequence[PendingWrite]) -> Op[tuple[str, ...]]:
    """Return the collection of relays if there are any, and if one of ``notes`` may be for them.

    Effects: one `Scan`, if one of the notes may be for relays.
    """
    if not any(isinstance(note, PublishObject) or _is_sent_to_relays(note) for note in notes):
        return ()
    collection = relays_collection(site.federation.places, site.origin)
    page = yield from members_page(collection, cursor=None, limit=1)
    return (collection,) if page.items else ()


def is_for_relays(activity: Document) -> bool:
    """Return whether relays get an activity of ours: a public Create, Update, Delete or Move, as with Mastodon."""
    return any(map(activity.is_a, _RELAYED)) and audience_of(activity).visibility is Visibility.PUBLIC


def _is_sent_to_relays(note: PendingWrite) -> bool:
    return isinstance(note, SendActivity) and is_for_relays(note.activity)


def may_follow_back(site: Site, actor: str) -> Op[bool]:
    """Return whether ``actor`` may follow the instance actor: it is a relay that we have joined, or want to join.

    Effects: two `Get`s.
    """
    relation = yield from read_relation(site.federation.places, Direction.OUTBOUND, site.instance_uri, actor)
    return relation is not None and relation.state in {RelationState.PENDING, RelationState.ACCEPTED}


def adopt_relay(scope: UnitOfWork[Any], activity: Activity, actor: str) -> Op[list[PendingWrite]]:
    """Return the writes for an answer by a relay that was known by its inbox only; mostly none.

    Effects: one `Scan`, if the activity answers a Follow of the instance actor.
    """
    statement = read_statement(activity)
    follow_id = None if statement is None else statement.follow_id or statement.named_id
    if scope.origin is None or statement is None or statement.is_undo or follow_id is None:
        return []
    us = scope.places.actor_uri(scope.origin, scope.origin.host)
    events = [event for _, event in statement.events if event in {RelationEvent.ACCEPT, RelationEvent.REJECT}]
    if not events or follow_id.partition("#")[0] != us:
        return []
    for stored in (yield from _read_relays(scope.origin)):
        record = stored.record
        if record.actor is None and record.follow_id == follow_id and same_origin(record.url, actor):
            follow = RelationUpdate(Direction.OUTBOUND, us, actor, RelationEvent.FOLLOW, follow_id=follow_id)
            item = encode_inboxes(Inboxes(record.url))
            return [
                WriteEntry(RELAYS.put(stored.key, evolve(record, actor=actor))),
                evolve(follow, item=item),
                evolve(follow, event=events[0], answer_id=activity.document.id),
            ]
    return []


# --- leaves ---------------------------------------------------------------------------------------------------------


def _origin_of(scope: UnitOfWork[Any]) -> Origin:
    if scope.origin is None:
        raise ContractError("this node has no origin, so it has no instance actor that could follow a relay")
    return scope.origin


def _read_relays(origin: Origin) -> Op[Sequence[Stored[RelayRecord, RelayKey]]]:
    entries = yield from Scan(RELAYS.at(digest_part(str(origin))), limit=RELAYS_MAX)
    return [RELAYS.read(entry) for entry in entries]


def _sending(scope: UnitOfWork[Any], members: dict[str, Any], url: str, kind: RelayKind) -> SendActivity:
    tree = {"@context": _AS2, **members}
    document, by = Document(tree, tree), _origin_of(scope).host
    return SendActivity(document, by, (url,)) if kind == "litepub" else SendActivity(document, by, (), inboxes=(url,))
