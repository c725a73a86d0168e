"""A module of the federation holds one job: not so much that it has several, nor so little that it is a fragment."""

from __future__ import annotations

from source_tree import MODULES

LINES_MAX = 300
LINES_MIN = 60

SMALL = {
    "account_methods": "the methods that all variants of the context share; `context_methods` has those that differ",
    "inbox.polled": "the claims of activities that were not delivered, which the inbox and the polls share",
    "moderation_records": "the stored form of a rule, which no other kind of record goes with",
    "known_recipients": "memory of the node, which the site holds; the rule that uses it is in `inbox.recipients`",
    "ignored_reasons": "the reasons alone, which the interactions and the inbox share",
    "outages": "asked by authentication and by delivery, which must not import each other",
    "received_writes": "pending writes that both rooms note, below the unit of work",
    "outbox.push_policy": "the decision to push, which publishing and relays share",
    "serving.page_names": "two inverse functions, with a property test of their own",
    "subscriptions.pace": "the budget of a host, apart from the schedule, which has no effects",
    "report_calls": "calls hooks by the unit of work; the registration of hooks is below that",
    "outbox.unit_commit": "joins the access of requests and the commits of the outbox, for code outside of handlers",
}
"""Reasons for modules with fewer than `LINES_MIN` lines."""


def sizes() -> dict[str, int]:
    prefix = "apcore.federation."
    return {
        name.removeprefix(prefix): len(module.path.read_text(encoding="utf-8").splitlines())
        for name, module in MODULES.items()
        if name.startswith(prefix) and not module.is_package
    }


def test_no_module_is_too_large():
    assert {name: size for name, size in sizes().items() if size > LINES_MAX} == {}


def test_small_modules_have_a_reason():
    assert sizes().keys() >= SMALL.keys()
    small = {name for name, size in sizes().items() if size < LINES_MIN}
    assert small - SMALL.keys() == set()
    assert SMALL.keys() <= small


def test_authentication_does_not_import_delivery():
    """Of the outbox, it needs the declarations of records, and the checks of what an application sends."""
    reached: set[str] = set()
    remaining = ["apcore.federation.inbox.authenticate"]
    while remaining:
        name = remaining.pop()
        if name in reached or name not in MODULES:
            continue
        reached.add(name)
        remaining += [one.name for one in MODULES[name].imports() if one.name.startswith("apcore.federation.")]
        remaining += [one.name.rpartition(".")[0] for one in MODULES[name].imports() if one.name.startswith("apcore.f")]
    outbox = {name.rpartition(".")[2] for name in reached if name.startswith("apcore.federation.outbox.")}
    assert "apcore.federation.request_signers" in reached
    assert outbox <= {"addressing", "records", "host_records", "validation"}
