"""``apcore demo``: the whole story once, with everything cleaned up after it; and what is told when a server does not come up."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apcore.cli import exit_codes
from apcore.cli.demo.federation import ReceivedActivity
from apcore.cli.demo.observation import check_once
from apcore.cli.step_results import StepFailed

STEPS = [
    *("start", "lookup", "follow", "create", "reply", "like", "announce", "update", "undo", "delete"),
    *("outbox", "kill", "recover", "audit"),
]


@contextmanager
def demo(*options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command; when a test has failed before its end, it is ended."""
    running = subprocess.Popen(
        [sys.executable, "-m", "apcore.cli", "demo", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    with running:
        try:
            yield running
        finally:
            running.terminate()


def listens(url: str) -> bool:
    host, _, port = url.partition("//")[2].partition("/")[0].partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.long
def test_two_servers_federate_and_one_survives_a_kill(tmp_path):
    with demo("--json", "--keep", TMPDIR=str(tmp_path)) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        read: list[str] = []
        for line in running.stdout:
            read.append(line)
            if line == "}\n":
                break
        told = json.loads("".join(read))
        assert [(step["name"], step["ok"]) for step in told["steps"]] == [(name, True) for name in STEPS]
        assert told["ok"] is True
        said = [running.stderr.readline() for _ in range(3)]
        assert str(tmp_path) in said[0]
        actors = re.findall(r"http://[0-9.:]+/users/\w+", "".join(said))
        assert len(actors) == 2
        assert all(map(listens, actors)), "they are to stay up"
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == exit_codes.DONE, running.stderr.read()
    assert not any(map(listens, actors))
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_start_fails_its_step_and_is_quoted(tmp_path):
    """What the servers need is not there; the demo itself needs none of it."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "uvicorn.py").write_text(
        "raise ModuleNotFoundError('no', name='uvicorn')\n", encoding="utf-8"
    )
    (tmp_path / "temporary").mkdir()
    environment = {"PYTHONPATH": str(tmp_path / "modules"), "TMPDIR": str(tmp_path / "temporary")}
    with demo(**environment, PYTHONDONTWRITEBYTECODE="1") as running:
        out, err = running.communicate(timeout=60)
    assert running.returncode == exit_codes.FAILED
    lines = out.splitlines()
    assert lines[1].split()[:2] == ["FAILED", "start"]
    assert "exit code 3" in lines[1]
    assert lines[2].startswith("FAILED: start; 13 steps not run")
    assert "pip install 'apcore[cli]'" in err
    assert list(Path(tmp_path / "temporary").iterdir()) == []


def test_an_end_from_outside_leaves_nothing_behind(tmp_path):
    with demo(TMPDIR=str(tmp_path), PYTHONUNBUFFERED="1") as running:
        assert running.stdout is not None
        _title, start = running.stdout.readline(), running.stdout.readline()
        running.terminate()
        assert running.wait(30) == 128 + signal.SIGTERM
    origins = re.findall(r"http://[0-9.:]+", start)
    assert len(origins) == 2
    assert not any(map(listens, origins))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("ids", "fails"),
    [(["x", "y"], None), (["x", "y", "z"], "1 of 3 activities were lost, 0 had"), (["x", "w"], "0 of 2 .* 1 had")],
    ids=["once", "lost", "twice"],
)
def test_what_is_lost_or_happens_twice_is_seen(ids, fails):
    heard = [ReceivedActivity("Create", ident, run) for run, ident in enumerate(["x", "y", "w", "w"])]
    if fails is None:
        check_once(heard, ids)
    else:
        with pytest.raises(StepFailed, match=fails):
            check_once(heard, ids)


@pytest.mark.parametrize("ident", ["https://a.example/x?y=z&id=2#like/1", "https://a.example/\u00e9 +%20"])
def test_what_was_heard_reads_back(ident):
    heard = ReceivedActivity("Like", ident, "0a1b")
    assert ReceivedActivity.read(heard.uri("http://127.0.0.1:1")) == heard
