"""Check row 24: the application decides which activities are pushed, and which are only published."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apcore.errors import ConfigurationError, ContractError
from apcore.federation import Federation
from apcore.http import Headers, Request
from apcore.node import Node
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import Peer, PeerNetwork
from apcore.vocab import PUBLIC, Activity, Create, Delete, Like, Note, Person, Update

HERE = "https://local.example"
ALICE = f"{HERE}/users/alice"


class Setting:
    """Alice, with the follower Bob, and a stranger, Carol."""

    def __init__(self, **options: Any) -> None:
        self.network = PeerNetwork()
        self.bob = Peer("https://remote.example/users/bob", network=self.network)
        self.carol = Peer("https://other.example/users/carol", network=self.network)
        federation: Federation[None] = Federation(**options)

        @federation.actor("/users/{identifier}")
        def actor(_ctx: Any, identifier: str) -> Person | None:
            return Person(preferred_username=identifier) if identifier == "alice" else None

        @federation.on(Like)
        def thank(ctx: Any, activity: Like) -> None:
            ctx.publish(self.mention().evolve(content="thanks"), by="alice", push=False)

        self.node: Node[None] = Node(federation, HERE, "memory:", transport=self.network, signer=ReusedKeys(), slots=0)
        self.network.join(self.node)
        _ = self.bob.deliver(self.node, self.bob.activity("Follow", object=ALICE))
        self.work()
        self.bob.received.clear()

    def work(self) -> tuple[list[str], list[str]]:
        """Work, and return the types that Bob and Carol have got so far."""
        _ = self.node.work(until_idle=True)
        bob, carol = ([one.activity["type"] for one in peer.received] for peer in (self.bob, self.carol))
        return bob, carol

    def outbox(self) -> list[str]:
        request = Request("GET", f"{ALICE}/outbox?page=true", Headers({"Accept": "application/activity+json"}))
        served = self.node.handle(request)
        return [item["object"]["content"] for item in json.loads(served.body)["orderedItems"]]

    def mention(self, **members: Any) -> Note:
        return Note(content="hi", to=[PUBLIC], cc=[f"{ALICE}/followers", self.carol.actor], **members)


def test_everything_is_pushed_by_default() -> None:
    setting = Setting()
    _ = setting.node.publish(setting.mention(), by="alice")
    assert setting.work() == (["Create"], ["Create"])


def test_object_that_is_only_published_is_in_the_outbox_and_delivered_to_none() -> None:
    setting = Setting()
    uri = setting.node.publish(setting.mention(), by="alice", push=False)
    assert setting.work() == ([], [])
    assert setting.outbox() == ["hi"]
    served = setting.node.handle(Request("GET", uri, Headers({"Accept": "application/activity+json"})))
    assert served.status == 200


def test_listener_publishes_without_a_push_too() -> None:
    setting = Setting()
    _ = setting.carol.deliver(setting.node, setting.carol.activity("Like", object=f"{HERE}/x"), to="alice")
    assert setting.work() == ([], [])
    assert setting.outbox() == ["thanks"]


def test_named_actors_get_what_is_addressed_and_followers_find_it() -> None:
    setting = Setting(pushes="addressed")
    _ = setting.node.publish(setting.mention(), by="alice")
    _ = setting.node.publish(Note(content="to all"), by="alice")
    assert setting.work() == ([], ["Create"])
    assert setting.outbox() == ["to all", "hi"]
    _ = setting.node.publish(Note(content="direct"), by="alice", visibility="direct", to=setting.carol.actor)
    assert setting.work() == ([], ["Create", "Create"])
    _ = setting.node.follow(setting.carol.actor, by="alice")
    assert setting.work()[1] == ["Create", "Create", "Follow"]


def test_one_argument_pushes_in_spite_of_the_policy() -> None:
    setting = Setting(pushes="addressed")
    _ = setting.node.publish(Note(content="news"), by="alice", push=True)
    assert setting.work() == (["Create"], [])


def test_deletion_reaches_everybody_under_any_policy() -> None:
    setting = Setting(pushes="addressed")
    uri = setting.node.publish(Note(content="news"), by="alice")
    _ = setting.node.send(Delete(object=uri), by="alice")
    assert setting.work() == (["Delete"], [])


def test_function_decides_about_each_activity() -> None:
    asked: list[str] = []

    def is_urgent(activity: Activity) -> bool:
        asked.extend(activity.types)
        claimed = None if activity.object is None else activity.object.claimed(Note)
        return claimed is not None and claimed.content == "urgent"

    setting = Setting(pushes=is_urgent)
    for content in ("calm", "urgent"):
        _ = setting.node.publish(Note(content=content), by="alice")
    assert setting.work() == (["Create"], [])
    assert set(asked) == {Create.type_name}
    assert Update.type_name not in asked


def test_answer_that_is_no_bool_is_refused() -> None:
    setting = Setting(pushes=lambda _activity: "yes")
    with pytest.raises(ContractError, match="True or False"):
        setting.node.publish(Note(content="x"), by="alice")


@pytest.mark.parametrize("pushes", ["none", None, 5])
def test_unknown_policy_is_refused(pushes) -> None:
    with pytest.raises(ConfigurationError, match="pushes"):
        Federation(pushes=pushes)


def test_coroutine_function_is_refused() -> None:
    async def decide(_activity: Activity) -> bool:
        return True

    with pytest.raises(ConfigurationError, match="plain function"):
        Federation(pushes=decide)  # type: ignore[arg-type]
