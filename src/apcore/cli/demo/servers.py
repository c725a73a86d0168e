"""Start, stop and kill the servers of the demo.

Each server is ``apcore serve`` in a process of its own, with a SQLite file, a port on the loopback interface, and a
log. The demo prints the end of the logs if a step fails.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final, TypeVar
from urllib.parse import quote

from attrs import define, field

from apcore.cli.demo.federation import federation
from apcore.cli.step_results import StepFailed
from apcore.http import LOOPBACK_OPEN
from apcore.node import Node

__all__ = ["Server", "eventually", "reserved_ports"]

HOST: Final = "127.0.0.1"
_FEDERATION: Final = "apcore.cli.demo.federation:federation"
_START_S: Final = 60.0
_STOP_S: Final = 10.0
_WITHIN_S: Final = 60.0
_POLL_S: Final = 0.02
_SHOWN_LINES: Final = 30

T = TypeVar("T")


@contextmanager
def reserved_ports(count: int) -> Generator[list[int], None, None]:
    """Reserve unused ports, so that no other program on this machine gets one of them.

    Connections are refused until your server listens there. Your server can listen although the port is reserved: on
    Linux, a bound socket that does not listen is only in the way if one of the two sockets lacks SO_REUSEADDR. Other
    systems do not allow this. There, the ports are free, but not reserved.
    """
    with ExitStack() as stack:
        sockets = [stack.enter_context(_bound_socket()) for _ in range(count)]
        ports = [int(sock.getsockname()[1]) for sock in sockets]
        if sys.platform != "linux":
            stack.close()
        yield ports


def _bound_socket() -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((HOST, 0))
    return sock


def eventually(look: Callable[[], T | None], otherwise: Callable[[], str], *, within_s: float = _WITHIN_S) -> T:
    """Call ``look`` repeatedly until it returns a value other than None, and return that value.

    Raises:
        StepFailed: It returned None until the deadline. The message is the result of ``otherwise``.
    """
    deadline = time.monotonic() + within_s
    while True:
        value = look()
        if value is not None:
            return value
        if time.monotonic() > deadline:
            raise StepFailed(f"{otherwise()} (after {within_s:g} s)")
        time.sleep(_POLL_S)


@define
class Server:
    """A server process, and a node of the demo's process on the same store.

    Several processes of an application may share a store.
    """

    name: str
    directory: Path
    port: int
    node: Node = field(init=False, repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _log_file: IO[bytes] | None = field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.node = Node(federation, self.origin, self.store, addresses=LOOPBACK_OPEN)

    @property
    def origin(self) -> str:
        """Return the origin of the server."""
        return f"http://{HOST}:{self.port}"

    @property
    def store(self) -> str:
        """Return the URL of its store."""
        return f"sqlite:///{quote(str(self.directory / self.name))}.db"

    @property
    def log(self) -> Path:
        """Return the path of its log."""
        return self.directory / f"{self.name}.log"

    def start(self, *, worker: bool = True) -> None:
        """Start the process, and return at once."""
        self._log_file = self.log.open("ab")
        options = ["--origin", self.origin, "--store", self.store, "--allow-loopback", "--host", HOST]
        options += [] if worker else ["--no-worker"]
        self._process = subprocess.Popen(  # noqa: S603 - the program is apcore itself
            [sys.executable, "-m", "apcore.cli", "serve", _FEDERATION, *options],
            stdin=subprocess.DEVNULL,
            stdout=self._log_file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # Ctrl-C must reach only the demo, which then stops its servers in order.
        )

    def wait_until_up(self) -> None:
        """Wait until the server accepts connections."""
        _ = eventually(self._is_up, lambda: f"{self.name} does not listen at port {self.port}", within_s=_START_S)

    def _is_up(self) -> bool | None:
        if self._process is not None and (code := self._process.poll()) is not None:
            raise StepFailed(f"{self.name} has ended by itself with exit code {code}")
        return self.answers() or None

    def answers(self) -> bool:
        """Return whether any process accepts connections at the address of the server."""
        try:
            socket.create_connection((HOST, self.port), timeout=1.0).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Stop the process in order with SIGTERM. Kill it if it does not end in time."""
        if self._process is not None:
            self._process.terminate()
            try:
                _ = self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._reap()

    def kill(self) -> None:
        """End the process at once with SIGKILL, in the middle of its work."""
        if self._process is not None:
            self._process.kill()
        self._reap()

    def _reap(self) -> None:
        if self._process is not None:
            _ = self._process.wait()
        if self._log_file is not None:
            self._log_file.close()
        self._process = self._log_file = None

    def close(self) -> None:
        """Stop the process, and close the demo's node on its store."""
        self.stop()
        self.node.close()

    def log_tail(self) -> str:
        """Return the last lines of the log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-_SHOWN_LINES:])
