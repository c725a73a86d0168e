"""Budgets: how much may be fetched for strangers, before anything of theirs is proved.

Whoever sends us a request names a key, and so decides whom we ask for it. Without a bound that makes us a tool: a thousand requests that name a
thousand keys are a thousand fetches, of our sockets and of somebody else's server. So each fetch for a stranger is paid for beforehand, out of
four budgets at once: that of the client who made us ask, of the host that is asked, of the domain that the host belongs to (subdomains cost
nothing, and are as many as one likes), and of everything. If one of them is spent, nothing is fetched, and the stranger is told to come back.
Somebody whose key is kept never pays: proving them fetches nothing.

A budget is a token bucket, and its whole state is one instant: when it will be full again. That makes a bucket that nobody has drawn from lately the
same as none, so its entry ends by itself, at that instant or within a minute, and a flood leaves nothing behind. Nothing correct rests on that end: an entry
that stays longer says the same.

The buckets live in the store, where all processes of a server draw from the same ones; a counter in memory would be one budget per process, and would
make the answer depend on which process was asked. They are compared and set, not counted up by `Add`, since counters of the store never end. The
commits are as many as the fetches, and no more: what is refused only reads.

Facts::

    ("budget", "1", "client" | "host" | "domain", H(name))   when the bucket is full again
    ("budget", "1", "all")                                   the same, for everything
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network
from math import ceil
from typing import Any, Final

from attrs import define, field, frozen

from apcore.effects import Get, Now, Op, commit
from apcore.errors import Unavailable
from apcore.http import PUBLIC_ONLY, parse_ip
from apcore.ports import VALUE_BYTES_MAX, Check, Entry, Put, StoreKey, digest_part
from apcore.records.format import decode_record, encode_record, to_epoch_ms

__all__ = [
    "DEFAULT_BUDGETS",
    "BudgetSpent",
    "Budgets",
    "Rate",
    "RateDecision",
    "UnauthenticatedClient",
    "registrable_domain",
    "spend",
]

_ROUNDS_MAX: Final = 100
"""How often a lost race is run again. Each round one of those who race wins: a hundred who come at once are served within about a second, and when
the bucket is empty the others see that in the next round."""
_ATTEMPT_AGAIN_S: Final = 60.0
_KEPT_S_MIN: Final = 60.0
_KEPT_S_MAX: Final = 86400.0
_BURST_MAX: Final = 1_000_000
_PER_S_MAX: Final = 500.0
# Under these a name is sold to anyone below the country: co.uk, com.br, or.jp. No list of all public suffixes is shipped: one too many
# labels taken for a domain gives whoever owns the suffix more budgets than one, and the budget of everything still holds.
_SOLD_BELOW: Final = frozenset(
    {
        "ac", "asn", "co", "com", "ed", "edu", "firm", "gen", "go", "gob", "gouv", "gov", "gr", "id", "ind", "info", "ltd", "me", "mil", "ne", "net",
        "nom", "or", "org", "plc", "sch", "school", "web",
    }
)  # fmt: skip


class BudgetSpent(Unavailable):
    """Too much was fetched lately for strangers such as this one, or for this request; nothing more is, for now."""

    reason = "budget-spent"


@frozen
class RateDecision:
    """What came of drawing from a bucket."""

    full_ms: int
    """The bucket as it is now: the instant (milliseconds since 1970) at which it will be full again."""
    allowed: bool
    retry_after_s: float
    """If not, when there will be something in it."""


def _check_burst(_instance: Any, _attribute: Any, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _BURST_MAX:
        raise ValueError(f"burst is a whole number from 1 to {_BURST_MAX}, not {value!r}")


def _check_per_s(_instance: Any, _attribute: Any, value: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.001 <= value <= _PER_S_MAX:
        raise ValueError(f"per_s is a number from 0.001 to {_PER_S_MAX}, not {value!r}")


@frozen
class Rate:
    """A token bucket: so much at once, and so much a second in the long run. `ValueError` for values out of range."""

    burst: int = field(validator=_check_burst)
    """1 to 1,000,000."""
    per_s: float = field(validator=_check_per_s)
    """0.001 to 500."""

    def take(self, full_ms: int | None, now_ms: int) -> RateDecision:
        """Draw one token from a bucket that is full at ``full_ms``; None for one that nobody has drawn from."""
        step_ms = ceil(1000 / self.per_s)
        latest_ms = now_ms + self.burst * step_ms
        # Not later than an empty bucket takes to fill: a clock that was set back must not close it for longer.
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
    """How much is fetched for strangers: keys above all, and whatever else proving them takes. Every field can be named anew.

    One fetch is one hop, redirects included: an exchange, or two where a server wants another signature. A bucket per name: what one client, host or domain has spent, another still has.
    """

    client: Rate = field(default=Rate(150, 5.0), validator=_check_rate)
    """For one client: an IPv4 address, or an IPv6 network of 64 bits. Only where the host says who the client is; see `UnauthenticatedClient.network`."""
    host: Rate = field(default=Rate(100, 1.0), validator=_check_rate)
    """Of one host, whoever makes us ask: nobody can aim us at a victim."""
    domain: Rate = field(default=Rate(200, 2.0), validator=_check_rate)
    """Of one domain with all that is below it; see `registrable_domain`."""
    overall: Rate = field(default=Rate(400, 10.0), validator=_check_rate)
    """Of everybody for everybody. With the 5 s that one takes at most, it bounds how many are in flight as well: 450."""
    fetches_max: int = field(default=20, validator=_check_fetches)
    """For one received request, whatever it names: keys, their owners, contexts. Lemmy takes 20 as well."""
    kept_s: float = field(default=600.0, validator=_check_kept)
    """How long a document that was fetched for a stranger is kept at most; 1 s to a day. Keys have times of their own."""
    kept_bytes_max: int = field(default=64 * 1024, validator=_check_kept_bytes)
    """How large it may be to be kept; 0 to 2 MiB. With `overall` it bounds what strangers can fill a store with."""


DEFAULT_BUDGETS: Final = Budgets()


@define(eq=False)
class UnauthenticatedClient:
    """One request of somebody who is not proved yet, while it is being looked into: who asks, and how much was fetched for it so far."""

    address: str | None = None
    """What the server tells of its client."""
    fetches: int = 0

    @property
    def network(self) -> str | None:
        """The client, as far as its address tells: None leaves it to the other budgets.

        Whoever has IPv6 has 2**64 addresses, so there the network counts. An address that is not public is that of a proxy in front of us, or
        our own; it says nothing of who asks, and what is no address (a socket's path) neither.
        """
        ip = None if self.address is None else parse_ip(self.address)
        if ip is None or PUBLIC_ONLY.address_refusal(str(ip)) is not None:
            return None
        if isinstance(ip, IPv4Address):
            return str(ip)
        return _network(ip) if ip.ipv4_mapped is None else str(ip.ipv4_mapped)


def registrable_domain(host: str) -> str:
    """Give the domain that somebody has registered and ``host`` belongs to, as far as the name alone tells.

    That is its last two labels, or three if the last is a country's and the one before is one that names are sold under (``co.uk``). An IPv6
    address belongs to its network of 64 bits, an IPv4 address and a single label to themselves.
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
    """Pay for one fetch from ``host`` that ``unauthenticated_client`` makes us do.

    Asks for: one `Get` of three or four entries, `Now`, and, if all budgets allow it, one commit; once more each time that somebody else
    was faster, a hundred times at most.

    Raises:
        BudgetSpent: One of the budgets is spent, that of the request or one of those in the store; nothing was written.
        StoreUnavailable: Without the store nobody can tell.
    """
    if unauthenticated_client.fetches >= budgets.fetches_max:
        # What was found so far is kept, so that the next attempt comes further.
        raise BudgetSpent(
            f"looking into this takes more than {budgets.fetches_max} fetches", retry_after_s=_ATTEMPT_AGAIN_S
        )
    drawn = _buckets(host, budgets, unauthenticated_client)
    keys = [key for key, _, _ in drawn]
    for _round in range(_ROUNDS_MAX):
        entries = yield from Get(keys)
        now_ms = to_epoch_ms((yield from Now()))
        taken = [rate.take(_full_ms(entry), now_ms) for (_, rate, _), entry in zip(drawn, entries, strict=True)]
        short = [
            (each.retry_after_s, what) for each, (_, _, what) in zip(taken, drawn, strict=True) if not each.allowed
        ]
        if short:
            wait_s, what = max(short)
            raise BudgetSpent(f"the budget of {what} for what strangers ask is spent", retry_after_s=wait_s)
        done = yield from commit(
            [Check(key, None if entry is None else entry.version) for key, entry in zip(keys, entries, strict=True)],
            [
                Put(key, encode_record({"full": each.full_ms}), max((each.full_ms - now_ms) / 1000, _KEPT_S_MIN))
                for key, each in zip(keys, taken, strict=True)
            ],
        )
        if done is not False:
            unauthenticated_client.fetches += 1
            return
    raise BudgetSpent("too many strangers ask at once", retry_after_s=1.0)


def _buckets(
    host: str, budgets: Budgets, unauthenticated_client: UnauthenticatedClient
) -> list[tuple[StoreKey, Rate, str]]:
    """Give the buckets to draw from. Two names under one digest would share a bucket, and harm nobody; so names are not kept."""
    domain = registrable_domain(host)
    found: list[tuple[StoreKey, Rate, str]] = [
        (("budget", "1", "all"), budgets.overall, "everything"),
        (("budget", "1", "domain", digest_part(domain)), budgets.domain, f"the domain {domain}"),
        (("budget", "1", "host", digest_part(host)), budgets.host, f"the host {host}"),
    ]
    network = unauthenticated_client.network
    if network is not None:
        found.append((("budget", "1", "client", digest_part(network)), budgets.client, "this client"))
    return found


def _full_ms(entry: Entry | None) -> int | None:
    return None if entry is None else decode_record(entry.value).number("full")
