"""One GET, wherever it leads: redirects followed by us, every hop checked, signed anew, and within one bound.

A redirect is a new request to wherever a stranger points, so each hop is parsed as strictly as the first, carries the same address policy and
limits, and is signed for its own target, in the way that its own origin takes (`apcore.remote.dialects`). No hop may be visited twice, nor leave https
for http.

What a URL alone shows (scheme, port, an address, an odd spelling, a name that is not public) is refused here, before anything is signed or sent for
it; what its name resolves to is the transport's to judge, under the same policy, which travels with the request.
"""

from __future__ import annotations

from datetime import datetime
from math import floor
from typing import Final, Literal

from attrs import field, frozen

from apcore.effects import Fetch, Now, Op
from apcore.errors import AddressBlocked, FetchFailed, FetchTimedOut, LimitExceeded, Refused
from apcore.http import (
    ACCEPT_ACTIVITYPUB,
    PUBLIC_ONLY,
    AddressPolicy,
    Headers,
    Request,
    Response,
    TransportLimits,
    Url,
    join_url,
    parse_retry_after,
    parse_url,
)
from apcore.remote.budgets import DEFAULT_BUDGETS, Budgets, UnauthenticatedClient, spend
from apcore.remote.dialects import Identity, knock_and_remember
from apcore.remote.errors import Forbidden, Gone, NotFound, PeerFailing, Rejected
from apcore.vocab import Vocabulary

__all__ = ["FetchPolicy", "FetchedResponse", "check_status", "check_target", "fetch"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_DAY_S: Final = 86400.0
_RETRY_AFTER_S_MAX: Final = _DAY_S
_STEP_S: Final = 0.25


@frozen(kw_only=True)
class FetchPolicy:
    """What fetching may cost, where it may go, and how long what was fetched counts."""

    addresses: AddressPolicy = PUBLIC_ONLY
    limits: TransportLimits = field(factory=TransportLimits)
    redirects_max: int = 5
    """As Fedify has it for discovery; Mastodon follows 3, Lemmy 1."""
    user_agent: str = "apcore"
    document_ttl_s: float = 3600.0
    """How long a document counts as fresh if its server does not say; bounded by the next two whatever it says."""
    document_ttl_s_min: float = 60.0
    document_ttl_s_max: float = _DAY_S
    document_kept_s: float = 30 * _DAY_S
    """How long a stale document is kept, to be asked about conditionally."""
    vocabulary: Vocabulary | None = None
    """What documents are read with; None for the built-in one."""
    unknown_contexts: Literal["ignore", "fetch"] = "ignore"
    """What to do about JSON-LD contexts that nobody here knows; see `apcore.remote.contexts`."""
    contexts_max: int = 10
    """How many of them are fetched for one document."""
    context_ttl_s: float = 7 * _DAY_S
    context_retry_s: float = 3600.0
    key_ttl_s: float = _DAY_S
    key_kept_s: float = 7 * _DAY_S
    """How long a key that counts no more is remembered as somebody's, so that the farewell of its owner is understood."""
    key_retry_s: float = 600.0
    """How long a key that could not be had is not asked for again."""
    key_refresh_s: float = 300.0
    """How long a cached key is not refreshed after a refresh that brought the same key. The first signature that fails
    with a cached key always has it refreshed, however young it is."""
    key_s_max: float = 5.0
    """How long looking up a key may take, its owner and all redirects included: somebody waits for our answer meanwhile. So long may any one
    exchange take that a stranger makes us do."""
    keys_max: int = 10
    """How many keys of an actor are looked at. Mastodon keeps as many."""
    budgets: Budgets = DEFAULT_BUDGETS
    """How much may be fetched for strangers."""
    unauthenticated_client: UnauthenticatedClient | None = None
    """Who makes us ask and pays for each hop; None for what we ask of ourselves, which nobody pays for."""
    until: datetime | None = None
    """When all of it has to be over: the deadline of each exchange is what is left. None leaves each to its limits."""

    def kept_s(self, wanted_s: float, size: int) -> float | None:
        """Give how long so many bytes may be kept that would be kept for ``wanted_s``; None for not at all.

        What strangers make us fetch is theirs to choose, and as much as they pay for: it is kept small, and for a short time.
        """
        if self.unauthenticated_client is None:
            return wanted_s
        return None if size > self.budgets.kept_bytes_max else min(wanted_s, self.budgets.kept_s)


@frozen
class FetchedResponse:
    """An answer, and where it came from in the end."""

    response: Response
    url: Url


def fetch(
    url: str,
    *,
    policy: FetchPolicy,
    identity: Identity | None = None,
    accept: str = ACCEPT_ACTIVITYPUB,
    headers: Headers = Headers(),  # noqa: B008 - immutable
) -> Op[FetchedResponse]:
    """GET ``url`` and follow where it leads.

    Asks for: per hop (at most ``policy.redirects_max`` + 1) one `Fetch`; with an identity also a `Get`, `Now` and `Sign`, and where an answer is
    400, 401 or 403 one more `Now`, `Sign` and `Fetch`, and a commit if that one succeeded. Before each hop what `spend` asks for, if it is for a stranger, and `Now`,
    if the policy says until when.

    Raises:
        RequestError: It, or a `Location` on the way, is no http or https URL.
        LimitExceeded: Too many redirects, or one that was visited before.
        Refused: A redirect from https to http.
        AddressBlocked: It, or a hop on the way, is where the policy forbids to go; nothing was signed or sent for that.
        FetchFailed: An exchange broke off.
        BudgetSpent: A stranger makes us ask, and too much was asked for such lately; nothing was signed or sent for that.
    """
    current = parse_url(url).without_fragment()
    visited: set[str] = set()
    while True:
        check_target(current, policy.addresses)
        visited.add(str(current))
        if policy.unauthenticated_client is not None:
            yield from spend(
                current.origin.host, budgets=policy.budgets, unauthenticated_client=policy.unauthenticated_client
            )
        limits = yield from _limits_left(current, policy)
        try:
            response = yield from _exchange(
                current, limits, policy=policy, identity=identity, accept=accept, headers=headers
            )
        except FetchFailed as error:
            error.origin = str(current.origin)
            raise
        location = response.headers.get("location")
        if response.status not in _REDIRECTS or location is None:
            return FetchedResponse(response, current)
        following = join_url(current, location).without_fragment()
        if str(following) in visited or len(visited) > policy.redirects_max:
            raise LimitExceeded(
                f"{url} redirects in a circle or more than {policy.redirects_max} times, last to {following}"
            )
        if following.origin.scheme != current.origin.scheme and current.origin.scheme == "https":
            raise Refused(f"{current} redirects from https to {following}")
        if following.origin != current.origin:
            # What was meant for one server is not for the next; signatures are made anew for each hop anyway.
            headers = headers.without("authorization", "cookie")
        current = following


def check_target(url: Url, addresses: AddressPolicy) -> None:
    """Refuse what ``url`` alone shows to be out of bounds, before anything is done for it.

    Raises:
        AddressBlocked: The policy forbids its scheme, port, or host.
    """
    origin = url.origin
    refusal = addresses.target_refusal(origin.scheme, origin.host, origin.port)
    if refusal is not None:
        raise AddressBlocked(f"{origin.authority[:100]}: {refusal}")


def check_status(found: FetchedResponse, asked: str, *, now: datetime) -> None:
    """Turn an answer other than 200 to the question ``asked`` into the error that says what it is.

    Raises:
        NotFound, Gone, Forbidden, Rejected, PeerFailing: By status. A 410 counts as `Gone` only from the origin that was asked: being led
            elsewhere and told so there says nothing for certain.
        LimitExceeded: The answer is not whole.
    """
    status, url = found.response.status, found.url
    if status == 200:
        if found.response.truncated:
            raise LimitExceeded(f"the answer of {url} is longer than what is read of it")
        return
    if status == 410 and parse_url(asked).origin == url.origin:
        raise Gone(f"{url} answers 410")
    if status in {404, 410}:
        raise NotFound(f"{url} answers {status}")
    if status in {401, 403, 451}:
        raise Forbidden(f"{url} answers {status}")
    if status == 429 or status >= 500:
        asked_s = parse_retry_after(found.response.headers.get("retry-after"), now=now, max_s=_RETRY_AFTER_S_MAX)
        raise PeerFailing(f"{url} answers {status}", retry_after_s=asked_s)
    raise Rejected(f"{url} answers {status}")


def _limits_left(url: Url, policy: FetchPolicy) -> Op[TransportLimits]:
    """Give the limits of the next exchange: those of the policy, and not longer than what is left."""
    if policy.until is None:
        return policy.limits if policy.unauthenticated_client is None else policy.limits.within(policy.key_s_max)
    now = yield from Now()
    # In steps, so that those who ask for the same at about the same time have the same question, and share its answer.
    left_s = floor((policy.until - now).total_seconds() / _STEP_S) * _STEP_S
    if left_s <= 0:
        raise FetchTimedOut(f"{url} was not asked in time: others that had to be asked before took too long")
    return policy.limits.within(left_s)


def _exchange(
    url: Url, limits: TransportLimits, *, policy: FetchPolicy, identity: Identity | None, accept: str, headers: Headers
) -> Op[Response]:
    request = Request(
        "GET",
        str(url),
        headers.with_set("accept", accept).with_set("user-agent", policy.user_agent),
        limits=limits,
        addresses=policy.addresses,
    )
    # Everything that the answer depends on: two callers with different validators, limits or rights must not share one.
    question = ("GET", str(url), accept, headers.pairs, identity, limits, policy.addresses)
    if identity is None:
        return (yield from Fetch(request, share=question))
    return (yield from knock_and_remember(request, identity=identity, share=question, ends=policy.until))
