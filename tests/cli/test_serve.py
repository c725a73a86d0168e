"""Check ``apcore serve``, ``work``, ``inbox`` and ``lookup`` as processes, with the servers of the demo."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from http.client import HTTPConnection

import pytest

from apcore.cli import exit_codes, main
from apcore.cli.demo.servers import Server, eventually, reserved_ports
from apcore.vocab import PUBLIC, Note

FEDERATION = "apcore.cli.demo.federation"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with reserved_ports(1) as [port]:
        server = Server("server", tmp_path_factory.mktemp("served"), port)
        try:
            server.start(worker=False)
            server.wait_until_up()
            yield server
        finally:
            server.close()


@pytest.fixture
def other_port():
    """Return a free port for a server that the test starts itself."""
    with reserved_ports(1) as [port]:
        yield port


def get(server: Server, path: str) -> tuple[int, dict]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", path, headers={"Accept": "application/activity+json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_served_documents_have_ids_of_the_origin(server):
    status, alice = get(server, "/users/alice")
    assert (status, alice["id"]) == (200, f"{server.origin}/users/alice")
    status, problem = get(server, "/users/nobody")
    assert (status, problem["reason"]) == (404, "no-such-actor")


def test_occupied_port_is_reported(server, capsys):
    arguments = ["--origin", server.origin, "--store", "memory:", "--allow-loopback"]
    assert main(["serve", FEDERATION, *arguments]) == exit_codes.FAILED
    assert f"cannot listen at 127.0.0.1, port {server.port}" in capsys.readouterr().err


def test_separate_worker_runs_until_sigterm(server):
    """A note for Bob waits until a worker process starts. SIGTERM ends the worker."""
    queue = server.node.ports.queue
    server.node.work(until_idle=True)  # Finish the work of other tests.
    received_before = get(server, "/users/bob/heard")[1]["totalItems"]
    server.node.publish(Note(content="hi"), by="alice", to=(PUBLIC, f"{server.origin}/users/bob"))
    assert queue.depth(server.node.lanes["fanout"]).ready == 1
    options = ["--origin", server.origin, "--store", server.store, "--allow-loopback"]
    with subprocess.Popen(
        [sys.executable, "-m", "apcore.cli", "work", FEDERATION, *options], stderr=subprocess.PIPE, text=True
    ) as worker:
        eventually(
            lambda: get(server, "/users/bob/heard")[1]["totalItems"] > received_before or None,
            lambda: "the worker has done nothing",
        )
        worker.send_signal(signal.SIGTERM)
        _, stderr_text = worker.communicate(timeout=60)
    assert worker.returncode == exit_codes.DONE, stderr_text
    assert f"working for {server.origin}" in stderr_text


def test_handle_is_looked_up(server, capsys):
    handle = f"@alice@127.0.0.1:{server.port}"
    assert main(["lookup", handle, "--allow-loopback", "--json"]) == exit_codes.DONE
    report = json.loads(capsys.readouterr().out)
    assert report["id"] == f"{server.origin}/users/alice"
    assert (report["handle"], report["doubt"], report["software"]) == (handle, None, "apcore-demo 1.0")
    assert report["document"]["preferredUsername"] == "alice"


def test_actor_is_printed_in_lines(server, capsys):
    assert main(["lookup", f"{server.origin}/users/bob", "--allow-loopback"]) == exit_codes.DONE
    values = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert values["handle"] == f"@bob@127.0.0.1:{server.port}"
    assert values["followers"] == f"{server.origin}/users/bob/followers"


def test_post_is_printed_without_terminal_controls(server, capsys):
    server.node.publish(Note(content="red \x1b[31m[bold]alert[/bold]"), by="bob", to=PUBLIC)
    _, page = get(server, "/users/bob/outbox/page/first")
    assert main(["lookup", page["orderedItems"][0]["object"]["id"], "--allow-loopback"]) == exit_codes.DONE
    values = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert values["by"] == f"{server.origin}/users/bob"
    assert values["content"] == "red \ufffd[31m[bold]alert[/bold]"


@pytest.mark.parametrize(
    ("target", "message"),
    [("nonsense", "nonsense"), ("@nobody@127.0.0.1:{port}", "404"), ("http://127.0.0.1:{port}/users/x", "404")],
)
def test_failed_lookup_is_reported(server, target, message, capsys):
    assert main(["lookup", target.format(port=server.port), "--allow-loopback"]) == exit_codes.FAILED
    captured = capsys.readouterr()
    assert message in captured.err
    assert not captured.out


def test_loopback_is_looked_up_only_if_allowed(server, capsys):
    assert main(["lookup", f"{server.origin}/users/alice"]) == exit_codes.FAILED
    assert "http" in capsys.readouterr().err


def test_inbox_follows_and_prints_received_activities(server, other_port, tmp_path):
    arguments = ["inbox", "--origin", f"http://127.0.0.1:{other_port}", "--follow", f"@alice@127.0.0.1:{server.port}"]
    with (tmp_path / "said").open("wb") as output:
        inbox = subprocess.Popen(
            [sys.executable, "-m", "apcore.cli", *arguments, "--allow-loopback", "--json"], stdout=output, stderr=output
        )
    try:
        uri = f"http://127.0.0.1:{other_port}/users/inbox"

        def follower_is_listed() -> bool | None:
            server.node.work(until_idle=True)
            return uri in get(server, "/users/alice/followers/page/first")[1]["orderedItems"] or None

        eventually(follower_is_listed, lambda: f"no follower: {(tmp_path / 'said').read_text()}")
        server.node.publish(Note(content="seen"), by="alice", to=PUBLIC)

        def shown_activity() -> dict | None:
            server.node.work(until_idle=True)
            finished_lines, _, _unfinished = (tmp_path / "said").read_text(encoding="utf-8").rpartition("\n")
            lines = finished_lines.splitlines()
            activities = [json.loads(line) for line in lines if line.startswith("{")]
            return next((activity for activity in activities if activity["type"] == "Create"), None)

        create = eventually(shown_activity, lambda: f"nothing shown: {(tmp_path / 'said').read_text()}")
        assert create["object"]["content"] == "seen"
        inbox.send_signal(signal.SIGINT)
        assert inbox.wait(60) in {exit_codes.DONE, exit_codes.INTERRUPTED}
    finally:
        inbox.kill()
        inbox.wait()


def test_inbox_refuses_plain_http_without_permission(capsys):
    assert main(["inbox", "--origin", "http://127.0.0.1:1"]) == exit_codes.USAGE
    assert "plain http" in capsys.readouterr().err
