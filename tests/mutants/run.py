"""Make small changes to the code that decides about trust, one at a time, and check that a test notices.

    python tests/mutants/run.py [PART ...] [--results FILE] [--again] [--only functions|imports] [--list]

A part is the path of a module inside the package, or the start of one (`signatures/cavage.py`, `signatures`). Without
parts, everything in `TARGETS` is tried. Results are kept in a file, one per line. A result is reused as long as module
and mutant stay the same, so a run can be stopped and resumed. `--again` tries the survivors again, after you added
tests. Each survivor has to stand in `surviving.md` with a reason. Survivors without one are printed, and the exit
status is 1.

How it works: the modules of a room are tried in one process. The process collects the tests of the room, runs them once
unchanged, and notes which test runs which lines. A change inside a function is made in a fork of that process: the fork
replaces the code of the function, empties caches, and runs the tests of the changed line, quickest first, until one
fails. A change that takes effect at import (tables, limits, patterns, defaults) is made in a fork of a process that has
not imported apcore yet; it runs the tests of each function that uses the changed name. Hypothesis takes few examples,
the same ones each time.

Why not an existing tool: mutmut only changes undecorated functions, but here policies are class attributes, and address
ranges and header grammars are tables and patterns of modules. cosmic-ray starts a Python for every mutant.
"""

from __future__ import annotations

import argparse
import ast
import gc
import importlib.machinery
import importlib.util
import json
import os
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import cattrs
import hypothesis
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mutants.mutations import Mutant, code_of, compile_mutant, mutants_of

__all__ = ["TARGETS", "Target", "main"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PACKAGE = ROOT / "src" / "apcore"

PRELOADED = (cattrs, hypothesis, ec, ed25519, rsa)
"""Modules to import before any fork, since every fork needs them. None of them may be part of apcore."""

SIGNATURES = ("tests/signatures",)
TRUST = (
    "tests/remote/test_trust.py",
    "tests/federation/test_authenticate.py",
    "tests/federation/test_authenticate_edges.py",
    "tests/federation/test_fe34.py",
    "tests/federation/test_request_signers.py",
    "tests/federation/test_request_signers_edges.py",
    "tests/federation/test_replay.py",
    "tests/federation/test_farewell.py",
    "tests/federation/test_moderation.py",
    "tests/federation/test_budgets.py",
    "tests/federation/test_inbox.py",
)
_FIRST = (
    *("cavage", "rfc9421", "_components", "_parts", "policy", "presented", "requests", "documents"),
    *("proofs", "ld_signature", "graphs", "keys", "key_formats", "multibase"),
)
_PROOFS = (
    "request_signers",
    "inbox/authenticate",
    "inbox/document_proofs",
    "inbox/evidence",
    "inbox/origin_check",
    "inbox/parse",
)
TARGETS: dict[str, tuple[str, ...]] = {
    "http/addresses.py": ("tests/http/test_addresses.py",),
    "remote/trust.py": TRUST,
    **{f"federation/{name}.py": TRUST for name in _PROOFS},
    **{f"signatures/{name}.py": SIGNATURES for name in _FIRST},
    "signatures/sealed_keys.py": ("tests/adapters/test_keys.py",),
    **{
        f"signatures/{path.name}": SIGNATURES
        for path in sorted((PACKAGE / "signatures").glob("*.py"))
        if path.stem not in {"__init__", "sealed_keys", *_FIRST}
    },
}
"""The modules to change, and the tests that must notice."""

EXAMPLES_MAX = 25
CPU_S = 20
MEMORY_BYTES = 4 * 2**30

BROKEN = 70
"""The exit status of a fork that could not do its work."""

KILLED, SURVIVED = "killed", "survived"


# --- results --------------------------------------------------------------------------------------------------------


class Results:
    """The results of mutants, in a file that only grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, str] = {}
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                self._known[entry["key"]] = entry["result"]

    @staticmethod
    def keys(target: str, mutants: Sequence[Mutant]) -> list[str]:
        """Return a key for each mutant, made from its surroundings: changes elsewhere in the module keep it valid."""
        times: Counter[tuple[str, str]] = Counter()
        keys: list[str] = []
        for mutant in mutants:
            times[mutant.source, mutant.name] += 1
            text = f"{mutant.source}\n{mutant.name}\n{times[mutant.source, mutant.name]}"
            keys.append(f"{target}:{sha256(text.encode()).hexdigest()[:24]}")
        return keys

    def get(self, key: str) -> str | None:
        return self._known.get(key)

    def add(self, key: str, result: str, **details: Any) -> None:
        self._known[key] = result
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "result": result, **details}) + "\n")


def listed_survivors(path: Path = HERE / "surviving.md") -> set[tuple[str, str]]:
    """Read the survivors that have a reason: under the name of a module, items that start with the name of a mutant."""
    survivors: set[tuple[str, str]] = set()
    target = ""
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        if line.startswith("## "):
            target = line[3:].strip()
        elif (item := re.match(r"- (`.+?`: `.*?` -> `.*?`)(?:: |$)", line)) is not None:
            survivors.add((target, item[1]))
    return survivors


# --- processes ------------------------------------------------------------------------------------------------------


def run_in_fork(work: Callable[[], int], *, quiet: bool = True, cpu_s: int = CPU_S) -> int:
    """Run ``work`` in a fork, and return its exit status, or the negative number of the signal that ended it."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = BROKEN
        try:
            if quiet:
                nowhere = os.open(os.devnull, os.O_RDWR)
                os.dup2(nowhere, 1)
                os.dup2(nowhere, 2)
                resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 2))
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
            status = work()
        except SystemExit as error:
            print(error, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    ends = time.monotonic() + 10 * cpu_s
    while quiet and time.monotonic() < ends:
        finished_pid, status = os.waitpid(child, os.WNOHANG)
        if finished_pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.004)
    if quiet:
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def is_failure(status: int) -> bool:
    """Return whether the exit status of a fork says that a test failed or could not continue."""
    if status == BROKEN:
        raise RuntimeError("a fork broke where no test was run: the runner is wrong")
    return status not in {0, int(pytest.ExitCode.NO_TESTS_COLLECTED)}


# --- the tests of a room ----------------------------------------------------------------------------------------------


class Bench:
    """A pytest session that stops after collection, and runs chosen tests in its forks."""

    def __init__(self, paths: Sequence[Path], use: Callable[[Bench], None]) -> None:
        self.paths = paths
        self._use = use
        self.items: dict[str, pytest.Item] = {}
        self.seconds: dict[str, float] = {}
        self.lines: dict[tuple[Path, int], set[str]] = {}
        """The names of the tests that run each line."""
        self._session: Any = None

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._session = session
        self.items = {item.nodeid: item for item in session.items}
        few_examples(session.items)
        self._watch()
        self._use(self)
        return True

    def _watch(self) -> None:
        from coverage import Coverage

        watch = Coverage(data_file=None, include=[str(path) for path in self.paths], config_file=False)
        items = list(self.items.values())
        watch.start()
        for number, item in enumerate(items):
            empty_caches()
            watch.switch_context(f"{item.nodeid}")
            began = time.process_time()
            # The last item is followed by itself, so that the session is not torn down.
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=items[min(number + 1, len(items) - 1)])
            self.seconds[item.nodeid] = time.process_time() - began
        watch.stop()
        if self._session.testsfailed:
            raise RuntimeError(f"{self._session.testsfailed} tests fail without any change: nothing can be learnt")
        self.lines = {
            (path, line): {name for name in names if name}
            for path in self.paths
            for line, names in watch.get_data().contexts_by_lineno(str(path)).items()
        }

    def tests_of(self, path: Path, lines: Iterable[int]) -> list[str]:
        names: set[str] = set()
        for line in lines:
            names |= self.lines.get((path, line), set())
        return sorted(names, key=lambda name: self.seconds[name])

    def fails_in_fork(self, names: Iterable[str]) -> bool:
        return is_failure(run_in_fork(lambda: int(self.fails(names)), cpu_s=300))

    def fails(self, names: Iterable[str]) -> bool:
        """Run tests in the current process, which is a fork, and return whether one fails."""
        items = [self.items[name] for name in names]
        for number, item in enumerate(items):
            if number == 0:
                self._session._setupstate.teardown_exact(item)
            next_item = items[number + 1] if number + 1 < len(items) else item
            try:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=next_item)
            except BaseException:  # Even the runner of pytest does not handle it.
                return True
            if self._session.testsfailed:
                return True
        return False


def few_examples(items: Iterable[pytest.Item]) -> None:
    for item in items:
        function = getattr(item, "obj", None)
        function = getattr(function, "__func__", function)
        hypothesis_settings = getattr(function, "_hypothesis_internal_use_settings", None)
        if hypothesis_settings is not None:
            function._hypothesis_internal_use_settings = hypothesis.settings(  # type: ignore[union-attr]
                hypothesis_settings,
                max_examples=min(hypothesis_settings.max_examples, EXAMPLES_MAX),
                derandomize=True,
                database=None,
                deadline=None,
                phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
            )


def empty_caches() -> None:
    for cache in _caches():
        cache.cache_clear()


def _caches() -> list[Any]:
    kind = type(_cached)
    return [
        value
        for name, module in list(sys.modules.items())
        if name.startswith("apcore.") and isinstance(module, ModuleType)
        for value in list(vars(module).values())
        if isinstance(value, kind)
    ]


Functions = dict[tuple[str, int], list[FunctionType]]
"""Functions by qualified name and first line."""


def _functions(path: Path) -> Functions:
    functions_by_place: Functions = {}
    for candidate in gc.get_objects():
        if isinstance(candidate, FunctionType) and candidate.__code__.co_filename == str(path):
            functions_by_place.setdefault(
                (candidate.__code__.co_qualname, candidate.__code__.co_firstlineno), []
            ).append(candidate)
    return functions_by_place


PYTEST_OPTIONS = (
    # Fuzzing takes long, and its findings depend on chance.
    *("-q", "--tb=no", "--capture=no", "--assert=plain", "--ignore-glob=*/test_fuzz.py"),
    # One process and one order, because the results name the test that finds a change.
    *("-n0", "-p", "no:randomly"),
    *("-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"),
)


class Chosen:
    """Keep only the chosen tests of a collection, in their order."""

    def __init__(self, names: list[str]) -> None:
        self._names = {name: number for number, name in enumerate(names)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._names), key=lambda item: self._names[item.nodeid]
        )
        few_examples(items)


class ChangedSource(importlib.machinery.SourceFileLoader):
    """Load one module with the change in it."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


class ChangedFinder:
    """Find one module in its changed form."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self._name, self._path, self._code = name, path, code

    def find_spec(self, fullname: str, _path: object = None, _target: object = None) -> Any:
        if fullname != self._name:
            return None
        loader = ChangedSource(fullname, str(self._path), self._code)
        return importlib.util.spec_from_file_location(fullname, self._path, loader=loader)


# --- trying the mutants of one module -------------------------------------------------------------------------------


class Target:
    """One module, its mutants and their results."""

    def __init__(self, name: str, results: Results) -> None:
        self.name = name
        self.path = PACKAGE / name
        self.text = self.path.read_text(encoding="utf-8")
        self.mutants = mutants_of(self.text, name)
        self._results = results
        self.keys = Results.keys(name, self.mutants)

    def open(self, *, retry_survivors: bool) -> list[int]:
        """Return the indexes of the mutants that are to be tried."""
        settled = {KILLED} if retry_survivors else {KILLED, SURVIVED}
        return [number for number, key in enumerate(self.keys) if self._results.get(key) not in settled]

    def survivors(self) -> list[Mutant]:
        return [
            mutant for key, mutant in zip(self.keys, self.mutants, strict=True) if self._results.get(key) == SURVIVED
        ]

    def try_in_functions(self, bench: Bench, numbers: list[int], functions: Functions) -> dict[int, list[str]]:
        """Try changes of functions in forks of this process; return the tests to run for each other change."""
        own = self._own_tests
        everything = sorted(bench.items, key=lambda name: (own not in name, bench.seconds[name]))
        remaining_tests: dict[int, list[str]] = {}
        for number in numbers:
            mutant = self.mutants[number]
            names = bench.tests_of(self.path, range(mutant.lines[0], mutant.lines[1] + 1))
            if mutant.function is None:
                remaining_tests[number] = self._tests_at_import(mutant, bench) or everything
            elif not names:
                remaining_tests[number] = everything  # The function makes constants when the module is imported.
            elif not self._try_in_function(number, bench, functions, names):
                remaining_tests[number] = names
        return remaining_tests

    @property
    def _own_tests(self) -> str:
        return f"test_{self.path.stem.lstrip('_')}"

    def _try_in_function(self, number: int, bench: Bench, functions: Functions, names: list[str]) -> bool:
        """Try one change in a fork; return False if it cannot be made in an existing function."""
        mutant = self.mutants[number]
        place = mutant.function
        assert place is not None
        code = code_of(compile_mutant(mutant.tree(), self.path), place)
        functions_in_place = functions.get((place.qualname, place.line), [])
        if (
            code is None
            or any(function.__code__.co_freevars != code.co_freevars for function in functions_in_place)
            or not functions_in_place
        ):
            return False

        def work() -> int:
            for function in functions_in_place:
                function.__code__ = code
            empty_caches()
            return int(bench.fails(names))

        self._note(number, KILLED if is_failure(run_in_fork(work)) else SURVIVED)
        return True

    def _tests_at_import(self, mutant: Mutant, bench: Bench) -> list[str]:
        """Return the tests of each function that uses the changed name; an empty list if the name is unknown."""
        if mutant.constant is None:
            return []
        tree = ast.parse(self.text)
        changed_names = {mutant.constant}
        while True:
            dependent_names = {
                target.id
                for statement in tree.body
                if isinstance(statement, (ast.Assign, ast.AnnAssign)) and changed_names & _names_in(statement.value)
                for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
                if isinstance(target, ast.Name)
            }
            if dependent_names <= changed_names:
                break
            changed_names |= dependent_names
        lines = {
            name.lineno
            for function in ast.walk(tree)
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
            for name in ast.walk(function)
            if isinstance(name, ast.Name) and name.id in changed_names
        }
        return bench.tests_of(self.path, lines)

    def try_at_import(self, number: int, names: list[str]) -> None:
        """Make the change before anything is imported; run the module's own tests first, since they mostly suffice."""
        mutant = self.mutants[number]
        module = "apcore." + self.name.removesuffix(".py").replace("/", ".")
        own = [name for name in names if self._own_tests in name]

        def with_tests(test_names: list[str]) -> int:
            code = compile_mutant(mutant.tree(), self.path)
            sys.meta_path.insert(0, ChangedFinder(module, self.path, code))  # type: ignore[arg-type]
            files = sorted({name.partition("::")[0] for name in test_names})
            os.chdir(ROOT)
            return int(pytest.main([*PYTEST_OPTIONS, "-x", *files], plugins=[Chosen(test_names)]))

        parts = [part for part in (own, [name for name in names if name not in set(own)]) if part]
        killed = any(is_failure(run_in_fork(partial(with_tests, part))) for part in parts)
        self._note(number, KILLED if killed else SURVIVED)

    def _note(self, number: int, result: str) -> None:
        mutant = self.mutants[number]
        self._results.add(self.keys[number], result, line=mutant.lines[0], name=mutant.name)


def try_together(targets: Sequence[Target], tests: Sequence[str], *, retry_survivors: bool, only: str | None) -> None:
    """Try the open mutants of modules with the same tests, and record results; apcore is never imported here."""
    numbers = {
        target.name: [
            number
            for number in target.open(retry_survivors=retry_survivors)
            if only is None or (only == "functions") == (target.mutants[number].function is not None)
        ]
        for target in targets
    }
    open_targets = [target for target in targets if numbers[target.name]]
    if not open_targets:
        return
    with tempfile.TemporaryDirectory() as place:
        notes = Path(place) / "left.json"

        def use(bench: Bench) -> None:
            functions = {target.name: _functions(target.path) for target in open_targets}
            # Keep existing objects away from the garbage collector of every fork. It cannot find them any more.
            gc.collect()
            gc.freeze()
            if bench.fails_in_fork(sorted(bench.items, key=lambda name: bench.seconds[name])):
                raise RuntimeError("tests fail in another order, without any change: nothing can be learnt")
            tests_by_mutant = {
                target.name: target.try_in_functions(bench, numbers[target.name], functions[target.name])
                for target in open_targets
            }
            notes.write_text(json.dumps(tests_by_mutant), encoding="utf-8")

        def on_bench() -> int:
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            os.chdir(ROOT)
            arguments = [*PYTEST_OPTIONS, *(str(ROOT / test) for test in tests)]
            return int(pytest.main(arguments, plugins=[Bench([target.path for target in open_targets], use)]))

        if run_in_fork(on_bench, quiet=False) != 0:
            raise SystemExit("the tests could not be run")
        tests_by_mutant = json.loads(notes.read_text(encoding="utf-8"))
    for target in open_targets:
        for number, names in tests_by_mutant[target.name].items():
            target.try_at_import(int(number), names)


def _names_in(node: ast.AST | None) -> set[str]:
    return set() if node is None else {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}


def _cached_function() -> None:
    """Do nothing: only the type of its `lru_cache` wrapper is needed."""


_cached = lru_cache(maxsize=1)(_cached_function)


# --- the command ----------------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Change the code that decides about trust, and see whether a test notices."
    )
    parser.add_argument("parts", nargs="*", help="modules, or beginnings of their paths; default: all")
    parser.add_argument("--results", type=Path, default=ROOT / ".nox" / "mutants.jsonl", help="where results are kept")
    parser.add_argument("--again", action="store_true", help="try again what survived")
    parser.add_argument(
        "--only", choices=("functions", "imports"), help="try what changes functions, or what counts at import"
    )
    parser.add_argument("--list", action="store_true", help="try nothing; show what survived")
    options = parser.parse_args(arguments)
    sys.dont_write_bytecode = True
    target_names = [
        name for name in TARGETS if not options.parts or any(name.startswith(part) for part in options.parts)
    ]
    if not target_names:
        parser.error(f"none of {', '.join(options.parts)} is tried; there are: {', '.join(TARGETS)}")
    results = Results(options.results)
    if not options.list:
        for tests in dict.fromkeys(TARGETS[name] for name in target_names):
            try_together(
                [Target(name, results) for name in target_names if TARGETS[name] == tests],
                tests,
                retry_survivors=options.again,
                only=options.only,
            )
    results = Results(options.results)
    listed = listed_survivors()
    totals: Counter[str] = Counter()
    for name in target_names:
        target = Target(name, results)
        survivors = target.survivors()
        new = [mutant for mutant in survivors if (name, mutant.name) not in listed]
        untried = len(target.open(retry_survivors=False))
        totals.update(
            mutants=len(target.mutants), tried=len(target.mutants) - untried, survived=len(survivors), new=len(new)
        )
        print(
            f"{name}: {len(target.mutants)} mutants, {len(survivors)} survived, {len(new)} without a reason, "
            f"{untried} not tried"
        )
        for mutant in new:
            print(f"  {mutant.lines[0]:4} - {mutant.name}")
    share = 100 * totals["survived"] / max(totals["tried"], 1)
    print(
        f"{totals['mutants']} mutants, {totals['tried']} tried, {totals['survived']} survived ({share:.1f} %), "
        f"{totals['new']} without a reason"
    )
    return 1 if totals["new"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
