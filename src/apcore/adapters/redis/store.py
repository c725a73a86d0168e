"""Keep store and queue in one Redis server, for any number of processes and machines: `RedisStore`.

- Each call is one script, which the server runs alone, and so one step and one round trip.
- The server must keep an append-only file and must not evict keys; both are checked on first use.
- The clock is the server's, so the clocks of the machines need not agree.
- Workers that wait subscribe to one channel of the server, and also look once a second.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from hashlib import sha1
from threading import Lock
from typing import Any, Final, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.adapters.redis.asynchronous import AsyncRedisStore
from apcore.adapters.redis.calls import RedisCalls
from apcore.adapters.redis.failures import failure, refusal
from apcore.adapters.redis.settings import FORMAT, SCRIPT, Settings, check_server, migrate
from apcore.adapters.server_calls import ServerCall
from apcore.adapters.server_store import ServerStore
from apcore.drivers.threaded_ports import threaded_store
from apcore.ports import AsyncAtomicStore, AsyncRuntime, check_lanes

__all__ = ["RedisStore"]

T = TypeVar("T")

_DIGEST: Final = sha1(SCRIPT, usedforsecurity=False).hexdigest()
_POLL_S: Final = 1.0


class RedisStore(ServerStore):
    """An `AtomicStore` in a Redis server. Opens on first use; safe with threads and across ``os.fork``."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] | None = None) -> None:
        """Bind to a server. ``clock`` replaces the server's clock, in tests."""
        self.settings: Final = settings
        self._durability = settings.durability
        self._server_calls = self._calls = RedisCalls(clock)
        self._pool: Any = self._new_pool()
        self._listeners: list[Any] = []
        self._listeners_pid = os.getpid()
        self._preparing = Lock()
        self._is_prepared = False

    def __repr__(self) -> str:
        return f"RedisStore({self.settings.source!r})"

    def prepare(self) -> None:
        """Connect, check the server, and bring the keys up to date, once.

        Raises:
            ConfigurationError: The server or its settings are not suitable, or the keys are in a newer format.
            StoreUnavailable: The server cannot be reached.
        """
        if self._is_prepared:
            return
        with self._preparing, self._lent() as connection:
            try:
                check_server(lambda *words: _execute(connection, words), self.settings)
                migrate(lambda *words: _execute(connection, words), self.settings)
            except RedisError as error:
                raise refusal(error, self.settings.source) from error
            self._is_prepared = True

    @property
    def newest_format(self) -> int:
        """Return the format that `prepare` brings the keys to."""
        return FORMAT

    def stored_format(self) -> int:
        """Return the format of the keys, and change nothing; 0 if there are no keys yet."""
        with self._lent() as connection:
            try:
                stored = _execute(connection, ("GET", f"{self.settings.prefix}format"))
            except RedisError as error:
                raise refusal(error, self.settings.source) from error
        return 0 if stored is None else int(stored)

    def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        """See `MessageQueue.wait`. Blocks the calling thread."""
        check_lanes(lanes)
        deadline = time.monotonic() + timeout_s
        listener = self._take_listener()
        try:
            while True:
                due_in_s = self._ask(self._calls.next_due(lanes))
                pause_s = min(_POLL_S, deadline - time.monotonic(), float("inf") if due_in_s is None else due_in_s)
                if pause_s <= 0:
                    break
                _ = listener.get_message(timeout=pause_s)
        except RedisError as error:
            _close(listener)
            raise refusal(error, self.settings.source) from error
        except BaseException:
            _close(listener)
            raise
        self._listeners.append(listener)

    def close(self) -> None:
        """See `KvStore.close`."""
        pool, self._pool = self._pool, self._new_pool()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            _close(listener)
        pool.disconnect()

    def asynchronous(self, runtime: AsyncRuntime, /) -> AsyncAtomicStore:
        """Return the twin of this store for event loops.

        On asyncio it has connections of its own, on the loop. On trio, which redis-py does not know, it calls this
        store in threads.
        """
        if isinstance(runtime, AsyncioRuntime):
            return AsyncRedisStore(self, self._calls, runtime)
        return threaded_store(self, runtime)

    # --- calls --------------------------------------------------------------------------------------------------------

    def _ask(self, call: ServerCall[T]) -> T:
        self.prepare()
        with self._lent() as connection:
            arguments = (1, self.settings.prefix, call.function, *call.arguments)
            try:
                try:
                    answer = _execute(connection, ("EVALSHA", _DIGEST, *arguments))
                except NoScriptError:
                    answer = _execute(connection, ("EVAL", SCRIPT, *arguments))
            except RedisError as error:
                unavailable = failure(error, self.settings.source, changes=call.changes)
                if unavailable is None:
                    raise
                raise unavailable from error
        return call.read(answer)

    @contextmanager
    def _lent(self) -> Generator[Any, None, None]:
        pool = self._pool
        try:
            connection = pool.get_connection()
        except RedisError as error:
            raise refusal(error, self.settings.source) from error
        try:
            yield connection
        except ResponseError:
            raise  # the server has answered
        except BaseException:
            connection.disconnect()  # perhaps in the middle of an answer
            raise
        finally:
            pool.release(connection)

    # --- connections --------------------------------------------------------------------------------------------------

    def _new_pool(self) -> Any:
        pools: Any = redis.BlockingConnectionPool
        return pools.from_url(self.settings.url, retry=Retry(NoBackoff(), 0), **self.settings.pool_options)

    def _take_listener(self) -> Any:
        if self._listeners_pid != os.getpid():
            self._listeners, self._listeners_pid = [], os.getpid()
        try:
            return self._listeners.pop()
        except IndexError:
            pass
        clients: Any = redis.Redis
        listener = clients.from_url(self.settings.url, retry=Retry(NoBackoff(), 0), protocol=2).pubsub()
        try:
            listener.subscribe(f"{self.settings.prefix}wake")
            _ = listener.get_message(timeout=self.settings.busy_timeout_s)  # the server's confirmation
        except RedisError as error:
            _close(listener)
            raise refusal(error, self.settings.source) from error
        return listener


def _execute(connection: Any, words: Sequence[Any]) -> Any:
    connection.send_command(*words)
    return connection.read_response()


def _close(listener: Any) -> None:
    listener.close()
    listener.connection_pool.disconnect()  # a pool of its own
