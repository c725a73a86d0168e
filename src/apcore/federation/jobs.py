"""Define `Job`: the request, the message or the call for which a node enters the application's data.

A factory that is passed as ``data=`` may take a job, so that it can choose a database by the origin, or look at the
request. A factory without a parameter is called without one.
"""

from __future__ import annotations

import inspect

from attrs import field, frozen

from apcore.effects import Get, Op
from apcore.errors import ContractError
from apcore.federation.inbox.records import RECEIVED_ACTIVITIES
from apcore.federation.wake_ups import INBOX, kind_of_lane, read_wake
from apcore.http import Origin, Request, parse_url
from apcore.ports import LeasedMessage
from apcore.vocab import Activity, read_document

__all__ = ["Job", "read_job", "takes_job"]


@frozen
class Job:
    """One request, message of the queue, or call of a method, for which the application's data is entered."""

    origin: str | None = None
    """The origin of ours that it is for; None if the node has several or none, and the call names none."""
    request: Request | None = field(default=None, repr=False)
    """The request that is answered; None otherwise."""
    activity: Activity | None = field(default=None, repr=False)
    """The received activity that is processed. It is authenticated. None otherwise."""


def takes_job(factory: object) -> bool:
    """Return whether a factory of data has a parameter for the job."""
    if not callable(factory):
        return False
    try:
        _ = inspect.signature(factory).bind(Job())
    except (TypeError, ValueError):
        return False
    return True


def read_job(leased: LeasedMessage, origin: Origin) -> Op[Job]:
    """Return the job of a leased message, with the activity if the message is for a received one.

    Effects: one `Get` for a received activity.
    """
    job = Job(str(origin))
    if kind_of_lane(leased.message.lane) != INBOX:
        return job
    try:
        [entry] = yield from Get((read_wake(leased.message).key,))
        record = None if entry is None else RECEIVED_ACTIVITIES.decode(entry.value)
    except ContractError:
        return job  # a newer release wrote the record
    if record is None:
        return job
    document = read_document(record.body, origin=parse_url(record.actor).origin)
    return Job(str(origin), activity=Activity.over(document))
