"""Define `Site`: one origin of a node, with its federation and the policies for operations on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from attrs import evolve, field, fields, frozen

from apcore.discovery import Descriptor, LookupResult
from apcore.effects import Op
from apcore.federation.known_recipients import KnownRecipients
from apcore.federation.origins import Origins
from apcore.federation.own_services import RequestSigner
from apcore.federation.registration import Federation
from apcore.federation.snapshot import Snapshot
from apcore.http import Origin, Request
from apcore.remote import FetchPolicy, UnauthenticatedClient
from apcore.signatures import DEFAULT, SignaturePolicy
from apcore.vocab import Document

__all__ = ["Site"]


def _identify_nobody(_site: Site) -> Op[RequestSigner | None]:
    return None
    yield  # makes this function an operation, which yields no effects


def _load_nothing(_site: Site, _uri: str) -> Op[None]:
    return None
    yield  # makes this function an operation, which yields no effects


@frozen(kw_only=True)
class Site:
    """One origin of a node, for one request or job."""

    federation: Federation[Any]
    origin: Origin
    fetching: FetchPolicy = field(factory=FetchPolicy)
    signatures: SignaturePolicy = DEFAULT
    data: Any = None
    unauthenticated_client: UnauthenticatedClient | None = None
    """The client of the request that is being answered. Fetches to authenticate it count against this client's budget.

    None in a job.
    """
    find_own: Callable[[Site, str], Op[LookupResult | None]] = field(default=_load_nothing, repr=False)
    """The operation that finds an actor or a document of ours by its name; see `apcore.federation.own_lookups`."""
    describe_own: Callable[[Site, str], Op[Descriptor | None]] = field(default=_load_nothing, repr=False)
    """The operation that returns our WebFinger answer about a resource."""
    load_own: Callable[[Site, str], Op[Document | None]] = field(default=_load_nothing, repr=False)
    """The operation that reads a document of our own origins without a request; see `load_own_document`."""
    is_own: Callable[[str], bool] = field(default=lambda _uri: False, repr=False)
    """Whether an address is on an origin of the node."""
    origins: Origins = field(factory=Origins)
    """All origins of the node."""
    request: Request | None = field(default=None, repr=False)
    """The request that is being answered; None in a job."""
    identify: Callable[[Site], Op[RequestSigner | None]] = field(default=_identify_nobody, repr=False)
    """The operation that returns the proved signer of the request, and checks its signature once."""
    memo: dict[str, Any] = field(factory=dict[str, Any], repr=False, eq=False)
    """The results that are computed once for each request."""
    dispatches: int = 0
    """The number of handlers of the application that wait for this one: each asked for a document of ours."""
    own_hosts: frozenset[str] = frozenset()
    """The hosts of the node's origins, as far as they can be listed. They are never suspended."""
    handle_host: str = ""
    """The authority in the handles of the actors; see `Site.acct_host`."""
    cleared_hosts: frozenset[str] = frozenset()
    """The hosts that the domain rules have been applied to, for this request. They are not read for them again."""
    recipients: KnownRecipients = field(factory=KnownRecipients, eq=False, repr=False)
    """The actors of ours that are known to exist. All sites of a node share them."""
    snapshot: Snapshot = field(factory=Snapshot, eq=False, repr=False)
    """The time and the entries that were read for this request at once; empty in a job."""

    def for_request(self, client: UnauthenticatedClient, snapshot: Snapshot, *, cleared_hosts: Iterable[str]) -> Site:
        """Return the site for a request of ``client`` whose hosts the domain rules have allowed."""
        # As `evolve`, which takes five times as long. Every POST needs such a site.
        site = object.__new__(Site)
        for name in _FIELDS:
            object.__setattr__(site, name, getattr(self, name))
        object.__setattr__(site, "unauthenticated_client", client)
        object.__setattr__(site, "snapshot", snapshot)
        object.__setattr__(site, "cleared_hosts", frozenset(cleared_hosts))
        return site

    @property
    def asking(self) -> FetchPolicy:
        """The policy for fetches on behalf of a client that is not authenticated: they count against its budget."""
        return (
            self.fetching
            if self.unauthenticated_client is None
            else evolve(self.fetching, unauthenticated_client=self.unauthenticated_client)
        )

    @property
    def acct_host(self) -> str:
        """The authority in the handles of the actors: that of the origin, unless the node has another one for them."""
        return self.handle_host or self.origin.authority

    @property
    def instance_uri(self) -> str:
        """The id of the instance actor, which signs requests that are made for no particular actor."""
        return self.federation.places.uri(self.origin, "instance")

    def actor_uri(self, identifier: str) -> str:
        """Return the id of a local actor. The name of the host is the identifier of the instance actor."""
        return self.federation.places.actor_uri(self.origin, identifier)

    def collection_uri(self, name: str, identifier: str) -> str:
        """Return the address of a local actor's collection: ``outbox``, ``followers``, ``following`` or its own."""
        return self.federation.places.collection_uri(self.origin, name, identifier)

    def identifier_of(self, uri: str) -> str | None:
        """Return the identifier if ``uri`` has the form of a local actor's id. The actor need not exist."""
        return self.federation.places.identifier_of(self.origin, uri)


_FIELDS: Final = tuple(attribute.name for attribute in fields(Site))
