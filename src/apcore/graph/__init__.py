"""Documents that we do not own: loading them, and whom to believe about them."""

from apcore.graph.alternates import alternate_of
from apcore.graph.budgets import DEFAULT_BUDGETS, Budgets, BudgetSpent, Rate, Stranger, Taken, registrable_domain, spend
from apcore.graph.contexts import read_with_contexts
from apcore.graph.dialects import Dialect, Identity, Knock, Knocked, dialect_key, knock, read_dialect, remembering
from apcore.graph.errors import (
    Forbidden,
    Gone,
    KeyNotOwned,
    NotFound,
    PeerFailing,
    Rejected,
    WrongId,
    WrongMediaType,
)
from apcore.graph.fetching import Fetched, FetchPolicy, check_status, check_target, fetch
from apcore.graph.keys import KeyFound, KeyRefused, KeyUnavailable, end_refresh_pause, kept_owners, remote_key
from apcore.graph.loading import Loaded, cached_owners, changed_document, load, load_kept, load_unbelieved
from apcore.graph.quotes import QuoteNotAllowed, check_quote
from apcore.graph.resolving import believed_claim, resolve
from apcore.graph.trust import (
    NotAnActivity,
    OwnerUnclear,
    check_change,
    implied_owner,
    is_believed_inside,
    is_move_confirmed,
    may_change_owner,
    owners,
)

__all__ = [
    "DEFAULT_BUDGETS",
    "BudgetSpent",
    "Budgets",
    "Dialect",
    "FetchPolicy",
    "Fetched",
    "Forbidden",
    "Gone",
    "Identity",
    "KeyFound",
    "KeyNotOwned",
    "KeyRefused",
    "KeyUnavailable",
    "Knock",
    "Knocked",
    "Loaded",
    "NotAnActivity",
    "NotFound",
    "OwnerUnclear",
    "PeerFailing",
    "QuoteNotAllowed",
    "Rate",
    "Rejected",
    "Stranger",
    "Taken",
    "WrongId",
    "WrongMediaType",
    "alternate_of",
    "believed_claim",
    "cached_owners",
    "changed_document",
    "check_change",
    "check_quote",
    "check_status",
    "check_target",
    "dialect_key",
    "end_refresh_pause",
    "fetch",
    "implied_owner",
    "is_believed_inside",
    "is_move_confirmed",
    "kept_owners",
    "knock",
    "load",
    "load_kept",
    "load_unbelieved",
    "may_change_owner",
    "owners",
    "read_dialect",
    "read_with_contexts",
    "registrable_domain",
    "remembering",
    "remote_key",
    "resolve",
    "spend",
]
