"""Exchange signed activities between two servers without a socket: the transport of each calls the other's `handle`."""

import json

import pytest

from apcore.errors import ConnectFailed
from apcore.federation.policies import Drop, FollowVerdict, Later
from apcore.federation.registration import Federation
from apcore.federation.retry import RetryPolicy
from apcore.federation.wake_ups import DELIVER, FANOUT, INBOX, lanes_for
from apcore.http import Headers, Request, Response
from apcore.node import Elsewhere, Node
from apcore.vocab import PUBLIC, Accept, Create, Follow, Like, Note, Person, Undo

A, B = "https://a.example", "https://b.example"


class Wire:
    """A network of nodes that records its exchanges. Unknown hosts do not answer."""

    checks_addresses = "enforced"

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.down: set[str] = set()
        self.exchanges: list[tuple[str, str, int]] = []

    def send(self, request: Request, /) -> Response:
        origin = "/".join(request.url.split("/")[:3])
        node = self.nodes.get(origin)
        if node is None or origin in self.down:
            raise ConnectFailed(f"{origin} does not answer")
        answer = node.handle(request)
        if isinstance(answer, Elsewhere):
            answer = Response(404)
        self.exchanges.append((request.method, request.url, answer.status))
        return answer

    def close(self) -> None:
        """Do nothing: no connection is open."""


class Server:
    """A node with actors `alice` and `bob` that records the activities of its listeners."""

    def __init__(self, origin: str, wire: Wire, *, verdict: FollowVerdict = FollowVerdict.ACCEPT) -> None:
        self.heard: list[tuple[str, str]] = []
        self.errors: list[BaseException] = []
        self.origin = origin
        federation: Federation[None] = Federation(software="test/1.0")
        federation.follows(verdict)

        @federation.actor("/users/{identifier}")
        def actor(ctx, identifier):
            return (
                Person(preferred_username=identifier, name=identifier.title())
                if identifier in {"alice", "bob"}
                else None
            )

        for kind in (Create, Like, Follow, Undo):

            def listener(ctx, activity, name=kind.__name__):
                if self.errors:
                    raise self.errors.pop(0)
                self.heard.append((name, activity.actor.uri))

            federation.on(kind)(lambda ctx, activity, fn=listener: fn(ctx, activity))
        self.node = Node(federation, origin, "memory:", transport=wire)
        wire.nodes[origin] = self.node

    @property
    def alice(self) -> str:
        return f"{self.origin}/users/alice"

    def get(self, url: str) -> dict:
        answer = self.node.handle(Request("GET", url, Headers({"Accept": "application/activity+json"})))
        assert isinstance(answer, Response)
        assert answer.status == 200
        return json.loads(answer.body)

    def members(self, name: str) -> list:
        return self.get(f"{self.alice}/{name}?page=true")["orderedItems"]


def settle(*servers: Server) -> None:
    """Process the work of all servers; four rounds are enough for an answer to an answer."""
    for _ in range(4):
        for server in servers:
            server.node.work(until_idle=True)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def pair(wire: Wire):
    servers = Server(A, wire), Server(B, wire)
    yield servers
    for server in servers:
        server.node.close()


def test_follow_accept_create_like_and_undo_reach_the_other_server(pair, wire: Wire) -> None:
    a, b = pair
    a.node.send(Follow(object=b.alice), by="alice", to=b.alice)
    settle(a, b)
    assert b.members("followers") == [a.alice]
    assert a.members("following") == [b.alice]
    assert b.heard == [("Follow", a.alice)]

    b.node.publish(Note(content="hello"), by="alice", to=PUBLIC)
    settle(a, b)
    assert a.heard == [("Create", b.alice)]
    [create] = b.members("outbox")
    assert create["actor"] == b.alice
    assert create["object"]["content"] == "hello"
    assert b.get(create["object"]["id"])["attributedTo"] == b.alice
    assert b.get(create["id"])["type"] == "Create"

    a.node.send(Like(object=create["object"]["id"]), by="alice", to=b.alice)
    a.node.send(Undo(object=Follow(actor=a.alice, object=b.alice)), by="alice", to=b.alice)
    settle(a, b)
    assert sorted(b.heard[1:]) == [("Like", a.alice), ("Undo", a.alice)]
    assert b.members("followers") == []
    assert all(status < 300 for _, _, status in wire.exchanges)


def test_delivery_to_a_host_that_is_down_is_delayed(pair, wire: Wire) -> None:
    a, b = pair
    a.node.send(Follow(object=b.alice), by="alice", to=b.alice)
    wire.down.add(B)
    settle(a)
    assert b.heard == []
    depth = a.node.ports.queue.depth([*lanes_for(FANOUT), *lanes_for(DELIVER)])
    assert depth.delayed == 1


def test_failed_listener_writes_nothing_and_is_retried(pair) -> None:
    a, b = pair
    b.errors = [RuntimeError("no")]
    a.node.send(Follow(object=b.alice), by="alice", to=b.alice)
    settle(a, b)
    assert b.members("followers") == []
    assert b.heard == []
    assert b.node.ports.queue.depth(lanes_for(INBOX)).delayed == 1


@pytest.mark.parametrize(("error", "delayed"), [(Drop("spam"), 0), (Later(60), 1)], ids=["drop", "later"])
def test_listener_may_drop_or_postpone_an_activity(pair, error: Exception, delayed: int) -> None:
    a, b = pair
    b.errors = [error]
    a.node.send(Follow(object=b.alice), by="alice", to=b.alice)
    settle(a, b)
    assert b.members("followers") == []
    assert b.node.ports.queue.depth(lanes_for(INBOX)).delayed == delayed


@pytest.mark.hole(36)
@pytest.mark.parametrize("verdict", [FollowVerdict.REJECT, FollowVerdict.PENDING])
def test_unaccepted_follow_appears_in_no_collection(wire: Wire, verdict: FollowVerdict) -> None:
    a, b = Server(A, wire), Server(B, wire, verdict=verdict)
    a.node.send(Follow(object=b.alice), by="alice", to=b.alice)
    settle(a, b)
    assert b.members("followers") == []
    assert a.members("following") == []


def test_unrequested_accept_adds_nothing_to_following(pair) -> None:
    a, b = pair
    b.node.send(Accept(object=Follow(actor=a.alice, object=b.alice)), by="alice", to=a.alice)
    settle(a, b)
    assert a.members("following") == []


def test_local_actors_reach_each_other_without_a_request(wire: Wire) -> None:
    a = Server(A, wire)
    a.node.send(Like(object="https://a.example/x"), by="alice", to=a.alice)
    settle(a)
    assert a.heard == []  # an activity is not delivered to its own actor
    wire.exchanges.clear()
    a.node.send(Like(object="https://a.example/x"), by="bob", to=a.alice)
    settle(a)
    assert a.heard == [("Like", "https://a.example/users/bob")]
    assert not [exchange for exchange in wire.exchanges if exchange[0] == "POST"]
    a.node.close()


def test_error_hook_gets_each_failed_attempt(wire: Wire) -> None:
    failures = []
    federation: Federation[None] = Federation(
        software="test/1.0", listener_retries=RetryPolicy(attempts_max=1, base_s=1, age_s_max=9)
    )
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person())

    @federation.on(Like)
    def fail(ctx, activity):
        ctx.append(ctx.collection_uri("followers", "alice"), "https://x.example/")
        raise ValueError("no")

    @federation.on_error
    def record_failure(ctx, failure):
        failures.append((failure.activity.document.id, str(failure.error), failure.attempt, failure.final))
        raise RuntimeError("the hook fails as well")

    with Node(federation, B, "memory:", transport=wire) as node:
        a = Server(A, wire)
        wire.nodes[B] = node
        a.node.send(Like(id=f"{A}/users/alice#1", object=f"{B}/x"), by="alice", to=f"{B}/users/alice")
        a.node.work(until_idle=True)
        node.work(until_idle=True)
        assert failures == [(f"{A}/users/alice#1", "no", 1, True)]
        assert node.handle(Request("GET", f"{B}/users/alice/followers?page=true")).body.count(b"x.example") == 0
        a.node.close()
