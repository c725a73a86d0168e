"""From a page to the document that it says it is: for what people paste, which is mostly the address of a page.

Servers that know both give the document at the page's own address. Others write a link into the page; that link is a claim, and leads to a
fetch like any other.
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
    """Give where the page at ``url`` says that it is there as ActivityPub; None if it says nothing of the kind.

    Asks for: one fetch (as `fetch`, unsigned); if it is not answered by 200, `Now`.

    Raises:
        NotFound, Gone, Forbidden, Rejected, PeerFailing: What the host answered instead.
        RequestError, LimitExceeded, Refused, FetchFailed: As `fetch`.
    """
    # The links stand at the beginning: what is too long is cut, and no reason to give up.
    cutting = evolve(policy, limits=evolve(policy.limits, body_excess="cut"))
    found = yield from fetch(url, policy=cutting, accept=_ACCEPT)
    if found.response.status != 200:
        now = yield from Now()
        check_status(found, url, now=now)
    return next(iter(find_alternates(found.response, found.url)), None)
