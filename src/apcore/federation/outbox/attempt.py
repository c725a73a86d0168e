"""One attempt of a delivery: a signed POST, a second knock where that may help, a redirect where that is allowed; and what the answers mean.

A POST is repeated only where nothing can have happened: after a refusal that may be about its signature, in another dialect (`apcore.remote.dialects`), and
after a 307 or 308 within the inbox's own origin, signed anew for its target. Every other redirect is a refusal: whoever moved says so in the actor's
document, and nobody gets a body that was meant for another origin.

A refusal of both dialects is judged by what is known. Where the server took the first dialect before, its answer to that one counts. Where nothing
is known, either of the two may be the one it understands, and the answer that leaves more hope counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final, Literal

from attrs import field, frozen

from apcore.effects import Now, Op
from apcore.errors import FetchFailed, RemoteError, Unavailable
from apcore.federation.actors.keys import OwnKey
from apcore.federation.site import Site
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
"""Of one attempt."""
_AGAIN_S: Final = 30.0
"""No second knock and no redirect begins later in an attempt, so that it ends before its lease."""
_RETRY_AFTER_S_MAX: Final = 86400.0
_SAME_METHOD: Final = frozenset({307, 308})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class AttemptOutcome(Enum):
    """What an answer to a delivery means."""

    DELIVERED = auto()
    REFUSED = auto()
    """For good: this inbox does not take this activity."""
    UNPROVED = auto()
    """401: our signature does not count there. Mostly our key could not be had just then, so it is worth a few more attempts."""
    INBOX_FAILING = auto()
    """Not now, and it says nothing about the host."""
    HOST_FAILING = auto()
    """The host does not answer, or cannot."""
    NOT_ASKED = auto()
    """Our own signer or store failed before the request left: nothing is charged to anybody."""


@frozen
class AttemptResult:
    """What came of one attempt."""

    answer: AttemptOutcome
    detail: str
    """For the log and the dead letter. Statuses alone: nothing that a peer wrote."""
    asked_s: float | None = field(default=None, kw_only=True)
    """How long the peer asked us to wait."""
    reached: bool | None = field(default=None, kw_only=True)
    """Whether an HTTP answer came; None if nobody was asked, or what was asked says nothing."""
    accepted: Dialect | None = field(default=None, kw_only=True)
    """The dialect that was let in."""
    left: Literal["gone", "moved"] | None = field(default=None, kw_only=True)
    """There is no such inbox: gone for certain, or perhaps at another address by now."""
    activity: str | None = field(default=None, kw_only=True)
    """The id of what was sent, if that was read."""


def classify(status: int) -> AttemptOutcome:
    """Tell what a status means for a delivery (as the field has it: most 4xx are final, 401 and 408 are not)."""
    if 200 <= status < 300:
        return AttemptOutcome.DELIVERED
    if status == 401:
        return AttemptOutcome.UNPROVED
    if status in {408, 425}:
        return AttemptOutcome.INBOX_FAILING
    if status == 429 or (status >= 500 and status != 501):
        return AttemptOutcome.HOST_FAILING
    return AttemptOutcome.REFUSED


def combine_outcomes(knocks: Sequence[Knock], *, known: bool) -> AttemptOutcome:
    """Tell what one or two knocks mean together; ``known`` says that the server took the first one's dialect before."""
    first, last = classify(knocks[0].status), classify(knocks[-1].status)
    if len(knocks) == 1:
        # A refusal without a second knock: there was no time for one.
        return AttemptOutcome.UNPROVED if knocks[0].status in SECOND_KNOCK else first
    if known and last is not AttemptOutcome.DELIVERED:
        return first
    if last in {AttemptOutcome.HOST_FAILING, AttemptOutcome.INBOX_FAILING}:
        # It answered the first knock: the host is well.
        return AttemptOutcome.INBOX_FAILING
    if last is AttemptOutcome.REFUSED and first is AttemptOutcome.UNPROVED and knocks[-1].status not in {404, 410}:
        return AttemptOutcome.UNPROVED
    return last


def post(site: Site, inbox: str, body: bytes, *, key: OwnKey, known: Dialect | None) -> Op[AttemptResult]:
    """POST ``body`` to ``inbox``, signed with ``key``, first in the dialect that is ``known``.

    Asks for: `Now`, `Sign` and `Fetch`, at most twice; as often again for each of up to 3 redirects within the origin, none of which begins
    later than 30 s into the attempt.
    """
    try:
        url = parse_url(inbox)
        check_target(url, site.fetching.addresses)
        knocked = yield from _led(site, url, body, key=key, known=known)
    except FetchFailed as error:
        if error.retryable:
            return AttemptResult(AttemptOutcome.HOST_FAILING, str(error), reached=False)
        return AttemptResult(AttemptOutcome.REFUSED, str(error))
    except Unavailable as error:
        return AttemptResult(AttemptOutcome.NOT_ASKED, str(error))
    except RemoteError as error:
        return AttemptResult(AttemptOutcome.REFUSED, str(error))
    if knocked is None:
        return AttemptResult(AttemptOutcome.INBOX_FAILING, "a redirect, and no time left to follow it", reached=True)
    return _posted(knocked, known=known is not None, now=(yield from Now()))


def _led(site: Site, url: Url, body: bytes, *, key: OwnKey, known: Dialect | None) -> Op[KnockResult | None]:
    """Knock where ``url`` leads; the answer may be a redirect that is not to be followed. None if one is, and there is no time for it."""
    until = (yield from Now()) + timedelta(seconds=_AGAIN_S)
    visited: set[str] = set()
    while True:
        visited.add(str(url))
        request = Request(
            "POST",
            str(url),
            Headers({"Content-Type": ACTIVITY_JSON, "User-Agent": site.fetching.user_agent}),
            body,
            limits=DELIVERY_LIMITS,
            addresses=site.fetching.addresses,
        )
        knocked = yield from knock(request, identity=key.identity(site), known=known, until=until)
        following = _following(knocked.response, url)
        if following is None or str(following) in visited or len(visited) > REDIRECTS_MAX:
            return knocked
        if (yield from Now()) >= until:
            return None
        url = following


def _following(response: Response, url: Url) -> Url | None:
    location = response.headers.get("location")
    if response.status not in _SAME_METHOD or location is None:
        return None
    following = join_url(url, location).without_fragment()
    return following if following.origin == url.origin else None


def _posted(knocked: KnockResult, *, known: bool, now: datetime) -> AttemptResult:
    knocks, response = knocked.knocks, knocked.response
    answer = combine_outcomes(knocks, known=known)
    left: Literal["gone", "moved"] | None = None
    # Where the first knock decides, what the second one was told does not count.
    if answer is AttemptOutcome.REFUSED and (len(knocks) == 1 or not known):
        status = response.status
        left = "gone" if status == 410 else "moved" if status == 404 or status in _REDIRECTS else None
    return AttemptResult(
        answer,
        " and ".join(f"status {each.status} to {each.dialect.scheme}" for each in knocks),
        asked_s=parse_retry_after(response.headers.get("retry-after"), now=now, max_s=_RETRY_AFTER_S_MAX),
        reached=True,
        accepted=knocked.accepted,
        left=left,
    )
