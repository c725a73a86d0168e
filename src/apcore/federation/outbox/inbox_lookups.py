"""Look up the inboxes of remote actors, and remember the outcome.

Ten activities for one unknown actor are ten sendings, and each of them needs the actor's inbox. Without a memory, a
host that is down would be asked ten times, and ten times again at every retry. So a failed look-up begins a pause for
the actor and, if no answer came, for its host. Pauses grow by the federation's ``delivery_retries``, as those of
deliveries do. A host with an open circuit is not asked either.

A repeated failure of one actor does not lengthen the pause of its host; only a failure of another actor does.
Otherwise one actor whose document never loads would keep all others on its host from being found.

A refusal (a 404, or a document that is no actor) is remembered for ten minutes. After a success, the actor's document
is cached (`apcore.remote.load`). If that document must not be cached, its inboxes are remembered for a minute.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Final

from attrs import evolve, frozen

from apcore.effects import Get, Now, Op, RandomBytes, commit
from apcore.errors import ApcoreError, FetchFailed, RemoteError, Unavailable
from apcore.federation.actors.keys import instance_identity
from apcore.federation.actors.profiles import Inboxes, inboxes_in, load_actor
from apcore.federation.moderation import DomainSuspended
from apcore.federation.outages import is_our_outage
from apcore.federation.outbox.circuit import circuit_key
from apcore.federation.outbox.host_records import (
    ACTOR_LOOKUPS,
    CIRCUITS,
    HOST_LOOKUPS,
    ActorLookupRecord,
    CircuitRecord,
    HostLookupRecord,
    OriginKey,
)
from apcore.federation.outbox.records import DigestKey
from apcore.federation.retry import host_pause_s
from apcore.federation.site import Site
from apcore.http import parse_url
from apcore.ports import Write, digest_part
from apcore.records import defer
from apcore.records.format import to_epoch_ms
from apcore.remote import Gone, LoadedDocument, PeerFailing, load_kept

__all__ = ["InboxRefused", "InboxUnknown", "look_up_inboxes"]

_REFUSED_S: Final = 600.0
"""How long a refusal is remembered."""
_OUR_OUTAGE_S: Final = 300.0
"""The shortest pause after a look-up that failed while our own network was down."""
_MEMORY_S: Final = 86400.0
"""How long the count of failures outlives the pause, so that the next pause is longer."""


class InboxRefused(RemoteError):
    """The look-up of an actor's inbox was refused within the last ten minutes, so it was not repeated."""

    reason = "inbox-refused"


class InboxUnknown(Unavailable):
    """An actor's inbox cannot be found now, because its host does not answer or is in a pause after a failure."""

    reason = "inbox-unknown"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        tried: datetime | None = None,
        is_charged: bool = False,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.tried: Final = tried
        """The time of the last failed request to the host or for the actor's document; None if it is unknown."""
        self.is_charged: Final = is_charged
        """Whether this counts as an attempt: the host was asked, and the failure is not due to an outage of ours."""


@frozen
class _Memory:
    """The records about an actor and its host."""

    actor: str
    origin: str
    actor_record: ActorLookupRecord | None = None
    host_record: HostLookupRecord | None = None
    circuit: CircuitRecord | None = None

    @property
    def actor_key(self) -> DigestKey:
        return DigestKey.of(self.actor)

    @property
    def host_key(self) -> OriginKey:
        return OriginKey(self.origin)

    def check(self, now: datetime) -> None:
        """Raise the error of the last look-up again, if its pause is not over."""
        if self.actor_record is not None and self.actor_record.due_in_s(now) is not None:
            match self.actor_record.refusal:
                case "gone":
                    raise Gone(f"actor {self.actor} is gone, as a look-up in the last {_REFUSED_S:.0f} s has shown")
                case "refused":
                    reason = self.actor_record.reason
                    raise InboxRefused(f"actor {self.actor} was refused in the last {_REFUSED_S:.0f} s ({reason})")
                case _:
                    pass
        records = [record for record in (self.actor_record, self.host_record, self.circuit) if record is not None]
        pauses = [(due_in_s, record.failed) for record in records if (due_in_s := record.due_in_s(now)) is not None]
        if pauses:
            wait_s = max(due_in_s for due_in_s, _ in pauses)
            raise InboxUnknown(
                f"actor {self.actor} is not looked up for {wait_s:.0f} s more, after a failure of {self.origin}",
                retry_after_s=wait_s,
                tried=max((failed for _, failed in pauses if failed is not None), default=None),
            )

    def inboxes(self, now: datetime) -> Inboxes | None:
        """Return the remembered inboxes; None if there are none, or if their time is over."""
        record = self.actor_record
        if record is None or record.inbox is None or record.due_in_s(now) is None:
            return None
        return Inboxes(record.inbox, record.shared)


def look_up_inboxes(site: Site, actor: str, *, within_s: float) -> Op[Inboxes]:
    """Return the inboxes of a remote actor: from its cached document, from memory, or from its origin.

    ``within_s`` bounds the requests to the origin. Asks for: as `load_kept`; if no document is cached, one `Get`; if
    nothing is remembered, as `load`, and one commit if the memory changes. If the host cannot be reached, also one
    `Scan`.

    Raises:
        DocumentError: The document is no actor, or has no inbox.
        RemoteError: As `load`. Within ten minutes of a refusal, `InboxRefused`, or `Gone` again, without a request.
        InboxUnknown: The origin does not answer, or is in a pause after a failure.
        Unavailable: A store or signer of ours failed.
    """
    identity = yield from instance_identity(site)
    cached = yield from load_kept(actor, policy=site.fetching, identity=identity)
    if cached is not None:
        return inboxes_in(cached.document)
    memory = yield from _read_memory(actor)
    now = yield from Now()
    remembered_inboxes = memory.inboxes(now)
    if remembered_inboxes is not None:
        return remembered_inboxes
    memory.check(now)
    try:
        loaded = yield from load_actor(site, actor, identity=identity, within_s=within_s)
        inboxes = inboxes_in(loaded.document)
    except (FetchFailed, PeerFailing) as error:
        if not error.retryable:
            yield from _note_refusal(memory, error)
            raise
        raise (yield from _note_failure(site, memory, error)) from error
    except RemoteError as error:
        if not isinstance(error, DomainSuspended):
            yield from _note_refusal(memory, error)
        raise
    yield from _note_success(site, memory, loaded, inboxes)
    return inboxes


def _read_memory(actor: str) -> Op[_Memory]:
    origin = str(parse_url(actor).origin)
    memory = _Memory(actor, origin)
    keys = (ACTOR_LOOKUPS.key(memory.actor_key), HOST_LOOKUPS.key(memory.host_key), circuit_key(origin))
    actor_entry, host_entry, circuit_entry = yield from Get(keys)
    actor_lookup = ACTOR_LOOKUPS.read_optional(actor_entry)
    host_lookup = HOST_LOOKUPS.read_optional(host_entry)
    circuit = CIRCUITS.read_optional(circuit_entry)
    return evolve(
        memory,
        # The key has only a digest of the id, so compare the whole id.
        actor_record=None if actor_lookup is None or actor_lookup.record.actor != actor else actor_lookup.record,
        host_record=None if host_lookup is None else host_lookup.record,
        circuit=None if circuit is None else circuit.record,
    )


def _note_failure(site: Site, memory: _Memory, error: FetchFailed | PeerFailing) -> Op[InboxUnknown]:
    """Begin a pause, and return an error that tells how long it is."""
    now = yield from Now()
    is_our_fault = isinstance(error, FetchFailed) and (yield from is_our_outage(memory.origin, now))
    jitter = int.from_bytes((yield from RandomBytes(2)), "big") / 65535

    def pause_s(failures: int) -> float:
        rules = site.federation.delivery_retries
        wait_s = host_pause_s(rules, max(failures, 1), jitter=jitter, retry_after_s=error.retry_after_s)
        return max(wait_s, _OUR_OUTAGE_S) if is_our_fault else wait_s

    charge = 0 if is_our_fault else 1
    failures = (0 if memory.actor_record is None else memory.actor_record.failures) + charge
    wait_s = pause_s(failures)
    actor_lookup = ActorLookupRecord(actor=memory.actor, failures=failures, failed=now, reason=error.reason)
    writes: list[Write] = [
        ACTOR_LOOKUPS.put(memory.actor_key, defer(actor_lookup, wait_s, now), ttl_s=wait_s + _MEMORY_S)
    ]
    actor_digest = digest_part(memory.actor)
    # A redirect may have led to another host, whose failure says nothing about this one.
    if isinstance(error, FetchFailed) and error.origin == memory.origin:
        if memory.host_record is None or memory.host_record.actor != actor_digest:
            host_failures = (0 if memory.host_record is None else memory.host_record.failures) + charge
            host_wait_s = pause_s(host_failures)
            host_lookup = HostLookupRecord(failures=host_failures, failed=now, actor=actor_digest, reason=error.reason)
            writes.append(
                HOST_LOOKUPS.put(memory.host_key, defer(host_lookup, host_wait_s, now), ttl_s=host_wait_s + _MEMORY_S)
            )
    elif memory.host_record is not None:
        writes.append(HOST_LOOKUPS.delete(memory.host_key))
    yield from _write(writes)
    return InboxUnknown(f"actor {memory.actor}: {error}", retry_after_s=wait_s, tried=now, is_charged=not is_our_fault)


def _note_refusal(memory: _Memory, error: ApcoreError) -> Op[None]:
    """Remember a refusal, and end the pause of the host, which has answered."""
    now = yield from Now()
    refusal = "gone" if isinstance(error, Gone) else "refused"
    record = ActorLookupRecord(actor=memory.actor, refusal=refusal, reason=error.reason)
    writes: list[Write] = [ACTOR_LOOKUPS.put(memory.actor_key, defer(record, _REFUSED_S, now), ttl_s=_REFUSED_S)]
    if memory.host_record is not None:
        writes.append(HOST_LOOKUPS.delete(memory.host_key))
    yield from _write(writes)


def _note_success(site: Site, memory: _Memory, loaded: LoadedDocument, inboxes: Inboxes) -> Op[None]:
    """End the pauses, and remember the inboxes if the document is not cached under the id that was looked up."""
    writes: list[Write] = []
    if memory.host_record is not None:
        writes.append(HOST_LOOKUPS.delete(memory.host_key))
    if loaded.cached and loaded.document.id == memory.actor:
        if memory.actor_record is not None:
            writes.append(ACTOR_LOOKUPS.delete(memory.actor_key))
    else:
        ttl_s = site.fetching.document_ttl_s_min
        now = yield from Now()
        due_ms = to_epoch_ms(now) + int(ttl_s * 1000)
        record = ActorLookupRecord(actor=memory.actor, inbox=inboxes.inbox, shared=inboxes.shared, due_ms=due_ms)
        writes.append(ACTOR_LOOKUPS.put(memory.actor_key, record, ttl_s=ttl_s))
    yield from _write(writes)


def _write(writes: list[Write]) -> Op[None]:
    """Write to the memory, without checks: the last writer wins. A failure costs only the memory, so it is ignored."""
    if writes:
        with suppress(Unavailable):
            _ = yield from commit((), writes)
