"""Check ``apcore demo``: all its steps, its cleanup, and the report of a server that does not start."""

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
    """Run the command, and terminate it when the test ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "apcore.cli", "demo", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()


def is_listening(url: str) -> bool:
    host, _, port = url.partition("//")[2].partition("/")[0].partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.long
def test_demo_runs_all_steps_and_cleans_up(tmp_path):
    with demo("--json", "--keep", TMPDIR=str(tmp_path)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        report = json.loads("".join(lines))
        assert [(step["name"], step["ok"]) for step in report["steps"]] == [(name, True) for name in STEPS]
        assert report["ok"] is True
        messages = [process.stderr.readline() for _ in range(3)]
        assert str(tmp_path) in messages[0]
        actors = re.findall(r"http://[0-9.:]+/users/\w+", "".join(messages))
        assert len(actors) == 2
        assert all(map(is_listening, actors)), "they are to stay up"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == exit_codes.DONE, process.stderr.read()
    assert not any(map(is_listening, actors))
    assert list(tmp_path.iterdir()) == []


def test_server_that_does_not_start_fails_its_step_and_is_quoted(tmp_path):
    """A package that the servers need is missing; the demo itself does not need it."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "uvicorn.py").write_text(
        "raise ModuleNotFoundError('no', name='uvicorn')\n", encoding="utf-8"
    )
    (tmp_path / "temporary").mkdir()
    environment = {"PYTHONPATH": str(tmp_path / "modules"), "TMPDIR": str(tmp_path / "temporary")}
    with demo(**environment, PYTHONDONTWRITEBYTECODE="1") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == exit_codes.FAILED
    lines = out.splitlines()
    assert lines[1].split()[:2] == ["FAILED", "start"]
    assert "exit code 3" in lines[1]
    assert lines[2].startswith("FAILED: start; 13 steps not run")
    assert "pip install 'apcore[cli]'" in err
    assert list(Path(tmp_path / "temporary").iterdir()) == []


def test_terminated_demo_leaves_nothing_behind(tmp_path):
    with demo(TMPDIR=str(tmp_path), PYTHONUNBUFFERED="1") as process:
        assert process.stdout is not None
        _title, start = process.stdout.readline(), process.stdout.readline()
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM
    origins = re.findall(r"http://[0-9.:]+", start)
    assert len(origins) == 2
    assert not any(map(is_listening, origins))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("ids", "message"),
    [(["x", "y"], None), (["x", "y", "z"], "1 of 3 activities were lost, 0 had"), (["x", "w"], "0 of 2 .* 1 had")],
    ids=["once", "lost", "twice"],
)
def test_lost_or_repeated_activity_is_reported(ids, message):
    received_activities = [ReceivedActivity("Create", ident, run) for run, ident in enumerate(["x", "y", "w", "w"])]
    if message is None:
        check_once(received_activities, ids)
    else:
        with pytest.raises(StepFailed, match=message):
            check_once(received_activities, ids)


@pytest.mark.parametrize("ident", ["https://a.example/x?y=z&id=2#like/1", "https://a.example/\u00e9 +%20"])
def test_received_activity_reads_back(ident):
    received_activity = ReceivedActivity("Like", ident, "0a1b")
    assert ReceivedActivity.read(received_activity.uri("http://127.0.0.1:1")) == received_activity
