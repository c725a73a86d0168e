"""Check the collections of published objects, and ``liked`` of actors: their members, counts and removals."""

from __future__ import annotations

import pytest

from apcore.federation.interactions.changes import REACTIONS_MAX
from apcore.federation.interactions.records import INTERACTIONS
from apcore.federation.interactions.statements import EMOJI_CHARS_MAX
from apcore.testing.peer import Peer
from apcore.vocab import Announce, Delete, Like, Note, Undo, Update
from effects_fixture import ALICE, DORA, PUBLIC, Servers
from inbox_fixture import BOB, CAROL

OTHER = "https://remote.example/notes/9"


def interaction_count(servers: Servers) -> int:
    return sum(key[0] == INTERACTIONS.prefix[0] for key in servers.state())


def reply(servers: Servers, parent: str, **members: object) -> dict[str, object]:
    note = {"id": f"{BOB}/notes/1", "type": "Note", "attributedTo": BOB, "inReplyTo": parent, "to": [PUBLIC]}
    return servers.bob.activity("Create", object={**note, **members})


@pytest.mark.parametrize(("type_name", "name"), [("Like", "likes"), ("Announce", "shares")])
def test_public_like_and_share_are_listed_and_counted(type_name, name):
    servers = Servers()
    note = servers.publish()
    activity = servers.bob.activity(type_name, object=note, to=[PUBLIC])
    assert servers.receive(servers.bob, activity) == 202
    assert servers.get(note)[name] == f"{note}/{name}"
    assert servers.listed(f"{note}/{name}") == [activity["id"]]
    assert servers.total(f"{note}/{name}") == 1
    assert servers.node.members(f"{note}/{name}").items == (BOB,)


def test_like_that_is_not_public_is_counted_but_not_listed():
    servers = Servers()
    note = servers.publish()
    assert servers.receive(servers.bob, servers.bob.activity("Like", object=note)) == 202
    assert servers.listed(f"{note}/likes") == []
    assert servers.total(f"{note}/likes") == 1
    assert servers.node.members(f"{note}/likes").items == (BOB,)


def test_actor_that_likes_twice_counts_once_and_leaves_one_record():
    servers = Servers()
    note = servers.publish()
    for _ in range(5):
        assert servers.receive(servers.bob, servers.bob.activity("Like", object=note)) == 202
    assert servers.total(f"{note}/likes") == 1
    assert interaction_count(servers) == 1


@pytest.mark.parametrize("form", ["id", "embedded", "embedded without id"])
@pytest.mark.parametrize(("type_name", "name"), [("Like", "likes"), ("Announce", "shares")])
def test_undo_takes_back(type_name, name, form):
    servers = Servers()
    note = servers.publish()
    activity = servers.bob.activity(type_name, object=note, to=[PUBLIC])
    assert servers.receive(servers.bob, activity) == 202
    undone: object = activity["id"] if form == "id" else activity
    if form == "embedded without id":
        undone = {"type": type_name, "actor": BOB, "object": note}
    assert servers.receive(servers.bob, servers.bob.activity("Undo", object=undone)) == 202
    assert servers.total(f"{note}/{name}") == 0
    assert servers.listed(f"{note}/{name}") == []
    assert interaction_count(servers) == (form == "embedded without id")


def test_undo_by_the_id_of_another_actors_like_changes_nothing():
    servers = Servers()
    note = servers.publish()
    eve = Peer("https://remote.example/users/eve", network=servers.network)
    like = servers.bob.activity("Like", object=note)
    assert servers.receive(servers.bob, like) == 202
    assert servers.receive(eve, eve.activity("Undo", object=like["id"])) == 202
    assert servers.total(f"{note}/likes") == 1


def test_undo_by_id_of_a_type_whose_undo_is_switched_off_changes_nothing():
    servers = Servers(off=["undo-like"])
    note = servers.publish()
    like = servers.bob.activity("Like", object=note)
    assert servers.receive(servers.bob, like) == 202
    assert servers.receive(servers.bob, servers.bob.activity("Undo", object=like["id"])) == 202
    assert servers.total(f"{note}/likes") == 1


def test_like_of_several_objects_is_undone_for_all():
    servers = Servers()
    notes = [servers.publish(), servers.publish()]
    announce = servers.bob.activity("Announce", object=notes)
    assert servers.receive(servers.bob, announce) == 202
    assert [servers.total(f"{note}/shares") for note in notes] == [1, 1]
    assert servers.receive(servers.bob, servers.bob.activity("Undo", object=announce["id"])) == 202
    assert [servers.total(f"{note}/shares") for note in notes] == [0, 0]


def test_blocked_actor_is_not_added():
    servers = Servers()
    note = servers.publish()
    _ = servers.node.block(BOB, by="alice")
    like = servers.bob.activity("Like", object=note)
    assert servers.receive(servers.bob, like) == 403
    assert servers.bob.deliver(servers.node, like).status == 202  # to the shared inbox
    servers.work()
    assert servers.heard == [like["id"]]
    assert servers.total(f"{note}/likes") == 0


def test_follower_is_added_to_a_post_for_followers_and_a_stranger_is_not():
    servers = Servers()
    note = servers.publish(to=f"{ALICE}/followers")
    assert servers.receive(servers.bob, servers.bob.activity("Follow", object=ALICE)) == 202
    for peer in (servers.bob, servers.carol):
        assert servers.receive(peer, peer.activity("Like", object=note)) == 202
    assert servers.node.members(f"{note}/likes").items == (BOB,)


def test_collection_of_a_hidden_or_deleted_or_missing_object_is_not_served():
    servers = Servers()
    hidden, deleted = servers.publish(to=f"{ALICE}/followers"), servers.publish()
    _ = servers.send(Delete(object=deleted))
    for note in (hidden, deleted, f"{ALICE}/objects/nothing"):
        assert servers.status(f"{note}/likes") == 404
        assert servers.status(f"{note}/likes/page/first") == 404
    assert servers.status(f"{servers.publish()}/other") == 404


def test_object_has_no_collection_whose_row_is_switched_off():
    servers = Servers(off=["like"])
    note = servers.publish()
    assert "likes" not in servers.get(note)
    assert servers.status(f"{note}/likes") == 404
    assert servers.get(note)["shares"] == f"{note}/shares"


# --- replies --------------------------------------------------------------------------------------------------------


def test_public_reply_is_listed_until_its_author_deletes_it():
    servers = Servers()
    note = servers.publish()
    assert servers.receive(servers.bob, reply(servers, note)) == 202
    assert servers.listed(f"{note}/replies") == [f"{BOB}/notes/1"]
    assert servers.total(f"{note}/replies") == 1
    assert servers.receive(servers.bob, servers.bob.activity("Delete", object=f"{BOB}/notes/1")) == 202
    assert servers.total(f"{note}/replies") == 0
    assert servers.listed(f"{note}/replies") == []


def test_private_reply_is_neither_listed_nor_counted():
    servers = Servers()
    note = servers.publish()
    assert servers.receive(servers.bob, reply(servers, note, to=[ALICE])) == 202
    assert servers.total(f"{note}/replies") == 0
    assert servers.listed(f"{note}/replies") == []
    assert servers.node.members(f"{note}/replies").items == (f"{BOB}/notes/1",)


def test_update_hides_a_reply_that_is_no_longer_public():
    servers = Servers()
    note = servers.publish()
    create = reply(servers, note)
    assert servers.receive(servers.bob, create) == 202
    update = servers.bob.activity("Update", object={**create["object"], "to": [ALICE]})
    assert servers.receive(servers.bob, update) == 202
    assert servers.total(f"{note}/replies") == 0
    assert servers.node.count(f"{note}/replies") == 1


def test_update_moves_a_reply_to_the_object_that_it_answers_now():
    servers = Servers()
    note, other = servers.publish(), servers.publish()
    create = reply(servers, note)
    assert servers.receive(servers.bob, create) == 202
    update = servers.bob.activity("Update", object={**create["object"], "inReplyTo": other})
    assert servers.receive(servers.bob, update) == 202
    assert (servers.total(f"{note}/replies"), servers.total(f"{other}/replies")) == (0, 1)


def test_reply_of_another_author_is_not_listed():
    servers = Servers()
    note = servers.publish()
    create = reply(servers, note, id=f"{CAROL}/notes/1", attributedTo=CAROL)
    assert servers.receive(servers.bob, create) == 202
    assert servers.node.count(f"{note}/replies") == 0


def test_replies_are_paged():
    servers = Servers()
    note = servers.publish()
    ids = [f"{BOB}/notes/{number}" for number in range(25)]
    for reply_id in ids:
        assert servers.receive(servers.bob, reply(servers, note, id=reply_id)) == 202
    page = servers.get(servers.get(f"{note}/replies")["first"])
    rest = servers.get(page["next"])
    assert sorted(page["orderedItems"] + rest["orderedItems"]) == sorted(ids)
    assert page["partOf"] == f"{note}/replies"


# --- our own activities ---------------------------------------------------------------------------------------------


def test_sent_like_is_in_liked_and_listed_if_it_is_public():
    servers = Servers()
    _ = servers.send(Like(object=OTHER))
    _ = servers.send(Like(object=f"{OTHER}9", to=[PUBLIC]))
    assert servers.get(ALICE)["liked"] == f"{ALICE}/liked"
    assert servers.listed(f"{ALICE}/liked") == [f"{OTHER}9"]
    assert servers.total(f"{ALICE}/liked") == 1
    assert set(servers.node.members(f"{ALICE}/liked").items) == {OTHER, f"{OTHER}9"}


@pytest.mark.parametrize("form", ["id", "embedded"])
def test_sent_undo_takes_our_like_back(form):
    servers = Servers()
    note = servers.publish(by="dora")
    like_id = servers.send(Like(object=note, to=[PUBLIC]))
    assert servers.total(f"{note}/likes") == 1
    undone = like_id if form == "id" else Like(id=like_id, actor=ALICE, object=note)
    _ = servers.send(Undo(object=undone))
    assert servers.total(f"{note}/likes") == 0
    assert servers.node.count(f"{ALICE}/liked") == 0


def test_our_own_replies_and_shares_are_listed():
    servers = Servers()
    note = servers.publish(by="dora")
    answer = servers.publish(in_reply_to=note)
    announce_id = servers.send(Announce(object=note, to=[PUBLIC]))
    assert servers.listed(f"{note}/replies") == [answer]
    assert servers.listed(f"{note}/shares") == [announce_id]
    _ = servers.send(Delete(object=answer))
    assert servers.listed(f"{note}/replies") == []


def test_like_between_two_of_our_actors_counts_once_after_its_delivery():
    servers = Servers()
    note = servers.publish(by="dora")
    _ = servers.send(Like(object=note), to=DORA)
    servers.work()
    assert servers.total(f"{note}/likes") == 1


def test_update_of_our_note_keeps_its_collections():
    servers = Servers()
    note = servers.publish()
    _ = servers.send(Update(object=Note(id=note, content="new")))
    assert servers.get(note)["likes"] == f"{note}/likes"


def test_activity_without_any_managed_object_is_ignored_without_a_listener():
    class Deaf(Servers):
        def register(self, federation, options):
            federation._listeners.clear()

    servers = Deaf()
    note = servers.publish()
    assert servers.receive(servers.bob, servers.bob.activity("Like", object=OTHER)) == 202
    assert not [key for key in servers.state() if key[0] == "interaction"]
    assert servers.receive(servers.bob, servers.bob.activity("Like", object=note)) == 202
    assert servers.total(f"{note}/likes") == 1


def test_unknown_type_reaches_the_listener_for_all_activities():
    servers = Servers()
    lock = servers.bob.activity("Lock", object=f"{BOB}/notes/1")
    assert servers.receive(servers.bob, lock) == 202
    assert servers.heard == [lock["id"]]


# --- emoji ----------------------------------------------------------------------------------------------------------


def test_emoji_reactions_are_listed_and_undone():
    servers = Servers()
    note = servers.publish()
    reactions = [servers.bob.activity("EmojiReact", object=note, content=emoji, to=[PUBLIC]) for emoji in ("🎉", "🐱")]
    for reaction in reactions:
        assert servers.receive(servers.bob, reaction) == 202
    assert set(servers.node.members(f"{note}/reactions").items) == {f"{BOB} 🎉", f"{BOB} 🐱"}
    assert servers.total(f"{note}/reactions") == 2
    assert set(servers.listed(f"{note}/reactions")) == {reaction["id"] for reaction in reactions}
    assert servers.total(f"{note}/likes") == 0
    assert servers.receive(servers.bob, servers.bob.activity("Undo", object=reactions[0]["id"])) == 202
    assert servers.node.members(f"{note}/reactions").items == (f"{BOB} 🐱",)


def test_like_with_an_emoji_is_a_like_and_a_reaction():
    servers = Servers()
    note = servers.publish()
    like = servers.bob.activity("Like", object=note, content=":blobcat:")
    assert servers.receive(servers.bob, like) == 202
    assert servers.node.members(f"{note}/reactions").items == (f"{BOB} :blobcat:",)
    assert servers.node.members(f"{note}/likes").items == (BOB,)
    assert servers.receive(servers.bob, servers.bob.activity("Undo", object=like)) == 202
    assert (servers.total(f"{note}/likes"), servers.total(f"{note}/reactions")) == (0, 0)


def test_like_with_an_emoji_is_only_a_like_if_reactions_are_switched_off():
    servers = Servers(off=["emoji-react"])
    note = servers.publish()
    assert servers.receive(servers.bob, servers.bob.activity("Like", object=note, content="🎉")) == 202
    assert servers.node.count(f"{note}/likes") == 1
    assert servers.status(f"{note}/reactions") == 404


@pytest.mark.parametrize("content", [None, "", "two words", "x" * (EMOJI_CHARS_MAX + 1), "a\nb"])
def test_content_that_is_no_emoji_is_no_reaction(content):
    servers = Servers()
    note = servers.publish()
    assert servers.receive(servers.bob, servers.bob.activity("EmojiReact", object=note, content=content)) == 202
    assert servers.node.count(f"{note}/reactions") == 0


def test_actor_may_react_with_a_bounded_number_of_emoji():
    servers = Servers()
    note = servers.publish()
    for number in range(REACTIONS_MAX + 3):
        react = servers.bob.activity("EmojiReact", object=note, content=f":{number}:")
        assert servers.receive(servers.bob, react) == 202
        assert servers.receive(servers.bob, servers.bob.activity("Undo", object=react["id"])) == 202
    react = servers.bob.activity("EmojiReact", object=note, content=":new:")
    assert servers.receive(servers.bob, react) == 202
    assert servers.node.count(f"{note}/reactions") == 0
    react = servers.bob.activity("EmojiReact", object=note, content=":1:")
    assert servers.receive(servers.bob, react) == 202
    assert servers.node.count(f"{note}/reactions") == 1
