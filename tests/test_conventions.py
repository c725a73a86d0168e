"""The house rules: which way the doors open, what no room below the adapters may know, and how modules are made."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from itertools import pairwise

import pytest

from source_tree import MODULES, Imported, Module

# Rooms of one floor do not know each other; a room may import from any floor below its own.
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

# What waits, what differs at each call, and what is somebody's framework.
WAITING = {
    *("asyncio", "concurrent", "multiprocessing", "queue", "sched", "select", "selectors", "signal", "subprocess", "threading"),
    *("ftplib", "http", "smtplib", "socket", "socketserver", "ssl", "urllib.request", "sqlite3", "dbm", "tempfile", "shutil"),
    *("os", "random", "secrets", "time", "uuid", "getpass", "platform"),
}  # fmt: skip
FOREIGN_IN_CORE = {
    *("attr", "attrs", "cattrs", "typing_extensions"),
    *("idna", "http_sf"),
    *("cryptography", "pyld"),  # in one room and in one file: see below
}
MEANINGLESS = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "base", "core", "tools"}

CORE_MODULES = [module for module in MODULES.values() if module.room in CORE]


def starts_with(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def at(module: Module, imported: Imported) -> str:
    return f"{module.path.name}:{imported.line} imports {imported.name}"


# --- floors ---------------------------------------------------------------------------------------------------------


def test_every_room_has_a_floor():
    rooms = {module.room for module in MODULES.values()} - {""}
    assert rooms - FLOOR.keys() == set()
    assert {"errors", "http", "ports", "effects", "drivers", "adapters", "testing"} <= rooms


def upward(module: Module) -> list[str]:
    """The imports of ``module`` that do not point down."""
    own = FLOOR[module.room]
    found = []
    for imported in module.imports():
        if not starts_with(imported.name, "apcore"):
            continue
        room = imported.name.partition(".")[2].partition(".")[0]
        if room != module.room and FLOOR.get(room, len(FLOORS)) >= own:
            found.append(at(module, imported))
    return found


def test_imports_point_down():
    assert [found for module in MODULES.values() if module.room for found in upward(module)] == []


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
def test_the_test_of_floors_sees_them(room, source, refused):
    module = Module(f"apcore.{room}.made_up", MODULES["apcore"].path, ast.parse(source))
    assert len(upward(module)) == refused


# --- what the core does not know ------------------------------------------------------------------------------------


def test_the_core_imports_nothing_that_waits_or_differs():
    assert CORE_MODULES
    found = [
        at(module, one)
        for module in CORE_MODULES
        for one in module.imports()
        if any(starts_with(one.name, name) for name in WAITING)
    ]
    assert found == []


def test_the_core_imports_only_the_libraries_it_names():
    known = sys.stdlib_module_names | FOREIGN_IN_CORE | {"apcore"}
    found = [
        at(module, one)
        for module in CORE_MODULES
        for one in module.imports()
        if one.name.partition(".")[0] not in known
    ]
    assert found == []


ASKING_THE_MACHINE = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "print", "open", "input"}


def test_the_core_asks_no_clock_and_writes_nowhere():
    """``now`` is an argument, or an effect."""
    found = [
        f"{module.path.name}:{node.lineno} {ast.unparse(node.func)}"
        for module in CORE_MODULES
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ASKING_THE_MACHINE
    ]
    assert found == []


def holders(package: str) -> set[str]:
    return {m.name for m in MODULES.values() if any(starts_with(one.name, package) for one in m.imports())}


def test_one_file_imports_pyld_and_only_when_it_is_called():
    assert len(holders("pyld")) <= 1
    for name in holders("pyld"):
        assert all(one.in_function for one in MODULES[name].imports() if starts_with(one.name, "pyld"))


KEYS_AND_CERTIFICATES = ("apcore.signatures", "apcore.adapters", "apcore.testing")


def test_only_signatures_and_whoever_holds_keys_import_cryptography():
    assert {
        n for n in holders("cryptography") if not any(starts_with(n, room) for room in KEYS_AND_CERTIFICATES)
    } == set()


def test_only_its_adapter_imports_h11():
    assert {name for name in holders("h11") if not name.startswith("apcore.adapters.h11")} == set()


@pytest.mark.parametrize("library", ["trio", "asyncio"])
def test_each_loop_has_adapters_of_its_own(library):
    """Elsewhere in the core nobody knows which loop it is; adapters and what is above them say so by their names or their purpose."""
    assert {name for name in holders(library) if MODULES[name].room not in {"adapters", "testing", "cli"}} == set()


# --- modules --------------------------------------------------------------------------------------------------------


def test_every_module_opens_with_what_it_is_for():
    short = [m.name for m in MODULES.values() if len(ast.get_docstring(m.tree) or "") < 10]
    assert short == []


def makes_something(module: Module) -> bool:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    return any(isinstance(node, kinds) for node in module.tree.body)


def test_every_public_module_says_what_is_public():
    public = [
        m
        for m in MODULES.values()
        if makes_something(m) and not any(part.startswith("_") for part in m.name.split("."))
    ]
    assert [module.name for module in public if module.all is None] == []
    assert [module.name for module in public if len(set(module.all or ())) < len(module.all or ())] == []
    assert [f"{module.name}: {name}" for module in public for name in module.all or () if name.startswith("_")] == []


def test_a_room_re_exports_and_does_nothing_else():
    others = [
        f"{module.name}:{node.lineno} {ast.unparse(node):.60}"
        for module in MODULES.values()
        if module.is_package and module.name != "apcore"  # whose names are looked up late, to cost nothing
        for node in module.tree.body[1:]
        if not isinstance(node, (ast.Import, ast.ImportFrom))
        and not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
    ]
    assert others == []


def test_modules_have_names_that_mean_something():
    assert [name for name in MODULES if MEANINGLESS & {part.strip("_") for part in name.split(".")}] == []


# --- what an import costs -------------------------------------------------------------------------------------------


def imported_by(statement: str) -> set[str]:
    command = [sys.executable, "-c", f"{statement}\nimport sys\nprint(*sys.modules, sep='\\n')"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


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


def test_importing_every_room_of_the_core_imports_no_adapter_no_pyld_and_no_event_loop():
    rooms = sorted({f"apcore.{module.room}" for module in MODULES.values() if module.room in CORE})
    # What the libraries of the core import by themselves is theirs to answer for.
    before = imported_by("import attrs, cattrs, http_sf, idna, cryptography.hazmat.primitives.asymmetric.rsa")
    after = imported_by("import " + ", ".join(rooms))
    assert set(rooms) <= after
    heavy = ("apcore.adapters", "apcore.testing", "apcore.cli", "pyld", "asyncio", "trio", "h11", "sqlite3", "click")
    assert {name for name in after - before if any(starts_with(name, package) for package in heavy)} == set()


def test_floors_are_in_order():
    assert all(not (lower & upper) for lower, upper in pairwise(FLOORS))
    assert len(FLOOR) == sum(map(len, FLOORS))
