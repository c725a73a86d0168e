"""Define the federation of both demo servers: the actors Alice and Bob, and a collection of received activities.

The only listener appends each incoming activity to the collection ``heard``, under a new name for each run. So an
activity with effects that were committed twice appears twice, and a lost activity does not appear.
"""

from __future__ import annotations

from secrets import token_hex
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from attrs import frozen

from apcore.collections import PageItems, count, members_page
from apcore.effects import Op
from apcore.federation import Context, Federation, OpContext
from apcore.handlers import operation
from apcore.vocab import Activity, Person

__all__ = ["ReceivedActivity", "federation"]

_NAMES: Final = {"alice": "Alice", "bob": "Bob"}
_EVERYONE: Final = "everyone"
"""The one key of the collection. Most activities arrive at the shared inbox, so that the whole server shares it."""
_PAGE: Final = 50

federation: Final = Federation(software="apcore-demo/1.0")


@frozen
class ReceivedActivity:
    """One committed run of the listener."""

    type: str
    id: str
    run: str

    def uri(self, origin: str) -> str:
        """Return this run as the id of an item of the collection."""
        return f"{origin}/heard/{self.run}?type={quote(self.type)}&id={quote(self.id, safe='')}"

    @classmethod
    def read(cls, uri: str) -> ReceivedActivity:
        """Parse a result of `uri`."""
        parts = urlsplit(uri)
        query = parse_qs(parts.query)
        return cls(query["type"][0], query["id"][0], parts.path.rpartition("/")[2])


@federation.actor("/users/{identifier}")
def person(ctx: Context, identifier: str) -> Person | None:
    """Return Alice or Bob. Both exist on both servers; the scenario uses one of them on each."""
    del ctx
    name = _NAMES.get(identifier)
    return None if name is None else Person(preferred_username=identifier, name=name)


@federation.on(Activity)
def heard(ctx: Context, activity: Activity) -> None:
    """Append the activity to the collection."""
    types = activity.document.types
    entry = ReceivedActivity(types[0] if types else "Activity", ctx.activity_id or "", token_hex(8))
    ctx.append(ctx.collection_uri("heard", _EVERYONE), entry.uri(ctx.origin))


@federation.collection("heard", "/users/{identifier}/heard")
@operation
def heard_page(ctx: OpContext, identifier: str, cursor: str | None) -> Op[PageItems]:
    """Serve the received activities of the server, newest first. The result is the same for all its actors."""
    del identifier
    collection = ctx.collection_uri("heard", _EVERYONE)
    total = yield from count(collection)
    page = yield from members_page(collection, cursor=cursor, limit=_PAGE)
    return PageItems([member.id for member in page.items], page.next, total=total)
