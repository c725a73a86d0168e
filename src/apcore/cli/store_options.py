"""Open the store that a command works on: by its URL, or by a node of the application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import click

from apcore.cli.binding import load_target
from apcore.errors import ApcoreError, ConfigurationError
from apcore.federation import Federation
from apcore.node import AsyncNode, Node

__all__ = ["AnyNode", "result_of", "run_on_node", "store_options"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
AnyNode = Node[Any] | AsyncNode[Any]


def store_options(function: F) -> F:
    """Add the options that name a store: ``--store`` and ``--node``."""
    decorators = (
        click.option(
            "--store",
            envvar="APCORE_STORE",
            metavar="URL",
            help="The store, such as sqlite:///social.db. [env: APCORE_STORE]",
        ),
        click.option(
            "--node", "target", metavar="MODULE[:NAME]", help="A node whose store is used, instead of --store."
        ),
    )
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def run_on_node(
    action: Callable[[AnyNode], Coroutine[Any, Any, T]],
    *,
    store: str | None,
    target: str | None,
    is_temporary: bool = False,
) -> T:
    """Run ``action`` on the node of the options, and close it. A store in memory must be ``is_temporary``."""

    async def run() -> T:
        async with _opened(_node(store, target, is_temporary)) as node:
            return await action(node)

    try:
        return asyncio.run(run())
    except ApcoreError as error:
        raise click.ClickException(str(error)) from error


def _node(store: str | None, target: str | None, is_temporary: bool) -> AnyNode:
    if target is not None:
        node = load_target(target)
        if isinstance(node, Federation):
            raise click.UsageError(f"{target} is a Federation, which has no store: use --store instead of --node")
        return node
    if store is None:
        raise click.UsageError("name the store of the servers: use --store URL or --node MODULE:NAME")
    if store.startswith("memory:") and not is_temporary:
        raise click.UsageError("a store in memory belongs to one process: use the store of the servers")
    try:
        return AsyncNode(Federation(), None, store)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error


@asynccontextmanager
async def _opened(node: AnyNode) -> AsyncGenerator[AnyNode, None]:
    if isinstance(node, Node):
        with node:
            yield node
    else:
        async with node:
            yield node


async def result_of(answer: Any) -> Any:
    """Return the answer of a method of either node."""
    return await answer if hasattr(answer, "__await__") else answer
