"""Check that both accounts of a Move agree.

The Move, with its proof, is the statement of the old account. The new account must name the old one in `alsoKnownAs`,
in a document that is fetched from its own origin for this Move. Otherwise a thief of one account could send its
followers to any other. Mastodon, Misskey and Pleroma check the same. The check is the same for the Moves that we send
and receive.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from attrs import evolve

from apcore.effects import Now, Op
from apcore.errors import RemoteError
from apcore.federation.actors.documents import add_id
from apcore.federation.actors.keys import instance_identity
from apcore.federation.actors.profiles import require_actor
from apcore.federation.site import Site
from apcore.remote import is_move_confirmed, load
from apcore.vocab import Actor, Document, Move, read_document

__all__ = ["TARGET_S", "MoveUnconfirmed", "confirm_move"]

TARGET_S: Final = 30.0
"""The time limit for loading the target: a third of the lease of a message."""


class MoveUnconfirmed(RemoteError):
    """The target of a Move does not confirm it."""

    reason = "move-unconfirmed"


def confirm_move(site: Site, *, actor: str, target: str) -> Op[None]:
    """Check that the account ``target`` names the moved ``actor`` as an alias.

    Effects: the actor's handler for a target of ours, else those of `load`.

    Raises:
        MoveUnconfirmed: The target does not name ``actor`` in `alsoKnownAs`, or has itself moved.
        RemoteError: The target does not exist, or is no document that can be used.
        Unavailable: The target cannot be loaded now.
    """
    document = yield from _load_target(site, target)
    if not is_move_confirmed(Move(actor=actor, object=actor, target=target), document):
        raise MoveUnconfirmed(f"{target} does not name {actor} in alsoKnownAs")
    # Following on from there would let two accounts send our followers back and forth.
    moved_to = Actor.over(document).moved_to
    if moved_to is not None:
        raise MoveUnconfirmed(f"{target} has itself moved to {moved_to}")


def _load_target(site: Site, target: str) -> Op[Document]:
    identifier = site.identifier_of(target)
    if identifier is not None:
        view = yield from require_actor(site, identifier)
        return read_document(add_id(view, target), origin=site.origin)
    identity = yield from instance_identity(site)
    deadline = (yield from Now()) + timedelta(seconds=TARGET_S)
    # A cached copy may be older than the alias.
    loaded = yield from load(target, policy=evolve(site.fetching, until=deadline), identity=identity, fresh=True)
    return loaded.document
