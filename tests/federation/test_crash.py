"""Kill servers and workers at random moments: activities answered with 202 take effect once, under one id.

A few kills come with every test run. Set the number of kills for more::

    APCORE_CRASH_KILLS=50 python -m pytest tests/federation/test_crash.py

Each round starts a server (uvicorn) and a worker as processes on one store, and posts signed activities over sockets
until both have been killed, each at a moment of its own. The stores are SQLite, PostgreSQL and Redis. The servers of
the latter two are killed too, once in four rounds. For every activity, the listener records it in a
collection and sends a Like. At the end, one more worker finishes the remaining work. Then:

- every activity that was answered with 202 is in the collection once; any other at most once;

- one Like has arrived for each of them, under one id, with the same bytes each time;

- no Like has arrived more often than once, plus once for every kill.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any, Protocol

import pytest

from apcore.cli.demo.servers import reserved_ports
from apcore.collections import members_page
from apcore.http import LOOPBACK_OPEN, Request
from apcore.node import Node
from apcore.testing.peer import Peer, PeerNetwork
from crash_server import federation, heard_at, store_at

KILLS = int(os.environ.get("APCORE_CRASH_KILLS", "4"))
MORE_ROUNDS_MAX = 20
SCRIPT = Path(__file__).parents[1] / "crash_server.py"
LATER_S = 100.0
"""Shift of the store's clock between two rounds, longer than a lease."""
PATIENCE_S = 60.0


@contextmanager
def peer_on_loopback() -> Iterator[Peer]:
    """Run a peer behind a real socket: it serves its actor and records deliveries."""
    network = PeerNetwork()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            pairs = [(name.encode(), value.encode()) for name, value in self.headers.items()]
            with lock:
                response = network.send(
                    Request.received(self.command, f"http://{self.headers['host']}{self.path}", pairs, body)
                )
            self.send_response(response.status)
            for name, value in response.headers:
                self.send_header(name, value)
            self.send_header("content-length", str(len(response.body)))
            self.end_headers()
            self.wfile.write(response.body)

        do_GET = do_POST = answer  # noqa: N815 - http.server's names

        def log_message(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: Any) -> None:
            """Ignore connections that a killed worker has left open."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield network.peer(f"http://127.0.0.1:{server.server_port}/users/bob")
        finally:
            server.shutdown()
            thread.join()


class Sender:
    """Post activities in a thread, and record those that were answered with 202. Others are retried, as senders do."""

    def __init__(self, peer: Peer, origin: str) -> None:
        self.peer = peer
        self.origin = origin
        self.answered: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        count = 0
        while not self.stopping.is_set():
            count += 1
            activity = self.peer.activity("Create", object={"type": "Note", "id": f"{self.peer.actor}/notes/{count}"})
            while not self._post(activity) and not self.stopping.wait(0.01):
                pass

    def _post(self, activity: dict[str, Any]) -> bool:
        request = self.peer.request(activity, f"{self.origin}/users/alice/inbox")
        connection = HTTPConnection(self.origin.removeprefix("http://"), timeout=PATIENCE_S)
        try:
            connection.request("POST", "/users/alice/inbox", request.body, dict(request.headers))
            status = connection.getresponse().status
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()
        self.statuses[status] += 1
        if status == 202:
            self.answered.append(activity["id"])
        return status == 202


def kill_at_random_moment(process: subprocess.Popen[bytes], random: Random, progress: Callable[[], int]) -> None:
    """Wait until a process is ready and, mostly, for some progress; then kill it after a random pause."""
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n", "a process ended by itself; see standard error"
    moments = threading.Event()  # is never set
    enough = progress() + random.choice((0, 1, 3, 10))
    ends = time.monotonic() + 1.0  # there may be no work left
    while progress() < enough and time.monotonic() < ends:
        moments.wait(0.002)
    moments.wait(random.random() * 0.02)
    process.send_signal(signal.SIGKILL)
    with process:
        assert process.wait() == -signal.SIGKILL


class Engine(Protocol):
    """The database of a store, which a test may kill."""

    url: str
    kills: int

    def crash(self, random: Random) -> None:
        """Kill the database and start it again, now and then."""


class SqliteEngine:
    """A file, which has no server."""

    kills = 0

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"

    def crash(self, random: Random) -> None:
        pass


class ServerEngine:
    """A database server, which is killed once in four rounds."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.url: str = server.new_url()
        self.rounds = self.kills = 0

    def crash(self, random: Random) -> None:
        self.rounds += 1
        if self.rounds % 4 == 1:
            threading.Event().wait(random.random() * 0.1)
            self.server.kill()
            self.server.start()
            self.kills += 1


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    if request.param == "sqlite":
        return SqliteEngine(tmp_path / "a.db")
    return ServerEngine(request.getfixturevalue(f"{request.param}_server"))


def run_round(origin: str, engine: Engine, ahead_s: float, random: Random, sender: Sender) -> None:
    command = [sys.executable, str(SCRIPT)]
    arguments = [origin, engine.url, str(ahead_s)]
    server, worker = (
        subprocess.Popen([*command, role, *arguments], stdout=subprocess.PIPE) for role in ("serve", "work")
    )
    errors: list[BaseException] = []

    def kill(process: subprocess.Popen[bytes], seed: float, progress: Callable[[], int]) -> None:
        try:
            kill_at_random_moment(process, Random(seed), progress)
        except BaseException as error:
            process.kill()
            errors.append(error)

    def crash(seed: float) -> None:
        try:
            engine.crash(Random(seed))
        except BaseException as error:
            errors.append(error)

    jobs: list[tuple[subprocess.Popen[bytes], float, Callable[[], int]]] = [
        (worker, random.random(), lambda: len(sender.peer.received)),
        (server, random.random(), lambda: len(sender.answered)),
    ]
    random.shuffle(jobs)
    together = random.random() < 0.5
    crashing = threading.Thread(target=crash, args=(random.random(),))
    crashing.start()
    threads = [threading.Thread(target=kill, args=job) for job in jobs]
    for thread in threads:
        thread.start()
        if not together and thread is threads[0]:
            thread.join()
    for thread in (*threads, crashing):
        thread.join()
    if errors:
        raise errors[0]


def finish(origin: str, url: str, ahead_s: float) -> list[str]:
    """Process the remaining work and return the listener's notes."""
    pending_kinds = {"in-todo", "send", "out", "out-retry"}
    for round_number in range(20):
        store = store_at(url, ahead_s + round_number * LATER_S)
        with Node(federation, origin, store, addresses=LOOPBACK_OPEN) as node:
            node.work(until_idle=True)
            if not any(store.scan((prefix,), limit=1) for prefix in pending_kinds):
                notes: list[str] = []
                cursor = None
                while True:
                    page = node.run(members_page(heard_at(origin), cursor=cursor, limit=1000))
                    notes += [member.id for member in page.items]
                    if page.next is None:
                        store.close()
                        return notes
                    cursor = page.next
        store.close()
    pytest.fail("the remaining work does not end")


@pytest.mark.long
def test_acknowledged_activities_take_effect_once_despite_crashes(engine):
    seed = Random().randrange(10**9)
    sys.stdout.write(f"seed {seed}\n")
    random = Random(seed)
    rounds = max(1, KILLS // 2)
    with reserved_ports(1) as [port], peer_on_loopback() as peer:
        origin = f"http://127.0.0.1:{port}"
        sender = Sender(peer, origin)
        sender.thread.start()
        try:
            rounds_run = 0
            # On a busy machine, servers may be killed before their first answer: run more rounds.
            while rounds_run < rounds or (len(sender.answered) < rounds and rounds_run < rounds + MORE_ROUNDS_MAX):
                run_round(origin, engine, rounds_run * LATER_S, random, sender)
                rounds_run += 1
        finally:
            sender.stopping.set()
            sender.thread.join()
        notes = Counter(item.partition(" ")[0] for item in finish(origin, engine.url, rounds_run * LATER_S))
        delivered = list(peer.received)

    assert len(sender.answered) >= rounds, "too few activities were answered"
    assert set(sender.statuses) <= {202, 503}
    assert set(sender.answered) <= set(notes), "an activity answered with 202 had no effect"
    assert len(notes) - len(sender.answered) <= 1, "more than the last activity took effect without a 202"
    assert set(notes.values()) == {1}, "an activity took effect twice"

    posts, likes = Counter[str](), defaultdict[str, set[str]](set)
    bodies = defaultdict[str, set[bytes]](set)
    for delivery in delivered:
        posts[delivery.activity["id"]] += 1
        likes[delivery.activity["object"]].add(delivery.activity["id"])
        bodies[delivery.activity["id"]].add(delivery.request.body)
    assert len(likes) == len(notes)
    assert {len(ids) for ids in likes.values()} == {1}, "an activity was liked under two ids"
    assert {len(variants) for variants in bodies.values()} == {1}, "an id had two bodies"
    kills = rounds_run + engine.kills
    assert max(posts.values()) <= 1 + kills, "a Like was repeated more often than workers and databases were killed"
    repeated_posts = sum(posts.values()) - len(posts)
    sys.stdout.write(
        f"{2 * rounds_run} kills and {engine.kills} of the database, "
        f"{len(sender.answered)} answered, {len(delivered)} deliveries, "
        f"{repeated_posts} of them repeated\n"
        f"{json.dumps(sender.statuses)}\n"
    )
