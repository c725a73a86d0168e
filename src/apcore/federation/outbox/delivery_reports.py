"""Report failed deliveries to the application: each failed attempt, and the end of a delivery that is given up."""

from __future__ import annotations

from collections.abc import Sequence

from apcore.effects import Get, Op
from apcore.federation.outbox.delivery_results import Circumstances, DeliveryResult, attempt_count, judge
from apcore.federation.outbox.delivery_states import DeliveryEvent
from apcore.federation.outbox.records import SENT_ACTIVITIES, SendingKey
from apcore.federation.report_calls import call_hook
from apcore.federation.reports import FailedDelivery
from apcore.federation.site import Site

__all__ = ["report_dead", "report_failed"]

_DEAD = frozenset({DeliveryEvent.REFUSED, DeliveryEvent.EXHAUSTED})
_FAILED = frozenset({DeliveryEvent.HOST_FAILED, DeliveryEvent.INBOX_FAILED, DeliveryEvent.UNPROVED})


def report_dead(site: Site, results: Sequence[DeliveryResult], circumstances: Circumstances) -> Op[None]:
    """Call ``on_delivery_dead`` for each delivery that is given up. The caller records this afterwards.

    Effects: none without a hook; else those of `call_hook`, and one `Get` for each delivery that was not tried.
    """
    if "on_delivery_dead" not in site.federation.report_hooks:
        return
    for result in results:
        if judge(result, circumstances)[0] in _DEAD:
            report = yield from _report(result, is_dead=True)
            _ = yield from call_hook(site, "on_delivery_dead", report)


def report_failed(site: Site, results: Sequence[DeliveryResult], circumstances: Circumstances) -> Op[None]:
    """Call ``on_delivery_failed`` for each delivery that will be tried again. Effects: see `report_dead`."""
    if "on_delivery_failed" not in site.federation.report_hooks:
        return
    for result in results:
        if judge(result, circumstances)[0] in _FAILED:
            report = yield from _report(result, is_dead=False)
            _ = yield from call_hook(site, "on_delivery_failed", report)


def _report(result: DeliveryResult, *, is_dead: bool) -> Op[FailedDelivery]:
    delivery, attempt = result.delivery, result.attempt
    activity_id, actor = attempt.activity, attempt.sender
    if activity_id is None:
        [entry] = yield from Get((SENT_ACTIVITIES.key(SendingKey(delivery.name)),))
        if entry is not None:
            sent = SENT_ACTIVITIES.decode(entry.value)
            activity_id, actor = sent.activity_id, sent.actor
    return FailedDelivery(
        activity_id=activity_id,
        actor=actor,
        inbox=delivery.record.inbox,
        status=attempt.status,
        reason=attempt.detail,
        attempts=attempt_count(result),
        is_dead=is_dead,
    )
