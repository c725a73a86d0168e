"""Refresh copies in the background: the messages of the lane `REFRESH`, and the operation that handles one.

A message is made when a stale copy is used while it may be (`Freshness.stale_s`), when an owner announces a change
without sending the document, or when the application asks for what is due (`refresh_due`). A worker then loads the
document for the same viewer. A failure is remembered with its retry time, as any other, and the message is done.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final

from attrs import evolve

from apcore.effects import Enqueue, Get, Now, Op, RandomBytes, Settle
from apcore.errors import ContractError, RemoteError, Unavailable
from apcore.federation.actors.keys import instance_identity
from apcore.federation.actors.profiles import ActorGone, ActorUnknown, actor_identity
from apcore.federation.site import Site
from apcore.federation.wake_ups import REFRESH, make_wake, read_wake
from apcore.http import Origin, parse_url
from apcore.ports import Done, LeasedMessage, Message
from apcore.remote import Identity, due_for_refresh, load_unless_failed
from apcore.remote.records import CACHED_DOCUMENTS, DocumentKey

__all__ = ["DUE_MAX", "refresh", "refresh_due", "refresh_message", "request_refresh"]

DUE_MAX: Final = 100
"""The most copies that one call of `refresh_due` has refreshed."""
_LOG: Final = logging.getLogger(__name__)


def refresh_message(
    uri: str, viewer: str | None, message_id: bytes, *, by: Origin | str, delay_s: float = 0.0
) -> Message:
    """Make the message that has the copy of ``uri`` for ``viewer`` refreshed. Equal ones wait only once."""
    key = CACHED_DOCUMENTS.key(DocumentKey.of(uri, viewer=viewer))
    return evolve(make_wake(REFRESH, key, message_id, by=by, peer=str(parse_url(uri).origin)), delay_s=delay_s)


def request_refresh(by: Origin, uri: str, viewer: str | None) -> Op[None]:
    """Have a worker refresh the copy of ``uri`` for ``viewer``. If the queue fails, the next use asks again.

    Effects: `RandomBytes` and one `Enqueue`.
    """
    message_id = yield from RandomBytes(16)
    with suppress(Unavailable):
        yield from Enqueue((refresh_message(uri, viewer, message_id, by=by),))


def refresh_due(by: Origin, *, limit: int) -> Op[int]:
    """Have workers refresh up to ``limit`` (1 to 100) copies that are not fresh any more, and return their number.

    Effects: those of `due_for_refresh`, and if there are any, `RandomBytes` and one `Enqueue`.

    Raises:
        ValueError: ``limit`` is out of its range.
    """
    if not 1 <= limit <= DUE_MAX:
        raise ValueError(f"limit is 1 to {DUE_MAX}, not {limit}")
    states = yield from due_for_refresh(limit)
    if not states:
        return 0
    random = yield from RandomBytes(16 * len(states))
    yield from Enqueue(
        [
            refresh_message(state.uri, state.viewer, random[16 * number : 16 * number + 16], by=by)
            for number, state in enumerate(states)
        ]
    )
    return len(states)


def refresh(site: Site, leased: LeasedMessage) -> Op[None]:
    """Load the document of the copy that a message names, unless the copy is fresh again or was deleted.

    Effects: one `Get`, those of `load_unless_failed`, and one `Settle`.
    """
    try:
        wake = read_wake(leased.message)
        [entry] = yield from Get((wake.key,))
        copy = CACHED_DOCUMENTS.read_optional(entry)
    except ContractError:
        _LOG.exception("dropped a message in the lane %r that names no copy", leased.message.lane)
        copy = None
    if copy is not None:
        yield from _load(site, copy.record.uri, copy.record.viewer)
    _ = yield from Settle((Done(leased),))


def _load(site: Site, uri: str, viewer: str | None) -> Op[None]:
    now = yield from Now()
    try:
        identity = yield from _identity_of(site, viewer)
        # Without the policy's own operation, which would only enqueue the next message.
        policy = evolve(site.fetching, refresh=None)
        _ = yield from load_unless_failed(uri, policy=policy, identity=identity)
    except (ActorUnknown, ActorGone):
        _LOG.info("the copy of %.200s is not refreshed: its viewer %.200s is no actor here", uri, viewer)
    except (RemoteError, Unavailable) as error:
        _LOG.info("the copy of %.200s could not be refreshed at %s: %s", uri, f"{now:%Y-%m-%d %H:%M:%SZ}", error)


def _identity_of(site: Site, viewer: str | None) -> Op[Identity | None]:
    """Return the identity of the actor of ours that a copy is for.

    Raises:
        ActorUnknown, ActorGone: There is no such actor.
    """
    if viewer is None:
        return None
    if viewer == site.instance_uri:
        return (yield from instance_identity(site))
    identifier = site.identifier_of(viewer)
    if identifier is None:
        raise ActorUnknown(f"{viewer} is no actor of {site.origin}")
    return (yield from actor_identity(site, identifier))
