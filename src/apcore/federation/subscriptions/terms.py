"""Define the terms of a subscription: the address, and the wanted activities. They are checked when they are made."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from attrs import frozen

from apcore.http import parse_url
from apcore.vocab import View

__all__ = ["HISTORY_MAX", "SubscriptionTerms"]

HISTORY_MAX: Final = 1000
"""The most pages of a first poll."""
_TYPES_MAX: Final = 50
_ADDRESS_CHARS_MAX: Final = 2048


@frozen(kw_only=True)
class SubscriptionTerms:
    """The address that is polled, and the activities that are wanted. Made by `of`."""

    address: str
    types: tuple[str, ...]
    by: str | None
    since: datetime | None
    history: int

    @classmethod
    def of(
        cls,
        address: str,
        *,
        types: Iterable[type[View] | str] = (),
        by: str | None = None,
        since: datetime | None = None,
        history: int = 1,
    ) -> SubscriptionTerms:
        """Return the checked terms.

        Raises:
            RequestError, ValueError: ``address`` is no http or https address, or another argument is out of its range.
        """
        _ = parse_url(address)
        if len(address) > _ADDRESS_CHARS_MAX:
            raise ValueError(f"the address has {len(address)} characters, at most {_ADDRESS_CHARS_MAX}")
        if since is not None and since.utcoffset() is None:
            raise ValueError(f"since={since!r} has no time zone")
        if type(history) is not int or not 1 <= history <= HISTORY_MAX:
            raise ValueError(f"history is a number of pages from 1 to {HISTORY_MAX}, not {history!r:.40}")
        return cls(address=address, types=_type_names(types), by=by, since=since, history=history)


def _type_names(types: Iterable[type[View] | str]) -> tuple[str, ...]:
    if isinstance(types, str | type):
        raise TypeError(f"types is a list of types, such as [Event], not the one type {types!r:.60}")
    names: list[str] = []
    for item in types:
        name = item if isinstance(item, str) else getattr(item, "type_name", None)
        if not isinstance(name, str) or not 1 <= len(name) <= _ADDRESS_CHARS_MAX:
            raise ValueError(f"{item!r:.60} is no type of activities or objects")
        names.append(name)
    if len(names) > _TYPES_MAX:
        raise ValueError(f"a subscription has at most {_TYPES_MAX} types, not {len(names)}")
    return tuple(sorted(set(names)))
