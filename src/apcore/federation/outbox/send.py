"""Send, publish, and change relations and actors outside of any handler, in a commit of its own.

The writes are the same as those of a handler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from apcore.effects import Get, Op, RandomBytes, commit_batch
from apcore.errors import StoreBusy
from apcore.federation.actors.actions import note_deletion
from apcore.federation.actors.keys import read_key_ring
from apcore.federation.actors.profiles import actor_view
from apcore.federation.actors.records import OWN_ACTORS, OwnActorKey
from apcore.federation.outbox.pending_writes import flush
from apcore.federation.relations.actions import RelationChange, note_action, note_follow
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.unit_setup import unit_of_work_for
from apcore.federation.write_notes import PendingWrite, PublishObject, SendActivity

__all__ = [
    "RecipientUnknown",
    "act",
    "check_noted_actors",
    "commit_action",
    "commit_change",
    "commit_deletion",
    "commit_follow",
    "commit_notes",
]

_ATTEMPTS_MAX: Final = 5

T = TypeVar("T")


class RecipientUnknown(ValueError):
    """A recipient has the form of an actor of ours, but there is no such actor."""


def act(site: Site, *notes: PendingWrite) -> Op[tuple[str, ...]]:
    """Commit the writes of ``notes``, and return the ids of the activities and objects that are sent or published.

    Asks for: the handler of each actor of ours that sends, publishes or is a recipient; then as `flush`, and one
    commit. All are repeated, up to five times, if a record that they depend on has changed meanwhile.

    Raises:
        ValueError: An actor that is to send or publish does not exist, or a recipient is no address.
        StoreBusy: A record changed each of the five times.
    """
    for by in dict.fromkeys(note.by for note in notes if isinstance(note, SendActivity | PublishObject)):
        yield from _check_sender(site, by)

    def note_all(scope: UnitOfWork[Any]) -> Op[tuple[str, ...]]:
        ids: list[str] = []
        for note in notes:
            if isinstance(note, SendActivity | PublishObject):
                ids.append(scope.address(note))
                yield from _check_local_actors(site, scope.notes[-1])
            else:
                scope.notes.append(note)
        return tuple(ids)

    return (yield from commit_notes(site, note_all))


def commit_action(site: Site, change: RelationChange, actor: str, by: str) -> Op[str | None]:
    """Send the activity that changes the relation of our actor ``by`` and ``actor``.

    Return its id, or None if there is nothing to change. Effects and errors are those of `act` and of ``change``.
    """
    yield from _check_sender(site, by)
    return (yield from commit_notes(site, lambda scope: note_action(scope, change, actor, by)))


def commit_follow(site: Site, actor: str, by: str) -> Op[str]:
    """Send the Follow of ``actor`` by our actor ``by``, and return its id. Effects and errors are those of `act`."""
    yield from _check_sender(site, by)
    return (yield from commit_notes(site, lambda scope: note_follow(scope, actor, by)))


def commit_change(site: Site, by: str, note_change: Callable[[UnitOfWork[Any]], str]) -> Op[str]:
    """Send the activity that ``note_change`` notes about our actor ``by``, and return its id.

    Effects and errors are those of `act` and of ``note_change``.
    """
    yield from _check_sender(site, by)
    return (yield from _commit_change(site, note_change))


def commit_deletion(site: Site, identifier: str) -> Op[str | None]:
    """Delete our actor ``identifier``, and return the id of the Delete; None if it is deleted already.

    The application's handler may know the actor no longer. Effects and errors are those of `act`, and one `Get`.
    """
    actor = site.actor_uri(identifier)
    [entry] = yield from Get((OWN_ACTORS.key(OwnActorKey.of(actor)),))
    if entry is not None and OWN_ACTORS.decode(entry.value).is_deleted:
        return None
    if (yield from read_key_ring(actor)) is None:
        yield from _check_sender(site, identifier)
    return (yield from _commit_change(site, lambda scope: note_deletion(scope, identifier)))


def _commit_change(site: Site, note_change: Callable[[UnitOfWork[Any]], str]) -> Op[str]:
    def note_once(scope: UnitOfWork[Any]) -> Op[str]:
        yield from ()  # an operation without effects
        return note_change(scope)

    return (yield from commit_notes(site, note_once))


def check_noted_actors(site: Site, notes: Sequence[PendingWrite]) -> Op[None]:
    """Check the actors of ours that noted activities and objects are by, or go to.

    Raises:
        ValueError: The federation has no such actor.
    """
    for by in dict.fromkeys(note.by for note in notes if isinstance(note, SendActivity | PublishObject)):
        yield from _check_sender(site, by)
    for note in notes:
        yield from _check_local_actors(site, note)


def _check_local_actors(site: Site, note: PendingWrite) -> Op[None]:
    """Refuse a recipient on our own origin that is no actor."""
    addressing = note.addressing if isinstance(note, SendActivity | PublishObject) else None
    for uri in () if addressing is None else addressing.recipients:
        place = site.federation.places.read(site.origin, uri)
        if place is not None and place.target.kind == "actor" and (yield from actor_view(site, place)) is None:
            raise RecipientUnknown(f"to={uri!r:.200}: the federation has no such actor")


def _check_sender(site: Site, by: str) -> Op[None]:
    if by == site.origin.host:
        return  # the instance actor
    place = site.federation.places.read(site.origin, site.actor_uri(by))
    if place is None or (yield from actor_view(site, place)) is None:
        raise ValueError(f"by={by!r:.60}: the federation has no such actor")


def commit_notes(site: Site, write_notes: Callable[[UnitOfWork[Any]], Op[T]]) -> Op[T]:
    """Commit the notes that ``write_notes`` adds to a new unit of work, and return its answer.

    A repetition has the same seed, so it mints the same ids. Effects and errors are those of `act` and of
    ``write_notes``.
    """
    seed = yield from RandomBytes(16)
    for _ in range(_ATTEMPTS_MAX):
        scope = unit_of_work_for(site, seed=seed)
        answer = yield from write_notes(scope)
        if not scope.notes:
            return answer
        batch = yield from flush(site, scope)
        if (yield from commit_batch(batch)) is not False:
            return answer
    raise StoreBusy(f"other writers changed the same records {_ATTEMPTS_MAX} times in a row: try again later")
