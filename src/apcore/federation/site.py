"""`Site`: one origin of a node, with everything an operation has to know about it."""

from __future__ import annotations

from typing import Any

from attrs import evolve, field, frozen

from apcore.federation.registration import Federation
from apcore.http import Origin
from apcore.remote import FetchPolicy, UnauthenticatedClient
from apcore.signatures import DEFAULT, SignaturePolicy

__all__ = ["Site"]


@frozen(kw_only=True)
class Site:
    """One origin of a node, for one request or job."""

    federation: Federation[Any]
    origin: Origin
    fetching: FetchPolicy = field(factory=FetchPolicy)
    signatures: SignaturePolicy = DEFAULT
    data: Any = None
    unauthenticated_client: UnauthenticatedClient | None = None
    """Who makes us look, while a request is answered: whatever is fetched to prove who it is by is paid for by them. None in a job."""

    @property
    def asking(self) -> FetchPolicy:
        """How to fetch what somebody who is not proved makes us fetch: they pay for it."""
        return (
            self.fetching
            if self.unauthenticated_client is None
            else evolve(self.fetching, unauthenticated_client=self.unauthenticated_client)
        )

    @property
    def instance_uri(self) -> str:
        """The id of the instance actor: who asks when nobody in particular does."""
        return self.federation.places.uri(self.origin, "instance")

    def actor_uri(self, identifier: str) -> str:
        """Give the id of an actor of ours."""
        return self.federation.places.uri(self.origin, "actor", identifier=identifier)

    def identifier_of(self, uri: str) -> str | None:
        """Give the identifier if ``uri`` is the id of an actor of ours, whether or not there is such an actor."""
        place = self.federation.places.read(self.origin, uri)
        return place.identifier if place is not None and place.target.kind == "actor" else None
