"""Run a server or worker that `tests/federation/test_crash.py` starts and kills.

Usage: ``python crash_server.py serve|work ORIGIN STORE AHEAD_S``, with the URL of a store. The clock of the store is
``AHEAD_S`` seconds ahead: a process that runs after a kill lives later, so that no test waits for the leases of killed
processes. Each process prints ``ready`` when it is.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time

import uvicorn

from apcore.adapters.asgi import asgi_app
from apcore.adapters.postgres.store import PostgresStore
from apcore.adapters.postgres.urls import parse_url as parse_postgres_url
from apcore.adapters.redis.store import RedisStore
from apcore.adapters.redis.urls import parse_url as parse_redis_url
from apcore.adapters.sqlite import SqliteStore
from apcore.federation import Federation
from apcore.http import LOOPBACK_OPEN, parse_origin
from apcore.node import AsyncNode, Node
from apcore.ports import AtomicStore
from apcore.vocab import Create, Like, Person

federation: Federation[None] = Federation(software="crashing/1.0")


def heard_at(origin: str) -> str:
    """Return the id of the collection to which the listener adds."""
    return f"{origin}/heard"


@federation.actor("/users/{identifier}")
def actor(ctx, identifier):
    return Person(preferred_username=identifier) if identifier == "alice" else None


@federation.on(Create)
def created(ctx, activity):
    # Each run has its own name, so that the test sees a second run that commits.
    ctx.append(heard_at(ctx.origin), f"{ctx.activity_id} {os.urandom(8).hex()}")
    ctx.send(Like(object=activity.object.uri), by="alice", to=activity.actor.uri)


def store_at(url: str, ahead_s: float) -> AtomicStore:
    def clock() -> float:
        return time.time() + ahead_s

    scheme, _, rest = url.partition(":///")
    if scheme == "sqlite":
        return SqliteStore(rest, clock=clock, busy_timeout_s=60)
    if scheme.startswith("postgresql"):
        return PostgresStore(parse_postgres_url(url), clock=clock)
    return RedisStore(parse_redis_url(url), clock=clock)


def serve(origin: str, url: str, ahead_s: float) -> None:
    node = AsyncNode(federation, origin, store_at(url, ahead_s), addresses=LOOPBACK_OPEN)
    listener = socket.create_server(("127.0.0.1", parse_origin(origin).port))
    server = uvicorn.Server(uvicorn.Config(asgi_app(node, worker=False), log_config=None, lifespan="on"))
    os.write(1, b"ready\n")
    asyncio.run(server.serve(sockets=[listener]))


def work(origin: str, url: str, ahead_s: float) -> None:
    with Node(federation, origin, store_at(url, ahead_s), addresses=LOOPBACK_OPEN) as node:
        os.write(1, b"ready\n")
        node.work()


if __name__ == "__main__":
    {"serve": serve, "work": work}[sys.argv[1]](sys.argv[2], sys.argv[3], float(sys.argv[4]))
