"""A demonstration on one machine: two servers federate, and one of them is killed at the worst moment."""

from apcore.cli.demo.command import command

__all__ = ["command"]
