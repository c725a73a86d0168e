"""A writer is killed in the middle of its work; what it had acknowledged has to be there.

The writer (`apcore.cli.selfcheck.writer`) says each number on its standard output after the store answered True for it. We read some of them, send
SIGKILL, read what else had been said, and open the store.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

from apcore.cli.selfcheck.storing import open_in
from apcore.cli.step_results import expect
from apcore.ports import SCAN_LIMIT_MAX

__all__ = ["survive_a_kill"]

_ACKNOWLEDGED_MIN: Final = 50
"""The writer is killed when it has acknowledged so many commits, somewhere in the middle of the next."""


def survive_a_kill(directory: Path, /) -> str:
    """Kill a writer, and find every commit that it acknowledged and at most one more."""
    command = [sys.executable, "-m", "apcore.cli.selfcheck.writer", str(directory)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as writer:  # noqa: S603 - ourselves
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(_ACKNOWLEDGED_MIN)]
        writer.kill()
        lines += writer.stdout.readlines()
    expect(lines[_ACKNOWLEDGED_MIN - 1] != b"", "the writer ended by itself; what it said is on standard error")
    acknowledged = [int(line) for line in lines if line.endswith(b"\n")]
    with closing(open_in(directory)) as store:
        found = [int(entry.value) for entry in store.scan(("n",), limit=SCAN_LIMIT_MAX)]
    missing = sorted(set(acknowledged) - set(found))
    expect(not missing, f"{len(missing)} acknowledged commits are gone, the first is number {missing[:1]}")
    expect(found == list(range(len(found))), "the entries have a gap, or are out of order")
    unsaid = len(found) - len(acknowledged)
    expect(unsaid <= 1, f"{unsaid} commits are there that nobody acknowledged; at most one can be")
    return f"SIGKILL after {len(acknowledged)} acknowledged commits; {len(found)} found, none missing"
