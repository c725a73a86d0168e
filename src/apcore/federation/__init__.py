"""The server's behaviour: what is registered, where it is served, whom to talk to."""

from apcore.federation.context import AsyncContext, Context, OpContext
from apcore.federation.moderation import DomainRules, DomainSuspended, Severity
from apcore.federation.places import Place, Target
from apcore.federation.pointers import AsyncPointer, Pointer
from apcore.federation.policies import Drop, Failure, FollowVerdict, KeyPolicy, Later
from apcore.federation.registration import Federation, Finding
from apcore.federation.retry import DELIVERY_RETRIES, LISTENER_RETRIES, RetryPolicy, RetryRules
from apcore.federation.rotation import Rotation

__all__ = [
    "DELIVERY_RETRIES",
    "LISTENER_RETRIES",
    "AsyncContext",
    "AsyncPointer",
    "Context",
    "DomainRules",
    "DomainSuspended",
    "Drop",
    "Failure",
    "Federation",
    "Finding",
    "FollowVerdict",
    "KeyPolicy",
    "Later",
    "OpContext",
    "Place",
    "Pointer",
    "RetryPolicy",
    "RetryRules",
    "Rotation",
    "Severity",
    "Target",
]
