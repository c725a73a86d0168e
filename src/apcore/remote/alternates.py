"""Find the ActivityPub document that a web page links to.

People paste the address of a page. Many servers answer that address with the document itself. Others write a link into
the page. The link is only a claim, so it leads to a fetch like any other address.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve

from apcore.effects import Now, Op
from apcore.http import find_alternates
from apcore.remote.retrieval import FetchPolicy, check_status, fetch

__all__ = ["alternate_of"]

_ACCEPT: Final = "text/html, application/xhtml+xml;q=0.9"


def alternate_of(url: str, *, policy: FetchPolicy) -> Op[str | None]:
    """Return the address of the ActivityPub document that the page at ``url`` links to, or None if it links to none.

    Asks for: one fetch (as `fetch`, unsigned); if the status is not 200, also `Now`.

    Raises:
        NotFound, Gone, Forbidden, Rejected, PeerFailing: The host answered with another status than 200.
        RequestError, LimitExceeded, Refused, FetchFailed: As `fetch`.
    """
    # The links stand at the beginning of a page. So a page that is too long is cut, not refused.
    page_policy = evolve(policy, limits=evolve(policy.limits, body_excess="cut"))
    page = yield from fetch(url, policy=page_policy, accept=_ACCEPT)
    if page.response.status != 200:
        now = yield from Now()
        check_status(page, url, now=now)
    return next(iter(find_alternates(page.response, page.url)), None)
