"""Define conversations and collections that name their owner (FEP-7888, FEP-5711)."""

from __future__ import annotations

from apcore.vocab.namespaces import AS, FEP_5711
from apcore.vocab.relations import Many, Ref, Uri
from apcore.vocab.scalars import Text
from apcore.vocab.views import View

__all__ = ["CollectionOwner", "Conversation", "Software"]


class CollectionOwner(View, ns=FEP_5711):
    """A facet of collections that names their owner.

    Believe it only if the owner's document names the collection in return.
    """

    followers_of: Ref = Ref()
    following_of: Ref = Ref()
    inbox_of: Ref = Ref()
    outbox_of: Ref = Ref()
    liked_of: Ref = Ref()
    likes_of: Ref = Ref()
    replies_of: Ref = Ref()
    shares_of: Ref = Ref()


class Conversation(View, ns=AS):
    """A facet of posts in a conversation that can be traversed (FEP-171b)."""

    context_history: Ref = Ref(iri="https://w3id.org/fep/171b/contextHistory")
    target: Ref = Ref()


class Capability(View, ns=AS):
    """One capability of a program (FEP-844e)."""

    href: Uri = Uri()
    name: Text = Text()


class Software(View, ns=AS):
    """A facet of the actor of an application, as in ``generator``, with the features that it implements."""

    implements: Many[Capability] = Many(Capability, iri="https://w3id.org/fep/844e/implements")
