"""Resolve a reference to its document: trust the embedded copy, or fetch the document from its origin.

An embedded document is a claim by the author of the outer document. It is trusted if its id is on the origin that the
outer document was obtained from, or was proved to come from. Everything else is fetched from its own origin.
"""

from __future__ import annotations

from apcore.effects import Op
from apcore.errors import DocumentError
from apcore.http import same_origin
from apcore.remote.dialects import Identity
from apcore.remote.failed_loads import load_unless_failed
from apcore.remote.retrieval import FetchPolicy
from apcore.remote.trust import is_embedded_trusted
from apcore.vocab import Document, Reference

__all__ = ["resolve", "trusted_embedding"]


def trusted_embedding(reference: Reference, *, owner: str | None = None, wrapper: str | None = None) -> Document | None:
    """Return the embedded document of a reference if it can be trusted without a fetch, else None.

    It must have an id and a type, and its id must be on the origin of the outer document. If the ``owner`` of the outer
    document is given, the embedded document must also belong to that owner, or be part of ``wrapper``; see
    `is_embedded_trusted`.
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
    """Return the document that a reference points to. For ``owner`` and ``wrapper`` see `trusted_embedding`.

    Asks for: nothing, if the embedded document is trusted; else as `load_unless_failed`.

    Raises:
        DocumentError: The reference has no address.
        ApcoreError: As `load`. If it failed lately, the same error is raised without a request.
    """
    if isinstance(reference, Reference):
        document = trusted_embedding(reference, owner=owner, wrapper=wrapper)
        if document is not None:
            return document
    uri = reference if isinstance(reference, str) else reference.uri
    if uri is None:
        raise DocumentError("the reference has no address, and its embedded document cannot be trusted without one")
    loaded = yield from load_unless_failed(uri, policy=policy, identity=identity)
    return loaded.document
