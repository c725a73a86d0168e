"""Make one attempt of a delivery: a signed POST to one inbox.

The usual attempt is one request. A further one is made in two cases. In both of them, the inbox has not acted on the
activity:

- The inbox refused, perhaps because of the signature. The request is signed once more in the other dialect
  (`apcore.remote.dialects`).
- The inbox answered 307 or 308 with a target on its own origin. The request is signed anew for that target.

Every other redirect is a refusal. An actor that has moved publishes its new inbox in its document, and an activity for
one origin is never sent to another.

If both dialects are refused, the outcome depends on earlier attempts. If the server has accepted a dialect in one of
them, the answer to that dialect counts. Otherwise either dialect may be the right one, so the answer that allows more
retries counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import partial
from typing import Final, Literal

from attrs import field, frozen

from apcore.effects import Now, Op
from apcore.errors import FetchFailed, RemoteError, Unavailable
from apcore.federation.actors.key_ring import OwnKey
from apcore.federation.followers_sync import FIELD
from apcore.federation.outgoing_options import StatusMeaning
from apcore.federation.site import Site
from apcore.federation.time_limits import FOLLOW_UP_S
from apcore.http import (
    ACTIVITY_JSON,
    DELIVERY_LIMITS,
    Headers,
    Request,
    Response,
    Url,
    join_url,
    parse_retry_after,
    parse_url,
)
from apcore.remote import Dialect, Knock, KnockResult, check_target, knock
from apcore.remote.dialects import SECOND_KNOCK

__all__ = ["REDIRECTS_MAX", "AttemptOutcome", "AttemptResult", "classify", "combine_outcomes", "post"]

REDIRECTS_MAX: Final = 3
"""The redirects that one attempt follows."""
_RETRY_AFTER_S_MAX: Final = 86400.0
_SAME_METHOD: Final = frozenset({307, 308})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class AttemptOutcome(Enum):
    """The meaning of an answer for a delivery."""

    DELIVERED = auto()
    REFUSED = auto()
    """This inbox will never take this activity."""
    UNPROVED = auto()
    """The peer answered 401: it could not verify our signature.

    The usual cause is that it could not fetch our key at that moment, so a few more attempts are worth while.
    """
    INBOX_FAILING = auto()
    """The inbox cannot take the activity now. This says nothing about its host."""
    HOST_FAILING = auto()
    """The host does not answer, or answers that it cannot work."""
    NOT_ASKED = auto()
    """Our own signer or store failed before the request left, so neither the peer nor the delivery is charged."""


@frozen
class AttemptResult:
    """The result of one attempt."""

    outcome: AttemptOutcome
    detail: str
    """The reason, for the log and the dead letter. It holds statuses, and no text that a peer wrote."""
    retry_after_s: float | None = field(default=None, kw_only=True)
    """The seconds that the peer asked us to wait."""
    reached: bool | None = field(default=None, kw_only=True)
    """Whether an HTTP answer came; None if no request left, or if the failure says nothing about the host."""
    accepted: Dialect | None = field(default=None, kw_only=True)
    """The dialect that the server accepted."""
    missing_inbox: Literal["gone", "moved"] | None = field(default=None, kw_only=True)
    """Set if there is no such inbox: it is gone for good, or may have another address now."""
    activity: str | None = field(default=None, kw_only=True)
    """The id of the activity, if it was read."""
    sender: str | None = field(default=None, kw_only=True)
    """The actor of ours that sent it, if it was read."""
    status: int | None = field(default=None, kw_only=True)
    """The status of the last answer; None if none came."""


_MEANINGS: Final[dict[StatusMeaning, AttemptOutcome]] = {
    "delivered": AttemptOutcome.DELIVERED,
    "refused": AttemptOutcome.REFUSED,
    "unproved": AttemptOutcome.UNPROVED,
    "inbox-failing": AttemptOutcome.INBOX_FAILING,
    "host-failing": AttemptOutcome.HOST_FAILING,
}


def classify(status: int) -> AttemptOutcome:
    """Return the meaning of a status for a delivery.

    This follows the practice of other servers: most 4xx are final, but 401, 408, 425 and 429 are not. 501 is final.
    """
    if 200 <= status < 300:
        return AttemptOutcome.DELIVERED
    if status == 401:
        return AttemptOutcome.UNPROVED
    if status in {408, 425}:
        return AttemptOutcome.INBOX_FAILING
    if status == 429 or (status >= 500 and status != 501):
        return AttemptOutcome.HOST_FAILING
    return AttemptOutcome.REFUSED


def outcome_of(site: Site, status: int) -> AttemptOutcome:
    """Return the meaning of a status, as the options of the federation have it, or else as `classify` does."""
    federation = site.federation
    meaning = None if federation.classify_status is None else federation.classify_status(status)
    if meaning is not None:
        return _MEANINGS[meaning]
    return AttemptOutcome.REFUSED if status in federation.permanent_statuses else classify(status)


def combine_outcomes(
    knocks: Sequence[Knock], *, is_dialect_known: bool, judge: Callable[[int], AttemptOutcome] = classify
) -> AttemptOutcome:
    """Return the meaning of one or two knocks together.

    ``is_dialect_known`` tells whether the server accepted the dialect of the first knock in an earlier attempt.
    """
    first, last = judge(knocks[0].status), judge(knocks[-1].status)
    if len(knocks) == 1:
        # Such a refusal is normally followed by a second knock. Here the time was too short for one, so try later.
        return AttemptOutcome.UNPROVED if knocks[0].status in SECOND_KNOCK else first
    if is_dialect_known and last is not AttemptOutcome.DELIVERED:
        return first
    if last in {AttemptOutcome.HOST_FAILING, AttemptOutcome.INBOX_FAILING}:
        # The host answered the first knock, so the host itself is well.
        return AttemptOutcome.INBOX_FAILING
    if last is AttemptOutcome.REFUSED and first is AttemptOutcome.UNPROVED and knocks[-1].status not in {404, 410}:
        return AttemptOutcome.UNPROVED
    return last


def post(
    site: Site,
    inbox: str,
    body: bytes,
    *,
    key: OwnKey,
    known_dialect: Dialect | None,
    followers: str | None = None,
    now: datetime,
) -> Op[AttemptResult]:
    """Send ``body`` to ``inbox`` in a POST signed with ``key``, first in ``known_dialect``.

    ``followers`` is the value of `Collection-Synchronization`, if the request has one.

    Asks for: as `knock`, and `Now` if the response has `Retry-After`. Each of up to 3 redirects within the origin costs
    as much again. No redirect is followed later than 30 s into the attempt.
    """
    try:
        url = parse_url(inbox)
        check_target(url, site.fetching.addresses)
        fields = {"Content-Type": ACTIVITY_JSON, "User-Agent": site.fetching.user_agent}
        headers = Headers(fields if followers is None else fields | {FIELD: followers})
        knock_result = yield from _knock_following_redirects(
            site, url, body, headers, key=key, known_dialect=known_dialect, now=now
        )
    except FetchFailed as error:
        if error.retryable:
            return AttemptResult(AttemptOutcome.HOST_FAILING, str(error), reached=False)
        return AttemptResult(AttemptOutcome.REFUSED, str(error))
    except Unavailable as error:
        return AttemptResult(AttemptOutcome.NOT_ASKED, str(error))
    except RemoteError as error:
        return AttemptResult(AttemptOutcome.REFUSED, str(error))
    if knock_result is None:
        detail = f"a redirect that was not followed: the attempt had taken {FOLLOW_UP_S:.0f} s"
        return AttemptResult(AttemptOutcome.INBOX_FAILING, detail, reached=True)
    field_value = knock_result.response.headers.get("retry-after")
    retry_after_s = None
    if field_value is not None:
        retry_after_s = parse_retry_after(field_value, now=(yield from Now()), max_s=_RETRY_AFTER_S_MAX)
    return _result(site, knock_result, is_dialect_known=known_dialect is not None, retry_after_s=retry_after_s)


def _knock_following_redirects(
    site: Site, url: Url, body: bytes, headers: Headers, *, key: OwnKey, known_dialect: Dialect | None, now: datetime
) -> Op[KnockResult | None]:
    """Send the request to ``url`` and to the targets of its redirects, and return the last answer.

    The answer may be a redirect that must not be followed. Return None if it should be followed, but time has run out.
    """
    until = now + timedelta(seconds=FOLLOW_UP_S)
    visited: set[str] = set()
    while True:
        visited.add(str(url))
        request = Request(
            "POST",
            str(url),
            headers,
            body,
            limits=DELIVERY_LIMITS,
            addresses=site.fetching.addresses,
        )
        knock_result = yield from knock(
            request, identity=key.identity(site), dialect=known_dialect, until=until, now=now
        )
        target = _redirect_target(knock_result.response, url)
        if target is None or str(target) in visited or len(visited) > REDIRECTS_MAX:
            return knock_result
        now = yield from Now()
        if now >= until:
            return None
        url = target


def _redirect_target(response: Response, url: Url) -> Url | None:
    """Return the target of a redirect that a POST may follow: 307 or 308, within the origin of ``url``."""
    location = response.headers.get("location")
    if response.status not in _SAME_METHOD or location is None:
        return None
    target = join_url(url, location).without_fragment()
    return target if target.origin == url.origin else None


def _result(
    site: Site, knock_result: KnockResult, *, is_dialect_known: bool, retry_after_s: float | None
) -> AttemptResult:
    knocks, response = knock_result.knocks, knock_result.response
    outcome = combine_outcomes(knocks, is_dialect_known=is_dialect_known, judge=partial(outcome_of, site))
    missing_inbox: Literal["gone", "moved"] | None = None
    # With a known dialect the first knock decides, so the status of a second one says nothing about the inbox.
    if outcome is AttemptOutcome.REFUSED and (len(knocks) == 1 or not is_dialect_known):
        status = response.status
        missing_inbox = "gone" if status == 410 else "moved" if status == 404 or status in _REDIRECTS else None
    return AttemptResult(
        outcome,
        " and ".join(f"status {one_knock.status} to {one_knock.dialect.scheme}" for one_knock in knocks),
        retry_after_s=retry_after_s,
        reached=True,
        accepted=knock_result.accepted,
        missing_inbox=missing_inbox,
        status=response.status,
    )
