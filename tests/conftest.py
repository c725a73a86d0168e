"""What holds for every test."""

import signal
from collections import Counter

import pytest
from hypothesis import settings

from vector_counts import SUITES

# How long one example takes depends on who else is using the machine; what a test finds must not.
settings.register_profile("default", deadline=None)
settings.load_profile("default")

# A shell's background jobs ignore interrupts, and so would every process that a test starts in one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

VECTOR_FILES = pytest.StashKey[set[str]]()


def pytest_collection_modifyitems(config, items):
    """Remember which files test with the shared vectors: those that import from where these are found."""
    known = {"needs_vectors", "VECTORS", "load_json", "load_tests"}
    config.stash[VECTOR_FILES] = {
        item.nodeid.partition("::")[0] for item in items if known & vars(getattr(item, "module", None) or object).keys()
    }


def pytest_terminal_summary(terminalreporter, config):
    """Print how much of the vectors has passed; that nothing falls away is for the tests that pin the counts."""
    files = config.stash.get(VECTOR_FILES, set())
    passed = Counter(report.nodeid.partition("::")[0] for report in terminalreporter.getreports("passed"))
    failed = {report.nodeid.partition("::")[0] for report in terminalreporter.getreports("failed")}
    for name in sorted(files & passed.keys()):
        terminalreporter.write_line(f"vectors: {passed[name]:5} passed in {name}")
        if name not in failed:
            for suite in (suite for suite in SUITES if suite.test == name):
                terminalreporter.write_line(f"         {suite.cases:5} cases of {suite.path}")
