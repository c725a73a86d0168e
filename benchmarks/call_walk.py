"""Count the files that a reader enters who follows one request or job through apcore, and the returns to earlier files.

    python -m benchmarks.call_walk [--files]

Each walk runs once for warmth and once with a profile hook. The hook notes each function of apcore at its first call,
in order. ``files`` counts the distinct files of these functions. ``returns`` counts the changes to a file that was left
before. Fewer of both mean that a walk is easier to follow. The second pair of columns counts only the rooms that decide
what happens (`DECIDING_ROOMS`): a reader skips the values and parsers below them. ``--files`` prints each walk, one line
for each change of file.

The walks run in one thread on the memory store, with a simulated peer. Calls below `apcore.testing` are not counted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from itertools import groupby
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from attrs import field, frozen

import apcore
from apcore import Federation, Node
from apcore.http import Request
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import Peer, PeerNetwork
from apcore.vocab import Create, Note, Person

SOURCE = str(Path(apcore.__file__).parent) + "/"
ORIGIN = "https://local.example"
FILES_AIM, RETURNS_AIM = 30, 12
DECIDING_ROOMS = {"collections", "federation", "node", "records", "remote"}


@frozen
class Walk:
    """The functions of apcore that ran, by first call, as ``(file, function)``."""

    steps: list[tuple[str, str]] = field(factory=list[tuple[str, str]])

    def within(self, rooms: set[str]) -> Walk:
        """Return the part of the walk in some rooms."""
        return Walk([step for step in self.steps if step[0].partition("/")[0] in rooms])

    @property
    def path(self) -> list[str]:
        """The files in the order of the walk, each change once."""
        return [file for file, _ in groupby(file for file, _ in self.steps)]

    @property
    def files(self) -> int:
        return len(set(self.path))

    @property
    def returns(self) -> int:
        return len(self.path) - self.files


def record(job: Callable[[], object]) -> Walk:
    """Run ``job`` with a profile hook, and return its walk."""
    walk = Walk()
    seen: set[CodeType] = set()
    depth_below_testing = 0

    def hook(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal depth_below_testing
        code = frame.f_code
        if event not in {"call", "return"} or not code.co_filename.startswith(SOURCE):
            return
        file = code.co_filename.removeprefix(SOURCE)
        if file.startswith("testing/"):
            depth_below_testing += 1 if event == "call" else -1
        elif event == "call" and not depth_below_testing and code not in seen and not code.co_name.startswith("<"):
            seen.add(code)
            walk.steps.append((file, code.co_name))

    sys.setprofile(hook)
    try:
        job()
    finally:
        sys.setprofile(None)
    return walk


class Server:
    """A node with an actor, a listener, and a follower on a simulated peer."""

    def __init__(self) -> None:
        self.heard = 0
        federation: Federation[None] = Federation(software="bench/1.0")

        @federation.actor("/users/{identifier}")
        def actor(_ctx: Any, identifier: str) -> Person | None:
            return Person(preferred_username=identifier) if identifier == "alice" else None

        @federation.on(Create)
        def created(_ctx: Any, _activity: Create) -> None:
            self.heard += 1

        network = PeerNetwork()
        # Without slots, the worker handles messages in the calling thread, which the hook sees.
        self.node = Node(federation, ORIGIN, "memory:", transport=network, signer=ReusedKeys(), slots=0)
        self.bob: Peer = network.peer("https://remote.example/users/bob")
        self.notes = 0
        _ = self.node.handle(self.post("Follow", f"{ORIGIN}/users/alice"))
        _ = self.node.work(until_idle=True)

    def post(self, kind: str, what: Any) -> Request:
        """Return a signed request of the peer to Alice's inbox."""
        return self.bob.request(self.bob.activity(kind, object=what), f"{ORIGIN}/users/alice/inbox")

    def create(self) -> Request:
        self.notes += 1
        note = {"id": f"https://remote.example/notes/{self.notes}", "type": "Note", "attributedTo": self.bob.actor}
        return self.post("Create", note)


def walks() -> dict[str, Walk]:
    """Record every walk, each after a first run of the same kind."""
    server = Server()
    node = server.node
    recorded: dict[str, Walk] = {}
    for _ in range(2):
        request = server.create()
        recorded["inbox POST, known key"] = record(partial(node.handle, request))
        recorded["worker to listener"] = record(lambda: node.work(until_idle=True))
        get = Request("GET", f"{ORIGIN}/users/alice", {"accept": "application/activity+json"})
        recorded["GET actor"] = record(partial(node.handle, get))
        recorded["publish"] = record(lambda: node.publish(Note(content="hi"), by="alice"))
        recorded["plan and deliver"] = record(lambda: node.work(until_idle=True))
    assert server.heard == 2, "the listener did not run"
    assert [one.activity["type"] for one in server.bob.received].count("Create") == 2, "the note was not delivered"
    return recorded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    _ = parser.add_argument("--files", action="store_true", help="print the files of each walk")
    show_files: bool = parser.parse_args().files
    print(f"aim: {FILES_AIM} files, {RETURNS_AIM} returns\n")
    print(f"{'':<24}{'all of apcore':>27}{'deciding rooms':>17}")
    print(f"{'walk':<24}{'functions':>10}{'files':>8}{'returns':>9}{'files':>8}{'returns':>9}")
    for name, walk in walks().items():
        deciding = walk.within(DECIDING_ROOMS)
        print(
            f"{name:<24}{len(walk.steps):>10}{walk.files:>8}{walk.returns:>9}{deciding.files:>8}{deciding.returns:>9}"
        )
        if show_files:
            for file, steps in groupby(walk.steps, key=lambda step: step[0]):
                print(f"    {file}: {', '.join(function for _, function in steps)}")


if __name__ == "__main__":
    main()
