"""Commit numbered entries, and print each number after the store has acknowledged it, until the step "crash" kills it.

This is a program of its own: ``python -m apcore.cli.selfcheck.writer DIRECTORY``.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from itertools import count
from pathlib import Path

from apcore.cli.selfcheck.storing import open_in
from apcore.ports import Check, Put

__all__ = ["write_until_killed"]


def write_until_killed(directory: Path, /) -> None:
    """Commit until the process is killed, or a commit is refused."""
    with closing(open_in(directory)) as store:
        for number in count():
            key = ("n", f"{number:06}")
            if not store.commit([Check(key, None)], [Put(key, b"%d" % number)], token=os.urandom(16)):
                raise SystemExit(f"commit {number} is False")
            _ = os.write(sys.stdout.fileno(), b"%d\n" % number)


if __name__ == "__main__":
    write_until_killed(Path(sys.argv[1]))
