"""Define the table of side effects: the changes that apcore makes by itself because of an activity.

The table says which actor may cause which change, for activities that are received and for those that are sent.
`apcore.federation.inbox.side_effects` has the operations of received activities, and
`apcore.federation.interactions.sent` those of sent ones. An application replaces a row by its own handler
(`Federation.side_effect`), or switches it off (`Federation.switch_off`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import field, frozen

from apcore.vocab import (
    Accept,
    Activity,
    Add,
    Announce,
    Block,
    Create,
    Delete,
    Dislike,
    Document,
    EmojiReact,
    Flag,
    Follow,
    Invite,
    Join,
    Leave,
    Like,
    Lock,
    Move,
    Note,
    QuoteRequest,
    Reject,
    Remove,
    TentativeAccept,
    TentativeReject,
    Undo,
    Update,
)

__all__ = ["RECEIVED_RULES", "SENT_RULES", "SideEffectRule", "is_vote"]


@frozen
class SideEffectRule:
    """One row of the table."""

    name: str
    """The name by which an application replaces the row or switches it off."""
    activity: type[Activity]
    condition: str
    """The objects for which the actor of the activity may cause the change, in words."""
    change: str | None = None
    """The change, in words. None if apcore changes nothing by itself."""
    inner: type[Activity] | None = field(default=None, kw_only=True)
    """The type of the activity that it embeds, such as the one that an Undo undoes; None for any."""
    narrow: Callable[[Document], bool] | None = field(default=None, kw_only=True)
    """A condition on the activity, if not all of its type belong to the row."""

    @property
    def label(self) -> str:
        """Return the activity, as the reference names it."""
        if self.narrow is not None:
            return f"{self.activity.type_name} of a vote"
        return f"{self.activity.type_name}({self.inner.type_name})" if self.inner else f"{self.activity.type_name}"

    def matches(self, document: Document) -> bool:
        """Return whether an activity belongs to this row."""
        if not document.is_a(self.activity) or (self.narrow is not None and not self.narrow(document)):
            return False
        if self.inner is None:
            return True
        undone = Activity.over(document).object
        return undone is not None and undone.embedded is not None and undone.embedded.is_a(self.inner)


def is_vote(document: Document) -> bool:
    """Return whether a Create is one of a vote: of a Note with a name, an ``inReplyTo`` and no content."""
    embedded = None if not document.is_a(Create) else Activity.over(document).object
    if embedded is None or embedded.embedded is None or not embedded.embedded.is_a(Note):
        return False
    note = Note.over(embedded.embedded)
    return bool(note.name) and note.in_reply_to is not None and not note.content and not note.attachment


_ANY: Final = "any object"
_OWN: Final = "objects of its own origin that name no other owner"
_OWN_OR_PERMITTED: Final = f"{_OWN}; others if `Federation.may_change` agrees"
_COLLECTION: Final = "a target collection of its own; others if `Federation.may_change` agrees"
_COLLECTION_CHANGED: Final = "a managed collection of yours changes; cached copies of others are fetched again"
_VISIBLE: Final = "a published object of yours that the actor may see, unless its author blocks the actor"
_FOLLOW_OF_YOURS: Final = "a Follow that an actor of yours sent to it"

# The first matching row counts. So a subtype comes before its type.
RECEIVED_RULES: Final = (
    SideEffectRule("tentative-accept", TentativeAccept, _FOLLOW_OF_YOURS),
    SideEffectRule("tentative-reject", TentativeReject, _FOLLOW_OF_YOURS),
    SideEffectRule(
        "follow", Follow, "an actor of yours", "the request is stored, and answered as `Federation.follows` decides"
    ),
    SideEffectRule(
        "accept-quote",
        Accept,
        "a QuoteRequest that an actor of yours sent to it, with a stamp from its own origin",
        "the stamp is stored with your quote, and an Update of the quote is sent",
        inner=QuoteRequest,
    ),
    SideEffectRule("accept", Accept, _FOLLOW_OF_YOURS, "it is added to `following` of your actor"),
    SideEffectRule("reject", Reject, _FOLLOW_OF_YOURS, "it is removed from `following` of your actor"),
    SideEffectRule("block", Block, "an actor of yours", "neither of the two follows the other any longer"),
    SideEffectRule("undo-like", Undo, "its own Like", "the actor leaves `likes` of the object", inner=Like),
    SideEffectRule("undo-dislike", Undo, "its own Dislike", inner=Dislike),
    SideEffectRule(
        "undo-announce", Undo, "its own Announce", "the actor leaves `shares` of the object", inner=Announce
    ),
    SideEffectRule(
        "undo-emoji-react", Undo, "its own EmojiReact", "the actor leaves `reactions` of the object", inner=EmojiReact
    ),
    SideEffectRule("undo-add", Undo, _COLLECTION, _COLLECTION_CHANGED, inner=Add),
    SideEffectRule("undo-remove", Undo, _COLLECTION, _COLLECTION_CHANGED, inner=Remove),
    SideEffectRule(
        "undo",
        Undo,
        "its own Follow, Accept, Reject or Block, or an activity that it names by the id alone",
        "the relation is as it was before the activity; see the states of a follow relation. What another activity "
        "added to a collection is removed",
    ),
    SideEffectRule(
        "update",
        Update,
        _OWN,
        "cached copies are fetched again before they are used. If the actor updates itself, its new inboxes are stored "
        "with the follows. A reply that is no longer public leaves the lists of `replies` and `context`",
    ),
    SideEffectRule(
        "delete",
        Delete,
        _OWN_OR_PERMITTED,
        "cached copies are dropped. A reply leaves `replies` and `context`, and a quote of yours loses its stamp. "
        "If the actor "
        "deletes itself, its relations end, and nothing is delivered to it",
    ),
    SideEffectRule("lock", Lock, _OWN_OR_PERMITTED),
    SideEffectRule("add", Add, _COLLECTION, _COLLECTION_CHANGED),
    SideEffectRule("remove", Remove, _COLLECTION, _COLLECTION_CHANGED),
    SideEffectRule(
        "move",
        Move,
        "itself, if the target names it in `alsoKnownAs`; a Move that the target does not confirm is dropped",
        "your actors that follow it, or have asked to, unfollow it and ask to follow the target",
    ),
    SideEffectRule(
        "quote-request",
        QuoteRequest,
        f"{_VISIBLE}, with a quote of its own",
        "it is accepted with a stamp, or rejected, as `interactionPolicy` of the object decides. Without a policy, you "
        "answer",
    ),
    SideEffectRule(
        "vote",
        Create,
        f"{_VISIBLE}, as `inReplyTo`: a Question that is open and has the option",
        "the vote is counted, once a voter, or once a voter for each option of `anyOf`",
        narrow=is_vote,
    ),
    SideEffectRule(
        "create",
        Create,
        f"{_VISIBLE}, as `inReplyTo`",
        "the reply is added to `replies` of the object and to its `context`",
    ),
    SideEffectRule(
        "like",
        Like,
        _VISIBLE,
        "the actor is added to `likes` of the object, and to `reactions` if `content` is an emoji",
    ),
    SideEffectRule("emoji-react", EmojiReact, _VISIBLE, "the actor is added to `reactions` of the object"),
    SideEffectRule("dislike", Dislike, _ANY),
    SideEffectRule(
        "announce",
        Announce,
        _VISIBLE,
        "the actor is added to `shares` of the object. What a relay of yours announces is handled in place of it",
    ),
    SideEffectRule("flag", Flag, _ANY),
    SideEffectRule("invite", Invite, _ANY),
    SideEffectRule("join", Join, _ANY),
    SideEffectRule("leave", Leave, _ANY),
)
"""The side effect of each type of activity that is received."""

_SENT_FOLLOW: Final = "a Follow of the sender"
_SENT_COLLECTION: Final = "a managed collection of the sender as the target"
SENT_RULES: Final = (
    SideEffectRule("sent-tentative-accept", TentativeAccept, _SENT_FOLLOW),
    SideEffectRule("sent-tentative-reject", TentativeReject, _SENT_FOLLOW),
    SideEffectRule("sent-follow", Follow, "another actor", "the request of your actor is pending"),
    SideEffectRule(
        "sent-accept-quote",
        Accept,
        "a QuoteRequest for a published object of the sender",
        "a stamp is published, and is the `result` of the Accept",
        inner=QuoteRequest,
    ),
    SideEffectRule("sent-accept", Accept, _SENT_FOLLOW, "the follower is added to `followers` of the sender"),
    SideEffectRule("sent-reject", Reject, _SENT_FOLLOW, "the follower is removed from `followers` of the sender"),
    SideEffectRule("sent-block", Block, "another actor", "neither of the two follows the other any longer"),
    SideEffectRule(
        "sent-undo-like",
        Undo,
        "a Like of the sender",
        "the object leaves `liked` of the sender, and the sender leaves `likes` of an object of yours",
        inner=Like,
    ),
    SideEffectRule("sent-undo-dislike", Undo, "a Dislike of the sender", inner=Dislike),
    SideEffectRule(
        "sent-undo-announce",
        Undo,
        "an Announce of the sender",
        "the sender leaves `shares` of an object of yours",
        inner=Announce,
    ),
    SideEffectRule(
        "sent-undo-emoji-react",
        Undo,
        "an EmojiReact of the sender",
        "the sender leaves `reactions` of an object of yours",
        inner=EmojiReact,
    ),
    SideEffectRule("sent-undo-add", Undo, _SENT_COLLECTION, "the object is removed from the collection", inner=Add),
    SideEffectRule("sent-undo-remove", Undo, _SENT_COLLECTION, "the object is added to the collection", inner=Remove),
    SideEffectRule(
        "sent-undo",
        Undo,
        "a Follow, Accept, Reject or Block of the sender, or an activity that it names by the id alone",
        "the relation is as it was before the activity. What another activity added to a collection is removed",
    ),
    SideEffectRule(
        "sent-update",
        Update,
        "a published object of the sender",
        "the stored object and its Create are replaced. A reply that is no longer public leaves the lists of `replies` "
        "and `context`",
    ),
    SideEffectRule(
        "sent-delete",
        Delete,
        "a published object of the sender",
        "a tombstone replaces the object, and its Create leaves the outbox. A reply leaves `replies` and `context`",
    ),
    SideEffectRule("sent-lock", Lock, _ANY),
    SideEffectRule("sent-add", Add, _SENT_COLLECTION, "the object is added to the collection"),
    SideEffectRule("sent-remove", Remove, _SENT_COLLECTION, "the object is removed from the collection"),
    SideEffectRule(
        "sent-create",
        Create,
        "a published object of yours, as `inReplyTo`",
        "the reply is added to `replies` of the object and to its `context`",
    ),
    SideEffectRule(
        "sent-like",
        Like,
        _ANY,
        "the object is added to `liked` of the sender, and the sender to `likes` of an object of yours",
    ),
    SideEffectRule("sent-emoji-react", EmojiReact, _ANY, "the sender is added to `reactions` of an object of yours"),
    SideEffectRule("sent-dislike", Dislike, _ANY),
    SideEffectRule("sent-announce", Announce, _ANY, "the sender is added to `shares` of an object of yours"),
    SideEffectRule("sent-move", Move, "the sender"),
    SideEffectRule("sent-flag", Flag, _ANY),
    SideEffectRule("sent-invite", Invite, _ANY),
    SideEffectRule("sent-join", Join, _ANY),
    SideEffectRule("sent-leave", Leave, _ANY),
)
"""The side effect of each type of activity that is sent."""
