"""Decide which recipients an activity is delivered to, and which find it when they look.

Recipients that an activity names one by one always get it: the actors that it mentions or answers, the receiver of a
direct message, of a Follow or of its answer. The policy of the federation decides about the members of collections,
such as followers, and about relays. Those that get nothing find the activity in the outbox, or at its id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from apcore.errors import ContractError
from apcore.federation.site import Site
from apcore.federation.write_notes import SendActivity
from apcore.handlers import handler_name
from apcore.vocab import Activity, Delete, Move, Undo

__all__ = ["is_pushed_widely", "pushed_recipients"]

_ALWAYS: Final = (Delete, Undo, Move)
"""The types that take something back, or that end an account here. A reader would not look for them."""


def is_pushed_widely(site: Site, note: SendActivity) -> bool:
    """Return whether an activity is delivered to the members of collections, and to relays.

    Raises:
        ContractError: The function of the application does not return a bool.
    """
    if note.push is not None:
        return note.push
    policy = site.federation.pushes
    if policy == "all" or any(map(note.activity.is_a, _ALWAYS)):
        return True
    if policy == "addressed":
        return False
    answer: object = policy(Activity.over(note.activity))
    if not isinstance(answer, bool):
        raise ContractError(f"{handler_name(policy)} decides about pushes with True or False, not {answer!r:.60}")
    return answer


def pushed_recipients(site: Site, note: SendActivity, recipients: Sequence[str]) -> list[str]:
    """Return the recipients that an activity is delivered to."""
    if note.push is False:
        return []
    named_recipients = [uri for uri in recipients if not _is_collection(site, uri)]
    # The function of the application is asked only about activities for collections.
    is_wide = len(named_recipients) < len(recipients) and is_pushed_widely(site, note)
    return list(recipients) if is_wide else named_recipients


def _is_collection(site: Site, uri: str) -> bool:
    """Return whether an address is that of a collection of ours."""
    route = site.federation.places.read(site.origin, uri)
    return route is not None and route.target.kind not in {"actor", "instance"}
