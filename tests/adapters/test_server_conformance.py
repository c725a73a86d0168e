"""Check that the stores on servers keep the contracts: blocking, and on event loops.

The functions in the server get the clock of the test, so nothing is left out. ``APCORE_ENGINE_EXAMPLES`` sets the
number of random histories of each of the three models, 40 steps each.
"""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from apcore.testing.atomic import atomic_checks
from apcore.testing.bridge import bridge
from apcore.testing.histories import run_processes, run_threads
from apcore.testing.queue import queue_checks
from apcore.testing.store import store_checks

EXAMPLES = int(os.environ.get("APCORE_ENGINE_EXAMPLES", "3"))
CHECKS = [*store_checks(examples=EXAMPLES), *queue_checks(examples=EXAMPLES), *atomic_checks(examples=EXAMPLES)]

pytestmark = pytest.mark.usefixtures("database_server")


@pytest.fixture(params=["postgres", "redis"])
def database_server(request):
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture
def make(database_server):
    """Return a factory of new and empty stores."""
    return lambda clock: database_server.open(database_server.new_url(), clock)


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_blocking_store_keeps_the_contracts(check, make):
    check(make)


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_store_keeps_the_contracts_on_asyncio(check, make):
    check(bridge(make, "asyncio"))


@pytest.mark.parametrize(
    "check", [check for check in CHECKS if check.name in ("agrees_with_the_model", "waiting_ends")], ids=str
)
def test_store_keeps_the_contracts_on_trio(check, make):
    """There the blocking store runs in threads, so a few checks suffice."""
    check(bridge(make, "trio"))


def test_histories_of_threads_are_consistent(database_server):
    with closing(database_server.open(database_server.new_url())) as store:
        report = run_threads(store, threads=4, steps=60)
    assert report.wrong == []
    assert min(report.swaps, report.refused, report.claims, report.messages) > 0


@pytest.mark.long
def test_histories_of_processes_are_consistent(database_server):
    """Run for as long as ``APCORE_HISTORY_S`` says."""
    seconds = float(os.environ.get("APCORE_HISTORY_S", "1"))
    processes = int(os.environ.get("APCORE_HISTORY_PROCESSES", "3"))
    report = run_processes(database_server.new_url(), processes=processes, seconds=seconds)
    assert report.wrong == []
    # On a busy machine the processes may take turns, so that no commit is refused.
    assert min(report.swaps, report.claims, report.messages) > 0
