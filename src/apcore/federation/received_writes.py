"""Define the pending writes that concern the received activity itself, which `UnitOfWork` notes."""

from __future__ import annotations

from attrs import field, frozen

from apcore.ports import Batch

__all__ = ["ForwardActivity", "WriteBatch"]


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
