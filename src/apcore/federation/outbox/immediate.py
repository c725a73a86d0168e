"""Send an activity at once, without the store and the queue, and return a result for each recipient.

Nothing is stored and nothing is retried. So this is for what a person waits for, such as a test message, and not for
posts.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from apcore.effects import Now, Op, Raised, gather
from apcore.errors import RemoteError, Unavailable
from apcore.federation.actors.key_ring import OwnKey
from apcore.federation.actors.keys import signing_key
from apcore.federation.actors.profiles import inboxes_of
from apcore.federation.outbox.addressing import with_addressing
from apcore.federation.outbox.attempt import AttemptOutcome, post
from apcore.federation.outbox.document_signing import sign_document
from apcore.federation.outbox.edit import wire_body
from apcore.federation.outbox.records import SentRecord
from apcore.federation.outbox.send import check_noted_actors
from apcore.federation.outbox.unit_commit import new_unit
from apcore.federation.outgoing_options import apply_transformers
from apcore.federation.site import Site
from apcore.federation.write_notes import SendActivity
from apcore.http import Origin, parse_url
from apcore.vocab import to_wire

__all__ = ["RECIPIENTS_MAX", "SendResult", "send_at_once"]

RECIPIENTS_MAX: Final = 100
"""The most recipients of one call."""
_AT_ONCE: Final = 4
_LOOKUP_S: Final = 30.0
"""The time for loading the document of one recipient."""


@frozen(kw_only=True)
class SendResult:
    """The result of sending an activity to one recipient at once."""

    recipient: str
    is_delivered: bool
    inbox: str | None = None
    """The inbox that the activity was sent to; None if it could not be found."""
    status: int | None = None
    """The status of the answer; None if none came."""
    reason: str = field(default="")
    """The reason in words, if it was not delivered."""


def send_at_once(site: Site, note: SendActivity) -> Op[tuple[SendResult, ...]]:
    """Send the activity of a note to its recipients, which are actors of other servers, and return their results.

    Effects: the handler of the sender; `RandomBytes` and `Now`; those of `signing_key` and `sign_document`; for each
    recipient those of `inboxes_of` and `post`, four recipients at a time.

    Raises:
        ValueError: The activity or a recipient is not valid, a recipient is an actor or collection of ours, or there
            are more than a hundred.
        Unavailable: The signer or the store does not answer.
    """
    scope = yield from new_unit(site, None)
    _ = scope.address(note)
    yield from check_noted_actors(site, scope.notes)
    addressed = scope.notes[-1]
    if not isinstance(addressed, SendActivity) or addressed.addressing is None:
        raise TypeError("an addressed activity is a SendActivity")
    actor = site.actor_uri(note.by)
    recipients = [uri for uri in dict.fromkeys(addressed.recipients) if uri != actor]
    _check_recipients(recipients, site.origin)
    members = with_addressing(to_wire(note.activity), note.activity, actor, addressed.addressing)
    members |= {"actor": actor, "id": addressed.id}
    now = yield from Now()
    sent = SentRecord(
        origin=str(site.origin),
        actor=actor,
        activity_id=addressed.id,
        created=now,
        body=wire_body(apply_transformers(site.federation.transformers, members)),
    )
    key = yield from signing_key(site, actor)
    body = yield from sign_document(site, sent)
    outcomes = yield from gather(*[_send(site, uri, body, key) for uri in recipients], limit=_AT_ONCE)
    for outcome in outcomes:
        if isinstance(outcome, Raised):
            raise outcome.error
    return tuple(outcome.value for outcome in outcomes if not isinstance(outcome, Raised))


def _send(site: Site, recipient: str, body: bytes, key: OwnKey) -> Op[SendResult]:
    try:
        inboxes = yield from inboxes_of(site, recipient, within_s=_LOOKUP_S)
    except (RemoteError, Unavailable) as error:
        return SendResult(recipient=recipient, is_delivered=False, reason=str(error))
    now = yield from Now()
    attempt = yield from post(site, inboxes.inbox, body, key=key, known_dialect=None, now=now)
    is_delivered = attempt.outcome is AttemptOutcome.DELIVERED
    return SendResult(
        recipient=recipient,
        is_delivered=is_delivered,
        inbox=inboxes.inbox,
        status=attempt.status,
        reason="" if is_delivered else attempt.detail,
    )


def _check_recipients(recipients: list[str], origin: Origin) -> None:
    if len(recipients) > RECIPIENTS_MAX:
        raise ValueError(f"{len(recipients)} recipients at once, at most {RECIPIENTS_MAX}: use send()")
    for uri in recipients:
        if parse_url(uri).origin == origin:
            raise ValueError(f"to={uri!r:.200} is on this server, or a collection of it: use send()")
