"""Choose the scheme of a signed request, and parse its signatures.

`Signature-Input` decides: a request that has it is signed with RFC 9421 only, even if that fails. The two schemes use
different syntax for `Signature`, and parsing one scheme's field by the other's rules would allow smuggled signatures.
Every other request uses draft-cavage, or is not signed.
"""

from __future__ import annotations

from datetime import datetime

from apcore.http.messages import Request
from apcore.signatures import cavage, rfc9421
from apcore.signatures.policy import DEFAULT, SignaturePolicy
from apcore.signatures.presented import Presented, has_authorization

__all__ = ["is_signed", "parse", "parse_all"]


def is_signed(request: Request) -> bool:
    """Return whether the request claims to be signed, in whichever header.

    This tells neither whether the signature holds, nor whether a policy accepts signatures in that header.
    """
    if "signature-input" in request.headers or "signature" in request.headers:
        return True
    return has_authorization(request)


def parse_all(request: Request, policy: SignaturePolicy = DEFAULT, *, now: datetime) -> tuple[Presented, ...]:
    """Return every signature of ``request`` that the policy accepts, at least one.

    Errors are those of `cavage.parse` and `rfc9421.parse`.
    """
    if "signature-input" in request.headers:
        return rfc9421.parse(request, policy, now)
    return (cavage.parse(request, policy, now),)


def parse(request: Request, policy: SignaturePolicy = DEFAULT, *, now: datetime) -> Presented:
    """Return the first signature of ``request`` that the policy accepts. Errors are those of `parse_all`."""
    return parse_all(request, policy, now=now)[0]
