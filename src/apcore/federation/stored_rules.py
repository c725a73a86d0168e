"""Store the domain rules of an operator, and read those that match a host.

A rule is one record, found by its domain. So a host costs one read of as many records as it has labels, however many
rules there are. Nothing is cached: a change takes effect in all processes with the next read.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Final

from apcore.collections import PageItems
from apcore.effects import Get, Now, Op, Scan, commit
from apcore.federation.moderation import DomainRule, Severity, matching_domains, rule_domain
from apcore.federation.moderation_records import DOMAIN_RULES, DomainRuleKey, DomainRuleRecord
from apcore.federation.snapshot import Snapshot
from apcore.ports import GET_KEYS_MAX, Entry, StoreKey
from apcore.records import Stored

__all__ = [
    "PAGE_MAX",
    "REASON_CHARS_MAX",
    "check_rule",
    "put_rule",
    "read_all",
    "read_stored_rules",
    "remove_rule",
    "rule_keys",
    "rules_in",
    "rules_page",
]

PAGE_MAX: Final = 100
"""The most rules on one page."""
REASON_CHARS_MAX: Final = 500
"""The longest reason of a rule, in characters."""


@lru_cache(maxsize=512)
def rule_keys(host: str) -> tuple[StoreKey, ...]:
    """Return the keys of all rules that would match ``host`` (lower case, A-labels)."""
    return tuple(DOMAIN_RULES.key(DomainRuleKey(domain)) for domain in matching_domains(host))


def read_stored_rules(hosts: Collection[str], snapshot: Snapshot | None = None) -> Op[dict[str, list[DomainRule]]]:
    """Return the stored rules that match each of ``hosts`` (lower case, A-labels), where there are any.

    Effects: one `Get` for each 100 domains of rules that would match, so mostly one for 20 hosts; none if the
    ``snapshot`` has them.
    """
    keys = list(dict.fromkeys(key for host in hosts for key in rule_keys(host)))
    entries: Sequence[Entry | None] | None = None if snapshot is None else snapshot.take(keys)
    if entries is None:
        entries = yield from read_all(keys)
    rules = {entry.key: _rule_of(DOMAIN_RULES.read(entry)) for entry in entries if entry is not None}
    if not rules:
        return {}
    return {host: [rules[key] for key in rule_keys(host) if key in rules] for host in hosts}


def rules_in(entries: Sequence[Entry | None]) -> list[DomainRule]:
    """Return the rules in the entries of the `rule_keys` of a host."""
    return [_rule_of(DOMAIN_RULES.read(entry)) for entry in entries if entry is not None]


def read_all(keys: Sequence[StoreKey]) -> Op[list[Entry | None]]:
    """Read any number of keys, and answer in their order. Effects: one `Get` for each 100 keys."""
    entries: list[Entry | None] = []
    for start in range(0, len(keys), GET_KEYS_MAX):
        entries += yield from Get(keys[start : start + GET_KEYS_MAX])
    return entries


def check_rule(domain: str, reason: str | None) -> None:
    """Check that a rule can be stored.

    Raises:
        ValueError: ``domain`` is no domain, or ``reason`` is not 1 to 500 characters.
    """
    _ = rule_domain(domain)
    if reason is not None and not 1 <= len(reason) <= REASON_CHARS_MAX:
        raise ValueError(f"a reason has 1 to {REASON_CHARS_MAX} characters, not {len(reason)}")


def put_rule(domain: str, severity: Severity, reason: str | None) -> Op[DomainRule]:
    """Store a rule in place of an earlier one for the same domain, and return it.

    Effects: `Now`, and one commit.

    Raises:
        ValueError: ``domain`` is no domain, ``severity`` is no `Severity`, or ``reason`` is not 1 to 500 characters.
    """
    check_rule(domain, reason)
    rule_key = DomainRuleKey(rule_domain(domain))
    if not isinstance(severity, Severity):
        raise ValueError(  # noqa: TRY004 - like every other wrong value
            f"severity={severity!r:.60} is not one of {', '.join(map(str, Severity))}"
        )
    now = yield from Now()
    record = DomainRuleRecord(severity=severity.value, reason=reason, created=now)
    _ = yield from commit((), (DOMAIN_RULES.put(rule_key, record),))
    return DomainRule(rule_key.domain, severity, reason, now)


def remove_rule(domain: str) -> Op[bool]:
    """Remove the stored rule for ``domain``, and return whether there was one.

    Effects: one `Get`, and one commit if there is a rule.

    Raises:
        ValueError: ``domain`` is no domain.
    """
    rule_key = DomainRuleKey(rule_domain(domain))
    [entry] = yield from Get((DOMAIN_RULES.key(rule_key),))
    if entry is None:
        return False
    _ = yield from commit((), (DOMAIN_RULES.delete(rule_key),))
    return True


def rules_page(*, cursor: str | None = None, limit: int = PAGE_MAX) -> Op[PageItems]:
    """Return a page of the stored `DomainRule`s, by domain. ``cursor`` is the ``next`` of the page before.

    Effects: one `Scan`.

    Raises:
        ValueError: ``limit`` is not between 1 and 100.
    """
    if not 1 <= limit <= PAGE_MAX:
        raise ValueError(f"limit={limit}: a page has 1 to {PAGE_MAX} rules")
    after = None if cursor is None else DOMAIN_RULES.key(DomainRuleKey(cursor))
    entries = yield from Scan(DOMAIN_RULES.at(), after=after, limit=limit)
    rules = [_rule_of(DOMAIN_RULES.read(entry)) for entry in entries]
    return PageItems(rules, rules[-1].domain if len(rules) == limit else None)


def _rule_of(stored: Stored[DomainRuleRecord, DomainRuleKey]) -> DomainRule:
    record = stored.record
    severities = {severity.value: severity for severity in Severity}
    return DomainRule(
        stored.key.domain, severities.get(record.severity, Severity.SUSPEND), record.reason, record.created
    )
