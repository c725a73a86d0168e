"""The list of published holes, held against the tests: none is forgotten, none is claimed without a test, no test names one that is not ours."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROW = re.compile(r"\| (\d+) \| (.+?) \| (yes|no) \| (.+?) \|")
COUNT = 59
"""43 holes published of servers in the field, and 16 security fixes of Fedify."""
OURS = 53


def rows() -> list[tuple[int, str, bool, str]]:
    lines = (TESTS / "security" / "holes.md").read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("| ") and line[2].isdigit()]
    found = [ROW.fullmatch(line) for line in table]
    assert None not in found, [line for line, match in zip(table, found, strict=True) if match is None]
    return [(int(match[1]), match[2], match[3] == "yes", match[4]) for match in found if match is not None]


def marks_in(path: Path) -> list[tuple[str, int]]:
    """The numbers that the tests of a file carry, with the name of each test."""
    found: list[tuple[str, int]] = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.hole"
    ]
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) and function.name.startswith("test_"):
            for decorator in function.decorator_list:
                for call in ast.walk(decorator):
                    if call in calls:
                        calls.remove(call)
                        found += [(function.name, ast.literal_eval(number)) for number in call.args]
    assert calls == [], f"{path.name} has a mark that is no test's"
    return found


def marks() -> dict[int, set[str]]:
    found: dict[int, set[str]] = defaultdict(set)
    for path in sorted(TESTS.rglob("test_*.py")):
        if "hole" in path.read_text(encoding="utf-8"):
            for name, number in marks_in(path):
                found[number].add(f"{path.name}::{name}")
    return found


def test_the_numbers_are_consecutive_and_as_many_as_there_were():
    assert [number for number, *_ in rows()] == list(range(1, COUNT + 1))
    assert sum(ours for _, _, ours, _ in rows()) == OURS
    assert len({hole for _, hole, _, _ in rows()}) == COUNT


def test_what_is_not_ours_has_a_reason():
    for number, _, ours, why in rows():
        assert ours or why.startswith("not an SDK's: "), number


def test_each_of_ours_has_a_test_and_no_test_another():
    ours = {number for number, _, is_ours, _ in rows() if is_ours}
    carried = marks()
    assert ours - carried.keys() == set(), "no test carries these"
    assert carried.keys() - ours == set(), "not ours"
    for names in carried.values():
        assert names
