"""Declare the records about other servers: cached documents, contexts and keys, dialects, and fetch budgets.

All of them may be lost: each is fetched or proved again when it is missing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, NamedTuple

from attrs import frozen

from apcore.ports import digest_part
from apcore.records import RecordKind, StoredRecord, member

__all__ = [
    "CACHED_CONTEXTS",
    "CACHED_DOCUMENTS",
    "DIALECT_KEPT_S",
    "DOCUMENT_CHANGES",
    "FAILED_LOADS",
    "FAILED_LOAD_KEPT_S",
    "FETCH_BUDGETS",
    "KEY_LOOKUPS",
    "KNOWN_DIALECTS",
    "OVERALL_BUDGET",
    "CachedContext",
    "CachedDocument",
    "ContextKey",
    "DialectKey",
    "DocumentChange",
    "DocumentChangeKey",
    "DocumentKey",
    "FailedLoad",
    "FetchBudget",
    "FetchBudgetKey",
    "KeyLookup",
    "KeyLookupKey",
    "KnownDialect",
    "OverallBudget",
    "OverallBudgetKey",
]

_DAY_S: Final = 86400.0
_CHANGE_KEPT_S: Final = 31 * _DAY_S
"""How long a change is remembered. A copy is fresh for a day at most, and cached for 30 more (see `FetchPolicy`)."""
FAILED_LOAD_KEPT_S: Final = 31 * _DAY_S
"""How long a failure is remembered after the last attempt."""
DIALECT_KEPT_S: Final = 28 * _DAY_S
"""How long an accepted dialect is remembered."""


# --- documents --------------------------------------------------------------------------------------------------------


class DocumentKey(NamedTuple):
    """The signer that the document was fetched as, empty without a signer, and the address of the document."""

    viewer_digest: str
    uri_digest: str

    @classmethod
    def of(cls, uri: str, *, viewer: str | None) -> DocumentKey:
        """Return the key of the copy of ``uri`` that was fetched under the key id ``viewer``."""
        return cls("" if viewer is None else digest_part(viewer), digest_part(uri))


@frozen(kw_only=True)
class CachedDocument(StoredRecord):
    """A document of another server as its origin sent it, and until when it is fresh."""

    uri: str
    url: str
    """The address that sent it, after redirects."""
    fetched: datetime
    fresh_until: datetime
    etag: str | None = None
    last_modified: str | None = None
    unproved: bool = False
    """Whether it was fetched for a client that was not authenticated."""


CACHED_DOCUMENTS: Final = RecordKind(
    "doc",
    CachedDocument,
    DocumentKey,
    lifetime="30 days after it is stale; ten minutes if a client that was not authenticated caused the fetch",
    size="the document, at most 1 MiB",
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
    "doc-failed",
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
