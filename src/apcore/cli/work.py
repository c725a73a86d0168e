"""``apcore work``: run the worker of a federation in its own process, beside servers that run with ``--no-worker``."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from types import FrameType
from typing import Any, Final

import click

from apcore.cli import exit_codes
from apcore.cli.binding import bind_node, node_options
from apcore.errors import ApcoreError
from apcore.node import AsyncNode, Node

__all__ = ["command"]

_RESTART_S: Final = 1.0
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_LOG: Final = logging.getLogger(__name__)


@click.command("work", short_help="Process the queue of a federation.")
@node_options
@click.option("--until-idle", is_flag=True, help="Stop when no message is due.")
@click.option("--limit", "limit_s", type=click.FloatRange(min=0, min_open=True), help="Stop after this many seconds.")
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
    """Process incoming activities and deliver outgoing ones, until interrupted.

    Any number of workers may share a store. Use the same MODULE:NAME, --origin and --store as for the servers.
    MODULE:NAME may also be a Node.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(name)s: %(message)s")
    node = bind_node(target, origin=origin, store=store, signer=signer, allow_loopback=allow_loopback)
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
    """Work until the options end it, or until SIGTERM or Ctrl-C. Return the number of handled messages.

    After the first signal, the worker finishes the messages that it has leased. A second signal interrupts them; the
    result is then None.
    """
    ends = until_idle or limit_s is not None
    async with node:
        await node.prepare()
        worker = asyncio.create_task(node.work(until_idle=until_idle, limit_s=limit_s) if ends else _forever(node))
        loop, own_task = asyncio.get_running_loop(), asyncio.current_task()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, _stop_or_cancel, node, worker)
        _LOG.info("working for %s", node.origins)
        try:
            return await worker
        except asyncio.CancelledError:
            if own_task is not None and own_task.cancelling():  # The caller cancelled, not a second signal.
                raise
            return None
        finally:
            for number in _STOP_SIGNALS:
                _ = loop.remove_signal_handler(number)


def _work_blocking(node: Node[Any], *, until_idle: bool, limit_s: float | None) -> int | None:
    """Do the same as `_work` for a blocking node. The second signal interrupts a running handler."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        if node.is_stopped:
            raise _SecondSignal
        node.stop()

    ends = until_idle or limit_s is not None
    old_handlers = [(number, signal.signal(number, stop)) for number in _STOP_SIGNALS]
    try:
        with node:
            node.prepare()
            _LOG.info("working for %s", node.origins)
            while True:
                try:
                    return node.work(until_idle=until_idle, limit_s=limit_s)
                except ApcoreError as error:
                    if ends:
                        raise
                    _LOG.warning("the worker stopped, and starts again in 1 s: %s", error)
                    time.sleep(_RESTART_S)
    except _SecondSignal:
        return None
    finally:
        for number, handler in old_handlers:
            _ = signal.signal(number, handler)


class _SecondSignal(BaseException):
    """Interrupt a blocking worker in the middle of a handler."""


def _stop_or_cancel(node: AsyncNode[Any], worker: asyncio.Task[int]) -> None:
    if node.is_stopped:
        worker.cancel()
    node.stop()


async def _forever(node: AsyncNode[Any]) -> int:
    """Work, and start again after an error, such as a store that is down. The store and the queue lose nothing."""
    while True:
        try:
            return await node.work()
        except ApcoreError as error:
            _LOG.warning("the worker stopped, and starts again in 1 s: %s", error)
            await asyncio.sleep(_RESTART_S)
