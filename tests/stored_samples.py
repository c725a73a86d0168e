"""Stored data of earlier releases: a script that writes it with the release that is imported, and the reader of it.

Run it once for each release whose data must stay readable, from the tree of that release::

    PYTHONPATH=src:tests python .../tests/stored_samples.py RELEASE > tests/records/samples_RELEASE.jsonl

The samples are the store and the queue of a small server after some work: followers, deliveries that wait, activities
that failed, cached documents, rotated keys. There is one of each kind of record and message at least.
`records/test_stored_data.py` starts a node of today on them. The script uses only names that have not changed since the
first of these releases.
"""

from __future__ import annotations

import inspect
import json
import sys
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from attrs import frozen

from apcore.adapters.keys import StoreSigner
from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.federation import Federation
from apcore.federation.retry import RetryPolicy
from apcore.http import Headers, Request, Response
from apcore.node import Node
from apcore.ports import Message
from apcore.testing.peer import PeerNetwork
from apcore.vocab import PUBLIC, Block, Create, Delete, Follow, Note, Person, Update
from fixed_keys import fixed_rsa

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
HERE = "https://here.example"
ALICE = f"{HERE}/users/alice"
FRIEND = "https://friend.example"
CONTEXT = f"{FRIEND}/context"
LANES = [
    f"{kind}{bucket}" for kind in ("inbox", "fanout", "deliver") for bucket in ["", *(f"/{n:x}" for n in range(16))]
]
SECRETS = {"2026": b"a secret of the tests, 32 bytes."}


class Clock(BlockingRuntime):
    """A clock that the script moves, and random bytes that count."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = NOON
        self._numbers = count(1)

    def now(self) -> datetime:
        return self.moment

    def random_bytes(self, count: int, /) -> bytes:
        blocks = [next(self._numbers).to_bytes(16, "big") for _ in range(-(-count // 16))]
        return b"".join(blocks)[-count:]

    def seconds(self) -> float:
        return self.moment.timestamp()

    def overlap(self, jobs: Any, /, *, limit: int) -> Any:
        return [job() for job in jobs]


class Web(PeerNetwork):
    """Peers, and one JSON-LD context."""

    def send(self, request: Request, /) -> Response:
        if request.url == CONTEXT:
            terms = {"@context": {"mood": "https://friend.example/ns#mood"}}
            return Response(200, Headers({"Content-Type": "application/ld+json"}), json.dumps(terms).encode())
        response = super().send(request)
        if request.url.endswith("/nina"):
            return Response(response.status, response.headers.with_set("cache-control", "no-store"), response.body)
        return response


def make_federation() -> Federation[None]:
    retries = RetryPolicy(attempts_max=2, base_s=600.0, age_s_max=86_400.0)
    federation: Federation[None] = Federation(
        software="samples/1.0", unknown_contexts="fetch", listener_retries=retries
    )

    @federation.actor("/users/{identifier}")
    def actor(_: Any, identifier: str) -> Person | None:
        return Person(preferred_username=identifier) if identifier in {"alice", "bob"} else None

    @federation.on(Create)
    def fail(_: Any, activity: Create) -> None:
        raise RuntimeError(f"{activity.document.id} cannot be handled")

    return federation


def main(release: str) -> None:
    clock = Clock()
    web = Web(clock=clock.now)
    store, queue = MemoryStore(clock=clock.seconds), MemoryStore(clock=clock.seconds)
    options = {"slots": 0} if "slots" in inspect.signature(Node.__init__).parameters else {}
    ports = {"queue": queue, "transport": web, "runtime": clock, "signer": StoreSigner(store)}
    node: Node[None] = Node(make_federation(), HERE, store, **ports, **options)  # type: ignore[arg-type]

    def peer(actor: str) -> Any:
        return web.peer(actor, key=fixed_rsa("", ""), members={"assertionMethod": None})

    def receive(sender: Any, activity: Any, to: str = "alice") -> int:
        request = sender.request(activity, f"{HERE}/users/{to}/inbox")
        served: Any = node.handle(Request("POST", request.url, request.headers, request.body, client="1.1.1.1"))
        return int(served.status)

    def pass_s(seconds: float) -> None:
        clock.moment += timedelta(seconds=seconds)
        node.work(until_idle=True)

    carol, frank = peer(f"{FRIEND}/users/carol"), peer("https://broken.example/users/frank")
    erin, gina = peer("https://dead.example/users/erin"), peer("https://lost.example/users/gina")
    henry, dave, mallory, nina, ghost = (
        peer(f"{FRIEND}/users/{name}") for name in ("henry", "dave", "mallory", "nina", "ghost")
    )
    ghost.serve(ghost.actor, None, status=404)

    # Followers, one of whom deletes itself.
    for follower in (carol, erin, frank, gina, henry):
        assert receive(follower, follower.activity("Follow", object=ALICE)) == 202
    pass_s(1)
    assert receive(henry, henry.activity("Delete", object=henry.actor, to=[ALICE])) == 202
    pass_s(1)

    # Our own Follow is not answered. Mallory asks to follow, and is blocked.
    node.send(Follow(id=f"{ALICE}#follow-dave", actor=ALICE, object=dave.actor), by="alice", to=dave.actor)
    assert receive(mallory, mallory.activity("Follow", object=ALICE)) == 202
    pass_s(1)
    node.send(Block(id=f"{ALICE}#block", actor=ALICE, object=mallory.actor), by="alice", to=mallory.actor)

    # A note that reaches one follower. The other deliveries fail, each in a way of its own.
    web.down.add("https://dead.example")
    frank.answers[:] = [408] * 9
    gina.answers[:] = [410] * 9
    web.down.add("https://unreachable.example")
    nora = "https://unreachable.example/users/nora"
    node.publish(Note(content="first"), by="alice", to=[f"{ALICE}/followers", nora])
    pass_s(1)

    # A note that was changed and deleted.
    note = node.publish(Note(content="second"), by="alice", to=PUBLIC)
    pass_s(1)
    node.send(Update(object=Note(id=note, content="changed")), by="alice", to=PUBLIC)
    pass_s(1)
    node.send(Delete(object=note), by="alice", to=PUBLIC)
    pass_s(1)

    # Activities whose listener fails: the first twice, so it is a dead letter, the second once.
    create = carol.activity("Create", object={"type": "Note", "content": "mood", "mood": "good"})
    assert receive(carol, create | {"@context": [create["@context"], CONTEXT]}) == 202
    pass_s(1)
    pass_s(700)
    assert receive(carol, carol.activity("Create", object={"type": "Note", "content": "fails once"})) == 202
    pass_s(1)

    # Keys of peers: one that was refreshed without need, one that does not exist, one that cannot be reached.
    bad = frank.request(frank.activity("Like", object=note), f"{HERE}/inbox")
    bad_headers = bad.headers.with_set("date", "Thu, 01 Jan 2026 12:11:00 GMT")
    served: Any = node.handle(Request("POST", bad.url, bad_headers, bad.body, client="1.1.1.1"))
    assert served.status == 401
    assert receive(ghost, ghost.activity("Like", object=note)) == 401
    down = peer("https://down.example/users/dora")
    web.down.add("https://down.example")
    assert receive(down, down.activity("Like", object=note)) == 503

    # An actor that has changed: its cached document does not count any more.
    update = carol.activity("Update", object=carol.document, to=[ALICE])
    assert receive(carol, update) == 202
    pass_s(1)

    # A note for actors whose inboxes are remembered, refused, and on another origin than the actor.
    ivan = web.peer(f"{FRIEND}/users/ivan", members={"inbox": "https://dead.example/ivan", "endpoints": None})
    node.publish(Note(content="third"), by="alice", to=[PUBLIC, nina.actor, ghost.actor, ivan.actor])
    pass_s(1)

    # Rotated keys: the Update of the actor is not planned yet. An activity that is not processed yet.
    node.rotate_keys("alice")
    waiting = carol.activity("Create", id=f"{carol.actor}#waiting", object={"type": "Note", "content": "waits"})
    assert receive(carol, waiting) == 202
    bob: Any = node.handle(Request("GET", f"{HERE}/users/bob", Headers({"Accept": "application/activity+json"})))
    assert bob.status == 200
    StoreSigner(store, secrets=SECRETS).make_key("ed25519")

    records = [{"key": list(entry.key), **as_json(entry.value)} for entry in store.scan((), limit=1000)]
    messages: dict[bytes, dict[str, Any]] = {}
    clock.moment += timedelta(days=30)  # all messages are due by then
    for lane in LANES:
        while leases := queue.lease([lane], limit=100, lease_s=86_400.0):
            for leased in leases:
                message = leased.message
                labels = {"lane": message.lane, "dedup": message.dedup, "group": message.group}
                messages[message.id] = labels | as_json(message.body)
    header = {"release": release, "now": (clock.moment - timedelta(days=30)).isoformat()}
    sys.stdout.writelines(json.dumps(line) + "\n" for line in (header, *records, *messages.values()))


def as_json(value: bytes) -> dict[str, str]:
    """Return bytes as text where they are text, so that people can read the samples."""
    try:
        return {"text": value.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}


@frozen
class Samples:
    """The stored data of one release."""

    now: datetime
    """The time at which the data was taken."""
    records: list[tuple[tuple[str, ...], bytes]]
    """Keys and values."""
    messages: list[Message]


def read_samples(release: str) -> Samples:
    """Read the samples of a release."""
    path = Path(__file__).parent / "records" / f"samples_{release}.jsonl"
    header, *lines = map(json.loads, path.read_text(encoding="ascii").splitlines())
    records = [(tuple(line["key"]), _as_bytes(line)) for line in lines if "key" in line]
    messages = [
        Message(number.to_bytes(16, "big"), line["lane"], _as_bytes(line), dedup=line["dedup"], group=line["group"])
        for number, line in enumerate(lines)
        if "lane" in line
    ]
    return Samples(datetime.fromisoformat(header["now"]), records, messages)


def _as_bytes(line: dict[str, str]) -> bytes:
    return line["text"].encode() if "text" in line else b64decode(line["base64"])


if __name__ == "__main__":
    main(sys.argv[1])
