"""The public surface, name by name: ``tests/surface.txt`` is what this release promises.

A name that comes or goes changes that file, and so is seen and decided. To write it anew: ``python tests/test_surface.py``. Public is what a room's
``__all__`` says: of `apcore`, of each room, and of each adapter and each package of `apcore.testing`.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from source_tree import MODULES, Module

TABLE = Path(__file__).with_name("surface.txt")


def is_public(module: Module) -> bool:
    parts = module.name.split(".")
    if any(part.startswith("_") for part in parts):
        return False
    return len(parts) <= 2 or (len(parts) == 3 and parts[1] in {"adapters", "testing"})


def surface() -> str:
    """One line a room, one line a name in it."""
    lines = []
    for name, module in sorted(MODULES.items()):
        if is_public(module):
            lines += [name, *(f"    {public}" for public in sorted(module.all or ()))]
    return "\n".join(lines) + "\n"


def test_the_surface_is_what_was_promised():
    promised, present = TABLE.read_text(encoding="utf-8").splitlines(), surface().splitlines()
    here: dict[str, list[str]] = {"new": qualified(present, promised), "gone": qualified(promised, present)}
    assert here == {"new": [], "gone": []}, "decide, then: python tests/test_surface.py"


def qualified(lines: list[str], others: list[str]) -> list[str]:
    """The names in ``lines`` that are not in ``others``."""

    def whole(table: list[str]) -> list[str]:
        room, found = "", []
        for line in table:
            room = room if line.startswith(" ") else line
            found.append(f"{room}.{line.strip()}" if line.startswith(" ") else room)
        return found

    return sorted(set(whole(lines)) - set(whole(others)))


def defined_in(module: Module) -> dict[str, tuple[ast.stmt, bool]]:
    """What a module defines, and whether it has a docstring."""
    found: dict[str, tuple[ast.stmt, bool]] = {}
    for node in module.tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            overload = any("overload" in ast.unparse(decorator) for decorator in node.decorator_list)
            if not overload:
                found[node.name] = (node, ast.get_docstring(node) is not None)
        elif isinstance(node, ast.Assign):
            found |= {ast.unparse(target): (node, False) for target in node.targets}
        elif isinstance(node, ast.AnnAssign):
            found[ast.unparse(node.target)] = (node, False)
    return found


def undocumented(module: Module) -> list[str]:
    """The classes and functions that ``module`` makes public without a word. Of a constant, the name has to do."""
    defined = defined_in(module)
    return [
        f"{module.name}.{name}"
        for name in module.all or ()
        if name in defined and not defined[name][1] and not isinstance(defined[name][0], (ast.Assign, ast.AnnAssign))
    ]


def test_every_public_name_is_documented():
    assert [name for module in MODULES.values() for name in undocumented(module)] == []


def test_every_promise_is_kept():
    """What a room says it exports is there: defined, or imported."""
    missing = []
    for module in MODULES.values():
        if module.name == "apcore":
            continue  # looked up late; kept by the tests of that
        there = set(defined_in(module)) | {one.name.rpartition(".")[2] for one in module.imports()}
        there |= {
            alias.asname
            for node in module.tree.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if alias.asname
        }
        missing += [f"{module.name}.{name}" for name in module.all or () if name not in there]
    assert missing == []


def test_the_front_page_finds_what_it_promises():
    import apcore

    assert [name for name in apcore.__all__ if getattr(apcore, name, None) is None] == []
    assert set(apcore.__all__) <= set(dir(apcore))


if __name__ == "__main__":
    TABLE.write_text(surface(), encoding="utf-8")
    sys.stdout.write(f"{TABLE.name}: {len(surface().splitlines())} lines\n")
