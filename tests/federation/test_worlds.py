"""Run one `Federation` object in every world, and compare the results.

The worlds are the blocking driver, asyncio and trio, on memory and on SQLite; a server under uvicorn and WSGI; and the
simulator. The same scenario runs everywhere: valid and invalid requests, work, and sending to several servers. The
verdicts (answers, and deliveries to peers) and the traces (the effects of each operation, sorted by place) must be
equal. Clocks stand still and random bytes are counted, so only the tokens of commits differ. They are left out, since
overlapping members draw them in any order.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from hashlib import shake_256
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any, Protocol
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import trio
import uvicorn
from attrs import frozen

from apcore.adapters.asgi import asgi_app
from apcore.adapters.asyncio import AsyncioRuntime
from apcore.adapters.memory import MemoryStore
from apcore.adapters.sqlite import SqliteStore
from apcore.adapters.threads import BlockingRuntime
from apcore.adapters.trio import TrioRuntime
from apcore.adapters.wsgi import wsgi_app
from apcore.effects import All, Call, Effect, Now, Op
from apcore.federation import Federation
from apcore.federation.outbox.send import act
from apcore.federation.reconcile import reconcile
from apcore.federation.serving.serve import Served, serve
from apcore.federation.site import Site
from apcore.federation.worker import handle, lease_work
from apcore.federation.write_notes import PublishObject, SendActivity
from apcore.handlers import handler_name, operation
from apcore.http import AddressPolicy, Headers, Request, Response
from apcore.node import AsyncNode, Elsewhere, Node
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.testing.simulation import Simulation
from apcore.vocab import PUBLIC, Create, Like, Note, Person
from worlds import NOON

HERE = "http://local.example"
ALICE = f"{HERE}/users/alice"
INBOX = f"{ALICE}/inbox"
AP = {"accept": "application/activity+json"}
OPEN = AddressPolicy(plain_http=True)

federation: Federation[None] = Federation(software="test/1.0")


@federation.actor("/users/{identifier}")
def actor(ctx, identifier):
    return Person(preferred_username="alice", name="Alice") if identifier == "alice" else None


@federation.on(Create)
def like_note(ctx, activity):
    if not ctx.contains(f"{HERE}/seen", activity.id):
        ctx.append(f"{HERE}/seen", activity.id)
        ctx.send(Like(object=activity.object.uri), by="alice", to=activity.actor.uri)


@federation.on(Like)
@operation
def record_like(ctx, activity):
    if not (yield from ctx.contains(f"{HERE}/seen", activity.id)):
        ctx.append(f"{HERE}/seen", activity.id)


class Steady:
    """A clock that stands still, and random bytes that are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = count()

    def now(self):
        return NOON

    def random_bytes(self, count: int, /) -> bytes:
        return shake_256(b"%d" % next(self.drawn)).digest(count)


class SteadyBlocking(Steady, BlockingRuntime):
    pass


class SteadyAsyncio(Steady, AsyncioRuntime):
    pass


class SteadyTrio(Steady, TrioRuntime):
    pass


# --- the scenario ---------------------------------------------------------------------------------------------------


class World(Protocol):
    network: PeerNetwork
    site: Site

    def handle(self, request: Request) -> Served: ...
    def run(self, op: Op[Any]) -> Any: ...
    def take_trace(self) -> list[str]: ...


@frozen
class Step:
    """One step of the scenario: its verdict, and the trace of its effects."""

    name: str
    verdict: Any
    trace: list[str]


def run_scenario(world: World) -> list[Step]:
    peers = [world.network.peer(f"http://{name}.example/users/{name}") for name in ("bob", "carol", "dave")]
    bob, carol, _ = peers
    carol.scheme = "rfc9421"
    steps: list[Step] = []

    def end(name: str, verdict: Any) -> None:
        steps.append(Step(name, verdict, world.take_trace()))

    def ask(name: str, request: Request) -> None:
        served = world.handle(request)
        if isinstance(served, Elsewhere):
            end(name, (404 if served is Elsewhere.NOT_OURS else 406, None))
        else:
            elsewhere = served.status in {404, 406} and b"no-such" not in served.body
            end(name, (served.status, None if elsewhere else served.body))

    def work() -> None:
        end("reconcile", world.run(reconcile()))
        for turn in range(60):
            leases = world.run(lease_work(turn, limit=1))
            for leased in leases:
                world.run(handle(world.site, leased))
            end(f"work {turn}", [leased.message.lane for leased in leases])

    def get(path: str, **headers: str) -> None:
        ask(path, Request("GET", f"{HERE}{path}", Headers({**AP, **headers})))

    get("/users/alice")
    get("/users/nobody")
    get("/elsewhere")
    get("/users/alice", accept="text/html")
    get("/.well-known/webfinger?resource=acct:alice@local.example", accept="*/*")
    get("/nodeinfo/2.1", accept="*/*")
    follow = bob.request(bob.activity("Follow", object=ALICE), INBOX)
    for name in ("a follow", "a repeated follow"):
        ask(name, follow)
    note = {"type": "Note", "id": "http://carol.example/1", "content": "hi", "attributedTo": carol.actor}
    create = carol.activity("Create", object=note)
    ask("a note", carol.request(create, f"{HERE}/inbox"))
    ask("signed by another actor", bob.request(carol.activity("Create", object=note), INBOX))
    ask("no activity", bob.request(note, INBOX))
    ask("not JSON", bob.request(b"{", INBOX))
    ask("unsigned", Request("POST", INBOX, Headers({"content-type": "application/activity+json"}), b'{"a":1}'))
    ask("unknown recipient", bob.request(bob.activity("Like"), f"{HERE}/users/nobody/inbox"))
    eve = PeerNetwork(clock=lambda: NOON).peer("http://nobody.example/eve")
    ask("a key at an unreachable host", eve.request(eve.activity("Like", object=ALICE), INBOX))
    ask("a like", bob.request(bob.activity("Like", object=ALICE), INBOX))
    ask("wrong method", Request("DELETE", INBOX))
    work()
    note_to_publish = Note(content="to all").document
    end("publish", world.run(act(world.site, PublishObject(note_to_publish, "alice", (PUBLIC,)))))
    like = Like(object="http://bob.example/1").document
    end("send", world.run(act(world.site, SendActivity(like, "alice", tuple(peer.actor for peer in peers)))))
    work()
    get("/users/alice/followers?page=true")
    get("/users/alice/outbox?page=true")
    ask("already processed", follow)
    end("delivered", [sorted(delivery.request.body for delivery in peer.received) for peer in peers])
    return steps


# --- the worlds -----------------------------------------------------------------------------------------------------

_TOKENS = re.compile(r"(version|token)=(b'(?:[^'\\]|\\.)*'|b\"(?:[^\"\\]|\\.)*\")")


def describe_effect(effect: Effect[Any]) -> str:
    match effect:
        case Call():
            return f"Call({handler_name(effect.fn)})"
        case All():
            return f"All({len(effect.members)}, limit={effect.limit})"
        case _:
            return repr(effect)


def without_tokens(line: str) -> str:
    return _TOKENS.sub(r"\1=...", line)


class Recorder:
    """An observer that returns the effects of each operation by their places."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._effects: list[tuple[tuple[int, ...], str]] = []

    def __call__(self, effect: Effect[Any], place: tuple[int, ...], /) -> None:
        with self._lock:
            self._effects.append((place, without_tokens(describe_effect(effect))))

    def take(self) -> list[str]:
        with self._lock:
            effects, self._effects = self._effects, []
        return [f"{place} {text}" for place, text in sorted(effects)]


class _Bound:
    """The common part of the worlds with a node."""

    def __init__(self) -> None:
        self.network = PeerNetwork(clock=lambda: NOON)
        self.recorder = Recorder()
        self.options: dict[str, Any] = {
            "transport": self.network,
            "signer": ReusedKeys(),
            "addresses": OPEN,
            "observer": self.recorder,
        }

    def take_trace(self) -> list[str]:
        return self.recorder.take()


class Blocking(_Bound):
    def __init__(self, store: Any) -> None:
        super().__init__()
        self.node = Node(federation, HERE, store, runtime=SteadyBlocking(), **self.options)
        self.site = self.node.site()

    def handle(self, request: Request) -> Served:
        return self.node.handle(request)

    def run(self, op: Op[Any]) -> Any:
        return self.node.run(op)

    def close(self) -> None:
        self.node.close()


class Looping(_Bound):
    """A world on an event loop; ``wait`` runs a coroutine function there."""

    def __init__(self, store: Any, runtime: Any, wait: Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]) -> None:
        super().__init__()
        self.runtime = runtime
        self.node = AsyncNode(federation, HERE, store, runtime=runtime, **self.options)
        self.site = self.node.site()
        self.wait = wait

    def handle(self, request: Request) -> Served:
        return self.wait(partial(self.node.handle, request))

    def run(self, op: Op[Any]) -> Any:
        return self.wait(partial(self.node.run, op))

    def close(self) -> None:
        self.wait(self.node.aclose)


class OnAsyncio(Looping):
    def __init__(self, store: Any) -> None:
        self.runner = asyncio.Runner()
        super().__init__(store, SteadyAsyncio(), lambda function: self.runner.run(function()))

    def close(self) -> None:
        super().close()
        self.runner.close()
        self.runtime.close()


class OnTrio(Looping):
    def __init__(self, store: Any) -> None:
        super().__init__(store, SteadyTrio(), trio.run)


def over_http(port: int, request: Request) -> Response:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.putrequest(request.method, request.url.removeprefix(HERE), skip_host=True, skip_accept_encoding=True)
        fields = dict(request.headers) | {"host": "local.example", "content-length": str(len(request.body))}
        for name, value in fields.items():
            connection.putheader(name, value)
        connection.endheaders(request.body)
        answer = connection.getresponse()
        return Response(answer.status, Headers(answer.getheaders()), answer.read())
    finally:
        connection.close()


class UnderUvicorn(Looping):
    """A world under uvicorn: the node lives on the server's loop in a thread; requests come over a socket."""

    def __init__(self, store: Any) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        super().__init__(store, SteadyAsyncio(), self._run_on_loop)
        config = uvicorn.Config(
            asgi_app(self.node, worker=False), port=0, log_config=None, lifespan="on", server_header=False
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self._serve)
        ready = threading.Event()
        started = self.server.startup

        async def startup(sockets: Any = None) -> None:
            await started(sockets=sockets)
            self.loop = asyncio.get_running_loop()
            ready.set()

        self.server.startup = startup
        self.thread.start()
        assert ready.wait(30)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    def _serve(self) -> None:
        asyncio.run(self.server.serve())

    def _run_on_loop(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return asyncio.run_coroutine_threadsafe(function(), self.loop).result(30)

    def handle(self, request: Request) -> Served:
        return over_http(self.port, request)

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)
        self.runtime.close()


class UnderWsgi(Blocking):
    """A world under the WSGI server of the standard library, in a thread; requests come over a socket."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)

        class QuietHandler(WSGIRequestHandler):
            def log_message(self, *args: Any) -> None:
                pass

        self.server = make_server("127.0.0.1", 0, wsgi_app(self.node, worker=False), handler_class=QuietHandler)
        self.thread = threading.Thread(target=partial(self.server.serve_forever, poll_interval=0.01))
        self.thread.start()

    def handle(self, request: Request) -> Served:
        return over_http(self.server.server_port, request)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join(30)
        self.server.server_close()
        super().close()


class Simulated:
    """A node of the simulator. The traces are read from its history, which names every effect."""

    def __init__(self, store: Any) -> None:
        self.network = PeerNetwork(clock=lambda: NOON)
        self.sim = Simulation(7)
        for name in ("bob", "carol", "dave"):
            self.sim.node(f"http://{name}.example", self._serve_peer)
        steady = Steady()
        self.sim_node = self.sim.node(HERE, lambda node: None, signer=ReusedKeys())
        self.sim_node.now, self.sim_node.random_bytes = steady.now, steady.random_bytes
        self.site = Node(federation, HERE, store, addresses=OPEN, transport=self.network).site()
        self.lines: list[tuple[tuple[int, ...], str]] = []
        self.sim.engine.note = self._note

    def _serve_peer(self, node: Any) -> None:
        def answer(request: Request) -> Op[Response]:
            _ = yield from Now()
            return self.network.send(request)

        node.serve = answer

    def _note(self, line: str) -> None:
        match = re.fullmatch(rf"{HERE} told #\d+ (\([\d, ]*\)) (?!-> )(.*)", line, re.DOTALL)
        if match is not None:
            place = tuple(int(number) for number in re.findall(r"\d+", match[1]))
            self.lines.append((place, without_tokens(match[2])))

    def handle(self, request: Request) -> Served:
        served: Served = self.run(serve(self.site, request))
        return served

    def run(self, op: Op[Any]) -> Any:
        process = self.sim_node.spawn(op, "told")
        self.sim.run_until(lambda: process.outcome is not None, within_s=3600)
        return process.outcome.value

    def take_trace(self) -> list[str]:
        lines, self.lines = self.lines, []
        return [f"{place} {text}" for place, text in sorted(lines)]

    def close(self) -> None:
        pass


def memory(_: Path) -> MemoryStore:
    ticks = count()  # the queue's clock advances, so that returned messages stand behind waiting ones
    return MemoryStore(clock=lambda: NOON.timestamp() + next(ticks) / 1_000_000)


def sqlite(path: Path) -> SqliteStore:
    return SqliteStore(path / "a.db")


WORLDS = {
    "blocking-sqlite": (Blocking, sqlite),
    "asyncio-memory": (OnAsyncio, memory),
    "asyncio-sqlite": (OnAsyncio, sqlite),
    "trio-memory": (OnTrio, memory),
    "trio-sqlite": (OnTrio, sqlite),
    "uvicorn": (UnderUvicorn, memory),
    "wsgi": (UnderWsgi, memory),
    "simulator": (Simulated, memory),
}


def scenario_in(world: Any, store: Any) -> list[Step]:
    instance = world(store)
    try:
        return run_scenario(instance)
    finally:
        instance.close()
        store.close()


@pytest.fixture(scope="module")
def reference() -> list[Step]:
    """Return the steps under the blocking driver, on memory."""
    return scenario_in(Blocking, memory(Path()))


def test_scenario_covers_statuses_deliveries_and_effects(reference):
    verdicts = {step.name: step.verdict for step in reference}
    statuses = [verdict[0] for verdict in verdicts.values() if isinstance(verdict, tuple)]
    assert {200, 202, 400, 401, 404, 405, 406, 503} <= set(statuses)
    bob, carol, dave = ([json.loads(body)["type"] for body in bodies] for bodies in verdicts["delivered"])
    assert (sorted(bob), sorted(carol), dave) == (["Accept", "Create", "Like"], ["Like", "Like"], ["Like"])
    effects = {line.partition(") ")[2].partition("(")[0] for step in reference for line in step.trace}
    assert effects >= {
        "All",
        "Call",
        "Commit",
        "Fetch",
        "Get",
        "Lease",
        "MakeKey",
        "Now",
        "RandomBytes",
        "Scan",
        "Sign",
    }
    assert any(re.match(r"\(\d+, \d+, \d+", line) for step in reference for line in step.trace)


@pytest.mark.parametrize(("world", "store"), WORLDS.values(), ids=WORLDS)
def test_scenario_is_the_same_in_every_world(world, store, reference, tmp_path):
    steps = scenario_in(world, store(tmp_path))
    assert [step.name for step in steps] == [step.name for step in reference]
    for step, expected in zip(steps, reference, strict=True):
        assert (step.name, step.verdict) == (expected.name, expected.verdict)
        assert (step.name, step.trace) == (expected.name, expected.trace)
