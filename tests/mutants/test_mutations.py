"""Check mutants: every change is made once, has a name, compiles, and leaves texts for people unchanged."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from mutants.mutations import Place, code_of, compile_mutant, mutants_of
from mutants.run import PACKAGE, TARGETS, listed_survivors


def change_names(text: str, name: str = "x.py") -> list[str]:
    return [mutant.name.partition("`: ")[2] for mutant in mutants_of(dedent(text), name)]


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("x = a < b", ["`a < b` -> `a <= b`", "`a < b` -> `a >= b`", "`x = a < b` -> `x = None`"]),
        (
            "x = a and b",
            ["`a and b` -> `a or b`", "`a and b` -> `b`", "`a and b` -> `a`", "`x = a and b` -> `x = None`"],
        ),
        ("x = not a", ["`not a` -> `a`", "`x = not a` -> `x = None`"]),
        ("f()", ["`f()` -> `pass`"]),
        ("x = 5", ["`5` -> `6`", "`5` -> `4`", "`x = 5` -> `x = None`"]),
        ("x: bool = False", ["`False` -> `True`"]),
        ("x = re.compile('a+')", ["`...a+...` -> `...a*...`", "`x = re.compile('a+')` -> `x = None`"]),
        ("x = f(a, key=1)", ["`f(a, key=1)` -> `f(a)`", "`1` -> `2`", "`1` -> `0`", "`x = f(a, key=1)` -> `x = None`"]),
    ],
)
def test_every_change_of_a_statement_is_made_once(text, changes):
    assert sorted(change_names(text)) == sorted(changes)


@pytest.mark.parametrize(
    "text",
    [
        '"""A docstring."""',
        '__all__ = ["a", "b"]',
        "Kind: TypeAlias = Literal['a', 'b']",
        "Kind = Literal['a', 'b']",
        "from a import b",
        "assert a < b",
        "def f(x: 'str') -> 'int': ...",
    ],
)
def test_docstrings_types_and_asserts_never_change(text):
    assert change_names(text) == []


def test_wording_of_errors_never_changes():
    text = """
        def f(x):
            if x > 5:
                raise TooBig(f"{x} is too big, at most {5}", rule="x")
    """
    assert change_names(text) == [
        "`if x > 5` -> `if False`",
        "`if x > 5` -> `if True`",
        "`x > 5` -> `x >= 5`",
        "`x > 5` -> `x <= 5`",
        "`5` -> `6`",
        "`5` -> `4`",
    ]


def test_text_of_explanations_never_changes():
    assert change_names("x = f('a')", "signatures/explain.py") == ["`x = f('a')` -> `x = None`"]
    assert "`'a'` -> `'XXaXX'`" in change_names("x = f('a')")


def test_mutant_has_its_function_or_constant():
    text = dedent(
        """
        LIMIT = 5

        class C:
            @property
            def p(self):
                return LIMIT

            x: int = 3
        """
    )
    mutants_by_change = {mutant.name.partition("`: ")[2]: mutant for mutant in mutants_of(text, "x.py")}
    assert mutants_by_change["`5` -> `6`"].constant == "LIMIT"
    assert mutants_by_change["`5` -> `6`"].function is None
    assert mutants_by_change["`3` -> `4`"].function is None
    return_mutant = mutants_by_change["`return LIMIT` -> `return None`"]
    assert return_mutant.function == Place("C.p", 5)
    assert return_mutant.lines == (7, 7)
    code = code_of(compile_mutant(return_mutant.tree(), Path("x.py")), return_mutant.function)
    assert code is not None
    assert code.co_name == "p"


@pytest.mark.parametrize("target", TARGETS)
def test_changes_of_every_target_compile(target):
    path = PACKAGE / target
    text = path.read_text(encoding="utf-8")
    mutants = mutants_of(text, target)
    for mutant in mutants[:: max(1, len(mutants) // 20)]:
        assert compile_mutant(mutant.tree(), path).co_code
    assert all(1 <= mutant.lines[0] <= mutant.lines[1] for mutant in mutants)


def test_listed_survivors_are_read(tmp_path):
    path = tmp_path / "surviving.md"
    path.write_text("## a/b.py\n\n- `x = 1`: `1` -> `2`: equivalent\n- not one\n## c.py\n- `y`: `` -> `z`: because\n")
    assert listed_survivors(path) == {("a/b.py", "`x = 1`: `1` -> `2`"), ("c.py", "`y`: `` -> `z`")}


def test_every_listed_survivor_belongs_to_a_target():
    assert {target for target, _ in listed_survivors()} <= TARGETS.keys()
