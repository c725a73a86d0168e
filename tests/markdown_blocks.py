"""Find the fenced blocks and the relative links of a Markdown page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^(`{3,})([^\n`]*)\n(.*?)^\1$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass
class Block:
    line: int
    """Line of the page on which the text starts."""
    text: str

    @property
    def padded(self) -> str:
        """The text after as many empty lines as stand before it on the page, so that tracebacks point into the page."""
        return "\n" * (self.line - 1) + self.text


def blocks(page: Path, language: str) -> list[Block]:
    """Return the blocks of one language, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(text.count("\n", 0, match.start(3)) + 1, match[3])
        for match in _FENCE.finditer(text)
        if match[2].strip() == language
    ]


def links(page: Path) -> list[str]:
    """Return the targets of links inside the project."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [target for target in _LINK.findall(text) if "://" not in target and not target.startswith(("#", "mailto:"))]
