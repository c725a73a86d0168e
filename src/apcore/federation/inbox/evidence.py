"""Define `Authenticated`, an activity that is proved, and the rule about old evidence.

Later steps take an `Authenticated`, so code that skips authentication does not type-check.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from attrs import field, frozen

from apcore.errors import SignatureError
from apcore.federation.inbox.parse import IncomingActivity
from apcore.federation.inbox.records import DONE_KEPT_S
from apcore.federation.site import Site
from apcore.signatures import SignatureTooOld, Verified
from apcore.vocab import Activity, Document

__all__ = ["AuthMethod", "Authenticated", "NotTheActor", "is_old", "too_old"]

AuthMethod: TypeAlias = Literal["http-signature", "proof", "ld-signature", "origin"]
"""The kind of evidence that proved an activity."""


class NotTheActor(SignatureError):
    """The signature or proof belongs to another actor than the activity's."""

    reason = "not-the-actor"


@frozen(kw_only=True)
class Authenticated:
    """An activity that is proved to come from its actor. It holds only the proved content."""

    proved: IncomingActivity = field(repr=False)
    actor: str
    auth_method: AuthMethod
    key_id: str | None = None
    """The id of the key that proved the activity; None if its origin confirmed it."""
    relayed_by: str | None = None
    """The actor that signed the request, if it is another one."""
    signed: datetime | None = None
    """The time of the signature, itself signed; None if the origin confirmed the activity, or no time was given."""
    signature: Verified | None = field(default=None, repr=False)
    """The actor's own HTTP signature, if that proved the activity. It may be used only once."""

    @property
    def id(self) -> str:
        """Return the activity's id.

        It shares the origin of the actor, so an actor cannot use up the ids of another server.
        """
        return self.proved.id

    @property
    def document(self) -> Document:
        """Return the proved document."""
        return self.proved.document

    @property
    def activity(self) -> Activity:
        """Return the proved document as an activity."""
        return self.proved.activity

    @property
    def body(self) -> bytes:
        """Return the bytes of the proved document."""
        return self.proved.body


def is_old(signed: datetime | None, now: datetime, site: Site) -> bool:
    """Return whether evidence is so old that its activity may have been processed and forgotten.

    ``signed`` is the time of the evidence. Without a time, it counts as old.
    """
    # A peer's clock may run ahead of ours by the skew. We then forget its activity that much sooner than its date says.
    return signed is None or (now - signed).total_seconds() > DONE_KEPT_S - site.signatures.clock_skew_s


def too_old(evidence: str, signed: datetime | None) -> SignatureTooOld:
    """Return the error for old ``evidence``, such as "its proof"."""
    moment = "at an unknown time" if signed is None else f"at {signed.isoformat()}"
    return SignatureTooOld(
        f"{evidence} was made {moment}: an activity over {DONE_KEPT_S / 86400:.0f} days old may have been processed "
        "already, so its actor has to sign the request"
    )
