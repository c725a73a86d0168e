"""Look up the inboxes of remote actors, and remember the outcome.

Ten activities for one unknown actor are ten sendings, and each of them needs the actor's inbox. Without a memory, a
host that is down would be asked ten times, and ten times again at every retry. So a failed look-up begins a pause for
the actor and, if no answer came, for its host. Pauses grow by the federation's ``delivery_retries``, as those of
deliveries do. A host with an open circuit is not asked either.

A repeated failure of one actor does not lengthen the pause of its host; only a failure of another actor does.
Otherwise one actor whose document never loads would keep all others on its host from being found.

A refusal (a 404, or a document that is no actor) is remembered for ten minutes. After a success, the actor's document
is cached (`apcore.remote.load`). If that document must not be cached, its inboxes are remembered for a minute.

Records::

    ("lookup", "1", "actor", H(actor))   the outcome of the last look-up, and until when it counts; kept a day longer
    ("lookup", "1", "host", origin)      a host that did not answer: how often, when last, and for which actor
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from attrs import frozen

from apcore.effects import Get, Now, Op, RandomBytes, commit
from apcore.errors import ApcoreError, FetchFailed, RemoteError, Unavailable
from apcore.federation.actors.keys import instance_identity
from apcore.federation.actors.profiles import Inboxes, inboxes_in, load_actor
from apcore.federation.moderation import DomainSuspended
from apcore.federation.outbox.circuit import circuit_key, is_our_outage
from apcore.federation.retry import host_pause_s
from apcore.federation.site import Site
from apcore.http import parse_url
from apcore.ports import DeleteEntry, Entry, Put, StoreKey, Write, digest_part
from apcore.records.format import Record, decode_record, due_in, encode_record, from_epoch_ms, to_epoch_ms
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
    actor_record: Record
    host_record: Record
    circuit: Record

    @property
    def actor_key(self) -> StoreKey:
        return ("lookup", "1", "actor", digest_part(self.actor))

    @property
    def host_key(self) -> StoreKey:
        return ("lookup", "1", "host", self.origin)

    def check(self, now: datetime) -> None:
        """Raise the error of the last look-up again, if its pause is not over."""
        pauses = [(due_in_s, record) for record in self._records if (due_in_s := record.due_in_s(now)) is not None]
        if not pauses:
            return
        match self.actor_record.due_in_s(now) and self.actor_record.optional("failure"):
            case "gone":
                raise Gone(f"actor {self.actor} is gone, as a look-up in the last {_REFUSED_S:.0f} s has shown")
            case "refused":
                reason = self.actor_record.text("reason")
                raise InboxRefused(f"actor {self.actor} was refused in the last {_REFUSED_S:.0f} s ({reason})")
            case _:
                failures = [record.number("failed") for _, record in pauses if "failed" in record.members]
                wait_s = max(due_in_s for due_in_s, _ in pauses)
                raise InboxUnknown(
                    f"actor {self.actor} is not looked up for {wait_s:.0f} s more, after a failure of {self.origin}",
                    retry_after_s=wait_s,
                    tried=from_epoch_ms(max(failures)) if failures else None,
                )

    @property
    def _records(self) -> tuple[Record, Record, Record]:
        return self.actor_record, self.host_record, self.circuit

    def inboxes(self, now: datetime) -> Inboxes | None:
        """Return the remembered inboxes; None if there are none, or if their time is over."""
        inbox = self.actor_record.optional("inbox")
        if inbox is None or self.actor_record.due_in_s(now) is None:
            return None
        return Inboxes(inbox, self.actor_record.optional("shared"))

    def pause(self, failures: int, wait_s: float, now: datetime, **more: Any) -> bytes:
        """Encode the record of a pause."""
        return encode_record({"failures": failures, "failed": to_epoch_ms(now), **due_in(wait_s, now), **more})


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
    blank = _Memory(actor, origin, Record({}), Record({}), Record({}))
    entries = yield from Get((blank.actor_key, blank.host_key, circuit_key(origin)))
    actor_record, host_record, circuit = (_record(entry) for entry in entries)
    # The key has only a digest of the id, so compare the whole id.
    if actor_record.optional("uri") != actor:
        actor_record = Record({})
    return _Memory(actor, origin, actor_record, host_record, circuit)


def _record(entry: Entry | None) -> Record:
    return Record({}) if entry is None else decode_record(entry.value)


def _note_failure(site: Site, memory: _Memory, error: FetchFailed | PeerFailing) -> Op[InboxUnknown]:
    """Begin a pause, and return an error that tells how long it is."""
    now = yield from Now()
    is_our_fault = isinstance(error, FetchFailed) and (yield from is_our_outage(memory.origin, now))
    jitter = int.from_bytes((yield from RandomBytes(2)), "big") / 65535

    def pause_s(failures: int) -> float:
        rules = site.federation.delivery_retries
        wait_s = host_pause_s(rules, max(failures, 1), chance=jitter, asked_s=error.retry_after_s)
        return max(wait_s, _OUR_OUTAGE_S) if is_our_fault else wait_s

    failures = memory.actor_record.number("failures") + (0 if is_our_fault else 1)
    wait_s = pause_s(failures)
    value = memory.pause(failures, wait_s, now, uri=memory.actor, reason=error.reason)
    writes: list[Write] = [Put(memory.actor_key, value, wait_s + _MEMORY_S)]
    actor_digest = digest_part(memory.actor)
    # A redirect may have led to another host, whose failure says nothing about this one.
    if isinstance(error, FetchFailed) and error.origin == memory.origin:
        if memory.host_record.optional("actor") != actor_digest:
            host_failures = memory.host_record.number("failures") + (0 if is_our_fault else 1)
            host_wait_s = pause_s(host_failures)
            value = memory.pause(host_failures, host_wait_s, now, actor=actor_digest, reason=error.reason)
            writes.append(Put(memory.host_key, value, host_wait_s + _MEMORY_S))
    elif memory.host_record.members:
        writes.append(DeleteEntry(memory.host_key))
    yield from _write(writes)
    return InboxUnknown(f"actor {memory.actor}: {error}", retry_after_s=wait_s, tried=now, is_charged=not is_our_fault)


def _note_refusal(memory: _Memory, error: ApcoreError) -> Op[None]:
    """Remember a refusal, and end the pause of the host, which has answered."""
    now = yield from Now()
    about = {
        "uri": memory.actor,
        "failure": "gone" if isinstance(error, Gone) else "refused",
        "reason": error.reason,
        **due_in(_REFUSED_S, now),
    }
    writes: list[Write] = [Put(memory.actor_key, encode_record(about), _REFUSED_S)]
    if memory.host_record.members:
        writes.append(DeleteEntry(memory.host_key))
    yield from _write(writes)


def _note_success(site: Site, memory: _Memory, loaded: LoadedDocument, inboxes: Inboxes) -> Op[None]:
    """End the pauses, and remember the inboxes if the document is not cached under the id that was looked up."""
    writes: list[Write] = []
    if memory.host_record.members:
        writes.append(DeleteEntry(memory.host_key))
    if loaded.kept and loaded.document.id == memory.actor:
        if memory.actor_record.members:
            writes.append(DeleteEntry(memory.actor_key))
    else:
        ttl_s = site.fetching.document_ttl_s_min
        now = yield from Now()
        about = {
            "uri": memory.actor,
            "inbox": inboxes.inbox,
            "shared": inboxes.shared,
            "due": to_epoch_ms(now) + int(ttl_s * 1000),
        }
        writes.append(Put(memory.actor_key, encode_record(about), ttl_s))
    yield from _write(writes)


def _write(writes: list[Write]) -> Op[None]:
    """Write to the memory, without checks: the last writer wins. A failure costs only the memory, so it is ignored."""
    if writes:
        with suppress(Unavailable):
            _ = yield from commit((), writes)
