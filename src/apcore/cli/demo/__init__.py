"""The main job shown on one machine: two servers that federate, and one of them killed at the worst moment."""

from apcore.cli.demo.command import command

__all__ = ["command"]
