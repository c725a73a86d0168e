"""`main`: exit codes, words for wrong arguments, and what a bare installation is told."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from apcore.cli import exit_codes, main


def test_no_command_shows_the_help(capsys):
    assert main([]) == exit_codes.USAGE
    assert "demo" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--help"], ["demo", "--help"], ["version", "--help"], ["--version"]], ids=" ".join
)
def test_asking_for_help_is_no_mistake(arguments, capsys):
    assert main(arguments) == exit_codes.DONE
    assert capsys.readouterr().out


def test_the_help_lists_every_exit_code(capsys):
    assert main(["--help"]) == exit_codes.DONE
    shown = capsys.readouterr().out
    assert all(line.strip() in shown for line in exit_codes.in_words().splitlines())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["demmo"], "there is no command 'demmo'; did you mean 'demo'?"),
        (
            ["xyzzy"],
            "there is no command 'xyzzy'; there are: check, demo, inbox, keygen, lookup, rotate, serve, sign, verify, version, work",
        ),
        (["keygen", "--kind", "nothing"], "'nothing' is not one of"),
        (["keygen", "--kind"], "requires an argument"),
        (["version", "--yaml"], "--yaml"),
        (["version", "extra"], "extra"),
        (["--nope"], "--nope"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_arguments_are_answered_in_words(arguments, says, capsys):
    assert main(arguments) == exit_codes.USAGE
    captured = capsys.readouterr()
    assert says in captured.err
    assert not captured.out


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_a_bare_installation_is_told_what_to_install(missing, tmp_path):
    said = f"raise ModuleNotFoundError('No module named {missing}', name='{missing}')\n"
    (tmp_path / f"{missing}.py").write_text(said, encoding="utf-8")
    done = _run("demo", env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"})
    assert (done.returncode, done.stdout) == (exit_codes.MISSING, "")
    assert missing in done.stderr
    assert "pip install 'apcore[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_module_of_ours_that_is_missing_is_a_bug_and_not_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "apcore.cli.command_group", None)
    with pytest.raises(ModuleNotFoundError):
        main(["version"])


def test_it_runs_as_a_module():
    done = _run("--version", env=os.environ)
    assert (done.returncode, done.stderr) == (exit_codes.DONE, "")
    assert done.stdout.startswith("apcore ")


def _run(*arguments, env):
    command = [sys.executable, "-m", "apcore.cli", *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=env)
