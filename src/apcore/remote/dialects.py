"""Sign outgoing requests in the scheme that a server accepts, and knock once more in the other scheme.

There are two signature schemes in the field, and one request cannot carry both. So a request is signed in the scheme
that the server accepted last time, or else in the identity's own scheme. A scheme, together with the components that a
server asks for, is a dialect (`Dialect`). If the response is 400, 401 or 403, and only
then, the request is sent once more. The second knock uses the other scheme, or the components that an
`Accept-Signature` in a 401 asks for, but never less than our own minimum coverage. Each knock has its own date and
digest.

The accepted dialect is remembered for each origin, for four weeks after it was last proved. Only success is remembered.
A refusal changes nothing: an attacker that makes one request fail cannot force the weaker scheme for later ones. A GET
that succeeds at the first knock proves nothing, since most servers do not check the signature of a GET. So fetching
writes a record only after a second knock that was accepted. Deliveries write theirs into the commit that they make
anyway.
"""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import suppress
from datetime import datetime
from typing import Final

from attrs import evolve, field, frozen

from apcore.effects import Fetch, Get, Now, Op, Sign, commit
from apcore.errors import ContractError, RequestError, Unavailable
from apcore.http import Origin, Request, Response, format_http_date, make_digest, parse_url
from apcore.http.fields import BareItem, InnerList, serialize_dictionary
from apcore.ports import Check, Entry, Put, StoreKey
from apcore.remote.records import DIALECT_KEPT_S, KNOWN_DIALECTS, DialectKey, KnownDialect
from apcore.signatures import (
    Challenge,
    SignatureMalformed,
    SignatureScheme,
    Unsigned,
    answer,
    cavage,
    read_challenges,
    rfc9421,
)

__all__ = [
    "ACCEPT_SIGNATURE_CHARS_MAX",
    "DIALECT_KEPT_S",
    "SECOND_KNOCK",
    "Dialect",
    "Identity",
    "Knock",
    "KnockResult",
    "dialect_key",
    "knock",
    "knock_and_remember",
    "read_dialect",
    "remember_dialect",
]

SECOND_KNOCK: Final = frozenset({400, 401, 403})
"""The statuses that can mean that the server does not accept the kind of signature."""
_RENEWED_S: Final = DIALECT_KEPT_S / 2
"""The age from which a remembered dialect is written again when it is proved again."""
ACCEPT_SIGNATURE_CHARS_MAX: Final = 512
"""The longest `Accept-Signature` that is remembered. A longer one is met, but not remembered."""


_ALSO_COVERED: Final = ("collection-synchronization",)
"""Fields of a POST that a signature covers too, where the request has them (FEP-8fcf)."""


@frozen
class Dialect:
    """A way of signing requests."""

    scheme: SignatureScheme
    accept_signature: str | None = None
    """With RFC 9421: the components that the server asks for beyond our own, as one member of `Accept-Signature`."""


@frozen(kw_only=True)
class Identity:
    """The identity that a request is signed as, usually the instance actor."""

    key_name: str
    """The signer's name for the key."""
    key_id: str
    """The address at which peers find the public key."""
    scheme: SignatureScheme = "cavage"
    """The scheme of the first knock if no dialect is remembered. All servers know draft-cavage; some lack RFC 9421."""

    @property
    def actor(self) -> str:
        """The actor that owns the key: the key's id without its fragment. It stays the same when keys are replaced."""
        return self.key_id.partition("#")[0]

    def prepare(self, request: Request, *, now: datetime, dialect: Dialect | None = None) -> Unsigned:
        """Prepare ``request`` for this identity's signature, in ``dialect`` or else in the identity's own scheme.

        Components that the dialect asks for and the request lacks are left out.

        Raises:
            RequestError: The URL or another part of the request, taken from a peer, cannot be signed.
        """
        dialect = dialect or Dialect(self.scheme)
        try:
            also_covered = tuple(name for name in _ALSO_COVERED if name in request.headers)
            if dialect.scheme == "cavage":
                covered = (*cavage.POST_COVERED, *also_covered) if also_covered else None
                return cavage.prepare(request, key_id=self.key_id, now=now, covered=covered)
            unsigned = None
            for challenge in () if dialect.accept_signature is None else _read(dialect.accept_signature):
                unsigned = _answer(request, challenge, self.key_id, now)
            names = (*rfc9421.POST_COVERED, *also_covered) if also_covered else None
            return unsigned or rfc9421.prepare(request, key_id=self.key_id, now=now, covered=names)
        except ValueError as error:
            raise RequestError(f"a request to {request.url} cannot be signed: {error}") from error


@frozen
class Knock:
    """One signed request and the status of its response."""

    dialect: Dialect
    status: int


@frozen
class KnockResult:
    """The last response, and the one or two knocks that led to it."""

    response: Response = field(repr=False)
    knocks: tuple[Knock, ...]

    @property
    def accepted(self) -> Dialect | None:
        """The dialect of the last knock if its response was 2xx, else None."""
        last = self.knocks[-1]
        return last.dialect if 200 <= last.status < 300 else None


def knock(
    request: Request,
    *,
    identity: Identity,
    dialect: Dialect | None,
    share: Hashable = None,
    until: datetime | None = None,
    ends: datetime | None = None,
    now: datetime | None = None,
) -> Op[KnockResult]:
    """Send ``request`` signed in the given ``dialect``, or else in the identity's own scheme.

    After 400, 401 or 403 it is sent once more in another dialect, if that begins before ``until``. The second exchange
    must be over at ``ends``; the first one has the request's own deadline. ``now`` is the time of the first signature,
    if the caller has just read it.

    Asks for: `Now`, `Sign` and `Fetch`, each at most twice.

    Raises:
        RequestError: As `Identity.prepare`.
        FetchFailed: One of the exchanges failed.
    """
    first = dialect or Dialect(identity.scheme)
    if now is None:
        now = yield from Now()
    unsigned = identity.prepare(request, now=now, dialect=first)
    response = yield from _send(unsigned, identity, None if share is None else (share, first))
    first_knock = Knock(first, response.status)
    if response.status not in SECOND_KNOCK:
        return KnockResult(response, (first_knock,))
    now = yield from Now()
    if until is not None and now >= until:
        return KnockResult(response, (first_knock,))
    if ends is not None:
        remaining_s = (ends - now).total_seconds()
        if remaining_s <= 0:
            return KnockResult(response, (first_knock,))
        request = evolve(request, limits=request.limits.within(remaining_s))
    answered_challenge = _challenge(request, response, first, identity, now)
    if answered_challenge is None:
        second, nonce = Dialect("cavage" if first.scheme == "rfc9421" else "rfc9421"), None
        unsigned = identity.prepare(request, now=now, dialect=second)
    else:
        challenge, unsigned = answered_challenge
        second, nonce = _dialect(challenge), challenge.nonce
    response = yield from _send(unsigned, identity, None if share is None else (share, second, nonce))
    return KnockResult(response, (first_knock, Knock(second, response.status)))


def knock_and_remember(
    request: Request, *, identity: Identity, share: Hashable = None, ends: datetime | None = None
) -> Op[Response]:
    """Send ``request`` as `knock` does, in the remembered dialect of its origin, and remember an accepted second knock.

    Asks for: one `Get`, and as `knock`; one commit if the second knock was accepted. If the store does not answer, no
    dialect is remembered and nothing fails.
    """
    origin = parse_url(request.url).origin
    entry = yield from _entry(origin)
    result = yield from knock(request, identity=identity, dialect=read_dialect(entry), share=share, ends=ends)
    last = result.knocks[-1]
    # A server sends 304 for a condition only after it has accepted the request.
    if len(result.knocks) > 1 and (result.accepted is not None or last.status == 304):
        write = remember_dialect(origin, last.dialect, entry, now=(yield from Now()))
        if write is not None:
            check = Check(write.key, None if entry is None else entry.version)
            # A lost race means that another process has just recorded a dialect.
            with suppress(Unavailable):
                _ = yield from commit((check,), (write,))
    return result.response


def _send(unsigned: Unsigned, identity: Identity, share: Hashable) -> Op[Response]:
    signature = yield from Sign(identity.key_name, unsigned.data)
    return (yield from Fetch(unsigned.attach(signature), share=share))


# --- challenges of a server -----------------------------------------------------------------------------------------


def _challenge(
    request: Request, response: Response, first: Dialect, identity: Identity, now: datetime
) -> tuple[Challenge, Unsigned] | None:
    """Return the first challenge of a 401 that can be met and that ``first`` did not meet already."""
    text = response.headers.get("accept-signature")
    if response.status != 401 or text is None:
        return None
    for challenge in _read(text):
        if challenge.nonce is None and _dialect(challenge) == first:
            continue
        unsigned = _answer(request, challenge, identity.key_id, now)
        if unsigned is not None:
            return challenge, unsigned
    return None


def _answer(request: Request, challenge: Challenge, key_id: str, now: datetime) -> Unsigned | None:
    """Prepare a request as a challenge asks, with the fields that only draft-cavage needs if it names them."""
    names = {item.value for item in challenge.components}
    headers = request.headers
    if "date" in names:
        headers = headers.with_set("date", format_http_date(now))
    if "host" in names:
        headers = headers.with_set("host", parse_url(request.url).origin.authority)
    if "digest" in names and request.body:
        headers = headers.with_set("digest", make_digest(request.body))
    return answer(evolve(request, headers=headers), (challenge,), key_id=key_id, now=now)


def _read(text: str) -> tuple[Challenge, ...]:
    try:
        return read_challenges(text)
    except SignatureMalformed:
        return ()


def _dialect(challenge: Challenge) -> Dialect:
    """Return the dialect that a challenge implies for later requests: without its nonce and our usual components."""
    usual = {*rfc9421.POST_COVERED, *rfc9421.GET_COVERED}
    further = [item for item in challenge.components if item.parameters or item.value not in usual]
    if not further and not challenge.expires and challenge.tag is None:
        return Dialect("rfc9421")
    parameters: dict[str, BareItem] = {"created": True}
    if challenge.expires:
        parameters["expires"] = True
    if challenge.tag is not None:
        parameters["tag"] = challenge.tag
    return Dialect("rfc9421", serialize_dictionary({challenge.label: InnerList(challenge.components, parameters)}))


# --- remembered dialects --------------------------------------------------------------------------------------------


def dialect_key(origin: Origin | str) -> StoreKey:
    """Return the key of the record of the dialect that an origin accepted."""
    return KNOWN_DIALECTS.key(DialectKey(str(origin)))


def read_dialect(entry: Entry | None) -> Dialect | None:
    """Read a dialect record. One that cannot be read counts as none, which costs one more knock."""
    if entry is None:
        return None
    try:
        record = KNOWN_DIALECTS.decode(entry.value)
    except ContractError:
        return None
    if record.scheme == "cavage":
        return Dialect("cavage")
    return Dialect("rfc9421", record.accept_signature) if record.scheme == "rfc9421" else None


def remember_dialect(origin: Origin | str, accepted: Dialect, entry: Entry | None, *, now: datetime) -> Put | None:
    """Return the write that records an accepted dialect, or None if the record is the same and recent enough."""
    if accepted.accept_signature is not None and len(accepted.accept_signature) > ACCEPT_SIGNATURE_CHARS_MAX:
        accepted = Dialect(accepted.scheme)
    if entry is not None and read_dialect(entry) == accepted:
        since = KNOWN_DIALECTS.decode(entry.value).since
        if (now - since).total_seconds() < _RENEWED_S:
            return None
    record = KnownDialect(scheme=accepted.scheme, accept_signature=accepted.accept_signature, since=now)
    return KNOWN_DIALECTS.put(DialectKey(str(origin)), record)


def _entry(origin: Origin) -> Op[Entry | None]:
    try:
        [entry] = yield from Get((dialect_key(origin),))
    except Unavailable:
        return None
    return entry
