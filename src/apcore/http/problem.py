"""Problem documents (RFC 9457): what a peer is told when something is wrong.

A peer learns the status, a stable slug and, where the caller writes one, a sentence. The message of an error is for our logs: it may say what
our network answered or which address a name has, and that is never told (design rule 14). So `problem_for` takes the class's words only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from apcore.errors import ApcoreError, Unavailable
from apcore.http.messages import Headers, Response

__all__ = ["PROBLEM_JSON", "Problem", "problem_for"]

PROBLEM_JSON: Final = "application/problem+json"
_RESERVED: Final = frozenset({"type", "title", "status", "detail", "instance"})

_TITLES: Final = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    410: "Gone",
    413: "Too large",
    415: "Unsupported media type",
    421: "Misdirected request",
    422: "Cannot be processed",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable for now",
}


def _no_extensions() -> dict[str, str]:
    return {}


@frozen(kw_only=True)
class Problem:
    """One problem, as told to a peer."""

    status: int
    title: str = ""
    """The same for every problem of the type; by default that of the status."""
    detail: str = ""
    """What is wrong this time, in words that the peer may read."""
    type: str = "about:blank"
    extensions: Mapping[str, str] = field(factory=_no_extensions)
    """Further members; `ValueError` for a name that RFC 9457 has taken."""
    retry_after_s: float | None = None
    """Becomes `Retry-After`, rounded up to whole seconds."""

    def __attrs_post_init__(self) -> None:
        if taken := _RESERVED & self.extensions.keys():
            raise ValueError(f"problem extensions have reserved names: {sorted(taken)}")

    def response(self) -> Response:
        """Make the answer. Errors are never to be cached: the next attempt may be right."""
        members: dict[str, object] = {
            "type": self.type,
            "title": self.title or _TITLES.get(self.status, "Error"),
            "status": self.status,
        }
        if self.detail:
            members["detail"] = self.detail
        members.update(self.extensions)
        headers = Headers({"Content-Type": PROBLEM_JSON, "Cache-Control": "no-store"})
        if self.retry_after_s is not None:
            headers = headers.with_set("Retry-After", str(max(0, math.ceil(self.retry_after_s))))
        return Response(self.status, headers, json.dumps(members, ensure_ascii=False).encode())


def problem_for(error: ApcoreError, *, detail: str = "") -> Problem:
    """Tell a peer about an error: its status and its slug, and nothing of its message."""
    retry_after_s = error.retry_after_s if isinstance(error, Unavailable) else None
    return Problem(
        status=error.status_hint, detail=detail, extensions={"reason": error.reason}, retry_after_s=retry_after_s
    )
