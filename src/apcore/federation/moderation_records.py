"""Declare the stored records of domain rules."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from attrs import frozen

from apcore.records import RecordKind, StoredRecord

__all__ = ["DOMAIN_RULES", "DomainRuleKey", "DomainRuleRecord"]


class DomainRuleKey(NamedTuple):
    """The key of a rule: its domain, in lower case and A-labels, or ``*``."""

    domain: str


@frozen(kw_only=True)
class DomainRuleRecord(StoredRecord):
    """A rule for a domain and its subdomains, which an operator has set while the server runs."""

    severity: str
    """A value of `Severity`. An unknown one, of a newer release, counts as ``suspend``."""
    reason: str | None = None
    created: datetime


DOMAIN_RULES: Final = RecordKind(
    "domain-rule",
    DomainRuleRecord,
    DomainRuleKey,
    lifetime="until the rule is removed",
    written_by="`Node.block_domain`",
    size="up to 2 KiB",
)
