"""``apcore block``: list, add and remove the stored domain rules of a running server."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from attrs import frozen

from apcore.cli import exit_codes
from apcore.cli.output import plain
from apcore.cli.store_options import AnyNode, result_of, run_on_node, store_options
from apcore.errors import ApcoreError
from apcore.federation import DomainRule, Severity
from apcore.federation.stored_rules import check_rule

__all__ = ["command"]

_PROGRESS: Final = 100
"""After so many rules, a line on standard error tells how many are stored."""
_RULES_MAX: Final = 100_000
"""The most rules of one file."""


@frozen
class _NewRule:
    """A rule to store, and the place in a file where it stands."""

    domain: str
    severity: Severity
    reason: str | None
    place: str


@click.group("block", short_help="Suspend or silence domains while servers run.")
def command() -> None:
    """List, add and remove the domain rules in a store.

    A change is in force at once in every server and worker on the store. A rule covers the domain and its subdomains.
    The domain '*' stands for all domains without another rule.
    """


@command.command("list")
@store_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_rules(*, store: str | None, target: str | None, as_json: bool) -> int:
    """Print the stored rules by domain."""

    async def read(node: AnyNode) -> list[DomainRule]:
        rules: list[DomainRule] = []
        cursor: str | None = None
        while True:
            page = await result_of(node.domain_rules(cursor=cursor))
            rules += page.items
            cursor = page.next
            if cursor is None:
                return rules

    rules = run_on_node(read, store=store, target=target)
    if as_json:
        members = [
            {
                "domain": rule.domain,
                "severity": rule.severity.value,
                "reason": rule.reason,
                "created": None if rule.created is None else f"{rule.created:%Y-%m-%dT%H:%M:%SZ}",
            }
            for rule in rules
        ]
        click.echo(json.dumps({"rules": members}, indent=2))
        return exit_codes.DONE
    width = max((len(rule.domain) for rule in rules), default=0)
    for rule in rules:
        date = "" if rule.created is None else f"{rule.created:%Y-%m-%d}"
        click.echo(plain(f"{rule.domain:<{width}}  {rule.severity.value:<12}  {date}  {rule.reason or ''}").rstrip())
    click.echo(f"{len(rules)} rules", err=True)
    return exit_codes.DONE


@command.command("add")
@click.argument("domains", nargs=-1, metavar="[DOMAIN]...")
@store_options
@click.option(
    "--severity",
    type=click.Choice([severity.value for severity in Severity]),
    default=Severity.SUSPEND.value,
    show_default=True,
    help="The effect of the rules.",
)
@click.option("--reason", metavar="TEXT", help="A note for people. Peers never see it.")
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Also add the domains of a file: one a line, or a CSV export of domain blocks from Mastodon.",
)
def add_rules(
    *,
    domains: Sequence[str],
    store: str | None,
    target: str | None,
    severity: str,
    reason: str | None,
    path: Path | None,
) -> int:
    """Store a rule for each DOMAIN, in place of an earlier one.

    All domains are checked first: if one of them is malformed, nothing is stored.
    """
    default = _NewRule("", Severity(severity), reason, "")
    rules = [_NewRule(domain, default.severity, reason, "") for domain in domains]
    rules += [] if path is None else _read_file(path, default)
    if not rules:
        raise click.UsageError("name the domains to add, or a --file with them")

    async def store_rules(node: AnyNode) -> None:
        for number, rule in enumerate(rules, start=1):
            try:
                await result_of(node.block_domain(rule.domain, severity=rule.severity, reason=rule.reason))
            except ApcoreError as error:
                raise click.ClickException(f"{number - 1} of {len(rules)} rules are stored: {error}") from error
            if number % _PROGRESS == 0:
                click.echo(f"{number} of {len(rules)} rules stored", err=True)

    _check_rules(rules)
    run_on_node(store_rules, store=store, target=target)
    click.echo(f"{len(rules)} rule{'s' * (len(rules) != 1)} stored")
    return exit_codes.DONE


@command.command("remove")
@click.argument("domains", nargs=-1, required=True, metavar="DOMAIN...")
@store_options
def remove_rules(*, domains: Sequence[str], store: str | None, target: str | None) -> int:
    """Remove the stored rule for each DOMAIN. Rules in the code stay."""
    _check_rules([_NewRule(domain, Severity.SUSPEND, None, "") for domain in domains])

    async def remove(node: AnyNode) -> list[str]:
        return [domain for domain in domains if not await result_of(node.unblock_domain(domain))]

    missing = run_on_node(remove, store=store, target=target)
    removed_count = len(domains) - len(missing)
    click.echo(f"{removed_count} rule{'s' * (removed_count != 1)} removed")
    for domain in missing:
        click.echo(plain(f"there is no stored rule for {domain}; see `apcore block list`"), err=True)
    return exit_codes.FAILED if missing else exit_codes.DONE


# --- leaves ---------------------------------------------------------------------------------------------------------


def _check_rules(rules: Sequence[_NewRule]) -> None:
    """Refuse malformed domains and reasons before anything is stored."""
    for rule in rules:
        try:
            check_rule(rule.domain, rule.reason)
        except ValueError as error:
            raise click.UsageError(plain(f"{rule.place}{error}")) from error


def _read_file(path: Path, default: _NewRule) -> list[_NewRule]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}") from error
    if len(lines) > _RULES_MAX:
        raise click.UsageError(f"{path} has {len(lines)} lines, at most {_RULES_MAX}")
    names = [name.lstrip("#") for name in next(csv.reader(lines[:1]), list[str]())]
    if "domain" not in names:
        domains = [line.partition("#")[0].strip() for line in lines]
        return [
            _NewRule(domain, default.severity, default.reason, f"{path}, line {number}: ")
            for number, domain in enumerate(domains, start=1)
            if domain
        ]
    rules: list[_NewRule] = []
    for number, values in enumerate(csv.reader(lines[1:]), start=2):
        row = dict(zip(names, values, strict=False))
        severity = _severity_of(row, default.severity)
        if row.get("domain") and severity is not None:
            reason = default.reason or row.get("public_comment") or None
            rules.append(_NewRule(row["domain"], severity, reason, f"{path}, line {number}: "))
    return rules


def _severity_of(row: dict[str, str], default: Severity) -> Severity | None:
    """Return the severity of a row of Mastodon's export; None for a row that restricts nothing that apcore knows."""
    word = row.get("severity", "")
    if word == "noop":
        return Severity.REJECT_MEDIA if row.get("reject_media", "").lower() == "true" else None
    return {"suspend": Severity.SUSPEND, "silence": Severity.SILENCE}.get(word, default)
