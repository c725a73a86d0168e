"""Check the options of federations and nodes: namespaces, queues of their own, and the work of a worker."""

import asyncio
import inspect
import json
import random
import re
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from apcore import AsyncNode, Federation, Node
from apcore.adapters.memory import MemoryStore
from apcore.adapters.sqlite import SqliteStore
from apcore.errors import ConfigurationError, ContractError
from apcore.federation import DomainRules, DomainSuspended, Severity
from apcore.http import Request, Response
from apcore.node import Elsewhere
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Create, Like, Note, Person
from outbox_fixture import Clock
from outbox_fixture import Post as OutgoingPost

A, B = "https://a.example", "https://b.example"
BOB = "https://remote.example/users/bob"


OPENED_STORES: list[SqliteStore] = []


def open_sqlite(path: Any, **options: Any) -> SqliteStore:
    """Open a store that `close_stores` closes after the test: a node leaves a store open that was passed to it."""
    OPENED_STORES.append(SqliteStore(path, **options))
    return OPENED_STORES[-1]


@pytest.fixture(autouse=True)
def close_stores() -> Iterator[None]:
    yield
    while OPENED_STORES:
        OPENED_STORES.pop().close()


class Post:
    """A network that accepts every delivery, and records the software that sent it and its actor."""

    checks_addresses = "enforced"
    never_waits = True

    def __init__(self, network):
        self.deliveries = []
        self._network = network

    def send(self, request, /):
        if request.method == "GET":
            return self._network.send(request)
        self.deliveries.append((request.headers.get("user-agent"), request.headers.get("signature")))
        return Response(202)

    def close(self):
        """Do nothing: there is no connection."""


class Server:
    """A federation that counts the activities that its listener and its peers get, and makes nodes."""

    def __init__(self, name, post):
        self.name, self.received, self.post = name, [], post
        self.federation = Federation(software=f"{name}/1.0")
        self.federation.actor("/users/{identifier}")(
            lambda ctx, identifier: Person(preferred_username=identifier) if identifier == "alice" else None
        )
        self.federation.on(Create)(lambda ctx, create: self.received.append(create.document.id))

    def node(self, origin, store, make_node=Node, **options):
        arguments = {"transport": self.post, "signer": ReusedKeys(), "namespace": self.name} | options
        return make_node(self.federation, origin, store, **arguments)


def open_stores(kind, path):
    """Return a store, and the queue beside it if it has one of its own."""
    match kind:
        case "memory":
            return MemoryStore(), None
        case "sqlite":
            return open_sqlite(path / "s.db"), None
        case _:
            return open_sqlite(path / "s.db"), MemoryStore()


@pytest.mark.parametrize("kind", ["memory", "sqlite", "sqlite-and-a-queue"])
@pytest.mark.parametrize("second_origin", [B, A], ids=["two-origins", "one-origin"])
def test_no_message_crosses_between_two_namespaces(kind, second_origin, tmp_path):
    """Two federations share one store, with one worker for each, and 2,000 mixed activities wait for them."""
    network = PeerNetwork()
    bob = network.peer(BOB)
    store, queue = open_stores(kind, tmp_path)
    options = {} if queue is None else {"queue": queue}
    servers = [Server("red", Post(network)), Server("blue", Post(network))]
    nodes = [server.node(origin, store, **options) for server, origin in zip(servers, (A, second_origin), strict=True)]
    expected = [[], []]
    sent = [0, 0]
    count = 200 if queue is not None or second_origin == B else 2000
    generator = random.Random(1)
    for number in range(count):
        which = generator.randrange(2)
        node, origin = nodes[which], (A, second_origin)[which]
        if generator.random() < 0.5:
            note = {"id": f"{BOB}/notes/{number}", "type": "Note", "attributedTo": BOB}
            create = bob.activity("Create", object=note, to=[f"{origin}/users/alice"])
            assert bob.deliver(node, create, to="alice").status == 202
            expected[which].append(create["id"])
        else:
            node.send(Like(object=f"{BOB}/notes/{number}"), by="alice", to=BOB)
            sent[which] += 1
    for node in nodes:
        node.work(until_idle=True)
    for server, ids, sent_count in zip(servers, expected, sent, strict=True):
        assert sorted(server.received) == sorted(ids)
        assert len(server.post.deliveries) == sent_count
        assert {agent.partition("/")[0] for agent, _ in server.post.deliveries} == {server.name}
    assert nodes[0].work(until_idle=True) == nodes[1].work(until_idle=True) == 0


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_worker_on_an_event_loop_takes_nothing_of_another_namespace(kind, tmp_path):
    async def handle():
        network = PeerNetwork()
        network.peer(BOB)
        store, _ = open_stores(kind, tmp_path)
        servers = [Server("red", Post(network)), Server("blue", Post(network))]
        nodes = [server.node(A, store, AsyncNode) for server in servers]
        for number in range(20):
            await nodes[0].send(Like(object=f"{BOB}/notes/{number}"), by="alice", to=BOB)
        assert await nodes[1].work(until_idle=True) == 0
        await nodes[0].work(until_idle=True)
        return [len(server.post.deliveries) for server in servers]

    assert asyncio.run(handle()) == [20, 0]


def test_records_of_a_namespace_are_invisible_to_others_and_to_none():
    store = MemoryStore()
    network = PeerNetwork()
    red, blue = Server("red", network), Server("blue", network)
    followers = f"{A}/users/alice/followers"
    with red.node(A, store) as node, blue.node(A, store) as other, red.node(A, store, namespace=None) as plain:
        node.append(followers, BOB)
        node.publish(Note(content="x"), by="alice")
        assert [one.count(followers) for one in (node, other, plain)] == [1, 0, 0]
        outbox = f"{A}/users/alice/outbox"
        assert [one.count(outbox) for one in (node, other, plain)] == [1, 0, 0]
        assert [len(one.members(outbox).items) for one in (node, other, plain)] == [1, 0, 0]
    assert {entry.key[:2] for entry in store.scan((), limit=1000)} == {("ns", "red")}


def test_namespace_takes_part_in_a_transaction_of_the_application(tmp_path):
    path = tmp_path / "s.db"
    server = Server("red", PeerNetwork())
    with server.node(A, open_sqlite(path)) as node:
        assert node.count("x") == 0
        connection = sqlite3.connect(path, isolation_level=None)
        for end, count in (("ROLLBACK", 0), ("COMMIT", 1)):
            connection.execute("BEGIN IMMEDIATE")
            with node.enlist(connection) as enlisted:
                enlisted.append(f"{A}/gems", BOB)
            connection.execute(end)
            assert node.count(f"{A}/gems") == count
        connection.close()


def test_node_with_a_memory_store_cannot_enlist_in_a_namespace():
    server = Server("red", PeerNetwork())
    with (
        server.node(A, MemoryStore()) as node,
        pytest.raises(ConfigurationError, match="cannot take part"),
        node.enlist(object()),
    ):
        pass


@pytest.mark.parametrize("namespace", ["", "Red", "red~blue", "ré", "-x", "a" * 64, 7])
@pytest.mark.parametrize("make_node", [Node, AsyncNode])
def test_malformed_namespace_is_refused(namespace, make_node):
    with pytest.raises(ConfigurationError, match="a namespace has 1 to 63 characters"):
        make_node(Federation(), None, MemoryStore(), namespace=namespace)


# --- queues and workers ---------------------------------------------------------------------------------------------


KINDS = ("inbox", "fanout", "deliver")


@pytest.mark.parametrize("namespace", [None, "red"])
def test_each_kind_of_work_may_have_a_queue_of_its_own(namespace):
    network = PeerNetwork()
    bob = network.peer(BOB)
    server = Server("red", Post(network))
    queues = {kind: MemoryStore() for kind in KINDS}
    node = server.node(A, MemoryStore(), queue=queues, namespace=namespace)
    node.send(Like(object=f"{BOB}/notes/1"), by="alice", to=BOB)
    note = {"id": f"{BOB}/notes/1", "type": "Note", "attributedTo": BOB}
    bob.deliver(node, bob.activity("Create", object=note), to="alice")
    waiting = {kind: _waiting(queue, node, kind, namespace) for kind, queue in queues.items()}
    assert waiting == {"inbox": 1, "fanout": 1, "deliver": 0}
    node.work(until_idle=True)
    assert (len(server.received), len(server.post.deliveries)) == (1, 1)
    assert {kind: _waiting(queue, node, kind, namespace) for kind, queue in queues.items()} == dict.fromkeys(KINDS, 0)


def _waiting(queue, node, kind, namespace):
    lanes = [lane if namespace is None else f"{namespace}~{lane}" for lane in node.lanes[kind]]
    return queue.depth(lanes).ready


def test_each_kind_of_work_may_have_a_queue_of_its_own_on_an_event_loop():
    async def deliver():
        network = PeerNetwork()
        network.peer(BOB)
        server = Server("red", Post(network))
        async with server.node(A, MemoryStore(), AsyncNode, queue={kind: MemoryStore() for kind in KINDS}) as node:
            await node.send(Like(object=f"{BOB}/notes/1"), by="alice", to=BOB)
            await node.work(until_idle=True)
        return len(server.post.deliveries)

    assert asyncio.run(deliver()) == 1


@pytest.mark.parametrize("queues", [{}, {"inbox": MemoryStore()}, dict.fromkeys((*KINDS, "x"), MemoryStore())])
def test_incomplete_mapping_of_queues_is_refused(queues):
    with pytest.raises(ConfigurationError, match="a queue for each of inbox, fanout, deliver"):
        Node(Federation(), None, MemoryStore(), queue=queues)


def test_worker_serves_the_kinds_of_work_that_it_is_given():
    network = PeerNetwork()
    bob = network.peer(BOB)
    store, post = MemoryStore(), Post(network)
    servers = {kind: Server("red", post) for kind in KINDS}
    nodes = {kind: server.node(A, store, works=[kind]) for kind, server in servers.items()}
    nodes["inbox"].send(Like(object=f"{BOB}/notes/1"), by="alice", to=BOB)
    note = {"id": f"{BOB}/notes/1", "type": "Note", "attributedTo": BOB}
    bob.deliver(nodes["deliver"], bob.activity("Create", object=note), to="alice")
    assert nodes["deliver"].work(until_idle=True) == 0
    assert nodes["fanout"].work(until_idle=True) == 1
    assert post.deliveries == []
    assert nodes["deliver"].work(until_idle=True) > 0
    assert len(post.deliveries) == 1
    assert [len(server.received) for server in servers.values()] == [0, 0, 0]
    assert nodes["inbox"].work(until_idle=True) == 1
    assert len(servers["inbox"].received) == 1


def test_sequential_worker_serves_the_kinds_of_work_that_it_is_given():
    network = PeerNetwork()
    network.peer(BOB)
    server = Server("red", Post(network))
    with server.node(A, MemoryStore(), works=["fanout"], slots=0) as node:
        node.send(Like(object=f"{BOB}/notes/1"), by="alice", to=BOB)
        assert node.work(until_idle=True) == 1
        assert server.post.deliveries == []


def test_async_worker_serves_the_kinds_of_work_that_it_is_given():
    async def plan():
        network = PeerNetwork()
        network.peer(BOB)
        server = Server("red", Post(network))
        async with server.node(A, MemoryStore(), AsyncNode, works=["fanout"]) as node:
            await node.send(Like(object=f"{BOB}/notes/1"), by="alice", to=BOB)
            count = await node.work(until_idle=True)
        return count, server.post.deliveries

    assert asyncio.run(plan()) == (1, [])


@pytest.mark.parametrize("works", [[], ["inboxes"], "inbox"])
def test_unknown_kind_of_work_is_refused(works):
    with pytest.raises(ConfigurationError, match="works takes some of inbox, fanout, deliver"):
        Node(Federation(), None, MemoryStore(), works=works)


def test_request_is_answered_in_a_namespace():
    server = Server("red", PeerNetwork())
    with server.node(A, MemoryStore()) as node:
        uri = node.publish(Note(content="x"), by="alice")
        assert node.handle(Request("GET", uri)).status == 200


# --- options about what is sent -------------------------------------------------------------------------------------


class Sender:
    """A node that sends to one inbox with an answer that a test decides."""

    def __init__(self, **options):
        self.clock = Clock()
        self.post = OutgoingPost(self.clock)
        self.federation = Federation(software="test/1.0", **options)
        self.federation.actor("/users/{identifier}")(lambda ctx, identifier: Person())
        store = MemoryStore(clock=self.clock.seconds)
        self.node = Node(
            self.federation, A, store, transport=self.post, signer=ReusedKeys(), runtime=self.clock, slots=0
        )

    def send(self, status):
        self.post.answers[f"{BOB}/inbox"] = status
        self.node.send(Like(object=f"{BOB}/notes/1"), by="alice", to=BOB)
        self.node.work(until_idle=True)
        return len(self.node.dead_letters("delivery").items)


def test_statuses_that_end_a_delivery_are_added():
    assert Sender().send(408) == 0
    assert Sender(permanent_statuses=[408]).send(408) == 1


@pytest.mark.parametrize(("meaning", "dead_count"), [("refused", 1), ("inbox-failing", 0), ("delivered", 0), (None, 1)])
def test_application_gives_statuses_a_meaning(meaning, dead_count):
    assert Sender(classify_status=lambda status: meaning if status == 418 else None).send(418) == dead_count


@pytest.mark.parametrize(
    "options",
    [
        {"permanent_statuses": 404},
        {"permanent_statuses": [200]},
        {"permanent_statuses": ["404"]},
        {"classify_status": "refused"},
        {"classify_status": lambda status: "no"},
        {"classify_status": lambda status: 1 / 0},
        {"transformers": "x"},
        {"transformers": [None]},
        {"delivery_retries": lambda: 1},
        {"delivery_retries": lambda attempt, age_s: "soon"},
        {"listener_retries": lambda attempt, age_s: -1},
    ],
)
def test_unusable_option_is_refused_at_construction(options):
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Federation(**options)


def test_retry_policy_may_be_a_function():
    sender = Sender(delivery_retries=lambda attempt, age_s: 60.0 if attempt < 3 else None)
    assert sender.send(408) == 0
    for dead_count in (0, 1):
        sender.clock.moment += timedelta(seconds=61)
        sender.node.work(until_idle=True)
        assert len(sender.node.dead_letters().items) == dead_count
    assert len(sender.post.posts) == 3


def test_retry_function_is_bounded_by_an_age():
    rules = Federation(delivery_retries=lambda attempt, age_s: 1.0).delivery_retries
    assert rules.delay_s(1, age_s=0.0, jitter=0.5) == 1.0
    assert rules.delay_s(1, age_s=0.0, jitter=0.5, retry_after_s=10.0) == 10.0
    assert rules.delay_s(1, age_s=0.0, jitter=0.5, retry_after_s=1e9) <= 12 * 3600
    assert rules.delay_s(1, age_s=31 * 86400.0, jitter=0.5) is None


def test_transformers_change_what_is_sent():
    sender = Sender(transformers=[lambda members: members | {"summary": "x"}, lambda members: members | {"name": "y"}])
    sender.send(202)
    body = json.loads(sender.post.posts[0][1].body)
    assert (body["summary"], body["name"], body["type"]) == ("x", "y", "Like")


@pytest.mark.parametrize("transformer", [lambda members: None, lambda members: members | {"actor": BOB}])
def test_transformer_may_not_change_the_actor_of_an_activity(transformer):
    with pytest.raises(ContractError, match="must return the members of the activity, with the same id, actor, type"):
        Sender(transformers=[transformer]).send(202)


# --- options about what is served -----------------------------------------------------------------------------------


def test_trailing_slash_is_ignored_by_an_option_and_ids_keep_their_form():
    def serve(path, **options):
        federation = Federation(**options)
        federation.actor("/users/{identifier}")(lambda ctx, identifier: Person())
        with Node(federation, A, MemoryStore(), signer=ReusedKeys()) as node:
            answer = node.handle(Request("GET", f"{A}{path}"))
            assert node.parse_uri(f"{A}/users/alice/") is None
        return answer

    assert isinstance(serve("/users/alice/"), Elsewhere)
    answer = serve("/users/alice/", ignore_trailing_slash=True)
    assert json.loads(answer.body)["id"] == f"{A}/users/alice"
    assert isinstance(serve("/", ignore_trailing_slash=True), Elsewhere)


def test_application_describes_the_server_in_nodeinfo():
    federation = Federation(software="test/1.0")
    federation.nodeinfo(lambda ctx: {"users": 3, "posts": 7, "open_registrations": True, "metadata": {"nodeName": "x"}})
    with Node(federation, A, MemoryStore(), signer=ReusedKeys()) as node:
        document = json.loads(node.handle(Request("GET", f"{A}/nodeinfo/2.1")).body)
    assert document["usage"] == {"users": {"total": 3}, "localPosts": 7}
    assert (document["openRegistrations"], document["metadata"]) == (True, {"nodeName": "x"})


def test_unknown_fact_of_nodeinfo_is_the_fault_of_the_application():
    federation = Federation()
    federation.nodeinfo(lambda ctx: {"user_count": 3})
    with (
        Node(federation, A, MemoryStore(), signer=ReusedKeys()) as node,
        pytest.raises(ContractError, match="user_cou"),
    ):
        node.handle(Request("GET", f"{A}/nodeinfo/2.1"))


# --- loaders --------------------------------------------------------------------------------------------------------


def note_response(request, content):
    members = {"id": request.url, "type": "Note", "content": content}
    body = {"@context": "https://www.w3.org/ns/activitystreams"} | members
    return Response(200, {"Content-Type": "application/activity+json"}, json.dumps(body).encode())


def test_loaders_answer_in_place_of_the_transport():
    urls = []

    def first(request):
        urls.append(request.url)

    def second(request):
        return note_response(request, "from a file") if request.url.endswith("/1") else None

    network = PeerNetwork()
    network.peer(BOB)
    options = {"transport": network, "loaders": [first, second], "signer": ReusedKeys()}
    with Node(Federation(), None, MemoryStore(), **options) as node:
        assert node.resolve(f"{BOB}/notes/1").view(Note).content == "from a file"
        assert node.resolve(BOB).id == BOB
    assert urls == [f"{BOB}/notes/1", BOB]
    assert [exchange.url for exchange in network.exchanges] == [BOB]


def test_loaders_may_be_coroutine_functions_on_an_event_loop():
    async def load(request):
        return note_response(request, "awaited")

    async def resolve():
        options = {"transport": PeerNetwork(), "loaders": [lambda request: None, load], "signer": ReusedKeys()}
        async with AsyncNode(Federation(), None, MemoryStore(), **options) as node:
            return (await node.resolve(f"{BOB}/notes/1")).view(Note).content

    assert asyncio.run(resolve()) == "awaited"


def test_loader_of_a_suspended_domain_is_not_asked():
    urls = []
    federation = Federation()
    federation.blocks(DomainRules({"remote.example": Severity.SUSPEND}))
    options = {
        "transport": PeerNetwork(),
        "loaders": [lambda request: urls.append(request.url)],
        "signer": ReusedKeys(),
    }
    with Node(federation, None, MemoryStore(), **options) as node, pytest.raises(DomainSuspended):
        node.resolve(f"{BOB}/notes/1")
    assert urls == []


async def coroutine_loader(request):
    return None


@pytest.mark.parametrize("loader", ["x", coroutine_loader])
def test_loader_that_a_blocking_node_cannot_call_is_refused(loader):
    with pytest.raises(ConfigurationError, match="loaders are plain functions of a request"):
        Node(Federation(), None, MemoryStore(), loaders=[loader])


# --- documentation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("section", "owner"), [("Federation", Federation.__init__), ("Node", Node.__init__)])
def test_every_option_is_documented_with_its_default_and_effect(section, owner):
    page = (Path(__file__).parents[2] / "docs" / "howto" / "options.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
    documented = {name for name, default, effect in rows if default.strip() and effect.strip()}
    positional = {"self", "federation", "origin", "store"}
    names = set(inspect.signature(owner).parameters) - positional
    assert names - documented == set(), f"docs/howto/options.md lacks options of {section}"
