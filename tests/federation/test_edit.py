"""Check that an Update or a Delete of a published object changes the served documents in the commit that sends it."""

import json

import pytest

from apcore.effects import commit
from apcore.errors import ContractError
from apcore.federation import Federation
from apcore.federation.outbox.edit import FORMER_READERS_MAX
from apcore.http import Headers, Request, Response
from apcore.node import Node
from apcore.ports import Put
from apcore.vocab import PUBLIC, Create, Delete, Note, Person, Update
from outbox_fixture import FOLLOWERS as OUR_FOLLOWERS
from outbox_fixture import Outgoing

ORIGIN = "https://ours.example"
X, Y = "https://x.example", "https://y.example"
ALICE = f"{ORIGIN}/users/alice"


@pytest.fixture
def node():
    federation: Federation[None] = Federation(software="test/1.0")
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person(preferred_username=identifier))
    with Node(federation, ORIGIN, "memory:") as node:
        yield node


def get(node, url: str) -> tuple[int, dict]:
    answer = node.handle(Request("GET", url, Headers({"Accept": "application/activity+json"})))
    assert isinstance(answer, Response)
    return answer.status, json.loads(answer.body)


def outbox(node) -> list[dict]:
    return get(node, f"{ALICE}/outbox?page=true")[1]["orderedItems"]


@pytest.fixture
def published(node) -> dict:
    node.publish(Note(content="first", name="title"), by="alice", to=PUBLIC)
    [create] = outbox(node)
    return create


def test_update_replaces_the_object_and_its_create_in_the_outbox(node, published) -> None:
    note = published["object"]
    node.send(Update(object=Note(id=note["id"], content="second")), by="alice", to=f"{ALICE}/followers")
    status, served = get(node, note["id"])
    assert (status, served["content"], served["type"]) == (200, "second", "Note")
    assert "name" not in served, "a member survived that the update does not have"
    assert {name: served[name] for name in ("attributedTo", "published", "to", "cc")} == {
        name: note[name] for name in ("attributedTo", "published", "to", "cc")
    }
    [create] = outbox(node)
    assert (create["id"], create["type"]) == (published["id"], "Create")
    assert create["object"]["content"] == "second"
    assert get(node, published["id"])[1]["object"]["content"] == "second"


def test_sent_update_contains_the_served_object(node, published) -> None:
    ident = published["object"]["id"]
    node.send(Update(object=Note(id=ident, content="second")), by="alice", to=f"{ALICE}/followers")
    bodies = [json.loads(entry.value.partition(b"\n")[2]) for entry in node.ports.store.scan(("sent", "1"), limit=10)]
    [update] = [body for body in bodies if body["type"] == "Update"]
    _, served = get(node, ident)
    assert update["object"] == {name: value for name, value in served.items() if name != "@context"}


def test_object_made_private_by_an_update_is_hidden(node, published) -> None:
    note = published["object"]
    bob = "https://theirs.example/bob"
    node.send(Update(object=Note(id=note["id"], content="secret", to=[bob])), by="alice", to=bob)
    assert get(node, note["id"])[0] == 404
    assert get(node, published["id"])[0] == 404
    assert outbox(node) == []
    assert get(node, f"{ALICE}/outbox")[1]["totalItems"] == 0
    node.send(Update(object=Note(id=note["id"], content="public", to=[PUBLIC])), by="alice", to=PUBLIC)
    assert get(node, note["id"])[1]["content"] == "public"
    [create] = outbox(node)
    assert (create["id"], create["object"]["content"], create["to"]) == (published["id"], "public", [PUBLIC])
    assert get(node, f"{ALICE}/outbox")[1]["totalItems"] == 1


def test_create_gets_the_new_audience_of_its_object(node) -> None:
    bob, dora = "https://theirs.example/bob", "https://theirs.example/dora"
    ident = node.publish(Note(content="first"), by="alice", to=bob)
    node.send(Update(object=Note(id=ident, content="second", to=[dora])), by="alice", to=dora)
    documents = [json.loads(entry.value.partition(b"\n")[2]) for entry in node.ports.store.scan(("obj", "1"), limit=10)]
    assert sorted(document["type"] for document in documents) == ["Create", "Note"]
    assert all(document["to"] in (dora, [dora]) for document in documents), documents
    assert outbox(node) == []


def test_delete_leaves_a_tombstone_and_empties_the_outbox(node, published) -> None:
    note = published["object"]
    node.send(Delete(object=note["id"]), by="alice", to=f"{ALICE}/followers")
    status, served = get(node, note["id"])
    assert (status, served["type"], served["formerType"], served["id"]) == (410, "Tombstone", "Note", note["id"])
    assert "content" not in served
    assert outbox(node) == []
    assert get(node, f"{ALICE}/outbox")[1]["totalItems"] == 0
    assert get(node, published["id"])[0] == 404
    node.send(Update(object=Note(id=note["id"], content="risen")), by="alice", to=f"{ALICE}/followers")
    assert get(node, note["id"])[0] == 410, "a deleted object was served again"


def test_object_of_another_actor_cannot_be_changed(node, published) -> None:
    ident = published["object"]["id"]
    for activity in (Update(object=Note(id=ident, content="mine")), Delete(object=ident)):
        with pytest.raises(ContractError, match="which is of"):
            node.send(activity, by="bob", to=f"{ORIGIN}/users/bob/followers")
    assert get(node, ident)[1]["content"] == "first"


@pytest.mark.parametrize(
    "activity",
    [
        pytest.param(lambda ident: Update(object=ident), id="only-names-it"),
        pytest.param(lambda ident: Create(object=Note(id=ident, content="again")), id="no-revision"),
        pytest.param(lambda ident: Update(object=Note(id=f"{ident}x", content="?")), id="another-id"),
        pytest.param(lambda ident: Delete(object="https://remote.example/1"), id="not-ours"),
    ],
)
def test_other_activities_change_no_object(node, published, activity) -> None:
    ident = published["object"]["id"]
    node.send(activity(ident), by="alice", to=f"{ALICE}/followers")
    assert outbox(node) == [published]
    assert get(node, ident)[1]["content"] == "first"


# --- audiences ------------------------------------------------------------------------------------------------------

BOB, DORA, EVE = (f"https://theirs.example/{name}" for name in ("bob", "dora", "eve"))


@pytest.fixture
def out() -> Outgoing:
    outgoing = Outgoing()
    outgoing.follow(f"{X}/fan")
    return outgoing


def recipients(out: Outgoing) -> list[str]:
    """Return the actors that the activities sent since the last call have reached."""
    out.work()
    urls = sorted(url.removesuffix("/inbox") for url in out.post.urls)
    out.post.posts.clear()
    return urls


def stored_documents(out: Outgoing) -> dict[str, dict]:
    documents = [json.loads(entry.value.partition(b"\n")[2]) for entry in out.facts("obj", "1")]
    return {document["type"]: document for document in documents}


AUDIENCES = {
    "public": {"to": [PUBLIC], "cc": [OUR_FOLLOWERS]},
    "unlisted": {"to": [OUR_FOLLOWERS], "cc": [PUBLIC], "audience": [f"{Y}/group"]},
    "followers": {"to": [OUR_FOLLOWERS], "cc": [f"{Y}/rosa"]},
    "direct": {"to": [f"{Y}/rosa"], "cc": [f"{Y}/tim"], "audience": [f"{Y}/group"]},
    "in secret": {"to": [f"{Y}/rosa"], "bto": [f"{Y}/tim"], "bcc": [f"{Y}/group"]},
    "in secret only": {"bcc": [f"{Y}/rosa"]},
}


def open_members(document: dict) -> dict:
    return {name: document[name] for name in ("to", "cc", "audience") if document.get(name)}


@pytest.mark.parametrize("audience", AUDIENCES.values(), ids=AUDIENCES)
def test_update_without_an_audience_inherits_all_of_it(out: Outgoing, audience: dict) -> None:
    ident = out.node.publish(Note(content="first", **audience), by="alice")
    reached = recipients(out)
    assert reached
    before = get(out.node, ident)[0]
    out.node.send(Update(object=Note(id=ident, content="second")), by="alice")
    out.work()
    stated = {name: value for name, value in audience.items() if name in {"to", "cc", "audience"}}
    for update in out.post.bodies:
        assert open_members(update) == open_members(update["object"]) == stated
    assert all(open_members(document) == stated for document in stored_documents(out).values())
    assert recipients(out) == reached
    assert get(out.node, ident)[0] == before


@pytest.mark.parametrize("is_inner", [True, False], ids=["in the object", "in the activity"])
@pytest.mark.parametrize("named", [{"to": [BOB]}, {"cc": [BOB]}, {"audience": [BOB]}], ids=str)
def test_update_that_names_one_member_replaces_all_three(out: Outgoing, named: dict, is_inner: bool) -> None:
    ident = out.node.publish(Note(content="1", to=[DORA], cc=[EVE], audience=[f"{Y}/group"]), by="alice")
    out.work()
    out.post.posts.clear()
    inner, outer = (named, {}) if is_inner else ({}, named)
    out.node.send(Update(object=Note(id=ident, content="2", **inner), **outer), by="alice")
    out.work()
    documents = stored_documents(out)
    sent = [body for body in out.post.bodies if body["type"] == "Update"]
    for document in (*documents.values(), documents["Create"]["object"], *sent, sent[0]["object"]):
        assert open_members(document) == named
    # Those that the Update leaves out have the first version, so they get the second.
    assert recipients(out) == sorted([BOB, DORA, EVE, f"{Y}/group"])


@pytest.mark.parametrize("before", ["public", "unlisted", "followers"])
@pytest.mark.parametrize("after", ["followers", "direct", "nobody"])
@pytest.mark.parametrize("is_by_word", [True, False], ids=["by a word", "by members"])
def test_narrowed_object_is_visible_nowhere(out: Outgoing, before: str, after: str, is_by_word: bool) -> None:
    ident = out.node.publish(Note(content="first"), by="alice", visibility=before)
    create_id = stored_documents(out)["Create"]["id"]
    recipients(out)
    to = {"followers": [OUR_FOLLOWERS], "direct": [BOB], "nobody": []}[after]
    update: dict = {"by": "alice"}
    if is_by_word and after != "nobody":
        update |= {"visibility": after, "to": BOB if after == "direct" else None}
    note = Note(id=ident, content="second") if "visibility" in update else Note(id=ident, content="second", to=to)
    out.node.send(Update(object=note), **update)
    for url in (ident, create_id):
        status, document = get(out.node, url)
        assert status == 404
        assert "second" not in json.dumps(document)
    outbox_uri = f"{OUR_FOLLOWERS.removesuffix('followers')}outbox"
    assert get(out.node, outbox_uri)[1]["totalItems"] == 0
    assert get(out.node, f"{outbox_uri}?page=true")[1]["orderedItems"] == []
    assert set(recipients(out)) == {f"{X}/fan"} | ({BOB} if after == "direct" else set())


def test_update_may_change_the_audience_alone(out: Outgoing) -> None:
    ident = out.node.publish(Note(content="first"), by="alice")
    recipients(out)
    out.node.send(Update(object=ident), by="alice", to=BOB, visibility="direct")
    out.work()
    [update] = {json.dumps(body): body for body in out.post.bodies}.values()
    assert update["object"]["content"] == "first"
    assert open_members(update) == open_members(update["object"]) == {"to": [BOB]}
    assert get(out.node, ident)[0] == 404
    assert recipients(out) == sorted([f"{X}/fan", BOB])


def test_object_made_public_again_returns_to_its_place_in_the_outbox(node) -> None:
    idents = [node.publish(Note(content=str(number)), by="alice") for number in range(3)]
    listed = [create["object"]["id"] for create in outbox(node)]
    assert listed == idents[::-1]
    node.send(Update(object=idents[1]), by="alice", to=BOB, visibility="direct")
    assert [create["object"]["id"] for create in outbox(node)] == [idents[2], idents[0]]
    node.send(Update(object=Note(id=idents[1], content="again")), by="alice", visibility="public")
    assert [create["object"]["id"] for create in outbox(node)] == listed


@pytest.mark.parametrize("audience", AUDIENCES.values(), ids=AUDIENCES)
def test_delete_has_the_audience_of_the_object_and_reaches_it(out: Outgoing, audience: dict) -> None:
    ident = out.node.publish(Note(content="first", **audience), by="alice")
    reached = recipients(out)
    out.node.send(Delete(object=ident), by="alice")
    out.work()
    stated = {name: value for name, value in audience.items() if name in {"to", "cc", "audience"}}
    assert [open_members(body) for body in out.post.bodies] == [stated] * len(reached)
    assert recipients(out) == reached
    out.node.send(Delete(object=ident), by="alice")
    assert recipients(out) == reached, "a repeated Delete did not reach the same actors"


def test_delete_reaches_recipients_of_all_versions(out: Outgoing) -> None:
    ident = out.node.publish(Note(content="1", to=[BOB], bcc=[DORA]), by="alice")
    out.node.send(Update(object=Note(id=ident, content="2", to=[EVE])), by="alice", to=f"{Y}/tim")
    out.node.send(Update(object=Note(id=ident, content="3", to=[f"{Y}/rosa"])), by="alice")
    assert recipients(out) == sorted([BOB, DORA] * 3 + [EVE, f"{Y}/tim"] * 2 + [f"{Y}/rosa"])
    out.node.send(Delete(object=ident, to=[EVE]), by="alice")
    assert recipients(out) == sorted([BOB, DORA, EVE, f"{Y}/tim", f"{Y}/rosa"])


def test_former_recipients_are_not_named_by_an_update(out: Outgoing) -> None:
    ident = out.node.publish(Note(content="1", to=[BOB]), by="alice")
    recipients(out)
    out.node.send(Update(object=Note(id=ident, content="2", to=[DORA])), by="alice")
    out.work()
    assert len(out.post.bodies) == 2
    assert not [request for _, request in out.post.posts if b"bob" in request.body]


def test_object_remembers_a_bounded_number_of_former_recipients(out: Outgoing) -> None:
    ident = out.node.publish(Note(content="1", to=[BOB]), by="alice")
    crowds = [[f"{X}/{crowd}/{number}" for number in range(1_000)] for crowd in range(3)]
    for crowd in crowds[:2]:
        out.node.send(Update(object=Note(id=ident, content="2", to=crowd)), by="alice")
    with pytest.raises(ContractError, match=f"at most {FORMER_READERS_MAX}"):
        out.node.send(Update(object=Note(id=ident, content="3", to=crowds[2])), by="alice")
    out.node.send(Delete(object=ident), by="alice")
    assert max(len(json.loads(entry.value)["to"]) for entry in out.facts("send", "1")) == FORMER_READERS_MAX + 1


@pytest.mark.parametrize("to", [[BOB], []], ids=["direct", "to none"])
def test_update_of_a_private_object_to_public_is_refused(out: Outgoing, to: list[str]) -> None:
    ident = out.node.publish(Note(content="1"), by="alice", to=to)
    for activity in (Update(object=Note(id=ident, content="2")), Delete(object=ident)):
        with pytest.raises(ContractError, match="adds PUBLIC"):
            out.node.send(activity, by="alice", to=PUBLIC)
    assert stored_documents(out)["Note"]["content"] == "1"


def test_object_at_an_address_of_the_application_changes_its_create() -> None:
    """The application serves such an object itself, but its Create is in the outbox."""
    federation: Federation[None] = Federation(software="test/1.0")
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person(preferred_username=identifier))
    federation.object(Note, "/notes/{number}")(lambda ctx, number: None)
    with Node(federation, ORIGIN, "memory:") as node:
        ident = node.publish(Note(id=f"{ORIGIN}/notes/1", content="first"), by="alice")
        node.send(Update(object=Note(id=ident, content="second")), by="alice")
        assert [create["object"]["content"] for create in outbox(node)] == ["second"]
        node.send(Delete(object=ident), by="alice")
        assert outbox(node) == []


def test_object_of_an_earlier_release_has_the_audience_in_its_body(out: Outgoing) -> None:
    ident = out.node.publish(Note(content="1", to=[BOB]), by="alice")
    for entry in out.facts("obj", "1"):
        head, _, body = entry.value.partition(b"\n")
        members = {name: value for name, value in json.loads(head).items() if name not in {"readers", "order"}}
        out.node.run(commit((), (Put(entry.key, json.dumps(members).encode() + b"\n" + body),)))
    recipients(out)
    out.node.send(Update(object=Note(id=ident, content="2", to=[DORA])), by="alice")
    assert recipients(out) == [BOB, DORA]
    out.node.send(Delete(object=ident), by="alice")
    assert recipients(out) == [BOB, DORA]
