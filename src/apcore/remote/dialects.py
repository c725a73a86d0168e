"""Signed requests of ours: which way of signing a server takes, and the second knock with the other one.

There are two schemes in the field, and a request cannot carry both. So we knock: signed by what the server took last time, or, where nothing is
known, by what the identity says. If the answer is 400, 401 or 403, and only then, we knock once more, in the other scheme, or by what an
`Accept-Signature` in a 401 asks for, within our own minimum coverage. Each knock has a date and a digest of its own.

What a server took is remembered per origin, for four weeks after it was last proved. Only success is remembered: a refusal changes nothing, so nobody
who can make a request fail can talk us into the weaker scheme for the next one. A GET that succeeds at the first knock proves nothing (most
servers do not look at the signature of a GET), so fetching writes only after a second knock that was let in; deliveries write what they learn into
the commit that they make anyway.

Facts: ``("dialect", "1", origin)``: what that origin took last, and since when we know.
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
from apcore.records.format import decode_record, encode_record, from_epoch_ms, to_epoch_ms
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
    "ASKED_CHARS_MAX",
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
"""The answers that may be about how a request was signed."""
DIALECT_KEPT_S: Final = 28 * 86400.0
"""How long it counts what a server took."""
_RENEWED_S: Final = DIALECT_KEPT_S / 2
"""From this age on, what is known is written again when it is proved again."""
ASKED_CHARS_MAX: Final = 512
"""A longer `Accept-Signature` is met, and not remembered."""


@frozen
class Dialect:
    """A way of signing requests."""

    scheme: SignatureScheme
    asked: str | None = None
    """With RFC 9421: what the server asks for beyond what we always cover, as one member of `Accept-Signature`."""


@frozen(kw_only=True)
class Identity:
    """Who a request is signed as: mostly the instance actor."""

    key_name: str
    """What the signer knows the key by."""
    key_id: str
    """Where peers find its public half."""
    scheme: SignatureScheme = "cavage"
    """How to knock first where nothing is known: everybody understands draft-cavage, not everybody RFC 9421."""

    def prepare(self, request: Request, *, now: datetime, dialect: Dialect | None = None) -> Unsigned:
        """Get ``request`` ready for this identity's signature, in a dialect or by the identity's own scheme.

        What a dialect asks for and this request cannot have is left out.

        Raises:
            RequestError: Its URL, or something else of it that a peer has said, cannot be signed for.
        """
        dialect = dialect or Dialect(self.scheme)
        try:
            if dialect.scheme == "cavage":
                return cavage.prepare(request, key_id=self.key_id, now=now)
            unsigned = None
            for asked in () if dialect.asked is None else _read(dialect.asked):
                unsigned = _answer(request, asked, self.key_id, now)
            return unsigned or rfc9421.prepare(request, key_id=self.key_id, now=now)
        except ValueError as error:
            raise RequestError(f"{request.url} cannot be signed for: {error}") from error


@frozen
class Knock:
    """One signed request that was answered."""

    dialect: Dialect
    status: int


@frozen
class KnockResult:
    """The last answer, and all knocks that led to it: one or two."""

    response: Response = field(repr=False)
    knocks: tuple[Knock, ...]

    @property
    def accepted(self) -> Dialect | None:
        """The dialect that was let in, if one was: answered with 2xx."""
        last = self.knocks[-1]
        return last.dialect if 200 <= last.status < 300 else None


def knock(
    request: Request,
    *,
    identity: Identity,
    known: Dialect | None,
    share: Hashable = None,
    until: datetime | None = None,
    ends: datetime | None = None,
) -> Op[KnockResult]:
    """Send ``request``, signed in the dialect that is ``known``; once more in another one after 400, 401 or 403, if that begins before ``until``.

    ``ends`` is when the second exchange has to be over; the deadline of the first is the request's own.

    Asks for: `Now`, `Sign` and `Fetch`; each at most twice.

    Raises:
        RequestError: As `Identity.prepare`.
        FetchFailed: An exchange broke off, the second one included.
    """
    first = known or Dialect(identity.scheme)
    now = yield from Now()
    unsigned = identity.prepare(request, now=now, dialect=first)
    response = yield from _send(unsigned, identity, None if share is None else (share, first))
    before = Knock(first, response.status)
    if response.status not in SECOND_KNOCK:
        return KnockResult(response, (before,))
    now = yield from Now()
    if until is not None and now >= until:
        return KnockResult(response, (before,))
    if ends is not None:
        left_s = (ends - now).total_seconds()
        if left_s <= 0:
            return KnockResult(response, (before,))
        request = evolve(request, limits=request.limits.within(left_s))
    challenge = _challenge(request, response, first, identity, now)
    if challenge is None:
        second, nonce = Dialect("cavage" if first.scheme == "rfc9421" else "rfc9421"), None
        unsigned = identity.prepare(request, now=now, dialect=second)
    else:
        asked, unsigned = challenge
        second, nonce = _dialect(asked), asked.nonce
    response = yield from _send(unsigned, identity, None if share is None else (share, second, nonce))
    return KnockResult(response, (before, Knock(second, response.status)))


def knock_and_remember(
    request: Request, *, identity: Identity, share: Hashable = None, ends: datetime | None = None
) -> Op[Response]:
    """Send ``request`` as `knock`, with what is remembered of its origin, and remember what a second knock has shown.

    Asks for: one `Get`, and as `knock`; one commit if a second knock was let in. A memory that cannot be had is none.
    """
    origin = parse_url(request.url).origin
    kept = yield from _kept(origin)
    knocked = yield from knock(request, identity=identity, known=read_dialect(kept), share=share, ends=ends)
    last = knocked.knocks[-1]
    # 304 answers a condition: only who was let in is told that.
    if len(knocked.knocks) > 1 and (knocked.accepted is not None or last.status == 304):
        write = remember_dialect(origin, last.dialect, kept, now=(yield from Now()))
        if write is not None:
            check = Check(write.key, None if kept is None else kept.version)
            # A lost race means that somebody else has learnt something at the same time.
            with suppress(Unavailable):
                _ = yield from commit((check,), (write,))
    return knocked.response


def _send(unsigned: Unsigned, identity: Identity, share: Hashable) -> Op[Response]:
    signature = yield from Sign(identity.key_name, unsigned.data)
    return (yield from Fetch(unsigned.attach(signature), share=share))


# --- what a server asks for -----------------------------------------------------------------------------------------


def _challenge(
    request: Request, response: Response, first: Dialect, identity: Identity, now: datetime
) -> tuple[Challenge, Unsigned] | None:
    """Give the first challenge of a 401 that can be met and that ``first`` did not meet already."""
    text = response.headers.get("accept-signature")
    if response.status != 401 or text is None:
        return None
    for asked in _read(text):
        if asked.nonce is None and _dialect(asked) == first:
            continue
        unsigned = _answer(request, asked, identity.key_id, now)
        if unsigned is not None:
            return asked, unsigned
    return None


def _answer(request: Request, asked: Challenge, key_id: str, now: datetime) -> Unsigned | None:
    """Meet a challenge, with the fields that only draft-cavage needs if it asks for them."""
    names = {item.value for item in asked.components}
    headers = request.headers
    if "date" in names:
        headers = headers.with_set("date", format_http_date(now))
    if "host" in names:
        headers = headers.with_set("host", parse_url(request.url).origin.authority)
    if "digest" in names and request.body:
        headers = headers.with_set("digest", make_digest(request.body))
    return answer(evolve(request, headers=headers), (asked,), key_id=key_id, now=now)


def _read(text: str) -> tuple[Challenge, ...]:
    try:
        return read_challenges(text)
    except SignatureMalformed:
        return ()


def _dialect(asked: Challenge) -> Dialect:
    """Give what a challenge says about all requests: without its nonce, which counts once, and without what we do anyway."""
    usual = {*rfc9421.POST_COVERED, *rfc9421.GET_COVERED}
    more = [item for item in asked.components if item.parameters or item.value not in usual]
    if not more and not asked.expires and asked.tag is None:
        return Dialect("rfc9421")
    parameters: dict[str, BareItem] = {"created": True}
    if asked.expires:
        parameters["expires"] = True
    if asked.tag is not None:
        parameters["tag"] = asked.tag
    return Dialect("rfc9421", serialize_dictionary({asked.label: InnerList(asked.components, parameters)}))


# --- what is remembered ---------------------------------------------------------------------------------------------


def dialect_key(origin: Origin | str) -> StoreKey:
    """Where it is kept what an origin took."""
    return ("dialect", "1", str(origin))


def read_dialect(kept: Entry | None) -> Dialect | None:
    """Read what is kept; what cannot be read is not known, and costs one more knock."""
    if kept is None:
        return None
    try:
        fact = decode_record(kept.value)
        scheme, asked = fact.text("scheme"), fact.optional("asked")
    except ContractError:
        return None
    if scheme == "cavage":
        return Dialect("cavage")
    return Dialect("rfc9421", asked) if scheme == "rfc9421" else None


def remember_dialect(origin: Origin | str, accepted: Dialect, kept: Entry | None, *, now: datetime) -> Put | None:
    """Give the write that remembers what was just accepted; None if that is known, and will be for a while."""
    if accepted.asked is not None and len(accepted.asked) > ASKED_CHARS_MAX:
        accepted = Dialect(accepted.scheme)
    if kept is not None and read_dialect(kept) == accepted:
        age_s = (now - from_epoch_ms(decode_record(kept.value).number("since"))).total_seconds()
        if age_s < _RENEWED_S:
            return None
    value = encode_record({"scheme": accepted.scheme, "asked": accepted.asked, "since": to_epoch_ms(now)})
    return Put(dialect_key(origin), value, DIALECT_KEPT_S)


def _kept(origin: Origin) -> Op[Entry | None]:
    try:
        [kept] = yield from Get((dialect_key(origin),))
    except Unavailable:
        return None
    return kept
