"""apcore and Django ActivityPub Toolkit (DAT) 0.2.0, two servers on loopback with TLS: the matrix of what goes, both ways.

    python interop/try_dat.py PYTHON [--markdown]

PYTHON is the interpreter of an environment with django-activitypub-toolkit and without apcore. Every cell says whether
something goes. Where the toolkit cannot do a thing, the reason stands beside it. Exit code 0 if every cell is as
expected, 1 if one is not, be it worse or better.
"""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import evolve, frozen
from loopback import Commands, LoopbackServer, TlsFiles, free_port, running, spawned, until

from apcore.collections import traverse
from apcore.discovery import lookup, lookup_nodeinfo
from apcore.remote import load, remote_key
from apcore.vocab import Accept, Actor, Create, Follow, Like, Note, Undo

HERE = Path(__file__).parent
WAIT_S = 90.0
POSTS = 3
"""Posts of either side. With its Follow they fill two pages of the toolkit, which here has two items on a page."""


@frozen
class Lack:
    """Why something is expected not to go, and by which text of its failure that is known."""

    reason: str
    evidence: str


@frozen
class Cell:
    """One thing that goes or does not."""

    direction: str
    name: str
    lack: Lack | None
    failure: str | None
    """How it failed; None if it went."""

    @property
    def is_as_expected(self) -> bool:
        if self.lack is None or self.failure is None:
            return self.lack is None and self.failure is None
        return self.lack.evidence in self.failure


class Matrix:
    """The cells, in the order in which they were tried."""

    def __init__(self) -> None:
        self.cells: list[Cell] = []

    async def cell(
        self, direction: str, name: str, trial: Callable[[], Awaitable[object]], *, lack: Lack | None = None
    ) -> None:
        """Try one thing."""
        began = time.monotonic()
        try:
            await trial()
        except Exception as error:
            cell = Cell(direction, name, lack, f"{type(error).__name__}: {error}")
        else:
            cell = Cell(direction, name, lack, None)
        self.cells.append(cell)
        outcome = "goes" if cell.failure is None else f"does not go ({'see below' if lack is None else lack.reason})"
        mark = "ok" if cell.is_as_expected else "NOT AS EXPECTED"
        print(f"  {mark}  {time.monotonic() - began:5.2f} s  {direction}: {name}: {outcome}", flush=True)
        if not cell.is_as_expected:
            print(f"      {(cell.failure or 'it was expected not to go')[-1500:]}", flush=True)

    @property
    def holds(self) -> bool:
        return all(cell.is_as_expected for cell in self.cells)

    def markdown(self) -> str:
        lines = ["| direction | feature | works | why not |", "|---|---|---|---|"]
        for cell in self.cells:
            reason = "" if cell.lack is None else cell.lack.reason
            lines.append(f"| {cell.direction} | {cell.name} | {'yes' if cell.failure is None else 'no'} | {reason} |")
        return "\n".join(lines)


def expect(condition: object, shown: object) -> None:
    if not condition:
        raise AssertionError(str(shown))


class Trials:
    """What is tried, by name."""

    def __init__(self, ours: LoopbackServer, commands: Commands) -> None:
        self.ours, self.commands = ours, commands
        self.alice, self.dat = ours.actor, f"{commands.origin}/users/dat"
        self.posts: list[dict[str, Any]] = []

    async def heard_there(self, kind: str) -> dict[str, Any]:
        """Wait until the toolkit has taken an activity of ours in, and return what it says about it."""
        last: dict[str, Any] = {}

        async def came() -> bool:
            nonlocal last
            last = await self.commands.tell("heard")
            return any(
                (entry["actor"], entry["type"]) == (self.alice, kind) and entry["results"] for entry in last["heard"]
            )

        try:
            await until(came, f"DAT hears our {kind}", patience_s=WAIT_S)
        except AssertionError as error:
            raise AssertionError(f"{error}; it has heard {last}") from None
        return next(entry for entry in last["heard"] if (entry["actor"], entry["type"]) == (self.alice, kind))

    async def heard_here(self, kind: str) -> None:
        async def came() -> bool:
            return (kind, self.dat) in self.ours.heard

        await until(came, f"we hear DAT's {kind}", patience_s=WAIT_S)

    # apcore asks

    async def we_find_the_handle(self) -> None:
        port = self.commands.origin.rpartition(":")[2]
        found = await self.ours.node.run(lookup(f"@dat@localhost:{port}", policy=self.ours.site.fetching))
        expect(found.acct is not None, found)

    async def we_read_the_actor(self) -> None:
        loaded = await self.ours.node.run(load(self.dat, policy=self.ours.site.fetching))
        actor = loaded.document.view(Actor)
        expect((actor.preferred_username, actor.name) == ("dat", "Dat"), loaded.document.tree)

    async def we_confirm_the_key(self) -> None:
        # With patience, so that a busy machine does not fail what follows: deliveries wait for a key 5 seconds at most.
        policy = evolve(self.ours.site.fetching, key_s_max=WAIT_S)
        actor = await self.ours.node.run(load(self.dat, policy=policy))
        [key] = actor.document.view(Actor).public_keys
        found = await self.ours.node.run(remote_key(key.uri or "", policy=policy))
        expect(found.key.owner == self.dat, found)

    async def we_read_nodeinfo(self) -> None:
        found = await self.ours.node.run(lookup_nodeinfo(self.commands.origin, policy=self.ours.site.fetching))
        expect(found.speaks_activitypub, found)

    async def we_read_a_post(self) -> None:
        loaded = await self.ours.node.run(load(self.posts[0]["object"], policy=self.ours.site.fetching))
        expect(loaded.document.view(Note).content == "<p>from DAT 0</p>", loaded.document.tree)

    async def we_read_the_outbox(self) -> None:
        outbox = await self.ours.node.run(traverse(f"{self.dat}/outbox", policy=self.ours.site.fetching))
        missing = {post["id"] for post in self.posts} - {item.uri for item in outbox.items}
        expect(not missing and outbox.ended is None, f"{len(missing)} posts are missing: {outbox}")

    async def we_read_the_followers(self) -> None:
        followers = await self.ours.node.run(traverse(f"{self.dat}/followers", policy=self.ours.site.fetching))
        expect([item.uri for item in followers.items] == [self.alice], followers)

    # apcore sends

    async def we_follow(self) -> None:
        _ = await self.ours.node.send(Follow(object=self.dat), by="alice", to=self.dat)
        told = await self.heard_there("Follow")
        expect(told["verified"], told)

    async def we_are_accepted(self) -> None:
        await self.heard_here("Accept")
        await until(lambda: self.ours.has("following", self.dat), "we follow DAT", patience_s=WAIT_S)
        expect(self.alice in (await self.commands.tell("heard"))["followers"], "alice is not among DAT's followers")

    async def we_post(self) -> None:
        for number in range(POSTS):
            _ = await self.ours.node.publish(Note(content=f"<p>from apcore {number}</p>"), by="alice")
        told = await self.heard_there("Create")
        expect(told["verified"] and told["results"] == [1], told)

    async def we_like(self) -> None:
        _ = await self.ours.node.send(Like(object=self.posts[0]["object"]), by="alice", to=self.dat)
        told = await self.heard_there("Like")
        expect(told["verified"], told)

    async def we_unfollow(self) -> None:
        undone = Follow(actor=self.alice, object=self.dat)
        _ = await self.ours.node.send(Undo(object=undone), by="alice", to=self.dat)
        _ = await self.heard_there("Undo")
        expect(self.alice not in (await self.commands.tell("heard"))["followers"], "alice is still among the followers")

    # DAT asks

    async def they_find_the_handle(self) -> None:
        told = await self.commands.tell("lookup", handle=f"alice@{self.alice.split('/')[2]}")
        expect(self.alice in told["known"], told)

    async def they_read_the_actor(self) -> None:
        told = await self.commands.tell("resolve", uri=self.alice)
        expect(told == {"status": "resolved", "name": "alice", "inbox": f"{self.alice}/inbox"}, told)

    async def they_read_a_post(self) -> None:
        outbox = await self.ours.node.run(traverse(f"{self.alice}/outbox", policy=self.ours.site.fetching))
        note = outbox.items[0].embedded.view(Create).object.uri
        told = await self.commands.tell("object_at", uri=note)
        expect(told == {"status": "resolved", "content": f"<p>from apcore {POSTS - 1}</p>"}, told)

    async def they_read_the_outbox(self) -> None:
        told = await self.commands.tell("collection_at", uri=f"{self.alice}/outbox")
        expect(told["status"] == "resolved" and told["document"]["totalItems"] == POSTS, told)

    async def they_read_the_items(self) -> None:
        told = await self.commands.tell("collection_at", uri=f"{self.alice}/outbox/page/first")
        expect(len(told["items"] or ()) == POSTS, told)

    # DAT sends

    async def they_follow(self) -> None:
        _ = await self.commands.tell("follow", uri=self.alice)
        await self.heard_here("Follow")
        await until(lambda: self.ours.has("followers", self.dat), "DAT follows us", patience_s=WAIT_S)

    async def they_are_accepted(self) -> None:
        _ = await self.heard_there("Accept")
        expect(self.alice in (await self.commands.tell("heard"))["following"], "alice is not among those DAT follows")

    async def post_there(self, count: int) -> None:
        for number in range(len(self.posts), len(self.posts) + count):
            self.posts.append(await self.commands.tell("post", content=f"<p>from DAT {number}</p>"))

    async def they_post(self) -> None:
        expect(self.posts[-1]["deliveries"], f"deliveries: {self.posts[-1]['deliveries']}")
        await self.heard_here("Create")

    async def they_like(self) -> None:
        outbox = await self.ours.node.run(traverse(f"{self.alice}/outbox", policy=self.ours.site.fetching))
        note = outbox.items[0].embedded.view(Create).object.uri
        _ = await self.commands.tell("like", uri=note, inbox=f"{self.alice}/inbox")
        await self.heard_here("Like")

    async def they_unfollow(self) -> None:
        _ = await self.commands.tell("unfollow", uri=self.alice)
        await self.heard_here("Undo")

        async def is_gone() -> bool:
            return not await self.ours.has("followers", self.dat)

        await until(is_gone, "DAT is not among our followers any more", patience_s=WAIT_S)


async def try_all(ours: LoopbackServer, commands: Commands) -> Matrix:
    """Try everything, in an order in which the later can build on the earlier."""
    matrix, trials = Matrix(), Trials(ours, commands)
    asks, sends = "apcore asks DAT", "apcore sends to DAT"
    is_asked, is_sent = "DAT asks apcore", "DAT sends to apcore"
    no_ports = Lack("its WebFinger knows no ports", "answers 404")
    await matrix.cell(asks, "WebFinger", trials.we_find_the_handle, lack=no_ports)
    await matrix.cell(asks, "NodeInfo", trials.we_read_nodeinfo)
    await matrix.cell(asks, "an actor", trials.we_read_the_actor)
    await matrix.cell(asks, "a key, and its owner", trials.we_confirm_the_key)
    await matrix.cell(is_asked, "WebFinger", trials.they_find_the_handle)
    await matrix.cell(is_asked, "an actor", trials.they_read_the_actor)
    await matrix.cell(sends, "Follow, its signature verified", trials.we_follow)
    await matrix.cell(is_sent, "Accept of that Follow", trials.we_are_accepted)
    await matrix.cell(asks, "followers", trials.we_read_the_followers)
    await matrix.cell(is_sent, "Follow", trials.they_follow)
    await matrix.cell(sends, "Accept of that Follow", trials.they_are_accepted)
    await matrix.cell(sends, "Create", trials.we_post)
    await trials.post_there(POSTS)
    unsent = Lack("it looks for followers on the collection, and keeps them on its pages", "deliveries: 0")
    await matrix.cell(is_sent, "Create to its followers", trials.they_post, lack=unsent)
    await matrix.cell(asks, "a post", trials.we_read_a_post)
    await matrix.cell(asks, "an outbox of two pages", trials.we_read_the_outbox)
    await trials.post_there(1)
    skipped = Lack("it links the first page to the last and leaves out those between", "posts are missing")
    await matrix.cell(asks, "an outbox of three pages", trials.we_read_the_outbox, lack=skipped)
    await matrix.cell(is_asked, "a post", trials.they_read_a_post)
    await matrix.cell(is_asked, "an outbox", trials.they_read_the_outbox)
    unread = Lack("it cannot load the pages of others", "IntegrityError")
    await matrix.cell(is_asked, "the items of a page", trials.they_read_the_items, lack=unread)
    await matrix.cell(sends, "Like", trials.we_like)
    await matrix.cell(is_sent, "Like", trials.they_like)
    await matrix.cell(sends, "Undo of the Follow", trials.we_unfollow)
    await matrix.cell(is_sent, "Undo of the Follow", trials.they_unfollow)
    return matrix


async def main() -> int:
    if len(sys.argv) < 2 or not Path(sys.argv[1]).is_file():
        print(__doc__)
        return 2
    with TemporaryDirectory(prefix="apcore-interop-") as place:
        files = TlsFiles.issue(Path(place))
        transport = files.transport()
        our_port, their_port = free_port(), free_port()
        ours = LoopbackServer(
            f"https://localhost:{our_port}",
            Path(place) / "ours.db",
            "cavage",
            transport,
            (Accept, Create, Follow, Like, Undo),
        )
        commands = Commands(f"https://localhost:{their_port}", transport)
        command = (
            sys.argv[1],
            str(HERE / "dat_server.py"),
            str(their_port),
            str(files.key),
            str(files.chain),
            place,
        )
        environment = {"REQUESTS_CA_BUNDLE": str(files.authority), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        async with spawned(*command, env=environment) as printed, running(ours, files, our_port):
            try:
                matrix = await try_all(ours, commands)
            finally:
                # First, so that our server need not wait for the other ends of its TLS connections to take their leave.
                await transport.aclose()
            if not matrix.holds:
                print("what DAT printed:", b"".join(printed[-80:]).decode("utf-8", "replace"), sep="\n")
    if "--markdown" in sys.argv:
        print(matrix.markdown())
    going = sum(cell.failure is None for cell in matrix.cells)
    print(f"{going} of {len(matrix.cells)} go; {'all' if matrix.holds else 'NOT all'} as expected")
    return 0 if matrix.holds else 1


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except Exception:
        traceback.print_exc()
        sys.exit(1)
