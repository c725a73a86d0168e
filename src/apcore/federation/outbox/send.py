"""Send and publish outside of any handler, in a commit of its own.

The writes are the same as those of a handler.
"""

from __future__ import annotations

from apcore.effects import Op, RandomBytes, commit_batch
from apcore.errors import StoreBusy
from apcore.federation.actors.profiles import actor_view
from apcore.federation.outbox.pending_writes import flush
from apcore.federation.site import Site
from apcore.federation.unit_of_work import PendingWrite, PublishObject, SendActivity
from apcore.federation.unit_setup import unit_of_work_for

__all__ = ["act"]

_ATTEMPTS_MAX = 5


def act(site: Site, *notes: PendingWrite) -> Op[tuple[str, ...]]:
    """Commit the writes of ``notes``, and return the ids of the activities and objects that are sent or published.

    Asks for: the handler of each actor that sends or publishes; then as `flush`, and one commit. Both are repeated, up
    to five times in all, if a record that they depend on has changed meanwhile.

    Raises:
        ValueError: An actor that is to send or publish does not exist, or a recipient is no address.
        StoreBusy: A record changed each of the five times.
    """
    for by in dict.fromkeys(note.by for note in notes if isinstance(note, SendActivity | PublishObject)):
        place = site.federation.places.read(site.origin, site.actor_uri(by))
        if place is None or (yield from actor_view(site, place)) is None:
            raise ValueError(f"by={by!r:.60}: the federation has no such actor")
    seed = yield from RandomBytes(16)
    for _ in range(_ATTEMPTS_MAX):
        scope = unit_of_work_for(site, seed=seed)
        ids: list[str] = []
        for note in notes:
            if isinstance(note, SendActivity | PublishObject):
                ids.append(scope.address(note))
            else:
                scope.notes.append(note)
        batch = yield from flush(site, scope)
        if (yield from commit_batch(batch)) is not False:
            return tuple(ids)
    raise StoreBusy(f"other writers changed the same records {_ATTEMPTS_MAX} times in a row: try again later")
