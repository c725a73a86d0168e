"""Check the house rules: imports point down, the core imports nothing that waits, and modules are well formed."""

from __future__ import annotations

import ast
import builtins
import os
import re
import subprocess
import sys
from itertools import pairwise

import pytest

from source_tree import MODULES, Imported, Module

# Rooms of one floor do not import each other. A room may import from any lower floor.
FLOORS = [
    {"errors"},
    {"handlers", "http", "jsonld"},
    {"vocab"},
    {"signatures"},
    {"ports"},
    {"effects"},
    {"records"},
    {"drivers"},
    {"remote"},
    {"collections", "discovery"},
    {"federation"},
    {"node"},
    {"adapters"},
    {"testing"},
    {"cli"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
CORE = set().union(*FLOORS[: FLOOR["adapters"]])

# Modules that wait, that differ at each call, and frameworks.
WAITING = {
    *("asyncio", "concurrent", "multiprocessing", "queue", "sched", "select", "selectors", "signal", "subprocess"),
    *("threading", "ftplib", "http", "smtplib", "socket", "socketserver", "ssl", "urllib.request", "sqlite3", "dbm"),
    *("tempfile", "shutil", "os", "random", "secrets", "time", "uuid", "getpass", "platform"),
}
FOREIGN_IN_CORE = {
    *("attr", "attrs", "cattrs", "typing_extensions"),
    *("idna", "http_sf"),
    *("cryptography", "pyld"),  # Each in one place only: see below.
}
MEANINGLESS_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "base", "core", "tools"}

CORE_MODULES = [module for module in MODULES.values() if module.room in CORE]


def starts_with(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def describe_import(module: Module, imported: Imported) -> str:
    return f"{module.path.name}:{imported.line} imports {imported.name}"


# --- floors ---------------------------------------------------------------------------------------------------------


def test_every_room_has_a_floor():
    rooms = {module.room for module in MODULES.values()} - {""}
    assert rooms - FLOOR.keys() == set()
    assert {"errors", "http", "ports", "effects", "drivers", "adapters", "testing"} <= rooms


def upward(module: Module) -> list[str]:
    """Return the imports of ``module`` that do not point down."""
    own = FLOOR[module.room]
    violations = []
    for imported in module.imports():
        if not starts_with(imported.name, "apcore"):
            continue
        room = imported.name.partition(".")[2].partition(".")[0]
        if room != module.room and FLOOR.get(room, len(FLOORS)) >= own:
            violations.append(describe_import(module, imported))
    return violations


def test_imports_point_down_only():
    assert [violation for module in MODULES.values() if module.room for violation in upward(module)] == []


@pytest.mark.parametrize(
    ("room", "source", "refused"),
    [
        ("http", "from apcore.jsonld import parse", 1),
        ("http", "import apcore.effects", 1),
        ("http", "from apcore import errors, effects", 1),
        ("http", "from apcore import Node", 1),
        ("http", "from apcore.errors import RequestError", 0),
        ("drivers", "def f():\n    from apcore.adapters.memory import MemoryStore", 1),
        ("drivers", "if TYPE_CHECKING:\n    from apcore.node import Node", 1),
        ("cli", "from apcore.testing import simulation", 0),
    ],
)
def test_upward_imports_are_found(room, source, refused):
    module = Module(f"apcore.{room}.made_up", MODULES["apcore"].path, ast.parse(source))
    assert len(upward(module)) == refused


# --- modules that the core must not know ----------------------------------------------------------------------------


def test_core_imports_nothing_that_waits_or_differs():
    assert CORE_MODULES
    violations = [
        describe_import(module, imported)
        for module in CORE_MODULES
        for imported in module.imports()
        if any(starts_with(imported.name, name) for name in WAITING)
    ]
    assert violations == []


def test_core_imports_only_the_listed_libraries():
    allowed = sys.stdlib_module_names | FOREIGN_IN_CORE | {"apcore"}
    violations = [
        describe_import(module, imported)
        for module in CORE_MODULES
        for imported in module.imports()
        if imported.name.partition(".")[0] not in allowed
    ]
    assert violations == []


CALLS_TO_THE_MACHINE = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "print", "open", "input"}


def test_core_reads_no_clock_and_writes_nowhere():
    """The time is an argument named ``now``, or an effect."""
    violations = [
        f"{module.path.name}:{node.lineno} {ast.unparse(node.func)}"
        for module in CORE_MODULES
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in CALLS_TO_THE_MACHINE
    ]
    assert violations == []


def holders(package: str) -> set[str]:
    return {m.name for m in MODULES.values() if any(starts_with(imported.name, package) for imported in m.imports())}


def test_only_one_file_imports_pyld_and_only_in_functions():
    assert len(holders("pyld")) <= 1
    for name in holders("pyld"):
        assert all(imported.in_function for imported in MODULES[name].imports() if starts_with(imported.name, "pyld"))


KEYS_AND_CERTIFICATES = ("apcore.signatures", "apcore.adapters", "apcore.testing")


def test_only_signatures_and_holders_of_keys_import_cryptography():
    assert {
        n for n in holders("cryptography") if not any(starts_with(n, room) for room in KEYS_AND_CERTIFICATES)
    } == set()


def test_only_the_h11_adapter_imports_h11():
    assert {name for name in holders("h11") if not name.startswith("apcore.adapters.h11")} == set()


@pytest.mark.parametrize("library", ["trio", "asyncio"])
def test_only_adapters_and_higher_rooms_import_event_loops(library):
    """The core does not know which loop it runs on. Only adapters and the rooms above them may import one."""
    assert {name for name in holders(library) if MODULES[name].room not in {"adapters", "testing", "cli"}} == set()


# --- modules --------------------------------------------------------------------------------------------------------


def test_every_module_has_a_docstring():
    short = [m.name for m in MODULES.values() if len(ast.get_docstring(m.tree) or "") < 10]
    assert short == []


def makes_something(module: Module) -> bool:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    return any(isinstance(node, kinds) for node in module.tree.body)


def test_every_public_module_lists_its_public_names():
    public = [
        m
        for m in MODULES.values()
        if makes_something(m) and not any(part.startswith("_") for part in m.name.split("."))
    ]
    assert [module.name for module in public if module.all is None] == []
    assert [module.name for module in public if len(set(module.all or ())) < len(module.all or ())] == []
    assert [f"{module.name}: {name}" for module in public for name in module.all or () if name.startswith("_")] == []


LATE_PACKAGES = {"apcore", "apcore.adapters.h11"}
"""The packages that look up some names late, to keep the import cheap."""


def test_package_of_a_room_only_re_exports():
    other_statements = [
        f"{module.name}:{node.lineno} {ast.unparse(node):.60}"
        for module in MODULES.values()
        if module.is_package and module.name not in LATE_PACKAGES
        for node in module.tree.body[1:]
        if not isinstance(node, (ast.Import, ast.ImportFrom))
        and not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
    ]
    assert other_statements == []


def test_modules_have_meaningful_names():
    assert [name for name in MODULES if MEANINGLESS_NAMES & {part.strip("_") for part in name.split(".")}] == []


# Names of specifications, of SQL and of the standard library, which no module of apcore defines.
FOREIGN_NAMES = {
    *("apcore_entry", "apcore_value", "apcore_message", "apcore_format", "is_global", "is_private", "md5", "unixsum"),
    *("Location", "Cookie", "secretKeyMultibase", "read_", "z", "u", "f"),
}


def names_in(module: Module) -> set[str]:
    """Return every name that a module defines or uses, and its short string constants."""
    names = set(module.name.split("."))
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) <= 60:
            names.add(node.value)
    return names


def test_names_in_docstrings_exist():
    """A docstring that names a function by its old name misleads its reader."""
    known = set(dir(builtins)).union(FOREIGN_NAMES, *(names_in(module) for module in MODULES.values()))
    missing = [
        f"{module.name}:{node.lineno} {name}"
        for module in MODULES.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for name in re.findall(r"(?<!`)`([A-Za-z_][\w.]*)`(?!`)", node.value.value)
        if name.rpartition(".")[2] not in known
    ]
    assert missing == []


SUFFIXES = ("ing", "ers", "er", "ed", "es", "s")


def word_stem(module: str) -> str:
    """Return the last part of a module's name without its ending: ``checking`` and ``check`` have one stem."""
    word = module.rpartition(".")[2].strip("_")
    suffix = next((one for one in SUFFIXES if word.endswith(one) and len(word) > len(one) + 3), "")
    return word.removesuffix(suffix).rstrip("e")


def test_no_two_modules_of_a_package_differ_only_in_an_ending():
    by_stem: dict[tuple[str, str], list[str]] = {}
    for name in MODULES:
        by_stem.setdefault((name.rpartition(".")[0], word_stem(name)), []).append(name)
    assert [names for names in by_stem.values() if len(names) > 1] == []
    assert word_stem("apcore.cli.commands") == word_stem("apcore.cli.command")


# --- the cost of an import ------------------------------------------------------------------------------------------


def imported_by(statement: str) -> set[str]:
    command = [sys.executable, "-c", f"{statement}\nimport sys\nprint(*sys.modules, sep='\\n')"]
    process = subprocess.run(command, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True, check=True)
    return set(process.stdout.split())


def test_importing_apcore_imports_no_adapter_no_pyld_and_no_event_loop():
    before, after = imported_by("import attrs, cattrs"), imported_by("import apcore")
    assert "apcore" in after
    heavy = (
        "apcore.adapters",
        "apcore.testing",
        "apcore.cli",
        "pyld",
        "asyncio",
        "trio",
        "h11",
        "ssl",
        "sqlite3",
        "click",
    )
    assert {name for name in after - before if any(starts_with(name, package) for package in heavy)} == set()


def test_importing_the_core_imports_no_adapter_no_pyld_and_no_event_loop():
    rooms = sorted({f"apcore.{module.room}" for module in MODULES.values() if module.room in CORE})
    # Imports of the core's libraries do not count.
    before = imported_by("import attrs, cattrs, http_sf, idna, cryptography.hazmat.primitives.asymmetric.rsa")
    after = imported_by("import " + ", ".join(rooms))
    assert set(rooms) <= after
    heavy = ("apcore.adapters", "apcore.testing", "apcore.cli", "pyld", "asyncio", "trio", "h11", "sqlite3", "click")
    assert {name for name in after - before if any(starts_with(name, package) for package in heavy)} == set()


def test_floors_are_disjoint():
    assert all(not (lower & upper) for lower, upper in pairwise(FLOORS))
    assert len(FLOOR) == sum(map(len, FLOORS))
