"""Define the pending writes that the processing of a received activity notes in its `UnitOfWork`."""

from __future__ import annotations

from attrs import field, frozen

from apcore.ports import Batch, Check, Write

__all__ = ["ForwardActivity", "WriteBatch", "WriteEntry"]


@frozen
class ForwardActivity:
    """A pending write: deliver the received activity that is being processed, as it was received."""

    by: str
    to: tuple[str, ...]
    is_by_rule: bool = field(default=False, kw_only=True)
    """Whether the rules of ActivityPub forward it, once for all inboxes that get it."""


@frozen
class WriteBatch:
    """A pending part of the commit, with its own checks and messages. Only apcore itself notes these."""

    batch: Batch


@frozen
class WriteEntry:
    """A pending write to one key. Only apcore's own side effects note these."""

    write: Write | None
    """The write; None to make only the check."""
    check: Check | None = None
    """The check that the entry is still as it was read."""
