"""Check the whole table of side effects: each row, received and sent, with an actor that may and one that may not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from attrs import frozen

from apcore.errors import ContractError
from apcore.federation import FollowVerdict
from apcore.federation.side_effect_rules import RECEIVED_RULES, SENT_RULES
from apcore.http import Response
from apcore.testing.peer import Peer
from apcore.vocab import (
    Accept,
    Add,
    Announce,
    Approved,
    Block,
    Create,
    Delete,
    Dislike,
    EmojiReact,
    Flag,
    Follow,
    InteractionPolicy,
    InteractionRule,
    Invite,
    Join,
    Leave,
    Like,
    Lock,
    Move,
    Note,
    Question,
    QuoteRequest,
    Reject,
    Remove,
    TentativeAccept,
    TentativeReject,
    Undo,
    Update,
    View,
)
from effects_fixture import ALICE, AS2, DORA, HERE, PUBLIC, Servers
from inbox_fixture import BOB, CAROL, reason_of

NOBODY = f"{HERE}/users/nobody"
QUOTE = f"{BOB}/notes/quote"
QUOTES = {
    "QuoteRequest": "https://w3id.org/fep/044f#QuoteRequest",
    "QuoteAuthorization": "https://w3id.org/fep/044f#QuoteAuthorization",
}
FEATURED = f"{BOB}/featured"
ALICES_FEATURED = f"{ALICE}/featured"


class Scene(Servers):
    """A server with a note for everyone, one for followers only, and a Follow of each kind that waits."""

    def __init__(self) -> None:
        super().__init__()
        self.replaced: list[str] = []
        self.note = self.publish()
        self.hidden = self.publish(to=f"{ALICE}/followers")
        self.quotable = self.publish_quotable()
        self.poll = self.node.publish(Question(one_of=[Note(name="red"), Note(name="blue")]), by="alice")
        self.follow_id = self.node.follow(BOB, by="alice")
        self.eve = Peer("https://remote.example/users/eve", network=self.network)
        self.work()

    def register(self, federation, options):
        federation.follows(FollowVerdict.PENDING)
        federation.managed_collection("featured", "/users/{identifier}/featured")

    def publish_quotable(self) -> str:
        policy = InteractionPolicy(can_quote=InteractionRule(automatic_approval=[PUBLIC]))
        return self.node.publish(
            Approved.over(Note(content="hi").document).evolve(interaction_policy=policy), by="alice"
        )

    def before(self, sender: Any, type_name: str, **members: Any) -> dict[str, Any]:
        """Process an activity before the one under test, and return it."""
        activity: dict[str, Any] = sender.activity(type_name, **members)
        assert self.receive(sender, activity) == 202
        return activity

    def sent_before(self, activity: View) -> str:
        activity_id = self.send(activity, to=BOB)
        self.work()
        return activity_id


def featured(scene: Scene) -> str:
    members = {"@context": AS2, "id": FEATURED, "type": "OrderedCollection", "attributedTo": BOB, "orderedItems": []}
    scene.bob.serve(FEATURED, members)
    _ = scene.node.reference(FEATURED).resolve()
    return FEATURED


def reply(author: str, parent: str) -> dict[str, Any]:
    return {"id": f"{author}/notes/1", "type": "Note", "attributedTo": author, "inReplyTo": parent, "to": [PUBLIC]}


# --- received -------------------------------------------------------------------------------------------------------


@frozen
class Received:
    """A row for activities that are received.

    ``allowed`` and ``refused`` make the activity, and may process others before it.
    """

    allowed: Callable[[Scene], tuple[Any, dict[str, Any]]]
    refused: Callable[[Scene], tuple[Any, dict[str, Any]]]
    reason: str | None
    """The reason in the log, or in the answer of the inbox; None if the row changes nothing in any case.

    A Move that is refused is dropped, so no listener gets it either; see ``test_moved_actors.py``.
    """


def by_bob(type_name: str, **members: Any) -> Callable[[Scene], tuple[Any, dict[str, Any]]]:
    return lambda scene: (scene.bob, scene.bob.activity(type_name, **members))


def by_carol(type_name: str, **members: Any) -> Callable[[Scene], tuple[Any, dict[str, Any]]]:
    return lambda scene: (scene.carol, scene.carol.activity(type_name, **members))


def answer(type_name: str, reason: str | None) -> Received:
    return Received(
        lambda scene: (scene.bob, scene.bob.activity(type_name, object=scene.follow_id)),
        lambda scene: (scene.carol, scene.carol.activity(type_name, object=scene.follow_id)),
        reason,
    )


def on_note(type_name: str, **members: Any) -> Received:
    return Received(
        lambda scene: (scene.bob, scene.bob.activity(type_name, object=scene.note, **members)),
        lambda scene: (scene.bob, scene.bob.activity(type_name, object=scene.hidden, **members)),
        "object-not-visible",
    )


def undo(type_name: str, reason: str | None, **members: Any) -> Received:
    def undone(scene: Scene, sender: Any) -> tuple[Any, dict[str, Any]]:
        activity = scene.before(scene.bob, type_name, object=scene.note, **members)
        return sender, sender.activity("Undo", object={**activity, "@context": AS2})

    return Received(lambda scene: undone(scene, scene.bob), lambda scene: undone(scene, scene.carol), reason)


def undo_by_id(scene: Scene, sender: Any) -> tuple[Any, dict[str, Any]]:
    follow = scene.before(scene.bob, "Follow", object=ALICE)
    return sender, sender.activity("Undo", object=follow["id"])


def after_follow(type_name: str, **members: Any) -> Callable[[Scene], tuple[Any, dict[str, Any]]]:
    def make(scene: Scene) -> tuple[Any, dict[str, Any]]:
        _ = scene.before(scene.bob, "Follow", object=ALICE)
        return scene.bob, scene.bob.activity(type_name, **members)

    return make


MOVED = {"id": BOB, "type": "Person", "inbox": f"{BOB}/new-inbox", "outbox": f"{BOB}/outbox"}


def change_of_collection(type_name: str) -> Received:
    return Received(
        lambda scene: (scene.bob, scene.bob.activity(type_name, object=f"{BOB}/notes/1", target=featured(scene))),
        lambda scene: (scene.carol, scene.carol.activity(type_name, object=f"{BOB}/notes/1", target=featured(scene))),
        "forbidden",
    )


def undo_of_collection_change(type_name: str) -> Received:
    def undone(scene: Scene, target: str) -> tuple[Any, dict[str, Any]]:
        change = {"id": f"{BOB}#1", "type": type_name, "actor": BOB, "object": f"{BOB}/notes/1", "target": target}
        return scene.bob, scene.bob.activity("Undo", object=change)

    return Received(
        lambda scene: undone(scene, featured(scene)), lambda scene: undone(scene, ALICES_FEATURED), "object-not-own"
    )


def move(scene: Scene, **target_members: Any) -> tuple[Any, dict[str, Any]]:
    """Let alice follow bob, and return bob's Move to an account with these members."""
    follow = scene.node.follow(BOB, by="alice")
    scene.work()
    assert scene.receive(scene.bob, scene.bob.activity("Accept", object=follow)) == 202
    target = scene.network.peer(f"{BOB}-moved", members=target_members)
    return scene.bob, scene.bob.activity("Move", object=BOB, target=target.actor)


def vote(option: str, poll: str) -> dict[str, Any]:
    return {"id": f"{BOB}/votes/1", "type": "Note", "attributedTo": BOB, "name": option, "inReplyTo": poll}


def accepted_quote(scene: Scene, stamp: str) -> tuple[Any, dict[str, Any]]:
    quoted = f"{BOB}/notes/1"
    quote = scene.publish(quote=quoted)
    stamp_members = {"type": "QuoteAuthorization", "interactingObject": quote, "interactionTarget": quoted}
    stamp_id = f"{BOB}/stamps/1"
    context = [AS2, "https://gotosocial.org/ns", QUOTES]
    scene.bob.serve(stamp_id, {"@context": context, "id": stamp_id, "attributedTo": BOB, **stamp_members})
    request = {"type": "QuoteRequest", "actor": ALICE, "object": quoted, "instrument": quote}
    return scene.bob, scene.bob.activity("Accept", object=request, result=stamp)


def nothing(type_name: str, **members: Any) -> Received:
    return Received(by_bob(type_name, **members), by_carol(type_name, **members), None)


RECEIVED: dict[str, Received] = {
    "tentative-accept": answer("TentativeAccept", None),
    "tentative-reject": answer("TentativeReject", None),
    "follow": Received(by_bob("Follow", object=ALICE), by_bob("Follow", object=NOBODY), "no-such-actor"),
    "accept-quote": Received(
        lambda scene: accepted_quote(scene, f"{BOB}/stamps/1"),
        lambda scene: accepted_quote(scene, f"{BOB}/stamps/other"),
        "no-such-stamp",
    ),
    "accept": answer("Accept", "no-such-follow"),
    "reject": answer("Reject", "no-such-follow"),
    "block": Received(after_follow("Block", object=ALICE), by_bob("Block", object=CAROL), "no-such-actor"),
    "undo-like": undo("Like", "forbidden"),
    "undo-dislike": undo("Dislike", None),
    "undo-announce": undo("Announce", "forbidden"),
    "undo-emoji-react": undo("EmojiReact", "forbidden", content="🎉"),
    "undo-add": undo_of_collection_change("Add"),
    "undo-remove": undo_of_collection_change("Remove"),
    "undo": Received(
        lambda scene: undo_by_id(scene, scene.bob), lambda scene: undo_by_id(scene, scene.eve), "no-such-activity"
    ),
    "update": Received(after_follow("Update", object=MOVED), by_carol("Update", object=MOVED), "forbidden"),
    "delete": Received(after_follow("Delete", object=BOB), by_carol("Delete", object=f"{BOB}/notes/1"), "forbidden"),
    "lock": Received(by_bob("Lock", object=f"{BOB}/notes/1"), by_carol("Lock", object=f"{BOB}/notes/1"), "forbidden"),
    "add": change_of_collection("Add"),
    "remove": change_of_collection("Remove"),
    "move": Received(lambda scene: move(scene, alsoKnownAs=BOB), lambda scene: move(scene, alsoKnownAs=CAROL), None),
    "quote-request": Received(
        lambda scene: (scene.bob, scene.bob.activity("QuoteRequest", object=scene.quotable, instrument=QUOTE)),
        lambda scene: (scene.carol, scene.carol.activity("QuoteRequest", object=scene.quotable, instrument=QUOTE)),
        "object-not-own",
    ),
    "vote": Received(
        lambda scene: (scene.bob, scene.bob.activity("Create", object=vote("red", scene.poll))),
        lambda scene: (scene.bob, scene.bob.activity("Create", object=vote("green", scene.poll))),
        "no-such-option",
    ),
    "create": Received(
        lambda scene: (scene.bob, scene.bob.activity("Create", object=reply(BOB, scene.note))),
        lambda scene: (scene.bob, scene.bob.activity("Create", object=reply(BOB, scene.hidden))),
        "object-not-visible",
    ),
    "like": on_note("Like"),
    "emoji-react": on_note("EmojiReact", content="🎉"),
    "dislike": nothing("Dislike", object=ALICE),
    "announce": on_note("Announce"),
    "flag": nothing("Flag", object=ALICE),
    "invite": nothing("Invite", object=ALICE),
    "join": nothing("Join", object=ALICE),
    "leave": nothing("Leave", object=ALICE),
}


def test_the_table_of_received_activities_is_tested_whole():
    assert list(RECEIVED) == [rule.name for rule in RECEIVED_RULES]


@pytest.mark.parametrize("rule", RECEIVED_RULES, ids=lambda rule: rule.name)
def test_received_activity_of_an_actor_that_may_has_its_effect(rule):
    scene = Scene()
    sender, activity = RECEIVED[rule.name].allowed(scene)
    before = scene.state()
    assert scene.receive(sender, activity) == 202
    assert (scene.state() != before) is (rule.change is not None)
    assert scene.heard[-1] == activity["id"]


@pytest.mark.parametrize("rule", RECEIVED_RULES, ids=lambda rule: rule.name)
def test_received_activity_of_an_actor_that_may_not_changes_nothing(rule, caplog):
    caplog.set_level(logging.INFO, logger="apcore.inbox")
    scene = Scene()
    row = RECEIVED[rule.name]
    sender, activity = row.refused(scene)
    before = scene.state()
    caplog.clear()
    response = sender.deliver(scene.node, activity, to="alice")
    assert isinstance(response, Response)
    scene.work()
    assert changed_kinds(before, scene.state()) == set()
    if row.reason is None:
        assert response.status in {202, 403}
    elif response.status == 202:
        assert [line for line in caplog.messages if line.endswith(f": {row.reason}")]
        assert scene.heard[-1] == activity["id"]
    else:
        assert (response.status, reason_of(response)) == (403, row.reason)


@pytest.mark.parametrize("rule", [rule for rule in RECEIVED_RULES if rule.change], ids=lambda rule: rule.name)
def test_row_that_is_switched_off_changes_nothing_and_is_told(rule):
    class Without(Scene):
        def register(self, federation, options):
            super().register(federation, options)
            federation.switch_off(rule.name)

    scene = Without()
    sender, activity = RECEIVED[rule.name].allowed(scene)
    before = scene.state()
    assert scene.receive(sender, activity) == 202
    assert changed_kinds(before, scene.state()) == set()
    assert scene.heard[-1] == activity["id"]


def changed_kinds(before: dict[tuple[str, ...], bytes], after: dict[tuple[str, ...], bytes]) -> set[str]:
    return {key[0] for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


# --- sent -----------------------------------------------------------------------------------------------------------


@frozen
class Sent:
    """A row for activities that are sent by alice."""

    allowed: Callable[[Scene], View]
    refused: Callable[[Scene], tuple[str, View]]
    """Makes the identifier of a sender that may not, and its activity."""
    error: str | None = None
    """The text of the error for the second; None if it is sent, and changes nothing."""


def sent_answer(view: type[View], error: str | None) -> Sent:
    def allowed(scene: Scene) -> View:
        follow = scene.before(scene.bob, "Follow", object=ALICE)
        return view(object=Follow(id=follow["id"], actor=BOB, object=ALICE))

    def refused(scene: Scene) -> tuple[str, View]:
        return "dora", allowed(scene)

    return Sent(allowed, refused, error)


def sent_undo(view: type[View], error: str | None, **members: Any) -> Sent:
    def undo_of(scene: Scene) -> View:
        activity_id = scene.sent_before(view(object=scene.note, **members))
        return Undo(object=view(id=activity_id, actor=ALICE, object=scene.note))

    return Sent(undo_of, lambda scene: ("dora", undo_of(scene)), error)


def sent_change(view: type[View]) -> Sent:
    def change_of(scene: Scene) -> View:
        return view(object=Note(id=scene.note, content="new"))

    return Sent(change_of, lambda scene: ("dora", change_of(scene)), "must not change")


def sent_change_of_collection(view: type[View], *, is_undone: bool = False) -> Sent:
    def change_of(scene: Scene, actor: str) -> View:
        is_removal = (view is Remove) is not is_undone
        if is_removal:
            scene.node.append(ALICES_FEATURED, scene.note)
        change = view(actor=actor, object=scene.note, target=ALICES_FEATURED)
        return Undo(object=change) if is_undone else change

    return Sent(
        lambda scene: change_of(scene, ALICE),
        lambda scene: ("dora", change_of(scene, DORA)),
        "has no managed collection",
    )


def sent_nothing(view: type[View]) -> Sent:
    return Sent(lambda scene: view(object=BOB), lambda scene: ("dora", view(object=BOB)))


def on_sent_note(view: type[View], **members: Any) -> Sent:
    return Sent(
        lambda scene: view(object=scene.note, **members), lambda scene: ("dora", view(object=scene.hidden, **members))
    )


SENT: dict[str, Sent] = {
    "sent-tentative-accept": sent_nothing(TentativeAccept),
    "sent-tentative-reject": sent_nothing(TentativeReject),
    "sent-follow": Sent(lambda scene: Follow(object=CAROL), lambda scene: ("dora", Follow(object=DORA))),
    "sent-accept-quote": Sent(
        lambda scene: Accept(object=QuoteRequest(actor=BOB, object=scene.note, instrument=QUOTE)),
        lambda scene: ("dora", Accept(object=QuoteRequest(actor=BOB, object=scene.note, instrument=QUOTE))),
        "no published object of its own",
    ),
    "sent-accept": sent_answer(Accept, "send the answer as"),
    "sent-reject": sent_answer(Reject, "send the answer as"),
    "sent-block": Sent(lambda scene: Block(object=BOB), lambda scene: ("dora", Block(object=DORA))),
    "sent-undo-like": sent_undo(Like, "only its own actor can undo it"),
    "sent-undo-dislike": sent_undo(Dislike, "only its own actor can undo it"),
    "sent-undo-announce": sent_undo(Announce, "only its own actor can undo it"),
    "sent-undo-emoji-react": sent_undo(EmojiReact, "only its own actor can undo it", content="🎉"),
    "sent-undo-add": sent_change_of_collection(Add, is_undone=True),
    "sent-undo-remove": sent_change_of_collection(Remove, is_undone=True),
    "sent-undo": Sent(lambda scene: Undo(object=scene.follow_id), lambda scene: ("dora", Undo(object=scene.follow_id))),
    "sent-update": sent_change(Update),
    "sent-delete": sent_change(Delete),
    "sent-lock": sent_nothing(Lock),
    "sent-add": sent_change_of_collection(Add),
    "sent-remove": sent_change_of_collection(Remove),
    "sent-create": Sent(
        lambda scene: Create(object=Note(id=f"{ALICE}#1", attributed_to=ALICE, in_reply_to=scene.note)),
        lambda scene: (
            "dora",
            Create(object=Note(id=f"{DORA}#1", attributed_to=DORA, in_reply_to=scene.hidden)),
        ),
    ),
    "sent-like": Sent(lambda scene: Like(object=scene.note), lambda scene: ("dora", Like(object=scene.hidden))),
    "sent-emoji-react": on_sent_note(EmojiReact, content="🎉"),
    "sent-dislike": sent_nothing(Dislike),
    "sent-announce": on_sent_note(Announce),
    "sent-move": sent_nothing(Move),
    "sent-flag": sent_nothing(Flag),
    "sent-invite": sent_nothing(Invite),
    "sent-join": sent_nothing(Join),
    "sent-leave": sent_nothing(Leave),
}


def test_the_table_of_sent_activities_is_tested_whole():
    assert list(SENT) == [rule.name for rule in SENT_RULES]


@pytest.mark.parametrize("rule", SENT_RULES, ids=lambda rule: rule.name)
def test_sent_activity_of_an_actor_that_may_has_its_effect(rule):
    scene = Scene()
    activity = SENT[rule.name].allowed(scene)
    before = scene.state()
    _ = scene.send(activity, to=BOB)
    assert (scene.state() != before) is (rule.change is not None)


@pytest.mark.parametrize("rule", SENT_RULES, ids=lambda rule: rule.name)
def test_sent_activity_of_an_actor_that_may_not_changes_nothing(rule):
    scene = Scene()
    row = SENT[rule.name]
    sender, activity = row.refused(scene)
    before = scene.state()
    if row.error is not None:
        with pytest.raises(ContractError, match=row.error):
            _ = scene.send(activity, by=sender, to=BOB)
    else:
        _ = scene.send(activity, by=sender, to=BOB)
    after = scene.state()
    if rule.name == "sent-like":  # dora's own list of what she likes is hers to change
        after = {key: value for key, value in after.items() if key in before}
    assert after == before


@pytest.mark.parametrize("rule", [rule for rule in SENT_RULES if rule.change], ids=lambda rule: rule.name)
def test_row_for_sent_activities_that_is_switched_off_changes_nothing(rule):
    class Without(Scene):
        def register(self, federation, options):
            super().register(federation, options)
            federation.switch_off(rule.name)

    scene = Without()
    activity = SENT[rule.name].allowed(scene)
    before = scene.state()
    _ = scene.send(activity, to=BOB)
    assert scene.state() == before


@pytest.mark.parametrize("rule", SENT_RULES, ids=lambda rule: rule.name)
def test_replacement_of_a_row_for_sent_activities_runs_in_its_place(rule):
    class Replaced(Scene):
        def register(self, federation, options):
            super().register(federation, options)

            @federation.side_effect(rule.name)
            def replacement(ctx, activity):
                ctx.append(f"{ctx.origin}/replaced", f"{type(activity).__name__} {activity.object.uri}")

    scene = Replaced()
    activity = SENT[rule.name].allowed(scene)
    before = scene.state()
    count = scene.node.count(f"{HERE}/replaced")
    _ = scene.send(activity, to=BOB)
    assert scene.node.count(f"{HERE}/replaced") == count + 1
    assert changed_kinds(before, scene.state()) == {"c"}
