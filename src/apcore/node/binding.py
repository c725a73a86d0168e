# pyright: reportUnusedCallResult=true
"""What both nodes are: a federation, its origins, whom they may talk to, and when their workers are to look and to stop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from math import inf
from typing import Final, Generic, Literal, TypeAlias, TypedDict, TypeVar

from typing_extensions import TypeVar as DefaultTypeVar

from apcore.drivers import Observer
from apcore.effects import Op
from apcore.errors import ConfigurationError, RemoteError, RequestError
from apcore.federation.actors.keys import instance_identity
from apcore.federation.origins import Origins, OriginsLike, bind_origins
from apcore.federation.pointers import resolved_by
from apcore.federation.registration import CheckFinding, Federation
from apcore.federation.site import Site
from apcore.federation.slots import WorkerPolicy
from apcore.federation.wake_ups import KINDS, lanes_for
from apcore.http import AddressPolicy, Origin, Request, parse_url
from apcore.ports import (
    AsyncKvStore,
    AsyncMessageQueue,
    AsyncRuntime,
    AsyncSigner,
    AsyncTransport,
    Depth,
    KvStore,
    MessageQueue,
    Runtime,
    Signer,
    Transport,
)
from apcore.remote import FetchPolicy, Identity
from apcore.vocab import Document, Reference

__all__ = [
    "WAIT_S",
    "AsyncFactory",
    "AsyncNodeOptions",
    "Bound",
    "Data",
    "Factory",
    "NodeOptions",
    "Pace",
    "several",
]

WAIT_S: Final = 0.25
"""How long a worker waits for messages at a time, and so the longest that `Node.stop` takes to be noticed by one that is idle."""
RECONCILE_S: Final = 60.0
WATCH_S: Final = 60.0
IDLE_S_MAX: Final = 120.0
_LOG: Final = logging.getLogger("apcore.node")

T = TypeVar("T")
Data = DefaultTypeVar("Data", default=None)

Factory: TypeAlias = Callable[[], AbstractContextManager[T]]
AsyncFactory: TypeAlias = Callable[[], AbstractAsyncContextManager[T]]


class NodeOptions(TypedDict, total=False):
    """The ports of a `Node`, where the defaults will not do."""

    queue: MessageQueue
    """The queue, if it is not the store itself."""
    transport: Transport
    signer: Signer | str
    """Who holds the private keys, or its URL: ``store:`` (the default), ``file:///path/of/keys``."""
    runtime: Runtime
    addresses: AddressPolicy
    """Where requests may go; without it, the public Internet over HTTPS."""
    observer: Observer
    slots: int
    """How many messages of each kind `Node.work` handles side by side, in threads; 48 without it.

    Messages that take longer than a second are not counted. With 0 it handles one after another, in the thread that
    called it, and nothing limits a handler's time.
    """
    handler_limit_s: float
    """After so many seconds, the attempt at a message has failed; 300 without it."""
    lease_s: float
    """How long a message stays with a worker that is not heard of any more; 90 s without it."""


class AsyncNodeOptions(TypedDict, total=False):
    """The ports of an `AsyncNode`, where the defaults will not do. Blocking ones are fine."""

    queue: MessageQueue | AsyncMessageQueue
    transport: Transport | AsyncTransport
    signer: Signer | AsyncSigner | str
    runtime: AsyncRuntime | Literal["asyncio", "trio"]
    """Without it, asked of the event loop that runs when the node is first used."""
    addresses: AddressPolicy
    observer: Observer
    slots: int
    """How many messages of each kind `AsyncNode.work` handles side by side; 48 without it.

    Messages that take longer than a second are not counted.
    """
    handler_limit_s: float
    """As for `Node`."""
    lease_s: float
    """As for `Node`."""


class Bound(Generic[Data]):
    """What both nodes are: a federation, its origins, and whom they may talk to."""

    def __init__(
        self,
        federation: Federation[Data],
        origin: OriginsLike,
        addresses: AddressPolicy,
        *,
        blocking: bool,
        store: KvStore | AsyncKvStore,
        has_data: bool,
        worker: WorkerPolicy,
    ) -> None:
        if not isinstance(federation, Federation):
            raise ConfigurationError(f"a node is made of a Federation, not {federation!r:.60}")
        self.origins: Final[Origins] = bind_origins(origin, plain_http=addresses.plain_http)
        self.findings: Final[tuple[CheckFinding, ...]] = federation.bind(
            blocking=blocking, serves=self.origins.serves, durability=store.durability, has_data=has_data
        )
        """The warnings of `Federation.check` about this node."""
        for finding in self.findings:
            _LOG.warning("%s", finding.text)
        self.federation: Final = federation
        self.addresses: Final = addresses
        if not blocking and worker.slots == 0:
            raise ConfigurationError("an AsyncNode handles its messages side by side: slots is at least 1")
        self.worker_policy: Final = worker
        # A function that decides about origins cannot name them, so such a node looks into all lanes.
        listed = None if self.origins.allows is not None or not self.origins.listed else self.origins.listed
        self.lanes: Final[dict[str, tuple[str, ...]]] = {kind: lanes_for(kind, listed) for kind in KINDS}
        self._watch: Final = _Watch()
        self._stopped = False
        # Made once for the origins that are listed: every request needs one.
        self._policies: Final = {where: self._policy_of(where) for where in (None, *self.origins.listed)}

    def stop(self) -> None:
        """Let `work` end, here and in other threads: it leases nothing more, and finishes what it has begun.

        For good: a node that was stopped works no more. A process that is killed loses nothing either, but others wait
        for its leases to run out, up to 90 s.
        """
        self._stopped = True

    @property
    def all_lanes(self) -> tuple[str, ...]:
        """The lanes that this node's messages wait in."""
        return tuple(lane for lanes in self.lanes.values() for lane in lanes)

    def _check_works(self) -> None:
        if not self.origins.serves:
            raise ConfigurationError("this node has no origin, so there is nothing for it to work on")

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def site(self, origin: Origin | None = None, data: Data | None = None) -> Site:
        """Give what an operation has to know of one of our origins; of the only one, if none is named.

        Raises:
            ValueError: None is named, and there is not exactly one.
        """
        where = self.origins.pick(None) if origin is None else origin
        return Site(
            federation=self.federation,
            origin=where,
            fetching=self._fetching(where),
            signatures=self.federation.signature_policy,
            data=data,
        )

    def _fetching(self, where: Origin | None) -> FetchPolicy:
        return self._policies.get(where) or self._policy_of(where)

    def _policy_of(self, where: Origin | None) -> FetchPolicy:
        agent = f"{self.federation.software_name}/{self.federation.software_version}"
        return FetchPolicy(
            addresses=self.addresses,
            user_agent=agent if where is None else f"{agent} (+{where}/)",
            vocabulary=self.federation.vocabulary,
            unknown_contexts=self.federation.unknown_contexts,
            budgets=self.federation.budgets,
        )

    def _resolving(self, reference: Reference, *, fresh: bool) -> Op[Document]:
        """Resolve as the instance actor of the first origin; without an origin, unsigned."""
        where = self.origins.listed[0] if self.origins.listed else None
        asks = _nobody if where is None else partial(instance_identity, self.site(where))
        return resolved_by(reference, policy=self._fetching(where), asks=asks, fresh=fresh)

    def outbound_refusal(self, request: Request, /) -> RemoteError | None:
        """Return why the federation's domain rules forbid ``request``, or None if they let it go.

        Both nodes give this to their driver as `Ports.outbound`, so it judges every request of every operation that they
        run, redirects hop by hop.
        Requests to origins of our own are let go, whatever the rules.
        """
        rules = self.federation.domain_rules
        if rules.is_empty:
            return None
        try:
            origin = parse_url(request.url).origin
        except RequestError as error:
            return error
        return None if self.origins.has(origin) else rules.refusal(origin.host)

    def asked_origin(self, request: Request) -> Origin | None:
        """Give the origin that a request is to, if it is one of ours."""
        try:
            origin = parse_url(request.url).origin
        except RequestError:
            return None
        return origin if self.origins.has(origin) else None


def _nobody() -> Op[Identity | None]:
    return None
    yield  # an operation that asks for nothing


class _Watch:
    """Notices that nobody works: what arrives is queued, and what is queued stays. Looks at most once a minute, since counting costs."""

    def __init__(self) -> None:
        self._looked_s = -inf

    def is_due(self, now_s: float) -> bool:
        if now_s - self._looked_s < WATCH_S:
            return False
        self._looked_s = now_s
        return True

    def judge(self, depth: Depth) -> None:
        waiting_s = depth.oldest_ready_s
        if waiting_s is not None and waiting_s > IDLE_S_MAX:
            _LOG.warning(
                "%d messages are due, the oldest for %.0f s: is there a worker? Start one with `apcore work`, Node.work or worker=True",
                depth.ready,
                waiting_s,
            )


class Pace:
    """When a worker's time is up, and when to put back on the queue what fell off it: at the start, and every minute.

    Times are seconds on a clock that never goes back.
    """

    def __init__(self, started_s: float, limit_s: float | None) -> None:
        self._ends_s = inf if limit_s is None else started_s + limit_s
        self._reconcile_s = started_s

    def is_over(self, now_s: float) -> bool:
        """Whether the time is up."""
        return now_s >= self._ends_s

    def is_due(self, now_s: float) -> bool:
        """Whether to look now for what fell off the queue; then not again for a minute."""
        if now_s < self._reconcile_s:
            return False
        self._reconcile_s = now_s + RECONCILE_S
        return True


def several(to: str | Sequence[str]) -> tuple[str, ...]:
    """Give one address, or several, as several."""
    return (to,) if isinstance(to, str) else tuple(to)
