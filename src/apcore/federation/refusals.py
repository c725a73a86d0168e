"""What is told of a request that was refused: to the operator the reason, and, for whoever debugs, everything that led to it; to the peer what would do."""

from __future__ import annotations

import logging

from attrs import evolve

from apcore.errors import ApcoreError
from apcore.federation.site import Site
from apcore.http import Request, Response
from apcore.signatures import Explained, challenge

__all__ = ["challenged", "log_refusal"]


def log_refusal(log: logging.Logger, path: str, error: ApcoreError) -> None:
    """Log a refusal: its reason at INFO; at DEBUG, if a signature was refused, its explanation, which is escaped and holds no secrets."""
    notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    log.info("refused at %s: %s: %s%s", path, error.reason, error, notes)
    if isinstance(error, Explained) and log.isEnabledFor(logging.DEBUG):
        log.debug("%s", "\n".join(error.explanation.lines()))


def challenged(site: Site, request: Request, refusal: Response) -> Response:
    """Add to a 401 which signature would do (`Accept-Signature`, RFC 9421 §5.1), if the federation is set to."""
    if refusal.status != 401 or not site.federation.accept_signature:
        return refusal
    wanted = challenge(request.method, policy=site.signatures, has_body=bool(request.body))
    return evolve(refusal, headers=refusal.headers.with_set("Accept-Signature", wanted))
