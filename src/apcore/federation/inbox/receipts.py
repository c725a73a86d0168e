"""Make the parts of the commits that claim an activity: its key, its record, its message, and the marks beside it.

`apcore.federation.inbox.claims` decides when they are committed.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from apcore.effects import Op, RandomBytes
from apcore.errors import ContractError
from apcore.federation.inbox.evidence import Authenticated
from apcore.federation.inbox.records import (
    CLAIMS,
    DONE_KEPT_S,
    RECEIVED_ACTIVITIES,
    RECEIVED_BYTES,
    UNDONE_ACTIVITIES,
    USED_SIGNATURES,
    ClaimKey,
    ClaimRecord,
    ReceivedActivityRecord,
    ReceivedBytesRecord,
    UndoneActivityKey,
    UndoneActivityRecord,
    UsedSignatureKey,
    UsedSignatureRecord,
)
from apcore.federation.inbox.states import ClaimAction, ClaimEvent, ClaimState, ClaimTransition, advance_claim
from apcore.federation.site import Site
from apcore.federation.wake_ups import INBOX, make_wake
from apcore.http import Origin, parse_url
from apcore.ports import NO_CHANGE, Batch, Check, Message, Write, digest_part
from apcore.records.format import key_name
from apcore.vocab import Activity

__all__ = ["ANY_INBOX", "POLLED", "Receipt", "batch_of", "claim_key", "inbox_message", "new_claim", "receipt_of"]

ANY_INBOX: Final = "\nany inbox"
"""The last part of the claim for a whole origin. No identifier of an actor has a line break."""
POLLED: Final = "\npolled"
"""The last part of the claim of an activity that was found in a collection."""


def claim_key(site: Site, activity: Activity, activity_id: str, actor: str, recipient: str | None) -> ClaimKey:
    """Return the key under which an activity of ``actor`` counts once, by the policy of the federation.

    ``recipient`` is the identifier of the inbox's actor, None for the shared inbox.

    Raises:
        ContractError: The application's function returns no text.
    """
    policy = site.federation.idempotency
    if policy == "inbox":
        scope = recipient
    elif policy == "origin":
        scope = None
    else:
        scope = policy(activity, recipient)
        if not isinstance(scope, str):
            raise ContractError(f"the function for idempotency returns text, not {scope!r:.60}")
    return ClaimKey.of(actor, activity_id, site.origin, scope)


def inbox_message(key: ClaimKey, message_id: bytes, *, by: Origin | str, actor: str) -> Message:
    """Make the message that has an activity of ``actor`` processed at ``by``, an origin of ours.

    ``message_id`` is 16 random bytes. The record's key is the message's group, so one worker at a time processes the
    activity, however often it is enqueued.
    """
    peer = str(parse_url(actor).origin)
    return make_wake(INBOX, RECEIVED_ACTIVITIES.key(key), message_id, by=by, peer=peer)


def new_claim(key: ClaimKey, record: ReceivedActivityRecord, message_id: bytes) -> Batch:
    """Return the part of a commit that stores an activity which was not received before."""
    change = advance_claim(ClaimState.ABSENT, ClaimEvent.RECEIVED)
    return batch_of(change, key, record, message_id, checks=(CLAIMS.absent(key),))


def batch_of(
    change: ClaimTransition,
    key: ClaimKey,
    record: ReceivedActivityRecord,
    message_id: bytes,
    *,
    checks: tuple[Check, ...] = (),
) -> Batch:
    """Return the part of a commit that applies a transition under ``checks``."""
    writes: list[Write] = []
    messages: list[Message] = []
    if ClaimAction.STORE in change.actions:
        claim_record = ClaimRecord.of(change.state, record.activity_id, received=record.received)
        writes = [CLAIMS.put(key, claim_record), RECEIVED_ACTIVITIES.put(key, record)]
    if ClaimAction.ENQUEUE in change.actions:
        messages = [inbox_message(key, message_id, by=record.origin, actor=record.actor)]
    return Batch(checks, writes, messages)


@frozen
class Receipt:
    """An authenticated activity at one inbox, with the parts of the commit that claims it."""

    site: Site
    authenticated: Authenticated
    recipient: str | None
    key: ClaimKey
    record: ReceivedActivityRecord
    message_id: bytes
    token: bytes = field(repr=False)
    """The token of the first commit."""
    signature_key: UsedSignatureKey | None
    """The key of the actor's own HTTP signature; None if something else proved the activity."""
    received_bytes: bytes | None = field(default=None, repr=False)
    """The body as received, if it differs from the proved document."""

    @property
    def bytes_write(self) -> Batch:
        """Return the part of a commit that stores the body as received."""
        if self.received_bytes is None:
            return NO_CHANGE
        return Batch(writes=[RECEIVED_BYTES.put(self.key, ReceivedBytesRecord(body=self.received_bytes))])

    @property
    def signature_use(self) -> Batch:
        """Return the part of a commit that uses the signature up."""
        if self.signature_key is None:
            return NO_CHANGE
        use = UsedSignatureRecord(claim=key_name(CLAIMS.key(self.key)))
        ttl_s = float(self.site.signatures.replay_window_s)
        put = USED_SIGNATURES.put(self.signature_key, use, ttl_s=ttl_s)
        return Batch((USED_SIGNATURES.absent(self.signature_key),), (put,))

    @property
    def polled_key(self) -> ClaimKey:
        """Return the key of the claim that the activity has if it was found in a collection."""
        return self.key._replace(inbox=digest_part(POLLED))

    @property
    def origin_claim(self) -> Batch:
        """Return the part of a commit that claims an activity for the whole origin, unless its actor delivers it."""
        if self.signature_key is not None:
            return NO_CHANGE
        key = ClaimKey.of(self.record.actor, self.record.activity_id, self.site.origin, ANY_INBOX)
        claim_record = ClaimRecord.of(ClaimState.HANDLED, self.record.activity_id, received=self.record.received)
        return Batch((CLAIMS.absent(key),), (CLAIMS.put(key, claim_record, ttl_s=DONE_KEPT_S),))

    @property
    def undo_mark(self) -> Batch:
        """Return the part of a commit that notes which activity of the actor an Undo undoes."""
        undone_id = self.authenticated.proved.undone_id
        if undone_id is None:
            return NO_CHANGE
        key = UndoneActivityKey.of(self.record.actor, undone_id, self.site.origin)
        return Batch((), (UNDONE_ACTIVITIES.put(key, UndoneActivityRecord(undone=self.record.received)),))


def receipt_of(
    site: Site,
    authenticated: Authenticated,
    recipient: str | None,
    *,
    silenced: bool,
    received: bytes | None,
    followers: str | None = None,
) -> Op[Receipt]:
    """Return an authenticated activity with the parts of the commit that claims it.

    Effects: `RandomBytes`, and `Now` unless the request has read the clock.
    """
    # A document that its origin has confirmed is the origin's version, and is forwarded as such.
    has_bytes = received not in {None, authenticated.body} and authenticated.auth_method != "origin"
    now = yield from site.snapshot.now()
    # One draw for the message, the ids that handlers mint, and the version of what is written.
    random_bytes = yield from RandomBytes(48)
    message_id, seed, token = random_bytes[:16], random_bytes[16:32], random_bytes[32:]
    record = ReceivedActivityRecord(
        origin=str(site.origin),
        actor=authenticated.actor,
        activity_id=authenticated.id,
        recipient=recipient,
        auth_method=authenticated.auth_method,
        key_id=authenticated.key_id,
        relayed_by=authenticated.relayed_by,
        silenced=silenced,
        received=now,
        seed=seed.hex(),
        followers=followers,
        has_bytes=has_bytes,
        body=authenticated.body,
    )
    key = claim_key(site, authenticated.activity, authenticated.id, authenticated.actor, recipient)
    return Receipt(
        site,
        authenticated,
        recipient,
        key,
        record,
        message_id,
        token,
        _signature_key(authenticated),
        received if has_bytes else None,
    )


def _signature_key(authenticated: Authenticated) -> UsedSignatureKey | None:
    """Return the key of the record that marks the HTTP signature as used; None if there is no such signature.

    A signature with a nonce is identified by the nonce: with some algorithms, a third party can write the same
    signature in two ways.
    """
    signature = authenticated.signature
    if signature is None:
        return None
    signature_id = signature.replay_id if signature.nonce is None else f"nonce {signature.nonce}"
    return UsedSignatureKey.of(signature.key_id, signature_id)
