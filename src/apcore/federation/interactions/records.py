"""Declare the stored record of interactions, and the value that a collection stores with their members."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from attrs import frozen

from apcore.ports import digest_part
from apcore.records import RecordKind, StoredRecord

__all__ = [
    "INTERACTIONS",
    "POLL_VOTES",
    "InteractionKey",
    "InteractionRecord",
    "PollVoteKey",
    "PollVoteRecord",
    "decode_item",
    "encode_item",
]

_ID: Final = "id"


class InteractionKey(NamedTuple):
    """The key of an interaction.

    It contains the actor: two actors of one origin may use the same id, and neither may undo the Like of the other.
    """

    actor: str
    interaction_id: str

    @classmethod
    def of(cls, actor: str, interaction_id: str) -> InteractionKey:
        """Return the key of the interaction of ``actor`` with this id."""
        return cls(digest_part(actor), digest_part(interaction_id))


@frozen(kw_only=True)
class InteractionRecord(StoredRecord):
    """The memberships that one activity has added. An Undo that names only the id removes them again."""

    actor: str
    id: str
    """The id of the Like or Announce, or of the reply."""
    rule: str
    """The name of the row of side effects, without the direction."""
    target: str
    """The id of the object that is liked, announced or replied to."""
    collections: tuple[str, ...]
    members: tuple[str, ...]
    """The id of the member in each of ``collections``."""


INTERACTIONS: Final = RecordKind(
    "interaction",
    InteractionRecord,
    InteractionKey,
    lifetime="until the activity is undone, or the reply is deleted",
    written_by="side effects of a Like, an Announce or a reply",
    size="up to 10 KiB",
)


class PollVoteKey(NamedTuple):
    """The key of the votes of an actor in a poll."""

    question: str
    voter: str

    @classmethod
    def of(cls, question: str, voter: str) -> PollVoteKey:
        """Return the key of the votes of ``voter`` in the poll with the id ``question``."""
        return cls(digest_part(question), digest_part(voter))


@frozen(kw_only=True)
class PollVoteRecord(StoredRecord):
    """The options that an actor has voted for in a poll of ours."""

    question: str
    voter: str
    options: tuple[str, ...]


POLL_VOTES: Final = RecordKind(
    "vote",
    PollVoteRecord,
    PollVoteKey,
    lifetime="for ever",
    written_by="side effects of a vote",
    size="up to 10 KiB",
)


def encode_item(interaction_id: str) -> bytes:
    """Return the value that is stored with a member: the id of the interaction, in JSON."""
    return json.dumps({_ID: interaction_id}).encode()


def decode_item(item: bytes) -> str | None:
    """Read the id of the interaction. A member that the application added has none."""
    members: dict[str, Any] = json.loads(item) if item else {}
    return members.get(_ID)
