"""Mutation testing: make small changes to the code that decides about trust, one at a time, and look whether a test notices.

    python tests/mutants/run.py [PART ...] [--results FILE] [--again] [--only functions|imports] [--list]

A part is the path of a module inside the package, or the beginning of one (`signatures/cavage.py`, `signatures`); without one, everything in
`TARGETS` is tried. Results are kept in a file, a line each, and what is there is not tried again while module and mutant are the same: a run can be
stopped and taken up. `--again` tries the survivors again, after tests were added. What survives has to stand in `surviving.md`, with a reason; whatever
does not is printed, and the exit status is 1.

How. The modules of a room are tried in a process, in which the tests of the room are collected and run once, unchanged, with a note of which test runs
which lines. A change inside a function is then made in a fork of that process: the function's code is exchanged, caches are emptied, and the tests
that run its line are run, the quickest first, until one fails. A change that counts when the module is imported (tables, limits, patterns, defaults) is
made in a fork of a process that has nothing of apcore yet; there, the tests that run a function in which the name occurs are run. Hypothesis takes few
examples, the same ones each time.

Why not a tool from the shelf: mutmut changes only what stands in undecorated functions, and here the policies are class attributes, the ranges of
addresses and the grammars of headers are tables and patterns of modules; cosmic-ray starts a Python for every mutant.
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
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import cattrs
import hypothesis
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mutants.mutations import Mutant, code_of, compiled, mutants_of

__all__ = ["TARGETS", "Target", "main"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PACKAGE = ROOT / "src" / "apcore"

PRELOADED = (cattrs, hypothesis, ec, ed25519, rsa)
"""Imported before anything is forked, since every fork needs them. Nothing of apcore may be among them."""

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
_FIRST = ("cavage", "rfc9421", "_components", "_parts", "policy", "presented", "requests", "documents", "proofs", "ld_signature", "graphs", "keys", "key_formats", "multibase")  # fmt: skip
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
"""What is changed, and the tests that have to notice."""

EXAMPLES_MAX = 25
CPU_S = 20
MEMORY_BYTES = 4 * 2**30

BROKEN = 70
"""How a fork ends that could not do its work."""

KILLED, SURVIVED = "killed", "survived"


# --- results --------------------------------------------------------------------------------------------------------


class Results:
    """What became of each mutant, in a file to which lines are added."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, str] = {}
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                self._known[entry["key"]] = entry["result"]

    @staticmethod
    def keys(target: str, mutants: Sequence[Mutant]) -> list[str]:
        """Name mutants by what they are in, so that a change elsewhere in the module leaves them what they were."""
        times: Counter[tuple[str, str]] = Counter()
        keys: list[str] = []
        for mutant in mutants:
            times[mutant.source, mutant.name] += 1
            text = f"{mutant.source}\n{mutant.name}\n{times[mutant.source, mutant.name]}"
            keys.append(f"{target}:{sha256(text.encode()).hexdigest()[:24]}")
        return keys

    def get(self, key: str) -> str | None:
        return self._known.get(key)

    def add(self, key: str, result: str, **more: Any) -> None:
        self._known[key] = result
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "result": result, **more}) + "\n")


def listed_survivors(path: Path = HERE / "surviving.md") -> set[tuple[str, str]]:
    """Read which survivors have a reason: under a heading with the module's name, items that begin with a mutant's name."""
    found: set[tuple[str, str]] = set()
    target = ""
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        if line.startswith("## "):
            target = line[3:].strip()
        elif (item := re.match(r"- (`.+?`: `.*?` -> `.*?`)(?:: |$)", line)) is not None:
            found.add((target, item[1]))
    return found


# --- processes ------------------------------------------------------------------------------------------------------


def forked(work: Callable[[], int], *, quiet: bool = True, cpu_s: int = CPU_S) -> int:
    """Run ``work`` in a fork of this process, and give its answer, or the negative number of the signal that ended it."""
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
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.004)
    if quiet:
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def is_failure(status: int) -> bool:
    """Whether a fork's answer says that a test failed, or could not go on at all."""
    if status == BROKEN:
        raise RuntimeError("a fork broke where no test was run: the runner is wrong")
    return status not in {0, int(pytest.ExitCode.NO_TESTS_COLLECTED)}


# --- the tests of a room, collected and watched ---------------------------------------------------------------------


class Bench:
    """A pytest session that is stopped after collection, and in whose forks chosen tests are run."""

    def __init__(self, paths: Sequence[Path], use: Callable[[Bench], None]) -> None:
        self.paths = paths
        self._use = use
        self.items: dict[str, pytest.Item] = {}
        self.seconds: dict[str, float] = {}
        self.lines: dict[tuple[Path, int], set[str]] = {}
        """The tests that run each line."""
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
            # The last item is followed by itself, so that nothing of the session is torn down.
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
        return is_failure(forked(lambda: int(self.fails(names)), cpu_s=300))

    def fails(self, names: Iterable[str]) -> bool:
        """Run tests here, in a fork; whether one fails."""
        chosen = [self.items[name] for name in names]
        for number, item in enumerate(chosen):
            if number == 0:
                self._session._setupstate.teardown_exact(item)
            following = chosen[number + 1] if number + 1 < len(chosen) else item
            try:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            except BaseException:  # what not even a test's runner takes
                return True
            if self._session.testsfailed:
                return True
        return False


def few_examples(items: Iterable[pytest.Item]) -> None:
    for item in items:
        function = getattr(item, "obj", None)
        function = getattr(function, "__func__", function)
        given = getattr(function, "_hypothesis_internal_use_settings", None)
        if given is not None:
            function._hypothesis_internal_use_settings = hypothesis.settings(  # type: ignore[union-attr]
                given,
                max_examples=min(given.max_examples, EXAMPLES_MAX),
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
"""By qualified name and first line."""


def _functions(path: Path) -> Functions:
    found: Functions = {}
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType) and thing.__code__.co_filename == str(path):
            found.setdefault((thing.__code__.co_qualname, thing.__code__.co_firstlineno), []).append(thing)
    return found


PYTEST_OPTIONS = (
    # Fuzzing takes long, and finds by chance what a test has to find for certain.
    *("-q", "--tb=no", "--capture=no", "--assert=plain", "--ignore-glob=*/test_fuzz.py"),
    # One process and one order: which test finds a change is noted by its name.
    *("-n0", "-p", "no:randomly"),
    *("-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"),
)


class Chosen:
    """Of what is collected, only the chosen tests, in their order."""

    def __init__(self, names: list[str]) -> None:
        self._names = {name: number for number, name in enumerate(names)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._names), key=lambda item: self._names[item.nodeid]
        )
        few_examples(items)


class ChangedSource(importlib.machinery.SourceFileLoader):
    """Loads one module with the change in it."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


class ChangedFinder:
    """Finds one module, as it was changed."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self._name, self._path, self._code = name, path, code

    def find_spec(self, fullname: str, _path: object = None, _target: object = None) -> Any:
        if fullname != self._name:
            return None
        loader = ChangedSource(fullname, str(self._path), self._code)
        return importlib.util.spec_from_file_location(fullname, self._path, loader=loader)


# --- trying the mutants of one module -------------------------------------------------------------------------------


class Target:
    """One module, its mutants and what became of them."""

    def __init__(self, name: str, results: Results) -> None:
        self.name = name
        self.path = PACKAGE / name
        self.text = self.path.read_text(encoding="utf-8")
        self.mutants = mutants_of(self.text, name)
        self._results = results
        self.keys = Results.keys(name, self.mutants)

    def open(self, *, again: bool) -> list[int]:
        """The numbers of those that are to be tried."""
        settled = {KILLED} if again else {KILLED, SURVIVED}
        return [number for number, key in enumerate(self.keys) if self._results.get(key) not in settled]

    def survivors(self) -> list[Mutant]:
        return [
            mutant for key, mutant in zip(self.keys, self.mutants, strict=True) if self._results.get(key) == SURVIVED
        ]

    def try_in_functions(self, bench: Bench, numbers: list[int], functions: Functions) -> dict[int, list[str]]:
        """Try, in forks of this process, what changes functions; give the tests for the others."""
        own = self._own_tests
        everything = sorted(bench.items, key=lambda name: (own not in name, bench.seconds[name]))
        left: dict[int, list[str]] = {}
        for number in numbers:
            mutant = self.mutants[number]
            names = bench.tests_of(self.path, range(mutant.lines[0], mutant.lines[1] + 1))
            if mutant.function is None:
                left[number] = self._tests_at_import(mutant, bench) or everything
            elif not names:
                left[number] = everything  # a function that makes constants, when the module is imported
            elif not self._try_in_function(number, bench, functions, names):
                left[number] = names
        return left

    @property
    def _own_tests(self) -> str:
        return f"test_{self.path.stem.lstrip('_')}"

    def _try_in_function(self, number: int, bench: Bench, functions: Functions, names: list[str]) -> bool:
        """Try one in a fork; False where the change cannot be made in a function that is there already."""
        mutant = self.mutants[number]
        place = mutant.function
        assert place is not None
        code = code_of(compiled(mutant.tree(), self.path), place)
        there = functions.get((place.qualname, place.line), [])
        if code is None or any(function.__code__.co_freevars != code.co_freevars for function in there) or not there:
            return False

        def work() -> int:
            for function in there:
                function.__code__ = code
            empty_caches()
            return int(bench.fails(names))

        self._note(number, KILLED if is_failure(forked(work)) else SURVIVED)
        return True

    def _tests_at_import(self, mutant: Mutant, bench: Bench) -> list[str]:
        """Give the tests that run a function in which the changed name occurs; none where it is not known which those are."""
        if mutant.constant is None:
            return []
        tree = ast.parse(self.text)
        wanted = {mutant.constant}
        while True:
            more = {
                target.id
                for statement in tree.body
                if isinstance(statement, (ast.Assign, ast.AnnAssign)) and wanted & _names_in(statement.value)
                for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
                if isinstance(target, ast.Name)
            }
            if more <= wanted:
                break
            wanted |= more
        lines = {
            name.lineno
            for function in ast.walk(tree)
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
            for name in ast.walk(function)
            if isinstance(name, ast.Name) and name.id in wanted
        }
        return bench.tests_of(self.path, lines)

    def try_at_import(self, number: int, names: list[str]) -> None:
        """Make the change where nothing is imported yet; first with the module's own tests, which mostly suffice, then with the others."""
        mutant = self.mutants[number]
        module = "apcore." + self.name.removesuffix(".py").replace("/", ".")
        own = [name for name in names if self._own_tests in name]

        def with_tests(chosen: list[str]) -> int:
            code = compiled(mutant.tree(), self.path)
            sys.meta_path.insert(0, ChangedFinder(module, self.path, code))  # type: ignore[arg-type]
            files = sorted({name.partition("::")[0] for name in chosen})
            os.chdir(ROOT)
            return int(pytest.main([*PYTEST_OPTIONS, "-x", *files], plugins=[Chosen(chosen)]))

        parts = [part for part in (own, [name for name in names if name not in set(own)]) if part]
        killed = any(is_failure(forked(lambda part=part: with_tests(part))) for part in parts)  # type: ignore[misc]
        self._note(number, KILLED if killed else SURVIVED)

    def _note(self, number: int, result: str) -> None:
        mutant = self.mutants[number]
        self._results.add(self.keys[number], result, line=mutant.lines[0], name=mutant.name)


def try_together(targets: Sequence[Target], tests: Sequence[str], *, again: bool, only: str | None) -> None:
    """Try what is open of modules that have the same tests. This process stays free of apcore; results are added to the file."""
    numbers = {
        target.name: [
            number
            for number in target.open(again=again)
            if only is None or (only == "functions") == (target.mutants[number].function is not None)
        ]
        for target in targets
    }
    wanted = [target for target in targets if numbers[target.name]]
    if not wanted:
        return
    with tempfile.TemporaryDirectory() as place:
        notes = Path(place) / "left.json"

        def use(bench: Bench) -> None:
            functions = {target.name: _functions(target.path) for target in wanted}
            # What is here already need not be looked through by every fork's collector. (Nor is it found any more.)
            gc.collect()
            gc.freeze()
            if bench.fails_in_fork(sorted(bench.items, key=lambda name: bench.seconds[name])):
                raise RuntimeError("tests fail in another order, without any change: nothing can be learnt")
            left = {
                target.name: target.try_in_functions(bench, numbers[target.name], functions[target.name])
                for target in wanted
            }
            notes.write_text(json.dumps(left), encoding="utf-8")

        def on_bench() -> int:
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            os.chdir(ROOT)
            arguments = [*PYTEST_OPTIONS, *(str(ROOT / test) for test in tests)]
            return int(pytest.main(arguments, plugins=[Bench([target.path for target in wanted], use)]))

        if forked(on_bench, quiet=False) != 0:
            raise SystemExit("the tests could not be run")
        left = json.loads(notes.read_text(encoding="utf-8"))
    for target in wanted:
        for number, names in left[target.name].items():
            target.try_at_import(int(number), names)


def _names_in(node: ast.AST | None) -> set[str]:
    return set() if node is None else {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}


def _cached_function() -> None:
    """Exists for the type of what `lru_cache` makes."""


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
    given = parser.parse_args(arguments)
    sys.dont_write_bytecode = True
    chosen = [name for name in TARGETS if not given.parts or any(name.startswith(part) for part in given.parts)]
    if not chosen:
        parser.error(f"none of {', '.join(given.parts)} is tried; there are: {', '.join(TARGETS)}")
    results = Results(given.results)
    if not given.list:
        for tests in dict.fromkeys(TARGETS[name] for name in chosen):
            try_together(
                [Target(name, results) for name in chosen if TARGETS[name] == tests],
                tests,
                again=given.again,
                only=given.only,
            )
    results = Results(given.results)
    listed = listed_survivors()
    totals: Counter[str] = Counter()
    for name in chosen:
        target = Target(name, results)
        survivors = target.survivors()
        new = [mutant for mutant in survivors if (name, mutant.name) not in listed]
        untried = len(target.open(again=False))
        totals.update(
            mutants=len(target.mutants), tried=len(target.mutants) - untried, survived=len(survivors), new=len(new)
        )
        print(
            f"{name}: {len(target.mutants)} mutants, {len(survivors)} survived, {len(new)} without a reason, {untried} not tried"
        )
        for mutant in new:
            print(f"  {mutant.lines[0]:4} - {mutant.name}")
    share = 100 * totals["survived"] / max(totals["tried"], 1)
    print(
        f"{totals['mutants']} mutants, {totals['tried']} tried, {totals['survived']} survived ({share:.1f} %), {totals['new']} without a reason"
    )
    return 1 if totals["new"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
