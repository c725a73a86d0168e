"""Define the methods with which a handler changes an actor of ours: its aliases, its Move, its deletion.

They are the same in all variants of the context, because they wait for nothing. The changes are noted, and join the
commit of the handler. `apcore.federation.outbox.actor_changes` makes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apcore.federation.actors.actions import note_aliases, note_deletion, note_move
from apcore.federation.unit_of_work import UnitOfWork

__all__ = ["AccountMethods"]


class AccountMethods:
    """The methods for the accounts of our actors."""

    __slots__ = ()

    _scope: UnitOfWork[Any]

    def set_aliases(self, identifier: str, aliases: Sequence[str], /) -> str:
        """Set the other accounts of the local actor ``identifier``, and tell its followers by an Update.

        Return the id of the Update. The ids are served as `alsoKnownAs`, beside those of your handler. An account that
        moves here must be among them before its Move.

        Raises:
            ValueError: An alias is not the address of another actor, or there are more than 20.
        """
        return note_aliases(self._scope, identifier, aliases)

    def move_actor(self, identifier: str, target: str | None, /) -> str:
        """Move the local actor ``identifier`` to the account ``target``, and tell its followers.

        Return the id of the Move. ``target`` is then served as `movedTo`. With None, take a Move back: the followers
        get an Update without `movedTo`, whose id is returned.

        Raises:
            ValueError: ``target`` is not the address of another actor.
            ContractError: ``target`` does not name the actor in `alsoKnownAs`, or has moved itself. In a handler, this
                is raised after the handler has returned.
        """
        return note_move(self._scope, identifier, target)

    def delete_actor(self, identifier: str, /) -> str:
        """Delete the local actor ``identifier`` for ever, and return the id of the Delete.

        It is served as a `Tombstone` from then on, and can send nothing more. Its followers, and the actors that it
        follows, get the Delete.
        """
        return note_deletion(self._scope, identifier)
