"""Check the log: one line for each received, refused or delivered activity, safe against hostile content."""

from __future__ import annotations

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.federation import DomainRules, Federation
from apcore.http import Headers, Request
from apcore.node import Node
from apcore.testing.keys import ReusedKeys
from apcore.vocab import Create, Like, Note, Person

HERE = "https://local.example"
SHARED_INBOX = "https://remote.example/inbox"
IDA, BEN = (f"{HERE}/users/{name}" for name in ("ida", "ben"))


@pytest.fixture
def node(peer_network):
    rules: Federation[None] = Federation(software="test/1.0")
    rules.actor("/users/{identifier}")(lambda ctx, identifier: Person(preferred_username=identifier))
    rules.on(Create)(lambda ctx, activity: None)
    rules.blocks(DomainRules.suspending(["bad.example"]))
    with Node(
        rules, HERE, MemoryStore(), transport=peer_network, signer=ReusedKeys(), runtime=BlockingRuntime()
    ) as bound:
        yield bound


@pytest.fixture
def bob(peer_network):
    return peer_network.peer("https://remote.example/users/bob")


@pytest.fixture
def lines(caplog):
    """Return a function that takes the lines of one logger since its last call."""
    caplog.set_level("INFO", logger="apcore")

    def take(logger: str) -> list[str]:
        messages = [record.getMessage() for record in caplog.records if record.name == logger]
        caplog.clear()
        return messages

    return take


def test_received_activity_is_logged_in_one_line(node, bob, lines):
    create = bob.activity("Create", object={"type": "Note", "content": "secret words"})
    assert bob.deliver(node, create, to="ida").status == 202
    [line] = lines("apcore.inbox")
    assert line == f"received Create {create['id']} by {bob.actor} for ida"
    assert bob.deliver(node, create, to="ida").status == 202
    [line] = lines("apcore.inbox")
    assert line == f"received once more Create {create['id']} by {bob.actor} for ida"


def test_ignored_activity_is_logged_with_the_reason(node, bob, peer_network, lines):
    assert bob.deliver(node, bob.activity("Listen", object=f"{IDA}#x")).status == 202
    [line] = lines("apcore.inbox")
    assert line.startswith("ignored, since no listener handles it, Listen https://remote.example/users/bob#activities/")
    eve = peer_network.peer("https://other.example/users/eve")
    assert eve.deliver(node, eve.activity("Delete", object=eve.actor)).status == 202
    [line] = lines("apcore.inbox")
    assert line.startswith("ignored, since its actor is unknown here, Delete ")


def test_refusal_is_logged_in_one_line_with_its_reason(node, bob, peer_network, lines):
    suspended_peer = peer_network.peer("https://bad.example/users/bad")
    unsigned = Request("POST", f"{IDA}/inbox", Headers({"Content-Type": "application/activity+json"}), b"{}")
    for request, reason in [
        (unsigned, "refused at /users/ida/inbox: not-an-activity"),
        (
            suspended_peer.request(suspended_peer.activity("Create", object="https://bad.example/1"), f"{IDA}/inbox"),
            "refused at /users/ida/inbox: ",
        ),
    ]:
        assert node.handle(request).status >= 400
        [line] = lines("apcore.inbox")
        assert line.startswith(reason)


def test_delivery_is_logged_in_one_line_with_the_activity_id(node, bob, lines):
    activity = node.send(Like(object="https://remote.example/1"), by="ida", to=bob.actor)
    node.work(until_idle=True)
    assert lines("apcore.delivery") == [f"delivered {activity} to {SHARED_INBOX}"]
    bob.answers += [503, 403]
    activity = node.send(Like(object="https://remote.example/2"), by="ida", to=bob.actor)
    node.work(until_idle=True)
    [line] = lines("apcore.delivery")
    assert line.startswith(f"will retry the delivery of {activity} to {SHARED_INBOX}: status 503")


def test_refused_delivery_is_logged_in_one_line(node, bob, lines):
    bob.answers.append(410)
    activity = node.send(Like(object="https://remote.example/1"), by="ida", to=bob.actor)
    node.work(until_idle=True)
    [line] = lines("apcore.delivery")
    assert line.startswith(f"the delivery of {activity} to {SHARED_INBOX} failed for good: status 410")


def test_local_delivery_is_logged_in_one_line(node, lines):
    note = node.publish(Note(content="hi"), by="ida", to=BEN)
    node.work(until_idle=True)
    [line] = lines("apcore.delivery")
    assert line.startswith("delivered https://local.example/users/ida/")
    assert line.endswith(f"to {BEN} on this server")
    assert note not in line  # the Create is delivered, not the note


@pytest.mark.parametrize("hostile", ["\n2026-01-01 root logged in", "\x1b[2J", "\u202e", "x" * 100_000])
def test_hostile_type_stays_on_one_bounded_line(node, bob, hostile, lines):
    activity = bob.activity("Create", object="https://remote.example/1") | {
        "type": ["Create", f"https://x.example/{hostile}"]
    }
    assert bob.deliver(node, activity).status == 202
    [line] = lines("apcore.inbox")
    assert line.isprintable()
    assert len(line) < 1500


def test_log_contains_neither_content_nor_signatures(node, bob, caplog):
    caplog.set_level("INFO", logger="apcore")
    request = bob.request(bob.activity("Create", object={"type": "Note", "content": "hush"}), f"{IDA}/inbox")
    assert node.handle(request).status == 202
    node.work(until_idle=True)
    assert "hush" not in caplog.text
    assert (request.headers.get("signature") or "")[-40:] not in caplog.text
