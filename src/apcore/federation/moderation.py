"""Define moderation rules by domain, for outgoing requests, senders of activities, and clients of guarded resources.

A node gives the rules to its driver (`apcore.drivers.Ports.outbound`), which checks every request before it reaches the
transport. So no operation can bypass them: look-ups, redirects, keys, contexts and deliveries are all checked.

A rule for ``example.com`` also covers its subdomains (``a.example.com``). Domains are compared label by label, so
``badexample.com`` is another domain. The longest matching rule decides. With an allow list, a domain without a rule is
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
    """A rule forbids all traffic with a domain. Nothing was sent to it."""

    def __init__(self, message: str, *, host: str = "", rule: str | None = None) -> None:
        super().__init__(message)
        self.host: Final = host
        """The suspended host."""
        self.rule: Final = rule
        """The domain of the rule. None if the allow list has no rule for the host."""


class Severity(Enum):
    """The effect of a rule."""

    SUSPEND = "suspend"
    """No traffic: requests from the domain are refused, nothing is fetched from it, and nothing is delivered to it."""
    SILENCE = "silence"
    """Normal traffic. Handlers see `Context.silenced`, and decide about visibility."""
    ALLOW = "allow"
    """Normal traffic, despite a shorter rule or the allow list."""


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
    """An immutable set of rules by domain.

    Domains may be written in Unicode. A leading ``*.`` is allowed and has no effect.

    Raises:
        ConfigurationError: A key is not a domain.
    """

    rules: Mapping[str, Severity] = field(factory=dict[str, Severity], converter=_rules)
    allow_list: bool = field(default=False, kw_only=True)
    """Whether domains without a rule are suspended."""

    @classmethod
    def suspending(cls, domains: Iterable[str]) -> DomainRules:
        """Return rules that suspend ``domains`` and their subdomains."""
        return cls(dict.fromkeys(domains, Severity.SUSPEND))

    @classmethod
    def allowing(cls, domains: Iterable[str]) -> DomainRules:
        """Return rules that allow only ``domains`` and their subdomains, and suspend all others."""
        return cls(dict.fromkeys(domains, Severity.ALLOW), allow_list=True)

    @property
    def is_empty(self) -> bool:
        """Whether no domain is restricted."""
        return not self.rules and not self.allow_list

    def verdict(self, host: str) -> Severity | None:
        """Return the severity for ``host`` (lower case, A-labels), or None if it is not restricted."""
        rule = self._rule_for(host)
        if rule is None:
            return Severity.SUSPEND if self.allow_list else None
        severity = self.rules[rule]
        return None if severity is Severity.ALLOW else severity

    def refusal(self, host: str) -> DomainSuspended | None:
        """Return the error that names ``host`` and the suspending rule, or None if it is not suspended."""
        if self.verdict(host) is not Severity.SUSPEND:
            return None
        rule = self._rule_for(host)
        reason = "the allow list has no rule for it" if rule is None else f"by the rule for {rule}"
        return DomainSuspended(f"{host} is suspended: {reason}", host=host, rule=rule)

    def _rule_for(self, host: str) -> str | None:
        """Return the domain of the longest rule that matches ``host``, or None."""
        labels = host.rstrip(".").split(".")
        domains = (".".join(labels[start:]) for start in range(len(labels)))
        return next((domain for domain in domains if domain in self.rules), None)
