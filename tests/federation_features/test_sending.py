"""Check sending: the reports of failed and dead deliveries, sending at once, and single messages of a platform."""

import asyncio
import json
from datetime import timedelta
from functools import cached_property

import pytest

from apcore import AsyncNode, Federation, Node
from apcore.adapters.memory import MemoryStore
from apcore.collections import PageItems
from apcore.errors import ConfigurationError, ContractError
from apcore.federation import FailedDelivery, RetryPolicy
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import Peer
from apcore.vocab import Create, Like, Note, Person
from outbox_fixture import ALICE, HERE, NOON, Clock, Post

BOB = "https://remote.example/users/bob"
INBOX = f"{BOB}/inbox"
CAROL = "https://third.example/users/carol"


class Site:
    """A node with hooks that record their reports, and inboxes with answers that a test decides."""

    def __init__(self, make_node=Node, **options):
        self.failed: list[FailedDelivery] = []
        self.dead: list[FailedDelivery] = []
        self.dead_letters = []
        self.clock = Clock()
        self.post = Post(self.clock)
        self.federation = Federation(software="test/1.0", **options)
        self.federation.actor("/users/{identifier}")(
            lambda ctx, identifier: Person(preferred_username=identifier) if identifier == "alice" else None
        )
        self.federation.on_delivery_failed(lambda ctx, report: self.failed.append(report))
        self.federation.on_delivery_dead(self.on_dead)
        self.federation.on_dead_letter(lambda ctx, letter: self.dead_letters.append(letter))
        self.store = MemoryStore(clock=self.clock.seconds)
        self.make_node = make_node

    @cached_property
    def node(self):
        """The node, made when it is first used, so that a test can register more before."""
        arguments = {"transport": self.post, "signer": ReusedKeys()}
        if self.make_node is Node:
            arguments |= {"runtime": self.clock, "slots": 0}
        return self.make_node(self.federation, HERE, self.store, **arguments)

    def on_dead(self, ctx, report):
        self.dead.append(report)
        ctx.append(f"{HERE}/dropped", report.inbox)

    def like(self, **options):
        return self.node.send(Like(object=f"{BOB}/notes/1"), by="alice", to=BOB, **options)

    def work(self):
        self.node.work(until_idle=True)

    def pass_days(self, days):
        """Work through the retries of some days."""
        for _ in range(int(days * 4)):
            self.clock.moment += NOON - NOON.replace(hour=6)
            self.work()


def test_each_failed_attempt_is_reported():
    site = Site()
    site.post.answers[INBOX] = 503
    activity_id = site.like()
    site.work()
    [report] = site.failed
    assert (report.activity_id, report.actor, report.inbox) == (activity_id, ALICE, INBOX)
    assert (report.status, report.attempts, report.is_dead) == (503, 1, False)
    assert "503" in report.reason
    site.pass_days(0.25)
    assert [report.attempts for report in site.failed] == [1, 2]
    assert site.dead == []


def test_delivery_that_is_accepted_is_not_reported():
    site = Site()
    site.like()
    site.work()
    assert (site.failed, site.dead) == ([], [])


@pytest.mark.parametrize("status", [404, 410, 400])
def test_dead_delivery_is_reported_once_with_its_status(status):
    site = Site()
    site.post.answers[INBOX] = status
    site.like()
    site.work()
    site.work()
    [report] = site.dead
    assert (report.status, report.inbox, report.attempts, report.is_dead) == (status, INBOX, 1, True)
    assert site.failed == []
    assert site.node.contains(f"{HERE}/dropped", INBOX)


def test_delivery_without_an_answer_is_reported_dead_after_all_retries():
    site = Site()
    site.post.answers[INBOX] = ConnectionError("down")
    site.post.answers[INBOX] = 500
    site.like()
    site.work()
    site.pass_days(5)
    [report] = site.dead
    assert (report.status, report.is_dead) == (500, True)
    assert report.attempts == len(site.failed) + 1


def test_hook_that_raises_changes_nothing(caplog):
    site = Site()
    site.dead = None  # so the hook raises
    site.post.answers[INBOX] = 410
    site.like()
    site.work()
    assert site.node.dead_letters("delivery").items[0].inbox == INBOX
    assert not site.node.contains(f"{HERE}/dropped", INBOX)
    assert "the hook on_delivery_dead failed" in caplog.text


def test_second_hook_of_a_kind_is_refused():
    federation = Federation()
    federation.on_delivery_dead(lambda ctx, report: None)
    with pytest.raises(ConfigurationError, match="on_delivery_dead has a handler already"):
        federation.on_delivery_dead(lambda ctx, report: None)


def test_hook_registered_late_is_refused():
    site = Site()
    _ = site.node
    with pytest.raises(ConfigurationError, match="on_unverified is registered too late"):
        site.federation.on_unverified(lambda ctx, report: None)


# --- dead letters ---------------------------------------------------------------------------------------------------


def test_dead_delivery_is_listed_shown_and_retried():
    site = Site()
    site.post.answers[INBOX] = 410
    activity_id = site.like()
    site.work()
    [letter] = site.node.dead_letters().items
    assert (letter.kind, letter.activity_id, letter.actor, letter.inbox) == ("delivery", activity_id, ALICE, INBOX)
    assert letter.document is None
    assert site.node.dead_letter(letter.id).document["type"] == "Like"
    del site.post.answers[INBOX]
    assert site.node.retry_dead_letter(letter.id)
    assert not site.node.retry_dead_letter(letter.id)
    site.work()
    assert [json.loads(request.body)["id"] for _, request in site.post.posts] == [activity_id] * 2
    assert site.node.dead_letters().items == ()


def test_dead_letter_is_dropped():
    site = Site()
    site.post.answers[INBOX] = 410
    site.like()
    site.work()
    [letter] = site.node.dead_letters("delivery").items
    assert site.node.drop_dead_letter(letter.id)
    assert not site.node.drop_dead_letter(letter.id)
    assert site.node.dead_letter(letter.id) is None


def test_dead_letters_are_paged_over_all_kinds():
    site = Site()
    for name in "abc":
        inbox = f"https://remote.example/users/{name}/inbox"
        site.post.answers[inbox] = 410
        site.node.send(Like(object=f"{BOB}/notes/1"), by="alice", to=f"https://remote.example/users/{name}")
    site.work()
    first = site.node.dead_letters(limit=2)
    second = site.node.dead_letters(limit=2, cursor=first.next)
    assert (len(first.items), len(second.items), second.next) == (2, 1, None)
    assert len({letter.inbox for letter in (*first.items, *second.items)}) == 3
    assert site.node.dead_letters("received").items == ()


@pytest.mark.parametrize(
    "ident", ["", "delivery:", "delivery:!", "other:WyJhIl0", "delivery:WyJhIl0", "received:" + "a" * 9999]
)
def test_malformed_id_of_a_dead_letter_is_refused(ident):
    with Site().node as node, pytest.raises(ValueError, match="no id of a dead letter"):
        node.dead_letter(ident)


class Receiver:
    """A node with a listener that fails until a test mends it, and a peer that delivers to it."""

    def __init__(self, **options):
        self.letters, self.contents, self.is_broken = [], [], True
        federation = Federation(listener_retries=RetryPolicy(attempts_max=1, base_s=1, age_s_max=60), **options)
        federation.actor("/users/{identifier}")(lambda ctx, identifier: Person() if identifier == "alice" else None)
        federation.on(Create)(self.created)
        federation.on_dead_letter(self.on_dead_letter)
        self.peer = Peer(BOB)
        self.node = Node(federation, HERE, MemoryStore(), transport=self.peer.transport, signer=ReusedKeys(), slots=0)

    def created(self, ctx, create):
        if self.is_broken:
            raise ZeroDivisionError("broken")
        self.contents.append(create.object.embedded.view(Note).content)

    def on_dead_letter(self, ctx, letter):
        self.letters.append(letter)
        ctx.append(f"{HERE}/letters", letter.id)

    def receive(self):
        note = {"id": f"{BOB}/notes/1", "type": "Note", "content": "hi", "attributedTo": BOB}
        assert self.peer.deliver(self.node, self.peer.activity("Create", object=note), to="alice").status == 202
        self.node.work(until_idle=True)


def test_received_activity_that_is_given_up_is_reported_and_retried():
    receiver = Receiver()
    receiver.receive()
    [letter] = receiver.node.dead_letters().items
    assert [reported.id for reported in receiver.letters] == [letter.id]
    assert (letter.kind, letter.actor, letter.inbox, letter.attempts) == ("received", BOB, "alice", 1)
    assert letter.reason == "ZeroDivisionError: broken"
    assert receiver.node.contains(f"{HERE}/letters", letter.id)
    assert receiver.node.dead_letter(letter.id).document["object"]["content"] == "hi"

    receiver.is_broken = False
    assert receiver.node.retry_dead_letter(letter.id)
    receiver.node.work(until_idle=True)
    assert receiver.contents == ["hi"]
    assert receiver.node.dead_letters().items == ()


def test_retried_activity_that_fails_again_is_a_dead_letter_again():
    receiver = Receiver()
    receiver.receive()
    [letter] = receiver.node.dead_letters().items
    assert receiver.node.retry_dead_letter(letter.id)
    receiver.node.work(until_idle=True)
    assert [one.id for one in receiver.node.dead_letters("received").items] == [letter.id]
    assert len(receiver.letters) == 2


def test_planning_that_is_given_up_is_reported_and_retried():
    site = Site(listener_retries=RetryPolicy(attempts_max=1, base_s=1, age_s_max=60))
    pages = [None]

    @site.federation.collection("followers")
    def followers(ctx, identifier, cursor):
        if pages[0] is None:
            raise ZeroDivisionError("broken")
        return pages[0]

    activity_id = site.node.send(Like(object=f"{BOB}/notes/1"), by="alice", to=f"{ALICE}/followers")
    site.work()
    [letter] = site.node.dead_letters("planning").items
    assert site.dead_letters == [letter]
    assert (letter.activity_id, letter.reason) == (activity_id, "ZeroDivisionError: broken")
    pages[0] = PageItems([BOB])
    assert site.node.retry_dead_letter(letter.id)
    site.work()
    assert site.post.urls == [INBOX]


def test_dead_letter_without_its_activity_is_not_retried():
    site = Site()
    site.post.answers[INBOX] = 410
    site.like()
    site.work()
    site.clock.moment += timedelta(days=11)
    [letter] = site.node.dead_letters().items
    assert (letter.activity_id, letter.reason[:6]) == (None, "status")
    with pytest.raises(ContractError, match="not stored any more"):
        site.node.retry_dead_letter(letter.id)


# --- sending at once ------------------------------------------------------------------------------------------------


def test_immediate_sending_has_a_result_for_each_recipient():
    site = Site()
    site.post.answers[f"{CAROL}/inbox"] = 503
    gone = "https://gone.example/users/dave"
    site.post.actors[gone] = {"inbox": None}
    results = site.node.send_now(Like(object=f"{BOB}/notes/1"), by="alice", to=[BOB, CAROL, gone])
    assert [(result.recipient, result.is_delivered, result.status) for result in results] == [
        (BOB, True, 202),
        (CAROL, False, 503),
        (gone, False, None),
    ]
    assert [result.inbox for result in results] == [INBOX, f"{CAROL}/inbox", None]
    assert "503" in results[1].reason
    site.work()
    assert [url for url in site.post.urls if url == INBOX] == [INBOX]  # nothing is sent once more
    assert site.node.dead_letters().items == ()


def test_immediate_sending_hides_the_hidden_recipients():
    site = Site()
    site.node.send_now(Like(object=f"{BOB}/notes/1", bto=[CAROL]), by="alice", to=BOB)
    assert all(b"bto" not in request.body for _, request in site.post.posts)


@pytest.mark.parametrize(
    ("recipients", "message"),
    [
        ([f"{ALICE}/followers"], "on this server"),
        ([f"https://remote.example/users/{number}" for number in range(101)], "at most 100"),
        (["nonsense"], "nonsense"),
    ],
)
def test_immediate_sending_refuses_wrong_recipients(recipients, message):
    site = Site()
    with pytest.raises(ValueError, match=message):
        site.node.send_now(Like(object=f"{BOB}/notes/1"), by="alice", to=recipients)
    assert site.post.posts == []


def test_immediate_sending_works_on_an_event_loop():
    async def send():
        async with Site(AsyncNode).node as node:
            return await node.send_now(Like(object=f"{BOB}/notes/1"), by="alice", to=BOB)

    [result] = asyncio.run(send())
    assert result.is_delivered


# --- single messages of a platform ----------------------------------------------------------------------------------


class Platform(MemoryStore):
    """A queue of a platform that calls the program with each message."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def enqueue(self, messages, /):
        self.messages += messages


def test_queued_message_is_processed_by_itself():
    site = Site()
    platform = Platform()
    node = Node(site.federation, HERE, MemoryStore(), queue=platform, transport=site.post, signer=ReusedKeys())
    with node:
        node.send(Like(object=f"{BOB}/notes/1"), by="alice", to=BOB)
        waits = []
        while platform.messages:
            message = platform.messages.pop(0)
            wait_s = node.process(message)
            waits.append(wait_s)
            if wait_s is not None:
                platform.messages.append(message)
            assert len(waits) < 10
    assert site.post.urls == [INBOX]
    assert waits[-1] is None


def test_message_that_is_to_be_presented_later_tells_when():
    site = Site()
    site.post.answers[INBOX] = 503
    platform = Platform()
    with Node(site.federation, HERE, MemoryStore(), queue=platform, transport=site.post, signer=ReusedKeys()) as node:
        node.send(Like(object=f"{BOB}/notes/1"), by="alice", to=BOB)
        assert node.process(platform.messages.pop(0)) is None
        message = platform.messages.pop(0)
        waits = [node.process(message), node.process(message)]
        assert waits[0] == 0.0  # look once more: other deliveries may be due
        assert 10 <= waits[1] <= 40
        with pytest.raises(ValueError, match="the first attempt is 1"):
            node.process(message, attempt=0)


def test_queued_message_is_processed_by_itself_on_an_event_loop():
    async def process():
        site = Site(AsyncNode)
        platform = Platform()
        options = {"queue": platform, "transport": site.post, "signer": ReusedKeys()}
        async with AsyncNode(site.federation, HERE, MemoryStore(), **options) as node:
            await node.send(Like(object=f"{BOB}/notes/1"), by="alice", to=BOB)
            while platform.messages:
                message = platform.messages.pop(0)
                if await node.process(message) is not None:
                    platform.messages.append(message)
        return site.post.urls

    assert asyncio.run(process()) == [INBOX]


def test_node_without_a_queue_processes_no_message():
    with Node(Federation(), None) as node, pytest.raises(ConfigurationError, match="no origin"):
        node.process(None)
