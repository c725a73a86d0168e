"""Check with both type checkers that good code is accepted, and that misuse is refused line by line.

``typing_checks`` must be accepted as a whole. In ``tests/typing_refused``, mypy and pyright must refuse each line that
ends in ``# refused``, only pyright each that ends in ``# refused by pyright`` (mypy has no such check), and no other
line.
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
    """Run both checkers over both folders, and return findings by file and line; None for a missing checker.

    One test process at a time: the checkers share a cache, which makes the second run fast.
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
    findings_by_checker: dict[str, Findings | None] = {}
    for name, process in running.items():
        if process is None:
            findings_by_checker[name] = None
            continue
        out, err = process.communicate(timeout=240)
        assert process.returncode in (0, 1), f"{name} did not run: {err or out}"
        findings_by_checker[name] = {}
        for place, message in READ[name](out):
            findings_by_checker[name].setdefault(place, []).append(message)
    return findings_by_checker


def read_mypy(out: str) -> Iterator[tuple[Place, str]]:
    for line in out.splitlines():
        finding = json.loads(line)
        if finding["severity"] == "error":
            yield ((PROJECT / finding["file"]).name, finding["line"]), finding["message"]


def read_pyright(out: str) -> Iterator[tuple[Place, str]]:
    for finding in json.loads(out)["generalDiagnostics"]:
        if finding["severity"] == "error":
            yield (Path(finding["file"]).name, finding["range"]["start"]["line"] + 1), finding["message"]


READ = {"mypy": read_mypy, "pyright": read_pyright}


def marked_places(checker: str) -> set[Place]:
    """Return the lines that ``checker`` must refuse."""
    mark = re.compile(r"# refused(?: by (\w+))?$")
    return {
        (path.name, number)
        for path in REFUSED
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (match := mark.search(line)) and match[1] in (None, checker)
    }


def in_folder(findings: Findings, files: list[Path]) -> Findings:
    names = {path.name for path in files}
    return {place: messages for place, messages in findings.items() if place[0] in names}


@pytest.mark.parametrize("checker", READ)
def test_checker_accepts_good_code(findings, checker):
    if findings[checker] is None:
        pytest.skip(f"{checker} is not installed")
    assert ACCEPTED
    elsewhere = [path.name for path in REFUSED]
    assert {place: words for place, words in findings[checker].items() if place[0] not in elsewhere} == {}


@pytest.mark.parametrize("checker", READ)
def test_checker_refuses_exactly_the_marked_lines(findings, checker):
    if findings[checker] is None:
        pytest.skip(f"{checker} is not installed")
    refused_lines = in_folder(findings[checker], REFUSED)
    assert sorted(marked_places(checker) - refused_lines.keys()) == [], "accepted, though marked as refused"
    assert {place: words for place, words in refused_lines.items() if place not in marked_places(checker)} == {}, (
        "refused, unmarked"
    )


def test_marks_are_read():
    assert len(marked_places("mypy")) >= 35
    assert len(marked_places("pyright")) == len(marked_places("mypy")) + 3
    assert not {path.name for path in ACCEPTED} & {path.name for path in REFUSED}
