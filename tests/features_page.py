"""Write the page of features from ``features.toml``. Run this file to write it anew."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

TESTS = Path(__file__).parent
TABLE = TESTS / "features.toml"
PAGE = TESTS.parent / "docs" / "reference" / "features.md"
LEFT_OUT = "left out: "
NOT_YET = "not yet"

INTRODUCTION = """# Features

Here you can look up what apcore does, and which test proves it. The list is that of a complete framework for
ActivityPub servers. A feature that apcore leaves out says why.

This page is generated from `tests/features.toml`, and a test checks that each test exists.
"""


def features() -> dict[str, dict[str, list[str]]]:
    """Return the table: for each section the features, each with its tests, or the words in place of them."""
    sections = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return {
        section: {feature: [proof] if isinstance(proof, str) else proof for feature, proof in rows.items()}
        for section, rows in sections.items()
    }


def is_test(proof: str) -> bool:
    """Return whether a proof names a test, and not the reason why there is none."""
    return proof != NOT_YET and not proof.startswith(LEFT_OUT)


def is_defined(proof: str) -> bool:
    """Return whether a file of the tests defines a test, written as ``path::name``."""
    path, _, name = proof.partition("::")
    file = TESTS / path
    return file.is_file() and re.search(rf"def {name}\(", file.read_text(encoding="utf-8")) is not None


def features_page() -> str:
    """Return the page: a table of features and tests for each section."""
    lines = [INTRODUCTION]
    for section, rows in features().items():
        lines += [f"## {section}", "", "| feature | proved by |", "|---|---|"]
        lines += [f"| {feature} | {', '.join(map(_link, proofs))} |" for feature, proofs in rows.items()]
        lines.append("")
    return "\n".join(lines)


def _link(proof: str) -> str:
    path, _, name = proof.partition("::")
    return f"[{name.removeprefix('test_')}](../../tests/{path})" if is_test(proof) else proof


if __name__ == "__main__":
    PAGE.write_text(features_page(), encoding="utf-8")
