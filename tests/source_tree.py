"""Parse every module of apcore once, for the tests of the house rules and of the surface."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from attrs import field, frozen

SOURCE = Path(__file__).resolve().parents[1] / "src"


@frozen
class Imported:
    """One import, at any place in a module."""

    name: str
    """Absolute and dotted. ``from a import b`` imports both ``a`` and ``a.b``."""
    line: int
    in_function: bool


@frozen
class Module:
    name: str
    path: Path
    made_up_tree: ast.Module | None = field(default=None, eq=False, repr=False)

    @property
    def tree(self) -> ast.Module:
        return self.made_up_tree or parse(self.path)

    @property
    def room(self) -> str:
        """The room of the module: the first name after ``apcore``, or an empty string for ``apcore`` itself."""
        return self.name.partition(".")[2].partition(".")[0]

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def all(self) -> list[str] | None:
        """The names in ``__all__``, or None without one."""
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
                return ast.literal_eval(node.value)
        return None

    def imports(self) -> Iterator[Imported]:
        yield from self._imports(self.tree, in_function=False)

    def _imports(self, node: ast.AST, *, in_function: bool) -> Iterator[Imported]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Imported(alias.name, child.lineno, in_function)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{self.name}:{child.lineno}: imports are absolute"
                for alias in child.names:
                    yield Imported(f"{child.module}.{alias.name}", child.lineno, in_function)
            yield from self._imports(
                child, in_function=in_function or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            )


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _modules() -> Iterator[Module]:
    for path in sorted((SOURCE / "apcore").rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield Module(name, path)


MODULES = {module.name: module for module in _modules()}
