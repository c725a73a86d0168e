"""Check the public surface, name by name: ``tests/surface.txt`` is the promise of this release.

A public name that comes, goes or changes its signature changes that file, so it is noticed and decided. To write the
file anew, run ``python tests/test_surface.py``. `public_names` defines which names are public.
"""

from __future__ import annotations

import ast
import enum
import inspect
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from inspect import Parameter
from pathlib import Path
from types import FunctionType
from typing import Any

import attrs
import pytest

from markdown_blocks import blocks
from public_names import PACKAGES, is_public, public_names, public_values
from source_tree import MODULES, SOURCE, Module

TABLE = Path(__file__).with_name("surface.txt")
PROJECT = SOURCE.parent
NAMES_MAX = 500


# --- signatures -----------------------------------------------------------------------------------------------------


def surface() -> str:
    """Return one line for each package, and below it the lines of its names."""
    lines: list[str] = []
    for package in PACKAGES:
        lines.append(package)
        for name in public_names(package):
            described = [name] if package == "apcore" else describe(name, getattr(import_module(package), name))
            lines += [f"    {line}" for line in described]
    return "\n".join(lines) + "\n"


def describe(name: str, value: object) -> list[str]:
    """Return the lines of a public name: a class with its members, a function with its parameters, or a value."""
    if isinstance(value, type) and value.__module__.startswith("apcore"):
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object and not is_hidden(base))
        return [f"class {name}({bases})" if bases else f"class {name}", *(f"    {line}" for line in members_of(value))]
    if inspect.isfunction(value):
        return [f"{'async def' if inspect.iscoroutinefunction(value) else 'def'} {name}{parameters(value)}"]
    return [f"{name}: {type(value).__name__}" if type(value).__module__.startswith("apcore") else name]


def members_of(kind: type) -> Iterator[str]:
    """Yield the constructor and the public members of a class: its own, and those from bases that are not public."""
    if issubclass(kind, enum.Enum):
        yield from (f"{member.name} = {member.value!r}" for member in kind)
        return
    if constructor := constructor_of(kind):
        yield constructor
    members: dict[str, object] = {}
    for base in reversed([kind, *hidden_bases(kind)]):
        fields = {one.name for one in attrs.fields(base)} if attrs.has(base) else set[str]()
        annotations = {name for name in inspect.get_annotations(base) if name not in fields}
        members |= dict.fromkeys(annotations | {one for one in fields if not one.startswith("_")})
        members |= {name: value for name, value in vars(base).items() if name not in fields}
    for name, value in sorted(members.items()):
        if not name.startswith("_") and not isinstance(value, type):
            yield describe_member(name, value)


def hidden_bases(kind: type) -> list[type]:
    """Return the bases of a class that are not public, and that no public base of it has. Their members are its own."""
    bases = kind.__mro__[1:]
    public = [base for base in bases if id(base) in public_ids()]
    return [base for base in bases if is_hidden(base) and not any(issubclass(other, base) for other in public)]


def is_hidden(base: type) -> bool:
    """Return whether a class is part of apcore and not public."""
    return base.__module__.startswith("apcore") and id(base) not in public_ids()


@cache
def public_ids() -> frozenset[int]:
    return frozenset(map(id, public_values().values()))


def constructor_of(kind: type) -> str:
    """Return the parameters of the constructor of a class or of a hidden base; an empty string if there is none."""
    defines = next((base for base in kind.__mro__ if "__init__" in vars(base)), object)
    if defines not in (kind, *hidden_bases(kind)) or getattr(kind, "_is_protocol", False):
        return ""
    return parameters(vars(defines)["__init__"])


def describe_member(name: str, value: object) -> str:
    if isinstance(value, (staticmethod, classmethod)):
        return f"{type(value).__name__} {name}{parameters(value.__func__)}"
    if isinstance(value, property):
        return f"property {name}"
    if isinstance(value, FunctionType):
        return f"{'async def' if inspect.iscoroutinefunction(value) else 'def'} {name}{parameters(value)}"
    return f"{name} = {value!r}" if isinstance(value, (bool, int, float, str)) else name


def parameters(function: Any) -> str:
    """Return the parameters of a function, with their kinds and defaults, without annotations."""
    plain = [
        parameter.replace(annotation=Parameter.empty, default=stable(parameter.default))
        for parameter in inspect.signature(function).parameters.values()
    ]
    return str(inspect.Signature(plain))


class Shown:
    """A default as the table shows it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def stable(default: object) -> object:
    """Return a default that is written in the same way on every interpreter."""
    if default is Parameter.empty or default is None or isinstance(default, (bool, int, float, str, bytes)):
        return default
    if isinstance(default, enum.Enum) and default is not attrs.NOTHING:
        return Shown(f"{type(default).__name__}.{default.name}")
    if default == ():
        return default
    return Shown("...")


def test_surface_is_as_promised():
    """A name or signature that differs is a decision: make it, then run ``python tests/test_surface.py``."""
    promised, present = TABLE.read_text(encoding="utf-8").splitlines(), surface().splitlines()
    assert present == promised, "decide, then: python tests/test_surface.py"


def test_public_names_are_few():
    assert len(public_values()) <= NAMES_MAX


class Example:
    """A class of the tests below."""

    limit = 3

    def method(self, item, /, *, count=1): ...

    @classmethod
    def made(cls, text="x"): ...

    @property
    def size(self): ...


def test_changed_parameter_changes_the_surface():
    def before(one, /, two=2, *, three=()): ...

    def after(one, two=2, *, three=()): ...

    assert describe("fn", before) == ["def fn(one, /, two=2, *, three=())"]
    assert describe("fn", after) == ["def fn(one, two=2, *, three=())"]
    assert [describe_member(name, vars(Example)[name]) for name in ("limit", "made", "method", "size")] == [
        "limit = 3",
        "classmethod made(cls, text='x')",
        "def method(self, item, /, *, count=1)",
        "property size",
    ]


# --- names ----------------------------------------------------------------------------------------------------------


def test_every_package_of_the_reference_exists_and_says_what_is_public():
    assert [package for package in PACKAGES if package not in MODULES or not MODULES[package].all] == []
    assert sorted(PACKAGES) == PACKAGES


def test_public_name_means_one_thing():
    """Two packages may export a name only if it is the same object."""
    by_name: dict[str, dict[int, str]] = {}
    for qualified, value in public_values().items():
        by_name.setdefault(qualified.rpartition(".")[2], {}).setdefault(id(value), qualified)
    several = {name: sorted(homes.values()) for name, homes in by_name.items() if len(homes) > 1}
    assert {name: homes for name, homes in several.items() if name not in SCHEME_NAMES} == {}


SCHEME_NAMES = {"GET_COVERED", "POST_COVERED", "sign", "parse", "create", "prepare"}
"""Each signature scheme is a module with some of these names, which are written as ``cavage.sign``."""


def test_name_of_an_as2_type_is_only_that_type():
    """``Delete`` is the activity, in every package."""
    from apcore import vocab
    from apcore.vocab import View

    types = {name: value for name, value in vars(vocab).items() if isinstance(value, type) and issubclass(value, View)}
    named = {name: value for name, value in types.items() if value.type_name == name}
    others = {
        qualified: value for qualified, value in public_values().items() if not qualified.startswith("apcore.vocab.")
    }
    assert [
        qualified
        for qualified, value in others.items()
        if (name := qualified.rpartition(".")[2]) in named and value is not named[name]
    ] == []


def imported_names(source: str) -> list[tuple[str, str]]:
    """Return each ``(module, name)`` that a program imports from apcore."""
    return [
        (str(node.module), alias.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "apcore"
        for alias in node.names
    ]


PROGRAMS = {
    str(path.relative_to(PROJECT)): [textwrap.dedent(block.text) for block in blocks(path, "python")]
    for path in [*sorted((PROJECT / "docs").rglob("*.md")), PROJECT / "README.md"]
} | {
    str(path.relative_to(PROJECT)): [path.read_text(encoding="utf-8")]
    for path in [*sorted((PROJECT / "examples").rglob("*.py")), PROJECT / "tests" / "simulation" / "test_server.py"]
}


@pytest.mark.parametrize("program", [name for name, sources in PROGRAMS.items() if sources])
def test_documentation_and_examples_use_public_names_only(program):
    imports = [one for source in PROGRAMS[program] for one in imported_names(source)]
    assert [f"{module}.{name}" for module, name in imports if not is_public(module, name)] == []


def defined_in(module: Module) -> dict[str, tuple[ast.stmt, bool]]:
    """Return the names that a module defines, each with its node and whether it has a docstring."""
    definitions: dict[str, tuple[ast.stmt, bool]] = {}
    for node in module.tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            overload = any("overload" in ast.unparse(decorator) for decorator in node.decorator_list)
            if not overload:
                definitions[node.name] = (node, ast.get_docstring(node) is not None)
        elif isinstance(node, ast.Assign):
            definitions |= {ast.unparse(target): (node, False) for target in node.targets}
        elif isinstance(node, ast.AnnAssign):
            definitions[ast.unparse(node.target)] = (node, False)
    return definitions


def undocumented(module: Module) -> list[str]:
    """Return the exported classes and functions of a module that have no docstring. Constants need none."""
    definitions = defined_in(module)
    return [
        f"{module.name}.{name}"
        for name in module.all or ()
        if name in definitions
        and not definitions[name][1]
        and not isinstance(definitions[name][0], (ast.Assign, ast.AnnAssign))
    ]


def test_every_exported_name_is_documented():
    assert [name for module in MODULES.values() for name in undocumented(module)] == []


def test_every_exported_name_exists():
    missing = []
    for module in MODULES.values():
        if module.name == "apcore":
            continue  # Its names are loaded late; the next test checks them.
        names = set(defined_in(module)) | {one.name.rpartition(".")[2] for one in module.imports()}
        names |= {
            alias.asname
            for node in module.tree.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if alias.asname
        }
        missing += [f"{module.name}.{name}" for name in module.all or () if name not in names]
    assert missing == []


def test_front_page_finds_its_names_and_each_is_public_elsewhere():
    import apcore

    assert set(apcore.__all__) <= set(dir(apcore))
    homes = list(public_values().values())
    homeless = [name for name in apcore.__all__ if not any(getattr(apcore, name) is value for value in homes)]
    assert homeless == ["operation"], "a name that apcore re-exports is public in its package"


def test_name_that_a_package_lends_is_not_public():
    """``import x as x`` in a package's ``__init__`` lends ``x`` to other rooms. Then it is not in ``__all__``."""
    both = [
        f"{module.name}.{alias.name}"
        for module in MODULES.values()
        if module.is_package and module.name != "apcore"
        for node in module.tree.body
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("apcore")
        for alias in node.names
        if (alias.asname == alias.name) == (alias.name in (module.all or ()))
    ]
    assert both == []


if __name__ == "__main__":
    TABLE.write_text(surface(), encoding="utf-8")
    sys.stdout.write(f"{TABLE.name}: {len(surface().splitlines())} lines, {len(public_values())} names\n")
