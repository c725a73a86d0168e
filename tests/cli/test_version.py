"""``apcore version``: everything that a bug report should name."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version

from apcore.cli import exit_codes, main
from apcore.cli import version as module


def test_lines_for_people(capsys):
    assert main(["version"]) == exit_codes.DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["apcore", version("apcore")]
    assert any(line.split() == ["h11", version("h11")] for line in lines)


def test_one_object_for_programs(capsys):
    assert main(["version", "--json"]) == exit_codes.DONE
    told = json.loads(capsys.readouterr().out)
    assert told == module.versions()
    assert told[platform.python_implementation()] == platform.python_version()


def test_what_is_not_installed_is_told(monkeypatch, capsys):
    monkeypatch.setattr(module, "_TOLD", ("attrs", "no-such-distribution"))
    assert main(["version"]) == exit_codes.DONE
    assert "no-such-distribution  not installed" in capsys.readouterr().out
    assert main(["version", "--json"]) == exit_codes.DONE
    assert json.loads(capsys.readouterr().out)["no-such-distribution"] is None
