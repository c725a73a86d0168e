"""Compare the list of published holes with the tests.

Each hole of ours has a test, and each marked test names a hole of ours.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROW = re.compile(r"\| (\d+) \| (.+?) \| (yes|no) \| (.+?) \|")
COUNT = 59
"""43 published holes of servers, and 16 security fixes of Fedify."""
OWN_HOLES = 53


def rows() -> list[tuple[int, str, bool, str]]:
    lines = (TESTS / "security" / "holes.md").read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("| ") and line[2].isdigit()]
    matches = [ROW.fullmatch(line) for line in table]
    assert None not in matches, [line for line, match in zip(table, matches, strict=True) if match is None]
    return [(int(match[1]), match[2], match[3] == "yes", match[4]) for match in matches if match is not None]


def marks_in(path: Path) -> list[tuple[str, int]]:
    """List the name and the hole numbers of each marked test of a file."""
    numbered_tests: list[tuple[str, int]] = []
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
                        numbered_tests += [(function.name, ast.literal_eval(number)) for number in call.args]
    assert calls == [], f"{path.name} has a mark outside a test"
    return numbered_tests


def marks() -> dict[int, set[str]]:
    tests_by_hole: dict[int, set[str]] = defaultdict(set)
    for path in sorted(TESTS.rglob("test_*.py")):
        if "hole" in path.read_text(encoding="utf-8"):
            for name, number in marks_in(path):
                tests_by_hole[number].add(f"{path.name}::{name}")
    return tests_by_hole


def test_holes_are_numbered_consecutively_and_complete():
    assert [number for number, *_ in rows()] == list(range(1, COUNT + 1))
    assert sum(is_ours for _, _, is_ours, _ in rows()) == OWN_HOLES
    assert len({hole for _, hole, _, _ in rows()}) == COUNT


def test_hole_that_is_not_ours_has_a_reason():
    for number, _, is_ours, reason in rows():
        assert is_ours or reason.startswith("not an SDK's: "), number


def test_each_hole_of_ours_has_a_test_and_no_test_names_another():
    own_holes = {number for number, _, is_ours, _ in rows() if is_ours}
    tests_by_hole = marks()
    assert own_holes - tests_by_hole.keys() == set(), "holes without a test"
    assert tests_by_hole.keys() - own_holes == set(), "holes that are not ours"
    for names in tests_by_hole.values():
        assert names
