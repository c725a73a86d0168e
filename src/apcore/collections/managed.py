"""Store the members of managed collections, and page through them.

A collection has three families of entries (`apcore.collections.records`): its members by id, its members in order, and
their number. A cursor names the last member of a page: its order, and the digest of its id.

To add or remove a member, add the `Batch` of the change to any commit. So a follower and the Accept that announces it
are stored together. The check that the member is absent prevents a second addition, and the check of its version
prevents a second removal. The counter is an `Increment`, which conflicts with no other write. Reading a page costs the
same at the first member and at the millionth.

``order`` is a string that sorts by time and ends with random characters. Newest first is the reverse order of the keys.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field, frozen

from apcore.collections.order import ORDER_DIGITS
from apcore.collections.pages import CURSOR_BYTES_MAX, PageItems
from apcore.collections.records import (
    MEMBER_COUNTS,
    MEMBERS_IN_ORDER,
    MEMBERSHIPS,
    CollectionKey,
    MemberRecord,
    MembershipKey,
    MembershipRecord,
    OrderedMemberKey,
)
from apcore.effects import Get, Op, Scan
from apcore.ports import NO_CHANGE, Batch, Increment, StoreKey, Write, digest_part

__all__ = [
    "Member",
    "add_member",
    "contains",
    "count",
    "members_page",
    "order_after_newest",
    "put_member",
    "remove_member",
]


@frozen
class Member:
    """A member's id, and the bytes stored with it in the caller's own format."""

    id: str
    item: bytes = field(default=b"", repr=False)


def add_member(collection: str, member: Member, *, order: str) -> Batch:
    """Return the part of a commit that adds ``member``. The commit answers False if the member is in already."""
    key = MembershipKey.of(collection, member.id)
    increment = Increment(MEMBER_COUNTS.key(CollectionKey.of(collection)), 1)
    return Batch([MEMBERSHIPS.absent(key)], [*_member_writes(key, member, order), increment])


def put_member(collection: str, member: Member, *, order: str) -> Op[Batch]:
    """Return the part of a commit that adds ``member`` or replaces its item; `NO_CHANGE` if there is nothing to change.

    A member that is in already keeps its place. Its item is replaced if ``member.item`` is not empty and differs.
    Asks for: one `Get`.
    """
    key = MembershipKey.of(collection, member.id)
    [entry] = yield from Get((MEMBERSHIPS.key(key),))
    stored = MEMBERSHIPS.read_optional(entry)
    if stored is None:
        return add_member(collection, member, order=order)
    if not member.item or (member.id, member.item) == (stored.record.member_id, stored.record.body):
        return NO_CHANGE
    return Batch([stored.check], _member_writes(key, member, stored.record.order))


def _member_writes(key: MembershipKey, member: Member, order: str) -> list[Write]:
    place = OrderedMemberKey(key.collection, order, key.member)
    return [
        MEMBERSHIPS.put(key, MembershipRecord(order=order, member_id=member.id, body=member.item)),
        MEMBERS_IN_ORDER.put(place, MemberRecord(member_id=member.id, body=member.item)),
    ]


def order_after_newest(collection: str, order: str) -> Op[str]:
    """Return ``order``, or one after the newest member if that member is not older.

    So members keep the order of their additions, even if two are added within one tick of the clock, or the clock is
    set back. ``order`` begins with the digits of `order_at`. A newest member with an order of the application's own
    form is ignored. Asks for: one `Scan`.
    """
    entries = yield from Scan(MEMBERS_IN_ORDER.at(digest_part(collection)), limit=1, reverse=True)
    digits = max((MEMBERS_IN_ORDER.read(entry).key.order for entry in entries), default="")[:ORDER_DIGITS]
    if len(digits) < ORDER_DIGITS or not (digits.isascii() and digits.isdecimal()):
        return order
    # All members that one commit adds are moved by the same distance, or none of them is.
    number = int(order[ORDER_DIGITS - 3 : ORDER_DIGITS])
    if int(digits) < int(order[:ORDER_DIGITS]) - number:
        return order
    return f"{int(digits) + 1 + number:0{ORDER_DIGITS}d}{order[ORDER_DIGITS:]}"


def remove_member(collection: str, member_id: str) -> Op[Batch]:
    """Return the part of a commit that removes a member; `NO_CHANGE` if it is not in. Asks for: one `Get`."""
    key = MembershipKey.of(collection, member_id)
    [entry] = yield from Get((MEMBERSHIPS.key(key),))
    stored = MEMBERSHIPS.read_optional(entry)
    if stored is None:
        return NO_CHANGE
    place = OrderedMemberKey(key.collection, stored.record.order, key.member)
    increment = Increment(MEMBER_COUNTS.key(CollectionKey.of(collection)), -1)
    return Batch([stored.check], [stored.deletion, MEMBERS_IN_ORDER.delete(place), increment])


def contains(collection: str, member_ids: Sequence[str]) -> Op[tuple[bool, ...]]:
    """Check which of up to 100 ids are members; the answers are in the order of the ids. Asks for: one `Get`."""
    entries = yield from Get([MEMBERSHIPS.key(MembershipKey.of(collection, member_id)) for member_id in member_ids])
    return tuple(entry is not None for entry in entries)


def count(collection: str) -> Op[int]:
    """Return the number of members. Asks for: one `Get`."""
    [entry] = yield from Get((MEMBER_COUNTS.key(CollectionKey.of(collection)),))
    stored = MEMBER_COUNTS.read_optional(entry)
    return 0 if stored is None else stored.record.number


def members_page(
    collection: str, *, cursor: str | None = None, limit: int, oldest_first: bool = False
) -> Op[PageItems]:
    """Return a page of up to ``limit`` `Member`s, newest first. Asks for: one `Scan`.

    ``cursor`` is the ``next`` of the previous page. It comes from a peer, so it can be anything: an invalid cursor
    gives an empty last page.
    """
    ident = digest_part(collection)
    after: StoreKey | None = None
    if cursor is not None:
        order, dot, name = cursor.rpartition(".")
        # It must be printable: a NUL takes two bytes in a key, and many of them would exceed the length of a key.
        if not dot or len(cursor) > CURSOR_BYTES_MAX or not cursor.isascii() or not cursor.isprintable():
            return PageItems(())
        after = MEMBERS_IN_ORDER.key(OrderedMemberKey(ident, order, name))
    entries = yield from Scan(MEMBERS_IN_ORDER.at(ident), after=after, limit=limit, reverse=not oldest_first)
    stored_members = [MEMBERS_IN_ORDER.read(entry) for entry in entries]
    members = [Member(stored.record.member_id, stored.record.body) for stored in stored_members]
    last_key = stored_members[-1].key if len(entries) == limit else None
    return PageItems(members, None if last_key is None else f"{last_key.order}.{last_key.member}")
