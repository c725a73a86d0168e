"""Write the parts of the documentation that are generated from the code: ``python tests/generated_docs.py``.

A generated part stands between two comments, ``<!-- generated: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from apcore.federation.actors.generations import GENERATION_TRANSITIONS
from apcore.records import describe_kinds
from declared_kinds import declared_kinds

DOCS = Path(__file__).resolve().parents[1] / "docs"


def describe_transitions(transitions: Mapping[tuple[Enum, Enum], Any]) -> str:
    """Return a table of transitions in Markdown: for each state and event, the next state and the actions."""
    rows = [
        f"| {state.value} | {event.value} | {change.state.value} | {', '.join(_words(change.actions)) or 'none'} |"
        for (state, event), change in transitions.items()
    ]
    return "\n".join(["| State | Event | Next state | Actions |", "|---|---|---|---|", *rows]) + "\n"


def _words(actions: tuple[Enum, ...]) -> list[str]:
    return [action.name.lower().replace("_", " ") for action in actions]


PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "reference/stored-records.md": {"kinds": lambda: describe_kinds(declared_kinds())},
    "howto/keys-and-rotation.md": {"generations": lambda: describe_transitions(GENERATION_TRANSITIONS)},
}
"""The generated parts, by page and name."""


def generate(page: str, text: str) -> str:
    """Return the text of a page with its generated parts written anew."""
    for name, describe in PARTS[page].items():
        pattern = rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)"
        part = describe().replace("\\", r"\\")  # a backslash begins an escape in the replacement
        text, count = re.subn(pattern, rf"\g<1>{part}\g<2>", text, flags=re.DOTALL)
        assert count == 1, f"{page} has {count} parts called {name}"
    return text


def main() -> None:
    for page in PARTS:
        path = DOCS / page
        _ = path.write_text(generate(page, path.read_text(encoding="utf-8")), encoding="utf-8")
        sys.stdout.write(f"{page}\n")


if __name__ == "__main__":
    main()
