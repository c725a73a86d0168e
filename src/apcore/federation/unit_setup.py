"""Make the `UnitOfWork` for one run of a handler on a site."""

from __future__ import annotations

from functools import partial
from typing import Any

from apcore.federation.actors.keys import instance_identity
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork

__all__ = ["unit_of_work_for"]


def unit_of_work_for(site: Site, **fields: Any) -> UnitOfWork[Any]:
    """Return a unit of work for ``site``. ``fields`` are fields of `UnitOfWork` about the activity.

    Fetches from it are signed by the instance actor.
    """
    return UnitOfWork(
        places=site.federation.places,
        origin=site.origin,
        data=site.data,
        side_effects=site.federation.side_effects,
        fetching=site.fetching,
        load_identity=partial(instance_identity, site),
        load_own=partial(site.load_own, site),
        is_own=site.is_own,
        viewer=site.instance_uri,
        **fields,
    )
