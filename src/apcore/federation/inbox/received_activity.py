"""Define `Received`: an activity whose side effects are applied."""

from __future__ import annotations

import logging
from typing import Any, Final

from attrs import evolve, frozen

from apcore.effects import Op
from apcore.federation.ignored_reasons import IgnoredReason
from apcore.federation.refusals import one_line
from apcore.federation.relations.updates import received_updates
from apcore.federation.site import Site
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.write_notes import RelationUpdate
from apcore.vocab import Activity, Document

__all__ = ["Received", "relation_updates"]

_LOG: Final = logging.getLogger("apcore.inbox")
_LOGGED_CHARS_MAX: Final = 300
"""The longest text of a peer in a log line, for each text."""


@frozen
class Received:
    """An activity with a proved actor, and the site and unit of work that process it."""

    site: Site
    scope: UnitOfWork[Any]
    activity: Activity
    actor: str
    is_permitted: bool = False
    """Whether the application's policy permits a change of another actor's object."""

    @property
    def document(self) -> Document:
        """Return the document of the activity."""
        return self.activity.document

    @property
    def id(self) -> str:
        """Return the id of the activity, or the stand-in under which it was received."""
        return self.document.id or self.scope.activity_id or ""

    def log_ignored(self, reason: IgnoredReason, about: str | None) -> None:
        """Log that the activity changes nothing for the object ``about``, with the reason."""
        words = (", ".join(self.document.types), self.id, self.actor, about or "no object")
        texts = (one_line(word, chars_max=_LOGGED_CHARS_MAX) for word in words)
        _LOG.info("no effect of %s %s by %s on %s: %s", *texts, reason.value)


def relation_updates(received: Received) -> Op[list[RelationUpdate]]:
    """Return the updates that the activity makes to the relations of its actor with ours.

    Effects: see `received_updates`.
    """
    site, recipient = received.site, received.scope.recipient
    updates = yield from received_updates(
        site.federation.places,
        site.origin,
        received.activity,
        actor=received.actor,
        recipient=None if recipient is None else site.actor_uri(recipient),
    )
    return [evolve(update, received=received.scope.received) for update in updates]
