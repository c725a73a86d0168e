"""Fetch a URL and follow its redirects, up to a limit. Each hop is checked and signed anew.

A redirect is a new request to an address that a peer chose. So each hop is parsed as strictly as the first one, and has
the same address policy and limits. It is signed for its own target, in the dialect of its own origin
(`apcore.remote.dialects`). No URL is visited twice, and no redirect leads from https to http.

Faults that the URL alone shows (scheme, port, an address, an odd spelling, a name that is not public) are refused here,
before anything is signed or sent. The transport checks the addresses that the name resolves to, under the same policy,
which travels with the request.
"""

from __future__ import annotations

from collections.abc import Callable
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
from apcore.remote.budgets import DEFAULT_BUDGETS, Budgets, FetchAllowance, UnauthenticatedClient, spend
from apcore.remote.dialects import Identity, knock_and_remember
from apcore.remote.errors import Forbidden, Gone, NotFound, PeerFailing, Rejected
from apcore.remote.freshness import FreshnessRule, freshness_by_type
from apcore.remote.parsed import ParsedDocuments
from apcore.vocab import Document, Vocabulary

__all__ = ["FetchPolicy", "FetchedResponse", "check_status", "check_target", "fetch"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PERMANENT: Final = frozenset({301, 308})
_DAY_S: Final = 86400.0
_RETRY_AFTER_S_MAX: Final = _DAY_S
_STEP_S: Final = 0.25


@frozen(kw_only=True)
class FetchPolicy:
    """The limits of fetching: allowed addresses, costs, and how long a response counts."""

    addresses: AddressPolicy = PUBLIC_ONLY
    limits: TransportLimits = field(factory=TransportLimits)
    redirects_max: int = 5
    """Fedify's limit for discovery is the same. Mastodon follows 3, Lemmy 1."""
    user_agent: str = "apcore"
    freshness: FreshnessRule | None = freshness_by_type
    """The function that decides how long a document is fresh if its server does not say, and how long it may be used
    after that. It is pure, and depends on the document alone. None gives every document ``document_ttl_s``.
    """
    document_ttl_s: float = 3600.0
    """How long a document is fresh without ``freshness``. The server's own word is bounded by the next two fields."""
    document_ttl_s_min: float = 60.0
    document_ttl_s_max: float = _DAY_S
    document_kept_s: float = 30 * _DAY_S
    """How long a stale document stays in the cache, to be revalidated by a conditional request."""
    vocabulary: Vocabulary | None = None
    """The vocabulary that documents are read with; None for the built-in one."""
    unknown_contexts: Literal["ignore", "fetch"] = "ignore"
    """The treatment of JSON-LD contexts that apcore does not know; see `apcore.remote.contexts`."""
    contexts_max: int = 10
    """The number of unknown contexts that are fetched for one document."""
    context_ttl_s: float = 7 * _DAY_S
    context_retry_s: float = 3600.0
    key_ttl_s: float = _DAY_S
    """How long a cached key is fresh."""
    key_kept_s: float = 7 * _DAY_S
    """How long a key is cached, even if it is stale.

    The owner of a key that no longer counts is remembered as long, so that the owner's Delete is understood.
    """
    key_retry_s: float = 600.0
    """How long a key that could not be had is not fetched again."""
    key_refresh_s: float = 300.0
    """The pause after a refresh that brought the same key: signatures that fail with it do not refresh it again.

    Before that, the first signature that fails always refreshes the key, however recently it was fetched.
    """
    key_s_max: float = 5.0
    """How long looking up a key may take, with its owner and all redirects, since a client waits for our response.

    It also limits each exchange on behalf of an unauthenticated client.
    """
    keys_max: int = 10
    """The number of an actor's keys that are considered. Mastodon's limit is the same."""
    budgets: Budgets = DEFAULT_BUDGETS
    """The budgets for fetches on behalf of unauthenticated clients."""
    unauthenticated_client: UnauthenticatedClient | None = None
    """The client that causes the fetches and pays for each hop; None for our own fetches, which are free."""
    refresh: Callable[[str, str | None], Op[None]] | None = field(default=None, eq=False, repr=False)
    """The operation that has a worker refresh the copy of an address for a viewer; None if there is no worker."""
    graph_documents_max: int = 50_000
    """The most copies of documents that the store holds, about; see `apcore.remote.copies`."""
    graph_bytes_max: int = 512 * 1024 * 1024
    """The most bytes that these copies have together."""
    on_document: Callable[[Document | None, Document | None], Op[None]] | None = field(
        default=None, eq=False, repr=False
    )
    """The operation that is run before the content of a copy changes; see `Federation.on_document`."""
    parsed: ParsedDocuments | None = field(default=None, eq=False, repr=False)
    """The documents that were read lately; None to read each copy anew."""
    fetches_a_job: int = 100
    """The most requests, redirects included, that one run of a handler may cause by resolving references."""
    allowance: FetchAllowance | None = field(default=None, eq=False, repr=False)
    """The requests that the work at hand may make; None for no limit."""
    until: datetime | None = None
    """The time at which all exchanges must be over. None leaves each exchange to its own limits."""

    def kept_s(self, ttl_s: float, size: int) -> float | None:
        """Return how long ``size`` bytes may be cached that we would cache for ``ttl_s``; None for not at all.

        Unauthenticated clients choose what we fetch for them. So such a response is cached only if it is small, and
        only for a short time.
        """
        if self.unauthenticated_client is None:
            return ttl_s
        return None if size > self.budgets.kept_bytes_max else min(ttl_s, self.budgets.kept_s)


@frozen
class FetchedResponse:
    """A response, and the URL of the last hop, which it came from."""

    response: Response
    url: Url
    has_moved: bool = False
    """Whether redirects led to it, all of them permanent (301 or 308)."""


def fetch(
    url: str,
    *,
    policy: FetchPolicy,
    identity: Identity | None = None,
    accept: str = ACCEPT_ACTIVITYPUB,
    headers: Headers = Headers(),  # noqa: B008 - immutable
) -> Op[FetchedResponse]:
    """Send a GET for ``url`` and follow its redirects.

    Asks for: one `Fetch` for each hop, at most ``policy.redirects_max`` + 1. With an identity also a `Get`, `Now` and
    `Sign`; after a 400, 401 or 403 one more `Now`, `Sign` and `Fetch`, and a commit if that one succeeded. Before each
    hop also as `spend` for an unauthenticated client, and `Now` if ``policy.until`` is set.

    Raises:
        RequestError: The URL, or a `Location` on the way, is no http or https URL.
        LimitExceeded: There are too many redirects, or one leads to a URL that was visited before.
        Refused: A redirect leads from https to http.
        AddressBlocked: The policy forbids the URL or one of the hops; nothing was signed or sent for it.
        FetchFailed: An exchange failed.
        BudgetSpent: A budget of the unauthenticated client, or the allowance of the work, is spent; nothing was signed
            or sent for that hop.
    """
    current = parse_url(url).without_fragment()
    visited: set[str] = set()
    is_permanent = True
    while True:
        check_target(current, policy.addresses)
        visited.add(str(current))
        if policy.allowance is not None:
            policy.allowance.spend(str(current))
        if policy.unauthenticated_client is not None:
            yield from spend(
                current.origin.host, budgets=policy.budgets, unauthenticated_client=policy.unauthenticated_client
            )
        limits = yield from _remaining_limits(current, policy)
        try:
            response = yield from _exchange(
                current, limits, policy=policy, identity=identity, accept=accept, headers=headers
            )
        except FetchFailed as error:
            error.origin = str(current.origin)
            raise
        location = response.headers.get("location")
        if response.status not in _REDIRECTS or location is None:
            return FetchedResponse(response, current, has_moved=is_permanent and len(visited) > 1)
        next_url = join_url(current, location).without_fragment()
        if str(next_url) in visited or len(visited) > policy.redirects_max:
            raise LimitExceeded(
                f"{url} redirects in a circle or more than {policy.redirects_max} times, last to {next_url}"
            )
        if next_url.origin.scheme != current.origin.scheme and current.origin.scheme == "https":
            raise Refused(f"{current} redirects from https to {next_url}")
        if next_url.origin != current.origin:
            # Credentials for one server must not reach the next one. Signatures are made anew for each hop anyway.
            headers = headers.without("authorization", "cookie")
        is_permanent = is_permanent and response.status in _PERMANENT
        current = next_url


def check_target(url: Url, addresses: AddressPolicy) -> None:
    """Refuse a URL that is forbidden as it is spelled, before anything is done for it.

    Raises:
        AddressBlocked: The policy forbids its scheme, port, or host.
    """
    origin = url.origin
    refusal = addresses.target_refusal(origin.scheme, origin.host, origin.port)
    if refusal is not None:
        raise AddressBlocked(f"{origin.authority[:100]}: {refusal}")


def check_status(fetched: FetchedResponse, requested_url: str, *, now: datetime) -> None:
    """Raise the error for a response to ``requested_url`` with another status than 200.

    Raises:
        NotFound, Gone, Forbidden, Rejected, PeerFailing: By status. A 410 counts as `Gone` only from the origin of
            ``requested_url``. From another origin, after a redirect, it counts as `NotFound`.
        LimitExceeded: The body is incomplete.
    """
    status, url = fetched.response.status, fetched.url
    if status == 200:
        if fetched.response.truncated:
            raise LimitExceeded(f"the response of {url} is longer than the limit, so it was cut")
        return
    if status == 410 and parse_url(requested_url).origin == url.origin:
        raise Gone(f"{url} answers 410")
    if status in {404, 410}:
        raise NotFound(f"{url} answers {status}")
    if status in {401, 403, 451}:
        raise Forbidden(f"{url} answers {status}")
    if status == 429 or status >= 500:
        retry_after_s = parse_retry_after(
            fetched.response.headers.get("retry-after"), now=now, max_s=_RETRY_AFTER_S_MAX
        )
        raise PeerFailing(f"{url} answers {status}", retry_after_s=retry_after_s)
    raise Rejected(f"{url} answers {status}")


def _remaining_limits(url: Url, policy: FetchPolicy) -> Op[TransportLimits]:
    """Return the limits of the next exchange: those of the policy, within the time that remains."""
    if policy.until is None:
        return policy.limits if policy.unauthenticated_client is None else policy.limits.within(policy.key_s_max)
    now = yield from Now()
    # The deadline moves in steps. So operations that fetch the same URL at about the same time have equal requests, and
    # can share one exchange.
    remaining_s = floor((policy.until - now).total_seconds() / _STEP_S) * _STEP_S
    if remaining_s <= 0:
        raise FetchTimedOut(f"{url} was not fetched: the requests before it have used up the time of the whole lookup")
    return policy.limits.within(remaining_s)


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
    # The share key holds everything that the response depends on: callers with different validators, limits or
    # identities must not share one.
    share_key = ("GET", str(url), accept, headers.pairs, identity, limits, policy.addresses)
    if identity is None:
        return (yield from Fetch(request, share=share_key))
    return (yield from knock_and_remember(request, identity=identity, share=share_key, ends=policy.until))
