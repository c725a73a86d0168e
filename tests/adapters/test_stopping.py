"""Stop real servers under load by SIGTERM and Ctrl-C: work under way is finished, and the server exits quietly."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, IncompleteRead
from pathlib import Path

import pytest

from apcore.cli.demo.servers import reserved_ports
from apcore.http import LOOPBACK_OPEN
from apcore.node import AsyncNode
from apcore.ports import Depth
from apcore.vocab import Like, Note
from stopping_app import federation

HERE = Path(__file__).resolve().parents[1]
STOPS = int(os.environ.get("APCORE_STOPS", "1"))
"""Number of stops of each server by each signal."""
ACTIVITIES = 40
PATIENCE_S = 150
"""Time limit for each step, in seconds, generous for a busy machine."""
# Ctrl-C goes to the processes of the terminal: this program takes the terminal and becomes the server.
ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
COMMANDS = {
    "uvicorn": ["-m", "uvicorn", "stopping_app:app", "--port", "{port}"],
    "hypercorn": ["-m", "hypercorn", "stopping_app:app", "--bind", "127.0.0.1:{port}"],
    "apcore-serve": [
        *("-m", "apcore.cli", "serve", "stopping_app:federation", "--origin", "{origin}"),
        *("--store", "{store}", "--allow-loopback"),
    ],
    "apcore-work": [
        *("-m", "apcore.cli", "work", "stopping_app:federation", "--origin", "{origin}"),
        *("--store", "{store}", "--allow-loopback"),
    ],
    "wsgiref": [str(HERE / "stopping_app.py")],
}
ERROR_WORDS = ["Traceback", "CancelledError", "never retrieved", "was destroyed", "ERROR", "unsupported"]
ASYNCIO_FAULT = re.compile(
    r"\s*Exception ignored in: <function _SelectorTransport\.__del__[^\n]*\n"
    r"\s*Traceback[^\n]*\n"
    r"(\s*File \"[^\"\n]*/asyncio/[^\n]*\n(?!\s*File )[^\n]*\n(\s*[~^]+\n)?)+"
    r"\s*TypeError: 'NoneType' object is not iterable"
)
"""The traceback of a closed `asyncio.Server` whose last connection is collected later.

`asyncio` wakes the server's waiters a second time then. Neither apcore nor the web server has a frame in it.
"""


class Server:
    """A server in a process with its own terminal, and activities that wait for its worker."""

    def __init__(self, server: str, place: Path, **environment: str) -> None:
        place.mkdir()
        self._reserved = reserved_ports(1)
        [self.port] = self._reserved.__enter__()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.store = f"sqlite:///{place}/facts.db"
        self.trace = place / "trace"
        asyncio.run(self._fill())
        values = {"port": str(self.port), "origin": self.origin, "store": self.store}
        arguments = [part.format(**values) for part in COMMANDS[server]]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
            "STOP_ORIGIN": self.origin,
            "STOP_STORE": self.store,
            "STOP_TRACE": str(self.trace),
            **environment,
        }
        self.terminal, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, *arguments],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=environment,
            start_new_session=True,
        )
        os.close(terminal)
        self.output = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    async def _fill(self) -> None:
        async with AsyncNode(federation, self.origin, self.store, addresses=LOOPBACK_OPEN) as node:
            for number in range(ACTIVITIES // 2):
                await node.publish(Note(content=str(number)), by="ida", to=f"{self.origin}/users/ben")
                await node.send(Like(object=f"{self.origin}/x"), by="ida", to=f"{self.origin}/users/ben")

    def _read(self) -> None:
        with suppress(OSError):  # the other end is closed
            while part := os.read(self.terminal, 65536):
                self.output += part

    def started_listeners(self) -> list[str]:
        return self._traced("begin")

    def finished_listeners(self) -> list[str]:
        return self._traced("end")

    def _traced(self, word: str) -> list[str]:
        lines = self.trace.read_text().splitlines() if self.trace.exists() else []
        return sorted(line.split()[1] for line in lines if line.split()[0] == word)

    def get(self) -> int | None:
        """Request an actor; return the status, or None if no server listens."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            try:
                connection.request("GET", "/users/ida", headers={"Accept": "application/activity+json"})
                answer = connection.getresponse()
                answer.read()
            except IncompleteRead:
                raise
            except (OSError, HTTPException):
                return None
            return answer.status

    def wait_until_busy(self) -> None:
        """Wait until three listeners run. A request makes a WSGI worker start."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self.started_listeners()) < 3:
            assert time.monotonic() < deadline, self.output.decode()
            assert self.process.poll() is None, self.output.decode()
            self.get()
            time.sleep(0.02)

    def stop(self, stop_signal: str) -> None:
        if stop_signal == "ctrl-c":
            os.write(self.terminal, b"\x03")
        else:
            self.process.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        """Wait until the process has ended."""
        try:
            self.process.wait(PATIENCE_S)
            self._reader.join(PATIENCE_S)
        finally:
            self.process.kill()
            os.close(self.terminal)
            self._reserved.__exit__(None, None, None)

    async def depth(self) -> Depth:
        async with AsyncNode(federation, self.origin, self.store, addresses=LOOPBACK_OPEN) as node:
            return await node.ports.queue.depth(node.all_lanes)


class Load(threading.Thread):
    """Request an actor repeatedly until the server has ended."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        self.statuses: set[int | None] = set()
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            while self.server.process.poll() is None:
                status = self.server.get()
                self.statuses.add(status)
                if status is None:  # Nothing listens any more, and the last listeners are finishing.
                    time.sleep(0.01)
        except Exception as error:
            self.failure = error


def error_words(output: str) -> list[str]:
    """Return the signs of an error in a server's output, apart from ``ASYNCIO_FAULT``."""
    output = ASYNCIO_FAULT.sub("", output.replace("\r\n", "\n"))
    return [word for word in ERROR_WORDS if word in output]


SIGNALS = ("sigterm", "ctrl-c")


@pytest.mark.parametrize(
    ("server", "stop_signal"),
    [
        *((server, how) for server in ("uvicorn", "hypercorn", "apcore-work", "wsgiref") for how in SIGNALS),
        ("apcore-serve", "ctrl-c"),
    ],
)
def test_server_stopped_under_load_finishes_its_listeners_and_exits_quietly(server, stop_signal, tmp_path):
    for number in range(STOPS):
        running = Server(server, tmp_path / str(number))
        running.wait_until_busy()
        loads = [Load(running) for _ in range(2)]
        for load in loads:
            load.start()
        running.stop(stop_signal)
        for load in loads:
            load.join()
        running.wait()
        output = running.output.decode()
        assert error_words(output) == [], output
        assert running.process.returncode in {0, 130, -signal.SIGTERM, -signal.SIGINT}, output
        assert running.started_listeners() == running.finished_listeners(), output
        for load in loads:
            assert load.failure is None
            assert load.statuses <= {200, None}
        assert asyncio.run(running.depth()).leased == 0


@pytest.mark.parametrize(
    ("server", "stop_signal", "listeners"),
    [
        ("uvicorn", "sigterm", "coroutines"),
        ("hypercorn", "ctrl-c", "coroutines"),
        ("uvicorn", "ctrl-c", "plain"),
        ("hypercorn", "sigterm", "plain"),
    ],
)
def test_endless_listeners_delay_the_exit_only_by_the_grace_period(server, stop_signal, listeners, tmp_path):
    """Stop a server with listeners of an hour, coroutines or in threads: their messages stay in the queue."""
    running = Server(server, tmp_path / "x", STOP_LISTEN_S="3600", STOP_GRACE_S="0.5", STOP_LISTENERS=listeners)
    running.wait_until_busy()
    running.stop(stop_signal)
    running.wait()
    output = running.output.decode()
    assert "has not finished within its grace period of 0.5 s" in output
    assert error_words(output) == [], output
    assert running.finished_listeners() == []
    depth = asyncio.run(running.depth())
    assert depth.ready + depth.leased > 0


FAULT_OF_ASYNCIO = """\
  Exception ignored in: <function _SelectorTransport.__del__ at 0x7f3676c27060>\r
  Traceback (most recent call last):\r
    File "/lib/python3.13/asyncio/selector_events.py", line 872, in __del__\r
      self._server._detach(self)\r
    File "/lib/python3.13/asyncio/base_events.py", line 304, in _detach\r
      self._wakeup()\r
  TypeError: 'NoneType' object is not iterable\r
"""


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (f"[INFO] Running\r\n{FAULT_OF_ASYNCIO}", []),
        (f"{FAULT_OF_ASYNCIO}Traceback (most recent call last):\r\n", ["Traceback"]),
        (FAULT_OF_ASYNCIO.replace("asyncio/base", "apcore/base"), ["Traceback"]),
        (FAULT_OF_ASYNCIO.replace("_SelectorTransport", "_Other"), ["Traceback"]),
    ],
)
def test_only_the_fault_of_asyncio_itself_is_passed_over(output, words):
    assert error_words(output) == words
