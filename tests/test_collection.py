"""The names of tests: worker processes collect for themselves, and have to find the same ones."""

from __future__ import annotations

import os
import subprocess
import sys


def test_the_names_of_tests_are_the_same_in_every_process(request):
    """A name made of what differs (a set's order, the time of day, random bytes) fails the whole run, and only now and then.

    So everything that this process has collected is collected again: later, and with another order of sets.
    """
    here = {item.nodeid for item in request.session.items}
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
    done = subprocess.run(
        [*command, *request.config.args],
        cwd=request.config.invocation_params.dir,
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert sorted(here - set(done.stdout.splitlines())) == []
