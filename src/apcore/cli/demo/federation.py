"""The federation that both of the demo's servers run: Alice and Bob, and a collection of what was heard.

The one listener appends every activity that arrived to ``heard``, under a name that is new each time it runs. So an activity whose effects were
committed twice would stand there twice, and one that was lost would not stand there.
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

__all__ = ["Heard", "federation"]

_NAMES: Final = {"alice": "Alice", "bob": "Bob"}
_EVERYONE: Final = "everyone"
"""What arrives comes mostly by the shared inbox, so what was heard is kept for the server as a whole."""
_PAGE: Final = 50

federation: Final = Federation(software="apcore-demo/1.0")


@frozen
class Heard:
    """One run of the listener whose effects were committed."""

    type: str
    id: str
    run: str

    def uri(self, origin: str) -> str:
        """Write it as the id of an item of the collection."""
        return f"{origin}/heard/{self.run}?type={quote(self.type)}&id={quote(self.id, safe='')}"

    @classmethod
    def read(cls, uri: str) -> Heard:
        """Read what `uri` wrote."""
        parts = urlsplit(uri)
        said = parse_qs(parts.query)
        return cls(said["type"][0], said["id"][0], parts.path.rpartition("/")[2])


@federation.actor("/users/{identifier}", inline=True)
def person(ctx: Context, identifier: str) -> Person | None:
    """Alice and Bob live on both servers; the story is about one on each."""
    del ctx
    name = _NAMES.get(identifier)
    return None if name is None else Person(preferred_username=identifier, name=name)


@federation.on(Activity, inline=True)
def heard(ctx: Context, activity: Activity) -> None:
    """Note that an activity was heard."""
    types = activity.document.types
    entry = Heard(types[0] if types else "Activity", ctx.activity_id or "", token_hex(8))
    ctx.append(ctx.collection_uri("heard", _EVERYONE), entry.uri(ctx.origin))


@federation.collection("heard", "/users/{identifier}/heard")
@operation
def heard_page(ctx: OpContext, identifier: str, cursor: str | None) -> Op[PageItems]:
    """Serve what was heard, newest first: the server's, whoever's address is asked."""
    del identifier
    collection = ctx.collection_uri("heard", _EVERYONE)
    total = yield from count(collection)
    page = yield from members_page(collection, cursor=cursor, limit=_PAGE)
    return PageItems([member.id for member in page.items], page.next, total=total)
