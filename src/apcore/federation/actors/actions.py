"""Note the changes of an actor of ours that its user decides about: aliases, a Move, the deletion.

Each function notes an activity, and returns its id. `apcore.federation.outbox.actor_changes` changes the actor when the
activity is committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from apcore.errors import ContractError, RequestError
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.write_notes import ChangeActor, SendActivity
from apcore.http import parse_url
from apcore.vocab import PUBLIC, Delete, Document, Move, Update

__all__ = ["ALIASES_MAX", "note_aliases", "note_deletion", "note_move"]

ALIASES_MAX: Final = 20
"""The most aliases of an actor that are stored."""
_AS2: Final = "https://www.w3.org/ns/activitystreams"


def note_aliases(scope: UnitOfWork[Any], identifier: str, aliases: Sequence[str]) -> str:
    """Note the aliases of our actor ``identifier``, and the Update that tells followers of them.

    Raises:
        ValueError: An alias is not the address of another actor, or there are more than `ALIASES_MAX`.
    """
    if len(aliases) > ALIASES_MAX:
        raise ValueError(f"{len(aliases)} aliases are too many: an actor has {ALIASES_MAX} at most")
    for alias in aliases:
        _check_account(scope, identifier, alias, name="aliases")
    scope.notes.append(ChangeActor(identifier, also_known_as=tuple(dict.fromkeys(aliases))))
    return _note_update(scope, identifier)


def note_move(scope: UnitOfWork[Any], identifier: str, target: str | None) -> str:
    """Note the Move of our actor ``identifier`` to ``target``; for None, the Update that takes the Move back.

    Raises:
        ValueError: ``target`` is not the address of another actor.
    """
    if target is None:
        scope.notes.append(ChangeActor(identifier, cancels_move=True))
        return _note_update(scope, identifier)
    _check_account(scope, identifier, target, name="target")
    followers = _collection(scope, "followers", identifier)
    actor = _actor_uri(scope, identifier)
    return _note(scope, Move.type_name, identifier, actor, target=target, to=[followers])


def note_deletion(scope: UnitOfWork[Any], identifier: str) -> str:
    """Note the Delete of our actor ``identifier``."""
    relations = [_collection(scope, name, identifier) for name in ("followers", "following")]
    return _note(scope, Delete.type_name, identifier, _actor_uri(scope, identifier), to=[PUBLIC], cc=relations)


# --- leaves ---------------------------------------------------------------------------------------------------------


def _note_update(scope: UnitOfWork[Any], identifier: str) -> str:
    # The Update only names the actor: its document is filled in when the commit is made, with the noted changes.
    followers = _collection(scope, "followers", identifier)
    return _note(scope, Update.type_name, identifier, _actor_uri(scope, identifier), to=[PUBLIC], cc=[followers])


def _note(scope: UnitOfWork[Any], type_name: str | None, identifier: str, actor: str, **members: Any) -> str:
    tree = {"@context": _AS2, "type": type_name, "actor": actor, "object": actor, **members}
    return scope.address(SendActivity(Document(tree, tree), identifier, ()))


def _check_account(scope: UnitOfWork[Any], identifier: str, uri: str, *, name: str) -> None:
    try:
        _ = parse_url(uri)
    except RequestError as error:
        raise ValueError(f"{name}={uri!r:.200} is not the address of an actor: {error}") from error
    if uri == _actor_uri(scope, identifier):
        raise ValueError(f"{name}={uri!r:.200} is the actor itself, not another account")


def _actor_uri(scope: UnitOfWork[Any], identifier: str) -> str:
    if scope.origin is None:
        raise ContractError("this node has no origin, so it has no actors")
    return scope.places.actor_uri(scope.origin, identifier)


def _collection(scope: UnitOfWork[Any], name: str, identifier: str) -> str:
    if scope.origin is None:
        raise ContractError("this node has no origin, so it has no actors")
    return scope.places.collection_uri(scope.origin, name, identifier)
