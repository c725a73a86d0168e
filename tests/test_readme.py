"""The README's promises: two commands that need nothing, and an example that runs."""

from __future__ import annotations

import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

from markdown_blocks import blocks, links

HERE = Path(__file__).resolve().parents[1]
README = HERE / "README.md"
PAGES = [README, *(HERE / f"{name}.md" for name in ("CONTRIBUTING", "CHANGELOG", "SECURITY", "FEDERATION"))]

COMMANDS = [block.text for block in blocks(README, "shell")[:2]]


def test_there_are_two_commands():
    assert len(COMMANDS) == 2


@pytest.mark.parametrize("command", COMMANDS, ids=["first", "second"])
def test_a_command_is_one_line_that_starts_from_nothing(command):
    assert command.count("\n") == 1
    assert command.startswith("python3 -m venv .venv && ")
    assert subprocess.run(["bash", "-n", "-c", command], check=False).returncode == 0
    # What it calls after python3 itself comes out of the environment that it made.
    for part in command.split("&&")[1:]:
        assert shlex.split(part)[0].startswith(".venv/bin/")


@pytest.mark.parametrize("command", COMMANDS, ids=["first", "second"])
def test_the_extra_that_a_command_installs_exists(command):
    extras = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert any(f"'.[{extra}]'" in command for extra in extras)


def test_the_first_runs_the_demo_and_the_second_the_tests():
    assert COMMANDS[0].strip().endswith("apcore demo")
    assert COMMANDS[1].strip().endswith("-m pytest")


def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = blocks(README, "python")
    assert found
    for block in found:
        exec(compile(block.padded, str(README), "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    for target in links(page):
        assert (page.parent / target.partition("#")[0]).exists(), f"{page.name} links to {target}"
