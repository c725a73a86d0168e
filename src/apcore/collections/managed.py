"""Managed collections: membership that apcore keeps in the store.

A collection is three families of entries under its id::

    ("c", id, "m", H(member))         -> order, item      is it in, and where
    ("c", id, "o", order, H(member))  -> item             in order; the cursor of a page is the last key's end
    ("c", id, "n")                    -> a counter        how many

Adding and removing are checks and writes that join any commit, so that a follower and the Accept that tells about it are one fact. The check
"member absent" makes adding twice impossible, and the check on the member's version makes removing twice impossible; the counter is an `Increment`,
which conflicts with nothing. Reading a page costs the same at the first item and at the millionth.

``order`` is a string that sorts by time, ended by randomness; newest first is reverse key order.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from attrs import field, frozen

from apcore.collections.pages import CURSOR_BYTES_MAX, PageItems
from apcore.effects import Get, Op, Scan
from apcore.ports import Check, DeleteEntry, Entry, Increment, Put, StoreKey, Write, digest_part

__all__ = [
    "Member",
    "MembershipChange",
    "add_member",
    "contains",
    "count",
    "members_page",
    "put_member",
    "remove_member",
]

_SEPARATOR: Final = b"\n"


@frozen
class Member:
    """A member: its id, and what is kept with it (bytes of the caller's own format)."""

    id: str
    item: bytes = field(default=b"", repr=False)


@frozen
class MembershipChange:
    """Part of a commit: what has to hold, and what is written."""

    checks: tuple[Check, ...] = ()
    writes: tuple[Write, ...] = ()


def add_member(collection: str, member: Member, *, order: str) -> MembershipChange:
    """Give the change that adds ``member``; its commit is False if the member is in already."""
    ident, name = digest_part(collection), digest_part(member.id)
    value = _value(member)
    membership: StoreKey = ("c", ident, "m", name)
    return MembershipChange(
        (Check(membership, None),),
        (
            Put(membership, order.encode() + _SEPARATOR + value),
            Put(("c", ident, "o", order, name), value),
            Increment(("c", ident, "n"), 1),
        ),
    )


def put_member(collection: str, member: Member, *, order: str) -> Op[MembershipChange | None]:
    """Give the change that adds ``member`` or, if it is in, keeps its item and place up to date; None if nothing is new.

    Something is new about a member that is in only if an item is given. Asks for: one `Get`.
    """
    ident, name = digest_part(collection), digest_part(member.id)
    membership: StoreKey = ("c", ident, "m", name)
    [entry] = yield from Get((membership,))
    if entry is None:
        return add_member(collection, member, order=order)
    known, _, value = entry.value.partition(_SEPARATOR)
    new = _value(member)
    if not member.item or value == new:
        return None
    return MembershipChange(
        (Check(membership, entry.version),),
        (Put(membership, known + _SEPARATOR + new), Put(("c", ident, "o", known.decode(), name), new)),
    )


def remove_member(collection: str, member_id: str) -> Op[MembershipChange | None]:
    """Give the change that removes a member, or None if it is not in. Asks for: one `Get`."""
    ident, name = digest_part(collection), digest_part(member_id)
    membership: StoreKey = ("c", ident, "m", name)
    [entry] = yield from Get((membership,))
    if entry is None:
        return None
    order = entry.value.partition(_SEPARATOR)[0].decode()
    return MembershipChange(
        (Check(membership, entry.version),),
        (DeleteEntry(membership), DeleteEntry(("c", ident, "o", order, name)), Increment(("c", ident, "n"), -1)),
    )


def contains(collection: str, member_ids: Sequence[str]) -> Op[tuple[bool, ...]]:
    """Tell of up to 100 ids whether they are members, in the order asked. Asks for: one `Get`."""
    ident = digest_part(collection)
    entries = yield from Get([("c", ident, "m", digest_part(member_id)) for member_id in member_ids])
    return tuple(entry is not None for entry in entries)


def count(collection: str) -> Op[int]:
    """Give the number of members. Asks for: one `Get`."""
    [entry] = yield from Get((("c", digest_part(collection), "n"),))
    return 0 if entry is None else int(entry.value)


def members_page(
    collection: str, *, cursor: str | None = None, limit: int, oldest_first: bool = False
) -> Op[PageItems]:
    """Give up to ``limit`` members as a `Page` of `Member`s, newest first. Asks for: one `Scan`.

    ``cursor`` is the ``next`` of the page before, or anything a peer made up: what is no cursor of ours gives an empty last page.
    """
    ident = digest_part(collection)
    after: StoreKey | None = None
    if cursor is not None:
        order, dot, name = cursor.rpartition(".")
        # Printable: a NUL takes two bytes in a key, and too many would be a longer key than there is.
        if not dot or len(cursor) > CURSOR_BYTES_MAX or not cursor.isascii() or not cursor.isprintable():
            return PageItems(())
        after = ("c", ident, "o", order, name)
    entries = yield from Scan(("c", ident, "o"), after=after, limit=limit, reverse=not oldest_first)
    members = [_member(entry) for entry in entries]
    last = entries[-1].key if len(entries) == limit else None
    return PageItems(members, None if last is None else f"{last[3]}.{last[4]}")


def _value(member: Member) -> bytes:
    """Write a member down, its id on the first line: as it is or, if it could not be read back then (peers send ids of any kind), as JSON."""
    plain = "\n" not in member.id and not member.id.startswith('"')
    ident = member.id.encode("utf-8", "surrogatepass") if plain else json.dumps(member.id).encode("ascii")
    return ident + _SEPARATOR + member.item


def _member(entry: Entry) -> Member:
    line, _, item = entry.value.partition(_SEPARATOR)
    ident = json.loads(line) if line.startswith(b'"') else line.decode("utf-8", "surrogatepass")
    return Member(ident, item)
