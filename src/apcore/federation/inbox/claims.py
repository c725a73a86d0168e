"""Claim activities: store each proved activity once for each inbox, with a message that has it processed.

A claim is for one actor, id and inbox. An activity that its actor delivers to two inboxes is processed in both, and
only its actor can use up its id. The federation's ``idempotency`` may replace the inbox: by the origin, or by the text
that a function of the application returns.

An activity that another actor delivers is processed once at an origin of ours, whichever inbox it reaches: no proof in
a document names the inbox that it is meant for. If it were processed in each inbox, a third party could take a Follow
that was undone in one inbox to the next, and it would count again. A second claim, for the whole origin, ensures that.

An activity that was found in a collection of its origin is not claimed here again (`apcore.federation.inbox.polled`).

The states of a claim, and their transitions, are the table in `apcore.federation.inbox.states`.
"""

from __future__ import annotations

from apcore.effects import Enqueue, Get, Op, Scan, commit_batch
from apcore.errors import SignatureError, StoreBusy
from apcore.federation.inbox.evidence import Authenticated
from apcore.federation.inbox.receipts import Receipt, batch_of, claim_key, new_claim, receipt_of
from apcore.federation.inbox.records import (
    CLAIMS,
    USED_SIGNATURES,
    ClaimKey,
    ClaimRecord,
)
from apcore.federation.inbox.reuse import is_reused
from apcore.federation.inbox.states import ClaimAction, ClaimEvent, ClaimState, advance_claim
from apcore.federation.site import Site
from apcore.ports import Batch
from apcore.records import Stored
from apcore.records.format import key_name

__all__ = ["Replayed", "claim", "is_known_elsewhere", "routed_claim"]


class Replayed(SignatureError):
    """The signature has already proved another delivery."""

    reason = "replayed"


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

    Effects: `RandomBytes`, one `Commit`. If the claim exists already, one `Get` and perhaps one `Enqueue`; or,
    if the actor has signed the activity anew, those of `is_reused` and another commit.

    Raises:
        Replayed: The signature was used up by another activity, or for another inbox.
    """
    receipt = yield from receipt_of(
        site, authenticated, recipient, silenced=silenced, received=received, followers=followers
    )
    additions = (receipt.bytes_write, receipt.signature_use, receipt.undo_mark)
    claimed = new_claim(receipt.key, receipt.record, receipt.message_id)
    not_polled = Batch((CLAIMS.absent(receipt.polled_key),))
    batch = Batch.joined((claimed, receipt.origin_claim, *additions, not_polled))
    if (yield from commit_batch(batch, token=receipt.token)) is not False:
        return True
    earlier, is_signed_anew = yield from _read_earlier(receipt)
    if earlier is None:
        return False
    state = earlier.record.state
    is_ended = state is not ClaimState.PENDING
    is_new = is_ended and is_signed_anew and (yield from is_reused(site, authenticated, recipient, earlier.record))
    change = advance_claim(state, ClaimEvent.REUSED if is_new else ClaimEvent.RECEIVED)
    repetition = batch_of(change, receipt.key if is_new else earlier.key, receipt.record, receipt.message_id)
    if ClaimAction.STORE in change.actions:
        # If this commit fails, another request was faster and has stored the activity.
        _ = yield from commit_batch(Batch.joined((Batch((earlier.check,)), *additions, repetition)))
    elif repetition.messages:
        yield from Enqueue(repetition.messages)
    return False


def routed_claim(site: Site, authenticated: Authenticated, *, silenced: bool) -> Op[tuple[ClaimKey, Batch] | None]:
    """Return the part of a commit that stores an activity which a listener routes; None if it was received before.

    It is stored like an activity that another actor delivers to the shared inbox.

    Effects: one `Scan`, `Now` and `RandomBytes`.
    """
    receipt = yield from receipt_of(site, authenticated, None, silenced=silenced, received=None)
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


def _read_earlier(receipt: Receipt) -> Op[tuple[Stored[ClaimRecord, ClaimKey] | None, bool]]:
    """Return the claim of an activity that was received before, and whether its actor has signed it anew.

    The claim is None if another actor delivered the activity to another inbox at the same moment.

    A sender that got no response repeats the request, mostly with the same signature: then it is not signed anew.
    """
    claim_key, signature_key = CLAIMS.key(receipt.key), receipt.signature_key
    use_key = claim_key if signature_key is None else USED_SIGNATURES.key(signature_key)
    claim_entry, use_entry, polled_entry = yield from Get((claim_key, use_key, CLAIMS.key(receipt.polled_key)))
    if signature_key is not None and use_entry is not None:
        use = USED_SIGNATURES.decode(use_entry.value)
        if use.claim != key_name(claim_key):
            raise Replayed("the signature has already proved another delivery: sign each request anew")
    if claim_entry is None and polled_entry is not None:
        return CLAIMS.read(polled_entry), signature_key is not None and use_entry is None
    if claim_entry is None and signature_key is None:
        # Only the claim for the whole origin can have been in the way.
        return None, False
    if claim_entry is None:
        raise StoreBusy("the claim that the commit conflicted with no longer exists: try again")
    return CLAIMS.read(claim_entry), signature_key is not None and use_entry is None
