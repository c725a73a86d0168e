"""Count the votes in polls of ours, and write the counts into the documents that are served and sent.

A voter has one record for each poll. The commit of a vote checks it, so that two votes of one actor cannot both count.
The counts are those of managed collections, and change without a conflict between voters. The stored poll stays as it
was published: the counts are filled in whenever it is served, or sent in an Update.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, cast

from apcore.collections.records import MEMBER_COUNTS, CollectionKey
from apcore.effects import Get, Op
from apcore.federation.ignored_reasons import IgnoredReason
from apcore.federation.interactions.records import POLL_VOTES, PollVoteKey, PollVoteRecord
from apcore.federation.received_writes import WriteEntry
from apcore.federation.write_notes import AddMember, PendingWrite
from apcore.vocab import Question, read_document

__all__ = ["OPTIONS_MAX", "add_vote", "option_collection", "voters_collection", "with_poll_counts"]

OPTIONS_MAX: Final = 50
"""The most options of a poll whose votes are counted."""
_OPTION_MEMBERS: Final = ("oneOf", "anyOf")


def voters_collection(question: str) -> str:
    """Return the name of the managed collection of actors that have voted. It is not served."""
    return f"{question}#voters"


def option_collection(question: str, option: str) -> str:
    """Return the name of the managed collection of actors that have voted for an option. It is not served."""
    return f"{question}#votes {option}"


def add_vote(
    question_id: str, question: Question, voter: str, option: str, now: datetime
) -> Op[list[PendingWrite] | IgnoredReason]:
    """Return the notes that count a vote, or the reason why it does not count.

    Effects: one `Get`.
    """
    is_single = bool(question.one_of)
    options = [choice.name for choice in (question.one_of or question.any_of)[:OPTIONS_MAX]]
    if option not in options:
        return IgnoredReason.NO_OPTION
    ends = [moment for moment in (question.end_time, question.closed) if moment is not None]
    if any(moment <= now for moment in ends) or (question.is_closed and question.closed is None):
        return IgnoredReason.CLOSED
    key = PollVoteKey.of(question_id, voter)
    [entry] = yield from Get((POLL_VOTES.key(key),))
    stored = POLL_VOTES.read_optional(entry)
    earlier = () if stored is None else stored.record.options
    if option in earlier or (is_single and earlier):
        return IgnoredReason.VOTED
    record = PollVoteRecord(question=question_id, voter=voter, options=(*earlier, option))
    check = POLL_VOTES.absent(key) if stored is None else stored.check
    return [
        AddMember(option_collection(question_id, option), voter),
        AddMember(voters_collection(question_id), voter),
        WriteEntry(POLL_VOTES.put(key, record), check),
    ]


def with_poll_counts(members: dict[str, Any], question_id: str | None = None) -> Op[dict[str, Any]]:
    """Return a document, with the present counts if it is a poll of ours, or embeds one as its object.

    Each option gets the number of its votes in ``replies``. ``votersCount`` is written if the poll has that member.

    Effects: one `Get` for a poll, else none.
    """
    inner = members.get("object")
    if isinstance(inner, dict) and not _is_poll(members):
        inner_members = cast("dict[str, Any]", inner)
        return (
            {**members, "object": (yield from with_poll_counts(inner_members))} if _is_poll(inner_members) else members
        )
    poll_id = question_id or members.get("id")
    if not _is_poll(members) or not isinstance(poll_id, str):
        return members
    names = {
        name: [option.name or "" for option in options[:OPTIONS_MAX]] for name, options in _options_of(members).items()
    }
    collections = [option_collection(poll_id, option) for options in names.values() for option in options]
    voters, *votes = yield from _counts([voters_collection(poll_id), *collections])
    remaining = iter(votes)
    counted = {name: [_with_count(option, next(remaining, 0)) for option in _as_list(members[name])] for name in names}
    voter_members = {"votersCount": voters} if "votersCount" in members else {}
    return members | counted | voter_members


# --- leaves ---------------------------------------------------------------------------------------------------------


def _counts(collections: Sequence[str]) -> Op[list[int]]:
    entries = yield from Get([MEMBER_COUNTS.key(CollectionKey.of(collection)) for collection in collections])
    stored_counts = [MEMBER_COUNTS.read_optional(entry) for entry in entries]
    return [0 if stored is None else stored.record.number for stored in stored_counts]


def _is_poll(members: dict[str, Any]) -> bool:
    types = _as_list(members.get("type"))
    return Question.type_name in types and any(name in members for name in _OPTION_MEMBERS)


def _options_of(members: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a poll, as views, by the member that holds them. The first member with options counts."""
    question = Question.over(read_document({"@context": "https://www.w3.org/ns/activitystreams", **members}))
    if question.one_of:
        return {"oneOf": question.one_of}
    return {"anyOf": question.any_of} if question.any_of else {}


def _as_list(value: Any) -> list[Any]:
    items: list[Any] = [*value] if isinstance(value, list) else [value]
    return items


def _with_count(option: Any, number: int) -> Any:
    if not isinstance(option, dict):
        return option
    replies = {"type": "Collection", "totalItems": number}
    return {**cast("dict[str, Any]", option), "replies": replies}
