"""Define `main`, the function behind the installed script, and report missing dependencies of the command line.

These dependencies come with the extra ``cli``. So this module does not import them at its top. In an installation
without the extra, `main` prints how to install it, not a traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from apcore.cli import exit_codes

__all__ = ["main"]

_NEEDED: Final = frozenset({"click", "rich", "uvicorn"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit code.

    Args:
        arguments: The arguments after the program's name. By default those of the process.
    """
    try:
        from apcore.cli.command_group import run_command

        return run_command(sys.argv[1:] if arguments is None else arguments)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _NEEDED:
            raise
        sys.stderr.write(
            f"apcore: the command line needs {error.name}, which is not installed here.\n"
            "It comes with the extra 'cli':  python -m pip install 'apcore[cli]'\n"
        )
        return exit_codes.MISSING
