"""The results of steps: lines for people, one JSON object for programs, and the reason of a failure."""

from __future__ import annotations

import json

import pytest

from apcore.cli.output import PlannedStep, plain, print_steps, print_steps_as_json
from apcore.cli.step_results import StepFailed, StepResult, expect, run_timed

HOLDS = StepResult("fine", ok=True, detail="well", duration_ms=1.0)
FAILS = StepResult("moon", ok=False, detail="the moon is made of cheese", duration_ms=2.0)
LAST = StepResult("last", ok=True, detail="done", duration_ms=3.0)
PLAN = [PlannedStep(name, "a claim") for name in ("fine", "moon", "last")]


def test_each_step_gets_a_line_without_colour_when_the_output_is_no_terminal(capsys):
    assert print_steps("steps", [PLAN[0], PLAN[2]], iter([HOLDS, LAST])) == [HOLDS, LAST]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:-1]] == [["ok", "fine"], ["ok", "last"]]
    assert lines[-1].startswith("all 2 steps hold")
    assert "\x1b" not in "".join(lines)


def test_failed_step_is_named_and_the_later_steps_are_printed(capsys):
    print_steps("steps", PLAN, iter([HOLDS, FAILS, LAST]))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:-1]] == [["ok", "fine"], ["FAILED", "moon"], ["ok", "last"]]
    assert "the moon is made of cheese" in lines[2]
    assert lines[-1].startswith("FAILED: moon")


def test_steps_that_did_not_run_are_counted(capsys):
    print_steps("steps", PLAN, iter([HOLDS, FAILS]))
    assert capsys.readouterr().out.splitlines()[-1].startswith("FAILED: moon; 1 steps not run")


@pytest.mark.parametrize(("results", "ok"), [([HOLDS, LAST], True), ([HOLDS, FAILS], False)], ids=["hold", "fail"])
def test_programs_get_one_object(results, ok, capsys):
    print_steps_as_json(iter(results))
    members = json.loads(capsys.readouterr().out)
    assert members["ok"] is ok
    assert members["versions"]["apcore"]
    assert [step["name"] for step in members["steps"]] == [result.name for result in results]
    assert all(step.keys() == {"name", "ok", "detail", "duration_ms"} for step in members["steps"])


def test_step_that_holds_keeps_its_observation_and_its_time():
    result = run_timed("fine", lambda: "well")
    assert (result.name, result.ok, result.detail) == ("fine", True, "well")
    assert result.duration_ms > 0


def test_expectation_that_does_not_hold_fails_the_step():
    def run() -> str:
        expect(False, "the moon is made of cheese")
        raise AssertionError

    assert run_timed("moon", run).detail == "the moon is made of cheese"
    with pytest.raises(StepFailed):
        expect(False, "no")


def test_exception_fails_its_step_and_is_logged(caplog):
    def run() -> str:
        raise OSError("disk on fire")

    result = run_timed("disk", run)
    assert (result.ok, result.detail) == (False, "OSError: disk on fire")
    assert "step disk failed" in caplog.text


def test_control_characters_are_replaced():
    assert plain("a\x1b[2Jb\nc") == "a\N{REPLACEMENT CHARACTER}[2Jb c"
