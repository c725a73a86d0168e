"""Define the table of side effects: the changes that apcore makes by itself because of a received activity.

The table says which actor may cause which change. `apcore.federation.inbox.side_effects` has the operations. An
application replaces a row by its own handler (`Federation.side_effect`), or switches it off (`Federation.switch_off`).
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from apcore.errors import ConfigurationError
from apcore.federation.routes import Registered
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
    Flag,
    Follow,
    Invite,
    Join,
    Leave,
    Like,
    Move,
    Reject,
    Remove,
    TentativeAccept,
    TentativeReject,
    Undo,
    Update,
)

__all__ = ["RECEIVED_RULES", "ChosenSideEffect", "SideEffectChoices", "SideEffectRule"]


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


_ANY: Final = "any object"
_OWN: Final = "objects of its own origin that name no other owner"

# The first matching row counts. So a subtype comes before its type, and a row without a change after those with one.
RECEIVED_RULES: Final = (
    SideEffectRule("tentative-accept", TentativeAccept, "a Follow that an actor of yours sent to it"),
    SideEffectRule("tentative-reject", TentativeReject, "a Follow that an actor of yours sent to it"),
    SideEffectRule(
        "follow", Follow, "an actor of yours", "the request is stored, and answered as `Federation.follows` decides"
    ),
    SideEffectRule(
        "accept", Accept, "a Follow that an actor of yours sent to it", "it is added to `following` of your actor"
    ),
    SideEffectRule(
        "reject", Reject, "a Follow that an actor of yours sent to it", "it is removed from `following` of your actor"
    ),
    SideEffectRule("block", Block, "an actor of yours", "neither of the two follows the other any longer"),
    SideEffectRule(
        "undo",
        Undo,
        "its own Follow, Accept, Reject or Block",
        "the relation is as it was before the activity; see the states of a follow relation",
    ),
    SideEffectRule(
        "update",
        Update,
        _OWN,
        "cached copies are fetched again before they are used. If the actor updates itself, its new inboxes are stored "
        "with the follows",
    ),
    SideEffectRule(
        "delete",
        Delete,
        _OWN,
        "cached copies are dropped. If the actor deletes itself, its relations end, and nothing is delivered to it",
    ),
    SideEffectRule("add", Add, "a target collection of its own", "cached copies of the collection are fetched again"),
    SideEffectRule(
        "remove", Remove, "a target collection of its own", "cached copies of the collection are fetched again"
    ),
    SideEffectRule(
        "move",
        Move,
        "itself, if the target names it in `alsoKnownAs`; a Move that the target does not confirm is dropped",
        "your actors that follow it, or have asked to, unfollow it and ask to follow the target",
    ),
    SideEffectRule("create", Create, _ANY),
    SideEffectRule("like", Like, _ANY),
    SideEffectRule("dislike", Dislike, _ANY),
    SideEffectRule("announce", Announce, _ANY),
    SideEffectRule("flag", Flag, _ANY),
    SideEffectRule("invite", Invite, _ANY),
    SideEffectRule("join", Join, _ANY),
    SideEffectRule("leave", Leave, _ANY),
)
"""The side effect of each type of activity that is received."""


@frozen
class ChosenSideEffect:
    """A row of the table, with the application's handler if that replaces the row."""

    rule: SideEffectRule
    replacement: Registered | None = None


@frozen
class SideEffectChoices:
    """The rows that an application has replaced or switched off. It changes while handlers are registered."""

    _rows: dict[str, Registered | None] = field(factory=dict[str, Registered | None])
    """The replacement of each row, None for a row that is switched off."""

    def choose(self, name: str, replacement: Registered | None) -> None:
        """Replace a row, or switch it off.

        Raises:
            ConfigurationError: There is no row of this name, or it is replaced or switched off already.
        """
        names = [rule.name for rule in RECEIVED_RULES]
        if name not in names:
            raise ConfigurationError(f"there is no side effect {name!r:.60}; the names are {', '.join(names)}")
        if name in self._rows:
            raise ConfigurationError(f"the side effect {name!r} is replaced or switched off already")
        self._rows[name] = replacement

    @property
    def handlers(self) -> list[Registered]:
        """Return the handlers that replace rows."""
        return [replacement for replacement in self._rows.values() if replacement is not None]

    def find(self, document: Document) -> ChosenSideEffect | None:
        """Return the side effect of an activity. None if it has none, or if that is switched off."""
        rule = next((rule for rule in RECEIVED_RULES if document.is_a(rule.activity)), None)
        if rule is None:
            return None
        if rule.name in self._rows:
            replacement = self._rows[rule.name]
            return None if replacement is None else ChosenSideEffect(rule, replacement)
        return None if rule.change is None else ChosenSideEffect(rule)
