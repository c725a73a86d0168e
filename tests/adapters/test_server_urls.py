"""Check the URLs of stores on servers, and the servers that are refused at start, each with what to change."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import closing, contextmanager, nullcontext

import pytest

from apcore import AsyncNode, Federation, Node
from apcore.adapters.asgi import asgi_app
from apcore.adapters.wsgi import wsgi_app
from apcore.errors import ConfigurationError, StoreUnavailable, Unavailable
from apcore.http import Request
from apcore.node import open_store
from apcore.ports import Message, Put
from apcore.testing.bridge import bridge
from apcore.testing.conformance import ManualClock
from apcore.testing.keys import ReusedKeys
from apcore.vocab import Person
from database_servers import RedisServer

ORIGIN = "https://local.example"
OUTBOX = Request("GET", f"{ORIGIN}/users/alice/outbox", headers=(("accept", "application/activity+json"),))
A = ("a",)

federation: Federation[None] = Federation(software="site/1.0")


@federation.actor("/users/{identifier}")
def actor(ctx, identifier):
    return Person(preferred_username=identifier) if identifier == "alice" else None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://db/site?schema=A-b", r"postgresql://db/site: schema='A-b' is not possible"),
        ("postgresql://me:secret@db/site?durability=none", "durability=power or process"),
        ("postgresql://db/site?busy_timeout_s=soon", "busy_timeout_s='soon' is not possible"),
        ("postgresql://db/site?connections_max=0", "connections_max='0' is not possible"),
        ("postgresql://me:secret@db/site?colour=red", "is no PostgreSQL URL.*colour"),
        ("redis://me:secret@db/0?durability=process", "durability=power or none"),
        ("redis://db/0?connections_max=0", "connections_max='0' is not possible"),
        ("redis://db/0?prefix=", "prefix='' is not possible"),
        ("redis://me:secret@db/0?socket_timeout=soon", "is no Redis URL"),
    ],
)
def test_wrong_url_is_refused_without_showing_the_password(url, words):
    with pytest.raises(ConfigurationError, match=words) as refusal:
        open_store(url)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("url", ["postgresql://me:secret@db/site", "redis://me:secret@db/0"])
def test_store_shows_no_password(url):
    assert "secret" not in repr(open_store(url))


@pytest.mark.parametrize(
    ("module", "url", "words"),
    [
        ("psycopg", "postgresql:///", "pip install 'apcore[postgres]'"),
        ("redis", "redis://", "pip install 'apcore[redis]'"),
    ],
)
def test_missing_extra_is_named_with_the_command_that_installs_it(module, url, words):
    program = f"import sys; sys.modules[{module!r}] = None\nfrom apcore.node import open_store\nopen_store({url!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert words in done.stderr.splitlines()[-1]


# --- servers that are refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["postgresql", "redis"])
def test_missing_server_fails_the_start(scheme, tmp_path):
    url = {
        "postgresql": f"postgresql://site@/site?host={tmp_path}",
        "redis": f"redis://{tmp_path}/socket?socket=yes",
    }[scheme]
    with pytest.raises(StoreUnavailable, match=str(tmp_path)):
        wsgi_app(federation, ORIGIN, url)
    sent = []

    async def start():
        async def receive():
            return {"type": "lifespan.startup"}

        async def send(message):
            sent.append(message)

        await asgi_app(federation, ORIGIN, url)({"type": "lifespan"}, receive, send)

    asyncio.run(start())
    assert [message["type"] for message in sent] == ["lifespan.startup.failed"]
    assert str(tmp_path) in sent[0]["message"]


def test_user_who_may_not_create_tables_is_told_what_to_do(postgres_server):
    with postgres_server.connect(user="admin", dbname="site", autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN")
    url = postgres_server.new_url().replace("site@", "guest@")
    with closing(open_store(url)) as store, pytest.raises(ConfigurationError, match=r"CREATE SCHEMA .* AUTHORIZATION"):
        store.get([A])


def test_user_who_may_not_read_the_tables_is_told_what_to_do(postgres_server):
    url = postgres_server.new_url()
    with closing(open_store(url)) as store:
        store.get([A])
    with postgres_server.connect(user="admin", dbname="site", autocommit=True) as connection:
        connection.execute("CREATE ROLE reader LOGIN")
    guest_store = open_store(url.replace("site@", "reader@"))
    with closing(guest_store) as store, pytest.raises(StoreUnavailable, match="may not use the tables of apcore"):
        store.get([A])


def test_database_that_does_not_exist_is_named(postgres_server):
    url = postgres_server.new_url().replace("/site?", "/missing?")
    with closing(open_store(url)) as store, pytest.raises(StoreUnavailable, match='database "missing" does not exist'):
        store.get([A])


def test_postgresql_without_fsync_is_refused(postgres_server):
    url = postgres_server.new_url(durability="power")
    with closing(open_store(url)) as store:
        assert store.durability == "power"
        with pytest.raises(ConfigurationError, match=r"fsync=off.*durability=process"):
            store.get([A])


def test_postgresql_in_a_newer_format_is_refused(postgres_server):
    url = postgres_server.new_url()
    with closing(postgres_server.open(url)) as store:
        store.prepare()
        with postgres_server.connect(autocommit=True) as connection:
            connection.execute(f"UPDATE {store.settings.schema}.format SET format = 99")
    with closing(open_store(url)) as store, pytest.raises(ConfigurationError, match=r"format 99, .* newer apcore"):
        store.get([A])


def test_redis_in_a_newer_format_is_refused(redis_server):
    url = redis_server.new_url()
    with closing(redis_server.open(url)) as store:
        store.prepare()
        redis_server.command("SET", f"{store.settings.prefix}format", 99)
    with closing(open_store(url)) as store, pytest.raises(ConfigurationError, match=r"format 99, .* newer apcore"):
        store.get([A])


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("appendonly", "no", "set appendonly yes"),
        ("appendfsync", "everysec", "set appendfsync always"),
        ("maxmemory-policy", "allkeys-lru", "set maxmemory-policy noeviction"),
    ],
)
def test_redis_that_may_lose_data_is_refused(setting, value, words):
    server = RedisServer(f"--{setting}", value)
    try:
        with closing(open_store(server.new_url())) as store, pytest.raises(ConfigurationError, match=words):
            store.get([A])
        with closing(open_store(server.new_url(durability="none"))) as store:
            assert store.durability == "none"
            if setting == "appendfsync":
                assert list(store.get([A])) == [None]
    finally:
        server.close()


def test_full_memory_of_redis_is_unavailable(redis_server):
    with closing(open_store(redis_server.new_url())) as store:
        store.get([A])
        redis_server.command("CONFIG", "SET", "maxmemory", "1mb")
        try:
            with pytest.raises(StoreUnavailable, match="raise maxmemory") as refusal:
                store.commit([], [Put(A, bytes(1_000_000))], token=bytes(16))
            assert refusal.value.outcome == "nothing"
        finally:
            redis_server.command("CONFIG", "SET", "maxmemory", "0")


# --- servers that go away -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["blocking", "async"])
@pytest.mark.parametrize("engine", ["postgres", "redis"])
def test_requests_are_answered_503_while_the_server_is_away(engine, kind, request):
    server = request.getfixturevalue(f"{engine}_server")
    url = server.new_url()
    statuses = []

    def ask_blocking():
        with Node(federation, ORIGIN, url, signer=ReusedKeys()) as node:
            for is_away in (False, True, False):
                with away(server) if is_away else nullcontext():
                    statuses.append(node.handle(OUTBOX).status)
                    if is_away:
                        with pytest.raises(Unavailable):
                            node.work(until_idle=True)

    async def ask_async():
        async with AsyncNode(federation, ORIGIN, url, signer=ReusedKeys()) as node:
            for is_away in (False, True, False):
                with away(server) if is_away else nullcontext():
                    statuses.append((await node.handle(OUTBOX)).status)
                    if is_away:
                        with pytest.raises(Unavailable):
                            await node.work(until_idle=True)

    if kind == "blocking":
        ask_blocking()
    else:
        asyncio.run(ask_async())
    assert statuses == [200, 503, 200]


@pytest.mark.parametrize("kind", ["blocking", "asyncio", "trio"])
@pytest.mark.parametrize("engine", ["postgres", "redis"])
def test_wait_fails_while_the_server_is_away_and_goes_on_afterwards(engine, kind, request):
    server = request.getfixturevalue(f"{engine}_server")
    url = server.new_url()
    store = open_store(url) if kind == "blocking" else bridge(lambda _: open_store(url), kind)(ManualClock())
    with closing(store):
        store.wait(["lane"], timeout_s=0.01)
        with away(server):
            for _ in range(2):
                with pytest.raises(Unavailable):
                    store.wait(["lane"], timeout_s=30)
        store.wait(["lane"], timeout_s=0.01)
        store.enqueue([Message(bytes(16), "lane", b"")])
        store.wait(["lane"], timeout_s=30)
        assert len(store.lease(["lane"], limit=1, lease_s=60)) == 1


@contextmanager
def away(server):
    server.kill()
    try:
        yield
    finally:
        server.start()
