"""Run the command line as ``python -m apcore.cli``, for environments without the ``apcore`` script on the path."""

from __future__ import annotations

import sys

from apcore.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
