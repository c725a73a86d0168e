"""What both type checkers must accept, and line by line what they must refuse.

``typing_checks`` is accepted whole. In ``tests/typing_refused``, a line that ends in ``# refused`` is refused by mypy and by pyright, one that ends in
``# refused by pyright`` by pyright alone (mypy has no such check), and every other line is accepted.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
ACCEPTED = sorted((PROJECT / "typing_checks").rglob("*.py"))
REFUSED = sorted((PROJECT / "tests" / "typing_refused").rglob("*.py"))

Place = tuple[str, int]
Findings = dict[Place, list[str]]


def tool(name: str) -> str | None:
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


def checkers(cache: Path) -> dict[str, list[str]]:
    return {
        "mypy": [
            "--config-file",
            "pyproject.toml",
            "--cache-dir",
            str(cache),
            "--output",
            "json",
            "--no-error-summary",
        ],
        "pyright": ["--pythonpath", sys.executable, "--outputjson"],
    }


@pytest.fixture(scope="module")
def findings(request: pytest.FixtureRequest) -> dict[str, Findings | None]:
    """Run both checkers over both folders, and return their findings by file and line; None for a checker that is not installed.

    One at a time, whoever else tests in this directory: the checkers share a cache, and it makes the second time short.
    """
    cache = request.config.cache.mkdir("typing")
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return run_checkers(cache)


def run_checkers(cache: Path) -> dict[str, Findings | None]:
    running: dict[str, subprocess.Popen[str] | None] = {}
    for name, options in checkers(cache).items():
        path = tool(name)
        command = [path or "", *options, *map(str, [*ACCEPTED, *REFUSED])]
        running[name] = path and subprocess.Popen(
            command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    found: dict[str, Findings | None] = {}
    for name, process in running.items():
        if process is None:
            found[name] = None
            continue
        out, err = process.communicate(timeout=240)
        assert process.returncode in (0, 1), f"{name} did not run: {err or out}"
        found[name] = {}
        for place, message in READ[name](out):
            found[name].setdefault(place, []).append(message)
    return found


def read_mypy(out: str) -> Iterator[tuple[Place, str]]:
    for line in out.splitlines():
        one = json.loads(line)
        if one["severity"] == "error":
            yield ((PROJECT / one["file"]).name, one["line"]), one["message"]


def read_pyright(out: str) -> Iterator[tuple[Place, str]]:
    for one in json.loads(out)["generalDiagnostics"]:
        if one["severity"] == "error":
            yield (Path(one["file"]).name, one["range"]["start"]["line"] + 1), one["message"]


READ = {"mypy": read_mypy, "pyright": read_pyright}


def marked(checker: str) -> set[Place]:
    """The lines that ``checker`` must refuse."""
    mark = re.compile(r"# refused(?: by (\w+))?$")
    return {
        (path.name, number)
        for path in REFUSED
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (found := mark.search(line)) and found[1] in (None, checker)
    }


def in_folder(found: Findings, files: list[Path]) -> Findings:
    names = {path.name for path in files}
    return {place: messages for place, messages in found.items() if place[0] in names}


@pytest.mark.parametrize("checker", READ)
def test_what_must_be_accepted(findings, checker):
    if findings[checker] is None:
        pytest.skip(f"{checker} is not installed")
    assert ACCEPTED
    elsewhere = [path.name for path in REFUSED]
    assert {place: words for place, words in findings[checker].items() if place[0] not in elsewhere} == {}


@pytest.mark.parametrize("checker", READ)
def test_what_must_be_refused(findings, checker):
    if findings[checker] is None:
        pytest.skip(f"{checker} is not installed")
    found = in_folder(findings[checker], REFUSED)
    assert sorted(marked(checker) - found.keys()) == [], "accepted, though marked as refused"
    assert {place: words for place, words in found.items() if place not in marked(checker)} == {}, "refused, unmarked"


def test_the_marks_are_read():
    assert len(marked("mypy")) >= 35
    assert len(marked("pyright")) == len(marked("mypy")) + 3
    assert not {path.name for path in ACCEPTED} & {path.name for path in REFUSED}
