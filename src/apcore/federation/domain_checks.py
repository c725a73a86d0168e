"""Apply the domain rules of a federation and of its store: to senders, recipients and outgoing requests.

The rules are read for each check. The own origins are exempt.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from apcore.effects import Op
from apcore.errors import RemoteError, RequestError
from apcore.federation.moderation import DomainRule, DomainSuspended, Severity, deciding_rule, suspension
from apcore.federation.registration import Federation
from apcore.federation.site import Site
from apcore.federation.snapshot import Snapshot
from apcore.federation.stored_rules import read_stored_rules, rule_keys, rules_in
from apcore.http import Origin, Request, parse_url
from apcore.ports import Entry, StoreKey

__all__ = [
    "check_domain",
    "check_hosts",
    "check_request",
    "read_suspensions",
    "suspension_in",
    "suspension_keys",
    "unchecked_hosts",
]


def check_domain(site: Site, uri: str) -> Op[Severity | None]:
    """Apply the domain rules to ``uri``, and return its severity; None if it is not restricted.

    Effects: those of `check_hosts`.

    Raises:
        DomainSuspended: The host of ``uri`` is suspended.
        RequestError: ``uri`` is not a valid URL.
    """
    host = parse_url(uri).origin.host
    return (yield from check_hosts(site, (host,))).get(host)


def check_hosts(site: Site, hosts: Collection[str], snapshot: Snapshot | None = None) -> Op[dict[str, Severity]]:
    """Apply the domain rules to ``hosts``, and return the severities of those that are restricted.

    ``snapshot`` may have the stored rules.

    Effects: as `read_suspensions`.

    Raises:
        DomainSuspended: The first of ``hosts`` that is suspended.
    """
    rules = yield from _deciding_rules(site, hosts, snapshot)
    if not rules:
        return {}
    for host, rule in rules.items():
        refusal = suspension(host, rule)
        if refusal is not None:
            raise refusal
    return {host: rule.severity for host, rule in rules.items() if rule.severity is not Severity.ALLOW}


def read_suspensions(site: Site, hosts: Collection[str]) -> Op[dict[str, DomainSuspended]]:
    """Return the error for each of ``hosts`` that is suspended.

    Effects: those of `read_stored_rules` for the hosts that are neither our own nor in `Site.cleared_hosts`.
    """
    rules = yield from _deciding_rules(site, hosts)
    refusals = {host: suspension(host, rule) for host, rule in rules.items()}
    return {host: refusal for host, refusal in refusals.items() if refusal is not None}


def unchecked_hosts(site: Site, hosts: Iterable[str]) -> list[str]:
    """Return those of ``hosts`` that are neither our own nor checked already, each once."""
    own_host, own_hosts, cleared_hosts = site.origin.host, site.own_hosts, site.cleared_hosts
    return [
        host
        for host in dict.fromkeys(hosts)
        if host != own_host and host not in own_hosts and host not in cleared_hosts
    ]


def _deciding_rules(site: Site, hosts: Collection[str], snapshot: Snapshot | None = None) -> Op[dict[str, DomainRule]]:
    foreign_hosts = unchecked_hosts(site, hosts)
    if not foreign_hosts:
        return {}
    stored_rules = yield from read_stored_rules(foreign_hosts, snapshot)
    rules: dict[str, DomainRule] = {}
    for host in foreign_hosts:
        rule = deciding_rule(site.federation.domain_rule_for(host), stored_rules.get(host, ()))
        if rule is not None:
            rules[host] = rule
    return rules


def suspension_keys(site: Site, host: str) -> Sequence[StoreKey]:
    """Return the keys of the stored rules that `suspension_in` needs, for an operation that reads more at once."""
    return rule_keys(host) if unchecked_hosts(site, (host,)) else ()


def suspension_in(site: Site, host: str, entries: Sequence[Entry | None]) -> DomainSuspended | None:
    """Return the error if ``host`` is suspended. ``entries`` are those of its `suspension_keys`."""
    if not unchecked_hosts(site, (host,)):
        return None
    return suspension(host, deciding_rule(site.federation.domain_rule_for(host), rules_in(entries)))


def check_request(
    federation: Federation[Any], is_own: Callable[[Origin], bool], request: Request
) -> Op[RemoteError | None]:
    """Return the reason why the domain rules forbid an outgoing request, or None if they allow it.

    Effects: one `Get`; none for an origin that ``is_own``.
    """
    try:
        origin = parse_url(request.url).origin
    except RequestError as error:
        return error
    if is_own(origin):
        return None
    stored_rules = yield from read_stored_rules((origin.host,))
    rule = deciding_rule(federation.domain_rule_for(origin.host), stored_rules.get(origin.host, ()))
    return suspension(origin.host, rule)
