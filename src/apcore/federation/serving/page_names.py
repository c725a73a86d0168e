"""Write a cursor into the path of a collection page, and read it back.

A page has an address without a query, such as ``/users/alice/outbox/page/first``. Some servers sign the path of a
request but not its query (Takahe, microblog.pub, Misskey). With such an address, their signature covers the page.

A cursor may be any string. A cursor that a path could not carry safely (with a slash, a dot segment or an escape) is
written in base64url after a ``~``.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from apcore.collections import CURSOR_BYTES_MAX
from apcore.errors import RequestError

__all__ = ["cursor_of", "page_name"]

_FIRST: Final = "first"
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ENCODED: Final = re.compile(r"~([A-Za-z0-9_-]*)")


def page_name(cursor: str | None) -> str:
    """Return the name of the page at ``cursor``. None stands for the first page."""
    if cursor is None:
        return _FIRST
    if cursor != _FIRST and _PLAIN.fullmatch(cursor):
        return cursor
    return "~" + urlsafe_b64encode(cursor.encode()).decode("ascii").rstrip("=")


def cursor_of(name: str) -> str | None:
    """Return the cursor in the name of a page, or None for the first page.

    Raises:
        RequestError: The name is not a cursor, or the cursor is longer than `CURSOR_BYTES_MAX`.
    """
    if name == _FIRST:
        return None
    encoded = _ENCODED.fullmatch(name)
    if encoded is None and _PLAIN.fullmatch(name) is None:
        raise RequestError("there is no page of this name")
    try:
        raw = name.encode() if encoded is None else urlsafe_b64decode(encoded[1] + "=" * (-len(encoded[1]) % 4))
        cursor = raw.decode()
    except ValueError as error:  # not base64, or not UTF-8
        raise RequestError("there is no page of this name") from error
    if len(raw) > CURSOR_BYTES_MAX:
        raise RequestError(f"a cursor has at most {CURSOR_BYTES_MAX} bytes, not {len(raw)}")
    return cursor
