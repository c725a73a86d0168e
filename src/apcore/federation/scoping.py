"""A `Scope` for one run of a handler on a site."""

from __future__ import annotations

from functools import partial
from typing import Any

from apcore.federation.keys import instance_identity
from apcore.federation.scope import Scope
from apcore.federation.site import Site

__all__ = ["scope_for"]


def scope_for(site: Site, **known: Any) -> Scope[Any]:
    """Make the scope; ``known`` is what is known of the activity, see `Scope`. Whoever asks from it asks as the instance actor."""
    return Scope(
        places=site.federation.places,
        origin=site.origin,
        data=site.data,
        fetching=site.fetching,
        asks=partial(instance_identity, site),
        **known,
    )
