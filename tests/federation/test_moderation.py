"""Check domain rules: each holds for a domain and its subdomains, label by label."""

import pytest

from apcore.errors import ConfigurationError
from apcore.federation.moderation import DomainRules, Severity

RULES = DomainRules(
    {
        "bad.example": Severity.SUSPEND,
        "*.loud.example": Severity.SILENCE,
        "good.bad.example": Severity.ALLOW,
        "ÜBEL.example": Severity.SUSPEND,
    }
)


@pytest.mark.parametrize(
    ("host", "verdict"),
    [
        ("bad.example", Severity.SUSPEND),
        ("a.b.bad.example", Severity.SUSPEND),
        ("notbad.example", None),
        ("bad.example.org", None),
        ("good.bad.example", None),
        ("x.good.bad.example", None),
        ("loud.example", Severity.SILENCE),
        ("bad.example.", Severity.SUSPEND),
        ("xn--bel-goa.example", Severity.SUSPEND),
        ("example", None),
    ],
)
def test_the_longest_rule_decides(host: str, verdict: Severity | None) -> None:
    assert RULES.verdict(host) is verdict


def test_an_allow_list_suspends_the_rest() -> None:
    rules = DomainRules.allowing(["friends.example"])
    assert rules.verdict("a.friends.example") is None
    assert rules.verdict("friends.example.evil.example") is Severity.SUSPEND


def test_suspending_makes_rules_from_domains() -> None:
    assert DomainRules.suspending(["a.example"]).verdict("a.example") is Severity.SUSPEND


@pytest.mark.parametrize(
    "domain", ["", "https://a.example", "a.example/path", "a b.example", "a.example:80", "user@a.example"]
)
def test_malformed_domain_is_refused(domain: str) -> None:
    with pytest.raises(ConfigurationError, match="a rule is for a domain"):
        DomainRules.suspending([domain])
