"""apcore and Fedify, two servers on loopback with TLS, understanding each other in both directions.

    python interop/try_fedify.py DIRECTORY

DIRECTORY is where ``npm install`` has put what interop/package.json names. Every step is told as it happens; exit code 0 if all of them held, 1
with the step and what the servers printed if one did not.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import frozen
from loopback import Commands, LoopbackServer, TlsFiles, free_port, running, spawned, until

from apcore import FollowVerdict
from apcore.collections import traverse
from apcore.remote import load
from apcore.vocab import PUBLIC, Accept, Actor, Block, Create, Follow, Note, Reject, Undo, Update

HERE = Path(__file__).parent


class Fedify:
    """The Fedify server, and the commands that it takes."""

    def __init__(self, commands: Commands) -> None:
        self.fed = f"{commands.origin}/users/fed"
        self.tell = commands.tell

    async def heard(self) -> list[tuple[str, str]]:
        told: dict[str, Any] = await self.tell("heard")
        return [(each["type"], each["actor"]) for each in told["heard"]]


async def steps(ours: LoopbackServer, theirs: Fedify) -> None:
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
        return not await ours.has("followers", theirs.fed)

    await until(gone, "Fedify is not among our followers any more")
    await ours.node.send(Undo(object=Follow(actor=ours.alice, object=theirs.fed)), by="alice", to=theirs.fed)
    await until(lambda: they_heard("Undo"), "Fedify hears our Undo")
    said("both take their Follow back")
    trial = RelationTrial(ours, theirs, said)
    await trial.answer_their_follows()
    await trial.await_their_answers()
    await trial.block_each_other()


@frozen
class RelationTrial:
    """The steps about follow relations, limited audiences, a new inbox and blocks, in both directions."""

    ours: LoopbackServer
    theirs: Fedify
    said: Callable[[str], None]

    async def count(self, kind: str) -> int:
        """Return how many of our activities of a type Fedify has heard."""
        return (await self.theirs.heard()).count((kind, self.ours.alice))

    async def until_they_heard(self, kind: str, count: int = 1) -> None:
        async def is_heard() -> bool:
            return await self.count(kind) >= count

        await until(is_heard, f"Fedify hears our {kind}, number {count}")

    async def until_we_heard(self, kind: str, count: int = 1) -> None:
        async def is_heard() -> bool:
            return self.ours.heard.count((kind, self.theirs.fed)) >= count

        await until(is_heard, f"we hear Fedify's {kind}, number {count}")

    async def until_following(self, is_member: bool) -> None:
        async def holds() -> bool:
            return await self.ours.has("following", self.theirs.fed) is is_member

        await until(holds, f"membership of Fedify in our following is {is_member}")

    async def last_create(self) -> dict[str, Any]:
        activities = (await self.theirs.tell("heard"))["heard"]
        create: dict[str, Any] = next(entry for entry in reversed(activities) if entry["type"] == "Create")
        return create

    async def answer_their_follows(self) -> None:
        ours, theirs = self.ours, self.theirs
        ours.verdict = FollowVerdict.PENDING
        accept_count = await self.count("Accept")
        await theirs.tell("follow", actor=ours.alice)

        async def is_pending() -> bool:
            requests = (await ours.node.pending_follows("alice")).items
            return theirs.fed in [request.actor for request in requests]

        await until(is_pending, "Fedify's Follow is pending")
        assert not await ours.has("followers", theirs.fed)
        await ours.node.accept_follow(theirs.fed, by="alice")
        await self.until_they_heard("Accept", accept_count + 1)
        assert await ours.has("followers", theirs.fed)
        self.said("apcore leaves Fedify's Follow pending, and approves it later")
        await self.write_to_limited_audiences()
        await self.deliver_to_a_new_inbox()
        await ours.node.remove_follower(theirs.fed, by="alice")
        await self.until_they_heard("Reject")
        assert not await ours.has("followers", theirs.fed)
        self.said("apcore removes Fedify from its followers")
        ours.verdict = FollowVerdict.REJECT
        await theirs.tell("follow", actor=ours.alice)
        await self.until_they_heard("Reject", 2)
        assert not await ours.has("followers", theirs.fed)
        self.said("apcore rejects Fedify's Follow")

    async def write_to_limited_audiences(self) -> None:
        followers, count = f"{self.ours.alice}/followers", await self.count("Create")
        for number, cc in enumerate([[PUBLIC], []], start=1):
            await self.ours.node.publish(Note(content=f"<p>limited {number}</p>", to=[followers], cc=cc), by="alice")
            await self.until_they_heard("Create", count + number)
            create = await self.last_create()
            assert (create["to"], create["cc"]) == ([followers], cc), create
        self.said("apcore posts unlisted and to followers only, and Fedify reads these audiences")

    async def deliver_to_a_new_inbox(self) -> None:
        await self.theirs.tell("moveInbox", actor=self.ours.alice)
        await self.until_we_heard("Update")

        async def reaches_new_inbox() -> bool:
            count = await self.count("Create")
            await self.ours.node.publish(Note(content="<p>to the new inbox</p>"), by="alice")
            await self.until_they_heard("Create", count + 1)
            return str((await self.last_create())["inbox"]).endswith("/users/fed-new/inbox")

        await until(reaches_new_inbox, "our posts reach Fedify's new inbox")
        self.said("Fedify gets a new inbox, and apcore delivers to it")

    async def await_their_answers(self) -> None:
        ours, theirs = self.ours, self.theirs
        count = await self.count("Follow")
        await theirs.tell("answering", mode="pending")
        await ours.node.follow(theirs.fed, by="alice")
        await self.until_they_heard("Follow", count + 1)
        assert not await ours.has("following", theirs.fed)
        await theirs.tell("answer", actor=ours.alice, accepts="true")
        await self.until_following(True)
        self.said("Fedify leaves our Follow pending, and approves it later")
        for visibility, word in (("unlisted", "unlisted"), ("followers", "limited")):
            await theirs.tell("post", content=f"<p>{visibility}</p>", visibility=visibility)
            await until(lambda word=word: ours.has_post(word), f"we read Fedify's post to {visibility}")
        self.said("Fedify posts unlisted and to followers only, and apcore reads these audiences")
        await theirs.tell("answer", actor=ours.alice, accepts="false")
        await self.until_following(False)
        self.said("Fedify removes apcore from its followers")
        count = ours.heard.count(("Reject", theirs.fed))
        await theirs.tell("answering", mode="reject")
        await ours.node.follow(theirs.fed, by="alice")
        await self.until_we_heard("Reject", count + 1)
        assert not await ours.has("following", theirs.fed)
        self.said("Fedify rejects apcore's Follow")

    async def block_each_other(self) -> None:
        ours, theirs = self.ours, self.theirs
        await theirs.tell("answering", mode="accept")
        await ours.node.follow(theirs.fed, by="alice")
        await self.until_following(True)
        await theirs.tell("block", actor=ours.alice)
        await self.until_following(False)
        self.said("Fedify blocks apcore")
        await ours.node.block(theirs.fed, by="alice")
        await self.until_they_heard("Block")
        self.said("apcore blocks Fedify")


async def one_round(directory: Path, knock: str, scheme: str) -> None:
    print(f"Fedify signs {knock} first, apcore signs {scheme}", flush=True)
    with TemporaryDirectory(prefix="apcore-interop-") as place:
        files = TlsFiles.issue(Path(place))
        transport = files.transport()
        our_port, their_port = free_port(), free_port()
        kinds = (Accept, Block, Create, Follow, Reject, Undo, Update)
        ours = LoopbackServer(f"https://localhost:{our_port}", Path(place) / "ours.db", scheme, transport, kinds)
        theirs = Fedify(Commands(f"https://localhost:{their_port}", transport))
        node = shutil.which("node", path=str(directory / "node_modules" / ".bin")) or "node"
        # Modules are looked up from where the file lies, so it has to lie beside them.
        script = shutil.copy(HERE / "fedify_server.mjs", directory / "fedify_server.mjs")
        command = (node, str(script), str(their_port), str(files.key), str(files.chain), knock)
        environment = {"NODE_EXTRA_CA_CERTS": str(files.authority), "PATH": "/usr/bin:/bin"}
        async with spawned(*command, env=environment), running(ours, files, our_port):
            try:
                await steps(ours, theirs)
            except BaseException:
                print("what apcore heard:", ours.heard)
                raise
            finally:
                # First, so that our server need not wait for the other ends of its TLS connections to take their leave.
                await transport.aclose()


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
