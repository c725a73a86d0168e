"""Inject faults: a store that loses answers, and a proxy that cuts connections.

Both call a function for the `AnswerFate` of each call, so the test decides: from a list, by a hypothesis strategy, by a
seeded choice.

- `LosingStore` wraps any blocking store in this process.
- `CuttingProxy` stands between a client and a server on TCP, for stores on a network.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum, auto
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from apcore.errors import QueueUnavailable, StoreUnavailable
from apcore.ports import (
    Check,
    Depth,
    Durability,
    Entry,
    KvStore,
    LeasedMessage,
    Message,
    Settlement,
    StoreKey,
    Write,
)

__all__ = ["AnswerFate", "CuttingProxy", "LosingStore"]

T = TypeVar("T")


class AnswerFate(Enum):
    """The fate of one call."""

    ANSWERED = auto()
    """The call succeeds."""
    LOST_BEFORE = auto()
    """The call does not arrive, so it has no answer."""
    LOST_AFTER = auto()
    """The call is carried out, and its answer is lost."""
    DELAYED = auto()
    """The call has no answer, and is carried out later: after the next call of the same name."""


class LosingStore:
    """A store that may lose answers: it raises `StoreUnavailable` with outcome ``unknown``, or `QueueUnavailable`.

    Reads are never lost: ``get``, ``scan`` and ``depth`` always answer, so that a test can look at the state. A delayed
    ``lease`` is one that was lost after it was carried out: its messages return when the lease expires.
    """

    def __init__(self, store: KvStore, fate: Callable[[str], AnswerFate]) -> None:
        """Wrap ``store``. ``fate`` is called with the method's name before each call that changes the store."""
        self._store: Any = store
        self._fate = fate
        self._late: dict[str, Callable[[], object]] = {}

    @property
    def durability(self) -> Durability:
        """Return the durability of the wrapped store."""
        answer: Durability = self._store.durability
        return answer

    def get(self, keys: Sequence[StoreKey], /) -> Sequence[Entry | None]:
        """See `KvStore.get`."""
        answer: Sequence[Entry | None] = self._store.get(keys)
        return answer

    def scan(
        self, prefix: StoreKey, /, *, after: StoreKey | None = None, limit: int, reverse: bool = False
    ) -> Sequence[Entry]:
        """See `KvStore.scan`."""
        answer: Sequence[Entry] = self._store.scan(prefix, after=after, limit=limit, reverse=reverse)
        return answer

    def commit(
        self,
        checks: Sequence[Check],
        writes: Sequence[Write],
        /,
        *,
        token: bytes,
        messages: Sequence[Message] = (),
        settles: Sequence[Settlement] = (),
    ) -> bool:
        """See `AtomicStore.commit`."""
        more = {"messages": messages, "settles": settles} if messages or settles else {}
        answer: bool = self._undergo("commit", lambda: self._store.commit(checks, writes, token=token, **more))
        return answer

    def enqueue(self, messages: Sequence[Message], /) -> None:
        """See `MessageQueue.enqueue`."""
        self._undergo("enqueue", lambda: self._store.enqueue(messages))

    def lease(self, lanes: Sequence[str], /, *, limit: int, lease_s: float) -> Sequence[LeasedMessage]:
        """See `MessageQueue.lease`."""
        return self._undergo("lease", lambda: self._store.lease(lanes, limit=limit, lease_s=lease_s))

    def extend(self, leases: Sequence[LeasedMessage], /, *, lease_s: float) -> Sequence[LeasedMessage]:
        """See `MessageQueue.extend`."""
        return self._undergo("extend", lambda: self._store.extend(leases, lease_s=lease_s))

    def settle(self, settlements: Sequence[Settlement], /) -> Sequence[LeasedMessage]:
        """See `MessageQueue.settle`."""
        return self._undergo("settle", lambda: self._store.settle(settlements))

    def depth(self, lanes: Sequence[str], /) -> Depth:
        """See `MessageQueue.depth`."""
        answer: Depth = self._store.depth(lanes)
        return answer

    def wait(self, lanes: Sequence[str], /, *, timeout_s: float) -> None:
        """See `MessageQueue.wait`."""
        self._store.wait(lanes, timeout_s=timeout_s)

    def close(self) -> None:
        """Carry out delayed calls, and close the store."""
        for name in list(self._late):
            self._land(name)
        self._store.close()

    def _undergo(self, name: str, call: Callable[[], T]) -> T:
        fate = self._fate(name)
        if fate is AnswerFate.ANSWERED:
            answer = call()
            self._land(name)
            return answer
        if fate is AnswerFate.LOST_AFTER or (fate is AnswerFate.DELAYED and name == "lease"):
            _ = call()
        self._land(name)
        if fate is AnswerFate.DELAYED and name != "lease":
            self._late[name] = call
        if name == "commit":
            raise StoreUnavailable(f"the answer to a commit was lost: {fate.name}", outcome="unknown")
        raise QueueUnavailable(f"the answer to a call of {name} was lost: {fate.name}")

    def _land(self, name: str) -> None:
        late = self._late.pop(name, None)
        if late is not None:
            _ = late()


# --- on the network -------------------------------------------------------------------------------------------------

_CHUNK: Final = 65536


class CuttingProxy:
    """A TCP proxy on the loopback interface that cuts connections when their fate says so.

    ``fate`` is called when a client begins to send after the server last sent: once per request, in a protocol that
    takes turns.

    - `AnswerFate.LOST_BEFORE`: the request is not forwarded, and both connections are closed.
    - `AnswerFate.LOST_AFTER`: the whole request is forwarded. When the response begins, it is dropped and the client's
      connection is closed. The proxy reads the response to its end, so the server notices nothing before it is done.

    A request cannot be delayed here: `AnswerFate.DELAYED` does the same as `AnswerFate.LOST_AFTER`. Use it as a
    context manager, or close it.
    """

    def __init__(self, host: str, port: int, fate: Callable[[], AnswerFate]) -> None:
        """Listen for clients of the server at ``host`` and ``port``."""
        self._target = (host, port)
        self._fate = fate
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = Lock()
        self._links: list[_Link] = []
        self._closing = False
        self.address: Final[tuple[str, int]] = self._listener.getsockname()
        """The address for clients."""
        self._thread = Thread(target=self._accept, name="apcore-testing-proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection and stop listening. Closing twice is allowed."""
        if self._closing:
            return
        self._closing = True
        with suppress(OSError):  # a last connection lets the listener notice
            socket.create_connection(self.address, timeout=1).close()
        self._thread.join()
        self._listener.close()
        for link in self._links:
            link.end()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._closing:
                client.close()
                return
            try:
                server = socket.create_connection(self._target, timeout=10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self._links = [link for link in self._links if link.is_up()]
            self._links.append(_Link(client, server, self._ask))

    def _ask(self) -> AnswerFate:
        with self._lock:  # so that a list of fates needs no lock
            return self._fate()


class _Link:
    """One client, one server, and a thread for each direction."""

    def __init__(self, client: socket.socket, server: socket.socket, fate: Callable[[], AnswerFate]) -> None:
        self._client, self._server, self._ask = client, server, fate
        self._fate: AnswerFate | None = None  # of the current request; None while it is the client's turn
        self._threads = [Thread(target=run, daemon=True) for run in (self._forward, self._answer)]
        for thread in self._threads:
            thread.start()

    def is_up(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def end(self) -> None:
        _hang_up(self._client)
        _hang_up(self._server)
        for thread in self._threads:
            thread.join()

    def _forward(self) -> None:
        """Forward bytes from client to server until the client ends, then tell the server."""
        with self._client, suppress(OSError):
            while data := self._client.recv(_CHUNK):
                if self._fate is None:
                    self._fate = self._ask()
                if self._fate is AnswerFate.LOST_BEFORE:
                    _hang_up(self._client)
                    break
                self._server.sendall(data)
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_WR)

    def _answer(self) -> None:
        """Forward bytes from server to client until the server ends; drop bytes that the client must not get."""
        with self._server, suppress(OSError):
            while data := self._server.recv(_CHUNK):
                if self._fate in (AnswerFate.LOST_AFTER, AnswerFate.DELAYED):
                    _hang_up(self._client)
                    continue
                self._fate = None
                with suppress(OSError):
                    self._client.sendall(data)
        _hang_up(self._client)


def _hang_up(connection: socket.socket) -> None:
    """Wake all threads that wait on the socket; its reading thread closes it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
