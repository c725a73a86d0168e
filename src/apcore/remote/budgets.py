"""Limit the fetches that apcore makes for clients that are not authenticated yet.

A client that sends a signed request names a key, so it decides which server apcore asks for the key. Without a bound, a
thousand requests that name a thousand keys cause a thousand fetches: from your sockets, and to another server. So each
fetch for an unauthenticated client draws from four budgets at once:

- the budget of the client;
- the budget of the host that is asked;
- the budget of the domain that the host belongs to, since subdomains cost nothing;
- the budget of all fetches together.

If one budget is spent, nothing is fetched, and the client is told when to try again. A client with a cached key never
pays, because authenticating it fetches nothing.

A budget is a token bucket. Its whole state is one instant: the time at which it will be full again. A full bucket and
no bucket mean the same, so an entry may expire at that instant, and a flood leaves nothing behind. An entry that stays
longer does no harm: each stays for a minute at least.

The buckets live in the store, so all processes of a server draw from the same ones. A counter in memory would be one
budget for each process. The buckets are compared and set, not counted with `Increment`, since the store's counters
never expire. There is one commit for each fetch; a refusal only reads.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network
from math import ceil
from typing import Any, Final

from attrs import define, field, frozen
from attrs.validators import ge

from apcore.effects import Get, Now, Op, commit
from apcore.errors import Unavailable
from apcore.http import PUBLIC_ONLY, parse_ip
from apcore.ports import VALUE_BYTES_MAX, Check, Entry, Put, StoreKey
from apcore.records.format import to_epoch_ms
from apcore.remote.records import FETCH_BUDGETS, OVERALL_BUDGET, FetchBudget, FetchBudgetKey, OverallBudgetKey

__all__ = [
    "DEFAULT_BUDGETS",
    "BudgetSpent",
    "Budgets",
    "FetchAllowance",
    "Rate",
    "RateDecision",
    "UnauthenticatedClient",
    "registrable_domain",
    "spend",
]

_ROUNDS_MAX: Final = 100
"""How often `spend` tries again after a lost race. One racer wins each round, so a hundred simultaneous racers are
served within about a second. If the bucket runs empty, the others see that in the next round."""
_ATTEMPT_AGAIN_S: Final = 60.0
_KEPT_S_MIN: Final = 60.0
_KEPT_S_MAX: Final = 86400.0
_BURST_MAX: Final = 1_000_000
_PER_S_MAX: Final = 500.0
# Second-level labels under which registries sell names in many countries: co.uk, com.br, or.jp. The complete list of
# public suffixes is not shipped. A suffix that is missing here gives its registrants one budget for each name below it;
# the budget of all fetches together still holds.
_SOLD_BELOW: Final = frozenset(
    {
        "ac", "asn", "co", "com", "ed", "edu", "firm", "gen", "go", "gob", "gouv", "gov", "gr", "id", "ind", "info",
        "ltd", "me", "mil", "ne", "net", "nom", "or", "org", "plc", "sch", "school", "web",
    }
)  # fmt: skip


class BudgetSpent(Unavailable):
    """A fetch budget is spent: one in the store, or the one of this request. Nothing more is fetched for now."""

    reason = "budget-spent"


@frozen
class RateDecision:
    """The result of drawing one token from a bucket."""

    full_ms: int
    """The state of the bucket after the draw: the instant (milliseconds since 1970) at which it will be full again."""
    allowed: bool
    retry_after_s: float
    """If not allowed: the time until the bucket holds a token."""


def _check_burst(_instance: Any, _attribute: Any, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _BURST_MAX:
        raise ValueError(f"burst is a whole number from 1 to {_BURST_MAX}, not {value!r}")


def _check_per_s(_instance: Any, _attribute: Any, value: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.001 <= value <= _PER_S_MAX:
        raise ValueError(f"per_s is a number from 0.001 to {_PER_S_MAX}, not {value!r}")


@frozen
class Rate:
    """A token bucket: ``burst`` tokens at once, and ``per_s`` tokens a second in the long run.

    Raises:
        ValueError: A value is out of range.
    """

    burst: int = field(validator=_check_burst)
    """1 to 1,000,000."""
    per_s: float = field(validator=_check_per_s)
    """0.001 to 500."""

    def take(self, full_ms: int | None, now_ms: int) -> RateDecision:
        """Draw one token from a bucket that is full at ``full_ms``; None stands for a full bucket."""
        step_ms = ceil(1000 / self.per_s)
        latest_ms = now_ms + self.burst * step_ms
        # At most as late as an empty bucket would fill: a clock that was set back must not close it for longer.
        before_ms = now_ms if full_ms is None else min(max(full_ms, now_ms), latest_ms)
        after_ms = before_ms + step_ms
        if after_ms > latest_ms:
            return RateDecision(before_ms, allowed=False, retry_after_s=(after_ms - latest_ms) / 1000)
        return RateDecision(after_ms, allowed=True, retry_after_s=0.0)


def _check_fetches(_instance: Any, _attribute: Any, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1000:
        raise ValueError(f"fetches_max is a whole number from 1 to 1000, not {value!r}")


def _check_kept(_instance: Any, _attribute: Any, value: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 1 <= value <= _KEPT_S_MAX:
        raise ValueError(f"kept_s is a number of seconds from 1 to {_KEPT_S_MAX:.0f}, not {value!r}")


def _check_kept_bytes(_instance: Any, _attribute: Any, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= VALUE_BYTES_MAX:
        raise ValueError(f"kept_bytes_max is a whole number from 0 to {VALUE_BYTES_MAX}, not {value!r}")


def _check_rate(_instance: Any, attribute: Any, value: Rate) -> None:
    if not isinstance(value, Rate):
        raise ValueError(f"{attribute.name} is a Rate, not {value!r:.60}")  # noqa: TRY004 - as all wrong arguments


@frozen(kw_only=True)
class Budgets:
    """The budgets for fetches on behalf of unauthenticated clients: keys, their owners, and contexts.

    One fetch is one hop, redirects included. A hop is one exchange, or two where a server wants another signature. Each
    name has a bucket of its own, so a client, host or domain that has spent its budget does not affect the others.
    """

    client: Rate = field(default=Rate(150, 5.0), validator=_check_rate)
    """For one client: an IPv4 address, or an IPv6 network of 64 bits.

    It applies only if the server tells the client's address; see `UnauthenticatedClient.network`.
    """
    host: Rate = field(default=Rate(100, 1.0), validator=_check_rate)
    """For one host, whichever client causes the fetch. It protects the host from being flooded through apcore."""
    domain: Rate = field(default=Rate(200, 2.0), validator=_check_rate)
    """For one domain and all its subdomains; see `registrable_domain`."""
    overall: Rate = field(default=Rate(400, 10.0), validator=_check_rate)
    """For all fetches together. One fetch takes at most 5 s, so at most 450 are in flight."""
    fetches_max: int = field(default=20, validator=_check_fetches)
    """For one received request: keys, their owners, and contexts. Lemmy's limit is 20 as well."""
    kept_s: float = field(default=600.0, validator=_check_kept)
    """The most seconds that a document fetched for a client is cached; 1 to 86,400. Keys have their own limits."""
    kept_bytes_max: int = field(default=64 * 1024, validator=_check_kept_bytes)
    """The size up to which such a document is cached; 0 to 2 MiB. With `overall` it bounds the growth of the store."""


DEFAULT_BUDGETS: Final = Budgets()


@define(eq=False)
class UnauthenticatedClient:
    """The sender of one request until it is authenticated, and the number of fetches made for it so far."""

    address: str | None = None
    """The client's address, as the server tells it."""
    fetches: int = 0

    @property
    def network(self) -> str | None:
        """The client's name for its budget; None if the address does not tell clients apart.

        An IPv6 client has 2**64 addresses, so its network of 64 bits counts. An address that is not public belongs to
        a proxy in front of apcore, or to this machine, so it does not identify the client. A socket's path is no
        address at all.
        """
        ip = None if self.address is None else parse_ip(self.address)
        if ip is None or PUBLIC_ONLY.address_refusal(str(ip)) is not None:
            return None
        if isinstance(ip, IPv4Address):
            return str(ip)
        return _network(ip) if ip.ipv4_mapped is None else str(ip.ipv4_mapped)


@define(eq=False)
class FetchAllowance:
    """The number of requests that one piece of work may make: one run of a handler, or one walk.

    Raises:
        ValueError: ``requests_max`` is negative.
    """

    requests_max: int = field(validator=ge(0))
    outer: FetchAllowance | None = None
    """The allowance of the work that this is a part of. Each request counts there too."""
    requests: int = field(default=0, init=False)

    def spend(self, url: str) -> None:
        """Count a request for ``url``.

        Raises:
            BudgetSpent: All requests are spent. Nothing is counted.
        """
        if self.requests >= self.requests_max:
            raise BudgetSpent(
                f"{url} was not requested: this work may make {self.requests_max} requests",
                retry_after_s=_ATTEMPT_AGAIN_S,
            )
        if self.outer is not None:
            self.outer.spend(url)
        self.requests += 1


def registrable_domain(host: str) -> str:
    """Return the registered domain that ``host`` belongs to, as far as the name alone tells.

    That is the last two labels. It is three if the last one is a country's and the second-last one is a label that
    registries sell names under (``co.uk``). For an IPv6 address it is the network of 64 bits. An IPv4 address and a
    single label stand for themselves.
    """
    bare = host.removeprefix("[").removesuffix("]")
    ip = parse_ip(bare)
    if ip is not None:
        return str(ip) if isinstance(ip, IPv4Address) else _network(ip)
    labels = host.split(".")
    count = 3 if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SOLD_BELOW else 2
    return ".".join(labels[-count:])


def _network(ip: IPv6Address) -> str:
    return str(IPv6Network((ip, 64), strict=False))


def spend(host: str, *, budgets: Budgets, unauthenticated_client: UnauthenticatedClient) -> Op[None]:
    """Pay for one fetch from ``host`` on behalf of ``unauthenticated_client``.

    Asks for: one `Get` of three or four entries, `Now`, and, if all budgets allow the fetch, one commit. After a lost
    race it asks again, a hundred times at most.

    Raises:
        BudgetSpent: The budget of the request or one of those in the store is spent; nothing was written.
        StoreUnavailable: The store cannot be read, so the budgets are unknown.
    """
    if unauthenticated_client.fetches >= budgets.fetches_max:
        # The documents fetched so far are cached, so the next attempt gets further.
        raise BudgetSpent(f"this request takes more than {budgets.fetches_max} fetches", retry_after_s=_ATTEMPT_AGAIN_S)
    buckets = _buckets(host, budgets, unauthenticated_client)
    keys = [key for key, _, _ in buckets]
    for _round in range(_ROUNDS_MAX):
        entries = yield from Get(keys)
        now_ms = to_epoch_ms((yield from Now()))
        decisions = [rate.take(_full_ms(entry), now_ms) for (_, rate, _), entry in zip(buckets, entries, strict=True)]
        spent_budgets = [
            (decision.retry_after_s, name)
            for decision, (_, _, name) in zip(decisions, buckets, strict=True)
            if not decision.allowed
        ]
        if spent_budgets:
            wait_s, name = max(spent_budgets)
            raise BudgetSpent(f"the fetch budget of {name} for unauthenticated clients is spent", retry_after_s=wait_s)
        is_committed = yield from commit(
            [Check(key, None if entry is None else entry.version) for key, entry in zip(keys, entries, strict=True)],
            [
                Put(key, _encode(state.full_ms), max((state.full_ms - now_ms) / 1000, _KEPT_S_MIN))
                for key, state in zip(keys, decisions, strict=True)
            ],
        )
        if is_committed is not False:
            unauthenticated_client.fetches += 1
            return
    raise BudgetSpent("too many unauthenticated clients cause fetches at once", retry_after_s=1.0)


def _buckets(
    host: str, budgets: Budgets, unauthenticated_client: UnauthenticatedClient
) -> list[tuple[StoreKey, Rate, str]]:
    """Return the buckets to draw from. Names are not stored: two with the same digest would only share a bucket."""
    domain = registrable_domain(host)
    buckets: list[tuple[StoreKey, Rate, str]] = [
        (OVERALL_BUDGET.key(OverallBudgetKey()), budgets.overall, "all hosts"),
        (FETCH_BUDGETS.key(FetchBudgetKey.of("domain", domain)), budgets.domain, f"the domain {domain}"),
        (FETCH_BUDGETS.key(FetchBudgetKey.of("host", host)), budgets.host, f"the host {host}"),
    ]
    network = unauthenticated_client.network
    if network is not None:
        buckets.append((FETCH_BUDGETS.key(FetchBudgetKey.of("client", network)), budgets.client, "this client"))
    return buckets


def _full_ms(entry: Entry | None) -> int | None:
    return None if entry is None else FETCH_BUDGETS.decode(entry.value).full_ms


def _encode(full_ms: int) -> bytes:
    return FETCH_BUDGETS.encode(FetchBudget(full_ms=full_ms))
