"""apcore and Fedify, two servers on loopback with TLS, understanding each other in both directions.

    python interop/try_fedify.py DIRECTORY

DIRECTORY is where ``npm install`` has put what interop/package.json names. Every step is told as it happens; exit code 0 if all of them held, 1
with the step and what the servers printed if one did not.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trustme
import uvicorn

from apcore import AsyncNode, Federation
from apcore.adapters.asgi import asgi_app
from apcore.adapters.h11 import AsyncH11Transport
from apcore.collections import traverse
from apcore.graph import load
from apcore.http import AddressPolicy, Headers, Limits, Request
from apcore.vocab import Accept, Actor, Create, Follow, Note, Person, Undo

HERE = Path(__file__).parent
PATIENCE_S = 20.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Ours:
    """An apcore server that remembers what it heard."""

    def __init__(self, origin: str, store: Path, scheme: Any, transport: AsyncH11Transport) -> None:
        self.heard: list[tuple[str, str]] = []
        self.alice = f"{origin}/users/alice"
        federation: Federation[None] = Federation(software="apcore-interop/1.0", signature_scheme=scheme)

        @federation.actor("/users/{identifier}")
        def actor(ctx, identifier):
            return Person(preferred_username="alice", name="Alice") if identifier == "alice" else None

        for kind in (Accept, Create, Follow, Undo):
            federation.on(kind)(lambda ctx, activity, name=kind.__name__: self.heard.append((name, activity.actor.uri)))
        addresses = AddressPolicy(loopback=True)
        self.node = AsyncNode(federation, origin, f"sqlite:///{store}", transport=transport, addresses=addresses)
        self.site = self.node.site()


class Theirs:
    """The Fedify server, and the commands that it takes."""

    def __init__(self, origin: str, transport: AsyncH11Transport) -> None:
        self.origin = origin
        self.fed = f"{origin}/users/fed"
        self._transport = transport

    async def tell(self, command: str, **body: str) -> dict[str, Any]:
        answer = await self._transport.send(
            Request(
                "POST",
                f"{self.origin}/control/{command}",
                Headers({"Content-Type": "application/json"}),
                json.dumps(body).encode(),
                limits=Limits(deadline_s=PATIENCE_S),
                addresses=AddressPolicy(loopback=True),
            )
        )
        told: dict[str, Any] = json.loads(answer.body)
        if answer.status != 200:
            raise AssertionError(f"{command}: {told}")
        return told

    async def heard(self) -> list[tuple[str, str]]:
        told = await self.tell("heard")
        return [(each["type"], each["actor"]) for each in told["heard"]]


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    began = time.monotonic()
    while not await holds():
        if time.monotonic() - began > PATIENCE_S:
            raise AssertionError(f"not within {PATIENCE_S:g} s: {what}")
        await asyncio.sleep(0.1)


async def steps(ours: Ours, theirs: Theirs) -> None:
    """Everything that has to hold, in its order."""
    began = time.monotonic()

    def said(step: str) -> None:
        print(f"  ok  {time.monotonic() - began:6.2f} s  {step}", flush=True)

    acct = f"@alice@{ours.alice.split('/')[2]}"
    found = await theirs.tell("lookup", handle=acct)
    assert found == {"id": ours.alice, "name": "Alice"}, found
    said(f"Fedify looks {acct} up")

    loaded = await ours.node.run(load(theirs.fed, policy=ours.site.fetching))
    assert loaded.document.view(Actor).preferred_username == "fed"
    said("apcore loads Fedify's actor")

    async def they_heard(kind: str) -> bool:
        return (kind, ours.alice) in await theirs.heard()

    async def we_heard(kind: str) -> bool:
        return (kind, theirs.fed) in ours.heard

    async def in_ours(name: str, uri: str) -> bool:
        collection = await ours.node.run(traverse(f"{ours.alice}/{name}", policy=ours.site.fetching))
        return uri in [item.uri for item in collection.items]

    await theirs.tell("follow", actor=ours.alice)
    await until(lambda: they_heard("Accept"), "Fedify hears our Accept")
    assert ("Follow", theirs.fed) in ours.heard
    await until(lambda: in_ours("followers", theirs.fed), "Fedify is among our followers")
    said("Fedify follows apcore, and is accepted")

    await ours.node.send(Follow(object=theirs.fed), by="alice", to=theirs.fed)
    await until(lambda: we_heard("Accept"), "we hear Fedify's Accept")
    await until(lambda: in_ours("following", theirs.fed), "we follow Fedify")
    assert ours.alice in (await theirs.tell("heard"))["followers"]
    said("apcore follows Fedify, and is accepted")

    for number in range(3):
        await ours.node.publish(Note(content=f"<p>from apcore {number}</p>"), by="alice")
    await until(lambda: they_heard("Create"), "Fedify hears our Create")
    said("apcore posts, and Fedify hears it")

    for number in range(5):
        await theirs.tell("post", content=f"<p>from Fedify {number}</p>")
    await until(lambda: we_heard("Create"), "we hear Fedify's Create")
    said("Fedify posts, and apcore hears it")

    read = await theirs.tell("traverse", collection=f"{ours.alice}/outbox")
    assert len(read["items"]) == 3, read
    said("Fedify reads apcore's outbox, 3 items")

    outbox = await ours.node.run(traverse(f"{theirs.fed}/outbox", policy=ours.site.fetching))
    assert (len(outbox.items), outbox.ended) == (5, None), outbox
    said(f"apcore reads Fedify's outbox, 5 items on {outbox.pages - 1} pages")

    await theirs.tell("unfollow", actor=ours.alice)
    await until(lambda: we_heard("Undo"), "we hear Fedify's Undo")

    async def gone() -> bool:
        return not await in_ours_now(ours, theirs.fed)

    await until(gone, "Fedify is not among our followers any more")
    await ours.node.send(Undo(object=Follow(actor=ours.alice, object=theirs.fed)), by="alice", to=theirs.fed)
    await until(lambda: they_heard("Undo"), "Fedify hears our Undo")
    said("both take their Follow back")


async def in_ours_now(ours: Ours, uri: str) -> bool:
    """Ask the store, not the cache of what was served."""
    from apcore.collections import contains

    [found] = await ours.node.run(contains(f"{ours.alice}/followers", (uri,)))
    return found


async def one_round(directory: Path, knock: str, scheme: str) -> None:
    print(f"Fedify signs {knock} first, apcore signs {scheme}", flush=True)
    with TemporaryDirectory(prefix="apcore-interop-") as place:
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        key_file, chain_file, ca_file = (Path(place) / name for name in ("key.pem", "chain.pem", "ca.pem"))
        certificate.private_key_pem.write_to_path(str(key_file))
        certificate.cert_chain_pems[0].write_to_path(str(chain_file))
        authority.cert_pem.write_to_path(str(ca_file))
        trust = ssl.create_default_context(cafile=str(ca_file))
        transport = AsyncH11Transport(tls=trust)
        our_port, their_port = free_port(), free_port()
        ours = Ours(f"https://localhost:{our_port}", Path(place) / "ours.db", scheme, transport)
        theirs = Theirs(f"https://localhost:{their_port}", transport)
        config = uvicorn.Config(
            asgi_app(ours.node),
            host="127.0.0.1",
            port=our_port,
            ssl_keyfile=str(key_file),
            ssl_certfile=str(chain_file),
            log_level="warning",
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        node = shutil.which("node", path=str(directory / "node_modules" / ".bin")) or "node"
        # Modules are looked up from where the file lies, so it has to lie beside them.
        script = shutil.copy(HERE / "fedify_server.mjs", directory / "fedify_server.mjs")
        process = await asyncio.create_subprocess_exec(
            node,
            str(script),
            str(their_port),
            str(key_file),
            str(chain_file),
            knock,
            env={"NODE_EXTRA_CA_CERTS": str(ca_file), "PATH": "/usr/bin:/bin"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        printed: list[bytes] = []
        try:
            first = await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
            assert first.strip() == b"listening", first
            keeping = asyncio.create_task(keep(process.stdout, printed))
            await until(lambda: asyncio.sleep(0, server.started), "our server starts")
            await steps(ours, theirs)
            keeping.cancel()
        except BaseException:
            print("what Fedify printed:", b"".join(printed[-40:]).decode("utf-8", "replace"), sep="\n")
            print("what apcore heard:", ours.heard)
            raise
        finally:
            process.kill()
            await process.wait()
            # First, so that our server need not wait for the other ends of its TLS connections to take their leave.
            await transport.aclose()
            server.should_exit = True
            await serving


async def keep(stream: asyncio.StreamReader, printed: list[bytes]) -> None:
    while line := await stream.readline():
        printed.append(line)


def main() -> int:
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "node_modules" / "@fedify" / "fedify").is_dir():
        print(__doc__)
        return 2
    directory = Path(sys.argv[1])
    try:
        asyncio.run(one_round(directory, "draft-cavage-http-signatures-12", "cavage"))
        asyncio.run(one_round(directory, "rfc9421", "rfc9421"))
    except Exception:
        traceback.print_exc()
        return 1
    print("all steps hold, in both signature dialects")
    return 0


if __name__ == "__main__":
    sys.exit(main())
