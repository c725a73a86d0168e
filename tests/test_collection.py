"""Check the names of tests: each worker process collects for itself, and must find the same names."""

from __future__ import annotations

import os
import subprocess
import sys


def test_names_of_tests_are_the_same_in_every_process(request):
    """Collect again everything that this process has collected, later and with another order of sets.

    A name made from a varying value (the order of a set, the time, random bytes) would make the whole run fail now and
    then.
    """
    names = {item.nodeid for item in request.session.items}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-n0",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
    ]
    process = subprocess.run(
        [*command, *request.config.args],
        cwd=request.config.invocation_params.dir,
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr
    assert sorted(names - set(process.stdout.splitlines())) == []
