"""The names of pages: how a cursor is written into the path of a page, and read back.

A page has an address without a query, such as ``/users/alice/outbox/page/first``. Servers that sign a path and not its
query (Takahe, microblog.pub, Misskey) can ask for it, and prove that they have asked for this page.

A cursor may be any string. One that could be mistaken for something else in a path (a slash, a dot segment, an escape)
is written in base64url after a ``~``.
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
    """Return the name of the page at ``cursor``; None is the first page."""
    if cursor is None:
        return _FIRST
    if cursor != _FIRST and _PLAIN.fullmatch(cursor):
        return cursor
    return "~" + urlsafe_b64encode(cursor.encode()).decode("ascii").rstrip("=")


def cursor_of(name: str) -> str | None:
    """Return the cursor in the name of a page; None for the first page.

    Raises:
        RequestError: No cursor is written so, or it is longer than cursors are.
    """
    if name == _FIRST:
        return None
    encoded = _ENCODED.fullmatch(name)
    if encoded is None and _PLAIN.fullmatch(name) is None:
        raise RequestError("there is no page of this name")
    try:
        raw = name.encode() if encoded is None else urlsafe_b64decode(encoded[1] + "=" * (-len(encoded[1]) % 4))
        cursor = raw.decode()
    except ValueError as error:  # what is no base64, and what is no UTF-8
        raise RequestError("there is no page of this name") from error
    if len(raw) > CURSOR_BYTES_MAX:
        raise RequestError(f"a cursor has at most {CURSOR_BYTES_MAX} bytes, not {len(raw)}")
    return cursor
