"""Claim activities: store each proved activity once for each inbox, with a message that has it processed.

A claim is for one actor, id and inbox. An activity that its actor delivers to two inboxes is processed in both, and
only its actor can use up its id. The federation's ``idempotency`` may replace the inbox: by the origin, or by the text
that a function of the application returns.

An activity that another actor delivers is processed once at an origin of ours, whichever inbox it reaches: no proof in
a document names the inbox that it is meant for. If it were processed in each inbox, a third party could take a Follow
that was undone in one inbox to the next, and it would count again. A second claim, for the whole origin, ensures that.

The states of a claim, and their transitions, are the table in `apcore.federation.inbox.states`.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve, field, frozen

from apcore.effects import Enqueue, Get, Now, Op, RandomBytes, Scan, commit_batch
from apcore.errors import ContractError, SignatureError, StoreBusy
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
from apcore.federation.inbox.reuse import is_reused
from apcore.federation.inbox.states import ClaimAction, ClaimEvent, ClaimState, ClaimTransition, advance_claim
from apcore.federation.site import Site
from apcore.federation.wake_ups import INBOX, make_wake
from apcore.http import Origin, parse_url
from apcore.ports import NO_CHANGE, Batch, Message, Write
from apcore.records import Stored
from apcore.records.format import key_name
from apcore.vocab import Activity

__all__ = ["Replayed", "claim", "claim_key", "inbox_message", "is_known_elsewhere", "new_claim", "routed_claim"]

_ANY_INBOX: Final = "\nany inbox"
"""The last part of the claim for a whole origin. No identifier of an actor has a line break."""


class Replayed(SignatureError):
    """The signature has already proved another delivery."""

    reason = "replayed"


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
    return Batch((CLAIMS.absent(key),)) + _batch_of(change, key, record, message_id)


def _batch_of(change: ClaimTransition, key: ClaimKey, record: ReceivedActivityRecord, message_id: bytes) -> Batch:
    writes: list[Write] = []
    messages: list[Message] = []
    if ClaimAction.STORE in change.actions:
        claim_record = ClaimRecord.of(change.state, record.activity_id, received=record.received)
        writes = [CLAIMS.put(key, claim_record), RECEIVED_ACTIVITIES.put(key, record)]
    if ClaimAction.ENQUEUE in change.actions:
        messages = [inbox_message(key, message_id, by=record.origin, actor=record.actor)]
    return Batch((), writes, messages)


@frozen
class _Receipt:
    """An authenticated activity at one inbox, with the parts of the commit that claims it."""

    site: Site
    authenticated: Authenticated
    recipient: str | None
    key: ClaimKey
    record: ReceivedActivityRecord
    message_id: bytes
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
    def origin_claim(self) -> Batch:
        """Return the part of a commit that claims an activity for the whole origin, unless its actor delivers it."""
        if self.signature_key is not None:
            return NO_CHANGE
        key = ClaimKey.of(self.record.actor, self.record.activity_id, self.site.origin, _ANY_INBOX)
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


def claim(
    site: Site,
    authenticated: Authenticated,
    recipient: str | None,
    *,
    silenced: bool,
    received: bytes | None = None,
    followers: str | None = None,
) -> Op[bool]:
    """Store a proved activity once, together with a message that has it processed; return whether it was new.

    ``received`` is the body as received; by default that is the proved document. If it differs, it is stored too, for
    forwarding. ``followers`` is the value of `Collection-Synchronization`.

    The same commit uses up the HTTP signature. Some servers reuse the id of a Follow, of its Undo or of an Accept, when
    a person follows again. Such an activity counts as new if its actor signed the request anew and the earlier one was
    undone meanwhile; see `apcore.federation.inbox.reuse`.

    Effects: `Now`, two `RandomBytes`, one commit. If the claim exists already, one `Get` and perhaps one `Enqueue`; or,
    if the actor has signed the activity anew, those of `is_reused` and another commit.

    Raises:
        Replayed: The signature was used up by another activity, or for another inbox.
    """
    receipt = yield from _receipt_of(site, authenticated, recipient, silenced=silenced, received=received)
    receipt = evolve(receipt, record=evolve(receipt.record, followers=followers))
    additions = receipt.bytes_write + receipt.signature_use + receipt.undo_mark
    batch = new_claim(receipt.key, receipt.record, receipt.message_id) + receipt.origin_claim + additions
    if (yield from commit_batch(batch)) is not False:
        return True
    earlier, is_signed_anew = yield from _read_earlier(receipt)
    if earlier is None:
        return False
    state = earlier.record.state
    is_ended = state is not ClaimState.PENDING
    is_new = is_ended and is_signed_anew and (yield from is_reused(site, authenticated, recipient, earlier.record))
    change = advance_claim(state, ClaimEvent.REUSED if is_new else ClaimEvent.RECEIVED)
    repetition = _batch_of(change, receipt.key, receipt.record, receipt.message_id)
    if ClaimAction.STORE in change.actions:
        # If this commit fails, another request was faster and has stored the activity.
        _ = yield from commit_batch(Batch((earlier.check,)) + additions + repetition)
    elif repetition.messages:
        yield from Enqueue(repetition.messages)
    return False


def routed_claim(site: Site, authenticated: Authenticated, *, silenced: bool) -> Op[tuple[ClaimKey, Batch] | None]:
    """Return the part of a commit that stores an activity which a listener routes; None if it was received before.

    It is stored like an activity that another actor delivers to the shared inbox.

    Effects: one `Scan`, `Now` and two `RandomBytes`.
    """
    receipt = yield from _receipt_of(site, authenticated, None, silenced=silenced, received=None)
    if (yield from Scan(CLAIMS.at(*receipt.key[:-1]), limit=1)):
        return None
    batch = new_claim(receipt.key, receipt.record, receipt.message_id)
    return receipt.key, batch + receipt.origin_claim + receipt.undo_mark


def is_known_elsewhere(site: Site, authenticated: Authenticated, recipient: str | None) -> Op[bool]:
    """Return whether an activity was received at another inbox of this origin, and not at this one.

    Two copies that arrive at the same moment meet in their commits: see `claim`.
    """
    key = claim_key(site, authenticated.activity, authenticated.id, authenticated.actor, recipient)
    [claim_entry] = yield from Get((CLAIMS.key(key),))
    if claim_entry is not None:
        return False
    # The last part of the key is the inbox: scan the claims of all inboxes of this origin.
    return bool((yield from Scan(CLAIMS.at(*key[:-1]), limit=1)))


def _receipt_of(
    site: Site, authenticated: Authenticated, recipient: str | None, *, silenced: bool, received: bytes | None
) -> Op[_Receipt]:
    # A document that its origin has confirmed is the origin's version, and is forwarded as such.
    has_bytes = received not in {None, authenticated.body} and authenticated.auth_method != "origin"
    now = yield from Now()
    message_id = yield from RandomBytes(16)
    seed = yield from RandomBytes(16)
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
        has_bytes=has_bytes,
        body=authenticated.body,
    )
    key = claim_key(site, authenticated.activity, authenticated.id, authenticated.actor, recipient)
    return _Receipt(
        site,
        authenticated,
        recipient,
        key,
        record,
        message_id,
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


def _read_earlier(receipt: _Receipt) -> Op[tuple[Stored[ClaimRecord, ClaimKey] | None, bool]]:
    """Return the claim of an activity that was received before, and whether its actor has signed it anew.

    The claim is None if another actor delivered the activity to another inbox at the same moment.

    A sender that got no response repeats the request, mostly with the same signature: then it is not signed anew.
    """
    claim_key, signature_key = CLAIMS.key(receipt.key), receipt.signature_key
    use_key = claim_key if signature_key is None else USED_SIGNATURES.key(signature_key)
    claim_entry, use_entry = yield from Get((claim_key, use_key))
    if signature_key is not None and use_entry is not None:
        use = USED_SIGNATURES.decode(use_entry.value)
        if use.claim != key_name(claim_key):
            raise Replayed("the signature has already proved another delivery: sign each request anew")
    if claim_entry is None and signature_key is None:
        # Only the claim for the whole origin can have been in the way.
        return None, False
    if claim_entry is None:
        raise StoreBusy("the claim that the commit conflicted with no longer exists: try again")
    return CLAIMS.read(claim_entry), signature_key is not None and use_entry is None
