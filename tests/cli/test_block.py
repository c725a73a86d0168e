"""Check ``apcore block``: it changes the rules of a store, and reports to people and programs."""

from __future__ import annotations

import json

import pytest

from apcore.cli import exit_codes, main
from apcore.federation import Federation, Severity
from apcore.node import Node

SOURCE = """
from apcore import AsyncNode, Federation, Node

federation = Federation()


def blocking():
    return Node(federation, None, "sqlite:///s.db")


def asynchronous():
    return AsyncNode(federation, None, "sqlite:///s.db")
"""


@pytest.fixture
def block(tmp_path, monkeypatch, capsys):
    """Return a function that runs ``apcore block`` and returns its exit code, output and errors."""
    (tmp_path / "blocking_nodes.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("APCORE_STORE", raising=False)

    def run(*arguments, store="--store=sqlite:///s.db"):
        code = main(["block", *arguments, *([store] if store else [])])
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


def stored_rules():
    with Node(Federation(), None, "sqlite:///s.db") as node:
        return {rule.domain: (rule.severity, rule.reason) for rule in node.domain_rules().items}


def test_rules_are_added_listed_and_removed(block):
    assert block("add", "Bad.example", "*.übel.example", "--reason", "spam") == (0, "2 rules stored\n", "")
    assert block("add", "loud.example", "--severity", "silence")[0] == exit_codes.DONE
    assert stored_rules() == {
        "bad.example": (Severity.SUSPEND, "spam"),
        "loud.example": (Severity.SILENCE, None),
        "xn--bel-goa.example": (Severity.SUSPEND, "spam"),
    }
    code, out, err = block("list")
    assert (code, err) == (exit_codes.DONE, "3 rules\n")
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["bad.example", "suspend"],
        ["loud.example", "silence"],
        ["xn--bel-goa.example", "suspend"],
    ]
    assert block("remove", "übel.example", "loud.example") == (0, "2 rules removed\n", "")
    [rule] = json.loads(block("list", "--json")[1])["rules"]
    assert (rule["domain"], rule["severity"], rule["reason"]) == ("bad.example", "suspend", "spam")
    assert rule["created"].endswith("Z")


@pytest.mark.parametrize("target", ["blocking", "asynchronous"])
def test_rules_of_a_node_in_code_are_changed(block, target):
    node = f"--node=blocking_nodes:{target}"
    assert block("add", "bad.example", store=node)[0] == exit_codes.DONE
    assert "bad.example" in block("list", store=node)[1]
    assert block("remove", "bad.example", store=node)[0] == exit_codes.DONE
    assert stored_rules() == {}


def test_missing_rule_is_named_and_others_are_removed(block):
    block("add", "bad.example")
    code, out, err = block("remove", "good.example", "bad.example")
    assert (code, out) == (exit_codes.FAILED, "1 rule removed\n")
    assert "there is no stored rule for good.example" in err
    assert stored_rules() == {}


@pytest.mark.parametrize(
    ("arguments", "store", "message"),
    [
        (["add", "good.example", "bad.example:8443"], "--store=sqlite:///s.db", "'bad.example:8443'"),
        (["add", "bad.example", "--reason", "x" * 501], "--store=sqlite:///s.db", "1 to 500 characters"),
        (["add"], "--store=sqlite:///s.db", "name the domains"),
        (["remove", "https://bad.example"], "--store=sqlite:///s.db", "'https://bad.example'"),
        (["list"], None, "use --store URL or --node MODULE:NAME"),
        (["list"], "--store=memory:", "belongs to one process"),
        (["list"], "--store=nonsense", "nonsense"),
        (["list"], "--node=blocking_nodes:federation", "is a Federation"),
    ],
)
def test_wrong_arguments_are_refused_in_words_and_nothing_is_stored(block, arguments, store, message):
    code, _, err = block(*arguments, store=store)
    assert code == exit_codes.USAGE
    assert message in err
    assert stored_rules() == {}


def test_file_of_domains_is_added_with_progress(block, tmp_path):
    domains = "\n".join(f"{number}.example  # a comment" for number in range(250))
    (tmp_path / "domains.txt").write_text(f"\n# all of them\n{domains}\n", encoding="utf-8")
    code, out, err = block("add", "--file", "domains.txt", "--severity", "silence")
    assert (code, out) == (exit_codes.DONE, "250 rules stored\n")
    assert err.splitlines() == ["100 of 250 rules stored", "200 of 250 rules stored"]
    assert len(json.loads(block("list", "--json")[1])["rules"]) == 250


def test_export_of_mastodon_is_added_with_its_severities(block, tmp_path):
    (tmp_path / "blocks.csv").write_text(
        "#domain,#severity,#reject_media,#reject_reports,#public_comment,#obfuscate\n"
        'bad.example,suspend,False,False,"spam, and worse",False\n'
        "loud.example,silence,True,False,,False\n"
        "media.example,noop,True,False,,False\n"
        "reports.example,noop,False,True,,False\n",
        encoding="utf-8",
    )
    assert block("add", "--file", "blocks.csv")[1] == "3 rules stored\n"
    assert stored_rules() == {
        "bad.example": (Severity.SUSPEND, "spam, and worse"),
        "loud.example": (Severity.SILENCE, None),
        "media.example": (Severity.REJECT_MEDIA, None),
    }


def test_malformed_line_is_named_and_nothing_is_stored(block, tmp_path):
    (tmp_path / "domains.txt").write_text("good.example\nbad example\n", encoding="utf-8")
    code, _, err = block("add", "--file", "domains.txt")
    assert code == exit_codes.USAGE
    assert "domains.txt, line 2: " in err
    assert stored_rules() == {}
