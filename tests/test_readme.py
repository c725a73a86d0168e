"""Check the README: its two commands start from nothing, and its example runs."""

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


def test_readme_has_two_commands():
    assert len(COMMANDS) == 2


@pytest.mark.parametrize("command", COMMANDS, ids=["first", "second"])
def test_command_is_one_line_that_starts_from_nothing(command):
    assert command.count("\n") == 1
    assert command.startswith("python3 -m venv .venv && ")
    assert subprocess.run(["bash", "-n", "-c", command], check=False).returncode == 0
    # Every later part of the command uses the environment that the first part creates.
    for part in command.split("&&")[1:]:
        assert shlex.split(part)[0].startswith(".venv/bin/")


@pytest.mark.parametrize("command", COMMANDS, ids=["first", "second"])
def test_extra_that_a_command_installs_exists(command):
    extras = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert any(f"'.[{extra}]'" in command for extra in extras)


def test_first_command_runs_the_demo_and_the_second_the_tests():
    assert COMMANDS[0].strip().endswith("apcore demo")
    assert COMMANDS[1].strip().endswith("-m pytest")


def test_readme_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example_blocks = blocks(README, "python")
    assert example_blocks
    for block in example_blocks:
        exec(compile(block.padded, str(README), "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_to_files(page):
    for target in links(page):
        assert (page.parent / target.partition("#")[0]).exists(), f"{page.name} links to {target}"
