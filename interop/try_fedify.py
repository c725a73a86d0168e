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

from fedify_trials import AccountTrial, Fedify, ForwardingTrial, PollTrial, RelationTrial
from loopback import Commands, LoopbackServer, TlsFiles, free_port, running, spawned, until

from apcore.collections import traverse
from apcore.remote import load
from apcore.vocab import Accept, Actor, Block, Create, Delete, Follow, Move, Note, Reject, Undo, Update

HERE = Path(__file__).parent


async def steps(ours: LoopbackServer, theirs: Fedify, third: LoopbackServer) -> None:
    """Everything that has to hold, in its order."""
    began = time.monotonic()

    def said(step: str) -> None:
        print(f"  ok  {time.monotonic() - began:6.2f} s  {step}", flush=True)

    acct = f"@alice@{ours.actor.split('/')[2]}"
    found = await theirs.tell("lookup", handle=acct)
    assert found == {"id": ours.actor, "name": "Alice"}, found
    said(f"Fedify looks {acct} up")

    loaded = await ours.node.run(load(theirs.fed, policy=ours.site.fetching))
    assert loaded.document.view(Actor).preferred_username == "fed"
    said("apcore loads Fedify's actor")

    async def they_heard(kind: str) -> bool:
        return (kind, ours.actor) in await theirs.heard()

    async def we_heard(kind: str) -> bool:
        return (kind, theirs.fed) in ours.heard

    async def in_ours(name: str, uri: str) -> bool:
        collection = await ours.node.run(traverse(f"{ours.actor}/{name}", policy=ours.site.fetching))
        return uri in [item.uri for item in collection.items]

    await theirs.tell("follow", actor=ours.actor)
    await until(lambda: they_heard("Accept"), "Fedify hears our Accept")
    assert ("Follow", theirs.fed) in ours.heard
    await until(lambda: in_ours("followers", theirs.fed), "Fedify is among our followers")
    said("Fedify follows apcore, and is accepted")

    await ours.node.send(Follow(object=theirs.fed), by="alice", to=theirs.fed)
    await until(lambda: we_heard("Accept"), "we hear Fedify's Accept")
    await until(lambda: in_ours("following", theirs.fed), "we follow Fedify")
    assert ours.actor in (await theirs.tell("heard"))["followers"]
    said("apcore follows Fedify, and is accepted")

    for number in range(3):
        await ours.node.publish(Note(content=f"<p>from apcore {number}</p>"), by="alice")
    await until(lambda: they_heard("Create"), "Fedify hears our Create")
    said("apcore posts, and Fedify hears it")

    for number in range(5):
        await theirs.tell("post", content=f"<p>from Fedify {number}</p>")
    await until(lambda: we_heard("Create"), "we hear Fedify's Create")
    said("Fedify posts, and apcore hears it")

    read = await theirs.tell("traverse", collection=f"{ours.actor}/outbox")
    assert len(read["items"]) == 3, read
    said("Fedify reads apcore's outbox, 3 items")

    outbox = await ours.node.run(traverse(f"{theirs.fed}/outbox", policy=ours.site.fetching))
    assert (len(outbox.items), outbox.ended) == (5, None), outbox
    said(f"apcore reads Fedify's outbox, 5 items on {outbox.pages - 1} pages")

    await theirs.tell("unfollow", actor=ours.actor)
    await until(lambda: we_heard("Undo"), "we hear Fedify's Undo")

    async def gone() -> bool:
        return not await ours.has("followers", theirs.fed)

    await until(gone, "Fedify is not among our followers any more")
    await ours.node.send(Undo(object=Follow(actor=ours.actor, object=theirs.fed)), by="alice", to=theirs.fed)
    await until(lambda: they_heard("Undo"), "Fedify hears our Undo")
    said("both take their Follow back")
    await run_trials(ours, theirs, third, said)


async def run_trials(ours: LoopbackServer, theirs: Fedify, third: LoopbackServer, said: Callable[[str], None]) -> None:
    trial = RelationTrial(ours, theirs, said)
    await trial.answer_their_follows()
    await trial.await_their_answers()
    await trial.block_each_other()
    await trial.follow_again_at_once()
    await PollTrial(ours, theirs, said, third).run()
    await ForwardingTrial(ours, theirs, said, third).run()
    await AccountTrial(ours, theirs, said, third).run()


async def one_round(directory: Path, knock: str, scheme: str) -> None:
    print(f"Fedify signs {knock} first, apcore signs {scheme}", flush=True)
    with TemporaryDirectory(prefix="apcore-interop-") as place:
        files = TlsFiles.issue(Path(place))
        transport = files.transport()
        our_port, their_port, third_port = free_port(), free_port(), free_port()
        kinds = (Accept, Block, Create, Delete, Follow, Move, Reject, Undo, Update)
        ours = LoopbackServer(f"https://localhost:{our_port}", Path(place) / "ours.db", scheme, transport, kinds)
        third_store = Path(place) / "third.db"
        third = LoopbackServer(f"https://localhost:{third_port}", third_store, scheme, transport, kinds, name="bob")
        theirs = Fedify(Commands(f"https://localhost:{their_port}", transport))
        node = shutil.which("node", path=str(directory / "node_modules" / ".bin")) or "node"
        # Modules are looked up from where the file lies, so it has to lie beside them.
        script = shutil.copy(HERE / "fedify_server.mjs", directory / "fedify_server.mjs")
        command = (node, str(script), str(their_port), str(files.key), str(files.chain), knock)
        environment = {"NODE_EXTRA_CA_CERTS": str(files.authority), "PATH": "/usr/bin:/bin"}
        async with spawned(*command, env=environment), running(ours, files, our_port):
            try:
                async with running(third, files, third_port):
                    await steps(ours, theirs, third)
            except BaseException:
                print("what apcore heard:", ours.received)
                print("what the third server heard:", third.received)
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
