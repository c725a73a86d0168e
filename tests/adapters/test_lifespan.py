"""Check the lifespan of an ASGI application: the order of events, and that the worker finishes its work."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from apcore.adapters import asgi
from apcore.adapters.asgi import asgi_app
from apcore.adapters.memory import MemoryStore
from apcore.federation import Federation
from apcore.node import AsyncNode
from apcore.testing.keys import ReusedKeys
from apcore.vocab import Create, Note, Person
from doors import ask_asgi

ORIGIN = "https://ours.example"
IDA, BEN = (f"{ORIGIN}/users/{name}" for name in ("ida", "ben"))


class World:
    """A federation with a chosen listener, its application, and the events in order."""

    def __init__(self, *, fallback=None, grace_s: float = 60.0, listener=None, store=None) -> None:
        self.events: list[str] = []
        rules: Federation[None] = Federation(software="test/1.0")
        rules.actor("/users/{identifier}")(lambda ctx, identifier: Person(preferred_username=identifier))
        rules.on(Create)(self._listen if listener is None else listener)
        self.node = AsyncNode(rules, ORIGIN, store or MemoryStore(), signer=ReusedKeys())
        self.app = asgi_app(self.node, fallback=fallback, grace_s=grace_s)
        self.is_listening = asyncio.Event()

    async def _listen(self, ctx, activity) -> None:
        self.events.append("listener begins")
        self.is_listening.set()
        while not self.node.is_stopped:  # noqa: ASYNC110 - a node has no event for it
            await asyncio.sleep(0.01)
        self.events.append("listener ends")

    async def send_note(self) -> None:
        await self.node.publish(Note(content="hi"), by="ida", to=BEN)

    async def run_lifespan(self) -> None:
        """Run one lifespan, and shut down once the listener runs."""
        steps = iter(["startup", "shutdown"])

        async def receive():
            step = next(steps)
            if step == "shutdown":
                await asyncio.wait_for(self.is_listening.wait(), 150)
            self.events.append(step)
            return {"type": f"lifespan.{step}"}

        async def send(message) -> None:
            self.events.append(message["type"].removeprefix("lifespan."))
            self.is_closed_at_end = self.app._is_closed

        await self.app({"type": "lifespan"}, receive, send)


def run(world: World) -> list[str]:
    async def scenario() -> None:
        await world.send_note()
        await world.run_lifespan()

    asyncio.run(scenario())
    return world.events


def test_shutdown_completes_after_the_worker_has_finished():
    world = World()
    events = run(world)
    assert events == [
        "startup",
        "startup.complete",
        "listener begins",
        "shutdown",
        "listener ends",
        "shutdown.complete",
    ]
    assert world.is_closed_at_end


def test_site_starts_before_the_worker_and_ends_after_it():
    """Require this order: handlers may use resources that the site opens in its lifespan."""

    async def site(scope, receive, send) -> None:
        await receive()
        world.events.append("site opens")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        world.events.append("site closes")
        await send({"type": "lifespan.shutdown.complete"})

    world = World(fallback=site)
    events = run(world)
    order = ["site opens", "listener begins", "listener ends", "site closes", "shutdown.complete"]
    assert [event for event in events if event in order] == order


@pytest.mark.parametrize("manner", ["returns", "raises"])
def test_site_with_an_early_end_of_its_lifespan_does_not_end_the_worker(manner):
    async def site(scope, receive, send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        if manner == "raises":
            raise RuntimeError("the site has lost its database")

    events = run(World(fallback=site))
    assert events[-3:] == ["shutdown", "listener ends", "shutdown.complete"]


def test_error_of_the_site_at_shutdown_is_raised_after_everything_is_closed():
    async def site(scope, receive, send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise RuntimeError("no way down")

    world = World(fallback=site)
    with pytest.raises(RuntimeError, match="no way down"):
        run(world)
    assert "listener ends" in world.events
    assert world.app._is_closed


def test_listener_beyond_the_grace_period_is_cancelled_and_logged(caplog):
    async def listen(ctx, activity) -> None:
        world.is_listening.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            world.events.append("cancelled")
            raise

    world = World(grace_s=0.05, listener=listen)
    assert run(world)[-2:] == ["cancelled", "shutdown.complete"]
    [line] = [
        record.getMessage() for record in caplog.records if record.levelname == "WARNING" and "grace" in record.msg
    ]
    assert "0.05 s" in line


def test_listener_that_ignores_cancellation_does_not_delay_the_shutdown(monkeypatch):
    monkeypatch.setattr(asgi, "_CANCEL_S", 0.05)

    async def listen(ctx, activity) -> None:
        world.is_listening.set()
        while "shutdown.complete" not in world.events:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                world.events.append("cancelled")

    world = World(grace_s=0.05, listener=listen)
    assert run(world)[-3:] == ["cancelled", "shutdown.complete", "cancelled"]  # the last by the end of the loop


class BrokenStore(MemoryStore):
    """A store that accepts messages, and leases them by the given function."""

    def __init__(self, lease) -> None:
        super().__init__()
        self.lease = lease


def test_worker_paused_after_a_failure_ends_at_once(monkeypatch):
    """Fail the worker, which then pauses: a shutdown does not wait for the pause."""
    pause = asgi._pause

    def lease(*arguments, **options):
        world.is_listening.set()
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(asgi, "_pause", lambda stopping, seconds: pause(stopping, 3600))
    world = World(store=BrokenStore(lease))
    assert run(world)[-1] == "shutdown.complete"


# --- applications without a lifespan ----------------------------------------------------------------------------------


@pytest.fixture
def warnings(caplog):
    caplog.set_level("WARNING", logger="apcore.web")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "apcore.web"]


def get(app) -> int:
    headers = [("host", "ours.example"), ("accept", "application/activity+json")]
    return ask_asgi(app, "GET", "/users/ida", headers).status


def test_worker_that_never_started_is_logged_at_the_first_request(warnings):
    app = World().app
    assert [get(app), get(app)] == [200, 200]
    [line] = warnings()
    for part in ("worker of this application has not started", "lifespan=app.lifespan", "worker=False", "apcore work"):
        assert part in line


def test_application_without_a_worker_causes_no_warning(warnings):
    assert get(asgi_app(World().node, worker=False)) == 200
    assert warnings() == []


def test_mounted_application_works_in_the_lifespan_of_the_outer_application(warnings):
    world = World()

    @asynccontextmanager
    async def outer(app):
        async with world.app.lifespan(app):
            yield

    async def scenario() -> None:
        await world.send_note()
        async with outer(None):
            await asyncio.wait_for(world.is_listening.wait(), 150)
            # Requests come in tasks of the same loop. This call only checks for a worker.
            world.app._check_worker()
        world.events.append("closed" if world.app._is_closed else "open")

    asyncio.run(scenario())
    assert world.events == ["listener begins", "listener ends", "closed"]
    assert warnings() == []


def test_unserved_websocket_is_closed_without_an_error():
    sent = []

    async def send(message) -> None:
        sent.append(message["type"])

    asyncio.run(World().app({"type": "websocket", "path": "/"}, None, send))
    assert sent == ["websocket.close"]
