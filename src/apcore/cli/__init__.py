"""The command line, ``apcore``."""

from apcore.cli.entry import main

__all__ = ["main"]
