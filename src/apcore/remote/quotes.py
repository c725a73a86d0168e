"""Whether a post may quote another: the leave that the other's author gave, asked of where it was given (FEP-044f).

A post that quotes carries the address of a stamp. Anyone can write one, so a stamp counts only if it is found, at this moment, on the origin of the
author who is quoted, says that it is that author's, and names this very pair of posts. A stamp is taken back by taking it away; so none is kept.
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
    """A post quotes another without its author's leave, or without any that can be believed."""

    reason = "quote-not-allowed"


def check_quote(post: Document, *, policy: FetchPolicy, identity: Identity | None = None) -> Op[Document]:
    """Give the document that ``post`` quotes, if its author allows that; everyone may quote themselves.

    ``post`` has to be believed about itself: loaded, or proved. Asks for: the quoted document (as `load`); if it is somebody else's, the stamp (as
    `load`, fresh).

    Raises:
        QuoteNotAllowed: There is no leave; or it is of another origin, author or pair of posts.
        OwnerUnclear: One of the documents says that it is several actors', or somebody's on another origin.
        ApcoreError: As `load`, for either.
    """
    target = quoted(post)
    if target is None or target.uri is None or post.id is None:
        raise QuoteNotAllowed(f"{post.id} quotes nothing that could allow it")
    loaded = yield from load(target.uri, policy=policy, identity=identity)
    original = loaded.document
    author, quoter = owners(original), owners(post)
    if len(author) != 1 or original.id is None:
        raise QuoteNotAllowed(f"{target.uri} is nobody's, so nobody allows that {post.id} quotes it")
    if len(quoter) == 1 and same_id(quoter[0], author[0]):
        return original
    stamp = Quoting.over(post).quote_authorization
    if stamp is None or stamp.uri is None:
        raise QuoteNotAllowed(f"{post.id} quotes {original.id} without a stamp")
    if not same_origin(stamp.uri, author[0]):
        raise QuoteNotAllowed(f"the stamp {stamp.uri} is of another origin than {author[0]}, who is quoted")
    found = yield from load(stamp.uri, policy=policy, identity=identity, fresh=True)
    _check_stamp(found.document, stamp.uri, author=author[0], post=post.id, original=original.id)
    return original


def _check_stamp(stamp: Document, asked: str, *, author: str, post: str, original: str) -> None:
    if not stamp.is_a(QuoteAuthorization) or not same_id(stamp.id or "", asked):
        raise QuoteNotAllowed(f"at {asked} there is no stamp of that id")
    view = stamp.view(QuoteAuthorization)
    if not any(same_id(owner, author) for owner in owners(stamp)):
        raise QuoteNotAllowed(f"the stamp {asked} is not {author}'s, who is quoted")
    for named, wanted in ((view.interacting_object, post), (view.interaction_target, original)):
        if named is None or named.uri is None or not same_id(named.uri, wanted):
            raise QuoteNotAllowed(f"the stamp {asked} is for another pair of posts, not for {wanted}")
