"""What every trial against a server of others needs: an apcore server on loopback with TLS, and patience."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trustme
import uvicorn
from attrs import frozen

from apcore import AsyncNode, Federation, FollowVerdict
from apcore.adapters.asgi import asgi_app
from apcore.adapters.h11 import AsyncH11Transport
from apcore.collections import contains
from apcore.federation import PollPolicy
from apcore.http import AddressPolicy, Headers, Request, TransportLimits
from apcore.remote import Rate
from apcore.vocab import Activity, Object, Person, joint_audience

__all__ = ["Commands", "LoopbackServer", "ReceivedActivity", "TlsFiles", "free_port", "running", "spawned", "until"]

PATIENCE_S = 60.0
"""On a busy machine, a delivery and the look-ups that it needs take half a minute."""
START_S = 240.0
COMMAND_S = 60.0
"""A command may have the other server fetch and store several documents, on a machine that is busy."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@frozen
class TlsFiles:
    """A certificate for localhost, and the authority that has signed it."""

    key: Path
    chain: Path
    authority: Path

    @classmethod
    def issue(cls, directory: Path) -> TlsFiles:
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        files = cls(*(directory / name for name in ("key.pem", "chain.pem", "ca.pem")))
        certificate.private_key_pem.write_to_path(str(files.key))
        certificate.cert_chain_pems[0].write_to_path(str(files.chain))
        authority.cert_pem.write_to_path(str(files.authority))
        return files

    def transport(self) -> AsyncH11Transport:
        return AsyncH11Transport(tls=ssl.create_default_context(cafile=str(self.authority)))


@frozen
class ReceivedActivity:
    """An activity that a listener got, with its evidence."""

    type: str
    actor: str
    content: str | None
    """The text of a post."""
    auth_method: str | None
    recipient: str | None
    """The identifier of the inbox's actor; None at the shared inbox."""


class LoopbackServer:
    """An apcore server with one actor, which remembers what it heard."""

    def __init__(
        self,
        origin: str,
        store: Path,
        scheme: Any,
        transport: AsyncH11Transport,
        listens_to: Sequence[type[Activity]],
        *,
        name: str = "alice",
    ) -> None:
        self.heard: list[tuple[str, str]] = []
        self.received: list[ReceivedActivity] = []
        self.audiences: list[str] = []
        """The visibility of each received post: `public`, `unlisted` or `limited`."""
        self.verdict = FollowVerdict.ACCEPT
        """The answer to the next requests to follow."""
        self.name, self.origin = name, origin
        self.actor = f"{origin}/users/{name}"
        self.actor_members: dict[str, Any] = {}
        """Members of the actor's document that replace the default ones."""
        polls = PollPolicy(interval_s=2, interval_s_min=1, interval_s_max=4, host_rate=Rate(1000, 100))
        federation: Federation[None] = Federation(software="apcore-interop/1.0", signature_scheme=scheme, polls=polls)

        @federation.actor("/users/{identifier}")
        def actor(ctx, identifier):
            if identifier != name:
                return None
            return Person(preferred_username=name, name=name.title(), **self.actor_members)

        federation.follows(lambda ctx, follow: self.verdict)
        for kind in listens_to:
            federation.on(kind)(lambda ctx, activity, type_name=kind.__name__: self._listen(ctx, type_name, activity))
        addresses = AddressPolicy(loopback=True)
        self.node = AsyncNode(federation, origin, f"sqlite:///{store}", transport=transport, addresses=addresses)
        self.site = self.node.site()

    def _listen(self, ctx: Any, type_name: str, activity: Activity) -> None:
        self.heard.append((type_name, activity.actor.uri))
        note = None if activity.object is None else activity.object.claimed(Object)
        self.received.append(
            ReceivedActivity(
                type_name,
                activity.actor.uri,
                None if note is None else note.content,
                ctx.auth_method,
                ctx.recipient,
            )
        )
        if type_name == "Create":
            self.audiences.append(joint_audience(activity.document).visibility.value)

    async def has_post(self, visibility: str) -> bool:
        """Return whether a post of that visibility was received."""
        return visibility in self.audiences

    async def has(self, collection: str, uri: str) -> bool:
        """Ask the store, not the cache of what was served."""
        [member] = await self.node.run(contains(f"{self.actor}/{collection}", (uri,)))
        return bool(member)


class Commands:
    """The commands that the other server takes as POSTs to /control/NAME."""

    def __init__(self, origin: str, transport: AsyncH11Transport) -> None:
        self.origin = origin
        self._transport = transport

    async def tell(self, command: str, **body: str) -> dict[str, Any]:
        answer = await self._transport.send(
            Request(
                "POST",
                f"{self.origin}/control/{command}",
                Headers({"Content-Type": "application/json"}),
                json.dumps(body).encode(),
                limits=TransportLimits(deadline_s=COMMAND_S),
                addresses=AddressPolicy(loopback=True),
            )
        )
        told: dict[str, Any] = json.loads(answer.body)
        if answer.status != 200:
            raise AssertionError(f"{command}: {told.get('error', told)}")
        return told


async def until(holds: Callable[[], Awaitable[bool]], what: str, *, patience_s: float = PATIENCE_S) -> None:
    """Wait until something holds, and fail if it does not in time."""
    began, pause_s = time.monotonic(), 0.1
    while not await holds():
        if time.monotonic() - began > patience_s:
            raise AssertionError(f"not within {patience_s:g} s: {what}")
        await asyncio.sleep(pause_s)
        # To ask costs the other server what it needs to become ready.
        pause_s = min(1.0, 1.5 * pause_s)


@asynccontextmanager
async def running(server: LoopbackServer, files: TlsFiles, port: int) -> AsyncGenerator[None]:
    """Serve ``server`` under uvicorn meanwhile."""
    config = uvicorn.Config(
        asgi_app(server.node),
        host="127.0.0.1",
        port=port,
        ssl_keyfile=str(files.key),
        ssl_certfile=str(files.chain),
        log_level="warning",
    )
    process = uvicorn.Server(config)
    serving = asyncio.create_task(process.serve())
    try:
        await until(lambda: asyncio.sleep(0, process.started), "our server starts")
        yield
    finally:
        process.should_exit = True
        await serving


@asynccontextmanager
async def spawned(*command: str, env: dict[str, str]) -> AsyncGenerator[list[bytes]]:
    """Run another server meanwhile, from when it has printed ``listening``; gives what it prints."""
    process = await asyncio.create_subprocess_exec(
        *command, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    stream, printed = process.stdout, list[bytes]()

    async def keep() -> None:
        while line := await stream.readline():
            printed.append(line)

    keeping = asyncio.create_task(keep())
    try:
        await until(lambda: asyncio.sleep(0, b"listening\n" in printed), "it listens", patience_s=START_S)
        yield printed
    except BaseException:
        print("what the other server printed:", b"".join(printed[-60:]).decode("utf-8", "replace"), sep="\n")
        raise
    finally:
        process.kill()
        await process.wait()
        await keeping
