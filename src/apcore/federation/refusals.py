"""Report a refused request to the peer and to the operator.

The peer gets a status, the slug of the reason, and advice; for a document that is no activity, also the rule that it
breaks. The operator gets the reason in words in the log. At DEBUG,
the log also has the explanation of a refused signature.
"""

from __future__ import annotations

import logging
from typing import Final

from attrs import evolve

from apcore.errors import ApcoreError, RemoteError, Unavailable
from apcore.federation.site import Site
from apcore.http import Request, Response, problem_for
from apcore.remote import NotAnActivity
from apcore.signatures import ExplainedError, challenge

__all__ = ["log_refusal", "one_line", "refusal"]

_RETRY_AFTER_S: Final = 60.0
"""The `Retry-After` of an outage of unknown length. Senders wait a minute or more anyway."""


_DETAIL_CHARS_MAX: Final = 300
"""The most characters of the detail in a problem document. It may quote a type or an id of the peer."""
_LOG_CHARS_MAX: Final = 2000
"""The most characters of a refusal in the log. A message may quote a peer's value, which can be as long as a body."""


def log_refusal(log: logging.Logger, path: str, error: ApcoreError) -> None:
    """Log the reason of a refusal at INFO, on one line.

    For a refused signature, also log its explanation at DEBUG. It is escaped and contains no secrets.
    """
    notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    log.info("refused at %s: %s: %s", one_line(path), error.reason, one_line(f"{error}{notes}"))
    if isinstance(error, ExplainedError) and log.isEnabledFor(logging.DEBUG):
        log.debug("%s", "\n".join(error.explanation.lines()))


def one_line(text: str, *, chars_max: int = _LOG_CHARS_MAX) -> str:
    """Return at most ``chars_max`` characters of ``text`` as one line for a log.

    Characters that would end the line, or control a terminal, are escaped: peers choose parts of the text.
    """
    excerpt = text if len(text) <= chars_max else f"{text[:chars_max]}..."
    if excerpt.isprintable():
        return excerpt
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in excerpt)


def refusal(site: Site, request: Request, error: RemoteError | Unavailable) -> Response:
    """Return the response to a refused request: a problem document (RFC 9457).

    A 503 has `Retry-After`. A 401 has `Accept-Signature` (RFC 9421 §5.1) if the federation's ``accept_signature`` is
    set.
    """
    # The rule speaks about the body of the request alone, so it discloses nothing.
    detail = one_line(str(error), chars_max=_DETAIL_CHARS_MAX) if isinstance(error, NotAnActivity) else ""
    problem = problem_for(error, detail=detail)
    if problem.status == 503 and problem.retry_after_s is None:
        problem = evolve(problem, retry_after_s=_RETRY_AFTER_S)
    response = problem.response()
    if response.status != 401 or not site.federation.accept_signature:
        return response
    accept_signature = challenge(request.method, policy=site.signatures, has_body=bool(request.body))
    return evolve(response, headers=response.headers.with_set("Accept-Signature", accept_signature))
