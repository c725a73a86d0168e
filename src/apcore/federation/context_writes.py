"""Define the methods with which a handler sends, publishes, and writes managed collections.

They are the same in all variants of the context, because they wait for nothing. A write is only noted: it is committed
together with the mark that the handler has finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apcore.federation.outbox.addressing import VisibilityWord
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.write_notes import AddMember, PublishObject, RemoveMember, SendActivity
from apcore.vocab import View

__all__ = ["WriteMethods"]


class WriteMethods:
    """The writes that are noted until the handler returns."""

    __slots__ = ()

    _scope: UnitOfWork[Any]

    def send(
        self,
        activity: View,
        /,
        *,
        by: str,
        to: str | Sequence[str] | None = None,
        visibility: VisibilityWord | None = None,
    ) -> str:
        """Deliver an activity of the local actor ``by`` to actors (ids) or to a local collection (its address).

        Return the id of the activity.

        The actor is filled in, and the id if there is none. The activity is delivered to all actors that it names, and
        to those in ``to``. If it names none itself, it names those in ``to``. With ``visibility``, it names the
        audience that the word stands for, see `publish`. This method fetches nothing: the worker looks up the inboxes.

        An Update or Delete of a published object changes the stored object too. Unless it names an audience, it has
        that of the object. It reaches all recipients of the object. An Update replaces the whole object, so
        include everything that must stay. A Follow, its Accept or Reject, a Block, and the Undo of each of these change
        ``followers`` and ``following``.

        Raises:
            ValueError: ``activity`` is not an activity, lacks its object, or has an id at which nothing of ``by`` is
                served; a recipient is not an address, or at this origin but neither an actor nor a collection; or the
                audience contradicts ``visibility``, has more than a thousand addresses, or is missing.
            ContractError: The audiences of the activity and its object contradict each other.
        """
        return self._scope.address(SendActivity(activity.document, by, _recipients(to), visibility=visibility))

    def publish(
        self,
        object: View,  # noqa: A002 - the field's word
        /,
        *,
        by: str,
        to: str | Sequence[str] | None = None,
        visibility: VisibilityWord | None = None,
        push: bool | None = None,
    ) -> str:
        """Store an object of the local actor ``by``, and deliver it with a Create to its audience.

        Return the id of the object.

        The id, ``attributedTo`` and ``published`` are filled in, unless the object has them. ``visibility`` names the
        audience: ``"public"`` for everyone, ``"unlisted"`` for everyone with the id, ``"followers"``, or
        ``"direct"`` for the actors that you name. Without it, the ``to``, ``cc``, ``audience``, ``bto`` and ``bcc`` of
        the object name the audience. The argument ``to`` adds recipients. Without any of these, the object is public.

        With `PUBLIC` in ``to``, the object also goes to the followers, and its Create into the outbox of ``by``. With
        `PUBLIC` in ``cc``, it is served to everyone but not listed.

        With ``push=False``, it is only published: nothing is delivered, and readers find it in the outbox or at its id.
        With ``push=True``, it is delivered to its whole audience. By default, `Federation` decides (``pushes``).

        Raises:
            ValueError: ``object`` is not an object, or has an id at which nothing of ``by`` would be served; a
                recipient is not an address, or at this origin but neither an actor nor a collection; or the audience
                contradicts ``visibility``, or has more than a thousand addresses.
            ContractError: ``to`` includes `PUBLIC`, but the object names an audience that is not public.
        """
        return self._scope.address(
            PublishObject(object.document, by, _recipients(to), visibility=visibility, push=push)
        )

    def append(self, collection: str, item: str, /, *, order: str | None = None) -> None:
        """Add an item (an id) to a managed collection. An item that is already there is not an error.

        A collection is listed by descending ``order``: by default the time of the addition, else 1 to 64 printable
        ASCII characters of yours.
        """
        self._scope.notes.append(AddMember(collection, item, order=order))

    def remove(self, collection: str, item: str, /) -> None:
        """Remove an item from a managed collection. A missing item is not an error."""
        self._scope.notes.append(RemoveMember(collection, item))


def _recipients(to: str | Sequence[str] | None) -> tuple[str, ...] | None:
    return None if to is None else (to,) if isinstance(to, str) else tuple(to)
