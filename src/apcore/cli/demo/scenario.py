"""The story: Alice on one server, Bob on another, and everything that they do to each other. Each step stands on those before it.

What they do is done on nodes of ours, on the very stores of the servers: another process of the same application. What came of it is asked over HTTP.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from attrs import field, frozen

from apcore.cli.demo.observation import Player, acknowledged, check_once, heard_at, hears, waiting_at
from apcore.cli.demo.servers import Server, eventually, reserved_ports
from apcore.cli.step_results import expect
from apcore.vocab import PUBLIC, Announce, Delete, Follow, Like, Mention, Note, Undo, Update

__all__ = ["Scene", "Story"]

_EDITED: Final = "Hello, Alice and everyone!"
_MORE: Final = 24
"""More notes than fit on a page of an outbox."""
_UNPROCESSED: Final = 20
_SAID_TO_ALICE: Final = {"Accept": 1, "Create": 1 + _MORE, "Delete": 1, "Follow": 1, "Undo": 1, "Update": 1}
_SAID_TO_BOB: Final = {"Accept": 1, "Announce": 1, "Create": 1 + _UNPROCESSED, "Follow": 1, "Like": 1, "Undo": 1}


@frozen
class Scene:
    """One step of the story."""

    name: str
    says: str
    run: Callable[[], str] = field(repr=False)
    """Answers with what was seen, or raises."""


class Story:
    """Two servers, and what happens between them. Made, it has files in ``directory`` and nothing running yet."""

    def __init__(self, directory: Path) -> None:
        self._ports: Final = ExitStack()
        first, second = self._ports.enter_context(reserved_ports(2))
        self.servers: Final = (Server("a", directory, first), Server("b", directory, second))
        self.alice: Final = Player(self.servers[0], "alice")
        self.bob: Final = Player(self.servers[1], "bob")
        self._note = self._like = ""
        self._unprocessed: list[str] = []

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """The steps, in their order."""
        return (
            Scene("start", "two servers, each a process with a SQLite file", self.start),
            Scene("lookup", "each finds the other's actor by handle", self.look_up),
            Scene("follow", "they follow each other, and both accept", self.follow),
            Scene("create", "Bob's note reaches his follower", self.create),
            Scene("reply", "Alice replies and mentions him", self.reply),
            Scene("like", "Alice likes the note", self.like),
            Scene("announce", "Alice shares the note", self.announce),
            Scene("update", "Bob edits the note", self.update),
            Scene("undo", "Alice takes her like back, Bob stops following", self.undo),
            Scene("delete", "Bob deletes the note", self.delete),
            Scene("outbox", "what was delivered is what the outbox says, page by page", self.read_outbox),
            Scene("kill", "Bob's server is killed between its 202 and its work", self.kill),
            Scene("recover", "everything that it acknowledged happens, once", self.recover),
            Scene("audit", "nothing was lost in the whole story, and nothing happened twice", self.audit),
        )

    def close(self) -> None:
        """Stop both servers, and let go of their ports."""
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
        return " and ".join(f"{each.name} at {each.origin}" for each in self.servers)

    def look_up(self) -> str:
        """Let each find the other by handle: WebFinger and the actor's document, believed when both agree."""
        seen: list[str] = []
        for who, whom in ((self.alice, self.bob), (self.bob, self.alice)):
            found = who.look_up(whom.handle)
            expect(found.document.id == whom.uri, f"{whom.handle} was found to be {found.document.id}, not {whom.uri}")
            acct = found.acct
            expect(acct is not None and acct.handle == whom.handle, f"{whom.uri} was found to be called {acct}")
            seen.append(f"{whom.handle} is {whom.uri}")
        return "; ".join(seen)

    def follow(self) -> str:
        """Let each follow the other; it counts when the other has accepted."""
        pairs = ((self.alice, self.bob), (self.bob, self.alice))
        for who, whom in pairs:
            who.send(Follow(object=whom.uri), whom.uri)
        for who, whom in pairs:
            self._await_member(whom.list_uri("followers"), who.uri, watcher=who)
            self._await_member(who.list_uri("following"), whom.uri, watcher=whom)
        return "2 x Follow, 2 x Accept; both are in both collections of both servers"

    # --- talking ----------------------------------------------------------------------------------------------------

    def create(self) -> str:
        """Let Bob publish a note to everyone: ids are minted, the outbox has it, followers get it."""
        self.bob.server.node.publish(Note(content="Hello, Alice!"), by="bob", to=PUBLIC)
        [(create, self._note)] = self.alice.created(self.bob.list_uri("outbox")).items()
        [heard] = hears(self.alice, self.bob, "Create")
        expect(heard.id == create, f"Alice's server heard {heard.id}, and the outbox says {create}")
        return f"{self._note} in the outbox, and heard by his follower"

    def reply(self) -> str:
        """Let Alice answer; Bob gets it because he is mentioned, and because he follows her: once."""
        mention = Mention(href=self.bob.uri, name=self.bob.handle)
        note = Note(content=f"{self.bob.handle} Hello, Bob!", in_reply_to=self._note, tag=[mention])
        self.alice.server.node.publish(note, by="alice", to=(PUBLIC, self.bob.uri))
        _ = hears(self.bob, self.alice, "Create")
        [reply] = self.bob.created(self.alice.list_uri("outbox")).values()
        found = self.bob.look_up(reply).document.view(Note)
        to = None if found.in_reply_to is None else found.in_reply_to.uri
        expect(to == self._note, f"the reply at {reply} is to {to}, not to {self._note}")
        return f"{reply} is fetched from its origin, and is in reply to the note"

    def like(self) -> str:
        """Let Alice like the note."""
        self.alice.send(Like(object=self._note), self.bob.uri)
        [heard] = hears(self.bob, self.alice, "Like")
        self._like = heard.id
        return f"Bob's server heard {heard.id}"

    def announce(self) -> str:
        """Let Alice share the note."""
        self.alice.send(Announce(object=self._note, to=[PUBLIC], cc=[self.bob.uri]), self.alice.list_uri("followers"))
        [heard] = hears(self.bob, self.alice, "Announce")
        return f"Bob's server heard {heard.id}"

    def update(self) -> str:
        """Let Bob edit the note."""
        note = Note(id=self._note, attributed_to=self.bob.uri, content=_EDITED, to=[PUBLIC])
        self.bob.send(Update(object=note, to=[PUBLIC]), self.bob.list_uri("followers"))
        [heard] = hears(self.alice, self.bob, "Update")
        content = self.alice.look_up(self._note).document.view(Note).content
        expect(content == _EDITED, f"{self._note} still says {content!r}")
        return f"Alice's server heard {heard.id}, and the note says so where it is"

    def undo(self) -> str:
        """Let Alice take her like back, and Bob his Follow: he is no follower any more."""
        self.alice.send(Undo(object=self._like), self.bob.uri)
        self.bob.send(Undo(object=Follow(actor=self.bob.uri, object=self.alice.uri)), self.alice.uri)
        followers = self.alice.list_uri("followers")
        _ = eventually(
            lambda: None if self.bob.uri in self.bob.ids(followers) else True,
            lambda: f"{self.bob.handle} is still in {followers}",
        )
        _ = hears(self.bob, self.alice, "Undo")
        return f"the Like is undone, and {followers} is empty"

    def delete(self) -> str:
        """Let Bob delete the note."""
        self.bob.send(Delete(object=self._note, to=[PUBLIC]), self.bob.list_uri("followers"))
        [heard] = hears(self.alice, self.bob, "Delete")
        left = self.alice.created(self.bob.list_uri("outbox"))
        expect(not left, f"{self.bob.list_uri('outbox')} still has {', '.join(left)}")
        return f"Alice's server heard {heard.id}, and the outbox is empty"

    # --- pulling ----------------------------------------------------------------------------------------------------

    def read_outbox(self) -> str:
        """Let Bob publish more than fits on a page, and Alice read his outbox: what was pulled is what was pushed."""
        for number in range(_MORE):
            self.bob.server.node.publish(Note(content=f"Note {number}"), by="bob", to=PUBLIC)
        heard = hears(self.alice, self.bob, "Create", _MORE + 1)
        read = self.alice.read(self.bob.list_uri("outbox"))
        ids = self.alice.created(self.bob.list_uri("outbox"))
        expect(len(ids) == len(read.items) == _MORE, f"the outbox has {len(read.items)} items, not {_MORE}")
        expect(read.pages > 2, f"the outbox was read in {read.pages} documents; it should have had pages")
        check_once(heard, ids)
        return f"{len(ids)} Creates on {read.pages - 1} pages; each was delivered, once"

    # --- dying ------------------------------------------------------------------------------------------------------

    def kill(self) -> str:
        """Let Bob's server acknowledge what it does not process, and kill it."""
        server = self.bob.server
        self._await_idle(server)
        server.stop()
        server.start(worker=False)
        server.wait_until_up()
        before = set(self.bob.created(self.alice.list_uri("outbox")))
        for number in range(_UNPROCESSED):
            self.alice.server.node.publish(
                Note(content=f"Are you there? {number}"), by="alice", to=(PUBLIC, self.bob.uri)
            )
        _ = eventually(
            lambda: acknowledged(self.alice.server), lambda: "not everything of Alice's was answered with 202"
        )
        waiting = waiting_at(server)
        server.kill()
        self._unprocessed = sorted(set(self.bob.created(self.alice.list_uri("outbox"))) - before)
        expect(waiting == _UNPROCESSED, f"{waiting} of {_UNPROCESSED} activities waited when the server was killed")
        expect(not server.answers(), f"{server.name} was killed, and still answers")
        return f"{waiting} activities answered 202 and not processed when SIGKILL came"

    def recover(self) -> str:
        """Start Bob's server again: what it acknowledged is processed, each activity once."""
        server = self.bob.server
        server.start()
        server.wait_until_up()
        heard = hears(self.bob, self.alice, "Create", 1 + _UNPROCESSED)
        check_once(heard, self._unprocessed)
        return f"started again; all {len(self._unprocessed)} processed, each once"

    def audit(self) -> str:
        """Wait until nobody has anything left to do, and count everything that was heard."""
        for server in self.servers:
            self._await_idle(server)
        for listener, watcher, said in ((self.alice, self.bob, _SAID_TO_ALICE), (self.bob, self.alice, _SAID_TO_BOB)):
            heard = heard_at(listener, watcher)
            check_once(heard, {each.id for each in heard})
            counted = dict(sorted(Counter(each.type for each in heard).items()))
            expect(counted == said, f"{listener.server.name} was to hear {said}, and heard {counted}")
        total = sum(_SAID_TO_ALICE.values()) + sum(_SAID_TO_BOB.values())
        return f"{total} activities sent, {total} heard; none twice, none left, none refused"

    def _await_idle(self, server: Server) -> None:
        _ = eventually(lambda: acknowledged(server), lambda: f"{server.name} has not delivered everything")
        _ = eventually(lambda: None if waiting_at(server) else True, lambda: f"{server.name} has not done its work")

    def _await_member(self, collection: str, member: str, *, watcher: Player) -> None:
        _ = eventually(
            lambda: True if member in watcher.ids(collection) else None, lambda: f"{member} is not in {collection}"
        )
