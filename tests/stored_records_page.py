"""Write the list of records on the reference page of stored records. Run this file to write it anew."""

from __future__ import annotations

import re
from pathlib import Path

from apcore.records import describe_kinds
from declared_kinds import declared_kinds

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "stored-records.md"
_LIST = re.compile(r"(<!-- generated -->\n).*?(<!-- end -->)", re.DOTALL)


def with_list(text: str) -> str:
    """Return the text of the page with its list written anew.

    Raises:
        ValueError: The comments that the list stands between are missing.
    """
    page, count = _LIST.subn(lambda match: f"{match[1]}{describe_kinds(declared_kinds())}{match[2]}", text)
    if count != 1:
        raise ValueError(f"{PAGE.name} has {count} places for the list")
    return page


if __name__ == "__main__":
    PAGE.write_text(with_list(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
