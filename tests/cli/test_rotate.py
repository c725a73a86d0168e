"""``apcore rotate``: new keys in the store of servers that run on, told to people and to programs."""

from __future__ import annotations

import json

import pytest

from apcore.cli import exit_codes, main
from apcore.federation import Federation
from apcore.federation.actors.keys import own_keys
from apcore.node import Node
from apcore.vocab import Person

SOURCE = """
from apcore import Federation
from apcore.vocab import Person

federation = Federation(software="shown/1.0")


@federation.actor("/users/{identifier}")
def actor(ctx, identifier):
    return Person(preferred_username=identifier) if identifier == "alice" else None
"""
HERE = "https://social.example"


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    (tmp_path / "rotated_federation.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return ["rotate", "rotated_federation", "--origin", HERE, "--store", f"sqlite:///{tmp_path}/s.db"]


def published(tmp_path, actor: str) -> list[str]:
    federation: Federation[None] = Federation()
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person())
    with Node(federation, HERE, f"sqlite:///{tmp_path}/s.db") as node:
        return [key.key_id.partition("#")[2] for key in node.run(own_keys(node.site(), actor))]


@pytest.mark.parametrize(
    ("whose", "actor"), [(["--actor", "alice"], f"{HERE}/users/alice"), (["--instance"], f"{HERE}/actor")]
)
def test_what_was_done_is_told_and_done(arguments, whose, actor, capsys, tmp_path):
    assert main([*arguments, *whose, "--json"]) == exit_codes.DONE
    told = json.loads(capsys.readouterr().out)
    assert told["actor"] == actor
    assert told["signs"] == [f"{actor}#main-key-2", f"{actor}#ed25519-key-2"]
    assert told["replaced"] == [f"{actor}#main-key", f"{actor}#ed25519-key"]
    assert told["retired"].endswith("Z")
    assert published(tmp_path, actor) == ["main-key-2", "ed25519-key-2", "main-key", "ed25519-key"]


def test_people_are_told_in_words(arguments, capsys):
    assert main([*arguments, "--actor", "alice", "--no-announce"]) == exit_codes.DONE
    out = capsys.readouterr().out
    assert f"{HERE}/users/alice signs with {HERE}/users/alice#main-key-2" in out
    assert "#ed25519-key stay published until 20" in out


@pytest.mark.parametrize(
    ("whose", "code", "says"),
    [
        ([], exit_codes.USAGE, "--actor IDENTIFIER or --instance"),
        (["--actor", "alice", "--instance"], exit_codes.USAGE, "--actor IDENTIFIER or --instance"),
        (["--actor", "nobody"], exit_codes.FAILED, "there is no actor 'nobody'"),
        (["--actor", "alice", "--signer", "nonsense"], exit_codes.USAGE, "a signer is named by a URL"),
    ],
    ids=["nobody", "both", "no such actor", "no signer"],
)
def test_what_cannot_be_done_is_said(arguments, whose, code, says, capsys):
    assert main([*arguments, *whose]) == code
    assert says in capsys.readouterr().err
