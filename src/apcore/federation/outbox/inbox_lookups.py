"""Look up the inboxes of remote actors, and remember the outcome.

Ten activities for one unknown actor are ten sendings, and each needs the actor's inbox. Without a memory, a host that
is down would be asked ten times, and ten times again at every retry. So a failed look-up begins a pause for the actor
and, if no answer came, for its host. Pauses grow by the federation's ``delivery_retries``, as those of deliveries do. A
host whose circuit is open is not asked either.

An actor that fails again does not make the pause of its host longer, only another one does. Otherwise one actor whose
document never loads would keep everybody else on its host from being found.

A refusal (a 404, something that is no actor) is remembered for ten minutes. A success is kept as the actor's document
(`apcore.remote.load`); where that must not be kept, the inboxes are remembered for a minute.

Facts::

    ("lookup", "1", "actor", H(actor))   the outcome of the last look-up, and until when it counts; for a day longer
    ("lookup", "1", "host", origin)      that the host did not answer: how often, when last, and for which actor
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
from apcore.records.format import Record, decode_record, encode_record, from_epoch_ms, to_epoch_ms
from apcore.remote import Gone, LoadedDocument, PeerFailing, load_kept

__all__ = ["InboxRefused", "InboxUnknown", "look_up_inboxes"]

_REFUSED_S: Final = 600.0
"""How long a refusal is remembered."""
_OUR_OUTAGE_S: Final = 300.0
"""How long at least a look-up waits that failed while our own network is down."""
_MEMORY_S: Final = 86400.0
"""How long the count of failures outlives the pause, so that the next pause is longer."""


class InboxRefused(RemoteError):
    """The look-up of an actor's inbox was refused a short while ago, so it was not made again."""

    reason = "inbox-refused"


class InboxUnknown(Unavailable):
    """An actor's inbox cannot be found now: its host did not answer, or did not a short while ago."""

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
        """When the host, or the actor's document, was last asked for in vain. None if that is not known."""
        self.is_charged: Final = is_charged
        """Whether this was an attempt: the host was asked, and its failing is not due to an outage of ours."""


@frozen
class _Memory:
    """The memory of one actor and its host."""

    actor: str
    origin: str
    actor_fact: Record
    host_fact: Record
    circuit: Record

    @property
    def actor_key(self) -> StoreKey:
        return ("lookup", "1", "actor", digest_part(self.actor))

    @property
    def host_key(self) -> StoreKey:
        return ("lookup", "1", "host", self.origin)

    def check(self, now: datetime) -> None:
        """Raise the outcome of the last look-up while it counts."""
        pauses = [(due_in_s, fact) for fact in self._facts if (due_in_s := fact.due_in_s(now)) is not None]
        if not pauses:
            return
        match self.actor_fact.due_in_s(now) and self.actor_fact.optional("failure"):
            case "gone":
                raise Gone(f"actor {self.actor} was gone a short while ago")
            case "refused":
                reason = self.actor_fact.text("reason")
                raise InboxRefused(f"actor {self.actor} could not be had a short while ago ({reason})")
            case _:
                failed = [fact.number("failed") for _, fact in pauses if "failed" in fact.members]
                raise InboxUnknown(
                    f"actor {self.actor} was not asked for: {self.origin} did not answer a short while ago",
                    retry_after_s=max(due_in_s for due_in_s, _ in pauses),
                    tried=from_epoch_ms(max(failed)) if failed else None,
                )

    @property
    def _facts(self) -> tuple[Record, Record, Record]:
        return self.actor_fact, self.host_fact, self.circuit

    def inboxes(self, now: datetime) -> Inboxes | None:
        """Return the inboxes that are remembered and still count."""
        inbox = self.actor_fact.optional("inbox")
        if inbox is None or self.actor_fact.due_in_s(now) is None:
            return None
        return Inboxes(inbox, self.actor_fact.optional("shared"))

    def pause(self, failures: int, wait_s: float, now: datetime, **more: Any) -> bytes:
        """Write down a pause."""
        due = to_epoch_ms(now) + int(wait_s * 1000)
        return encode_record({"failures": failures, "failed": to_epoch_ms(now), "due": due, **more})


def look_up_inboxes(site: Site, actor: str, *, within_s: float) -> Op[Inboxes]:
    """Return the inboxes of a remote actor: from its cached document, from memory, or from its origin in so much time.

    Asks for: as `load_kept`; if no document is kept, one `Get`; if nothing is remembered, as `load`, and one commit
    where there is something to remember or to forget. If its host cannot be reached, also one `Scan`.

    Raises:
        DocumentError: It has no inbox, or is no actor.
        RemoteError: As `load`. The same refusal within ten minutes is an `InboxRefused`, or `Gone` again, and costs no
            request.
        InboxUnknown: Its origin cannot answer now, or could not a short while ago.
        Unavailable: A store or signer of ours failed.
    """
    identity = yield from instance_identity(site)
    cached = yield from load_kept(actor, policy=site.fetching, identity=identity)
    if cached is not None:
        return inboxes_in(cached.document)
    memory = yield from _remembered(actor)
    now = yield from Now()
    remembered = memory.inboxes(now)
    if remembered is not None:
        return remembered
    memory.check(now)
    try:
        loaded = yield from load_actor(site, actor, identity=identity, within_s=within_s)
        inboxes = inboxes_in(loaded.document)
    except (FetchFailed, PeerFailing) as error:
        if not error.retryable:
            yield from _note_refusal(memory, error)
            raise
        raise (yield from _noted_failure(site, memory, error)) from error
    except RemoteError as error:
        if not isinstance(error, DomainSuspended):
            yield from _note_refusal(memory, error)
        raise
    yield from _note_success(site, memory, loaded, inboxes)
    return inboxes


def _remembered(actor: str) -> Op[_Memory]:
    origin = str(parse_url(actor).origin)
    blank = _Memory(actor, origin, Record({}), Record({}), Record({}))
    entries = yield from Get((blank.actor_key, blank.host_key, circuit_key(origin)))
    actor_fact, host_fact, circuit = (_fact(entry) for entry in entries)
    # The whole id is compared: the key has only its digest.
    return _Memory(actor, origin, actor_fact if actor_fact.optional("uri") == actor else Record({}), host_fact, circuit)


def _fact(entry: Entry | None) -> Record:
    return Record({}) if entry is None else decode_record(entry.value)


def _noted_failure(site: Site, memory: _Memory, error: FetchFailed | PeerFailing) -> Op[InboxUnknown]:
    """Begin a pause; answers the error that says how long it is."""
    now = yield from Now()
    unreached = isinstance(error, FetchFailed)
    is_ours = unreached and (yield from is_our_outage(memory.origin, now))
    chance = int.from_bytes((yield from RandomBytes(2)), "big") / 65535

    def pause_s(failures: int) -> float:
        rules = site.federation.delivery_retries
        wait_s = host_pause_s(rules, max(failures, 1), chance=chance, asked_s=error.retry_after_s)
        return max(wait_s, _OUR_OUTAGE_S) if is_ours else wait_s

    failures = memory.actor_fact.number("failures") + (0 if is_ours else 1)
    wait_s = pause_s(failures)
    value = memory.pause(failures, wait_s, now, uri=memory.actor, reason=error.reason)
    writes: list[Write] = [Put(memory.actor_key, value, wait_s + _MEMORY_S)]
    actor_digest = digest_part(memory.actor)
    # A redirect may have led to another host, whose failing says nothing about this one.
    if isinstance(error, FetchFailed) and error.origin == memory.origin:
        if memory.host_fact.optional("actor") != actor_digest:
            host_failures = memory.host_fact.number("failures") + (0 if is_ours else 1)
            host_wait_s = pause_s(host_failures)
            value = memory.pause(host_failures, host_wait_s, now, actor=actor_digest, reason=error.reason)
            writes.append(Put(memory.host_key, value, host_wait_s + _MEMORY_S))
    elif memory.host_fact.members:
        writes.append(DeleteEntry(memory.host_key))
    yield from _write(writes)
    sentence = f"actor {memory.actor}: {error}"
    return InboxUnknown(sentence, retry_after_s=wait_s, tried=now, is_charged=not is_ours)


def _note_refusal(memory: _Memory, error: ApcoreError) -> Op[None]:
    now = yield from Now()
    about = {
        "uri": memory.actor,
        "failure": "gone" if isinstance(error, Gone) else "refused",
        "reason": error.reason,
        "due": to_epoch_ms(now) + int(_REFUSED_S * 1000),
    }
    writes: list[Write] = [Put(memory.actor_key, encode_record(about), _REFUSED_S)]
    if memory.host_fact.members:
        writes.append(DeleteEntry(memory.host_key))
    yield from _write(writes)


def _note_success(site: Site, memory: _Memory, loaded: LoadedDocument, inboxes: Inboxes) -> Op[None]:
    """End the pauses, and remember the inboxes where the document is not kept under the id that was asked for."""
    writes: list[Write] = []
    if memory.host_fact.members:
        writes.append(DeleteEntry(memory.host_key))
    if loaded.kept and loaded.document.id == memory.actor:
        if memory.actor_fact.members:
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
    """Write to the memory. Whoever writes last is right, and a memory that cannot be written is none."""
    if writes:
        with suppress(Unavailable):
            _ = yield from commit((), writes)
