"""Who has signed a request, a POST or a GET: the key that it names, and the owner of that key, proved in both directions.

That says who sends, or asks; not that what it sends is its own. `apcore.federation.inbox.authenticate` is about that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from attrs import field, frozen

from apcore.effects import Now, Op
from apcore.errors import RemoteError, SignatureError, Unavailable
from apcore.federation.actors.keys import instance_identity
from apcore.federation.moderation import Severity
from apcore.federation.outbox.circuit import is_our_outage
from apcore.federation.site import Site
from apcore.http import Request, parse_url, same_origin
from apcore.remote import Gone, KeyRefused, RemoteKey, remote_key
from apcore.signatures import Presented, Verified, check, parse_all
from apcore.vocab import same_id

__all__ = ["KeyGone", "Signed", "check_domain", "find_signer", "key_named"]

T = TypeVar("T")


class KeyGone(KeyRefused):
    """The key's own server says that it is gone for certain."""

    reason = "key-gone"

    def __init__(self, message: str, *, key_id: str) -> None:
        super().__init__(message)
        self.key_id: Final = key_id


@frozen
class Signed:
    """Who has signed a request."""

    owner: str
    """The actor whose key it is: both name each other."""
    key_id: str
    signature: Verified = field(repr=False)


def check_domain(site: Site, uri: str) -> Severity | None:
    """Hold the domain rules; answers `Severity.SILENCE` or None. Our own origin is never held back.

    Raises:
        DomainSuspended: The host of ``uri`` is suspended.
        RequestError: ``uri`` is no address.
    """
    origin, rules = parse_url(uri).origin, site.federation.domain_rules
    if origin == site.origin:
        return None
    refusal = rules.refusal(origin.host)
    if refusal is not None:
        raise refusal
    return rules.verdict(origin.host)


def find_signer(site: Site, request: Request, *, prefer: str | None = None) -> Op[Signed]:
    """Establish who has signed ``request``, an actor that one expects (``prefer``) before others.

    Of several signatures, the answer is the first that holds and is by ``prefer``, else the first that holds at all.

    Asks for: `Now`; for each signature (at most ``labels_max``) its key, see `remote_key`, once more if it fails with a cached one. With
    ``prefer``, those of its origin come first, and nothing is asked for after one of its own that holds. Nothing is written but to caches.

    Raises:
        SignatureError, RequestError: Nothing usable was presented, or nothing of it holds.
        KeyRefused, KeyNotOwned: There is no such key, or it is not believed.
        DomainSuspended: The key's host is suspended; nothing was fetched.
        Unavailable: A key cannot be had now, and what holds is not by whom one expects: nothing can be said.
    """
    now = yield from Now()
    presented = parse_all(request, site.signatures, now=now)
    if prefer is not None:
        expected = prefer
        # Those of its own server first: what others have signed on the way, we mostly need not look at.
        presented = tuple(sorted(presented, key=lambda each: not same_origin(each.key_id, expected)))
    other: Signed | None = None
    refusal: RemoteError | None = None
    missing: Unavailable | None = None
    for each in presented:
        try:
            verified = yield from _check(site, each)
        except RemoteError as error:
            refusal = refusal or error
            continue
        except Unavailable as error:
            missing = missing or error
            continue
        signed = Signed(verified.owner, verified.key_id, verified)
        if prefer is None or same_id(signed.owner, prefer):
            return signed
        other = other or signed
    if missing is None and other is not None:
        return other
    raise missing or refusal or SignatureError("no signature was presented")


def _check(site: Site, presented: Presented) -> Op[Verified]:
    return (yield from key_named(site, presented.key_id, lambda found: check(presented, found.key)))


def key_named(site: Site, key_id: str, checked: Callable[[RemoteKey], T]) -> Op[T]:
    """Check something with the key that it names; if that fails with a cached one, once more with a fresh one.

    Asks for: the key, as `remote_key`, as the instance actor. Raises as that and as ``checked``. Nothing is fetched from a host that is suspended.
    What the key's server answers is not our answer, so whatever is wrong with the key is a `KeyRefused`.
    """
    found = yield from _key(site, key_id)
    try:
        return checked(found)
    except SignatureError:
        if not found.cached:
            raise
        # Keys change without notice, and their kinds too: with a cached one, one failure proves nothing.
        newer = yield from _key(site, key_id, anew=True)
        if newer.cached:
            raise
        return checked(newer)


def _key(site: Site, key_id: str, *, anew: bool = False) -> Op[RemoteKey]:
    _ = check_domain(site, key_id)
    try:
        return (
            yield from remote_key(
                key_id,
                policy=site.fetching,
                identity=partial(instance_identity, site),
                anew=anew,
                unauthenticated_client=site.unauthenticated_client,
                is_our_outage=is_our_outage,
            )
        )
    except Gone as error:
        raise KeyGone(f"key {key_id}: {error}", key_id=key_id) from error
    except RemoteError as error:
        if error.status_hint == 401:
            raise
        # A 410, say, would tell the sender that our inbox is gone.
        raise KeyRefused(f"key {key_id}: {error}") from error
