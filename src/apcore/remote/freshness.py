"""Decide how long a document is fresh, by its type: the default policy, which an application may replace.

A server's own word comes first: its ``Cache-Control``, ``Expires`` and ``Age`` (RFC 9111), within the bounds of
`FetchPolicy`. Most servers say nothing. Then the type decides. A timeline changes by the hour and a profile by the day.
A post hardly ever changes, and its author's server announces the change by an Update.

After it is stale, a document may still be used in two cases (RFC 5861): while a worker refreshes it, and while its
origin fails. Both have their own limits.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any, Final, TypeAlias

from attrs import field, frozen

from apcore.vocab import Actor, Collection, Document, Question

__all__ = ["FOR_EVER_S", "Freshness", "FreshnessRule", "freshness_by_type"]

_HOUR_S: Final = 3600.0
_DAY_S: Final = 24 * _HOUR_S
FOR_EVER_S: Final = 3650 * _DAY_S
"""The longest time for which a document is fresh: ten years."""


def _check_seconds(_instance: Any, attribute: Any, value: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not isfinite(value) or not 0 <= value <= FOR_EVER_S:
        raise ValueError(f"Freshness.{attribute.name} is a number of seconds from 0 to ten years, not {value!r:.40}")


@frozen(kw_only=True)
class Freshness:
    """How long a document may be used without its origin.

    Raises:
        ValueError: A time is out of its range.
    """

    rule: str
    """The name of the rule, for people: ``apcore graph --why`` prints it."""
    fresh_s: float = field(validator=_check_seconds)
    """How long it is fresh if its server does not say."""
    stale_s: float = field(default=0.0, validator=_check_seconds)
    """How long it is still returned after that, while a worker refreshes it."""
    error_s: float = field(default=7 * _DAY_S, validator=_check_seconds)
    """How long it is still returned after that, while its origin cannot be reached or answers 429 or 5xx."""


FreshnessRule: TypeAlias = Callable[[Document], Freshness]
"""A pure function from a document, as its origin sent it, to its `Freshness`."""

_TIMELINE: Final = Freshness(rule="timeline", fresh_s=_HOUR_S)
_POLL: Final = Freshness(rule="poll", fresh_s=_HOUR_S)
_PROFILE: Final = Freshness(rule="profile", fresh_s=2 * _DAY_S, stale_s=5 * _DAY_S, error_s=30 * _DAY_S)
_POST: Final = Freshness(rule="post", fresh_s=FOR_EVER_S)
_OTHER: Final = Freshness(rule="other", fresh_s=_HOUR_S)


def freshness_by_type(document: Document) -> Freshness:
    """Return the default: an hour for a collection, two days for an actor, for ever for a post or an activity.

    A poll, whose votes are counted, and a document of unknown type are fresh for an hour.
    """
    if document.is_a(Collection):
        return _TIMELINE
    if document.is_a(Actor):
        return _PROFILE
    if document.is_a(Question):
        return _POLL
    return _POST if document.classes() else _OTHER
