"""``apcore selfcheck``: the self-check as people and programs see it, and how a step that fails is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from apcore.cli import exit_codes, main
from apcore.cli.selfcheck import STEPS, Step, StepFailed, run_step
from apcore.cli.selfcheck.command import command as selfcheck_command

NAMES = [step.name for step in STEPS]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_holds_in_an_empty_directory(step, tmp_path):
    result = run_step(step, tmp_path)
    assert result.ok, result.detail
    assert result.detail
    assert result.duration_ms > 0


def test_people_get_a_line_a_step_and_exit_code_0(capsys):
    assert main(["selfcheck", "--only", "store", "--only", "queue"]) == exit_codes.DONE
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:-1]] == [["ok", "store"], ["ok", "queue"]]
    assert lines[-1].startswith("all 2 steps hold")
    assert "\x1b" not in "".join(lines), "colour where nobody looks"


def test_programs_get_one_object(capsys):
    assert main(["selfcheck", "--json", "--only", "addresses"]) == exit_codes.DONE
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    assert told["versions"]["apcore"]
    [step] = told["steps"]
    assert step.keys() == {"name", "ok", "detail", "duration_ms"}
    assert (step["name"], step["ok"]) == ("addresses", True)


@pytest.fixture
def one_fails(monkeypatch):
    def fails(_directory):
        raise StepFailed("the moon is made of cheese")

    steps = (Step("fine", "holds", lambda _directory: "well"), Step("moon", "is stone", fails), Step("last", "", str))
    selfcheck = sys.modules["apcore.cli.selfcheck.command"]
    monkeypatch.setattr(selfcheck, "STEPS", steps)
    return steps


def test_a_failed_step_is_named_and_the_others_run(one_fails, capsys):
    assert main(["selfcheck"]) == exit_codes.FAILED
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:-1]] == [["ok", "fine"], ["FAILED", "moon"], ["ok", "last"]]
    assert "the moon is made of cheese" in lines[2]
    assert lines[-1].startswith("FAILED: moon")


def test_a_failed_step_is_named_for_programs(one_fails, capsys):
    assert main(["selfcheck", "--json"]) == exit_codes.FAILED
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert [step["name"] for step in told["steps"] if not step["ok"]] == ["moon"]


def test_an_exception_fails_its_step_and_is_logged(tmp_path, caplog):
    def raises(_directory):
        raise OSError("disk on fire")

    result = run_step(Step("disk", "", raises), tmp_path)
    assert (result.ok, result.detail) == (False, "OSError: disk on fire")
    assert "step disk failed" in caplog.text


def test_nothing_is_left_behind(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert main(["selfcheck", "--only", "store", "--json"]) == exit_codes.DONE
    assert list(tmp_path.iterdir()) == []


def test_the_options_offer_every_step():
    [only] = [option for option in selfcheck_command.params if option.name == "names"]
    assert list(only.type.choices) == NAMES


def test_it_needs_neither_hypothesis_nor_an_input(tmp_path):
    """The extra ``cli`` alone is enough."""
    said = "raise ModuleNotFoundError('No module named hypothesis', name='hypothesis')\n"
    (tmp_path / "hypothesis.py").write_text(said, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "apcore.cli", "selfcheck", "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == exit_codes.DONE, done.stdout + done.stderr
    assert done.stderr == ""
    assert [step["name"] for step in json.loads(done.stdout)["steps"]] == NAMES
