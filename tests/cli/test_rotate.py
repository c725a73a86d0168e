"""Check ``apcore rotate``: it stores new keys, and reports them to people and programs."""

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


def published_key_names(tmp_path, actor: str) -> list[str]:
    federation: Federation[None] = Federation()
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person())
    with Node(federation, HERE, f"sqlite:///{tmp_path}/s.db") as node:
        return [key.key_id.partition("#")[2] for key in node.run(own_keys(node.site(), actor))]


@pytest.mark.parametrize(
    ("actor_options", "actor"), [(["--actor", "alice"], f"{HERE}/users/alice"), (["--instance"], f"{HERE}/actor")]
)
def test_keys_are_rotated_and_reported_as_json(arguments, actor_options, actor, capsys, tmp_path):
    assert main([*arguments, *actor_options, "--json"]) == exit_codes.DONE
    report = json.loads(capsys.readouterr().out)
    assert report["actor"] == actor
    assert report["signs"] == [f"{actor}#main-key-2", f"{actor}#ed25519-key-2"]
    assert report["replaced"] == [f"{actor}#main-key", f"{actor}#ed25519-key"]
    assert report["retired"].endswith("Z")
    assert published_key_names(tmp_path, actor) == ["main-key-2", "ed25519-key-2", "main-key", "ed25519-key"]


def test_rotated_keys_are_reported_in_words(arguments, capsys):
    assert main([*arguments, "--actor", "alice", "--no-announce"]) == exit_codes.DONE
    out = capsys.readouterr().out
    assert f"{HERE}/users/alice signs with {HERE}/users/alice#main-key-2" in out
    assert "#ed25519-key stay published until 20" in out


@pytest.mark.parametrize(
    ("actor_options", "code", "message"),
    [
        ([], exit_codes.USAGE, "--actor IDENTIFIER or --instance"),
        (["--actor", "alice", "--instance"], exit_codes.USAGE, "--actor IDENTIFIER or --instance"),
        (["--actor", "nobody"], exit_codes.FAILED, "there is no actor 'nobody'"),
        (["--actor", "alice", "--signer", "nonsense"], exit_codes.USAGE, "a signer is named by a URL"),
    ],
    ids=["no actor", "both", "no such actor", "no signer"],
)
def test_impossible_rotation_is_refused_in_words(arguments, actor_options, code, message, capsys):
    assert main([*arguments, *actor_options]) == code
    assert message in capsys.readouterr().err
