"""Run `conversation.converse` on asyncio: `AsyncH11Transport`. The event loop waits until the deadline of each step."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections import deque
from typing import Any, Final, Literal

from apcore.adapters.h11.blocking import open_socket
from apcore.adapters.h11.connection_parties import PoolBounds, Shared
from apcore.adapters.h11.conversation import ATTEMPT_DELAY_S, Connect, Read, Resolve, Step, Write, converse
from apcore.adapters.h11.resolver import Resolver, system_resolver
from apcore.http import Request, Response

__all__ = ["AsyncH11Transport"]

_READ_BYTES: Final = 64 * 1024


class AsyncH11Transport:
    """HTTP/1.1 on asyncio. It takes the same arguments as `H11Transport`, and gives the same guarantees.

    Its sockets belong to no loop, so one object may serve several loops, one after another or in several threads.
    """

    def __init__(
        self,
        *,
        resolver: Resolver = system_resolver,
        tls: ssl.SSLContext | None = None,
        pool: PoolBounds | None = None,
        resolver_threads_max: int = 8,
        user_agent: str = "apcore",
    ) -> None:
        self._shared: Final = Shared(resolver, tls, pool or PoolBounds(), resolver_threads_max, user_agent)

    @property
    def checks_addresses(self) -> Literal["enforced"]:
        """Return ``enforced``: this transport checks addresses at connect time."""
        return "enforced"

    async def send(self, request: Request, /) -> Response:
        """Make one exchange.

        Raises the subclasses of `FetchFailed`, or `ValueError` before sending if the request cannot be sent.

        Cancellation closes the connection.
        """
        steps = converse(request, self._shared.party())
        try:
            step = next(steps)
            while True:
                try:
                    async with asyncio.timeout(_seconds_until(step.deadline)):
                        answer = await self._perform(step)
                except (OSError, UnicodeError) as exc:
                    step = steps.throw(exc)
                else:
                    step = steps.send(answer)
        except StopIteration as stop:
            response: Response = stop.value
            return response
        finally:
            steps.close()

    async def aclose(self) -> None:
        """Close idle connections and end the resolver threads. Running exchanges go on; a later one reopens."""
        self._shared.close()

    async def _perform(self, step: Step) -> Any:
        match step:
            case Read():
                return await asyncio.get_running_loop().sock_recv(step.sock, _READ_BYTES)
            case Write():
                return await asyncio.get_running_loop().sock_sendall(step.sock, step.data)
            case Connect():
                return await _connect(step)
            case Resolve():
                return await asyncio.wrap_future(self._shared.resolver.submit(step.host))


def _seconds_until(deadline: float) -> float:
    """Return the seconds until ``deadline``.

    Raises:
        TimeoutError: None are left. This check also stops a peer that always has more data ready.
    """
    remaining_s = deadline - time.monotonic()
    if remaining_s <= 0:
        raise TimeoutError("deadline")
    return remaining_s


async def _connect(step: Connect) -> socket.socket:
    """Start connection attempts one after another, and return the first that succeeds (RFC 8305 §5).

    The next attempt starts after a fixed delay, or as soon as all earlier ones have failed.
    """
    if len(step.addresses) == 1:
        return await _attempt(step.addresses[0], step.port)
    waiting = deque(step.addresses)
    attempts: set[asyncio.Task[socket.socket]] = set()
    last: BaseException = ConnectionRefusedError("no address to try")
    winner: socket.socket | None = None
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(asyncio.create_task(_attempt(waiting.popleft(), step.port)))
            finished, _ = await asyncio.wait(
                attempts, timeout=ATTEMPT_DELAY_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in finished:
                if (error := attempt.exception()) is None:
                    winner = attempt.result()
                    return winner
                attempts.discard(attempt)
                last = error
        raise last
    finally:
        await _give_up(attempts, winner)


async def _attempt(address: str, port: int) -> socket.socket:
    sock = open_socket(address)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return sock


async def _give_up(attempts: set[asyncio.Task[socket.socket]], winner: socket.socket | None) -> None:
    for attempt in attempts:
        _ = attempt.cancel()
    try:
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    except asyncio.CancelledError:
        if winner is not None:
            winner.close()
        raise
    for outcome in outcomes:
        if isinstance(outcome, socket.socket) and outcome is not winner:
            outcome.close()
