"""What is told of a request that was refused.

The peer is told a status, the slug of the reason, and what to do about it; the operator the reason in words, and, for whoever debugs, all that led to it.
"""

from __future__ import annotations

import logging
from typing import Final

from attrs import evolve

from apcore.errors import ApcoreError, RemoteError, Unavailable
from apcore.federation.site import Site
from apcore.http import Request, Response, problem_for
from apcore.signatures import ExplainedError, challenge

__all__ = ["log_refusal", "one_line", "refusal"]

_RETRY_AFTER_S: Final = 60.0
"""What to ask for where nothing says how long it will take; senders wait a minute or more anyway."""


_TOLD_CHARS_MAX: Final = 2000
"""Of one refusal in a log. What is wrong may be as long as a body."""


def log_refusal(log: logging.Logger, path: str, error: ApcoreError) -> None:
    """Log a refusal: its reason at INFO, on one line; at DEBUG, if a signature was refused, its explanation, which is escaped and holds no secrets."""
    notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    log.info("refused at %s: %s: %s", one_line(path), error.reason, one_line(f"{error}{notes}"))
    if isinstance(error, ExplainedError) and log.isEnabledFor(logging.DEBUG):
        log.debug("%s", "\n".join(error.explanation.lines()))


def one_line(text: str, *, chars_max: int = _TOLD_CHARS_MAX) -> str:
    """Return the beginning of ``text`` as one line for a log.

    Characters that would end the line, or act on a terminal, are escaped: strangers write into it.
    """
    shown = text if len(text) <= chars_max else f"{text[:chars_max]}..."
    if shown.isprintable():
        return shown
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in shown)


def refusal(site: Site, request: Request, error: RemoteError | Unavailable) -> Response:
    """Make the answer: a problem document (RFC 9457).

    With `Retry-After` if it is for now; with what signature would do (`Accept-Signature`, RFC 9421 §5.1) if it is a 401 and the federation is set to.
    """
    problem = problem_for(error)
    if problem.status == 503 and problem.retry_after_s is None:
        problem = evolve(problem, retry_after_s=_RETRY_AFTER_S)
    response = problem.response()
    if response.status != 401 or not site.federation.accept_signature:
        return response
    wanted = challenge(request.method, policy=site.signatures, has_body=bool(request.body))
    return evolve(response, headers=response.headers.with_set("Accept-Signature", wanted))
