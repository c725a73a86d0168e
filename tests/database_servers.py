"""Start real database servers for tests, and kill them: PostgreSQL and Redis, in directories of their own.

A test that needs a server which is not installed is skipped. With ``APCORE_ENGINES=required`` it fails, so that the
gate does not pass without it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from apcore.adapters.postgres.store import PostgresStore
from apcore.adapters.redis.store import RedisStore

__all__ = ["DatabaseServer", "PostgresServer", "RedisServer", "require_program"]

_START_S = 60.0


def require_program(name: str, *places: str) -> Path:
    """Return the path of a program, looked for in ``places`` (with wildcards) and then in PATH."""
    candidates = [path for place in places for path in sorted(Path("/").glob(f"{place}/{name}"), reverse=True)]
    if (program := shutil.which(name)) is not None:
        candidates.append(Path(program))
    if candidates:
        return candidates[0]
    reason = f"{name} is not installed here"
    if os.environ.get("APCORE_ENGINES") == "required":
        pytest.fail(f"{reason}, and APCORE_ENGINES=required")
    pytest.skip(reason)


def children_of(pid: int) -> list[int]:
    """Return the processes that ``pid`` has started, from Linux's /proc."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in text.split()]


class DatabaseServer:
    """A server in a new directory, which it owns and in which its socket is."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="apcore-db-"))
        self._names = count()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """Kill every process of the server at once, with SIGKILL."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the server, and return when it answers."""
        raise NotImplementedError

    def new_url(self, **options: str) -> str:
        """Return the URL of a new and empty store."""
        raise NotImplementedError

    def open(self, url: str, clock: Callable[[], float] | None = None) -> Any:
        """Open the store at ``url``. ``clock`` replaces the server's."""
        raise NotImplementedError

    def _name(self) -> str:
        return f"t{os.getpid()}_{next(self._names)}"


class PostgresServer(DatabaseServer):
    """A PostgreSQL cluster without TCP. The application's user is not a superuser."""

    def __init__(self, *, fsync: bool = False) -> None:
        programs = require_program("postgres", "usr/lib/postgresql/*/bin").parent
        super().__init__()
        self._data = self.folder / "data"
        # PostgreSQL refuses to run as root.
        self._owner: dict[str, Any] = {}
        if os.getuid() == 0:
            entry = pwd.getpwnam("postgres")
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            self._owner = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self._fsync = fsync
        self._pg_ctl = programs / "pg_ctl"
        self._run(programs / "initdb", "-D", self._data, "-A", "trust", "-U", "admin", "-N", "--locale=C", "-E", "UTF8")
        self.start()
        with self.connect(user="admin", dbname="postgres", autocommit=True) as connection:
            connection.execute("CREATE ROLE site LOGIN")
            connection.execute("CREATE DATABASE site OWNER site")

    def start(self) -> None:
        # A killed postmaster leaves its lock files, which could name the process of another program by now.
        for lock in (self._data / "postmaster.pid", *self.folder.glob(".s.PGSQL.*.lock")):
            lock.unlink(missing_ok=True)
        options = (
            f"-c listen_addresses='' -k {self.folder} -c max_connections=300 -c logging_collector=off "
            f"-c fsync={'on' if self._fsync else 'off'} -c full_page_writes={'on' if self._fsync else 'off'}"
        )
        self._run(self._pg_ctl, "start", "-w", "-D", self._data, "-l", self.folder / "log", "-o", options)

    def kill(self) -> None:
        try:
            text = (self._data / "postmaster.pid").read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        postmaster = int(text.splitlines()[0])
        try:
            os.kill(postmaster, signal.SIGSTOP)  # so that it starts no more processes
        except ProcessLookupError:
            return
        pids = [*children_of(postmaster), postmaster]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        moments = threading.Event()
        # A restart is possible once the last process has let go of the shared memory.
        while any(_is_running(pid) for pid in pids):
            moments.wait(0.002)

    def connect(self, **parameters: Any) -> Any:
        """Open a connection of the application's."""
        import psycopg

        return psycopg.connect(**{"host": str(self.folder), "user": "site", "dbname": "site", **parameters})

    def new_url(self, **options: str) -> str:
        durability = "power" if self._fsync else "process"
        query = {"host": str(self.folder), "schema": self._name(), "durability": durability, **options}
        return "postgresql://site@/site?" + "&".join(f"{name}={value}" for name, value in query.items())

    def open(self, url: str, clock: Callable[[], float] | None = None) -> PostgresStore:
        from apcore.adapters.postgres.urls import parse_url

        return PostgresStore(parse_url(url), clock=clock)

    def _run(self, *command: object) -> None:
        words = [str(word) for word in command]
        # pg_ctl's server inherits its output, which must not be a pipe that this process waits for.
        with (self.folder / "output").open("w") as output:
            done = subprocess.run(
                words,
                check=False,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd="/",
                timeout=_START_S,
                **self._owner,
            )
        log = self.folder / "log"
        assert done.returncode == 0, (self.folder / "output").read_text() + (log.read_text() if log.exists() else "")


class RedisServer(DatabaseServer):
    """A Redis server without TCP, which keeps what it has acknowledged."""

    def __init__(self, *options: str) -> None:
        self._program = require_program("redis-server")
        super().__init__()
        self.socket = self.folder / "socket"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        durable = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")
        self._process = subprocess.Popen(
            [
                *(str(self._program), "--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder)),
                *("--save", "", "--logfile", str(self.folder / "log"), *durable, *self._options),
            ],
            stdin=subprocess.DEVNULL,
        )
        moments, ends = threading.Event(), time.monotonic() + _START_S
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < ends, "the server does not answer"
            moments.wait(0.005)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def command(self, *words: Any) -> Any:
        """Run one command."""
        import redis

        with redis.Redis(unix_socket_path=str(self.socket), protocol=2) as client:
            return client.execute_command(*words)

    def new_url(self, **options: str) -> str:
        query = {"socket": "yes", "prefix": f"{{{self._name()}}}:", **options}
        return f"redis://{self.socket}?" + "&".join(f"{name}={value}" for name, value in query.items())

    def open(self, url: str, clock: Callable[[], float] | None = None) -> RedisStore:
        from apcore.adapters.redis.urls import parse_url

        return RedisStore(parse_url(url), clock=clock)

    def _answers(self) -> bool:
        import redis

        try:
            return bool(self.command("PING"))
        except redis.RedisError:
            return False


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
