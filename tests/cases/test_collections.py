"""Try collections of other servers that look as if they had been read to their end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apcore import Federation, Node
from apcore.collections import traverse
from apcore.http import ACTIVITY_JSON, Headers, Request, Response
from apcore.remote import FetchPolicy
from apcore.testing.keys import ReusedKeys
from local_server import REMOTE

ROOT, PAGE = f"{REMOTE}/followers", f"{REMOTE}/followers?page=1"
FIRST, SECOND = f"{REMOTE}/n/1", f"{REMOTE}/n/2"
LAST_PAGE = {"id": PAGE, "type": "OrderedCollectionPage", "partOf": ROOT, "orderedItems": [FIRST, SECOND]}
SPELLINGS: dict[str, dict[str, dict[str, Any]]] = {
    # NodeBB/NodeBB#13153
    "an empty list and next on the root": {
        ROOT: {"id": ROOT, "type": "OrderedCollection", "totalItems": 2, "orderedItems": [], "next": PAGE},
        PAGE: LAST_PAGE,
    },
    # mastodon/mastodon#18066
    "only last": {
        ROOT: {"id": ROOT, "type": "OrderedCollection", "totalItems": 2, "last": PAGE},
        PAGE: LAST_PAGE,
    },
    # PHP writes a filtered array as an object.
    "numbers as keys": {ROOT: {"id": ROOT, "type": "OrderedCollection", "orderedItems": {"0": FIRST, "3": SECOND}}},
    # mastodon/mastodon#34273
    "items on the root and on a page": {
        ROOT: {"id": ROOT, "type": "OrderedCollection", "totalItems": 2, "orderedItems": [FIRST], "next": PAGE},
        PAGE: LAST_PAGE,
    },
}


class Site:
    """A transport over some documents."""

    checks_addresses = "enforced"
    never_waits = True

    def __init__(self, documents: dict[str, dict[str, Any]]) -> None:
        self.documents = documents

    def send(self, request: Request) -> Response:
        document = self.documents.get(request.url)
        if document is None:
            return Response(404)
        members = {"@context": "https://www.w3.org/ns/activitystreams"} | document
        return Response(200, Headers({"Content-Type": ACTIVITY_JSON}), json.dumps(members).encode())

    def close(self) -> None:
        """Do nothing: no connection is open."""


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_collection_is_read_to_its_end_each_item_once(spelling: str) -> None:
    site = Site(SPELLINGS[spelling])
    node: Node[None] = Node(Federation(software="test/1.0"), None, "memory:", transport=site, signer=ReusedKeys())
    traversal = node.run(traverse(ROOT, policy=FetchPolicy()))
    assert ([item.uri for item in traversal.items], traversal.ended) == ([FIRST, SECOND], None)
