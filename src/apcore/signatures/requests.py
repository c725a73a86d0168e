"""Which scheme a request is signed by, and the verification that follows.

`Signature-Input` decides: where it is, the request is signed by RFC 9421 and by nothing else, even if that fails; the syntax of `Signature`
differs, and reading one scheme's field by the other's rules is how signatures are smuggled. Everything else is draft-cavage, or not signed.
"""

from __future__ import annotations

from datetime import datetime

from apcore.http.messages import Request
from apcore.signatures import cavage, rfc9421
from apcore.signatures.policy import DEFAULT, SignaturePolicy
from apcore.signatures.presented import Presented

__all__ = ["is_signed", "parse", "parse_all"]


def is_signed(request: Request) -> bool:
    """Whether the request says that it is signed. Says nothing about whether it holds."""
    return "signature-input" in request.headers or "signature" in request.headers


def parse_all(request: Request, policy: SignaturePolicy = DEFAULT, *, now: datetime) -> tuple[Presented, ...]:
    """Give every signature of ``request`` that the policy accepts; at least one. Errors as `cavage.parse` and `rfc9421.parse`."""
    if "signature-input" in request.headers:
        return rfc9421.parse(request, policy, now)
    return (cavage.parse(request, policy, now),)


def parse(request: Request, policy: SignaturePolicy = DEFAULT, *, now: datetime) -> Presented:
    """Give the first signature of ``request`` that the policy accepts; errors as `parse_all`."""
    return parse_all(request, policy, now=now)[0]
