"""Make the responses with the documents that are served: validators, caching, and the media type."""

from __future__ import annotations

import json
from typing import Any, Final

from attrs import frozen

from apcore.http import ACTIVITY_JSON, Headers, Problem, Request, Response, matches_etag, strong_etag
from apcore.vocab import without_nulls

__all__ = ["AGE_S", "VARY_BY_VIEWER", "Resource", "answer_with", "not_allowed"]

AGE_S: Final = 180
"""The cache lifetime that Mastodon uses for actors and posts."""
VARY_BY_VIEWER: Final = "Accept, Signature, Signature-Input"


@frozen
class Resource:
    """A document to serve, and its status."""

    members: dict[str, Any]
    status: int = 200
    private: bool = False
    """Whether another client might get another answer."""


def answer_with(request: Request, resource: Resource) -> Response:
    """Return the response with a resource, or 304 if the client has it already."""
    body = json.dumps(without_nulls(resource.members), ensure_ascii=False, separators=(",", ":")).encode()
    etag = strong_etag(body)
    vary = VARY_BY_VIEWER if resource.private else "Accept"
    caching = f"{'private' if resource.private else 'public'}, max-age={AGE_S}"
    headers = Headers({"ETag": etag, "Vary": vary, "Cache-Control": caching})
    if resource.status == 200 and matches_etag(request.headers.get("if-none-match"), etag):
        return Response(304, headers)
    headers = headers.with_set("Content-Type", ACTIVITY_JSON)
    return Response(resource.status, headers, b"" if request.method == "HEAD" else body)


def not_allowed(allow: str) -> Response:
    """Return the 405 that names the methods which a path accepts."""
    response = Problem(status=405, extensions={"reason": "method-not-allowed"}).response()
    return Response(405, response.headers.with_set("Allow", allow), response.body)
