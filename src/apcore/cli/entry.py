"""`main`, which the installed script calls: it finds out whether the command line's own dependencies are there.

They come with the extra ``cli``, so this file imports none of them at its top, and a bare installation is told what to do rather than shown a
traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from apcore.cli import exit_codes

__all__ = ["main"]

_NEEDED: Final = frozenset({"click", "rich", "uvicorn"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: Those after the program's name; by default the process's own.
    """
    try:
        from apcore.cli.commands import run_command

        return run_command(sys.argv[1:] if arguments is None else arguments)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _NEEDED:
            raise
        sys.stderr.write(
            f"apcore: the command line needs {error.name}, which is not installed here.\n"
            "It comes with the extra 'cli':  python -m pip install 'apcore[cli]'\n"
        )
        return exit_codes.MISSING
