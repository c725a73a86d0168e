"""Define `Received`: an activity whose side effects are applied."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from apcore.effects import Op
from apcore.federation.relations.updates import received_updates
from apcore.federation.site import Site
from apcore.federation.unit_of_work import RelationUpdate, UnitOfWork
from apcore.vocab import Activity, Document

__all__ = ["Received", "relation_updates"]


@frozen
class Received:
    """An activity with a proved actor, and the site and unit of work that process it."""

    site: Site
    scope: UnitOfWork[Any]
    activity: Activity
    actor: str

    @property
    def document(self) -> Document:
        """Return the document of the activity."""
        return self.activity.document


def relation_updates(received: Received) -> Op[list[RelationUpdate]]:
    """Return the updates that the activity makes to the relations of its actor with ours.

    Effects: see `received_updates`.
    """
    site, recipient = received.site, received.scope.recipient
    return (
        yield from received_updates(
            site.federation.places,
            site.origin,
            received.activity,
            actor=received.actor,
            recipient=None if recipient is None else site.actor_uri(recipient),
        )
    )
