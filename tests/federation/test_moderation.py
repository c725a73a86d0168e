"""Check domain rules: each holds for a domain and its subdomains, label by label."""

import pytest

from apcore.errors import ConfigurationError
from apcore.federation.moderation import LABELS_MAX, DomainRules, Severity, matching_domains, rule_domain

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


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("BAD.Example", "bad.example"),
        ("*.bad.example.", "bad.example"),
        ("Übel.example", "xn--bel-goa.example"),
        ("xn--bel-goa.example", "xn--bel-goa.example"),
        ("10.0.0.1", "10.0.0.1"),
        ("*", "*"),
    ],
)
def test_domain_of_a_rule_has_one_spelling(text: str, domain: str) -> None:
    assert rule_domain(text) == domain


@pytest.mark.parametrize(
    "text", ["", ".", "bad.example:8443", "https://bad.example", "bad.example/path", "bob@bad.example", "a b", "[::1]"]
)
def test_text_that_is_no_domain_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"a rule is for a domain such as example\.com"):
        rule_domain(text)


def test_labels_of_a_domain_are_bounded() -> None:
    longest = ".".join("a" * LABELS_MAX)
    assert rule_domain(longest) == longest
    with pytest.raises(ValueError, match=f"at most {LABELS_MAX} labels"):
        rule_domain(f"a.{longest}")
    assert matching_domains(f"b.{longest}")[0] == longest
    assert len(matching_domains("a." * 100 + "example")) == LABELS_MAX + 1
