"""One GET, wherever it leads: redirects followed by us, every hop checked, signed anew, and within one bound.

A redirect is a new request to wherever a stranger points, so each hop is parsed as strictly as the first, carries the same address policy and
limits, and is signed for its own target. No hop may be visited twice, nor leave https for http.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from apcore.effects import Fetch, Now, Op, Sign
from apcore.errors import LimitExceeded, Refused, RequestError
from apcore.http import (
    ACCEPT_ACTIVITYPUB,
    PUBLIC_ONLY,
    AddressPolicy,
    Headers,
    Limits,
    Request,
    Response,
    Url,
    join_url,
    parse_url,
)
from apcore.signatures import cavage

__all__ = ["FetchPolicy", "Fetched", "Identity", "fetch"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_DAY_S: Final = 86400.0


@frozen(kw_only=True)
class FetchPolicy:
    """What fetching may cost, where it may go, and how long what was fetched counts."""

    addresses: AddressPolicy = PUBLIC_ONLY
    limits: Limits = field(factory=Limits)
    redirects_max: int = 5
    """As Fedify has it for discovery; Mastodon follows 3, Lemmy 1."""
    user_agent: str = "apcore"
    document_ttl_s: float = 3600.0
    """How long a document counts as fresh if its server does not say; bounded by the next two whatever it says."""
    document_ttl_s_min: float = 60.0
    document_ttl_s_max: float = _DAY_S
    document_kept_s: float = 30 * _DAY_S
    """How long a stale document is kept, to be asked about conditionally."""
    key_ttl_s: float = _DAY_S
    key_retry_s: float = 600.0
    """How long a key that could not be had is not asked for again."""
    key_refresh_s: float = 300.0
    """How often at most a cached key is fetched anew because a signature failed with it."""


@frozen(kw_only=True)
class Identity:
    """Who a request is signed as: mostly the instance actor."""

    key_name: str
    """What the signer knows the key by."""
    key_id: str
    """Where peers find its public half."""


@frozen
class Fetched:
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
) -> Op[Fetched]:
    """GET ``url`` and follow where it leads.

    Asks for: per hop (at most ``policy.redirects_max`` + 1) one `Fetch`; with an identity also `Now` and `Sign`.

    Raises:
        RequestError: It, or a `Location` on the way, is no http or https URL.
        LimitExceeded: Too many redirects, or one that was visited before.
        Refused: A redirect from https to http.
        FetchFailed: An exchange broke off; `AddressBlocked` if it would have gone where the policy forbids.
    """
    current = parse_url(url).without_fragment()
    visited: set[str] = set()
    while True:
        visited.add(str(current))
        response = yield from _exchange(current, policy=policy, identity=identity, accept=accept, headers=headers)
        location = response.headers.get("location")
        if response.status not in _REDIRECTS or location is None:
            return Fetched(response, current)
        following = join_url(current, location).without_fragment()
        if str(following) in visited or len(visited) > policy.redirects_max:
            raise LimitExceeded(
                f"{url} redirects in a circle or more than {policy.redirects_max} times, last to {following}"
            )
        if following.origin.scheme != current.origin.scheme and current.origin.scheme == "https":
            raise Refused(f"{current} redirects from https to {following}")
        current = following


def _exchange(
    url: Url, *, policy: FetchPolicy, identity: Identity | None, accept: str, headers: Headers
) -> Op[Response]:
    request = Request(
        "GET",
        str(url),
        headers.with_set("accept", accept).with_set("user-agent", policy.user_agent),
        limits=policy.limits,
        addresses=policy.addresses,
    )
    # Conditional requests are part of the question; two callers with different validators must not share an answer.
    question = ("GET", str(url), accept, headers.pairs, None if identity is None else identity.key_id)
    if identity is not None:
        now = yield from Now()
        try:
            unsigned = cavage.prepare(request, key_id=identity.key_id, now=now)
        except ValueError as error:
            raise RequestError(f"{url} cannot be signed for: {error}") from error
        signature = yield from Sign(identity.key_name, unsigned.data)
        request = unsigned.attach(signature)
    return (yield from Fetch(request, share=question))
