"""``apcore work``: the worker of a federation in a process of its own, beside servers that run with ``--no-worker``."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from types import FrameType
from typing import Any, Final

import click

from apcore.cli import exit_codes
from apcore.cli.binding import bound_node, node_options
from apcore.errors import ApcoreError
from apcore.node import AsyncNode, Node

__all__ = ["command"]

_AGAIN_S: Final = 1.0
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_LOG: Final = logging.getLogger(__name__)


@click.command("work", short_help="Work through the queue of a federation.")
@node_options
@click.option("--until-idle", is_flag=True, help="End when nothing is due.")
@click.option("--limit", "limit_s", type=click.FloatRange(min=0, min_open=True), help="End after that many seconds.")
def command(
    *,
    target: str,
    origin: str | None,
    store: str | None,
    signer: str,
    allow_loopback: bool,
    until_idle: bool,
    limit_s: float | None,
) -> int:
    """Process what arrived, and deliver what was sent, until interrupted.

    Any number of workers may share a store. MODULE:NAME, --origin and --store are those of the servers; MODULE:NAME may also be a Node.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(name)s: %(message)s")
    node = bound_node(target, origin=origin, store=store, signer=signer, allow_loopback=allow_loopback)
    try:
        if isinstance(node, Node):
            handled = _work_blocking(node, until_idle=until_idle, limit_s=limit_s)
        else:
            handled = asyncio.run(_work(node, until_idle=until_idle, limit_s=limit_s))
    except ApcoreError as error:
        raise click.ClickException(str(error)) from error
    if handled is not None:
        click.echo(f"{handled} messages handled")
    return exit_codes.DONE


async def _work(node: AsyncNode[Any], *, until_idle: bool, limit_s: float | None) -> int | None:
    """Work until the end that was asked for, or until SIGTERM or Ctrl-C.

    The first signal lets it finish what it has begun, the second does not. Answers how many messages were handled, None
    after the second.
    """
    ends = until_idle or limit_s is not None
    async with node:
        working = asyncio.create_task(node.work(until_idle=until_idle, limit_s=limit_s) if ends else _forever(node))
        loop, ourselves = asyncio.get_running_loop(), asyncio.current_task()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, _end, node, working)
        _LOG.info("working for %s", node.origins)
        try:
            return await working
        except asyncio.CancelledError:
            if ourselves is not None and ourselves.cancelling():  # not by a second signal
                raise
            return None
        finally:
            for number in _STOP_SIGNALS:
                _ = loop.remove_signal_handler(number)


def _work_blocking(node: Node[Any], *, until_idle: bool, limit_s: float | None) -> int | None:
    """As `_work`, for a blocking node: the second signal interrupts a handler."""

    def end(_number: int, _frame: FrameType | None) -> None:
        if node.is_stopped:
            raise _SecondSignal
        node.stop()

    ends = until_idle or limit_s is not None
    before = [(number, signal.signal(number, end)) for number in _STOP_SIGNALS]
    try:
        with node:
            _LOG.info("working for %s", node.origins)
            while True:
                try:
                    return node.work(until_idle=until_idle, limit_s=limit_s)
                except ApcoreError as error:
                    if ends:
                        raise
                    _LOG.warning("working stopped, and starts again: %s", error)
                    time.sleep(_AGAIN_S)
    except _SecondSignal:
        return None
    finally:
        for number, handler in before:
            _ = signal.signal(number, handler)


class _SecondSignal(BaseException):
    """Ends a blocking worker in the middle of a handler."""


def _end(node: AsyncNode[Any], working: asyncio.Task[int]) -> None:
    if node.is_stopped:
        working.cancel()
    node.stop()


async def _forever(node: AsyncNode[Any]) -> int:
    """Work on through what a store or a network that is down brings: facts are kept, and so is the reason to look."""
    while True:
        try:
            return await node.work()
        except ApcoreError as error:
            _LOG.warning("working stopped, and starts again: %s", error)
            await asyncio.sleep(_AGAIN_S)
