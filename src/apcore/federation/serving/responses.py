"""Make the responses with the documents that are served: validators, caching, and the media type."""

from __future__ import annotations

import json
from typing import Any, Final

from attrs import field, frozen

from apcore.http import ACTIVITY_JSON, Headers, Problem, Request, Response, matches_etag, strong_etag
from apcore.jsonld.work import content_key
from apcore.vocab import without_nulls

__all__ = [
    "AGE_S",
    "RENDERED_BYTES_MAX",
    "RENDERINGS_MAX",
    "VARY_BY_VIEWER",
    "Renderings",
    "Resource",
    "answer_with",
    "not_allowed",
]

AGE_S: Final = 180
"""The cache lifetime that Mastodon uses for actors and posts."""
RENDERINGS_MAX: Final = 256
"""The most renderings that are kept. With one more, all of them are dropped."""
RENDERED_BYTES_MAX: Final = 16 * 1024
"""The longest document whose rendering is kept."""
VARY_BY_VIEWER: Final = "Accept, Signature, Signature-Input"


@frozen
class Resource:
    """A document to serve, and its status."""

    members: dict[str, Any]
    status: int = 200
    private: bool = False
    """Whether another client might get another answer."""


@frozen
class Rendering:
    """The bytes of a document, with what follows from them alone."""

    body: bytes = field(repr=False)
    etag: str

    @classmethod
    def of(cls, members: dict[str, Any]) -> Rendering:
        """Serialise a document."""
        body = json.dumps(without_nulls(members), ensure_ascii=False, separators=(",", ":")).encode()
        return cls(body, strong_etag(body))


class Renderings:
    """The renderings of recent documents, by their content: none is used for another document.

    A popular actor is requested much more often than it changes. The handler is still called, and the client's access
    is still checked, for each request: only the same members are not serialised again.
    """

    def __init__(self) -> None:
        self._renderings: dict[bytes, Rendering] = {}

    def render(self, members: dict[str, Any]) -> Rendering:
        """Return the rendering of ``members``."""
        try:
            key = content_key(members)
        except ValueError:  # a value that is not JSON, for which the serialiser has the better error
            return Rendering.of(members)
        rendering = self._renderings.get(key)
        if rendering is not None:
            return rendering
        rendering = Rendering.of(members)
        if len(key) <= RENDERED_BYTES_MAX:
            if len(self._renderings) >= RENDERINGS_MAX:
                self._renderings.clear()
            self._renderings[key] = rendering
        return rendering


_RENDERINGS: Final = Renderings()


def answer_with(request: Request, resource: Resource) -> Response:
    """Return the response with a resource, or 304 if the client has it already."""
    rendering = _RENDERINGS.render(resource.members)
    body, etag = rendering.body, rendering.etag
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
