"""Define the options about outgoing activities: the meaning of statuses, and the functions that change what is sent."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from apcore.errors import ConfigurationError, ContractError

__all__ = [
    "StatusMeaning",
    "Transformer",
    "apply_transformers",
    "check_classifier",
    "check_statuses",
    "check_transformers",
]

StatusMeaning: TypeAlias = Literal["delivered", "refused", "unproved", "inbox-failing", "host-failing"]
"""The meaning of a status for a delivery.

``refused`` ends the delivery. ``unproved`` and ``inbox-failing`` put this delivery off, and ``host-failing`` pauses all
deliveries to the host.
"""
Transformer: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""A plain function that gets the members of an outgoing activity, and returns them changed."""
_FIXED: Final = ("id", "actor", "type")
"""The members that no transformer may change: the rest of a delivery relies on them."""


def check_statuses(statuses: object) -> frozenset[int]:
    """Return the statuses that end a delivery, in addition to the usual ones.

    Raises:
        ConfigurationError: It is no collection of statuses from 300 to 599.
    """
    if not isinstance(statuses, Collection) or isinstance(statuses, str | bytes):
        raise ConfigurationError(f"permanent_statuses is a collection of statuses, not {statuses!r:.60}")
    valid: set[int] = set()
    for status in cast("Collection[object]", statuses):
        if not isinstance(status, int) or isinstance(status, bool) or not 300 <= status <= 599:
            raise ConfigurationError(f"permanent_statuses has {status!r:.60}, which is no status from 300 to 599")
        valid.add(status)
    return frozenset(valid)


def check_classifier(classifier: object) -> None:
    """Check a function that gives statuses a meaning.

    Raises:
        ConfigurationError: It is no plain function of a status, or it returns anything but a meaning or None.
    """
    if classifier is None:
        return
    if not callable(classifier) or inspect.iscoroutinefunction(classifier):
        raise ConfigurationError(f"classify_status is a plain function of a status, not {classifier!r:.60}")
    for status in (200, 202, 400, 401, 403, 404, 410, 429, 500, 503):
        try:
            meaning: object = classifier(status)
        except Exception as error:
            raise ConfigurationError(f"classify_status({status}) raises {type(error).__name__}: {error}") from error
        if meaning is not None and meaning not in get_args(StatusMeaning):
            raise ConfigurationError(
                f"classify_status({status}) returns {meaning!r:.60}, which is neither None nor one of "
                f"{', '.join(get_args(StatusMeaning))}"
            )


def check_transformers(transformers: object) -> tuple[Transformer, ...]:
    """Return the transformers as a tuple.

    Raises:
        ConfigurationError: It is no sequence of plain functions.
    """
    is_sequence = isinstance(transformers, list | tuple)
    functions: tuple[Any, ...] = tuple(cast("Sequence[Any]", transformers)) if is_sequence else (None,)
    if any(not callable(function) or inspect.iscoroutinefunction(function) for function in functions):
        raise ConfigurationError(f"transformers is a list of plain functions, not {transformers!r:.60}")
    return functions


def apply_transformers(transformers: Sequence[Transformer], members: dict[str, Any]) -> dict[str, Any]:
    """Return the members of an activity after each transformer.

    Raises:
        ContractError: A transformer returns no members, or changes the id, the actor or the type.
    """
    for transformer in transformers:
        changed: object = transformer(dict(members))
        if not isinstance(changed, dict) or any(changed.get(name) != members.get(name) for name in _FIXED):
            raise ContractError(
                f"the transformer {getattr(transformer, '__qualname__', transformer)!r:.80} must return the members of "
                f"the activity, with the same {', '.join(_FIXED)}"
            )
        members = changed
    return members
