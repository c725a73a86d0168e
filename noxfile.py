"""What can be run here: ``nox`` runs the fast defaults, ``nox -l`` lists everything.

Every session installs what it needs into an environment of its own. The settings of the tools stand in pyproject.toml.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "tests", "docs"]
nox.options.default_venv_backend = "virtualenv"

PYTHONS = ["3.11", "3.12", "3.13"]
HERE = Path(__file__).parent
# The Python server that apcore is tried against. Fedify's version stands in interop/package.json.
DAT = ["django-activitypub-toolkit==0.2.0", "django>=5.2,<6"]
# Posts in the spellings of many servers, which inboxes are tried with.
PASTURE = ["fediverse-pasture-inputs==0.3.0"]
# Whose signatures ours are measured against and checked with.
OTHERS = ["apsig==0.6.0", "http-message-signatures==3.0.0"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run all tests on all cores; arguments go to pytest: ``nox -s tests-3.12 -- tests/drive -x``."""
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
    """Benchmarks by name: ``nox -s bench -- kernel`` (with the store's); without a name, all. Options after the names go to each."""
    there = {path.stem: path for path in sorted((HERE / "benchmarks").glob("[!_]*.py"))}
    names, options = _named(session, there, "benchmark")
    session.install("-e", ".[test]")
    if names == ["kernel"] and not options:
        names = ["kernel", "store"]
    if names == ["jsonld"] and not options and shutil.which("npm") is not None:
        place = Path(session.create_tmp())
        session.run("npm", "install", "--prefix", str(place), "--no-audit", "--no-fund", "jsonld@9", external=True)
        options = ["--node-modules", str(place / "node_modules")]
    if names == ["signatures"] and not options:
        session.install(*OTHERS)
        modules = _fedify(session)
        options = ["--node-modules", str(modules)] if modules else []
    if names and not set(names) - {"fanout", "idle"} and not options:
        modules = _fedify(session)
        options = ["--fedify", str(modules)] if modules else []
    for name in names:
        session.run("python", "-m", f"benchmarks.{name}", *options)


@nox.session(python="3.11")
def fuzz(session: nox.Session) -> None:
    """Long searches for what breaks, by room: ``nox -s fuzz -- jsonld``, ``-- jsonld --work``; options after the names go to each."""
    there = {path.parent.name: path for path in sorted((HERE / "tests").glob("*/fuzz.py"))}
    names, options = _named(session, there, "room with a fuzzer")
    session.install("-e", ".[test]", *(["atheris>=3"] if "--atheris" in options else []))
    for name in names:
        session.run("python", str(there[name].relative_to(HERE)), *options)


@nox.session(python="3.11")
def mutants(session: nox.Session) -> None:
    """Change the code that decides about trust, and see whether a test notices: ``nox -s mutants -- signatures/cavage.py``; hours without a part."""
    session.install("-e", ".[test]", "coverage>=7.6")
    session.run("python", "tests/mutants/run.py", *session.posargs)


@nox.session(python="3.11")
def simulate(session: nox.Session) -> None:
    """Simulated histories: ``nox -s simulate -- --seed N`` repeats one, ``-- --count N`` takes as many seeds."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "apcore.testing.simulation", *session.posargs)


@nox.session(python="3.11")
def crash(session: nox.Session) -> None:
    """Kill servers, workers, writers and databases at random moments and look for all that they had acknowledged: ``nox -s crash -- 50`` kills."""
    kills = session.posargs[0] if session.posargs else "50"
    if not kills.isdigit():
        session.error(f"crash takes a number of kills, not {kills!r}")
    session.install("-e", ".[test]")
    session.run(
        "python",
        "-m",
        "pytest",
        "-n0",  # a worker process shows nothing of what a test prints
        "-s",
        "tests/federation/test_crash.py",
        "tests/adapters/test_sqlite_crash.py",
        "tests/adapters/test_postgres_crash.py",
        env={
            "APCORE_CRASH_KILLS": kills,
            "APCORE_CRASH_ROUNDS": str(4 * int(kills)),
            "APCORE_TRANSACTION_KILLS": str(max(1, int(kills) // 8)),
        },
    )


@nox.session(python="3.11")
def histories(session: nox.Session) -> None:
    """Several processes on one SQLite file; what they saw has to be true together: ``-- --processes 8 --seconds 60``."""
    session.install("-e", ".[test]")
    url = f"sqlite:///{Path(session.create_tmp()) / 'histories.db'}"
    session.run("python", "-m", "apcore.testing.histories", "--store", url, *session.posargs)


@nox.session(python="3.11")
def interop(session: nox.Session) -> None:
    """Try apcore against Django ActivityPub Toolkit (from PyPI, in an environment of its own) and Fedify (by npm), both ways."""
    session.install("-e", ".[cli,test]")
    session.run("python", "interop/try_dat.py", str(_environment(session, "dat", DAT)), "--markdown")
    modules = _fedify(session)
    if modules is None:
        session.error("interop needs npm, which fetches Node and Fedify")
    session.run("python", "interop/try_fedify.py", str(modules.parent))


@nox.session(python="3.11")
def suites(session: nox.Session) -> None:
    """Run apcore on the inputs of public test suites, which come from PyPI into environments of their own."""
    session.install("-e", ".[test]")
    python = _environment(session, "pasture", PASTURE)
    inputs = Path(session.create_tmp()) / "pasture.json"
    with inputs.open("w", encoding="utf-8") as output:
        session.run(str(python), "interop/pasture_inputs.py", stdout=output, external=True)
    session.run(
        "python", "-m", "pytest", "-q", "tests/activitypub", env={"APCORE_PASTURE_INPUTS": str(inputs.resolve())}
    )


@nox.session(python="3.11")
def crosscheck(session: nox.Session) -> None:
    """Our signatures verified by the software of others and theirs by ours: ``-- --markdown`` prints the tables of the documentation."""
    session.install("-e", ".[test]", *OTHERS)
    modules = _fedify(session)
    options = ["--node-modules", str(modules)] if modules else []
    session.run("python", "-m", "interop.crosscheck", *options, *session.posargs)


def _environment(session: nox.Session, name: str, requirements: list[str]) -> Path:
    """Install packages into an environment without apcore, and return its interpreter."""
    environment = Path(session.create_tmp()) / name
    python = environment / "bin" / "python"
    session.run("python", "-m", "venv", "--clear", str(environment))
    session.run(str(python), "-m", "pip", "install", "--quiet", *requirements, external=True)
    return python


def _fedify(session: nox.Session) -> Path | None:
    """Install what interop/package.json names, and give its `node_modules`; None where there is no npm."""
    if shutil.which("npm") is None:
        session.warn("no npm, so no Fedify")
        return None
    place = Path(session.create_tmp())
    shutil.copy(HERE / "interop" / "package.json", place / "package.json")
    with session.chdir(place):
        session.run("npm", "install", "--no-audit", "--no-fund", "--loglevel=error", external=True)
    return place / "node_modules"


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
