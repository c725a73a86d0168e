"""Kill a writer in the middle of its work, and check that the store has every acknowledged commit.

The writer (`apcore.cli.selfcheck.writer`) prints each number after the store has acknowledged its commit. This step
reads some numbers, sends SIGKILL, reads the remaining output, and opens the store.
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
"""The number of acknowledged commits after which the writer is killed, usually during the next commit."""


def survive_a_kill(directory: Path, /) -> str:
    """Kill a writer, and check that the store has all acknowledged commits and at most one more."""
    command = [sys.executable, "-m", "apcore.cli.selfcheck.writer", str(directory)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as writer:  # noqa: S603 - apcore
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(_ACKNOWLEDGED_MIN)]
        writer.kill()
        lines += writer.stdout.readlines()
    expect(lines[_ACKNOWLEDGED_MIN - 1] != b"", "the writer ended by itself; standard error has its output")
    acknowledged = [int(line) for line in lines if line.endswith(b"\n")]
    with closing(open_in(directory)) as store:
        stored = [int(entry.value) for entry in store.scan(("n",), limit=SCAN_LIMIT_MAX)]
    missing = sorted(set(acknowledged) - set(stored))
    expect(not missing, f"{len(missing)} acknowledged commits are missing, the first is number {missing[:1]}")
    expect(stored == list(range(len(stored))), "the entries have a gap, or are out of order")
    excess = len(stored) - len(acknowledged)
    expect(excess <= 1, f"the store has {excess} commits that were not acknowledged; it can have at most one")
    return f"SIGKILL after {len(acknowledged)} acknowledged commits; {len(stored)} found, none missing"
