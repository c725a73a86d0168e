"""What the operator is told of a request that was refused: the reason, and, for whoever debugs, everything that led to it."""

from __future__ import annotations

import logging

from apcore.errors import ApcoreError
from apcore.signatures import Explained

__all__ = ["log_refusal"]


def log_refusal(log: logging.Logger, path: str, error: ApcoreError) -> None:
    """Log a refusal: its reason at INFO; at DEBUG, if a signature was refused, its explanation, which is escaped and holds no secrets."""
    notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    log.info("refused at %s: %s: %s%s", path, error.reason, error, notes)
    if isinstance(error, Explained) and log.isEnabledFor(logging.DEBUG):
        log.debug("%s", "\n".join(error.explanation.lines()))
