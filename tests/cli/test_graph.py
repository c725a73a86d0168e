"""Check ``apcore resolve`` and ``apcore graph``: documents and their states, for people and programs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apcore.cli import exit_codes, main

SOURCE = """
from apcore import AsyncNode, Federation, Node
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import Peer, PeerNetwork
from apcore.vocab import Person

BOB = "https://a.example/bob"
NOTE = "https://a.example/notes/1"
network = PeerNetwork()
bob = Peer(BOB, network=network)
bob.serve(NOTE, {"id": NOTE, "type": "Note", "content": "hi", "attributedTo": BOB, "inReplyTo": NOTE})
federation = Federation()
federation.actor("/users/{identifier}")(lambda ctx, identifier: Person())


def blocking():
    return Node(federation, None, "sqlite:///s.db", transport=network)


def asynchronous():
    return AsyncNode(federation, "https://b.example", "sqlite:///s.db", transport=network, signer=ReusedKeys())
"""
NOTE, BOB = "https://a.example/notes/1", "https://a.example/bob"


@pytest.fixture
def command(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs a command on a node, and returns its exit code, output and errors."""
    (tmp_path / "graph_nodes.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("APCORE_STORE", raising=False)

    def run(*arguments: str, at: str = "--node=graph_nodes:blocking") -> tuple[int, str, str]:
        code = main([*arguments, at])
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


@pytest.mark.parametrize("node", ["blocking", "asynchronous"])
def test_document_is_resolved_and_listed_with_the_rule_that_decided(command: Any, node: str) -> None:
    at = f"--node=graph_nodes:{node}"
    code, out, err = command("resolve", NOTE, "--why", at=at)
    assert (code, json.loads(out)["content"]) == (exit_codes.DONE, "hi")
    assert err.startswith("fresh: its origin sent it; the rule 'post' of its type makes it fresh until ")
    code, out, err = command("graph", "--why", at=at)
    assert (code, err) == (exit_codes.DONE, "1 documents\n")
    lines = out.splitlines()
    assert lines[0].split()[0] == "fresh"
    assert lines[0].split()[-2:] == ["fetched", NOTE]
    assert [line.split()[0] for line in lines[1:]] == (["its"] if node == "blocking" else ["for", "its"])


def test_states_are_printed_as_json(command: Any) -> None:
    _ = command("resolve", NOTE)
    code, out, _ = command("graph", "--json")
    [state] = json.loads(out)["documents"]
    assert code == exit_codes.DONE
    assert (state["uri"], state["name"], state["rule"], state["provenance"]) == (NOTE, "fresh", "post", "fetched")
    assert "the rule 'post'" in state["why"]


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ((), 2),
        (("--actor", BOB), 2),
        (("--server", "https://a.example"), 2),
        (("--server", "https://c.example"), 0),
        (("--due",), 0),
        (("--limit", "1"), 1),
        ((NOTE,), 1),
    ],
)
def test_documents_are_chosen_by_actor_server_and_age(command: Any, arguments: tuple[str, ...], count: int) -> None:
    for uri in (NOTE, BOB):
        assert command("resolve", uri)[0] == exit_codes.DONE
    assert command("graph", *arguments)[2] == f"{count} documents\n"


def test_path_is_walked(command: Any) -> None:
    code, out, _ = command("resolve", NOTE, "--walk", "attributed_to")
    assert (code, json.loads(out)["id"]) == (exit_codes.DONE, BOB)


def test_states_of_all_viewers_are_printed(command: Any) -> None:
    for node in ("blocking", "asynchronous"):
        assert command("resolve", NOTE, at=f"--node=graph_nodes:{node}")[0] == exit_codes.DONE
    code, out, err = command("graph", NOTE)
    assert (code, err) == (exit_codes.DONE, "2 documents\n")
    assert "for https://b.example/actor" in out


@pytest.mark.parametrize("node", ["blocking", "asynchronous"])
def test_failure_and_its_rule_are_named(command: Any, node: str) -> None:
    code, out, err = command("resolve", "https://a.example/none", "--why", at=f"--node=graph_nodes:{node}")
    assert (code, out) == (exit_codes.FAILED, "")
    assert "failed: its origin failed (document-not-found), and is not asked again before" in err
    code, out, _ = command("graph", "https://a.example/none")
    assert (code, out.split()[0]) == (exit_codes.DONE, "failed")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("resolve", NOTE, "--walk", "nothing"), exit_codes.USAGE),
        (("graph", "urn:x:1"), exit_codes.FAILED),
        (("graph", "--server", "nowhere"), exit_codes.USAGE),
        (("graph", "--limit", "0"), exit_codes.USAGE),
    ],
)
def test_wrong_arguments_are_refused(command: Any, arguments: tuple[str, ...], code: int) -> None:
    assert command(*arguments)[0] == code


def test_graph_needs_a_store(command: Any) -> None:
    assert command("graph", at="--why")[0] == exit_codes.USAGE
