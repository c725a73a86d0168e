"""Define interaction policies, requests and stamps (GoToSocial, Mastodon, FEP-044f), and old and new quotes.

A stamp (`QuoteAuthorization` and its relatives) proves something only if it was fetched from the origin of its author
and names exactly this pair of posts. Other code checks that.
"""

from __future__ import annotations

from apcore.vocab import values
from apcore.vocab.activities import Activity
from apcore.vocab.documents import Document
from apcore.vocab.namespaces import FEDIBIRD, FEP_044F, GOTOSOCIAL
from apcore.vocab.objects import Link, Object
from apcore.vocab.references import Reference
from apcore.vocab.relations import One, Ref, Uri, Uris
from apcore.vocab.scalars import Boolean
from apcore.vocab.views import View

__all__ = [
    "AnnounceAuthorization",
    "AnnounceRequest",
    "Approved",
    "Authorization",
    "InteractionPolicy",
    "InteractionRule",
    "LikeAuthorization",
    "LikeRequest",
    "QuoteAuthorization",
    "QuoteRequest",
    "Quoting",
    "ReplyAuthorization",
    "ReplyRequest",
    "quoted",
]

_QUOTE_RELS = frozenset(
    {"https://misskey-hub.net/ns#_misskey_quote", "http://fedibird.com/ns#quoteUri", FEP_044F.iri + "quote"}
)


class InteractionRule(View, ns=GOTOSOCIAL):
    """The actors that may do something at once, or after approval: addresses of actors and collections, or `PUBLIC`."""

    automatic_approval: Uris = Uris(array=True)
    manual_approval: Uris = Uris(array=True)
    always: Uris = Uris(array=True)
    """The older name of `automatic_approval`."""
    approval_required: Uris = Uris(array=True)
    """The older name of `manual_approval`."""


class InteractionPolicy(View, ns=GOTOSOCIAL):
    """The interactions that the author of a post allows."""

    can_like: One[InteractionRule] = One(InteractionRule)
    can_reply: One[InteractionRule] = One(InteractionRule)
    can_announce: One[InteractionRule] = One(InteractionRule)
    can_quote: One[InteractionRule] = One(InteractionRule)


class Approved(View, ns=GOTOSOCIAL):
    """A facet of posts and activities that needed approval."""

    interaction_policy: One[InteractionPolicy] = One(InteractionPolicy)
    approved_by: Uri = Uri()
    like_authorization: Ref = Ref()
    reply_authorization: Ref = Ref()
    announce_authorization: Ref = Ref()
    hides_to_public_from_unauthed_web: Boolean = Boolean()
    hides_cc_public_from_unauthed_web: Boolean = Boolean()


class Authorization(Object, ns=GOTOSOCIAL):
    """The common part of all stamps. This is not a type of its own."""

    interacting_object: Ref = Ref()
    interaction_target: Ref = Ref()


class LikeAuthorization(
    Authorization, ns=GOTOSOCIAL, type="LikeAuthorization", also=(f"{GOTOSOCIAL.iri}LikeApproval",)
):
    """The author approves a like."""


class ReplyAuthorization(Authorization, ns=GOTOSOCIAL, type="ReplyAuthorization"):
    """The author approves a reply."""


class AnnounceAuthorization(Authorization, ns=GOTOSOCIAL, type="AnnounceAuthorization"):
    """The author approves a boost."""


class QuoteAuthorization(Authorization, ns=FEP_044F, type="QuoteAuthorization"):
    """The author approves a quote."""


class LikeRequest(Activity, ns=GOTOSOCIAL, type="LikeRequest"):
    """The actor asks to like the object. The like is the `instrument`."""


class ReplyRequest(Activity, ns=GOTOSOCIAL, type="ReplyRequest"):
    """The actor asks to reply to the object. The reply is the `instrument`."""


class AnnounceRequest(Activity, ns=GOTOSOCIAL, type="AnnounceRequest"):
    """The actor asks to boost the object. The boost is the `instrument`."""


class QuoteRequest(Activity, ns=FEP_044F, type="QuoteRequest"):
    """The actor asks to quote the object. The quoting post is the `instrument`."""


class Quoting(View, ns=FEP_044F):
    """A facet of posts that quote another post. `quoted` reads all forms."""

    quote_authorization: Ref = Ref()
    quote_uri: Uri = Uri(ns=FEDIBIRD)


def quoted(document: Document) -> Reference | None:
    """Return the post that a document quotes.

    The order is: FEP-044f, ``quoteUrl``, ``quoteUri``, Misskey's property, and a link among the tags (FEP-e232).
    Each of them may be an address, a link, an embedded post, or a list of these, of which the first counts.
    """
    post = Object.over(document)
    if post.quote is not None:
        return post.quote
    words = document.words
    for name in ("quoteUrl", "quoteUri", "_misskey_quote"):
        for item in values.many(words.get(name)):
            target = values.reference(item, document)
            if target is not None:
                return target
    for tag in post.tag:
        if isinstance(tag, Link) and not _QUOTE_RELS.isdisjoint(tag.rel) and tag.href is not None:
            return Reference(tag.href)
    return None
