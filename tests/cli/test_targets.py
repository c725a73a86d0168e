"""Check commands that take a node, or a function that makes one: they use its data, transport and origins."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from http.client import HTTPConnection
from importlib import import_module

import pytest

from apcore.cli import exit_codes, main
from apcore.cli.demo.servers import eventually, reserved_ports
from apcore.node import Node

RULES = """
from apcore import AsyncNode, Federation, Node
from apcore.adapters.memory import MemoryStore
from apcore.http import LOOPBACK_OPEN
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Create, Like, Note, Person

HERE, THERE = "https://here.example", "https://there.example"


def rules():
    federation = Federation(software="targets/1.0")

    @federation.actor("/users/{identifier}")
    def actor(ctx, identifier):
        return Person(preferred_username=identifier, name=ctx.data[identifier]) if identifier in ctx.data else None

    @federation.on(Create)
    def created(ctx, activity):
        ctx.send(Like(object=activity.object.uri), by="alice", to=activity.actor.uri)

    return federation
"""

NODES = """
network, store = PeerNetwork(), MemoryStore()
options = {"data": {"alice": "Alice"}, "transport": network, "signer": ReusedKeys()}
node = Node(rules(), HERE, store, **options)
async_node = AsyncNode(rules(), HERE, store, **options)
two_origins = Node(rules(), [HERE, THERE], MemoryStore(), **options)
without_data = AsyncNode(rules(), HERE, MemoryStore())
without_origin = AsyncNode(rules(), None, MemoryStore(), data={})
number = 7


def make_node():
    return node


def make_async_node():
    return async_node


def make_federation():
    return rules()


def make_number():
    return 7


def make_bad_origin():
    return AsyncNode(rules(), "here.example")


async def make_later():
    return node
"""

SERVED = """
import sys

port = sys.argv[sys.argv.index("--port") + 1]


def make_node():
    origins = [f"http://127.0.0.1:{port}", f"http://localhost:{port}"]
    options = {"data": {"alice": "Alice"}, "addresses": LOOPBACK_OPEN, "signer": ReusedKeys()}
    return AsyncNode(rules(), origins, MemoryStore(), **options)
"""

AT = ["--origin", "https://here.example", "--store", "memory:"]


@pytest.fixture
def targets(tmp_path, monkeypatch):
    """Import the module of this test anew, so that it has no state of another test."""
    (tmp_path / "node_targets.py").write_text(RULES + NODES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "node_targets", raising=False)
    yield import_module("node_targets")
    sys.modules.pop("node_targets", None)


@pytest.mark.parametrize("name", ["node", "async_node", "make_node", "make_async_node"])
def test_worker_uses_the_data_and_transport_of_the_node(targets, name, capsys):
    bob = targets.network.peer("https://remote.example/users/bob")
    note = {"id": "https://remote.example/notes/1", "type": "Note", "attributedTo": bob.actor, "content": "hi"}
    server = Node(targets.rules(), targets.HERE, targets.store, **targets.options)
    assert bob.deliver(server, bob.activity("Create", object=note), to="alice").status == 202
    assert main(["work", f"node_targets:{name}", "--until-idle"]) == exit_codes.DONE
    assert re.fullmatch(r"[1-9]\d* messages handled\n", capsys.readouterr().out)
    assert [delivery.activity["type"] for delivery in bob.received] == ["Like"]


def test_function_may_make_a_federation_that_the_options_bind(targets, capsys):
    assert main(["work", "node_targets:make_federation", *AT, "--until-idle"]) == exit_codes.DONE
    assert capsys.readouterr().out == "0 messages handled\n"


def test_module_without_a_federation_offers_its_node(targets, capsys):
    assert main(["check", "node_targets"]) == exit_codes.DONE
    assert "keeps nothing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["work", "node_targets:number"], "node_targets:number is an int, not a Federation, a Node, an AsyncNode or"),
        (["work", "node_targets:make_number"], "node_targets:make_number() returns an int, not a Federation,"),
        (["work", "node_targets:make_later"], "is a coroutine function"),
        (["work", "node_targets:Federation"], "is a type, not a Federation,"),
        (
            ["work", "node_targets:make_bad_origin"],
            "node_targets:make_bad_origin() makes no node: origin 'here.example'",
        ),
        (["work", "node_targets:make_federation"], "is a Federation, which has to be bound: add --origin"),
        (["work", "node_targets:node", *AT], "is a Node, which was made with its own: leave out --origin, --store"),
        (
            ["serve", "node_targets:async_node", "--signer", "store:"],
            "is an AsyncNode, which was made with its own: leave out --signer",
        ),
        (["serve", "node_targets:async_node", "--allow-loopback"], "leave out --allow-loopback"),
        (["serve", "node_targets:node"], "blocking Node: serve it with apcore.adapters.wsgi"),
        (["serve", "node_targets:without_origin"], "without an origin"),
        (["check", "node_targets:node", "--store", "memory:"], "leave out --store"),
        (["rotate", "node_targets:two_origins", "--instance"], "--origin: name one origin"),
        (
            ["rotate", "node_targets:node", "--instance", "--origin", "https://x.example"],
            "is not an origin of this node",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_unusable_target_is_refused_in_words(targets, arguments, message, capsys):
    assert main(arguments) == exit_codes.USAGE
    captured = capsys.readouterr()
    assert message in captured.err
    assert not captured.out


def test_environment_options_do_not_apply_to_a_node(targets, monkeypatch):
    monkeypatch.setenv("APCORE_ORIGIN", "https://other.example")
    monkeypatch.setenv("APCORE_STORE", "sqlite:///other.db")
    assert main(["work", "node_targets:node", "--until-idle"]) == exit_codes.DONE


@pytest.mark.parametrize("name", ["node", "async_node", "two_origins"])
def test_keys_are_rotated_at_an_origin_of_the_node(targets, name, capsys):
    arguments = ["--origin", "https://there.example"] if name == "two_origins" else []
    assert main(["rotate", f"node_targets:{name}", "--actor", "alice", "--json", *arguments]) == exit_codes.DONE
    origin = arguments[-1] if arguments else "https://here.example"
    assert json.loads(capsys.readouterr().out)["actor"] == f"{origin}/users/alice"


@pytest.mark.parametrize(
    ("target", "has_warning"), [("make_federation", True), ("without_data", True), ("async_node", False)]
)
def test_check_warns_of_missing_data_that_handlers_use(targets, target, has_warning, capsys):
    assert main(["check", f"node_targets:{target}", "--json"]) == exit_codes.DONE
    texts = [finding["text"] for finding in json.loads(capsys.readouterr().out)["findings"]]
    warnings = [text for text in texts if "ctx.data is used" in text]
    assert len(warnings) == has_warning
    assert all("rules.<locals>.actor" in text and "data=" in text for text in warnings)


NAMES = """
from apcore import AsyncNode, Federation, Node
from apcore.adapters.memory import MemoryStore
from apcore.testing.keys import ReusedKeys
from apcore.vocab import Person


def rules():
    federation = Federation()
    names = {"1": "alice", "2": "2"}
    federation.actor("/ap/{identifier}")(
        lambda ctx, identifier: Person(preferred_username=names[identifier]) if identifier in names else None
    )
    return federation


def broken():
    federation = Federation()
    federation.actor("/ap/{identifier}")(lambda ctx, identifier: 1 // 0)
    return federation


store = MemoryStore()
node = Node(rules(), "https://here.example", store, signer=ReusedKeys())
async_node = AsyncNode(rules(), "https://here.example", store, signer=ReusedKeys())
"""


@pytest.fixture
def names(tmp_path, monkeypatch):
    (tmp_path / "names.py").write_text(NAMES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "names", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield import_module("names")
    sys.modules.pop("names", None)


def findings_of(capsys, *arguments) -> list[str]:
    exit_code = main(["check", *arguments, "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert exit_code == (exit_codes.FAILED if any(one["level"] == "error" for one in findings) else exit_codes.DONE)
    return [one["text"] for one in findings if "keeps nothing" not in one["text"]]


def test_check_names_an_actor_that_cannot_be_found_by_its_handle(names, capsys):
    [text] = findings_of(capsys, "names:rules", "--actor", "1", "--actor", "2")
    assert "'1' cannot be found by its handle @alice@your.example" in text
    assert "Register federation.handle" in text
    assert findings_of(capsys, "names:rules", "--actor", "2") == []
    assert findings_of(capsys, "names:rules") == []
    assert findings_of(capsys, "names:rules", "--actor", "3") == ["there is no actor '3'"]
    [text] = findings_of(capsys, "names:broken", "--actor", "1")
    assert "ZeroDivisionError" in text


@pytest.mark.parametrize("name", ["node", "async_node"])
def test_check_of_a_node_takes_the_actors_in_its_store(names, name, capsys):
    assert findings_of(capsys, f"names:{name}") == []
    for identifier in ("1", "2"):
        names.node.rotate_keys(identifier)
    [text] = findings_of(capsys, f"names:{name}")
    assert "'1' cannot be found by its handle @alice@here.example" in text


def test_served_node_answers_at_each_origin_with_its_data(tmp_path):
    (tmp_path / "served_targets.py").write_text(RULES + SERVED, encoding="utf-8")
    log = tmp_path / "served.log"
    with reserved_ports(1) as [port], log.open("wb") as output:
        command = [sys.executable, "-m", "apcore.cli", "serve", "served_targets:make_node", "--port", str(port)]
        server = subprocess.Popen(command, cwd=tmp_path, stdout=output, stderr=output)
        try:
            eventually(lambda: b"startup complete" in log.read_bytes() or server.poll() or None, log.read_text)
            for host in ("127.0.0.1", "localhost"):
                connection = HTTPConnection("127.0.0.1", port, timeout=30)
                headers = {"Host": f"{host}:{port}", "Accept": "application/activity+json"}
                connection.request("GET", "/users/alice", headers=headers)
                answer = json.loads(connection.getresponse().read())
                connection.close()
                assert (answer["id"], answer["name"]) == (f"http://{host}:{port}/users/alice", "Alice")
            server.send_signal(signal.SIGTERM)
            server.wait(60)
        finally:
            server.kill()
            server.wait()
    assert f"targets/1.0 at http://127.0.0.1:{port}, http://localhost:{port}, listening" in log.read_text()
