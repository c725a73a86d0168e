"""Documents that we do not own: loading them, and whom to believe about them."""

from apcore.graph.contexts import read_with_contexts
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
from apcore.graph.fetching import Fetched, FetchPolicy, Identity, check_status, check_target, fetch
from apcore.graph.keys import KeyFound, KeyRefused, KeyUnavailable, remote_key
from apcore.graph.loading import Loaded, load, load_unbelieved
from apcore.graph.resolving import believed_claim, resolve

__all__ = [
    "FetchPolicy",
    "Fetched",
    "Forbidden",
    "Gone",
    "Identity",
    "KeyFound",
    "KeyNotOwned",
    "KeyRefused",
    "KeyUnavailable",
    "Loaded",
    "NotFound",
    "PeerFailing",
    "Rejected",
    "WrongId",
    "WrongMediaType",
    "believed_claim",
    "check_status",
    "check_target",
    "fetch",
    "load",
    "load_unbelieved",
    "read_with_contexts",
    "remote_key",
    "resolve",
]
