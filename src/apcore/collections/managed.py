"""Store the members of managed collections, and page through them.

A collection has three families of entries under its id::

    ("c", id, "m", H(member))         -> order, item      membership, and the member's place
    ("c", id, "o", order, H(member))  -> item             the members in order; a cursor is the end of such a key
    ("c", id, "n")                    -> a counter        the number of members

To add or remove a member, add the `Batch` of the change to any commit. So a follower and the Accept that announces it
are stored together. The check that the member is absent prevents a second addition, and the
check of its version prevents a second removal. The counter is an `Increment`, which conflicts with no other write.
Reading a page costs the same at the first member and at the millionth.

``order`` is a string that sorts by time and ends with random characters. Newest first is the reverse order of the keys.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from attrs import field, frozen

from apcore.collections.pages import CURSOR_BYTES_MAX, PageItems
from apcore.effects import Get, Op, Scan
from apcore.ports import NO_CHANGE, Batch, Check, DeleteEntry, Entry, Increment, Put, StoreKey, digest_part

__all__ = [
    "Member",
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
    """A member's id, and the bytes stored with it in the caller's own format."""

    id: str
    item: bytes = field(default=b"", repr=False)


def add_member(collection: str, member: Member, *, order: str) -> Batch:
    """Return the part of a commit that adds ``member``. The commit answers False if the member is in already."""
    ident, name = digest_part(collection), digest_part(member.id)
    value = _encode_member(member)
    membership: StoreKey = ("c", ident, "m", name)
    return Batch(
        (Check(membership, None),),
        (
            Put(membership, order.encode() + _SEPARATOR + value),
            Put(("c", ident, "o", order, name), value),
            Increment(("c", ident, "n"), 1),
        ),
    )


def put_member(collection: str, member: Member, *, order: str) -> Op[Batch]:
    """Return the part of a commit that adds ``member`` or replaces its item; `NO_CHANGE` if there is nothing to change.

    A member that is in already keeps its place. Its item is replaced if ``member.item`` is not empty and differs.
    Asks for: one `Get`.
    """
    ident, name = digest_part(collection), digest_part(member.id)
    membership: StoreKey = ("c", ident, "m", name)
    [entry] = yield from Get((membership,))
    if entry is None:
        return add_member(collection, member, order=order)
    order_bytes, _, stored_value = entry.value.partition(_SEPARATOR)
    value = _encode_member(member)
    if not member.item or value == stored_value:
        return NO_CHANGE
    return Batch(
        (Check(membership, entry.version),),
        (
            Put(membership, order_bytes + _SEPARATOR + value),
            Put(("c", ident, "o", order_bytes.decode(), name), value),
        ),
    )


def remove_member(collection: str, member_id: str) -> Op[Batch]:
    """Return the part of a commit that removes a member; `NO_CHANGE` if it is not in. Asks for: one `Get`."""
    ident, name = digest_part(collection), digest_part(member_id)
    membership: StoreKey = ("c", ident, "m", name)
    [entry] = yield from Get((membership,))
    if entry is None:
        return NO_CHANGE
    order = entry.value.partition(_SEPARATOR)[0].decode()
    return Batch(
        (Check(membership, entry.version),),
        (DeleteEntry(membership), DeleteEntry(("c", ident, "o", order, name)), Increment(("c", ident, "n"), -1)),
    )


def contains(collection: str, member_ids: Sequence[str]) -> Op[tuple[bool, ...]]:
    """Check which of up to 100 ids are members; the answers are in the order of the ids. Asks for: one `Get`."""
    ident = digest_part(collection)
    entries = yield from Get([("c", ident, "m", digest_part(member_id)) for member_id in member_ids])
    return tuple(entry is not None for entry in entries)


def count(collection: str) -> Op[int]:
    """Return the number of members. Asks for: one `Get`."""
    [entry] = yield from Get((("c", digest_part(collection), "n"),))
    return 0 if entry is None else int(entry.value)


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
        after = ("c", ident, "o", order, name)
    entries = yield from Scan(("c", ident, "o"), after=after, limit=limit, reverse=not oldest_first)
    members = [_decode_member(entry) for entry in entries]
    last_key = entries[-1].key if len(entries) == limit else None
    return PageItems(members, None if last_key is None else f"{last_key[3]}.{last_key[4]}")


def _encode_member(member: Member) -> bytes:
    """Encode a member: its id in the first line, then its item.

    Peers send ids of any kind. An id that could not be read back from a plain line is written as JSON.
    """
    plain = "\n" not in member.id and not member.id.startswith('"')
    ident = member.id.encode("utf-8", "surrogatepass") if plain else json.dumps(member.id).encode("ascii")
    return ident + _SEPARATOR + member.item


def _decode_member(entry: Entry) -> Member:
    line, _, item = entry.value.partition(_SEPARATOR)
    ident = json.loads(line) if line.startswith(b'"') else line.decode("utf-8", "surrogatepass")
    return Member(ident, item)
