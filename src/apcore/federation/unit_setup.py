"""Make the `UnitOfWork` for one run of a handler on a site, with the services of the site."""

from __future__ import annotations

from functools import partial
from typing import Any

from attrs import frozen

from apcore.discovery import Descriptor, LookupResult
from apcore.effects import Op
from apcore.federation.actors.key_ring import key_members
from apcore.federation.actors.keys import instance_identity, own_keys, signing_key
from apcore.federation.own_services import RequestSigner
from apcore.federation.registration import Federation
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.http import Request
from apcore.remote import Identity

__all__ = ["SiteServices", "unit_of_work_for"]


@frozen
class SiteServices:
    """The services of a site for the contexts of its handlers; see `OwnServices`."""

    site: Site

    @property
    def federation(self) -> Federation[Any]:
        """The federation of the site."""
        return self.site.federation

    @property
    def request(self) -> Request | None:
        """The request that is being answered; None in a job."""
        return self.site.request

    def identity_of(self, identifier: str) -> Op[Identity]:
        """Return the identity of a local actor. Effects are those of `own_keys`, and of the actor's handler.

        Raises:
            NotFound, Gone: There is no such actor.
        """
        uri = self.site.actor_uri(identifier)
        _ = yield from self.site.load_own(self.site, uri)
        key = yield from signing_key(self.site, uri)
        return key.identity(self.site)

    def key_members(self, identifier: str) -> Op[dict[str, Any]]:
        """Return the members that publish the keys of a local actor. Effects and errors are those of `own_keys`.

        The actor's handler is not called: it may be the caller.
        """
        return key_members((yield from own_keys(self.site, self.site.actor_uri(identifier))))

    def find_own(self, text: str, /) -> Op[LookupResult | None]:
        """Find an actor or a document of ours by its name; see `Site.find_own`."""
        return self.site.find_own(self.site, text)

    def describe_own(self, resource: str, /) -> Op[Descriptor | None]:
        """Return our WebFinger answer about a resource; see `Site.describe_own`."""
        return self.site.describe_own(self.site, resource)

    def signer(self) -> Op[RequestSigner | None]:
        """Return the proved signer of the request. The signature is checked once for each request."""
        return self.site.identify(self.site)


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
        services=SiteServices(site),
        **fields,
    )
