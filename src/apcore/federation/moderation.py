"""Whom we talk to: rules by domain, asked before any fetch, when an activity arrives, and at delivery.

A rule for ``example.com`` holds for it and for everything under it (``a.example.com``), label by label: ``badexample.com`` is another domain. The
longest rule that fits decides. With an allow list, what no rule allows is suspended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

from attrs import field, frozen

from apcore.errors import ConfigurationError
from apcore.http import parse_origin

__all__ = ["DomainRules", "Severity"]


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

    def verdict(self, host: str) -> Severity | None:
        """Give the severity for ``host`` (in lower case, A-labels), None if nothing holds it back."""
        labels = host.rstrip(".").split(".")
        for start in range(len(labels)):
            severity = self.rules.get(".".join(labels[start:]))
            if severity is not None:
                return None if severity is Severity.ALLOW else severity
        return Severity.SUSPEND if self.allow_list else None
