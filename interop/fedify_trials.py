"""The trials of `try_fedify`: what two servers do to each other, and to a third one, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen
from loopback import Commands, LoopbackServer, ReceivedActivity, until

from apcore import FollowVerdict
from apcore.vocab import PUBLIC, Note, Update

__all__ = ["AccountTrial", "Fedify", "ForwardingTrial", "PollTrial", "RelationTrial"]


class Fedify:
    """The Fedify server, and the commands that it takes."""

    def __init__(self, commands: Commands) -> None:
        self.fed = f"{commands.origin}/users/fed"
        self.new = f"{commands.origin}/users/fed-two"
        """The account that it moves to."""
        self.tell = commands.tell

    async def heard(self) -> list[tuple[str, str]]:
        told: dict[str, Any] = await self.tell("heard")
        return [(one["type"], one["actor"]) for one in told["heard"]]


@frozen
class Trial:
    """Steps that two servers take in turn, and the ways of waiting for what follows."""

    ours: LoopbackServer
    theirs: Fedify
    said: Callable[[str], None]

    async def count(self, kind: str) -> int:
        """Return how many of our activities of a type Fedify has heard."""
        return (await self.theirs.heard()).count((kind, self.ours.actor))

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

    async def until_received(
        self, server: LoopbackServer, what: str, matches: Callable[[ReceivedActivity], bool]
    ) -> None:
        async def is_received() -> bool:
            return any(map(matches, server.received))

        await until(is_received, what)

    async def last_heard(self, kind: str, actor: str) -> dict[str, Any] | None:
        """Return the last activity of a type that Fedify has heard from an actor."""
        activities: list[dict[str, Any]] = (await self.theirs.tell("heard"))["heard"]
        return next((one for one in reversed(activities) if (one["type"], one["actor"]) == (kind, actor)), None)

    async def follow_each_other(self) -> None:
        await self.theirs.tell("answering", mode="accept")
        self.ours.verdict = FollowVerdict.ACCEPT
        await self.ours.node.follow(self.theirs.fed, by=self.ours.name)
        await self.until_following(True)
        await self.theirs.tell("follow", actor=self.ours.actor)
        await until(lambda: self.ours.has("followers", self.theirs.fed), "Fedify is among our followers")


@frozen
class RelationTrial(Trial):
    """The steps about follow relations, limited audiences, a new inbox and blocks, in both directions."""

    async def answer_their_follows(self) -> None:
        ours, theirs = self.ours, self.theirs
        ours.verdict = FollowVerdict.PENDING
        accept_count = await self.count("Accept")
        await theirs.tell("follow", actor=ours.actor)

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
        await theirs.tell("follow", actor=ours.actor)
        await self.until_they_heard("Reject", 2)
        assert not await ours.has("followers", theirs.fed)
        self.said("apcore rejects Fedify's Follow")

    async def write_to_limited_audiences(self) -> None:
        followers, count = f"{self.ours.actor}/followers", await self.count("Create")
        for number, cc in enumerate([[PUBLIC], []], start=1):
            await self.ours.node.publish(Note(content=f"<p>limited {number}</p>", to=[followers], cc=cc), by="alice")
            await self.until_they_heard("Create", count + number)
            create = await self.last_create()
            assert (create["to"], create["cc"]) == ([followers], cc), create
        self.said("apcore posts unlisted and to followers only, and Fedify reads these audiences")

    async def deliver_to_a_new_inbox(self) -> None:
        await self.theirs.tell("moveInbox", actor=self.ours.actor)
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
        await theirs.tell("answer", actor=ours.actor, accepts="true")
        await self.until_following(True)
        self.said("Fedify leaves our Follow pending, and approves it later")
        for visibility, word in (("unlisted", "unlisted"), ("followers", "limited")):
            await theirs.tell("post", content=f"<p>{visibility}</p>", visibility=visibility)
            await until(lambda word=word: ours.has_post(word), f"we read Fedify's post to {visibility}")
        self.said("Fedify posts unlisted and to followers only, and apcore reads these audiences")
        await theirs.tell("answer", actor=ours.actor, accepts="false")
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
        await theirs.tell("block", actor=ours.actor)
        await self.until_following(False)
        self.said("Fedify blocks apcore")
        await ours.node.block(theirs.fed, by="alice")
        await self.until_they_heard("Block")
        await ours.node.unblock(theirs.fed, by="alice")
        self.said("apcore blocks Fedify, and ends the Block")

    async def follow_again_at_once(self) -> None:
        """Fedify ignores an id that it has processed, so each Follow of ours has a new one."""
        ours, theirs = self.ours, self.theirs
        await theirs.tell("answering", mode="accept")
        count = await self.count("Follow")
        for _ in range(2):
            await ours.node.follow(theirs.fed, by="alice")
            await ours.node.unfollow(theirs.fed, by="alice")
        await ours.node.follow(theirs.fed, by="alice")
        await self.until_they_heard("Follow", count + 3)
        await self.until_following(True)
        assert ours.actor in (await theirs.tell("heard"))["followers"]
        self.said("apcore unfollows and follows again within a moment, and Fedify hears each")


@frozen
class ForwardingTrial(Trial):
    """Replies to followers of the one server reach the other by forwarding, and are proved by their own proofs.

    The third server is another apcore. Its actor follows both others.
    """

    third: LoopbackServer

    async def run(self) -> None:
        await self.follow_each_other()
        for server in (self.ours, self.third):
            server.verdict = FollowVerdict.ACCEPT
        for followed in (self.ours.actor, self.theirs.fed):
            await self.third.node.follow(followed, by=self.third.name)

        async def has_followed_both() -> bool:
            members = [await self.third.has("following", uri) for uri in (self.ours.actor, self.theirs.fed)]
            return all(members)

        await until(has_followed_both, "the third server follows both")
        post = await self.ours.node.publish(Note(content="<p>answer me</p>"), by=self.ours.name)
        await self.forward_to_fedify(post)
        await self.forward_from_fedify(post)
        await self.let_fedify_forward()

    async def forward_to_fedify(self, post: str) -> None:
        """Fedify gets a request that apcore has signed, with an activity of the third server."""
        reply = Note(content="<p>from the third</p>", in_reply_to=post)
        audience = [f"{self.ours.actor}/followers", self.ours.actor]
        await self.third.node.publish(reply, by=self.third.name, to=audience)

        async def is_heard() -> bool:
            create = await self.last_heard("Create", self.third.actor)
            return create is not None and str(create["signedBy"]).startswith(f"{self.ours.actor}#")

        await until(is_heard, "Fedify hears the reply that we forward")
        self.said("apcore forwards a reply to Fedify, which verifies the proof of a third server")

    async def forward_from_fedify(self, post: str) -> None:
        """The third server gets a request that apcore has signed, with an activity of Fedify."""
        content = "<p>from Fedify to followers of apcore</p>"
        audience = f"{self.ours.actor}/followers"
        await self.theirs.tell("reply", content=content, inReplyTo=post, actor=self.ours.actor, audience=audience)
        await self.until_received(
            self.third,
            "the third server proves the forwarded reply of Fedify",
            lambda one: (one.actor, one.auth_method, one.content) == (self.theirs.fed, "proof", content),
        )
        self.said("apcore forwards a reply of Fedify, and its receiver verifies Fedify's proof")

    async def let_fedify_forward(self) -> None:
        """The third server gets a request that Fedify has signed, with an activity of apcore."""
        post = (await self.theirs.tell("post", content="<p>answer Fedify</p>"))["object"]
        reply = Note(content="<p>to followers of Fedify</p>", in_reply_to=post)
        audience = [f"{self.theirs.fed}/followers", self.theirs.fed]
        await self.ours.node.publish(reply, by=self.ours.name, to=audience)
        await self.until_received(
            self.third,
            "the third server proves our reply, which Fedify forwards",
            lambda one: (one.actor, one.auth_method, one.content) == (self.ours.actor, "proof", reply.content),
        )
        self.said("Fedify forwards a reply of apcore, and its receiver verifies apcore's proof")


@frozen
class AccountTrial(Trial):
    """An actor gets a new inbox, moves, and deletes itself, in both directions."""

    third: LoopbackServer

    async def run(self) -> None:
        await self.follow_each_other()
        await self.announce_a_new_inbox()
        await self.follow_a_moved_actor()
        await self.move_to_the_third_server()
        await self.delete_both()

    async def announce_a_new_inbox(self) -> None:
        ours, theirs = self.ours, self.theirs

        async def posts_reach(recipient: str | None) -> bool:
            content = f"<p>{len(ours.received)} to {recipient}</p>"
            await theirs.tell("post", content=content, inbox="own")
            await self.until_received(ours, "we hear Fedify's post", lambda one: one.content == content)
            [create] = [one for one in ours.received if one.content == content]
            return create.recipient == recipient

        assert await posts_reach("alice")
        ours.actor_members["inbox"] = f"{ours.origin}/inbox"
        updates = await self.count("Update")
        await ours.node.send(Update(object=ours.actor), by="alice", to=[PUBLIC, theirs.fed])
        await self.until_they_heard("Update", updates + 1)
        await until(lambda: posts_reach(None), "Fedify's posts reach our new inbox")
        self.said("apcore gets a new inbox, and Fedify delivers to it")

    async def follow_a_moved_actor(self) -> None:
        ours, theirs = self.ours, self.theirs
        await theirs.tell("move", actor=ours.actor)

        async def has_moved() -> bool:
            return await ours.has("following", theirs.new) and not await ours.has("following", theirs.fed)

        await until(has_moved, "we follow Fedify's new account instead of the old one")
        self.said("Fedify moves, and apcore follows the new account")

    async def move_to_the_third_server(self) -> None:
        ours, third = self.ours, self.third
        await third.node.set_aliases(third.name, [ours.actor])
        await ours.node.move_actor("alice", third.actor)
        await until(lambda: third.has("followers", self.theirs.fed), "Fedify follows our new account")
        move = await self.last_heard("Move", ours.actor)
        assert move is not None
        assert (move["target"], move["isConfirmed"]) == (third.actor, True)
        self.said("apcore moves, and Fedify follows the new account")

    async def delete_both(self) -> None:
        ours, theirs = self.ours, self.theirs
        await theirs.tell("deleteActor", actor=ours.actor)

        async def has_forgotten() -> bool:
            return not await ours.has("following", theirs.new)

        await until(has_forgotten, "we do not follow the deleted actor of Fedify any more")
        self.said("Fedify deletes an actor, and apcore ends the relation")
        assert await ours.has("followers", theirs.fed)
        await ours.node.delete_actor("alice")

        async def is_told() -> bool:
            deletion = await self.last_heard("Delete", ours.actor)
            return deletion is not None and deletion["object"] == ours.actor

        await until(is_told, "Fedify hears the Delete of our actor")
        assert ours.actor not in (await theirs.tell("heard"))["followers"]
        self.said("apcore deletes its actor, and Fedify ends the relation")


@frozen
class PollTrial(Trial):
    """Read and poll Fedify's collections while they change: one server gets deliveries too, the other one does not."""

    third: LoopbackServer

    async def run(self) -> None:
        await self.follow_each_other()
        followers = await self.third.node.traverse(f"{self.theirs.fed}/followers")
        assert [item.uri for item in followers.items] == [self.ours.actor], followers
        assert followers.ended is None
        self.said(f"apcore reads Fedify's followers, {len(followers.items)}")
        outbox = await self.third.node.traverse(f"{self.theirs.fed}/outbox")
        earlier = len(outbox.items)
        assert outbox.ended is None
        await self.third.node.subscribe(self.theirs.fed, types=["Create"], history=100)
        await self.ours.node.subscribe(f"{self.theirs.fed}/outbox", history=1)
        await self._until_polled(earlier)
        self.said(f"apcore polls Fedify's outbox, {earlier} items on {outbox.pages - 1} pages, each once")
        texts = [f"<p>polled {number}</p>" for number in range(7)]
        for text in texts:
            await self.theirs.tell("post", content=text)
        await self._until_polled(earlier + len(texts))
        await self.until_received(self.ours, "all of Fedify's posts", lambda one: one.content == texts[-1])
        for _ in range(2):  # two more polls of both servers find nothing that they have not had
            await self._wait_for_a_poll(self.third, self.theirs.fed)
            await self._wait_for_a_poll(self.ours, f"{self.theirs.fed}/outbox")
        for server in (self.third, self.ours):
            contents = [one.content for one in server.received]
            assert [contents.count(text) for text in texts] == [1] * len(texts), server.received
        methods = {one.auth_method for one in self.third.received if one.content in texts}
        assert methods == {"origin"}, methods
        self.said(f"{len(texts)} new posts reach both servers once, polled, delivered or both")
        await self.third.node.unsubscribe(self.theirs.fed)
        await self.ours.node.unsubscribe(f"{self.theirs.fed}/outbox")

    async def _until_polled(self, count: int) -> None:
        async def is_polled() -> bool:
            return self.third.heard.count(("Create", self.theirs.fed)) >= count

        await until(is_polled, f"the third server has polled {count} activities")

    async def _wait_for_a_poll(self, server: LoopbackServer, address: str) -> None:
        before = await server.node.subscription(address)
        assert before is not None

        async def is_polled() -> bool:
            subscription = await server.node.subscription(address)
            return subscription is not None and subscription.polls > before.polls

        await until(is_polled, f"another poll of {address}")
