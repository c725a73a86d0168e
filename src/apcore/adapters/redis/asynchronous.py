"""Use the Redis store on asyncio: `AsyncRedisStore`, with connections of its own on the event loop."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final, TypeVar

import redis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from apcore.adapters.redis.calls import RedisCalls
from apcore.adapters.redis.failures import failure, refusal
from apcore.adapters.redis.settings import SCRIPT
from apcore.adapters.server_calls import ServerCall
from apcore.adapters.server_store import AsyncServerStore
from apcore.ports import AsyncRuntime, check_lanes

if TYPE_CHECKING:
    from apcore.adapters.redis.store import RedisStore

__all__ = ["AsyncRedisStore"]

T = TypeVar("T")

_DIGEST: Final = sha1(SCRIPT, usedforsecurity=False).hexdigest()
_POLL_S: Final = 1.0


class AsyncRedisStore(AsyncServerStore):
    """An `AsyncAtomicStore` for one event loop. You can go on using the `RedisStore` in other threads."""

    def __init__(self, store: RedisStore, calls: RedisCalls, runtime: AsyncRuntime) -> None:
        """Bind to the event loop and the threads of ``runtime``."""
        self._store = store
        self._settings = store.settings
        self._durability = store.durability
        self._server_calls = self._calls = calls
        self._runtime = runtime
        self._pool: Any = self._new_pool()
        self._listeners: list[Any] = []
        self._is_prepared = False

    async def prepare(self) -> None:
        """See `RedisStore.prepare`."""
        if not self._is_prepared:
            await self._runtime.thread(self._store.prepare, lane="port")
            self._is_prepared = True

    async def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        """See `MessageQueue.wait`."""
        check_lanes(lanes)
        deadline = time.monotonic() + timeout_s
        listener = await self._take_listener()
        try:
            while True:
                due_in_s = await self._ask(self._calls.next_due(lanes))
                pause_s = min(_POLL_S, deadline - time.monotonic(), float("inf") if due_in_s is None else due_in_s)
                if pause_s <= 0:
                    break
                _ = await listener.get_message(timeout=pause_s)
        except RedisError as error:
            await _close(listener)
            raise refusal(error, self._settings.source) from error
        except BaseException:
            await _close(listener)
            raise
        self._listeners.append(listener)

    async def aclose(self) -> None:
        """See `KvStore.close`. Closes the blocking store too."""
        pool, self._pool = self._pool, self._new_pool()
        while self._listeners:
            await _close(self._listeners.pop())
        await pool.disconnect()
        self._store.close()

    # --- calls --------------------------------------------------------------------------------------------------------

    async def _ask(self, call: ServerCall[T]) -> T:
        await self.prepare()
        async with self._lent() as connection:
            arguments = (1, self._settings.prefix, call.function, *call.arguments)
            try:
                try:
                    answer = await _execute(connection, ("EVALSHA", _DIGEST, *arguments))
                except NoScriptError:
                    answer = await _execute(connection, ("EVAL", SCRIPT, *arguments))
            except RedisError as error:
                unavailable = failure(error, self._settings.source, changes=call.changes)
                if unavailable is None:
                    raise
                raise unavailable from error
        return call.read(answer)

    @asynccontextmanager
    async def _lent(self) -> AsyncGenerator[Any, None]:
        pool = self._pool
        try:
            connection = await pool.get_connection()
        except RedisError as error:
            raise refusal(error, self._settings.source) from error
        try:
            yield connection
        except ResponseError:
            raise  # the server has answered
        except BaseException:
            await connection.disconnect(nowait=True)  # perhaps in the middle of an answer
            raise
        finally:
            await pool.release(connection)

    # --- connections --------------------------------------------------------------------------------------------------

    def _new_pool(self) -> Any:
        pools: Any = redis.asyncio.BlockingConnectionPool
        return pools.from_url(self._settings.url, retry=Retry(NoBackoff(), 0), **self._settings.pool_options)

    async def _take_listener(self) -> Any:
        if self._listeners:
            return self._listeners.pop()
        clients: Any = redis.asyncio.Redis
        listener = clients.from_url(self._settings.url, retry=Retry(NoBackoff(), 0), protocol=2).pubsub()
        try:
            await listener.subscribe(f"{self._settings.prefix}wake")
            _ = await listener.get_message(timeout=self._settings.busy_timeout_s)  # the server's confirmation
        except RedisError as error:
            await _close(listener)
            raise refusal(error, self._settings.source) from error
        return listener


async def _execute(connection: Any, words: Sequence[Any]) -> Any:
    await connection.send_command(*words)
    return await connection.read_response()


async def _close(listener: Any) -> None:
    await listener.aclose()
    await listener.connection_pool.disconnect()  # a pool of its own
