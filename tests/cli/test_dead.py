"""Check ``apcore dead``: it lists, shows, retries and drops the dead letters of a store."""

from __future__ import annotations

import json

import pytest

from apcore.cli import exit_codes, main
from apcore.federation import Federation
from apcore.http import Response
from apcore.node import Node
from apcore.testing.keys import ReusedKeys
from apcore.vocab import Like, Person

HERE = "https://here.example"
BOBS = [f"https://remote.example/users/bob{number}" for number in range(3)]


class Gone:
    """A network on which every actor has a document, and every inbox is gone."""

    checks_addresses = "enforced"

    def send(self, request, /):
        if request.method == "POST":
            return Response(410)
        members = {"@context": "https://www.w3.org/ns/activitystreams", "id": request.url, "type": "Person"}
        members |= {"inbox": f"{request.url}/inbox", "outbox": f"{request.url}/outbox"}
        return Response(200, {"Content-Type": "application/activity+json"}, json.dumps(members).encode())

    def close(self):
        """Do nothing: there is no connection."""


@pytest.fixture
def dead(tmp_path, monkeypatch, capsys):
    """Return a function that runs ``apcore dead`` on a store with three dead deliveries."""
    federation = Federation()
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person())
    url = f"sqlite:///{tmp_path}/s.db"
    with Node(federation, HERE, url, transport=Gone(), signer=ReusedKeys(), slots=0) as node:
        for bob in BOBS:
            node.send(Like(object=f"{bob}/notes/1"), by="alice", to=bob)
        node.work(until_idle=True)
    monkeypatch.setenv("APCORE_STORE", url)

    def run(*arguments):
        code = main(["dead", *arguments])
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


def idents(dead):
    return [letter["id"] for letter in json.loads(dead("list", "--json")[1])["dead_letters"]]


def test_dead_letters_are_listed_for_people_and_programs(dead):
    code, out, err = dead("list")
    assert (code, err) == (exit_codes.DONE, "3 dead letters\n")
    assert all(f"{bob}/inbox" in out for bob in BOBS)
    assert out.count("status 410") == 3
    assert dead("list", "--kind", "received") == (exit_codes.DONE, "", "0 dead letters\n")
    [letter, *_] = json.loads(dead("list", "--json")[1])["dead_letters"]
    assert (letter["kind"], letter["attempts"], letter["actor"]) == ("delivery", 1, f"{HERE}/users/alice")


def test_dead_letter_is_shown_with_its_activity(dead):
    ident = idents(dead)[0]
    code, out, _ = dead("show", ident)
    assert code == exit_codes.DONE
    assert json.loads(out)["document"]["type"] == "Like"


def test_dead_letters_are_retried_by_id_and_all_together(dead):
    first = idents(dead)[0]
    assert dead("retry", first) == (exit_codes.DONE, "1 dead letter retried\n", "")
    code, out, err = dead("retry", first)
    assert (code, out) == (exit_codes.FAILED, "0 dead letters retried\n")
    assert "there is no dead letter" in err
    assert dead("retry", "--all", "--kind", "delivery")[1] == "2 dead letters retried\n"
    assert idents(dead) == []


def test_dead_letters_are_dropped(dead):
    first, *others = idents(dead)
    assert dead("drop", first)[1] == "1 dead letter dropped\n"
    assert idents(dead) == others
    assert dead("drop", "--all")[1] == "2 dead letters dropped\n"


@pytest.mark.parametrize(
    "arguments",
    [("retry",), ("retry", "--all", "x"), ("show", "nonsense"), ("drop", "nonsense"), ("list", "--kind", "x")],
)
def test_wrong_arguments_are_usage_errors(dead, arguments):
    assert dead(*arguments)[0] == exit_codes.USAGE


def test_unknown_dead_letter_is_an_error(dead):
    ident = idents(dead)[0]
    dead("drop", ident)
    code, _, err = dead("show", ident)
    assert code == exit_codes.FAILED
    assert "there is no dead letter" in err
