"""The behaviour of a server: registration, serving, inbox, outbox, actors and rules for peers."""

from apcore.federation.actors.rotation import Rotation
from apcore.federation.context import AsyncContext, Context, OpContext
from apcore.federation.findings import CheckFinding
from apcore.federation.jobs import Job
from apcore.federation.inbox.moderators import group_moderators
from apcore.federation.moderation import DomainRule, DomainRules, DomainSuspended, Severity
from apcore.federation.pointers import AsyncPointer, Pointer
from apcore.federation.policies import Drop, Failure, FollowVerdict, InboxPolicy, KeyPolicy, Later
from apcore.federation.registration import Federation
from apcore.federation.relations.actions import FollowRequest
from apcore.federation.outbox.immediate import SendResult
from apcore.federation.reports import DeadLetter, FailedDelivery, UnprovedActivity
from apcore.federation.retry import DELIVERY_RETRIES, LISTENER_RETRIES, RetryPolicy, RetryRules
from apcore.federation.parts import Router
from apcore.federation.routes import Endpoint, RouteMatch
from apcore.federation.subscriptions.manage import Subscription
from apcore.federation.subscriptions.schedule import PollPolicy

__all__ = [
    "DELIVERY_RETRIES",
    "LISTENER_RETRIES",
    "AsyncContext",
    "AsyncPointer",
    "CheckFinding",
    "Context",
    "DeadLetter",
    "DomainRule",
    "DomainRules",
    "DomainSuspended",
    "Drop",
    "Endpoint",
    "FailedDelivery",
    "Failure",
    "Federation",
    "FollowRequest",
    "FollowVerdict",
    "InboxPolicy",
    "Job",
    "KeyPolicy",
    "Later",
    "OpContext",
    "Pointer",
    "PollPolicy",
    "RetryPolicy",
    "RetryRules",
    "Rotation",
    "RouteMatch",
    "Router",
    "SendResult",
    "Severity",
    "Subscription",
    "UnprovedActivity",
    "group_moderators",
]
