# pyright: reportUnusedCallResult=true
"""Define the common part of both nodes: the federation, its origins, outgoing requests, and a worker's pace."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from math import inf
from typing import Any, Final, Generic, Literal, TypeAlias, TypedDict, TypeVar

import attrs
from attrs import evolve
from typing_extensions import TypeVar as DefaultTypeVar

from apcore.drivers import Observer
from apcore.effects import Call, Now, Op
from apcore.errors import ConfigurationError, RemoteError, RequestError
from apcore.federation.actors.keys import instance_identity
from apcore.federation.actors.profiles import actor_identity
from apcore.federation.context import UnitContexts
from apcore.federation.domain_checks import check_request
from apcore.federation.findings import CheckFinding
from apcore.federation.jobs import Job
from apcore.federation.known_recipients import KnownRecipients
from apcore.federation.origins import HandleHosts, Origins, OriginsLike, bind_origins
from apcore.federation.own_lookups import describe_own, find_own
from apcore.federation.refreshing import request_refresh
from apcore.federation.registration import Federation
from apcore.federation.resolving import Resolver
from apcore.federation.serving.incoming_request import Elsewhere, IncomingRequest, RequestMatcher
from apcore.federation.serving.own_documents import load_own_document
from apcore.federation.serving.request_head import RequestHead, TrustProxy, check_trust_proxy
from apcore.federation.site import Site
from apcore.federation.slots import WorkerPolicy
from apcore.federation.subscriptions.manage import subscribe
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.unit_setup import unit_of_work_for
from apcore.federation.wake_ups import KINDS, lanes_for
from apcore.http import AddressPolicy, Origin, Request, parse_url
from apcore.node.loaders import AsyncLoader, Loader
from apcore.node.queue_routing import QueuesLike, WorkKind, check_kinds
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
from apcore.remote import FetchPolicy, prune_copies
from apcore.remote.parsed import ParsedDocuments
from apcore.remote.records import COPY_KEPT_S_MAX
from apcore.vocab import Document

__all__ = [
    "IDLE_PAUSE_S",
    "IDLE_WAIT_S",
    "PREPARE_KEY",
    "WAIT_S",
    "AsyncFactory",
    "AsyncNodeOptions",
    "BackOff",
    "Bound",
    "Data",
    "Factory",
    "NodeOptions",
    "Pace",
    "address_tuple",
]

WAIT_S: Final = 0.25
"""The longest wait for messages in a thread, and the longest pause of a busy worker."""
IDLE_PAUSE_S: Final = 0.5
"""The longest time after which an idle worker looks whether `Node.stop` was called, or its time is over."""
IDLE_WAIT_S: Final = 5.0
"""The longest time for which an idle worker relies on the queue to report a message that is due."""
_DEFAULT: Final = FetchPolicy()
_SET_ELSEWHERE: Final = {
    "addresses": "addresses= of the node",
    "vocabulary": "vocabulary= of the Federation",
    "unknown_contexts": "unknown_contexts= of the Federation",
    "budgets": "budgets= of the Federation",
    "unauthenticated_client": "the node for each request",
    "refresh": "the node",
    "allowance": "the node for each job",
    "on_document": "on_document of the Federation",
    "parsed": "the node",
    "until": "the node for each look-up",
}
_DURATIONS: Final = tuple(
    name
    for name in attrs.fields_dict(FetchPolicy)
    if "_s_" in f"{name}_" and isinstance(getattr(_DEFAULT, name), float)
)
PREPARE_KEY: Final = ("prepare",)
"""A key that is read only to open the store."""
RECONCILE_S: Final = 60.0
WATCH_S: Final = 60.0
IDLE_S_MAX: Final = 120.0
BACK_OFF_S_MIN: Final = 1.0
BACK_OFF_S_MAX: Final = 16.0
_LOG: Final = logging.getLogger("apcore.node")

T = TypeVar("T")
Data = DefaultTypeVar("Data", default=None)

Factory: TypeAlias = Callable[[], AbstractContextManager[T]] | Callable[[Job], AbstractContextManager[T]]
"""A function that returns a context manager for the application's data. It may take the `Job`."""
AsyncFactory: TypeAlias = Callable[[], AbstractAsyncContextManager[T]] | Callable[[Job], AbstractAsyncContextManager[T]]
NO_JOB: Final = Job()


class NodeOptions(TypedDict, total=False):
    """The options of a `Node`: ports and limits in place of the defaults."""

    queue: MessageQueue | QueuesLike
    """The queue, if it is not the store itself.

    Or a mapping with a queue for each of ``inbox``, ``fanout`` and ``deliver``. The work of ``refresh`` and ``poll``
    waits in that of ``inbox``, unless the mapping has others.
    """
    namespace: str
    """The part of the store and the queue that this node uses, so that several federations share them.

    It has up to 63 characters of ``a-z``, ``0-9``, ``.``, ``_`` and ``-``. Nodes see nothing of other namespaces, and
    a node without one sees nothing of those with one. Give all processes of a server the same namespace: with another
    one, it starts empty.
    """
    works: Sequence[WorkKind]
    """The kinds of work that `Node.work` does: ``inbox``, ``fanout``, ``deliver``, ``refresh``, ``poll``.

    The default is all of them.
    """
    transport: Transport
    loaders: Sequence[Loader]
    """Functions that may answer a request in place of the transport, asked in their order.

    Each gets the request and returns a response, or None to leave it to the next one. They see documents, contexts,
    keys and deliveries, after the rules for domains.
    """
    signer: Signer | str
    """The owner of the private keys, or its URL: ``store:`` (the default) or ``file:///path/of/keys``."""
    runtime: Runtime
    addresses: AddressPolicy
    """The addresses that requests may go to. The default is the public Internet over HTTPS."""
    fetching: FetchPolicy
    """The limits of fetching: redirects, sizes, and how long documents and keys are kept.

    Set its ``addresses`` by the option ``addresses``, and its ``vocabulary``, ``unknown_contexts`` and ``budgets`` at
    the `Federation`. The default ``user_agent`` names your software and origin.
    """
    observer: Observer
    slots: int
    """How many messages of each kind `Node.work` handles at the same time, in threads; 48 by default.

    Messages that take longer than a second are not counted. With 0, the worker handles one message after another in the
    calling thread, and nothing limits a handler's time.
    """
    handle_host: HandleHosts
    """The host in the handles of your actors, if it is not that of the origin: ``example.com`` for a server at
    ``https://social.example.com``. With several origins, a mapping from origins to hosts."""
    handler_limit_s: float
    """After this time the attempt at a message has failed; 300 s by default."""
    lease_s: float
    """How long a message stays leased to a worker that has died; 90 s by default."""


class AsyncNodeOptions(TypedDict, total=False):
    """The options of an `AsyncNode`: ports and limits in place of the defaults. Blocking ports are fine."""

    queue: MessageQueue | AsyncMessageQueue | QueuesLike
    """See `NodeOptions.queue`."""
    namespace: str
    """See `NodeOptions.namespace`."""
    works: Sequence[WorkKind]
    """See `NodeOptions.works`."""
    transport: Transport | AsyncTransport
    loaders: Sequence[Loader | AsyncLoader]
    """See `NodeOptions.loaders`. They may be coroutine functions."""
    signer: Signer | AsyncSigner | str
    runtime: AsyncRuntime | Literal["asyncio", "trio"]
    """The default is the library of the event loop that runs when the node is first used."""
    addresses: AddressPolicy
    fetching: FetchPolicy
    """See `NodeOptions.fetching`."""
    observer: Observer
    slots: int
    """How many messages of each kind `AsyncNode.work` handles at the same time; 48 by default.

    Messages that take longer than a second are not counted.
    """
    handle_host: HandleHosts
    """See `NodeOptions.handle_host`."""
    handler_limit_s: float
    """See `NodeOptions.handler_limit_s`."""
    lease_s: float
    """See `NodeOptions.lease_s`."""


class Bound(Generic[Data]):
    """The common part of both nodes: a federation, its origins, and the rules for outgoing requests."""

    def __init__(
        self,
        federation: Federation[Data],
        origin: OriginsLike,
        addresses: AddressPolicy,
        *,
        fetching: FetchPolicy | None,
        blocking: bool,
        store: KvStore | AsyncKvStore,
        has_queue: bool,
        has_data: bool,
        worker: WorkerPolicy,
        works: Sequence[WorkKind],
        handle_host: HandleHosts = None,
    ) -> None:
        if not isinstance(federation, Federation):
            raise ConfigurationError(f"a node needs a Federation, not {federation!r:.60}")
        self.origins: Final[Origins] = bind_origins(origin, plain_http=addresses.plain_http, handle_host=handle_host)
        if self.origins.serves and not has_queue:
            raise ConfigurationError(
                f"{type(store).__name__} is a store without a queue, and incoming activities and deliveries wait in a "
                "queue: pass queue=, or a store that is also a queue (sqlite:, postgresql:, redis: and memory: are)"
            )
        self.findings: Final[tuple[CheckFinding, ...]] = federation.bind(
            blocking=blocking, serves=self.origins.serves, durability=store.durability, has_data=has_data
        )
        """The warnings of `Federation.check` for this node."""
        for finding in self.findings:
            _LOG.warning("%s", finding.text)
        self.federation: Final = federation
        self._has_queue: Final = has_queue
        self._parsed: Final = ParsedDocuments()
        self.addresses: Final = addresses
        self._fetching: Final = FetchPolicy() if fetching is None else _checked(fetching)
        if not blocking and worker.slots == 0:
            raise ConfigurationError("an AsyncNode needs slots of at least 1, not 0: it handles messages side by side")
        self.worker_policy: Final = worker
        self.served_kinds: Final = check_kinds(works)
        # A function that decides about origins cannot list them, so such a node leases from all lanes.
        listed = None if self.origins.allows is not None or not self.origins.listed else self.origins.listed
        self.lanes: Final[dict[str, tuple[str, ...]]] = {kind: lanes_for(kind, listed) for kind in KINDS}
        self._idle_watch: Final = _IdleWatch()
        self._matcher: Final = RequestMatcher(federation.places, self.origins)
        self._stopped = False
        self._load_own: Final = partial(load_own_document, origins=self.origins)
        self._own_hosts: Final = frozenset(own_origin.host for own_origin in self.origins.listed)
        self._recipients: Final = KnownRecipients()
        # Created once for the listed origins, since every request needs one.
        self._policies: Final = {origin: self._policy_of(origin) for origin in (None, *self.origins.listed)}

    def stop(self) -> None:
        """End `work`, here and in other threads: it leases no more messages, and finishes those that it has begun.

        A stopped node cannot work again. A killed process loses no messages either, but other workers get them only
        when its leases end (`NodeOptions.lease_s`, 90 s by default).
        """
        self._stopped = True

    @property
    def served_lanes(self) -> tuple[str, ...]:
        """The lanes that workers of this node lease from."""
        return tuple(lane for kind in self.served_kinds for lane in self.lanes[kind])

    @property
    def all_lanes(self) -> tuple[str, ...]:
        """The lanes of this node's messages."""
        return tuple(lane for lanes in self.lanes.values() for lane in lanes)

    def _check_works(self) -> None:
        if not self.origins.serves:
            raise ConfigurationError("this node has no origin, so it has no messages: pass an origin to the node")

    @property
    def is_stopped(self) -> bool:
        """Return whether `stop` was called."""
        return self._stopped

    def site(self, origin: Origin | None = None, data: Data | None = None) -> Site:
        """Return everything that an operation needs for one of our origins. A node with one origin needs no argument.

        Raises:
            ValueError: ``origin`` is None, and there is not exactly one origin.
        """
        site_origin = self.origins.pick(None) if origin is None else origin
        return Site(
            federation=self.federation,
            origin=site_origin,
            fetching=self._hooked(self._fetch_policy(site_origin), site_origin, data),
            signatures=self.federation.signature_policy,
            data=data,
            load_own=self._load_own,
            find_own=find_own,
            describe_own=describe_own,
            is_own=self._is_own,
            origins=self.origins,
            own_hosts=self._own_hosts,
            handle_host=self.origins.handle_host(site_origin),
            recipients=self._recipients,
        )

    def _origin_of(self, request: Request, /) -> Origin | None:
        """Return the origin of ours that a request is for. None if it is for another application.

        Discovery is also answered at the host of the handles, for the origin that the handles belong to.
        """
        origin = self.origins.find(request.url)
        if origin is not None or not self.origins.handle_hosts:
            return origin
        return self._matcher.find_discovered(request.url)

    @property
    def only_origin(self) -> str | None:
        """The origin of this node, if there is exactly one."""
        return None if self.origins.only is None else str(self.origins.only)

    def unit_of_work(self, data: Data | None = None) -> UnitOfWork[Any]:
        """Return a unit of work for reads of this node: for its only origin, or else for its first or none."""
        origin = self.origins.only or (self.origins.listed[0] if self.origins.listed else None)
        if origin is not None:
            scope = unit_of_work_for(self.site(origin, data))
            # The addresses of several origins differ, so none of them is the origin of this node.
            return scope if self.origins.only is not None else evolve(scope, origin=None)
        return UnitOfWork(
            places=self.federation.places,
            origin=None,
            data=data,
            side_effects=self.federation.side_effects,
            fetching=self._hooked(self._fetch_policy(None), None, data),
            load_own=partial(self._load_at, data),
            is_own=self._is_own,
        )

    def own_origin_of(self, address: str, /) -> str | None:
        """Return the origin of an address if it is one of ours, else None."""
        try:
            origin = parse_url(address).origin
        except RequestError:
            return None  # a collection that is not served may have any name
        return str(origin) if self.origins.has(origin) else None

    def _fetch_policy(self, origin: Origin | None) -> FetchPolicy:
        return self._policies.get(origin) or self._policy_of(origin)

    def _policy_of(self, origin: Origin | None) -> FetchPolicy:
        agent = f"{self.federation.software_name}/{self.federation.software_version}"
        if self._fetching.user_agent != _DEFAULT.user_agent:
            agent = self._fetching.user_agent
        elif origin is not None:
            agent = f"{agent} (+{origin}/)"
        return evolve(
            self._fetching,
            addresses=self.addresses,
            user_agent=agent,
            vocabulary=self.federation.vocabulary,
            unknown_contexts=self.federation.unknown_contexts,
            budgets=self.federation.budgets,
            parsed=self._parsed,
            refresh=partial(request_refresh, origin) if origin is not None and self._has_queue else None,
        )

    def pruning(self, documents_max: int | None, bytes_max: int | None, age_s_max: float | None) -> Op[int]:
        """Delete copies until the graph is within its bounds; see `Node.prune_documents`."""
        fetching = self._fetching
        now = yield from Now()
        return (
            yield from prune_copies(
                now,
                documents_max=fetching.graph_documents_max if documents_max is None else documents_max,
                bytes_max=fetching.graph_bytes_max if bytes_max is None else bytes_max,
                age_s_max=COPY_KEPT_S_MAX if age_s_max is None else age_s_max,
            )
        )

    def _hooked(self, policy: FetchPolicy, origin: Origin | None, data: Data | None) -> FetchPolicy:
        """Return the policy with the application's hook for changed documents, if there is one."""
        if self.federation.document_hook is None:
            return policy
        return evolve(policy, on_document=partial(self._call_document_hook, origin, data))

    def _call_document_hook(
        self, origin: Origin | None, data: Data | None, old: Document | None, new: Document | None, /
    ) -> Op[None]:
        hook = self.federation.document_hook
        if hook is not None:
            scope = UnitOfWork(places=self.federation.places, origin=origin, data=data)
            _ = yield from Call(hook.fn, old, new, contexts_for=UnitContexts(scope))

    def _is_own(self, address: str, /) -> bool:
        return self.origins.find(address) is not None

    def _resolver(self, data: Data | None = None, *, by: str | None = None, origin: str | None = None) -> Resolver:
        """Return the resolver that signs as our actor ``by``, or as the instance actor of the first origin.

        A node without an origin fetches unsigned.

        Raises:
            ValueError: ``by`` is given, and ``origin`` does not tell on which of several origins it is.
        """
        if by is not None:
            site = self.site(self.origins.pick(origin), data)
            load_identity, viewer = partial(actor_identity, site, by), site.actor_uri(by)
        elif self.origins.listed:
            site = self.site(self.origins.listed[0] if origin is None else self.origins.pick(origin), data)
            load_identity, viewer = partial(instance_identity, site), site.instance_uri
        else:
            return Resolver(
                policy=self._hooked(self._fetch_policy(None), None, data),
                load_own=partial(self._load_at, data),
                is_own=self._is_own,
            )
        return Resolver(
            policy=site.fetching,
            load_identity=load_identity,
            viewer=viewer,
            load_own=partial(self._load_at, data),
            is_own=self._is_own,
        )

    def _load_at(self, data: Data | None, uri: str, /) -> Op[Document | None]:
        """Return the document of ours at ``uri``, made with ``data``; None if it is not ours."""
        origin = self.origins.find(uri)
        return None if origin is None else (yield from self._load_own(self.site(origin, data), uri))

    def _subscribing_registered(self) -> Op[None]:
        """Begin the subscriptions that the federation has registered, at each listed origin."""
        for origin in self.origins.listed:
            for terms in self.federation.registered_subscriptions:
                if self.own_origin_of(terms.address) is not None:
                    raise ValueError(f"{terms.address} is one of ours, so it is not polled")
                _ = yield from subscribe(self.site(origin), terms)

    def match(
        self,
        head: RequestHead,
        /,
        *,
        has_pages: bool = False,
        trust_proxy: TrustProxy = False,
        log_misdirected: bool = True,
    ) -> IncomingRequest | Elsewhere:
        """Return an incoming request if this node answers it, else the reason to leave it to the site.

        Call this before you read the body. Read as much of it as the `IncomingRequest` says, and pass both to
        `respond`. For `Elsewhere`, pass the request on to your site with its body unread; without a site, answer with
        `Elsewhere.response`.

        Args:
            head: The request without its body.
            has_pages: Whether your site serves HTML pages at the same paths. Then a client gets ActivityPub only if its
                ``Accept`` names it, and only inboxes accept methods other than GET and HEAD.
            trust_proxy: The fields that your proxy writes: True or ``"x-forwarded"`` for `X-Forwarded-Host`,
                `X-Forwarded-Proto` and `X-Forwarded-For`, or ``"forwarded"`` for `Forwarded` (RFC 7239).
            log_misdirected: Whether to log requests to another host or scheme. With ``has_pages``, only those that
                speak ActivityPub are logged.

        Raises:
            ConfigurationError: ``trust_proxy`` has another value.
        """
        check_trust_proxy(trust_proxy)
        return self._matcher.match(
            head,
            has_pages=has_pages,
            trust_proxy=trust_proxy,
            log_misdirected=log_misdirected,
            monotonic_s=self._monotonic_s,
        )

    def _monotonic_s(self) -> float:
        raise NotImplementedError

    def outbound_refusal(self, request: Request, /) -> Op[RemoteError | None]:
        """Return the reason why the domain rules of the code or of the store forbid ``request``; None if they allow it.

        Both nodes pass this method to their driver as `Ports.outbound`. So it judges every request of every operation
        that they run, and each hop of a redirect. Requests to our own origins are always allowed.
        """
        return check_request(self.federation, self.origins.has, request)


def _checked(fetching: FetchPolicy) -> FetchPolicy:
    """Return the policy, or refuse one that sets what belongs elsewhere, or that cannot work.

    Raises:
        ConfigurationError: A field is set that another option sets, or a number is out of its range.
    """
    for name, option in _SET_ELSEWHERE.items():
        if getattr(fetching, name) != getattr(_DEFAULT, name):
            raise ConfigurationError(f"FetchPolicy.{name} of a node is set by {option}: leave it out of fetching=")
    for name in (
        *("redirects_max", "contexts_max", "keys_max", "fetches_a_job", "graph_documents_max", "graph_bytes_max"),
    ):
        if getattr(fetching, name) < 0:
            raise ConfigurationError(f"FetchPolicy.{name} is {getattr(fetching, name)}: use 0 or more")
    for name in _DURATIONS:
        if not 0 <= getattr(fetching, name) < inf:
            raise ConfigurationError(f"FetchPolicy.{name} is {getattr(fetching, name)}: use seconds, 0 or more")
    if fetching.freshness is not None and not callable(fetching.freshness):
        raise ConfigurationError(
            f"FetchPolicy.freshness is {fetching.freshness!r:.40}: use a function from a Document to its Freshness"
        )
    if fetching.document_ttl_s_min > fetching.document_ttl_s_max:
        raise ConfigurationError(
            f"FetchPolicy.document_ttl_s_min is {fetching.document_ttl_s_min}, which is more than document_ttl_s_max, "
            f"{fetching.document_ttl_s_max}"
        )
    return fetching


class _IdleWatch:
    """Notice that no worker runs: incoming messages are queued, but not handled. Check at most once a minute."""

    def __init__(self) -> None:
        self._checked_s = -inf

    def is_due(self, now_s: float) -> bool:
        if now_s - self._checked_s < WATCH_S:
            return False
        self._checked_s = now_s
        return True

    def judge(self, depth: Depth) -> None:
        waiting_s = depth.oldest_ready_s
        if waiting_s is not None and waiting_s > IDLE_S_MAX:
            _LOG.warning(
                "%d messages are due, the oldest for %.0f s: is a worker running? "
                "Start one with `apcore work`, Node.work or worker=True",
                depth.ready,
                waiting_s,
            )


class Pace:
    """The schedule of a worker: the end of its time, and the times at which it reconciles the queue with the store.

    It reconciles at the start, and then every minute.

    Times are in seconds of a monotonic clock.
    """

    def __init__(self, started_s: float, limit_s: float | None) -> None:
        self._ends_s = inf if limit_s is None else started_s + limit_s
        self._reconcile_s = started_s

    def is_over(self, now_s: float) -> bool:
        """Check whether the time is over."""
        return now_s >= self._ends_s

    def is_due(self, now_s: float) -> bool:
        """Check whether to reconcile now. After True, the next time is a minute later."""
        if now_s < self._reconcile_s:
            return False
        self._reconcile_s = now_s + RECONCILE_S
        return True


class BackOff:
    """The pauses of a worker after failures of its store or queue: one second, doubled by each further failure.

    Times are in seconds of a monotonic clock.
    """

    def __init__(self) -> None:
        self._until_s = -inf
        self._pause_s = BACK_OFF_S_MIN

    def begin(self, now_s: float) -> float:
        """Begin a pause after a failure, and return its length. During a pause, further failures change nothing."""
        if not self.is_on(now_s):
            self._until_s = now_s + self._pause_s
            self._pause_s = min(2 * self._pause_s, BACK_OFF_S_MAX)
        return self._until_s - now_s

    def is_on(self, now_s: float) -> bool:
        """Check whether a pause is going on."""
        return now_s < self._until_s

    def end(self) -> None:
        """Note a success: the next pause is short again."""
        self._pause_s = BACK_OFF_S_MIN


def address_tuple(to: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return one or several addresses as a tuple, and None unchanged."""
    return None if to is None else (to,) if isinstance(to, str) else tuple(to)
