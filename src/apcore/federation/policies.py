"""Define the policies and verdicts of handlers, and the exceptions by which a listener controls its retries."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from enum import Enum
from typing import Final, Literal, TypeAlias, cast, get_args

from attrs import field, frozen
from attrs.validators import ge, gt, in_

from apcore.errors import ConfigurationError
from apcore.vocab import Activity

__all__ = [
    "AuthorizedFetch",
    "DocumentSignature",
    "Drop",
    "Failure",
    "FollowVerdict",
    "Forwarding",
    "Idempotency",
    "InboxPolicy",
    "KeyPolicy",
    "Later",
    "Pushes",
    "SeveralActors",
    "check_policies",
]


AuthorizedFetch: TypeAlias = Literal["off", "optional", "required"]
"""The resources that require a signed request.

``off``: only those that a predicate guards. ``optional``: also objects that were published for a limited audience.
``required``: all.
"""


DocumentSignature: TypeAlias = Literal["eddsa-jcs-2022", "RsaSignature2017"]
"""A signature inside an activity of ours, which stays valid when another server passes the activity on.

``eddsa-jcs-2022``: an object integrity proof (FEP-8b32), on every activity. ``RsaSignature2017``: an LD signature, as
Mastodon makes and verifies it, on public activities.
"""


Forwarding: TypeAlias = Literal["off", "signed", "all"]
"""The received activities that are forwarded to followers of ours, if they refer to something of ours.

``off``: none. ``signed``: those with a proof or an LD signature, which the receivers can verify. ``all``: also those
that the receivers have to fetch from their origin.
"""


Idempotency: TypeAlias = Literal["inbox", "origin"] | Callable[[Activity, str | None], str]
"""The scope in which an activity counts once: at an inbox, at an origin, or by a function of the application.

The function gets the activity and the identifier of the inbox's actor, None for the shared inbox. Activities with one
actor, one id and one returned text count once. It must return the same text whenever it gets the same arguments.
"""


Pushes: TypeAlias = Literal["all", "addressed"] | Callable[[Activity], bool]
"""The activities that are delivered to the members of collections, such as followers, and to relays.

``all``: all of them. ``addressed``: none, so followers find them in the outbox. A function decides about each. Actors
that an activity names always get it, and a Delete, an Undo and a Move always go to all recipients.
"""


SeveralActors: TypeAlias = Literal["refuse", "first"]
"""The treatment of a received activity with several actors.

``refuse``: it is refused. ``first``: it counts as an activity of the first actor, which must have signed it, if all are
of one origin.
"""


class FollowVerdict(Enum):
    """The answer to a follow request."""

    ACCEPT = "accept"
    REJECT = "reject"
    PENDING = "wait"
    """No answer yet: the application answers later."""


@frozen
class Failure:
    """The failure of a listener, or of a side effect before it, as the error hook gets it."""

    activity: Activity
    error: Exception = field(eq=False)
    attempt: int
    """The number of the attempt, from 1."""
    final: bool
    """Whether this was the last attempt, so that the activity is now a dead letter."""


class Drop(Exception):
    """Raised by a listener to end the processing of an activity. Its writes through the context are discarded."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason: Final = reason


class Later(Exception):
    """Raised by a listener to get the same activity again after ``delay_s`` seconds."""

    def __init__(self, delay_s: float, reason: str = "") -> None:
        if delay_s < 0:
            raise ValueError(f"Later takes a delay of 0 or more seconds, not {delay_s}")
        super().__init__(reason)
        self.delay_s: Final = delay_s
        self.reason: Final = reason


@frozen(kw_only=True)
class KeyPolicy:
    """The bounds for making and replacing the keys of local actors.

    Raises:
        ValueError: A bound is too small.
    """

    made_max: int = field(default=60, validator=ge(1))
    """The most actors of an origin that get their first keys in one window. Peers decide which actors they request, and
    an RSA key takes up to half a second to make."""
    made_window_s: float = field(default=60.0, validator=gt(0))
    """The length of that window."""
    retire_after_s: float = field(default=7 * 86400.0, validator=ge(0))
    """The seconds for which a replaced key stays published. That should be longer than peers cache keys (mostly a day),
    and longer than a signed message may be under way (an hour to half a day)."""
    announce: bool = True
    """Whether followers are told of a rotation by an Update of the actor, signed with the old key. A rotation may say
    otherwise."""
    generations_max: int = field(default=4, validator=ge(2))
    """The most generations that are published at once. Each has two keys, and Mastodon keeps up to ten keys of an
    actor."""


def check_policies(
    authorized_fetch: object,
    document_signatures: object,
    idempotency: object,
    *,
    several_actors: object,
    forwarding: object,
    pushes: object,
) -> None:
    """Check six options of `Federation`.

    Raises:
        ConfigurationError: One of them has a value that its type excludes.
    """
    if authorized_fetch not in get_args(AuthorizedFetch):
        raise ConfigurationError(f"authorized_fetch is off, optional or required, not {authorized_fetch!r:.60}")
    suites = get_args(DocumentSignature)
    is_collection = isinstance(document_signatures, list | tuple | set | frozenset)
    if not is_collection or any(suite not in suites for suite in cast("Collection[object]", document_signatures)):
        raise ConfigurationError(
            f"document_signatures is a list of {' and '.join(suites)}, not {document_signatures!r:.60}"
        )
    if idempotency not in ("inbox", "origin") and (
        not callable(idempotency) or inspect.iscoroutinefunction(idempotency)
    ):
        raise ConfigurationError(
            f"idempotency is inbox, origin, or a plain function (activity, recipient), not {idempotency!r:.60}"
        )
    if several_actors not in get_args(SeveralActors):
        raise ConfigurationError(f"several_actors is refuse or first, not {several_actors!r:.60}")
    if forwarding not in get_args(Forwarding):
        raise ConfigurationError(f"forwarding is off, signed or all, not {forwarding!r:.60}")
    if pushes not in ("all", "addressed") and (not callable(pushes) or inspect.iscoroutinefunction(pushes)):
        raise ConfigurationError(f"pushes is all, addressed, or a plain function (activity), not {pushes!r:.60}")


def _at_least_one(_policy: object, _field: object, value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"stranger_mentions_max={value} is less than 1; None switches the rule off")


@frozen(kw_only=True)
class InboxPolicy:
    """The answers of inboxes to activities that are proved but unwanted.

    Raises:
        ValueError: ``blocked_actors`` is an unknown word, or the bound is less than 1.
    """

    blocked_actors: Literal["refuse", "drop"] = field(default="refuse", validator=in_(("refuse", "drop")))
    """The answer to an actor that its addressees block: 403, or 202 as if the activity had been accepted. The Block was
    delivered to the actor, so a 403 tells it nothing new, and its server stops trying."""
    stranger_mentions_max: int | None = field(default=20, validator=_at_least_one)
    """The most local actors that an activity may name if no local actor follows its actor. None for no limit."""
