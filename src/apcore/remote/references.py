"""From a reference to the document it points to: believed as it came, or fetched from its source.

What is embedded in a document is a claim by whoever wrote that document. It is believed if it came from where it says it belongs: its id is of the
origin that the outer document was obtained from, or proved to come from. Everything else is asked of its own origin.
"""

from __future__ import annotations

from apcore.effects import Op
from apcore.errors import DocumentError
from apcore.http import same_origin
from apcore.remote.dialects import Identity
from apcore.remote.documents import load
from apcore.remote.retrieval import FetchPolicy
from apcore.remote.trust import is_embedded_trusted
from apcore.vocab import Document, Reference

__all__ = ["resolve", "trusted_embedding"]


def trusted_embedding(reference: Reference, *, owner: str | None = None, wrapper: str | None = None) -> Document | None:
    """Give the embedded document of a reference, if it may be believed without asking; else None.

    That is: it has an id, is more than a stub, and its id shares the origin of the document it came in. Where the ``owner`` of that one is known, it
    has to be the same one's besides, or part of ``wrapper``; see `is_believed_inside`.
    """
    document = reference.embedded
    if document is None or document.id is None or document.origin is None or not document.types:
        return None
    if not same_origin(document.id, f"{document.origin}/"):
        return None
    return document if owner is None or is_embedded_trusted(document, wrapper=wrapper, owner=owner) else None


def resolve(
    reference: Reference | str,
    *,
    policy: FetchPolicy,
    identity: Identity | None = None,
    owner: str | None = None,
    wrapper: str | None = None,
) -> Op[Document]:
    """Give the document that a reference points to; ``owner`` and ``wrapper`` are for what came inside, see `believed_claim`.

    Asks for: nothing, if it came inside and is believed; else as `load`.

    Raises:
        DocumentError: It points nowhere.
        ApcoreError: As `load`.
    """
    if isinstance(reference, Reference):
        believed = trusted_embedding(reference, owner=owner, wrapper=wrapper)
        if believed is not None:
            return believed
    uri = reference if isinstance(reference, str) else reference.uri
    if uri is None:
        raise DocumentError("the reference has no address, and what it holds cannot be believed without one")
    loaded = yield from load(uri, policy=policy, identity=identity)
    return loaded.document
