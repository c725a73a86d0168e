"""Who may reply, like, share and quote: interaction policies, requests and stamps (GoToSocial, Mastodon, FEP-044f); and quotes, old and new.

A stamp (`QuoteAuthorization` and its relatives) proves something only if it was fetched from the origin of the author who gave it and names
this very pair of posts; checking that is not this room's business.
"""

from __future__ import annotations

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
    """For whom something is allowed: at once, or after being asked. Addresses of actors and collections, or `PUBLIC`."""

    automatic_approval: Uris = Uris(array=True)
    manual_approval: Uris = Uris(array=True)
    always: Uris = Uris(array=True)
    """The older name of `automatic_approval`."""
    approval_required: Uris = Uris(array=True)
    """The older name of `manual_approval`."""


class InteractionPolicy(View, ns=GOTOSOCIAL):
    """What the author of a post allows."""

    can_like: One[InteractionRule] = One(InteractionRule)
    can_reply: One[InteractionRule] = One(InteractionRule)
    can_announce: One[InteractionRule] = One(InteractionRule)
    can_quote: One[InteractionRule] = One(InteractionRule)


class Approved(View, ns=GOTOSOCIAL):
    """A facet of posts and of activities that needed approval."""

    interaction_policy: One[InteractionPolicy] = One(InteractionPolicy)
    approved_by: Uri = Uri()
    like_authorization: Ref = Ref()
    reply_authorization: Ref = Ref()
    announce_authorization: Ref = Ref()
    hides_to_public_from_unauthed_web: Boolean = Boolean()
    hides_cc_public_from_unauthed_web: Boolean = Boolean()


class Authorization(Object, ns=GOTOSOCIAL):
    """What the stamps have in common: no type of its own."""

    interacting_object: Ref = Ref()
    interaction_target: Ref = Ref()


class LikeAuthorization(
    Authorization, ns=GOTOSOCIAL, type="LikeAuthorization", also=(f"{GOTOSOCIAL.iri}LikeApproval",)
):
    """A like is welcome."""


class ReplyAuthorization(Authorization, ns=GOTOSOCIAL, type="ReplyAuthorization"):
    """A reply is welcome."""


class AnnounceAuthorization(Authorization, ns=GOTOSOCIAL, type="AnnounceAuthorization"):
    """A boost is welcome."""


class QuoteAuthorization(Authorization, ns=FEP_044F, type="QuoteAuthorization"):
    """A quote is welcome."""


class LikeRequest(Activity, ns=GOTOSOCIAL, type="LikeRequest"):
    """May I like this? The like is the `instrument`."""


class ReplyRequest(Activity, ns=GOTOSOCIAL, type="ReplyRequest"):
    """May I reply to this? The reply is the `instrument`."""


class AnnounceRequest(Activity, ns=GOTOSOCIAL, type="AnnounceRequest"):
    """May I boost this? The boost is the `instrument`."""


class QuoteRequest(Activity, ns=FEP_044F, type="QuoteRequest"):
    """May I quote this? The quoting post is the `instrument`."""


class Quoting(View, ns=FEP_044F):
    """A facet of posts that quote another. `quoted` reads all forms."""

    quote_authorization: Ref = Ref()
    quote_uri: Uri = Uri(ns=FEDIBIRD)


def quoted(document: Document) -> Reference | None:
    """Find what a post quotes: FEP-044f first, then ``quoteUrl``, ``quoteUri``, Misskey's, and a link among the tags (FEP-e232)."""
    post = Object.over(document)
    if post.quote is not None:
        return post.quote
    words = document.words
    for name in ("quoteUrl", "quoteUri", "_misskey_quote"):
        address = words.get(name)
        if isinstance(address, str) and address:
            return Reference(address)
    for tag in post.tag:
        if isinstance(tag, Link) and not _QUOTE_RELS.isdisjoint(tag.rel) and tag.href is not None:
            return Reference(tag.href)
    return None
