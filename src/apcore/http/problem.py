"""Build problem documents (RFC 9457), which tell a peer about an error.

A peer sees the status, a stable slug and, if the caller writes one, a sentence. The message of an error is for local
logs: it may say how the local network answered or which address a name has, and a peer must not learn that. So
`problem_for` uses only the attributes of the error's class.
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
    """One problem, as shown to a peer."""

    status: int
    title: str = ""
    """The same for every problem of the type; by default that of the status."""
    detail: str = ""
    """The explanation of this occurrence, in words that the peer may read."""
    type: str = "about:blank"
    extensions: Mapping[str, str] = field(factory=_no_extensions)
    """Further members; `ValueError` for a name that RFC 9457 reserves."""
    retry_after_s: float | None = None
    """Becomes `Retry-After`, rounded up to whole seconds."""

    def __attrs_post_init__(self) -> None:
        if reserved := _RESERVED & self.extensions.keys():
            raise ValueError(f"problem extensions have reserved names: {sorted(reserved)}")

    def response(self) -> Response:
        """Return the response. Errors must not be cached: the next attempt may succeed."""
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
    """Return the problem for an error: its status and its slug, and nothing of its message."""
    retry_after_s = error.retry_after_s if isinstance(error, Unavailable) else None
    return Problem(
        status=error.status_hint, detail=detail, extensions={"reason": error.reason}, retry_after_s=retry_after_s
    )
