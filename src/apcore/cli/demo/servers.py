"""A server of the demo: ``apcore serve`` in a process of its own, with a SQLite file, a port on loopback, and a log.

It is started, stopped politely, or killed; what it said is kept for whoever has to find out why a step failed.
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
    """Reserve ports that nobody uses, so that no other program on this machine is given one of them meanwhile.

    Connections are refused until a server of yours listens there. It can: a socket that is bound and does not listen stands in its way only if one
    of the two lacks SO_REUSEADDR. Other systems than Linux do not allow that, so there the ports are merely free.
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
    """Look again and again until there is something to see.

    Raises:
        StepFailed: Nothing was seen in time; ``otherwise`` says in words what there was.
    """
    deadline = time.monotonic() + within_s
    while True:
        seen = look()
        if seen is not None:
            return seen
        if time.monotonic() > deadline:
            raise StepFailed(f"{otherwise()} (after {within_s:g} s)")
        time.sleep(_POLL_S)


@define
class Server:
    """One server, and a node of our own on its store: several processes of an application may share one."""

    name: str
    directory: Path
    port: int
    node: Node = field(init=False, repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _said: IO[bytes] | None = field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.node = Node(federation, self.origin, self.store, addresses=LOOPBACK_OPEN)

    @property
    def origin(self) -> str:
        """Where it is reached."""
        return f"http://{HOST}:{self.port}"

    @property
    def store(self) -> str:
        """Where its facts are."""
        return f"sqlite:///{quote(str(self.directory / self.name))}.db"

    @property
    def log(self) -> Path:
        """Where what it says goes."""
        return self.directory / f"{self.name}.log"

    def start(self, *, worker: bool = True) -> None:
        """Start it, and return at once."""
        self._said = self.log.open("ab")
        options = ["--origin", self.origin, "--store", self.store, "--allow-loopback", "--host", HOST]
        options += [] if worker else ["--no-worker"]
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "apcore.cli", "serve", _FEDERATION, *options],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # Ctrl-C is for us: we stop it in order
        )

    def wait_until_up(self) -> None:
        """Wait until it takes connections."""
        _ = eventually(self._is_up, lambda: f"{self.name} does not listen at port {self.port}", within_s=_START_S)

    def _is_up(self) -> bool | None:
        if self._process is not None and (code := self._process.poll()) is not None:
            raise StepFailed(f"{self.name} has ended by itself with exit code {code}")
        return self.answers() or None

    def answers(self) -> bool:
        """Whether anything takes connections where it is reached."""
        try:
            socket.create_connection((HOST, self.port), timeout=1.0).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Let it end in order (SIGTERM); kill it if it does not."""
        if self._process is not None:
            self._process.terminate()
            try:
                _ = self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._reap()

    def kill(self) -> None:
        """End it in the middle of whatever it does (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
        self._reap()

    def _reap(self) -> None:
        if self._process is not None:
            _ = self._process.wait()
        if self._said is not None:
            self._said.close()
        self._process = self._said = None

    def close(self) -> None:
        """Stop it, and let go of its store."""
        self.stop()
        self.node.close()

    def last_words(self) -> str:
        """Return the end of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-_SHOWN_LINES:])
