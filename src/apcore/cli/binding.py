"""What ``serve``, ``work``, ``rotate`` and ``check`` take alike: a federation by name, and where it is bound.

A federation is named as servers name applications, ``module:attribute``, and looked for from the working directory first. What cannot be found or
bound is a wrong argument, and said in words.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, TypeVar

import click

from apcore.errors import ApcoreError, ConfigurationError
from apcore.federation import Federation
from apcore.http import LOOPBACK_OPEN, PUBLIC_ONLY
from apcore.node import AsyncNode

__all__ = ["bound_node", "load_federation", "node_options"]

_ATTRIBUTE: Final = "federation"

F = TypeVar("F", bound=Callable[..., Any])


def node_options(command: F) -> F:
    """Give a command the argument and options that `bound_node` takes."""
    decorators = (
        click.argument("target", metavar="MODULE[:NAME]"),
        click.option(
            "--origin",
            required=True,
            envvar="APCORE_ORIGIN",
            metavar="URL",
            help="Where peers reach this server, such as https://social.example. [env: APCORE_ORIGIN]",
        ),
        click.option(
            "--store",
            required=True,
            envvar="APCORE_STORE",
            metavar="URL",
            help="Where facts are kept, such as sqlite:///social.db. [env: APCORE_STORE]",
        ),
        click.option(
            "--signer",
            default="store:",
            show_default=True,
            envvar="APCORE_SIGNER",
            metavar="URL",
            help="Where private keys are kept, such as file:///path/of/keys. [env: APCORE_SIGNER]",
        ),
        click.option(
            "--allow-loopback",
            is_flag=True,
            help="Allow plain http and addresses of this machine. For development alone: strangers choose what is fetched.",
        ),
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def load_federation(target: str) -> Federation[Any]:
    """Import the federation that ``module:name`` names; without a name, ``federation`` is meant.

    Raises:
        click.UsageError: There is no such module, or no federation of that name in it.
    """
    module_name, _, name = target.partition(":")
    name = name or _ATTRIBUTE
    if "" not in sys.path and sys.path[0] != ".":
        sys.path.insert(0, "")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise click.UsageError(f"{module_name} cannot be imported: {error}") from error
        raise click.UsageError(f"there is no module {module_name!r} here or among what is installed") from error
    except (ValueError, TypeError) as error:
        raise click.UsageError(f"{target!r} names no module: write module:name, such as hello:federation") from error
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, Federation):
        here = sorted(each for each, value in vars(module).items() if isinstance(value, Federation))
        there = f"; there is: {', '.join(f'{module_name}:{each}' for each in here)}" if here else ""
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise click.UsageError(f"{module_name}:{name} is {what}, not a Federation{there}")
    return found  # pyright: ignore[reportUnknownVariableType]


def bound_node(target: str, *, origin: str, store: str, signer: str, allow_loopback: bool) -> AsyncNode[Any]:
    """Bind a federation by the options of a command.

    Raises:
        click.UsageError: It cannot be bound so.
    """
    federation = load_federation(target)
    addresses = LOOPBACK_OPEN if allow_loopback else PUBLIC_ONLY
    try:
        return AsyncNode(federation, origin, store, signer=signer, addresses=addresses)
    except ConfigurationError as error:
        hint = "" if allow_loopback or not origin.startswith("http:") else "; for development, --allow-loopback does"
        raise click.UsageError(f"{error}{hint}") from error
    except ApcoreError as error:
        raise click.ClickException(str(error)) from error
