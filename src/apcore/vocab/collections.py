"""Define collections and their pages, as documents. `apcore.collections` reads a collection page by page."""

from __future__ import annotations

from apcore.vocab.namespaces import AS
from apcore.vocab.objects import Object
from apcore.vocab.relations import Ref, Refs
from apcore.vocab.scalars import Integer

__all__ = ["Collection", "CollectionPage", "OrderedCollection", "OrderedCollectionPage"]


class Collection(Object, ns=AS, type="Collection"):
    """Objects or links, in any order."""

    total_items: Integer = Integer()
    """The claimed number of members. Show it, but never allocate memory by it."""
    items: Refs = Refs(array=True, also=("orderedItems",))
    current: Ref = Ref()
    first: Ref = Ref()
    last: Ref = Ref()


class OrderedCollection(Collection, ns=AS, type="OrderedCollection"):
    """A collection with a meaningful order."""

    items: Refs = Refs("orderedItems", iri=f"{AS.iri}items", array=True, also=("items",))


class CollectionPage(Collection, ns=AS, type="CollectionPage"):
    """A part of a collection."""

    part_of: Ref = Ref()
    next: Ref = Ref()
    prev: Ref = Ref()


class OrderedCollectionPage(OrderedCollection, CollectionPage, ns=AS, type="OrderedCollectionPage"):
    """A part of an ordered collection."""

    start_index: Integer = Integer()
