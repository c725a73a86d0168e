"""What an application does of its own accord, outside any handler: the same writes as in one, in one commit of their own."""

from __future__ import annotations

from apcore.effects import Op, RandomBytes, commit
from apcore.errors import StoreBusy
from apcore.federation.actors.profiles import actor_view
from apcore.federation.outbox.pending_writes import flush
from apcore.federation.site import Site
from apcore.federation.unit_of_work import PendingWrite, PublishObject, SendActivity
from apcore.federation.unit_setup import unit_of_work_for

__all__ = ["act"]

_ATTEMPTS_MAX = 5


def act(site: Site, *notes: PendingWrite) -> Op[tuple[str, ...]]:
    """Commit what ``notes`` want, with the messages that follow from it; answers the ids of what is sent or published.

    Asks for: the handler of each actor who sends or publishes; then as `flush`, and one commit; again, at most five times, if what that counted on
    has changed meanwhile.

    Raises:
        ValueError: There is no actor who is to send or publish, or a recipient is no address.
        StoreBusy: It has changed each time.
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
        flushed = yield from flush(site, scope)
        done = yield from commit(flushed.checks, flushed.writes, messages=flushed.messages)
        if done is not False:
            return tuple(ids)
    raise StoreBusy(f"what was to be written had changed each of {_ATTEMPTS_MAX} times")
