"""Define the methods with which a handler resolves references.

They are written as operations, and each variant of the context has them in its own kind; see
`apcore.federation.waiting_methods`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from attrs import evolve

from apcore.effects import CallOutcome, Op
from apcore.errors import ContractError
from apcore.federation.pointers import resolver_for
from apcore.federation.resolving import PER_HOST, WALK_REQUESTS_MAX, Resolver
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.waiting_methods import waiting
from apcore.vocab import Document, Reference

__all__ = ["ResolvingMethods", "resolver_by"]


class ResolvingMethods:
    """The methods that resolve references."""

    __slots__ = ()

    _scope: UnitOfWork[Any]

    @waiting
    def resolve(self, reference: Reference | str, /, *, by: str | None = None) -> Op[Document]:
        """Return the document of a reference.

        A document of our own is read from the store or made by its handler. An embedded document that can be trusted
        costs no request. Any other is loaded from its origin. Our actor ``by`` signs the requests, or else the instance
        actor. `FetchPolicy.fetches_a_job` bounds the requests of one run of a handler.

        Raises:
            ApcoreError: The document could not be loaded; see `apcore.remote.load`.
            BudgetSpent: The requests of this run are spent.
        """
        return resolver_by(self._scope, by).resolve(reference)

    @waiting
    def resolve_many(
        self, references: Sequence[Reference | str], /, *, per_host: int = PER_HOST, by: str | None = None
    ) -> Op[tuple[CallOutcome[Document], ...]]:
        """Resolve references at once; see `Node.resolve_many`.

        Raises:
            ValueError: There are more than a thousand references, or ``per_host`` is less than 1.
        """
        return resolver_by(self._scope, by).resolve_many(references, per_host=per_host)

    @waiting
    def walk(
        self, reference: Reference | str, path: str, /, *, requests_max: int = WALK_REQUESTS_MAX
    ) -> Op[tuple[CallOutcome[Document], ...]]:
        """Follow a path of properties, such as ``"in_reply_to.attributed_to"``; see `Pointer.walk`.

        Raises:
            ValueError: The path names no property, or is longer than ten names.
        """
        return resolver_for(self._scope).walk(reference, path, requests_max=requests_max)


def resolver_by(scope: UnitOfWork[Any], by: str | None) -> Resolver:
    """Return the resolver of a unit of work that signs as our actor ``by``, or as the instance actor."""
    resolver = resolver_for(scope)
    if by is None:
        return resolver
    if scope.origin is None:
        raise ContractError(f"this handler runs for no origin, so it has no actor {by!r:.60}")
    viewer = scope.places.actor_uri(scope.origin, by)
    return evolve(resolver, load_identity=partial(scope.services.identity_of, by), viewer=viewer)
