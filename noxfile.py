"""What can be run here: ``nox`` runs the fast defaults, ``nox -l`` lists everything.

Every session installs what it needs into an environment of its own. The settings of the tools stand in pyproject.toml.
"""

from __future__ import annotations

from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "tests", "docs"]
nox.options.default_venv_backend = "virtualenv"

PYTHONS = ["3.11", "3.12", "3.13"]
HERE = Path(__file__).parent


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests; arguments go to pytest: ``nox -s tests-3.12 -- tests/drive -x``."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """Form and style: ruff format, ruff check."""
    session.install("ruff>=0.11")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")


@nox.session(python="3.11")
def types(session: nox.Session) -> None:
    """Both type checkers, strict."""
    session.install("-e", ".[test]")
    session.run("mypy")
    session.run("pyright", "--pythonpath", str(Path(session.bin) / "python"))


@nox.session(python="3.11")
def docs(session: nox.Session) -> None:
    """The documentation, warnings as errors, into docs/_build/html."""
    session.install("-e", ".[cli,docs,test]")
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "-E", "-b", "html", "docs", "docs/_build/html")


@nox.session(python="3.11")
def demo(session: nox.Session) -> None:
    """The command line's demo; arguments go to it: ``nox -s demo -- --json``."""
    session.install("-e", ".[cli,trio]")
    session.run("apcore", "demo", *session.posargs)


@nox.session(python="3.11")
def bench(session: nox.Session) -> None:
    """Benchmarks by name: ``nox -s bench -- kernel``; without a name, all of them. Options after a name go to it."""
    there = {path.stem: path for path in sorted((HERE / "benchmarks").glob("*.py")) if not path.stem.startswith("_")}
    names, options = _named(session, there, "benchmark")
    session.install("-e", ".[test]")
    for name in names:
        session.run("python", str(there[name].relative_to(HERE)), *options)


@nox.session(python="3.11")
def fuzz(session: nox.Session) -> None:
    """Longer searches by the property tests: ``nox -s fuzz -- jsonld``; names are the directories under tests/."""
    there = {path.name: path for path in sorted((HERE / "tests").iterdir()) if any(path.glob("test_*.py"))}
    names, options = _named(session, there, "room with tests")
    session.install("-e", ".[test]")
    paths = [str(there[name].relative_to(HERE)) for name in names]
    # The marker is set by hypothesis on what it runs; the profile is registered in tests/conftest.py.
    session.run("python", "-m", "pytest", "-m", "hypothesis", "--hypothesis-profile=fuzz", *options, *paths)


@nox.session(python="3.11")
def simulate(session: nox.Session) -> None:
    """Simulated histories: ``nox -s simulate -- --seed N`` repeats one, ``-- --runs N`` takes as many seeds."""
    _script(session, "tests/simulation/search.py")


@nox.session(python="3.11")
def crash(session: nox.Session) -> None:
    """Kill writers at random moments and look for what they had acknowledged: ``nox -s crash -- --kills 200``."""
    _script(session, "tests/crash/kill_writers.py")


def _named(session: nox.Session, there: dict[str, Path], what: str) -> tuple[list[str], list[str]]:
    """Split the arguments into names and options; an unknown name is answered with the list of those that exist."""
    split = next((i for i, word in enumerate(session.posargs) if word.startswith("-")), len(session.posargs))
    names, options = list(session.posargs[:split]), list(session.posargs[split:])
    unknown = [name for name in names if name not in there]
    if unknown:
        session.error(f"there is no {what} {', '.join(unknown)}; there are: {', '.join(there) or 'none yet'}")
    if not there:
        session.error(f"there is no {what} yet")
    return names or list(there), options


def _script(session: nox.Session, path: str) -> None:
    if not (HERE / path).is_file():
        session.error(f"{path} does not exist yet; there is nothing to run")
    session.install("-e", ".[test]")
    session.run("python", path, *session.posargs)
