"""``python -m apcore.cli``: the command line where the script is not on the path."""

from __future__ import annotations

import sys

from apcore.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
