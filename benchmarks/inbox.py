"""What an inbox costs: ``python -m benchmarks.inbox [ROUNDS] [--profile]``.

One POST of a Create of 4 KB, signed by draft-cavage with a known RSA-2048 key, answered with 202: verified, claimed and enqueued. Beside it, in the same
turns, the bare cryptography (SHA-256 of the body and one RSA verification with a loaded key). Then whole activities a second through ASGI in one
process, worker included, without sockets: in memory, and on SQLite (FULL and NORMAL), at n, 2n and 4n.

With ``--profile``, only the POSTs run, and a table shows where their time goes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks._sampling import print_samples
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from apcore import AsyncNode, Federation, Node, OpContext, operation
from apcore.adapters.asgi import asgi_app
from apcore.adapters.memory import MemoryStore
from apcore.effects import Op
from apcore.http import Request, Response
from apcore.signatures import cavage, generate_key
from apcore.vocab import Create, Person

REMOTE, OURS = "https://remote.example", "https://ours.example"
BOB = f"{REMOTE}/users/bob"
KEY = generate_key("rsa-2048", key_id=f"{BOB}#main-key", owner=BOB)


class Web:
    """Bob's server, as far as it is asked."""

    checks_addresses = "enforced"
    never_waits = True

    def send(self, _request: Request, /) -> Response:
        actor = {
            "@context": ["https://www.w3.org/ns/activitystreams", "https://w3id.org/security/v1"],
            "id": BOB,
            "type": "Person",
            "inbox": f"{BOB}/inbox",
            "outbox": f"{BOB}/outbox",
            "publicKey": {"id": KEY.key_id, "owner": BOB, "publicKeyPem": KEY.public.pem},
        }
        return Response(200, {"content-type": "application/activity+json"}, json.dumps(actor).encode())

    def close(self) -> None:
        """Nothing is open."""


def federation(heard: list[str]) -> Federation[None]:
    made: Federation[None] = Federation(software="bench/1.0")

    @made.actor("/users/{identifier}")
    @operation
    def actor(_ctx: OpContext[None], identifier: str) -> Op[Person]:
        yield from ()
        return Person(name=identifier)

    @made.on(Create)
    @operation
    def create(_ctx: OpContext[None], activity: Create) -> Op[None]:
        yield from ()
        heard.append(activity.document.id or "")

    return made


def posts(count: int, inbox: str = f"{OURS}/inbox") -> list[Request]:
    """Signed POSTs of Creates as Mastodon writes them, each with its own id."""
    now = datetime.now(UTC)
    made = []
    for number in range(count):
        note = {
            "id": f"{REMOTE}/notes/{number}",
            "type": "Note",
            "attributedTo": BOB,
            "content": "<p>" + "word " * 600 + "</p>",
            "published": "2026-11-22T08:00:00Z",
            "to": ["https://www.w3.org/ns/activitystreams#Public"],
            "cc": [f"{BOB}/followers"],
        }
        create = {
            "@context": [
                "https://www.w3.org/ns/activitystreams",
                {"sensitive": "as:sensitive", "Hashtag": "as:Hashtag"},
            ],
            "id": f"{REMOTE}/creates/{number}",
            "type": "Create",
            "actor": BOB,
            "to": note["to"],
            "cc": note["cc"],
            "object": note,
        }
        request = Request("POST", inbox, {"content-type": "application/activity+json"}, json.dumps(create).encode())
        made.append(cavage.sign(request, KEY, now=now))
    return made


def accept_cost(rounds: int, inbox: str = f"{OURS}/inbox") -> None:
    """Verify, claim, enqueue: as a multiple of the bare cryptography, in processor time, which others on the machine do not stretch."""
    node = Node(federation([]), OURS, MemoryStore(), transport=Web())
    native: Any = load_der_public_key(KEY.public.spki)
    batch = 50
    requests = posts(batch * (rounds + 1), inbox)
    for request in requests[:batch]:
        assert node.handle(request).status == 202
    bare, ours = [], []
    signed = b"x" * 200
    signature = KEY.sign(signed)
    for turn in range(1, rounds + 1):
        chosen = requests[turn * batch : (turn + 1) * batch]
        began = time.process_time()
        for request in chosen:
            sha256(request.body).digest()
            native.verify(signature, signed, padding.PKCS1v15(), SHA256())
        between = time.process_time()
        for request in chosen:
            node.handle(request)
        ended = time.process_time()
        bare.append((between - began) / batch * 1e6)
        ours.append((ended - between) / batch * 1e6)
    node.close()
    ratio = median(mine / theirs for mine, theirs in zip(ours, bare, strict=True))
    print(f"one POST of {len(requests[0].body)} bytes to {inbox}")
    print(f"read, verified, claimed, enqueued:    {median(ours):8.1f} us")
    print(f"bare SHA-256 and RSA verify:          {median(bare):8.1f} us")
    print(f"ratio (median of pairs):              {ratio:8.2f}")


async def through_asgi(store: Any, count: int) -> float:
    """Activities a second, from the POST to the listener."""
    heard: list[str] = []
    node = AsyncNode(federation(heard), OURS, store, transport=Web())
    app = asgi_app(node, worker=False)
    requests = posts(count)

    async def post(request: Request) -> None:
        scope = {
            "type": "http",
            "method": "POST",
            "scheme": "https",
            "path": "/inbox",
            "raw_path": b"/inbox",
            "query_string": b"",
            "headers": [(name.lower(), value) for name, value in request.headers.to_wire()],
        }
        body = request.body
        statuses = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            statuses.append(message.get("status"))

        await app(scope, receive, send)
        assert statuses[0] == 202, statuses

    async def client(share: list[Request]) -> None:
        for request in share:
            await post(request)

    await post(requests[0])
    began = time.perf_counter()
    await asyncio.gather(*(client(requests[1 + start :: 16]) for start in range(16)))
    await node.work(until_idle=True)
    took = time.perf_counter() - began
    assert len(heard) == count, (len(heard), count)
    await node.aclose()
    return (count - 1) / took


def profile_posts(rounds: int) -> None:
    """Print where the time of POSTs goes that are accepted."""
    node = Node(federation([]), OURS, MemoryStore(), transport=Web())
    requests = posts(rounds * 500)
    print_samples(lambda: [node.handle(request) for request in requests])
    node.close()


def main() -> None:
    numbers = [argument for argument in sys.argv[1:] if argument.isdigit()]
    rounds = int(numbers[0]) if numbers else 8
    if "--profile" in sys.argv:
        profile_posts(rounds)
        return
    for inbox in (f"{OURS}/inbox", f"{OURS}/users/alice/inbox"):
        accept_cost(rounds, inbox)
    print("\nactivities a second through ASGI, one process, 16 clients, listener included")
    with TemporaryDirectory(prefix="apcore-bench-") as place:
        for count in (100, 200, 400):
            rates = {
                "memory": asyncio.run(through_asgi(MemoryStore(), count)),
                "SQLite NORMAL": asyncio.run(
                    through_asgi(f"sqlite:///{Path(place)}/n{count}.db?synchronous=normal", count)
                ),
                "SQLite FULL": asyncio.run(through_asgi(f"sqlite:///{Path(place)}/f{count}.db", count)),
            }
            print(f"  n = {count:4d}  " + "   ".join(f"{name} {rate:7.0f}/s" for name, rate in rates.items()))


if __name__ == "__main__":
    main()
