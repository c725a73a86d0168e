"""Check whether a post may quote another one: look up the quoted author's authorization (FEP-044f).

A quoting post carries the address of an authorization (a "stamp"). Any server can write such an address. So a stamp
counts only if all of this holds: it is served, at this moment, by the origin of the quoted author; it names that author
as its owner; and it names this pair of posts. An author revokes a stamp by deleting it, so its origin is asked each
time, even if the stamp is cached.
"""

from __future__ import annotations

from apcore.effects import Op
from apcore.errors import Refused
from apcore.http import same_origin
from apcore.remote.dialects import Identity
from apcore.remote.documents import load
from apcore.remote.retrieval import FetchPolicy
from apcore.remote.trust import owners
from apcore.vocab import Document, quoted, same_id
from apcore.vocab.extensions.approval import QuoteAuthorization, Quoting

__all__ = ["QuoteNotAllowed", "check_quote"]


class QuoteNotAllowed(Refused):
    """A post quotes another one without a valid authorization by the quoted author."""

    reason = "quote-not-allowed"


def check_quote(post: Document, *, policy: FetchPolicy, identity: Identity | None = None) -> Op[Document]:
    """Return the document that ``post`` quotes, if its author allows the quote. Authors may always quote themselves.

    ``post`` must be trusted about itself: loaded from its origin, or authenticated. Asks for: the quoted document (as
    `load`); if it belongs to another author, also the stamp (as `load`, fresh).

    Raises:
        QuoteNotAllowed: There is no stamp, or it is for another origin, author or pair of posts.
        OwnerUnclear: One of the documents names several owners, or an owner on another origin.
        ApcoreError: As `load`, for either document.
    """
    target = quoted(post)
    if target is None or target.uri is None or post.id is None:
        raise QuoteNotAllowed(f"{post.id} names no document that it quotes")
    loaded = yield from load(target.uri, policy=policy, identity=identity)
    original = loaded.document
    authors, quoters = owners(original), owners(post)
    if len(authors) != 1 or original.id is None:
        raise QuoteNotAllowed(f"{target.uri} names no single author who could allow the quote in {post.id}")
    if len(quoters) == 1 and same_id(quoters[0], authors[0]):
        return original
    stamp = Quoting.over(post).quote_authorization
    if stamp is None or stamp.uri is None:
        raise QuoteNotAllowed(f"{post.id} quotes {original.id} without a stamp")
    if not same_origin(stamp.uri, authors[0]):
        raise QuoteNotAllowed(f"the stamp {stamp.uri} is not on the origin of the quoted author {authors[0]}")
    loaded_stamp = yield from load(stamp.uri, policy=policy, identity=identity, fresh=True)
    _check_stamp(loaded_stamp.document, stamp.uri, author=authors[0], post=post.id, original=original.id)
    return original


def _check_stamp(stamp: Document, uri: str, *, author: str, post: str, original: str) -> None:
    if not stamp.is_a(QuoteAuthorization) or not same_id(stamp.id or "", uri):
        raise QuoteNotAllowed(f"the document at {uri} is not a stamp with that id")
    view = stamp.view(QuoteAuthorization)
    if not any(same_id(owner, author) for owner in owners(stamp)):
        raise QuoteNotAllowed(f"the stamp {uri} does not belong to the quoted author {author}")
    for reference, expected in ((view.interacting_object, post), (view.interaction_target, original)):
        if reference is None or reference.uri is None or not same_id(reference.uri, expected):
            raise QuoteNotAllowed(f"the stamp {uri} is for another pair of posts: it does not name {expected}")
