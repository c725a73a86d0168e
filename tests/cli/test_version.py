"""Check ``apcore version``: it prints everything that a bug report needs."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version

from apcore.cli import exit_codes, main
from apcore.cli import version as module


def test_versions_are_printed_in_lines(capsys):
    assert main(["version"]) == exit_codes.DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["apcore", version("apcore")]
    assert any(line.split() == ["h11", version("h11")] for line in lines)


def test_versions_are_printed_as_one_json_object(capsys):
    assert main(["version", "--json"]) == exit_codes.DONE
    report = json.loads(capsys.readouterr().out)
    assert report == module.versions()
    assert report[platform.python_implementation()] == platform.python_version()


def test_missing_package_is_reported(monkeypatch, capsys):
    monkeypatch.setattr(module, "_TOLD", ("attrs", "no-such-distribution"))
    assert main(["version"]) == exit_codes.DONE
    assert "no-such-distribution  not installed" in capsys.readouterr().out
    assert main(["version", "--json"]) == exit_codes.DONE
    assert json.loads(capsys.readouterr().out)["no-such-distribution"] is None
