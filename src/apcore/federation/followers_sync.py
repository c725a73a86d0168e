"""Synchronise followers (FEP-8fcf): tell each server which of its actors follow ours, in a digest.

Two servers may disagree on followers: an Undo was lost, or a database was restored. Then a server shows posts for
followers to people that do not follow any more. So a delivery of such a post carries a header with three members:

- ``collectionId`` is the followers collection of the sender.
- ``digest`` is made of the ids of the followers on the receiving server: their SHA-256 digests, combined by XOR.
- ``url`` is the address of these ids. Only that server may read them, and only with a signed request.

The digests are made when the first deliveries of an activity are planned, and stored with it. A collection of more than
`FOLLOWERS_MAX` followers, or one that the application's handler makes, is not synchronised.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Final

from attrs import frozen

from apcore.collections import members_page
from apcore.effects import Op
from apcore.errors import RequestError
from apcore.federation.outbox.records import FOLLOWER_DIGESTS, FollowerDigestsRecord, SendingKey, SendingRecord
from apcore.federation.routes import IDENTIFIER, RouteTable
from apcore.federation.site import Site
from apcore.http import Origin, parse_url
from apcore.ports import NO_CHANGE, Batch, Entry
from apcore.vocab import audience_of, read_document

__all__ = [
    "FIELD",
    "FOLLOWERS_MAX",
    "FollowersState",
    "followers_at",
    "followers_digest",
    "followers_field",
    "make_digests",
    "partial_followers",
]

FIELD: Final = "collection-synchronization"
"""The name of the header."""
FOLLOWERS_MAX: Final = 10_000
"""The most followers of a collection that is synchronised."""
_PAGE: Final = 100
_PARAMETER: Final = re.compile(r'\s*([A-Za-z]+)="([^"\\]*)"\s*(?:,|$)')
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@frozen
class FollowersState:
    """The content of the header."""

    collection: str
    url: str
    digest: str

    @property
    def text(self) -> str:
        """The value of the header."""
        return f'collectionId="{self.collection}", url="{self.url}", digest="{self.digest}"'

    @classmethod
    def parse(cls, text: str) -> FollowersState | None:
        """Read the value of the header; None if it is malformed."""
        members: dict[str, str] = {}
        position = 0
        while position < len(text):
            match = _PARAMETER.match(text, position)
            if match is None or match[1] in members:
                return None
            members[match[1]] = match[2]
            position = match.end()
        if not {"collectionId", "url", "digest"}.issubset(members) or not _DIGEST.fullmatch(members["digest"]):
            return None
        return cls(members["collectionId"], members["url"], members["digest"])


def followers_digest(ids: Iterable[str]) -> str:
    """Return the digest of some followers: the XOR of the SHA-256 of their ids, in hexadecimal."""
    digest = 0
    for one_id in ids:
        digest ^= int.from_bytes(sha256(one_id.encode()).digest(), "big")
    return f"{digest:064x}"


def partial_followers(places: RouteTable, origin: Origin, identifier: str) -> str | None:
    """Return the address of the followers of an actor on the server that asks; None if they are not synchronised."""
    if not places.has("partial", "followers"):
        return None
    return places.uri(origin, "partial", "followers", **{IDENTIFIER: identifier})


def followers_at(collection: str, origin: str) -> Op[list[str] | None]:
    """Return the ids of the followers at one origin; None if there are more than `FOLLOWERS_MAX` followers.

    Effects: up to 100 `Scan`s.
    """
    by_origin = yield from _by_origin(collection)
    return None if by_origin is None else by_origin.get(origin, [])


def make_digests(site: Site, key: SendingKey, sending: SendingRecord, body: bytes) -> Op[Batch]:
    """Return the write of the digests for an activity that is for followers and not public; else `NO_CHANGE`.

    Effects: up to 100 `Scan`s if it is for followers only.
    """
    identifier = site.identifier_of(sending.actor)
    if identifier is None or identifier == site.origin.host or sending.sources:
        return NO_CHANGE
    collection = site.collection_uri("followers", identifier)
    place = site.federation.places.read(site.origin, collection)
    is_managed = place is not None and place.target.handler is None
    if collection not in sending.recipients or not is_managed:
        return NO_CHANGE
    if audience_of(read_document(body, origin=site.origin)).is_public:
        return NO_CHANGE
    url = partial_followers(site.federation.places, site.origin, identifier)
    by_origin = yield from _by_origin(collection)
    if url is None or by_origin is None:
        return NO_CHANGE
    digests = {origin: followers_digest(ids) for origin, ids in by_origin.items()}
    record = FollowerDigestsRecord(collection=collection, url=url, body=json.dumps(digests).encode())
    return Batch(writes=[FOLLOWER_DIGESTS.put(key, record)])


def followers_field(entry: Entry | None, inbox: str) -> str | None:
    """Return the value of the header for a delivery to ``inbox``; None if its server has no follower.

    ``entry`` holds the digests of the activity, if it has any.
    """
    if entry is None:
        return None
    record = FOLLOWER_DIGESTS.decode(entry.value)
    digests: Mapping[str, str] = json.loads(record.body)
    digest = digests.get(str(parse_url(inbox).origin))
    return None if digest is None else FollowersState(record.collection, record.url, digest).text


def _by_origin(collection: str) -> Op[dict[str, list[str]] | None]:
    by_origin: dict[str, list[str]] = {}
    cursor: str | None = None
    for _ in range(FOLLOWERS_MAX // _PAGE):
        page = yield from members_page(collection, cursor=cursor, limit=_PAGE)
        for member in page.items:
            try:
                origin = str(parse_url(member.id).origin)
            except RequestError:
                continue
            by_origin.setdefault(origin, []).append(member.id)
        cursor = page.next
        if cursor is None:
            return by_origin
    return None
