"""Fetch documents and keys of other servers, and decide which of their claims to trust."""

from apcore.remote.alternates import (
    alternate_of as alternate_of,
)
from apcore.remote.budgets import (
    DEFAULT_BUDGETS as DEFAULT_BUDGETS,
    Budgets,
    BudgetSpent,
    FetchAllowance as FetchAllowance,
    Rate,
    RateDecision as RateDecision,
    UnauthenticatedClient as UnauthenticatedClient,
    registrable_domain as registrable_domain,
    spend as spend,
)
from apcore.remote.contexts import (
    read_with_contexts as read_with_contexts,
)
from apcore.remote.copies import (
    forget_copies as forget_copies,
    prune_copies as prune_copies,
)
from apcore.remote.dialects import (
    Dialect as Dialect,
    Identity,
    Knock as Knock,
    KnockResult as KnockResult,
    dialect_key as dialect_key,
    knock as knock,
    read_dialect as read_dialect,
    remember_dialect as remember_dialect,
)
from apcore.remote.documents import (
    LoadedDocument,
    bury_deleted as bury_deleted,
    cached_owners as cached_owners,
    changed_document as changed_document,
    delivered_copy as delivered_copy,
    load,
    load_kept as load_kept,
    load_unverified,
    revive_actor as revive_actor,
)
from apcore.remote.errors import (
    Forbidden,
    Gone,
    KeyNotOwned as KeyNotOwned,
    NotFound,
    PeerFailing as PeerFailing,
    Rejected as Rejected,
    WrongId,
    WrongMediaType as WrongMediaType,
)
from apcore.remote.failed_loads import (
    load_unless_failed as load_unless_failed,
)
from apcore.remote.freshness import (
    Freshness,
    freshness_by_type,
)
from apcore.remote.keys import (
    KeyRefused as KeyRefused,
    KeyUnavailable,
    LookupRead as LookupRead,
    RemoteKey,
    cached_key_owners as cached_key_owners,
    end_refresh_pause as end_refresh_pause,
    lookup_key as lookup_key,
    remote_key,
)
from apcore.remote.quotes import (
    QuoteNotAllowed as QuoteNotAllowed,
    check_quote,
)
from apcore.remote.references import (
    resolve,
    trusted_embedding as trusted_embedding,
)
from apcore.remote.retrieval import (
    FetchedResponse,
    FetchPolicy,
    check_status as check_status,
    check_target as check_target,
    fetch,
)
from apcore.remote.states import (
    DocumentState,
    due_for_refresh as due_for_refresh,
    read_state as read_state,
)
from apcore.remote.trust import (
    NotAnActivity as NotAnActivity,
    OwnerUnclear as OwnerUnclear,
    check_change,
    implied_owner as implied_owner,
    is_embedded_trusted as is_embedded_trusted,
    is_move_confirmed,
    may_change_owner,
    owners,
)

__all__ = [
    "BudgetSpent",
    "Budgets",
    "DocumentState",
    "FetchPolicy",
    "FetchedResponse",
    "Forbidden",
    "Freshness",
    "Gone",
    "Identity",
    "KeyUnavailable",
    "LoadedDocument",
    "NotFound",
    "Rate",
    "RemoteKey",
    "WrongId",
    "check_change",
    "check_quote",
    "fetch",
    "freshness_by_type",
    "is_move_confirmed",
    "load",
    "load_unverified",
    "may_change_owner",
    "owners",
    "remote_key",
    "resolve",
]
