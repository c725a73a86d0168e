"""Rules by domain, asked about every request before it leaves and about the sender of every request that arrives.

A node gives the rules to its driver (`apcore.drivers.Ports.outbound`), which asks them before a request reaches the
transport. So no operation can pass them by: not a look-up, a redirect, a key, a context or a delivery.

A rule for ``example.com`` holds for it and for everything under it (``a.example.com``), label by label:
``badexample.com`` is another domain. The longest rule that fits decides. With an allow list, what no rule allows is
suspended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final

from attrs import field, frozen

from apcore.errors import ConfigurationError, Refused
from apcore.http import parse_origin

__all__ = ["DomainRules", "DomainSuspended", "Severity"]


class DomainSuspended(Refused):
    """A rule forbids all traffic with a domain; nothing was sent there."""

    def __init__(self, message: str, *, host: str = "", rule: str | None = None) -> None:
        super().__init__(message)
        self.host: Final = host
        """The host that is suspended."""
        self.rule: Final = rule
        """The domain that the rule is for. None if the allow list has no rule for the host."""


class Severity(Enum):
    """What a rule does."""

    SUSPEND = "suspend"
    """No traffic either way: refused at the door, never fetched, never delivered to."""
    SILENCE = "silence"
    """Traffic as usual; handlers are told (`Context.silenced`), and decide who sees it."""
    ALLOW = "allow"
    """As if there were no shorter rule, and no allow list."""


def _domain(text: str) -> str:
    try:
        host = parse_origin(f"https://{text.removeprefix('*.').rstrip('.')}").host
    except ValueError as error:
        raise ConfigurationError(f"a rule is for a domain such as example.com, not {text!r:.80}: {error}") from error
    if "/" in text or ":" in text:
        raise ConfigurationError(f"a rule is for a domain such as example.com, not {text!r:.80}")
    return host


def _rules(rules: Mapping[str, Severity]) -> Mapping[str, Severity]:
    return {_domain(domain): severity for domain, severity in rules.items()}


@frozen
class DomainRules:
    """Rules by domain, as a value. Domains are given as people write them; a leading ``*.`` says nothing more.

    Raises:
        ConfigurationError: What should be a domain is none.
    """

    rules: Mapping[str, Severity] = field(factory=dict[str, Severity], converter=_rules)
    allow_list: bool = field(default=False, kw_only=True)
    """Whether a domain without a rule is suspended."""

    @classmethod
    def suspending(cls, domains: Iterable[str]) -> DomainRules:
        """Suspend ``domains``, and everything under them."""
        return cls(dict.fromkeys(domains, Severity.SUSPEND))

    @classmethod
    def allowing(cls, domains: Iterable[str]) -> DomainRules:
        """Talk to ``domains`` and everything under them, and to nobody else."""
        return cls(dict.fromkeys(domains, Severity.ALLOW), allow_list=True)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held back from anyone."""
        return not self.rules and not self.allow_list

    def verdict(self, host: str) -> Severity | None:
        """Return the severity for ``host`` (in lower case, A-labels), None if nothing holds it back."""
        rule = self._rule_for(host)
        if rule is None:
            return Severity.SUSPEND if self.allow_list else None
        severity = self.rules[rule]
        return None if severity is Severity.ALLOW else severity

    def refusal(self, host: str) -> DomainSuspended | None:
        """Return the error that names ``host`` and the rule by which it is suspended; None if it is not suspended."""
        if self.verdict(host) is not Severity.SUSPEND:
            return None
        rule = self._rule_for(host)
        reason = "no rule of the allow list is for it" if rule is None else f"by the rule for {rule}"
        return DomainSuspended(f"{host} is suspended: {reason}", host=host, rule=rule)

    def _rule_for(self, host: str) -> str | None:
        """Return the domain of the longest rule that fits."""
        labels = host.rstrip(".").split(".")
        domains = (".".join(labels[start:]) for start in range(len(labels)))
        return next((domain for domain in domains if domain in self.rules), None)
