"""Collections and their pages, as documents. Reading one from page to page is the business of the room `apcore.collections`."""

from __future__ import annotations

from apcore.vocab.namespaces import AS
from apcore.vocab.objects import Object
from apcore.vocab.relations import Ref, Refs
from apcore.vocab.scalars import Integer

__all__ = ["Collection", "CollectionPage", "OrderedCollection", "OrderedCollectionPage"]


class Collection(Object, ns=AS, type="Collection"):
    """Objects or links, with or without an order."""

    total_items: Integer = Integer()
    """What it claims to have: a number to show, never one to allocate by."""
    items: Refs = Refs(array=True, also=("orderedItems",))
    current: Ref = Ref()
    first: Ref = Ref()
    last: Ref = Ref()


class OrderedCollection(Collection, ns=AS, type="OrderedCollection"):
    """A collection whose order means something."""

    items: Refs = Refs("orderedItems", iri=f"{AS.iri}items", array=True, also=("items",))


class CollectionPage(Collection, ns=AS, type="CollectionPage"):
    """A part of a collection."""

    part_of: Ref = Ref()
    next: Ref = Ref()
    prev: Ref = Ref()


class OrderedCollectionPage(OrderedCollection, CollectionPage, ns=AS, type="OrderedCollectionPage"):
    """A part of an ordered collection."""

    start_index: Integer = Integer()
