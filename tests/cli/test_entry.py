"""Check `main`: exit codes, messages about wrong arguments, and the hint in a bare installation."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from apcore.cli import exit_codes, main

COMMANDS = (
    "block, check, dead, demo, graph, inbox, keygen, lookup, migrate, resolve, rotate, serve, sign, verify, version, "
    "work"
)


def test_missing_command_shows_the_help(capsys):
    assert main([]) == exit_codes.USAGE
    assert "demo" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--help"], ["demo", "--help"], ["version", "--help"], ["--version"]], ids=" ".join
)
def test_help_and_version_options_succeed(arguments, capsys):
    assert main(arguments) == exit_codes.DONE
    assert capsys.readouterr().out


def test_help_lists_every_exit_code(capsys):
    assert main(["--help"]) == exit_codes.DONE
    help_text = capsys.readouterr().out
    assert all(line.strip() in help_text for line in exit_codes.in_words().splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demmo"], "there is no command 'demmo'; did you mean 'demo'?"),
        (["xyzzy"], f"there is no command 'xyzzy'; there are: {COMMANDS}"),
        (["keygen", "--kind", "nothing"], "'nothing' is not one of"),
        (["keygen", "--kind"], "requires an argument"),
        (["version", "--yaml"], "--yaml"),
        (["version", "extra"], "extra"),
        (["--nope"], "--nope"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_arguments_are_refused_in_words(arguments, message, capsys):
    assert main(arguments) == exit_codes.USAGE
    captured = capsys.readouterr()
    assert message in captured.err
    assert not captured.out


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_bare_installation_prints_what_to_install(missing, tmp_path):
    source = f"raise ModuleNotFoundError('No module named {missing}', name='{missing}')\n"
    (tmp_path / f"{missing}.py").write_text(source, encoding="utf-8")
    process = _run("demo", env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"})
    assert (process.returncode, process.stdout) == (exit_codes.MISSING, "")
    assert missing in process.stderr
    assert "pip install 'apcore[cli]'" in process.stderr
    assert "Traceback" not in process.stderr


def test_missing_module_of_apcore_is_not_reported_as_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "apcore.cli.command_group", None)
    with pytest.raises(ModuleNotFoundError):
        main(["version"])


def test_command_line_runs_as_a_module():
    process = _run("--version", env=os.environ)
    assert (process.returncode, process.stderr) == (exit_codes.DONE, "")
    assert process.stdout.startswith("apcore ")


def _run(*arguments, env):
    command = [sys.executable, "-m", "apcore.cli", *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=env)
