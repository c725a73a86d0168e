"""Define the methods that look something up: documents, accounts, servers, collections, and our own actors.

They are written as operations, and each variant of the context and each node has them in its own kind; see
`apcore.federation.waiting_methods`. Requests are signed by the instance actor, or by the actor of ours in ``by``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from apcore.collections import Traversal, TraversalBounds, traverse
from apcore.discovery import Descriptor, LookupResult, NodeInfo, lookup, lookup_nodeinfo, webfinger
from apcore.effects import Op
from apcore.errors import ContractError
from apcore.federation.context_addresses import AddressMethods
from apcore.federation.own_services import RequestSigner
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.waiting_methods import waiting
from apcore.remote import Gone, Identity, NotFound
from apcore.vocab import Document, Reference, View

__all__ = ["LookUpMethods", "RequestMethods"]


class LookUpMethods(AddressMethods):
    """The addresses of the federation, and the methods that look something up anywhere, or among our own actors."""

    __slots__ = ()

    @waiting
    def lookup(self, handle_or_url: str, /, *, by: str | None = None) -> Op[LookupResult]:
        """Find a document by a handle (``@alice@example.com``), an id or a profile's URL, as a person pastes it.

        See `apcore.discovery.lookup`. A name of our own is found without a request.

        Raises:
            RequestError: The text is neither a handle nor a URL.
            ApcoreError: Nothing that can be trusted was found.
        """
        own_result = yield from self._scope.services.find_own(handle_or_url)
        if own_result is not None:
            return own_result
        identity = yield from _identity(self._scope, by)
        return (yield from lookup(handle_or_url, policy=self._scope.fetching, identity=identity))

    @waiting
    def lookup_webfinger(self, resource: str, /) -> Op[Descriptor]:
        """Fetch the descriptor of an account or a URL from its host. It is a claim of that host: nothing is verified.

        For a resource of our own, it is our answer, and nothing is fetched.

        Raises:
            ApcoreError: See `apcore.discovery.webfinger`.
        """
        own_descriptor = yield from self._scope.services.describe_own(resource)
        return own_descriptor or (yield from webfinger(resource, policy=self._scope.fetching))

    @waiting
    def lookup_nodeinfo(self, origin: str, /) -> Op[NodeInfo]:
        """Fetch the description that a server publishes of itself, such as its software.

        Raises:
            ApcoreError: See `apcore.discovery.lookup_nodeinfo`.
        """
        return lookup_nodeinfo(origin, policy=self._scope.fetching)

    @waiting
    def traverse(
        self,
        collection: str | Reference,
        /,
        *,
        bounds: TraversalBounds = TraversalBounds(),  # noqa: B008 - immutable
        since: datetime | str | Iterable[str] | None = None,
        by: str | None = None,
    ) -> Op[Traversal]:
        """Read a collection of another server page by page, newest items first in most cases.

        Our actor ``by`` signs the requests, or else the instance actor. With ``since``, only newer items are read:
        those before a known id, or those published at or after a date.

        Raises:
            ContractError: The collection is our own. Read it with `members`, or with your own handler.
            ApcoreError: The collection cannot be loaded, or the address is that of something else. A page that cannot
                be loaded raises nothing: see `Traversal.ended`.
        """
        uri = collection.uri if isinstance(collection, Reference) else collection
        if uri is not None and self._scope.is_own(uri):
            raise ContractError(f"{uri} is a collection of ours, which is not fetched: read it with members()")
        identity = yield from _identity(self._scope, by)
        known_ids = since if since is None or isinstance(since, str | datetime) else frozenset(since)
        policy = self._scope.fetching
        return (yield from traverse(collection, policy=policy, identity=identity, bounds=bounds, since=known_ids))

    @waiting
    def get_actor(self, identifier: str, /) -> Op[Document | None]:
        """Return the document of an actor of ours as it is served; None if it does not exist, or is deleted."""
        return (yield from _own(self._scope, self.actor_uri(identifier)))

    @waiting
    def get_object(self, view: type[View], /, **values: str) -> Op[Document | None]:
        """Return the document that the registered handler makes of an object; None if there is none, or it is gone."""
        return (yield from _own(self._scope, self.object_uri(view, **values)))

    @waiting
    def actor_keys(self, identifier: str, /) -> Op[dict[str, Any]]:
        """Return the members that publish the keys of an actor of ours: ``publicKey`` and ``assertionMethod``.

        The documents of your actors have them already. The keys are made if the actor has none, and it is not checked
        that there is such an actor: the handler for actors may call this.
        """
        return self._scope.services.key_members(identifier)


class RequestMethods:
    """The methods about the request that is being answered."""

    __slots__ = ()

    _scope: UnitOfWork[Any]

    @waiting
    def signed_key(self) -> Op[str | None]:
        """Return the id of the key that signed the request; None in a job, or without a valid signature.

        The signature is checked at the first call, which may fetch the key. Later calls cost nothing.
        """
        signer = yield from self._scope.services.signer()
        return None if signer is None else signer.key_id

    @waiting
    def signed_key_owner(self) -> Op[str | None]:
        """Return the actor that signed the request; None in a job, or without a valid signature. See `signed_key`."""
        signer: RequestSigner | None = yield from self._scope.services.signer()
        return None if signer is None else signer.actor


def _identity(scope: UnitOfWork[Any], by: str | None) -> Op[Identity | None]:
    if by is None:
        return (yield from scope.load_identity())
    return (yield from scope.services.identity_of(by))


def _own(scope: UnitOfWork[Any], uri: str) -> Op[Document | None]:
    try:
        return (yield from scope.load_own(uri))
    except (NotFound, Gone):
        return None
