"""Define the exit codes. All commands use the same codes, so that scripts can rely on them."""

from __future__ import annotations

from typing import Final

__all__ = ["DONE", "FAILED", "INTERRUPTED", "MISSING", "USAGE", "in_words"]

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
MISSING: Final = 3
INTERRUPTED: Final = 130

_WORDS: Final = {
    DONE: "done",
    FAILED: "the command ran, and something failed or the answer is no; the output names it",
    USAGE: "the arguments are wrong; nothing was done",
    MISSING: "an optional part of apcore that the command needs is not installed",
    INTERRUPTED: "interrupted (Ctrl-C)",
}


def in_words() -> str:
    """Return a description of all codes, one per line."""
    return "\n".join(f"{code:>3}  {words}" for code, words in _WORDS.items())
