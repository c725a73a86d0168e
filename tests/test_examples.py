"""The examples run, and the tutorial's commands do what it says, as a newcomer would type them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from markdown_blocks import Block, blocks

pytest.importorskip("uvicorn")

from apcore.cli.demo.servers import free_ports

HERE = Path(__file__).resolve().parents[1]
TUTORIAL = HERE / "docs" / "tutorial" / "server.md"
_CAPTION = re.compile(r":caption: (.+)\n\n")


# --- examples -------------------------------------------------------------------------------------------------------


def test_hello_is_a_server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = spec_from_file_location("hello", HERE / "examples" / "hello.py")
    assert spec is not None
    assert spec.loader is not None
    hello = module_from_spec(spec)
    spec.loader.exec_module(hello)
    status, body = asyncio.run(ask(hello.app, "/users/alice"))
    assert (status, body["name"]) == (200, "Alice")
    status, body = asyncio.run(ask(hello.app, "/.well-known/webfinger", b"resource=acct:alice@hello.example"))
    assert (status, body["subject"]) == (200, "acct:alice@hello.example")


async def ask(app, path: str, query: bytes = b"") -> tuple[int, dict]:
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"hello.example"), (b"accept", b"*/*")]
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "https",
        "path": path,
        "query_string": query,
        "headers": headers,
    }
    await app(scope, receive, send)
    await app.node.aclose()
    return sent[0]["status"], json.loads(sent[1]["body"])


# --- the tutorial ---------------------------------------------------------------------------------------------------


class Newcomer:
    """Types what the tutorial shows, in three terminals, at ports that are free here."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = dict(zip(("8000", "8001"), map(str, free_ports(2)), strict=True))
        self.servers: dict[str, subprocess.Popen] = {}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}

    def here(self, text: str) -> str:
        for shown, ours in self.ports.items():
            text = text.replace(shown, ours)
        return text

    def steps(self) -> list[tuple[str, str]]:
        """File name or terminal, and what is to be written there, in the order of the page."""
        found: list[Block] = [*blocks(TUTORIAL, "{code-block} python"), *blocks(TUTORIAL, "{code-block} shell")]
        steps = []
        for block in sorted(found, key=lambda block: block.line):
            caption = _CAPTION.match(block.text)
            assert caption is not None, f"the block at line {block.line} has no caption"
            steps.append((caption[1], self.here(block.text[caption.end() :])))
        return steps

    def open(self, terminal: str, command: str) -> None:
        with self.said_in(terminal).open("wb") as log:
            self.servers[terminal] = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.directory,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.until(lambda: "listening at" in self.said_in(terminal).read_text(), f"{command} serves")

    def said_in(self, terminal: str) -> Path:
        return self.directory / f"{terminal}.log"

    def type(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def until(self, holds, what: str) -> None:
        deadline = time.monotonic() + 20
        while not holds():
            said = "".join(self.said_in(terminal).read_text() for terminal in self.servers)
            assert time.monotonic() < deadline, f"it never came to pass that {what}\n{said}"
            time.sleep(0.05)

    def close(self) -> None:
        for server in self.servers.values():
            server.terminate()
        for server in self.servers.values():
            server.wait(20)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial shows curl, which is not installed")
def test_the_tutorial_leads_to_a_running_followed_server(tmp_path):
    newcomer = Newcomer(tmp_path)
    sees = {
        "apcore check": "nothing is wrong",
        "apcore lookup": newcomer.here("@alice@127.0.0.1:8000"),
        "followers?page": newcomer.here('"orderedItems":["http://127.0.0.1:8001/users/alice"]'),
        "outbox?page": "The bread is ready.",
    }
    try:
        for where, text in newcomer.steps():
            if where.endswith(".py"):
                (tmp_path / where).write_text(text, encoding="utf-8")
            elif where != "third terminal":
                newcomer.open(where, text)
            else:
                expected = [sees.pop(command) for command in list(sees) if command in text]
                said = newcomer.type(text)
                if not all(each in said for each in expected):  # a person is slower than a worker; we are not
                    newcomer.until(lambda text=text, expected=expected: expected[0] in newcomer.type(text), expected[0])
        assert not sees, "the page has lost these commands"
        arrived = newcomer.here("http://127.0.0.1:8000/users/alice wrote: <p>The bread is ready.</p>")
        newcomer.until(lambda: arrived in newcomer.said_in("second terminal").read_text(), arrived)
    finally:
        newcomer.close()
