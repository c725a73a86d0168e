"""Settings that hold for every test, and the summary of the shared vectors."""

import gc
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from vector_counts import SUITES
from vector_files import VECTORS

# The time of an example depends on other users of the machine, but the findings of a test must not.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")

# A shell's background jobs ignore interrupts, and so would every process that a test starts in one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

HERE = Path(__file__).parent

WITH_VECTORS = ("vectors", True)
"""The property of a test with the shared vectors. A report carries it from a worker process to the summary."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """Run selected files or tests in one process, and directories in two processes per core.

    A few files are done before workers have started. Many tests wait for sockets and processes, so one process per core
    would leave the cores idle half of the time.
    """
    selection = [Path(argument.partition("::")[0]) for argument in config.args]
    return 0 if all(path.is_file() for path in selection) else 2 * (os.cpu_count() or 1)


# Tests start hundreds of processes, and each would compile all of apcore anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Hide all modules and tests from the garbage collector, which makes each of its runs a hundred times cheaper."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


class _DirectoryOfWorker(pytest.Dir):
    """A directory that each worker process collects from another place on, and so loads what others have compiled."""

    def collect(self):
        nodes = list(super().collect())
        worker = self.config.workerinput
        start = int(worker["workerid"].removeprefix("gw")) * len(nodes) // worker["workercount"]
        return nodes[start:] + nodes[:start]


def pytest_collect_directory(path, parent):
    if path == HERE and hasattr(parent.config, "workerinput"):
        return _DirectoryOfWorker.from_parent(parent, path=path)
    return None


@pytest.fixture(autouse=True, scope="module")
def collect_garbage():
    """Collect the garbage of a module, so that a database or socket left open fails this module and no other.

    What survives is a cache, and is hidden from later collections: syntax trees alone are a million objects.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish():
    """Hide all objects from the ten collections that pytest makes at its end; each module's garbage is collected."""
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items):
    """Run the long tests first, so that no worker has one left at the end, and mark tests with the shared vectors.

    A test uses the vectors if its file imports a name of the modules that find them.
    The order in which a process collected is undone before the tests are shuffled, as it differs by process.
    """
    items.sort(key=lambda item: item.path)
    yield
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    names = {"needs_vectors", "VECTORS", "load_json", "load_tests"}
    for item in items:
        if names & vars(getattr(item, "module", None) or object).keys():
            item.user_properties.append(WITH_VECTORS)


def pytest_terminal_summary(terminalreporter, config):
    """Print how many vector tests passed, and after failures the seed of the order, which `-q` hides.

    The tests that pin the counts ensure that no vectors get lost.
    """
    if terminalreporter.getreports("failed") + terminalreporter.getreports("error"):
        seed = config.getoption("randomly_seed", None)
        if seed is not None:
            terminalreporter.write_line(f"order: --randomly-seed={seed}")
    if not VECTORS.is_dir():
        terminalreporter.write_line(f"vectors: none at {VECTORS}")
        return
    passed = Counter(
        report.nodeid.partition("::")[0]
        for report in terminalreporter.getreports("passed")
        if WITH_VECTORS in map(tuple, report.user_properties)
    )
    failed = {report.nodeid.partition("::")[0] for report in terminalreporter.getreports("failed")}
    for name in sorted(passed):
        terminalreporter.write_line(f"vectors: {passed[name]:5} passed in {name}")
        if name not in failed:
            for suite in (suite for suite in SUITES if suite.test == name):
                terminalreporter.write_line(f"         {suite.cases:5} cases of {suite.path}")


@pytest.fixture(scope="session")
def postgres_server():
    """Return a PostgreSQL server of this process."""
    from database_servers import PostgresServer

    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def redis_server():
    """Return a Redis server of this process."""
    from database_servers import RedisServer

    server = RedisServer()
    yield server
    server.close()
