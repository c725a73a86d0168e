"""Make and commit a unit of work outside of any handler, for `Node.context`.

The code that notes its writes runs once, so only the commit is repeated if other writers change the same records.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import evolve

from apcore.effects import Op, RandomBytes, commit_batch
from apcore.errors import StoreBusy
from apcore.federation.outbox.pending_writes import flush
from apcore.federation.outbox.send import check_noted_actors
from apcore.federation.serving.access import signer_of_request
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.unit_setup import unit_of_work_for
from apcore.http import Request

__all__ = ["commit_unit", "new_unit"]

_ATTEMPTS_MAX: Final = 5


def new_unit(site: Site, request: Request | None) -> Op[UnitOfWork[Any]]:
    """Return a unit of work for a program's own code, which may be answering ``request``.

    Effects: `RandomBytes`.
    """
    seed = yield from RandomBytes(16)
    if request is not None:
        site = evolve(site, request=request, memo={}, identify=signer_of_request)
    return unit_of_work_for(site, seed=seed)


def commit_unit(site: Site, scope: UnitOfWork[Any]) -> Op[None]:
    """Commit the notes of a unit of work, if there are any.

    Asks for: the handler of each actor of ours that sends, publishes or is a recipient; then as `flush`, and one
    commit. These are repeated, up to five times, if a record that they depend on has changed meanwhile.

    Raises:
        ValueError: An actor that is to send or publish does not exist, or a recipient is no actor of ours.
        StoreBusy: A record changed each of the five times.
    """
    if not scope.notes:
        return
    yield from check_noted_actors(site, scope.notes)
    minted = scope.minted
    for _ in range(_ATTEMPTS_MAX):
        # Each repetition mints the same ids.
        batch = yield from flush(site, evolve(scope, notes=[*scope.notes], minted=minted))
        if (yield from commit_batch(batch)) is not False:
            return
    raise StoreBusy(f"other writers changed the same records {_ATTEMPTS_MAX} times in a row: try again later")
