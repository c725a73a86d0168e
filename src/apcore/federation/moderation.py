"""Define moderation rules by domain, for outgoing requests, senders of activities, and clients that sign a GET.

Rules come from the code (`Federation.blocks`), and from the store (`Node.block_domain`), where they change while nodes
run. A node gives the rules to its driver (`apcore.drivers.Ports.outbound`), which checks every request before it
reaches the transport. So no operation can bypass them: look-ups, redirects, keys, contexts and deliveries are all
checked.

A rule for ``example.com`` also covers its subdomains (``a.example.com``). Domains are compared label by label, so
``badexample.com`` is another domain. The longest matching rule decides. Between two rules for the same domain, the
stored one decides. The shortest rule is ``*``: it covers every domain that has no other rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Final

from attrs import evolve, field, frozen

from apcore.errors import ConfigurationError, Refused
from apcore.http import parse_origin
from apcore.vocab import Document, values

__all__ = [
    "EVERY_DOMAIN",
    "LABELS_MAX",
    "DomainRule",
    "DomainRules",
    "DomainSuspended",
    "Severity",
    "deciding_rule",
    "matching_domains",
    "rule_domain",
    "suspension",
    "without_media",
]

EVERY_DOMAIN: Final = "*"
"""The domain of the rule for all domains without another rule."""
LABELS_MAX: Final = 16
"""The most labels of a rule's domain. So at most that many rules, and the one for `EVERY_DOMAIN`, match a host."""


_MEDIA_MEMBERS: Final = frozenset({"attachment", "icon", "image"})


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
    """Normal traffic. Listeners see `Context.is_silenced`, and its Follows wait for your approval."""
    REJECT_MEDIA = "reject-media"
    """Normal traffic without media: listeners and `Context.resolve` get its documents without attachments and images.
    """
    ALLOW = "allow"
    """Normal traffic, despite a shorter rule or the allow list."""


@frozen
class DomainRule:
    """A rule for a domain and its subdomains."""

    domain: str
    """In lower case, with A-labels; ``*`` for all domains without another rule."""
    severity: Severity
    reason: str | None = None
    """A note for people. Peers never see it."""
    created: datetime | None = None
    """The time at which a stored rule was last written."""

    @property
    def is_for_all(self) -> bool:
        """Whether this is the rule for all domains without another rule."""
        return self.domain == EVERY_DOMAIN


def rule_domain(text: str) -> str:
    """Return the domain of a rule in lower case and A-labels, without a leading ``*.``.

    Raises:
        ValueError: ``text`` is no domain, or has more than `LABELS_MAX` labels.
    """
    if text == EVERY_DOMAIN:
        return text
    is_domain = not any(character in text for character in "/:@?#[] ")
    try:
        host = parse_origin(f"https://{text.removeprefix('*.').rstrip('.')}").host if is_domain else ""
    except ValueError as error:
        raise ValueError(f"a rule is for a domain such as example.com, not {text!r:.80}: {error}") from error
    if not host:
        raise ValueError(f"a rule is for a domain such as example.com, without scheme, port or path, not {text!r:.80}")
    if host.count(".") >= LABELS_MAX:
        raise ValueError(f"a rule is for a domain of at most {LABELS_MAX} labels, not {text!r:.80}")
    return host


def matching_domains(host: str) -> tuple[str, ...]:
    """Return the domains of all rules that would match ``host`` (lower case, A-labels), the longest first."""
    labels = host.rstrip(".").split(".")[-LABELS_MAX:]
    return (*(".".join(labels[start:]) for start in range(len(labels))), EVERY_DOMAIN)


def deciding_rule(code_rule: DomainRule | None, stored_rules: Sequence[DomainRule]) -> DomainRule | None:
    """Return the rule with the longest domain, a stored one before the code's. All of them match one host."""
    if not stored_rules:
        return code_rule
    candidates = [*stored_rules, *(() if code_rule is None else (code_rule,))]
    return max(candidates, key=lambda rule: 0 if rule.is_for_all else 1 + rule.domain.count("."), default=None)


def suspension(host: str, rule: DomainRule | None) -> DomainSuspended | None:
    """Return the error that names ``host`` and the suspending rule; None if the deciding ``rule`` does not suspend."""
    if rule is None or rule.severity is not Severity.SUSPEND:
        return None
    words = "the allow list has no rule for it" if rule.is_for_all else f"by the rule for {rule.domain}"
    reason = "" if rule.reason is None else f" ({rule.reason})"
    return DomainSuspended(
        f"{host} is suspended: {words}{reason}", host=host, rule=None if rule.is_for_all else rule.domain
    )


def without_media(document: Document) -> Document:
    """Return ``document`` without attachments, icons and images, also in its embedded objects.

    Only the words that views read change. `Document.tree` stays as it was received and signed.
    """
    return evolve(document, words=_strip_media(document.words))


def _strip_media(value: Any) -> Any:
    # The parser has bounded the depth.
    if values.is_object(value):
        return {name: _strip_media(item) for name, item in value.items() if name not in _MEDIA_MEMBERS}
    return [_strip_media(item) for item in value] if values.is_array(value) else value


def _rules(rules: Mapping[str, Severity]) -> Mapping[str, Severity]:
    try:
        return {rule_domain(domain): severity for domain, severity in rules.items()}
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


@frozen
class DomainRules:
    """An immutable set of rules by domain.

    Domains may be written in Unicode. A leading ``*.`` is allowed and has no effect.

    Raises:
        ConfigurationError: A key is not a domain.
    """

    rules: Mapping[str, Severity] = field(factory=dict[str, Severity], converter=_rules)
    allow_list: bool = field(default=False, kw_only=True)
    """Whether domains without a rule are suspended. The same as a rule for ``*``."""

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

    def rule_for(self, host: str) -> DomainRule | None:
        """Return the rule that decides about ``host`` (lower case, A-labels), or None if no rule matches it."""
        if self.is_empty:
            return None
        domain = next((domain for domain in matching_domains(host) if domain in self.rules), None)
        if domain is not None:
            return DomainRule(domain, self.rules[domain])
        return DomainRule(EVERY_DOMAIN, Severity.SUSPEND) if self.allow_list else None

    def verdict(self, host: str) -> Severity | None:
        """Return the severity for ``host`` (lower case, A-labels), or None if it is not restricted."""
        rule = self.rule_for(host)
        return None if rule is None or rule.severity is Severity.ALLOW else rule.severity

    def refusal(self, host: str) -> DomainSuspended | None:
        """Return the error that names ``host`` and the suspending rule, or None if it is not suspended."""
        return suspension(host, self.rule_for(host))
