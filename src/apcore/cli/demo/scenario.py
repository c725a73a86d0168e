"""Define the scenario of the demo: Alice on one server and Bob on another. Each step depends on the steps before it.

The demo acts for Alice and Bob through nodes in its own process, which share the stores of the servers. It observes the
results over HTTP.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from attrs import field, frozen

from apcore.cli.demo.observation import DemoActor, check_once, is_delivered, received_at, wait_for, waiting_at
from apcore.cli.demo.servers import Server, eventually, reserved_ports
from apcore.cli.step_results import expect
from apcore.vocab import PUBLIC, Announce, Delete, Follow, Like, Mention, Note, Undo, Update

__all__ = ["Scenario", "ScenarioStep"]

_EDITED: Final = "Hello, Alice and everyone!"
_MORE: Final = 24
"""The number of notes for the step "outbox": more than fit on one page."""
_UNPROCESSED: Final = 20
_SENT_TO_ALICE: Final = {"Accept": 1, "Create": 1 + _MORE, "Delete": 1, "Follow": 1, "Undo": 1, "Update": 1}
_SENT_TO_BOB: Final = {"Accept": 1, "Announce": 1, "Create": 1 + _UNPROCESSED, "Follow": 1, "Like": 1, "Undo": 1}


@frozen
class ScenarioStep:
    """One step of the scenario."""

    name: str
    claim: str
    """The statement that the step checks."""
    run: Callable[[], str] = field(repr=False)
    """The function of the step. It returns its observation, or raises an exception."""


class Scenario:
    """Two servers and the steps between them. A new scenario has files in ``directory``, but runs no process yet."""

    def __init__(self, directory: Path) -> None:
        self._ports: Final = ExitStack()
        first, second = self._ports.enter_context(reserved_ports(2))
        self.servers: Final = (Server("a", directory, first), Server("b", directory, second))
        self.alice: Final = DemoActor(self.servers[0], "alice")
        self.bob: Final = DemoActor(self.servers[1], "bob")
        self._note = self._like = ""
        self._unprocessed: list[str] = []

    @property
    def steps(self) -> tuple[ScenarioStep, ...]:
        """Return the steps in order."""
        return (
            ScenarioStep("start", "two servers, each a process with a SQLite file", self.start),
            ScenarioStep("lookup", "each finds the other's actor by handle", self.look_up),
            ScenarioStep("follow", "they follow each other, and both accept", self.follow),
            ScenarioStep("create", "Bob's note reaches his follower", self.create),
            ScenarioStep("reply", "Alice replies and mentions him", self.reply),
            ScenarioStep("like", "Alice likes the note", self.like),
            ScenarioStep("announce", "Alice shares the note", self.announce),
            ScenarioStep("update", "Bob edits the note", self.update),
            ScenarioStep("undo", "Alice takes her like back, Bob stops following", self.undo),
            ScenarioStep("delete", "Bob deletes the note", self.delete),
            ScenarioStep("outbox", "the outbox has the delivered activities, page by page", self.read_outbox),
            ScenarioStep("kill", "Bob's server is killed between its 202 and its work", self.kill),
            ScenarioStep("recover", "it processes each acknowledged activity once", self.recover),
            ScenarioStep("audit", "no activity was lost, and none had effects twice", self.audit),
        )

    def close(self) -> None:
        """Stop both servers, and free their ports."""
        with self._ports:
            for server in self.servers:
                server.close()

    # --- meeting ----------------------------------------------------------------------------------------------------

    def start(self) -> str:
        """Start both servers."""
        for server in self.servers:
            server.start()
        for server in self.servers:
            server.wait_until_up()
        return " and ".join(f"{server.name} at {server.origin}" for server in self.servers)

    def look_up(self) -> str:
        """Let each actor find the other by handle. WebFinger and the actor's document have to agree."""
        lines: list[str] = []
        for actor, peer in ((self.alice, self.bob), (self.bob, self.alice)):
            result = actor.look_up(peer.handle)
            expect(result.document.id == peer.uri, f"{peer.handle} leads to {result.document.id}, not {peer.uri}")
            acct = result.acct
            expect(acct is not None and acct.handle == peer.handle, f"{peer.uri} has the handle {acct}")
            lines.append(f"{peer.handle} is {peer.uri}")
        return "; ".join(lines)

    def follow(self) -> str:
        """Let each actor follow the other, and wait until both have accepted."""
        pairs = ((self.alice, self.bob), (self.bob, self.alice))
        for actor, peer in pairs:
            actor.send(Follow(object=peer.uri), peer.uri)
        for actor, peer in pairs:
            self._await_member(peer.list_uri("followers"), actor.uri, watcher=actor)
            self._await_member(actor.list_uri("following"), peer.uri, watcher=peer)
        return "2 x Follow, 2 x Accept; both are in both collections of both servers"

    # --- talking ----------------------------------------------------------------------------------------------------

    def create(self) -> str:
        """Let Bob publish a public note. It gets ids, and is in his outbox and at his follower."""
        self.bob.server.node.publish(Note(content="Hello, Alice!"), by="bob", to=PUBLIC)
        [(create, self._note)] = self.alice.created(self.bob.list_uri("outbox")).items()
        [received] = wait_for(self.alice, self.bob, "Create")
        expect(received.id == create, f"Alice's server received {received.id}, but the outbox has {create}")
        return f"{self._note} is in the outbox, and his follower has received it"

    def reply(self) -> str:
        """Let Alice reply. Bob is mentioned and also follows her, but receives the reply only once."""
        mention = Mention(href=self.bob.uri, name=self.bob.handle)
        note = Note(content=f"{self.bob.handle} Hello, Bob!", in_reply_to=self._note, tag=[mention])
        self.alice.server.node.publish(note, by="alice", to=(PUBLIC, self.bob.uri))
        _ = wait_for(self.bob, self.alice, "Create")
        [reply] = self.bob.created(self.alice.list_uri("outbox")).values()
        reply_note = self.bob.look_up(reply).document.view(Note)
        in_reply_to = None if reply_note.in_reply_to is None else reply_note.in_reply_to.uri
        expect(in_reply_to == self._note, f"{reply} is in reply to {in_reply_to}, not to {self._note}")
        return f"{reply} is fetched from its origin, and is in reply to the note"

    def like(self) -> str:
        """Let Alice like the note."""
        self.alice.send(Like(object=self._note), self.bob.uri)
        [received] = wait_for(self.bob, self.alice, "Like")
        self._like = received.id
        return f"Bob's server received {received.id}"

    def announce(self) -> str:
        """Let Alice share the note."""
        self.alice.send(Announce(object=self._note, to=[PUBLIC], cc=[self.bob.uri]), self.alice.list_uri("followers"))
        [received] = wait_for(self.bob, self.alice, "Announce")
        return f"Bob's server received {received.id}"

    def update(self) -> str:
        """Let Bob edit the note."""
        note = Note(id=self._note, attributed_to=self.bob.uri, content=_EDITED, to=[PUBLIC])
        self.bob.send(Update(object=note, to=[PUBLIC]), self.bob.list_uri("followers"))
        [received] = wait_for(self.alice, self.bob, "Update")
        content = self.alice.look_up(self._note).document.view(Note).content
        expect(content == _EDITED, f"{self._note} still says {content!r}")
        return f"Alice's server received {received.id}, and the note at its origin has the new content"

    def undo(self) -> str:
        """Let Alice undo her Like, and Bob his Follow. He is then not a follower any more."""
        self.alice.send(Undo(object=self._like), self.bob.uri)
        self.bob.send(Undo(object=Follow(actor=self.bob.uri, object=self.alice.uri)), self.alice.uri)
        followers = self.alice.list_uri("followers")
        _ = eventually(
            lambda: None if self.bob.uri in self.bob.ids(followers) else True,
            lambda: f"{self.bob.handle} is still in {followers}",
        )
        _ = wait_for(self.bob, self.alice, "Undo")
        return f"the Like is undone, and {followers} is empty"

    def delete(self) -> str:
        """Let Bob delete the note."""
        self.bob.send(Delete(object=self._note, to=[PUBLIC]), self.bob.list_uri("followers"))
        [received] = wait_for(self.alice, self.bob, "Delete")
        remaining = self.alice.created(self.bob.list_uri("outbox"))
        expect(not remaining, f"{self.bob.list_uri('outbox')} still has {', '.join(remaining)}")
        return f"Alice's server received {received.id}, and the outbox is empty"

    # --- pulling ----------------------------------------------------------------------------------------------------

    def read_outbox(self) -> str:
        """Let Bob publish more notes than fit on a page, and compare his outbox with the received activities."""
        for number in range(_MORE):
            self.bob.server.node.publish(Note(content=f"Note {number}"), by="bob", to=PUBLIC)
        received = wait_for(self.alice, self.bob, "Create", _MORE + 1)
        outbox = self.alice.read(self.bob.list_uri("outbox"))
        ids = self.alice.created(self.bob.list_uri("outbox"))
        expect(len(ids) == len(outbox.items) == _MORE, f"the outbox has {len(outbox.items)} items, not {_MORE}")
        expect(outbox.pages > 2, f"the outbox was read in {outbox.pages} documents; it should have had pages")
        check_once(received, ids)
        return f"{len(ids)} Creates on {outbox.pages - 1} pages; each was delivered once"

    # --- crashing ---------------------------------------------------------------------------------------------------

    def kill(self) -> str:
        """Let Bob's server acknowledge activities without processing them, and kill it."""
        server = self.bob.server
        self._await_idle(server)
        server.stop()
        server.start(worker=False)
        server.wait_until_up()
        old_creates = set(self.bob.created(self.alice.list_uri("outbox")))
        for number in range(_UNPROCESSED):
            self.alice.server.node.publish(
                Note(content=f"Are you there? {number}"), by="alice", to=(PUBLIC, self.bob.uri)
            )
        _ = eventually(
            lambda: is_delivered(self.alice.server), lambda: "some of Alice's activities were not answered with 202"
        )
        waiting = waiting_at(server)
        server.kill()
        self._unprocessed = sorted(set(self.bob.created(self.alice.list_uri("outbox"))) - old_creates)
        expect(waiting == _UNPROCESSED, f"{waiting} of {_UNPROCESSED} activities waited when the server was killed")
        expect(not server.answers(), f"{server.name} was killed, but still answers")
        return f"{waiting} activities answered 202 and not processed when SIGKILL came"

    def recover(self) -> str:
        """Start Bob's server again, and check that it processes each acknowledged activity once."""
        server = self.bob.server
        server.start()
        server.wait_until_up()
        received = wait_for(self.bob, self.alice, "Create", 1 + _UNPROCESSED)
        check_once(received, self._unprocessed)
        return f"started again; all {len(self._unprocessed)} processed, each once"

    def audit(self) -> str:
        """Wait until both servers are idle, and count all received activities."""
        for server in self.servers:
            self._await_idle(server)
        for listener, watcher, sent in ((self.alice, self.bob, _SENT_TO_ALICE), (self.bob, self.alice, _SENT_TO_BOB)):
            received = received_at(listener, watcher)
            check_once(received, {activity.id for activity in received})
            counts = dict(sorted(Counter(activity.type for activity in received).items()))
            expect(counts == sent, f"{listener.server.name} should have received {sent}, but received {counts}")
        total = sum(_SENT_TO_ALICE.values()) + sum(_SENT_TO_BOB.values())
        return f"{total} activities sent, {total} received; none twice, none lost, none refused"

    def _await_idle(self, server: Server) -> None:
        _ = eventually(lambda: is_delivered(server), lambda: f"{server.name} has undelivered activities")
        _ = eventually(
            lambda: None if waiting_at(server) else True, lambda: f"{server.name} has unprocessed activities"
        )

    def _await_member(self, collection: str, member: str, *, watcher: DemoActor) -> None:
        _ = eventually(
            lambda: True if member in watcher.ids(collection) else None, lambda: f"{member} is not in {collection}"
        )
