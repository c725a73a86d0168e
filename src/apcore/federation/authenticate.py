"""Who stands behind an activity that was delivered."""

from __future__ import annotations

from attrs import frozen

from apcore.effects import Op
from apcore.errors import SignatureError
from apcore.federation.requesters import signed_by
from apcore.federation.site import Site
from apcore.http import Request
from apcore.signatures import Verified

__all__ = ["Authenticated", "NotTheActor", "authenticate"]


class NotTheActor(SignatureError):
    """The signature holds, and is somebody else's than the activity's actor."""

    reason = "not-the-actor"


@frozen
class Authenticated:
    """An actor who is proved to have sent a request."""

    actor: str
    key_id: str
    signature: Verified


def authenticate(site: Site, request: Request, *, actor: str) -> Op[Authenticated]:
    """Establish that ``actor`` sent ``request``.

    Asks for and raises: as `signed_by`.

    Raises:
        NotTheActor: What holds is another actor's.
    """
    signed = yield from signed_by(site, request, prefer=actor)
    if signed.owner != actor:
        raise NotTheActor(f"key {signed.key_id} is owned by {signed.owner}, the activity's actor is {actor}")
    return Authenticated(actor, signed.key_id, signed.signature)
