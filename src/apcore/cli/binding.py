"""Load the target of ``serve``, ``work``, ``rotate`` and ``check``, and bind it to a node.

A target is a federation (which options bind), a node, or a function that returns one of them. It is named as web
servers name applications, ``module:name``, and the working directory is searched first. A target that cannot be found
or bound is a usage error. The message describes the value that stands under the name.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, Final, TypeAlias, TypeGuard, TypeVar

import click
from click.core import ParameterSource

from apcore.errors import ApcoreError, ConfigurationError
from apcore.federation import Federation
from apcore.http import LOOPBACK_OPEN, PUBLIC_ONLY
from apcore.node import AsyncNode, Node

__all__ = ["Target", "bind_node", "load_target", "node_options", "refuse_options"]

Target: TypeAlias = Federation[Any] | Node[Any] | AsyncNode[Any]

_KINDS: Final = (Federation, Node, AsyncNode)
_DEFAULT_NAMES: Final = ("federation", "node")
_HANDLE_HOST: Final = f"{__name__}.handle_host"
_BINDING_OPTIONS: Final = ("origin", "store", "handle_host", "signer", "allow_loopback")
"""The options that bind a federation. A node has its own settings instead."""

F = TypeVar("F", bound=Callable[..., Any])


def node_options(command: F) -> F:
    """Add the arguments of `bind_node` to a command."""
    decorators = (
        click.argument("target", metavar="MODULE[:NAME]"),
        click.option(
            "--origin",
            envvar="APCORE_ORIGIN",
            metavar="URL",
            help="The origin at which peers reach this server, such as https://social.example. [env: APCORE_ORIGIN]",
        ),
        click.option(
            "--store",
            envvar="APCORE_STORE",
            metavar="URL",
            help="The store, such as sqlite:///social.db. [env: APCORE_STORE]",
        ),
        click.option(
            "--handle-host",
            envvar="APCORE_HANDLE_HOST",
            metavar="HOST",
            expose_value=False,
            callback=_note_handle_host,
            help="The host in the handles of your actors, if it is not that of the origin. [env: APCORE_HANDLE_HOST]",
        ),
        click.option(
            "--signer",
            default="store:",
            show_default=True,
            envvar="APCORE_SIGNER",
            metavar="URL",
            help="The store of private keys, such as file:///path/of/keys. [env: APCORE_SIGNER]",
        ),
        click.option(
            "--allow-loopback",
            is_flag=True,
            help="Allow plain http and addresses of this machine. Only for development: peers choose the fetched URLs.",
        ),
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def _note_handle_host(context: click.Context, _option: click.Parameter, value: str | None) -> None:
    """Keep the option for `bind_node`, so that not every command has to pass it on."""
    context.meta[_HANDLE_HOST] = value


def load_target(target: str, /) -> Target:
    """Import the federation or node that ``module:name`` names, or call the function that returns it.

    The default name is ``federation``, or ``node`` in a module without a federation.

    Raises:
        click.UsageError: The module does not exist, the value is of another kind, or the function fails.
    """
    module_name, _, name = target.partition(":")
    module = _import(module_name, target)
    names = (name,) if name else _DEFAULT_NAMES
    values = {candidate: _attribute(module, candidate) for candidate in names}
    name = next((candidate for candidate in names if values[candidate] is not None), names[0])
    value = values[name]
    if _is_target(value):
        return value
    if value is None or isinstance(value, type) or not callable(value):
        raise click.UsageError(f"{module_name}:{name} is {_kind_of(value)}, not {_describe_targets(module)}")
    return _call_factory(f"{module_name}:{name}", value, module)


def bind_node(
    target: str,
    *,
    origin: str | None,
    store: str | None,
    signer: str,
    allow_loopback: bool,
    picks_origin: bool = False,
) -> Node[Any] | AsyncNode[Any]:
    """Return the node for a command: the target itself, or its federation bound by the options.

    With ``picks_origin``, --origin is allowed for a node, and selects one of its origins.

    Raises:
        click.UsageError: The federation cannot be bound with these options, or the target is a node and the command
            line has options that only bind a federation.
    """
    value = load_target(target)
    if isinstance(value, (Node, AsyncNode)):
        refuse_options(target, value, *(name for name in _BINDING_OPTIONS if not (picks_origin and name == "origin")))
        return value
    for option, setting in (("--origin", origin), ("--store", store)):
        if setting is None:
            raise click.UsageError(f"{target} is a Federation, which has to be bound: add {option}")
    assert store is not None
    addresses = LOOPBACK_OPEN if allow_loopback else PUBLIC_ONLY
    try:
        handle_host: str | None = click.get_current_context().meta.get(_HANDLE_HOST)
        return AsyncNode(value, origin, store, signer=signer, addresses=addresses, handle_host=handle_host)
    except ConfigurationError as error:
        is_http = origin is not None and origin.startswith("http:")
        hint = "; for development, use --allow-loopback" if is_http and not allow_loopback else ""
        raise click.UsageError(f"{error}{hint}") from error
    except ApcoreError as error:
        raise click.ClickException(str(error)) from error


def refuse_options(target: str, node: Node[Any] | AsyncNode[Any], *names: str) -> None:
    """Refuse the options ``names`` on the command line if the target is a node.

    The same settings in the environment are ignored, because they may be for other commands.

    Raises:
        click.UsageError: One of the options is on the command line.
    """
    context = click.get_current_context()
    typed = [name for name in names if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if typed:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in typed)
        raise click.UsageError(f"{target} is {_kind_of(node)}, which was made with its own: leave out {options}")


def _import(module_name: str, target: str) -> ModuleType:
    if "" not in sys.path and sys.path[0] != ".":
        sys.path.insert(0, "")
    try:
        return import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise click.UsageError(f"{module_name} cannot be imported: {error}") from error
        raise click.UsageError(f"there is no module {module_name!r} here or among the installed packages") from error
    except (ValueError, TypeError) as error:
        raise click.UsageError(f"{target!r} names no module: write module:name, such as hello:federation") from error
    except ConfigurationError as error:
        raise click.UsageError(f"{module_name} cannot be imported: {error}") from error


def _is_target(value: object) -> TypeGuard[Target]:
    return isinstance(value, _KINDS)


def _attribute(module: ModuleType, name: str) -> object:
    value: object = module
    for part in name.split("."):
        value = getattr(value, part, None)
    return value


def _call_factory(name: str, factory: Callable[..., Any], module: ModuleType) -> Target:
    """Call a function that returns a federation or a node."""
    if inspect.iscoroutinefunction(factory):
        raise click.UsageError(f"{name} is a coroutine function: define it with def, not async def")
    try:
        _ = inspect.signature(factory).bind()
    except (TypeError, ValueError) as error:
        raise click.UsageError(
            f"{name} is {_kind_of(factory)} that needs arguments, not {_describe_targets(module)}"
        ) from error
    try:
        product: object = factory()
    except ConfigurationError as error:
        raise click.UsageError(f"{name}() makes no node: {error}") from error
    if not _is_target(product):
        raise click.UsageError(f"{name}() returns {_kind_of(product)}, not {_describe_targets(module)}")
    return product


def _kind_of(value: object) -> str:
    if value is None:
        return "nothing"
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def _describe_targets(module: ModuleType) -> str:
    """Describe the possible kinds of targets, and name the targets in ``module``."""
    names = sorted(name for name, value in vars(module).items() if _is_target(value))
    candidates = f"; there is: {', '.join(f'{module.__name__}:{name}' for name in names)}" if names else ""
    return f"a Federation, a Node, an AsyncNode or a function without parameters that makes one{candidates}"
