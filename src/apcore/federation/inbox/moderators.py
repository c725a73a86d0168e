"""Recognise the moderators of a group (FEP-1b12, Lemmy), as a policy for `Federation.may_change`.

A group names the collection of its moderators in ``attributedTo``, on its own origin. An object is in the group if its
document, from its own origin, names the group in ``audience`` (or in ``to`` or ``cc``). So a moderator of one group
has no power over the objects of another.
"""

from __future__ import annotations

from typing import Any, Final

from apcore.effects import Op
from apcore.errors import ApcoreError, Unavailable
from apcore.federation.context import OpContext
from apcore.handlers import operation
from apcore.http import same_origin
from apcore.vocab import (
    Activity,
    Actor,
    Add,
    Collection,
    CollectionPage,
    Document,
    Group,
    Remove,
    Undo,
    audience_of,
    same_id,
)

__all__ = ["GROUPS_MAX", "MODERATORS_MAX", "PAGES_MAX", "group_moderators"]

GROUPS_MAX: Final = 5
"""The most addressees of an object that are looked up, to find its group."""
MODERATORS_MAX: Final = 1000
"""The most moderators of a group that are read."""
PAGES_MAX: Final = 10
"""The most pages of a group's moderators that are read."""


@operation
def group_moderators(ctx: OpContext[Any], actor: str, activity: Activity, object_id: str) -> Op[bool]:
    """Permit a change if ``actor`` is a moderator of the group to which the changed object belongs.

    Pass this to `Federation.may_change`, or ask it in a policy of your own.

    Effects: the documents of the object, of up to five addressees, and of the group's moderators (see `load`).

    Raises:
        Unavailable: A document cannot be had now, so the activity is tried again later.
    """
    document = activity.document
    if document.is_a(Add) or document.is_a(Remove):
        return (yield from _moderates_collection(ctx, actor, activity, object_id))
    undone = activity.object if document.is_a(Undo) else None
    if undone is not None:
        # Another moderator's Lock or Delete is undone: the object of that activity decides.
        inner = undone.embedded or (yield from _load(ctx, object_id))
        changed = None if inner is None else Activity.over(inner).object
        if changed is None or changed.uri is None:
            return False
        object_id = changed.uri
    changed_document = yield from _load(ctx, object_id)
    if changed_document is None:
        return False
    for address in audience_of(changed_document).everyone[:GROUPS_MAX]:
        group = yield from _load(ctx, address)
        if group is not None and (yield from _is_moderator(ctx, actor, group)):
            return True
    return False


def _moderates_collection(ctx: OpContext[Any], actor: str, activity: Activity, collection: str) -> Op[bool]:
    """Return whether the collection belongs to a group that the activity names, and ``actor`` is its moderator."""
    for address in audience_of(activity.document).everyone[:GROUPS_MAX]:
        if not same_origin(address, collection):
            continue
        group = yield from _load(ctx, address)
        if group is not None and collection in _collections_of(group) and (yield from _is_moderator(ctx, actor, group)):
            return True
    return False


def _is_moderator(ctx: OpContext[Any], actor: str, group: Document) -> Op[bool]:
    if not group.is_a(Group) or group.id is None:
        return False
    for reference in Actor.over(group).attributions[:GROUPS_MAX]:
        if reference.uri is None or not same_origin(reference.uri, group.id):
            continue
        if same_id(reference.uri, actor):
            return True
        try:
            items = yield from _members(ctx, reference.uri)
        except Unavailable:
            raise
        except ApcoreError:
            continue  # Some servers name the moderators themselves, and not a collection of them.
        if any(same_id(item, actor) for item in items):
            return True
    return False


def _members(ctx: OpContext[Any], collection: str) -> Op[list[str]]:
    """Read a collection on one origin, page by page, up to `PAGES_MAX` documents and `MODERATORS_MAX` items."""
    members: list[str] = []
    page: Document | None = yield from ctx.resolve(collection)
    for _ in range(PAGES_MAX):
        if page is None or not page.is_a(Collection):
            break
        view = CollectionPage.over(page)
        members += [item.uri for item in view.items if item.uri is not None]
        link = view.next or view.first
        if link is None or len(members) > MODERATORS_MAX:
            break
        if link.embedded is not None and CollectionPage.over(link.embedded).items:
            page = link.embedded
        else:
            is_here = link.uri is not None and same_origin(link.uri, collection)
            page = (yield from ctx.resolve(link.uri)) if is_here and link.uri is not None else None
    return members[:MODERATORS_MAX]


def _collections_of(group: Document) -> set[str]:
    """Return the collections of a group that its moderators keep: ``featured``, and the moderators themselves."""
    view = Actor.over(group)
    references = [*view.attributions, view.featured]
    return {reference.uri for reference in references if reference is not None and reference.uri is not None}


def _load(ctx: OpContext[Any], uri: str) -> Op[Document | None]:
    """Load a document; None if it does not exist or is refused."""
    try:
        return (yield from ctx.resolve(uri))
    except Unavailable:
        raise
    except ApcoreError:
        return None
