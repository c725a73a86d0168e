"""What an application does of its own accord, outside any handler: the same writes as in one, in one commit of their own."""

from __future__ import annotations

from apcore.effects import Op, RandomBytes, committed
from apcore.errors import StoreBusy
from apcore.federation.scope import Note, Publishing, Sending
from apcore.federation.scoping import scope_for
from apcore.federation.site import Site
from apcore.federation.writes import flush

__all__ = ["act"]

_ATTEMPTS_MAX = 5


def act(site: Site, *notes: Note) -> Op[tuple[str, ...]]:
    """Commit what ``notes`` want, with the messages that follow from it; answers the ids of what is sent or published.

    Asks for: as `flush`, and one commit; again, at most five times, if what it counted on has changed meanwhile.

    Raises:
        StoreBusy: It has changed each time.
    """
    seed = yield from RandomBytes(16)
    for _ in range(_ATTEMPTS_MAX):
        scope = scope_for(site, seed=seed)
        ids: list[str] = []
        for note in notes:
            if isinstance(note, Sending | Publishing):
                ids.append(scope.address(note))
            else:
                scope.notes.append(note)
        flushed = yield from flush(site, scope)
        done = yield from committed(flushed.checks, flushed.writes, messages=flushed.messages)
        if done is not False:
            return tuple(ids)
    raise StoreBusy(f"what was to be written had changed each of {_ATTEMPTS_MAX} times")
