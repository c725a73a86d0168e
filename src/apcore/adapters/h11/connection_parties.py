"""Keep the state that a transport has between exchanges: idle connections, resolver threads, the TLS context."""

from __future__ import annotations

import os
import ssl
import threading
import time
from typing import Final

from attrs import frozen

from apcore.adapters.h11.conversation import Party
from apcore.adapters.h11.pool import IdlePool
from apcore.adapters.h11.resolver import Resolver, ResolverThreads

__all__ = ["PoolBounds", "Shared"]


@frozen(kw_only=True)
class PoolBounds:
    """The number of idle connections to keep, and how long to keep them. `ValueError` for a bound below 0."""

    idle_max: int = 128
    idle_per_origin_max: int = 4
    idle_s: float = 4.0
    """Common servers close idle connections after five seconds. A shorter time means that few POSTs meet a connection
    that is being closed.
    """

    def __attrs_post_init__(self) -> None:
        for name in ("idle_max", "idle_per_origin_max", "idle_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative: {getattr(self, name)!r}")


class Shared:
    """The lasting state of a transport. Safe to use from several threads; starts anew in a child after a fork."""

    def __init__(
        self,
        resolver: Resolver,
        tls: ssl.SSLContext | None,
        bounds: PoolBounds,
        resolver_threads_max: int,
        user_agent: str,
    ) -> None:
        if not 1 <= resolver_threads_max <= 256:
            raise ValueError(f"resolver_threads_max must be between 1 and 256, not {resolver_threads_max!r}")
        self._bounds = bounds
        self._tls = tls
        self._user_agent = user_agent
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._pool = self._new_pool()
        self.resolver: Final = ResolverThreads(resolver, threads_max=resolver_threads_max)

    def party(self) -> Party:
        """Return the parts that one exchange needs."""
        self._start_anew_in_a_child()
        return Party(self._pool, time.monotonic, self._context, self._user_agent)

    def close(self) -> None:
        """Close the idle connections. Those in use return to a closed pool, which closes them."""
        self._start_anew_in_a_child()
        old_pool, self._pool = self._pool, self._new_pool()
        old_pool.shut()
        self.resolver.close()

    def _start_anew_in_a_child(self) -> None:
        """Give up the idle connections of the parent process, after a fork."""
        if self._pid == os.getpid():
            return
        # Both processes hold these sockets now, and must not both write to them. Closing them here does not close them
        # for the parent. A thread of the parent may have held a lock at the fork, so the locks are not used either.
        self._lock = threading.Lock()
        self._pid = os.getpid()
        inherited, self._pool = self._pool, self._new_pool()
        inherited.abandon()

    def _new_pool(self) -> IdlePool:
        bounds = self._bounds
        return IdlePool(idle_max=bounds.idle_max, idle_per_origin_max=bounds.idle_per_origin_max, idle_s=bounds.idle_s)

    def _context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                # Reading the system's roots takes tens of milliseconds, so it happens at the first https exchange.
                self._tls = ssl.create_default_context()
                self._tls.set_alpn_protocols(["http/1.1"])
            return self._tls
