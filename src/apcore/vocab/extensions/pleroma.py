"""Define the types of Pleroma and Akkoma, and LitePub terms that others adopted: reactions, chats, capabilities."""

from __future__ import annotations

from apcore.vocab.activities import Activity
from apcore.vocab.namespaces import LITEPUB
from apcore.vocab.objects import Object
from apcore.vocab.relations import One, Ref, Uri, Uris
from apcore.vocab.scalars import Boolean
from apcore.vocab.views import View

__all__ = ["Capabilities", "ChatMessage", "EmojiReact", "LitepubActor", "LitepubObject"]

_PIXELFED = "http://pixelfed.org/ns#"


class EmojiReact(Activity, ns=LITEPUB, type="EmojiReact"):
    """A reaction with the emoji in `content` (FEP-c0e0)."""


class ChatMessage(Object, ns=LITEPUB, type="ChatMessage"):
    """A message in a chat between two actors."""


class Capabilities(View, ns=LITEPUB):
    """The permitted actions on a document. LitePub uses it on actors, Pixelfed (with addresses) on posts."""

    accepts_chat_messages: Boolean = Boolean()
    announce: Uris = Uris(iri=f"{_PIXELFED}canAnnounce")
    like: Uris = Uris(iri=f"{_PIXELFED}canLike")
    reply: Uris = Uris(iri=f"{_PIXELFED}canReply")


class LitepubObject(View, ns=LITEPUB):
    """A facet of posts."""

    direct_message: Boolean = Boolean(also=("https://hubzilla.org/apschema#directMessage",))
    list_message: Uri = Uri()
    capabilities: One[Capabilities] = One(Capabilities, also=(f"{_PIXELFED}capabilities",))
    former_representations: Ref = Ref()


class LitepubActor(View, ns=LITEPUB):
    """A facet of actors."""

    capabilities: One[Capabilities] = One(Capabilities, also=(f"{_PIXELFED}capabilities",))
    invisible: Boolean = Boolean()
