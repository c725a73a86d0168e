"""What the exit code of a command says. The same codes for every command, so that scripts can rely on them."""

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
    FAILED: "it ran, and something failed or the answer is no; the output names it",
    USAGE: "the arguments make no sense; nothing was done",
    MISSING: "an optional part of apcore that the command needs is not installed",
    INTERRUPTED: "interrupted (Ctrl-C)",
}


def in_words() -> str:
    """Describe every code, a line each."""
    return "\n".join(f"{code:>3}  {words}" for code, words in _WORDS.items())
