"""Check the how-to about failing signatures: its commands print the shown output."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from markdown_blocks import blocks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "find-out-why-a-signature-fails.md"


def commands_with_output(text):
    """Yield each command of a console block with its shown output."""
    for part in text.removeprefix("$ ").split("\n$ "):
        command, _, answer = part.rstrip("\n").partition("\n")
        yield command, answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("howto")
    [request, second], [pem] = blocks(PAGE, "http"), blocks(PAGE, "pem")
    for name, block in (("request.http", request), ("second.http", second), ("alice.pem", pem)):
        (folder / name).write_text(block.text, encoding="ascii")
    return folder


@pytest.mark.parametrize("block", blocks(PAGE, "console"), ids=lambda block: f"line {block.line}")
def test_commands_print_the_shown_output(block, folder):
    apcore = f'apcore() {{ "{sys.executable}" -m apcore.cli "$@"; }}\n'
    for command, answer in commands_with_output(block.text):
        process = subprocess.run(
            ["/bin/sh", "-c", apcore + command],
            cwd=folder,
            env={**os.environ, "COLUMNS": "80"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (process.stdout.rstrip("\n"), process.stderr) == (answer, "")
