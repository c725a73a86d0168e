"""Process a received activity: side effects, the listener, and one commit that records the result.

An attempt reads the activity's record at a version, and ends in one commit that checks this version. The commit marks
the activity as processed, applies the writes that the handlers noted, and settles the message. A worker that is too
late commits nothing, so every effect through a context happens once. A listener's effects elsewhere may happen again:
use `Context.activity_id` as the key that makes them idempotent.

`apcore.federation.inbox.attempts` begins and ends attempts, by the table in `apcore.federation.inbox.states`.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, Final

from apcore.effects import Call, Op, Settle
from apcore.errors import FetchFailed, RemoteError, Unavailable
from apcore.federation.context import UnitContexts
from apcore.federation.domain_checks import check_hosts
from apcore.federation.inbox.attempts import Attempt, begin_attempt, end_attempt, record_failure, resume_attempt
from apcore.federation.inbox.forwarding import forward_to_followers
from apcore.federation.inbox.polled import is_delivered
from apcore.federation.inbox.records import RECEIVED_ACTIVITIES, ReceivedActivityRecord
from apcore.federation.inbox.relaying import relay_to_subscribers
from apcore.federation.inbox.routing import route
from apcore.federation.inbox.side_effects import apply_side_effects
from apcore.federation.inbox.states import ClaimEvent
from apcore.federation.inbox.synchronize import synchronize_followers
from apcore.federation.moderation import DomainSuspended, Severity, without_media
from apcore.federation.outbox.pending_writes import flush
from apcore.federation.policies import Drop, Failure, Later
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.unit_setup import unit_of_work_for
from apcore.http import parse_url
from apcore.ports import NO_CHANGE, Done, LeasedMessage
from apcore.remote import Forbidden, NotFound, read_with_contexts
from apcore.vocab import Activity, Document, owners_of, read_document

__all__ = ["MISSING_ATTEMPTS_MAX", "fail_attempt", "process"]

MISSING_ATTEMPTS_MAX: Final = 3
"""The most attempts of a handler that needs a document which its server does not have, or does not give to us."""

_LOG: Final = logging.getLogger(__name__)


def process(site: Site, leased: LeasedMessage) -> Op[None]:
    """Process the activity that a message of the lane `INBOX` names.

    An error of a handler is not raised. The activity is retried by the federation's ``listener_retries``, and becomes a
    dead letter after the last attempt. If no attempt can succeed, because a document that the handler needs cannot be
    had, it becomes one at once.

    Effects: one `Get`; before any attempt but the first, one commit that counts it; those of the side effects, the
    listener, `forward_to_followers`, `relay_to_subscribers` and `synchronize_followers`; one commit.
    """
    attempt = yield from begin_attempt(site, leased)
    if attempt is None:
        return
    record = attempt.record
    reason, severity = yield from _drop_reason(site, attempt)
    if reason is not None:
        yield from end_attempt(attempt, ClaimEvent.DROPPED, NO_CHANGE, reason=reason)
        return
    document = yield from _read_document(site, record)
    scope = _scope_of(site, attempt, severity)
    if scope.rejects_media:
        document = without_media(document)
    activity = Activity.over(document)
    try:
        yield from apply_side_effects(site, scope, activity)
        match = site.federation.listener_for(document)
        if match is not None and not scope.is_replaced:
            view, listener = match
            _ = yield from Call(listener.fn, view.over(document), contexts_for=UnitContexts(scope))
        yield from _pass_on(site, scope, record, document)
    except Drop as drop:
        yield from end_attempt(attempt, ClaimEvent.DROPPED, NO_CHANGE, reason=drop.reason or "dropped")
    except Later as later:
        _ = yield from record_failure(site, attempt, "later", retry_after_s=later.delay_s)
    except Exception as error:
        _LOG.exception("handling %s failed, attempt %d", record.activity_id, attempt.number)
        # A document that is missing or forbidden is not asked for again before its retry time.
        retry_after_s = error.retry_after_s if isinstance(error, Unavailable | NotFound | Forbidden) else None
        final = yield from record_failure(
            site,
            attempt,
            f"{type(error).__name__}: {error}",
            retry_after_s=retry_after_s,
            is_permanent=_is_permanent(error, attempt.number),
        )
        yield from _report(site, scope, Failure(activity, error, attempt.number, final))
    else:
        try:
            handler_writes = yield from flush(site, scope)
        except Unavailable:
            raise
        except Exception as error:
            # The handler noted a write that can never be committed, or the handler of an actor failed. That is a
            # failure like any other, so it is retried a bounded number of times and not for ever.
            _LOG.exception(
                "the writes that handling %s noted are refused, attempt %d", record.activity_id, attempt.number
            )
            final = yield from record_failure(site, attempt, f"{type(error).__name__}: {error}")
            yield from _report(site, scope, Failure(activity, error, attempt.number, final))
        else:
            yield from end_attempt(attempt, ClaimEvent.SUCCEEDED, handler_writes)


def _drop_reason(site: Site, attempt: Attempt) -> Op[tuple[str | None, Severity | None]]:
    """Return the reason for which an activity is not processed any more, and the severity of its domain."""
    record = attempt.record
    actor_host = parse_url(record.actor).origin.host
    try:
        severity = (yield from check_hosts(site, (actor_host,), attempt.snapshot)).get(actor_host)
    except DomainSuspended as suspended:
        # The rule came after the activity.
        _LOG.info("dropped %s: %s", record.activity_id, suspended)
        return "suspended", None
    if record.is_polled and (yield from is_delivered(attempt.activity.key)):
        return "delivered", severity
    return None, severity


def _pass_on(site: Site, scope: UnitOfWork[Any], record: ReceivedActivityRecord, document: Document) -> Op[None]:
    """Note what follows from a delivery: to forward it, to relay it, and to synchronise followers."""
    if not record.is_polled:
        yield from forward_to_followers(site, scope, record, document)
        yield from relay_to_subscribers(site, scope, record, document)
        yield from synchronize_followers(site, scope, record.followers)


def fail_attempt(site: Site, leased: LeasedMessage, error: Exception) -> Op[None]:
    """Record that an attempt has failed by ``error`` while its handler still runs, and call the error hook.

    If the handler ends after all, its commit is refused: the record has another version by then.

    Effects: as for `process`, without a listener.
    """
    attempt = yield from resume_attempt(leased)
    if attempt is None:
        _ = yield from Settle((Done(leased),))
        return
    record = attempt.record
    _LOG.error("processing %s failed, attempt %d: %s", record.activity_id, attempt.number, error)
    final = yield from record_failure(site, attempt, f"{type(error).__name__}: {error}")
    document = yield from _read_document(site, record)
    failure = Failure(Activity.over(document), error, attempt.number, final)
    yield from _report(site, _scope_of(site, attempt), failure)


def _is_permanent(error: Exception, attempt: int) -> bool:
    """Return whether an error of a handler will be the same at each attempt.

    A document may be missing or forbidden while its server is moved, so that is believed after some attempts only.
    """
    if isinstance(error, NotFound | Forbidden):
        return attempt >= MISSING_ATTEMPTS_MAX
    return isinstance(error, RemoteError) or (isinstance(error, FetchFailed) and not error.retryable)


def _scope_of(site: Site, attempt: Attempt, severity: Severity | None = None) -> UnitOfWork[Any]:
    record = attempt.record
    return unit_of_work_for(
        site,
        activity_id=record.activity_id,
        attempt=attempt.number,
        received=record.received,
        recipient=record.recipient,
        actor=record.actor,
        auth_method=record.auth_method,
        relayed_by=record.relayed_by,
        is_silenced=record.silenced or severity is Severity.SILENCE,
        rejects_media=severity is Severity.REJECT_MEDIA,
        seed=bytes.fromhex(record.seed),
        received_key=RECEIVED_ACTIVITIES.key(attempt.activity.key),
        router=partial(route, site),
    )


def _read_document(site: Site, record: ReceivedActivityRecord) -> Op[Document]:
    """Read the activity for the handlers, as a document that was obtained from its actor's origin.

    A fetched context may add meaning. It must not change the members that were proved and checked against the rules of
    ownership: if it would, it is ignored after all.
    """
    origin = parse_url(record.actor).origin
    proved = read_document(record.body, origin=origin, vocabulary=site.federation.vocabulary)
    if site.fetching.unknown_contexts == "ignore" or not proved.reading.ignored_contexts:
        return proved
    document = yield from read_with_contexts(record.body, origin=origin, policy=site.fetching)
    return document if _checked_members(document) == _checked_members(proved) else proved


def _checked_members(document: Document) -> tuple[object, ...]:
    """Return the members that the rules of ownership and the choice of recipients depend on."""
    activity = Activity.over(document)
    references = (activity.actors, activity.objects, activity.targets)
    owners = [
        () if reference.embedded is None else owners_of(reference.embedded)
        for group in references
        for reference in group
    ]
    return (document.id, document.types, references, *owners)


def _report(site: Site, scope: UnitOfWork[Any], failure: Failure) -> Op[None]:
    """Call the error hook. An error of the hook itself is logged, and changes nothing."""
    hook = site.federation.error_hook
    if hook is None:
        return
    try:
        _ = yield from Call(hook.fn, failure, contexts_for=UnitContexts(scope))
    except Exception:
        _LOG.exception("the error hook failed on %s", scope.activity_id)
