"""Check the writes of an application: committed together or not at all, once, with the same ids in a repeated run."""

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from apcore.drivers import run
from apcore.errors import ContractError, StoreBusy, Unavailable
from apcore.federation.outbox.pending_writes import ACTIVITY_BYTES_MAX, flush
from apcore.federation.outbox.send import act
from apcore.federation.received_writes import WriteEntry
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.unit_setup import unit_of_work_for
from apcore.federation.write_notes import AddMember, PendingWrite, PublishObject, RemoveMember, SendActivity
from apcore.http import Headers, Request, Response
from apcore.ports import DeleteEntry, Put
from apcore.testing.simulation import fault_loop, inject_failure
from apcore.vocab import PUBLIC, Follow, Like, Note
from apcore.vocab import Delete as Deletion
from outbox_fixture import ALICE, FOLLOWERS, HERE, Outgoing

X = "https://x.example"
AP = Headers({"Accept": "application/activity+json"})


@pytest.fixture
def out() -> Outgoing:
    return Outgoing()


def get(out: Outgoing, url: str) -> tuple[int, Any]:
    answer = out.node.handle(Request("GET", url, AP))
    assert isinstance(answer, Response)
    return answer.status, json.loads(answer.body)


def flush_writes(out: Outgoing, *notes: PendingWrite, seed: bytes = b"seed") -> Any:
    scope: UnitOfWork[Any] = unit_of_work_for(out.node.site(), seed=seed)
    for note in notes:
        if isinstance(note, SendActivity | PublishObject):
            scope.address(note)
        else:
            scope.notes.append(note)
    return out.node.run(flush(out.node.site(), scope))


# --- publishing -----------------------------------------------------------------------------------------------------


def test_publish_stores_lists_and_sends_the_object(out: Outgoing) -> None:
    out.follow(f"{X}/bob")
    ident = out.node.publish(Note(content="hi"), by="alice")
    _, page = get(out, f"{ALICE}/outbox?page=true")
    [create] = page["orderedItems"]
    status, served = get(out, create["id"])
    assert status == 200
    assert {name: value for name, value in served.items() if name != "@context"} == create
    note = create["object"]
    assert note["id"] == ident
    assert note["attributedTo"] == create["actor"] == ALICE
    assert note["to"] == create["to"] == [PUBLIC]
    assert note["cc"] == create["cc"] == [FOLLOWERS]
    assert note["published"] == create["published"] == "2026-01-01T12:00:00Z"
    assert get(out, note["id"])[1]["content"] == "hi"
    out.work()
    [body] = out.post.bodies
    assert body.pop("proof")["verificationMethod"] == f"{ALICE}#ed25519-key"
    assert body.pop("@context") == [served.pop("@context"), "https://w3id.org/security/data-integrity/v1"]
    assert body == served


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("own_queue", [False, True], ids=["one store", "a separate queue"])
def test_publish_is_atomic(when: Any, own_queue: bool) -> None:
    rounds = 0
    for sabotage in fault_loop(when=when):
        out = Outgoing(own_queue=own_queue)
        out.follow(f"{X}/bob")
        members_before = len(out.facts("c"))
        note = PublishObject(Note(content="hi").document, "alice", (PUBLIC,))
        with suppress(Unavailable):
            run(inject_failure(act(out.node.site(), note), sabotage), out.node.ports)
        parts = [
            len(out.facts("obj", "1")) // 2,
            len(out.facts("sent", "1")),
            len(out.facts("send", "1")),
            (len(out.facts("c")) - members_before) // 3,
        ]
        assert parts in ([0] * 4, [1] * 4)
        if sabotage.failed is None:
            assert parts == [1] * 4
        if own_queue:
            out.lose_queue()
        out.work()
        assert len(out.post.urls) == parts[0]
        rounds += 1
    assert rounds >= 2


def test_private_object_is_not_served(out: Outgoing) -> None:
    out.follow(f"{X}/bob")
    out.node.publish(Note(content="psst"), by="alice", to=FOLLOWERS)
    out.node.publish(Note(content="you"), by="alice", to=f"{X}/bob")
    out.work()
    assert len(out.post.urls) == 2
    assert get(out, f"{ALICE}/outbox?page=true")[1]["orderedItems"] == []
    for body in out.post.bodies:
        for url in (body["id"], body["object"]["id"]):
            status, problem = get(out, url)
            assert status == 404
            assert "psst" not in json.dumps(problem)


PRIVATE: dict[str, Any] = {"to": [f"{X}/bob"], "cc": [f"{X}/bob"], "audience": [f"{X}/bob"], "bto": [f"{X}/bob"]}


@pytest.mark.parametrize("member", PRIVATE)
def test_object_with_its_own_audience_is_delivered_to_that_audience(out: Outgoing, member: str) -> None:
    out.follow(f"{X}/dora")
    ident = out.node.publish(Note(content="psst", **{member: PRIVATE[member]}), by="alice")
    out.work()
    assert out.post.urls == [f"{X}/bob/inbox"]
    assert get(out, ident)[0] == 404
    assert get(out, f"{ALICE}/outbox")[1]["totalItems"] == 0


CONTRADICTIONS: dict[str, Any] = {
    "to": ({"to": [f"{X}/bob"]}, PUBLIC),
    "cc": ({"cc": [f"{X}/bob"]}, ["as:Public"]),
    "bto": ({"bto": [f"{X}/bob"]}, PUBLIC),
    "public in bcc": ({"bcc": [PUBLIC]}, None),
}


@pytest.mark.parametrize(("audience", "to"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_private_object_cannot_be_published_to_everyone(out: Outgoing, audience: dict[str, Any], to: Any) -> None:
    with pytest.raises(ContractError, match="PUBLIC"):
        out.node.publish(Note(content="psst", **audience), by="alice", to=to)
    assert not out.facts("obj", "1") + out.facts("sent", "1")


@pytest.mark.parametrize("public", [PUBLIC, "as:Public", "Public"])
def test_every_name_of_the_public_is_sent_as_its_full_uri(out: Outgoing, public: str) -> None:
    out.follow(f"{X}/bob")
    out.node.publish(Note(content="hi"), by="alice", to=[public])
    out.work()
    assert out.post.bodies[0]["to"] == out.post.bodies[0]["object"]["to"] == [PUBLIC]
    assert len(get(out, f"{ALICE}/outbox?page=true")[1]["orderedItems"]) == 1


def test_outbox_does_not_count_private_objects(out: Outgoing) -> None:
    out.node.publish(Note(content="for all"), by="alice")
    for to in (FOLLOWERS, f"{X}/bob"):
        hidden = out.node.publish(Note(content="for some"), by="alice", to=to)
        assert get(out, hidden)[0] == 404
    assert get(out, f"{ALICE}/outbox")[1]["totalItems"] == 1
    assert len(get(out, f"{ALICE}/outbox?page=true")[1]["orderedItems"]) == 1
    out.node.send(Deletion(object=hidden), by="alice", to=f"{X}/bob")
    assert get(out, f"{ALICE}/outbox")[1]["totalItems"] == 1


# --- one commit -----------------------------------------------------------------------------------------------------


def test_several_changes_of_one_collection_are_one_commit(out: Outgoing) -> None:
    likes = f"{HERE}/likes"
    notes = [AddMember(likes, f"{X}/{number}") for number in range(5)]
    publishing = [PublishObject(Note(content=str(number)).document, "alice", (PUBLIC,)) for number in range(3)]
    out.node.run(act(out.node.site(), *notes, *publishing))
    out.node.run(
        act(out.node.site(), RemoveMember(likes, f"{X}/1"), RemoveMember(likes, f"{X}/2"), AddMember(likes, f"{X}/9"))
    )
    assert get(out, f"{ALICE}/outbox")[1]["totalItems"] == 3
    items = [item["object"]["content"] for item in get(out, f"{ALICE}/outbox?page=true")[1]["orderedItems"]]
    assert sorted(items) == ["0", "1", "2"]
    flushed = flush_writes(out, AddMember(likes, f"{X}/a"), RemoveMember(likes, f"{X}/3"))
    keys = [write.key for write in flushed.writes]
    assert len(keys) == len(set(keys))


def test_last_write_of_a_key_wins(out: Outgoing) -> None:
    key = ("x",)
    assert flush_writes(out, WriteEntry(Put(key, b"1")), WriteEntry(Put(key, b"2"))).writes == (Put(key, b"2"),)
    assert flush_writes(out, WriteEntry(Put(key, b"1")), WriteEntry(DeleteEntry(key))).writes == (DeleteEntry(key),)
    assert flush_writes(out, AddMember("c", "i"), RemoveMember("c", "i")).writes == ()
    follows = [SendActivity(Follow(object=f"{X}/bob").document, "alice", (f"{X}/bob",)) for _ in range(2)]
    out.node.run(act(out.node.site(), *follows))
    out.work()
    assert len(out.post.urls) == 2


def test_repeated_follow_updates_the_inbox_of_a_follower(out: Outgoing) -> None:
    for inbox in ("old", "new"):
        stored = json.dumps({"inbox": f"{X}/{inbox}"}).encode()
        out.node.run(act(out.node.site(), AddMember(FOLLOWERS, f"{X}/bob", stored)))
    out.node.run(act(out.node.site(), AddMember(FOLLOWERS, f"{X}/bob")))
    out.node.publish(Note(content="hi"), by="alice")
    out.work()
    assert out.post.urls == [f"{X}/new"]


@pytest.mark.parametrize("step_s", [0, 0.0001, -1, -3600], ids=["same tick", "same millisecond", "back", "far back"])
def test_outbox_has_the_order_of_publishing_whatever_the_clock_does(out: Outgoing, step_s: float) -> None:
    for number in range(8):
        out.node.run(
            act(
                out.node.site(),
                *(PublishObject(Note(content=f"{number}{letter}").document, "alice") for letter in "ab"),
            )
        )
        out.clock.moment += timedelta(seconds=step_s)
    contents = [item["object"]["content"] for item in get(out, f"{ALICE}/outbox?page=true")[1]["orderedItems"]]
    assert contents == [f"{number}{letter}" for number in reversed(range(8)) for letter in "ba"]


def test_outbox_with_an_order_of_the_application_takes_new_posts(out: Outgoing) -> None:
    out.node.append(f"{ALICE}/outbox", f"{ALICE}/activities/pinned", order="zzz")
    out.node.publish(Note(content="hi"), by="alice")
    assert get(out, f"{ALICE}/outbox")[1]["totalItems"] == 2


TOO_MUCH: dict[str, Any] = {
    "entries": [AddMember("c", str(number)) for number in range(60)],
    "an entry": [WriteEntry(Put(("x",), b"x" * (2 * 1024 * 1024 + 1)))],
    "bytes": [WriteEntry(Put(("x", str(number)), b"x" * 2_000_000)) for number in range(4)],
    "an activity": [SendActivity(Like(object=X, content="x" * ACTIVITY_BYTES_MAX).document, "alice", (f"{X}/bob",))],
    "recipients": [
        SendActivity(Like(object=X).document, "alice", tuple(f"{X}/{number:02200d}" for number in range(1_000)))
    ],
}


@pytest.mark.parametrize("notes", TOO_MUCH.values(), ids=TOO_MUCH)
def test_writes_beyond_the_size_of_a_commit_are_refused(out: Outgoing, notes: list[Any]) -> None:
    with pytest.raises(ContractError, match=r"holds|take"):
        flush_writes(out, *notes)


def test_send_and_publish_return_the_id(out: Outgoing) -> None:
    out.follow(f"{X}/bob")
    chosen_id = f"{ALICE}/objects/first"
    assert out.node.publish(Note(id=chosen_id, content="hi"), by="alice") == chosen_id
    assert get(out, chosen_id)[1]["content"] == "hi"
    minted_id = out.node.send(Like(object=X), by="alice", to=f"{X}/bob")
    given_id = out.node.send(Like(id=f"{ALICE}#likes/1", object=X), by="alice", to=f"{X}/bob")
    out.work()
    assert {minted_id, given_id} == {body["id"] for body in out.post.bodies if body["type"] == "Like"}
    assert given_id == f"{ALICE}#likes/1"


def test_unknown_author_or_malformed_recipient_is_refused_at_once(out: Outgoing) -> None:
    for write in (
        lambda: out.node.publish(Note(content="hi"), by="nobody"),
        lambda: out.node.send(Like(object=X), by="nobody", to=f"{X}/bob"),
    ):
        with pytest.raises(ValueError, match="by='nobody': the federation has no such actor"):
            write()
    with pytest.raises(ValueError, match=r"to='bob@x\.example' is not the address"):
        out.node.send(Like(object=X), by="alice", to="bob@x.example")
    assert not out.facts("sent", "1")


def test_activity_of_another_actor_cannot_be_sent(out: Outgoing) -> None:
    with pytest.raises(ContractError, match="actor"):
        out.node.send(Like(object=X, actor=f"{X}/bob"), by="alice", to=f"{X}/bob")
    assert not out.facts("sent", "1")


# --- repeated runs----------------------------------------------------------------------------------------------------


def test_repeated_run_mints_the_same_ids_despite_concurrent_writes(out: Outgoing) -> None:
    notes: list[PendingWrite] = [
        AddMember(FOLLOWERS, f"{X}/bob"),
        PublishObject(Note(content="hi").document, "alice", (PUBLIC,)),
        SendActivity(Like(object=X).document, "alice", (f"{X}/bob",)),
    ]

    def sent_writes(flushed: Any) -> list[Any]:
        return [write for write in flushed.writes if write.key[0] in {"sent", "send", "obj"}]

    first = sent_writes(flush_writes(out, *notes))
    out.node.run(act(out.node.site(), AddMember(FOLLOWERS, f"{X}/bob")))
    assert sent_writes(flush_writes(out, *notes)) == first
    assert len(first) == 6
    writes_of_another_run = sent_writes(flush_writes(out, *notes, seed=b"another"))
    assert not {write.key for write in first} & {write.key for write in writes_of_another_run}


def test_send_gives_up_after_five_lost_races(out: Outgoing) -> None:
    commits = []

    def disagree(*arguments: Any, **named: Any) -> bool:
        commits.append(arguments)
        return False

    out.store.commit = disagree
    with pytest.raises(StoreBusy, match="5 times"):
        out.node.send(Like(object=X), by="alice", to=f"{X}/bob")
    assert len(commits) == 5
