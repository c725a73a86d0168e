"""Declare the records about other servers: cached documents, contexts and keys, dialects, and fetch budgets.

All of them may be lost: each is fetched or proved again when it is missing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, NamedTuple, TypeAlias

from attrs import frozen

from apcore.ports import digest_part
from apcore.records import RecordKind, StoredRecord, member
from apcore.records.format import to_epoch_ms

__all__ = [
    "ALIAS_KEPT_S",
    "CACHED_CONTEXTS",
    "CACHED_DOCUMENTS",
    "COPY_KEPT_S_MAX",
    "DIALECT_KEPT_S",
    "DOCUMENT_ALIASES",
    "DOCUMENT_CHANGES",
    "DUE_DOCUMENTS",
    "FAILED_LOADS",
    "FAILED_LOAD_KEPT_S",
    "FETCH_BUDGETS",
    "KEY_LOOKUPS",
    "KNOWN_DIALECTS",
    "ORIGIN_DOCUMENTS",
    "OVERALL_BUDGET",
    "OWNED_DOCUMENTS",
    "PUBLIC_VIEWER",
    "TOMBSTONES",
    "TOMBSTONE_KEPT_S",
    "AddressKey",
    "CachedContext",
    "CachedDocument",
    "ContextKey",
    "DialectKey",
    "DocumentAlias",
    "DocumentChange",
    "DocumentChangeKey",
    "DocumentKey",
    "DocumentTombstone",
    "DueDocumentKey",
    "FailedLoad",
    "FetchBudget",
    "FetchBudgetKey",
    "IndexedDocument",
    "KeyLookup",
    "KeyLookupKey",
    "KnownDialect",
    "OriginDocumentKey",
    "OverallBudget",
    "OverallBudgetKey",
    "OwnedDocumentKey",
    "Provenance",
]

_DAY_S: Final = 86400.0
COPY_KEPT_S_MAX: Final = 400 * _DAY_S
"""The longest that a copy is cached, however long it is fresh."""
_CHANGE_KEPT_S: Final = COPY_KEPT_S_MAX + _DAY_S
"""How long a change is remembered: longer than any copy from before it."""
TOMBSTONE_KEPT_S: Final = 400 * _DAY_S
"""How long a document that is gone is remembered."""
ALIAS_KEPT_S: Final = 30 * _DAY_S
"""How long a permanent redirect is followed without asking the old address again."""
FAILED_LOAD_KEPT_S: Final = 31 * _DAY_S
"""How long a failure is remembered after the last attempt."""
DIALECT_KEPT_S: Final = 28 * _DAY_S
"""How long an accepted dialect is remembered."""


# --- documents --------------------------------------------------------------------------------------------------------


PUBLIC_VIEWER: Final = "public"
"""The viewer of copies that everyone may see: they were fetched without a signature, or delivered to everyone."""


class DocumentKey(NamedTuple):
    """The address of the document, and ``public`` or the actor of ours that the copy is for."""

    uri_digest: str
    viewer: str

    @classmethod
    def of(cls, uri: str, *, viewer: str | None) -> DocumentKey:
        """Return the key of the copy of ``uri`` for the actor ``viewer``, or for everyone if None."""
        return cls(digest_part(uri), PUBLIC_VIEWER if viewer is None else digest_part(viewer))


Provenance: TypeAlias = Literal["fetched", "delivered", "proved", "own"]
"""How a document came here.

``fetched``: its origin sent it. ``delivered``: its owner sent it, in a signed request. ``proved``: anyone sent it, with
a proof of its owner inside. ``own``: this node made it.
"""


@frozen(kw_only=True)
class CachedDocument(StoredRecord):
    """A copy of a document of another server for one viewer: how it came here, and until when it is fresh."""

    uri: str
    url: str
    """The address that sent it, after redirects."""
    viewer: str | None = None
    """The actor of ours that it was fetched as or delivered to; None if everyone may see it."""
    provenance: Provenance = "fetched"
    fetched: datetime
    fresh_until: datetime
    rule: str = ""
    """The rule that decided how long it is fresh."""
    stale_ms: int = 0
    """How long it may be used while it is refreshed, after it is stale."""
    error_ms: int = 0
    """How long it may be used while its origin fails, after it is stale."""
    etag: str | None = None
    last_modified: str | None = None
    digest: str = ""
    """The digest of the body."""
    updated: datetime | None = None
    """The time at which its author changed or published it last, if that is believable."""
    owner: str | None = None
    unproved: bool = False
    """Whether it was fetched for a client that was not authenticated."""


CACHED_DOCUMENTS: Final = RecordKind(
    "document",
    CachedDocument,
    DocumentKey,
    lifetime=f"30 days after it is stale, and {COPY_KEPT_S_MAX / _DAY_S:.0f} days at most; ten minutes if a client "
    "that was not authenticated caused the fetch; less if the graph is full",
    size="the document, at most 1 MiB",
    written_by="fetching and the inbox",
)


@frozen(kw_only=True)
class IndexedDocument(StoredRecord):
    """An entry of an index: the copy that it is about, as far as choosing among copies needs it."""

    uri: str
    viewer: str | None = None
    fetched: datetime
    size: int
    """The size of the copy in bytes."""


class DueDocumentKey(NamedTuple):
    """The time at which the copy is stale, in milliseconds since 1970 with 15 digits, then the key of the copy."""

    due: str
    uri_digest: str
    viewer: str

    @classmethod
    def of(cls, due: datetime, key: DocumentKey) -> DueDocumentKey:
        """Return the key of the entry of a copy that is stale from ``due`` on."""
        return cls(f"{to_epoch_ms(due):015d}", *key)


class OwnedDocumentKey(NamedTuple):
    """The owner of the document, then the key of the copy."""

    owner_digest: str
    uri_digest: str
    viewer: str

    @classmethod
    def of(cls, owner: str, key: DocumentKey) -> OwnedDocumentKey:
        """Return the key of the entry of a copy of a document of ``owner``."""
        return cls(digest_part(owner), *key)


class OriginDocumentKey(NamedTuple):
    """The origin of the document, then the key of the copy."""

    origin_digest: str
    uri_digest: str
    viewer: str

    @classmethod
    def of(cls, origin: str, key: DocumentKey) -> OriginDocumentKey:
        """Return the key of the entry of a copy of a document of ``origin``."""
        return cls(digest_part(origin), *key)


_INDEX_LIFETIME: Final = "as long as the copy"
DUE_DOCUMENTS: Final = RecordKind(
    "document-due", IndexedDocument, DueDocumentKey, lifetime=_INDEX_LIFETIME, written_by="fetching and the inbox"
)
OWNED_DOCUMENTS: Final = RecordKind(
    "document-owner", IndexedDocument, OwnedDocumentKey, lifetime=_INDEX_LIFETIME, written_by="fetching and the inbox"
)
ORIGIN_DOCUMENTS: Final = RecordKind(
    "document-origin", IndexedDocument, OriginDocumentKey, lifetime=_INDEX_LIFETIME, written_by="fetching and the inbox"
)


@frozen(kw_only=True)
class DocumentTombstone(StoredRecord):
    """A document that is gone for good. No later answer and no delivery brings it back."""

    uri: str
    at: datetime
    reason: Literal["deleted", "gone"]
    """``deleted``: its owner has sent a Delete. ``gone``: its origin has answered 410."""
    by: str | None = None
    """The actor that sent the Delete."""


class AddressKey(NamedTuple):
    """The address of the document."""

    uri_digest: str

    @classmethod
    def of(cls, uri: str) -> AddressKey:
        """Return the key of a record about the address ``uri``, whoever looks at it."""
        return cls(digest_part(uri))


TOMBSTONES: Final = RecordKind(
    "tombstone",
    DocumentTombstone,
    AddressKey,
    ttl_s=TOMBSTONE_KEPT_S,
    lifetime=f"{TOMBSTONE_KEPT_S / _DAY_S:.0f} days",
    written_by="fetching and the inbox",
)


@frozen(kw_only=True)
class DocumentAlias(StoredRecord):
    """An address that has moved for good, by a permanent redirect of its own server."""

    uri: str
    target: str
    """The id of the document that the redirects led to."""
    at: datetime


DOCUMENT_ALIASES: Final = RecordKind(
    "document-alias",
    DocumentAlias,
    AddressKey,
    ttl_s=ALIAS_KEPT_S,
    lifetime=f"{ALIAS_KEPT_S / _DAY_S:.0f} days",
    written_by="fetching",
)


class DocumentChangeKey(NamedTuple):
    """The address of the document."""

    uri_digest: str

    @classmethod
    def of(cls, uri: str) -> DocumentChangeKey:
        """Return the key of the last change of ``uri``."""
        return cls(digest_part(uri))


@frozen(kw_only=True)
class DocumentChange(StoredRecord):
    """The time at which the owner of a document announced that it has changed or is gone; older copies do not count."""

    uri: str
    at: datetime


DOCUMENT_CHANGES: Final = RecordKind(
    "doc-changed",
    DocumentChange,
    DocumentChangeKey,
    ttl_s=_CHANGE_KEPT_S,
    lifetime=f"{_CHANGE_KEPT_S / _DAY_S:.0f} days",
    written_by="the inbox",
)


@frozen(kw_only=True)
class FailedLoad(StoredRecord):
    """A document that could not be loaded: why, and the time before which its origin is not asked again."""

    uri: str
    kind: str
    """The reason of the error."""
    message: str
    failed: datetime
    retry_at: datetime
    attempts: int = 1
    """The number of failures of this kind in a row."""


FAILED_LOADS: Final = RecordKind(
    "document-failed",
    FailedLoad,
    DocumentKey,
    ttl_s=FAILED_LOAD_KEPT_S,
    lifetime=f"{FAILED_LOAD_KEPT_S / _DAY_S:.0f} days after the last attempt",
    written_by="fetching",
)


class ContextKey(NamedTuple):
    """The address of the context."""

    url_digest: str

    @classmethod
    def of(cls, url: str) -> ContextKey:
        """Return the key of the context at ``url``."""
        return cls(digest_part(url))


@frozen(kw_only=True)
class CachedContext(StoredRecord):
    """A JSON-LD context of another server. It is empty if the context could not be fetched."""

    url: str
    fetched: datetime


CACHED_CONTEXTS: Final = RecordKind(
    "ctx",
    CachedContext,
    ContextKey,
    lifetime="a week; an hour for a failure",
    size="the context, at most 1 MiB",
    written_by='fetching, with `unknown_contexts="fetch"`',
)


# --- keys -------------------------------------------------------------------------------------------------------------


class KeyLookupKey(NamedTuple):
    """The id of the public key."""

    key_id_digest: str

    @classmethod
    def of(cls, key_id: str) -> KeyLookupKey:
        """Return the key of the record about the public key ``key_id``."""
        return cls(digest_part(key_id))


@frozen(kw_only=True)
class KeyLookup(StoredRecord):
    """The public key of an actor of another server, as far as it was proved, or why it could not be had.

    The body is the key (SubjectPublicKeyInfo). A record may hold a key and a later failure: then the key still counts.
    """

    key_id: str
    owner: str | None = None
    """The proved owner. None if no key counts now."""
    asserts: bool = False
    """Whether the owner lists the key in ``assertionMethod``."""
    fetched: datetime | None = None
    refreshed: datetime | None = None
    """The time of the last refresh that brought the same key."""
    expires: datetime | None = None
    last_owner: str | None = member("was", default=None)
    """The owner of a key that does not count any more."""
    failure: Literal["gone", "refused", "unavailable"] | None = None
    reason: str | None = None
    """The reason of the error that was raised."""
    failed: datetime | None = None
    viewer: str | None = None
    """The key id of the signer that met the failure, empty without a signer."""


KEY_LOOKUPS: Final = RecordKind(
    "key",
    KeyLookup,
    KeyLookupKey,
    lifetime="a week; ten minutes for a failure without an earlier key",
    written_by="authentication",
)


# --- requests ---------------------------------------------------------------------------------------------------------


class DialectKey(NamedTuple):
    """The origin of the other server."""

    origin: str


@frozen(kw_only=True)
class KnownDialect(StoredRecord):
    """The kind of signature that a server accepted last."""

    scheme: str
    accept_signature: str | None = member("asked", default=None)
    """The ``Accept-Signature`` of the server, if the signature has to follow it."""
    since: datetime


KNOWN_DIALECTS: Final = RecordKind(
    "dialect",
    KnownDialect,
    DialectKey,
    ttl_s=DIALECT_KEPT_S,
    lifetime=f"{DIALECT_KEPT_S / _DAY_S:.0f} days after the last proof that was written",
    written_by="fetching and delivery",
)


class FetchBudgetKey(NamedTuple):
    """The scope, which is ``client``, ``host`` or ``domain``, and its name."""

    scope: str
    name_digest: str

    @classmethod
    def of(cls, scope: Literal["client", "host", "domain"], name: str) -> FetchBudgetKey:
        """Return the key of the budget of one client, host or domain."""
        return cls(scope, digest_part(name))


class OverallBudgetKey(NamedTuple):
    """No parts: there is one such record."""


@frozen(kw_only=True)
class FetchBudget(StoredRecord):
    """The time at which the budget of one client, host or domain for unauthenticated fetches is full again."""

    full_ms: int = member("full")
    """Milliseconds since 1970."""


@frozen(kw_only=True)
class OverallBudget(FetchBudget):
    """The time at which the budget of all unauthenticated fetches together is full again."""


_BUDGET_LIFETIME: Final = "until the budget is full, and a minute at least"
FETCH_BUDGETS: Final = RecordKind(
    "budget", FetchBudget, FetchBudgetKey, lifetime=_BUDGET_LIFETIME, written_by="authentication"
)
OVERALL_BUDGET: Final = RecordKind(
    "overall budget",
    OverallBudget,
    OverallBudgetKey,
    prefix=FETCH_BUDGETS.at("all"),
    lifetime=_BUDGET_LIFETIME,
    written_by="authentication",
)
