"""Record failed steps of planning: the handler of a collection raised an error, took too long, or never ends.

Such a step is tried as often as a listener, by the federation's ``listener_retries``. Then the rest of the sending
becomes a dead letter. Deliveries that earlier steps have planned are still made.
"""

from __future__ import annotations

import logging
from typing import Final

from attrs import asdict, evolve

from apcore.effects import Get, Now, Op, RandomBytes, Settle, commit
from apcore.federation.dead_letter_forms import letter_of
from apcore.federation.outbox.records import DEAD_SENDINGS, SENDINGS, DeadSendingRecord, SendingKey, SendingRecord
from apcore.federation.report_calls import call_hook
from apcore.federation.site import Site
from apcore.federation.wake_ups import read_wake
from apcore.ports import Done, LeasedMessage, Retry
from apcore.records import Stored, defer

__all__ = ["fail_planning", "give_up_planning", "record_failed_step"]

_REASON_CHARS_MAX: Final = 500
"""The longest reason that a dead letter holds."""
_LOG: Final = logging.getLogger("apcore.delivery")


def fail_planning(site: Site, leased: LeasedMessage, error: Exception) -> Op[None]:
    """Record that a step of planning has failed with ``error`` while the handler of a collection still runs.

    If the handler ends after all, the step's commit is refused: the record has another version by then.

    Effects: one `Get`, and those of `record_failed_step`; only a `Settle` if the sending is planned by now.
    """
    [entry] = yield from Get((read_wake(leased.message).key,))
    if entry is None:
        _ = yield from Settle((Done(leased),))
        return
    yield from record_failed_step(site, leased, SENDINGS.read(entry), error)


def record_failed_step(
    site: Site, leased: LeasedMessage, stored: Stored[SendingRecord, SendingKey], error: Exception
) -> Op[None]:
    """Count a failed step, and put the sending off, or write a dead letter after the last attempt.

    Effects: `Now`, `RandomBytes` and one commit.
    """
    now = yield from Now()
    random_bytes = yield from RandomBytes(2)
    record = evolve(stored.record, failures=stored.record.failures + 1)
    delay_s = site.federation.listener_retries.delay_s(
        record.failures,
        age_s=(now - record.created).total_seconds(),
        jitter=int.from_bytes(random_bytes, "big") / 65535,
        retry_after_s=None,
    )
    reason = f"{type(error).__name__}: {error}"
    if delay_s is None:
        yield from give_up_planning(site, leased, evolve(stored, record=record), reason)
        return
    _LOG.error("planning %s failed, attempt %d: %s", record.activity_id, record.failures, reason[:_REASON_CHARS_MAX])
    put_off = SENDINGS.put(stored.key, defer(record, delay_s, now))
    _ = yield from commit((stored.check,), (put_off,), settles=(Retry(leased, delay_s),))


def give_up_planning(
    site: Site, leased: LeasedMessage, stored: Stored[SendingRecord, SendingKey], reason: str
) -> Op[None]:
    """Write a dead letter for the rest of a sending, with the record in ``stored`` and ``reason``, and end its message.

    Effects: `Now` and one commit.
    """
    record = stored.record
    reason = reason[:_REASON_CHARS_MAX]
    now = yield from Now()
    dead_letter = DeadSendingRecord(**asdict(record, recurse=False), reason=reason, died=now)
    writes = (stored.deletion, DEAD_SENDINGS.put(stored.key, dead_letter))
    if (yield from commit((stored.check,), writes, settles=(Done(leased),))) is False:
        # Another worker has changed the record meanwhile.
        _ = yield from Settle((Retry(leased, 0.0),))
        return
    _LOG.error(
        "gave up on planning %s after %d steps and %d failures: %s",
        record.activity_id,
        record.steps,
        record.failures,
        reason,
    )
    _ = yield from call_hook(site, "on_dead_letter", letter_of(dead_letter, stored.key))
