"""Declare the stored records of managed collections, and of traversals.

Their values are lines of text, which are shorter than JSON: a collection may have millions of members.

The records of traversals are at the end: the position in a peer's collection, and marks for what was read of it.
"""

from __future__ import annotations

import json
from typing import Final, Literal, NamedTuple

from attrs import frozen

from apcore.ports import digest_part
from apcore.records import RecordKind, StoredRecord

__all__ = [
    "MEMBERSHIPS",
    "MEMBERS_IN_ORDER",
    "MEMBER_COUNTS",
    "READ_MARKS",
    "TRAVERSALS",
    "CollectionKey",
    "MemberCountRecord",
    "MemberRecord",
    "MembershipKey",
    "MembershipRecord",
    "OrderedMemberKey",
    "ReadMarkKey",
    "ReadMarkRecord",
    "TraversalKey",
    "TraversalRecord",
]

_SEPARATOR: Final = b"\n"


class MembershipKey(NamedTuple):
    """The key under which a member is found by its id."""

    collection: str
    member: str

    @classmethod
    def of(cls, collection: str, member_id: str) -> MembershipKey:
        """Return the key of a member of a collection."""
        return cls(digest_part(collection), digest_part(member_id))


class OrderedMemberKey(NamedTuple):
    """The key under which the members of a collection stand in order."""

    collection: str
    order: str
    member: str


class CollectionKey(NamedTuple):
    """The key of a record about a whole collection."""

    collection: str

    @classmethod
    def of(cls, collection: str) -> CollectionKey:
        """Return the key of a collection."""
        return cls(digest_part(collection))


@frozen(kw_only=True)
class MemberRecord(StoredRecord):
    """A member at its place in the collection; the body is the caller's item."""

    member_id: str


@frozen(kw_only=True)
class MembershipRecord(MemberRecord):
    """The fact that an id is a member, and its place; the body is the caller's item."""

    order: str


@frozen(kw_only=True)
class MemberCountRecord(StoredRecord):
    """The number of members."""

    number: int


class _MemberFormat:
    """The id in the first line, then the item.

    Peers send ids of any kind. An id that could not be read back from a plain line is written as JSON.
    """

    def encode(self, record: MemberRecord) -> bytes:
        ident = record.member_id
        is_plain = "\n" not in ident and not ident.startswith('"')
        line = ident.encode("utf-8", "surrogatepass") if is_plain else json.dumps(ident).encode("ascii")
        return line + _SEPARATOR + record.body

    def decode(self, value: bytes) -> MemberRecord:
        line, _, item = value.partition(_SEPARATOR)
        ident = json.loads(line) if line.startswith(b'"') else line.decode("utf-8", "surrogatepass")
        return MemberRecord(member_id=ident, body=item)


class _MembershipFormat:
    """The order in the first line, then the member."""

    def encode(self, record: MembershipRecord) -> bytes:
        return record.order.encode() + _SEPARATOR + _MEMBER_FORMAT.encode(record)

    def decode(self, value: bytes) -> MembershipRecord:
        order, _, rest = value.partition(_SEPARATOR)
        member = _MEMBER_FORMAT.decode(rest)
        return MembershipRecord(order=order.decode(), member_id=member.member_id, body=member.body)


class _CountFormat:
    """Decimal digits, as `apcore.ports.Increment` writes them."""

    def encode(self, record: MemberCountRecord) -> bytes:
        return b"%d" % record.number

    def decode(self, value: bytes) -> MemberCountRecord:
        return MemberCountRecord(number=int(value))


_MEMBER_FORMAT: Final = _MemberFormat()
_PREFIX: Final = ("c",)
_WHILE_MEMBER: Final = "while the member is in the collection"
_WRITTEN_BY: Final = "follows, publishing, and the application"

MEMBERSHIPS: Final = RecordKind(
    "membership",
    MembershipRecord,
    MembershipKey,
    prefix=_PREFIX,
    layout=(None, "m", None),
    lifetime=_WHILE_MEMBER,
    written_by=_WRITTEN_BY,
    format=_MembershipFormat(),
)
MEMBERS_IN_ORDER: Final = RecordKind(
    "member",
    MemberRecord,
    OrderedMemberKey,
    prefix=_PREFIX,
    layout=(None, "o", None, None),
    lifetime=_WHILE_MEMBER,
    written_by=_WRITTEN_BY,
    format=_MEMBER_FORMAT,
)
MEMBER_COUNTS: Final = RecordKind(
    "member-count",
    MemberCountRecord,
    CollectionKey,
    prefix=_PREFIX,
    layout=(None, "n"),
    lifetime="for ever",
    size="a number",
    written_by=_WRITTEN_BY,
    format=_CountFormat(),
)


# --- traversals -----------------------------------------------------------------------------------------------------


class TraversalKey(NamedTuple):
    """The name of a traversal."""

    name: str

    @classmethod
    def of(cls, name: str) -> TraversalKey:
        """Return the key of the traversal ``name``."""
        return cls(digest_part(name))


class ReadMarkKey(NamedTuple):
    """The name of a traversal, and the item or page that it has read."""

    name: str
    subject: str

    @classmethod
    def of(cls, name: str, subject: str) -> ReadMarkKey:
        """Return the key of the mark for ``subject``: the key of an item, or the address of a page."""
        return cls(digest_part(name), digest_part(subject))


@frozen(kw_only=True)
class TraversalRecord(StoredRecord):
    """The position of a traversal in a collection of another server, and its totals so far."""

    collection: str
    home: tuple[str, ...]
    base: str
    next: str | None = None
    onward: Literal["first", "next", "last", "prev"] = "next"
    closes_at_home: bool = False
    pages: int = 0
    items: int = 0
    listed: int = 0
    size: int = 0
    spent_ms: int = 0
    total: int = 0
    ended: str | None = None


@frozen(kw_only=True)
class ReadMarkRecord(StoredRecord):
    """The mark that a traversal has read an item or a page."""


_TRAVERSAL_KEPT_S: Final = 90 * 86400.0
_TRAVERSAL_LIFETIME: Final = "90 days after it was written, or until the traversal is forgotten"

TRAVERSALS: Final = RecordKind(
    "traversal",
    TraversalRecord,
    TraversalKey,
    lifetime=_TRAVERSAL_LIFETIME,
    ttl_s=_TRAVERSAL_KEPT_S,
    written_by="traversals that can be resumed",
)
READ_MARKS: Final = RecordKind(
    "traversal-read",
    ReadMarkRecord,
    ReadMarkKey,
    lifetime=_TRAVERSAL_LIFETIME,
    ttl_s=_TRAVERSAL_KEPT_S,
    written_by="traversals that can be resumed",
)
