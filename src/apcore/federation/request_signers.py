"""Identify the signer of a request, a POST or a GET: the owner of the key that the signature names.

The key must name its owner, and the owner must name the key. This proves only the sender of the request.
`apcore.federation.inbox.authenticate` checks whether the sender also owns the activity in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

from attrs import field, frozen

from apcore.effects import Now, Op
from apcore.errors import RemoteError, RequestError, SignatureError, Unavailable
from apcore.federation.actors.keys import instance_identity
from apcore.federation.domain_checks import check_domain
from apcore.federation.outages import is_our_outage
from apcore.federation.site import Site
from apcore.http import Request, parse_url, same_origin
from apcore.remote import Gone, KeyRefused, LookupRead, RemoteKey, lookup_key, remote_key
from apcore.signatures import Presented, Verified, check, parse_all
from apcore.vocab import same_id

__all__ = [
    "KeyGone",
    "RequestSignatures",
    "Signed",
    "find_signer",
    "key_named",
    "parse_signatures",
    "signer_hosts",
]

T = TypeVar("T")

_SIGNATURE_FIELDS: Final = ("signature-input", "signature", "authorization")
_KEY_ID: Final = re.compile(r'\bkeyid[ \t]*=[ \t]*"([^"\\]{1,2000})"', re.IGNORECASE)
"""The name of a key, in both schemes."""
_SIGNER_HOSTS_MAX: Final = 8


class KeyGone(KeyRefused):
    """The server of the key answered that it is permanently gone."""

    reason = "key-gone"

    def __init__(self, message: str, *, key_id: str) -> None:
        super().__init__(message)
        self.key_id: Final = key_id


@frozen
class Signed:
    """The proved signer of a request."""

    owner: str
    """The actor that owns the key. Key and actor name each other."""
    key_id: str
    signature: Verified = field(repr=False)


@frozen
class RequestSignatures:
    """The parsed signatures of a request, or the reason why there is none that the policy accepts."""

    presented: tuple[Presented, ...] = ()
    refusal: RemoteError | None = None
    hosts: tuple[str, ...] = ()
    """The hosts of the keys that the request names; see `signer_hosts`."""


def parse_signatures(site: Site, request: Request, now: datetime) -> RequestSignatures:
    """Parse the signatures of ``request`` once, for all steps that ask for them.

    An error is kept, and `find_signer` raises it: the domain of the sender is checked first.
    """
    try:
        presented = parse_all(request, site.signatures, now=now)
    except RemoteError as error:
        return RequestSignatures((), error, tuple(signer_hosts(request)))
    if presented[0].scheme == "cavage" and "authorization" not in request.headers:
        # The only field is parsed and names one key, so the search of `signer_hosts` could find no other.
        try:
            return RequestSignatures(presented, None, (parse_url(presented[0].key_id).origin.host,))
        except RequestError:
            return RequestSignatures(presented)
    return RequestSignatures(presented, None, tuple(signer_hosts(request)))


def signer_hosts(request: Request) -> list[str]:
    """Return the hosts of the keys that the signatures of ``request`` name, at most `_SIGNER_HOSTS_MAX`.

    Nothing is checked, and the signatures are not parsed: that would hash the body. `find_signer` checks the domain of
    every key, also of one that is missed here.
    """
    hosts: list[str] = []
    for name in _SIGNATURE_FIELDS:
        for key_id in _KEY_ID.findall(request.headers.get(name) or "")[:_SIGNER_HOSTS_MAX]:
            with suppress(RequestError):
                hosts.append(parse_url(key_id).origin.host)
    return list(dict.fromkeys(hosts))[:_SIGNER_HOSTS_MAX]


def find_signer(
    site: Site, request: Request, *, prefer: str | None = None, signatures: RequestSignatures | None = None
) -> Op[Signed]:
    """Return the proved signer of ``request``. ``signatures`` are its signatures, if they were parsed already.

    A request may have several signatures. The result is the first valid signature of the expected actor ``prefer``, or
    else the first valid signature of any actor.

    Effects: `Now`. For each signature (at most ``labels_max``) those of `remote_key`, and once more if the signature
    fails with a cached key. With ``prefer``, signatures with keys of its origin are checked first, and checking stops
    at a valid one of ``prefer``. Only caches are written.

    Raises:
        SignatureError, RequestError: There is no usable signature, or none is valid.
        KeyRefused, KeyNotOwned: The key does not exist, or is not trusted.
        DomainSuspended: The host of the key or of its owner is suspended. Nothing was fetched from it.
        Unavailable: A key cannot be fetched now, and no valid signature is by ``prefer``. Try again later.
    """
    if signatures is None:
        signatures = parse_signatures(site, request, (yield from Now()))
    if signatures.refusal is not None:
        raise signatures.refusal
    presented = signatures.presented
    if prefer is not None and len(presented) > 1:
        expected = prefer
        # Start with keys of its own server: then the signatures of relays mostly need no fetch.
        presented = tuple(sorted(presented, key=lambda signature: not same_origin(signature.key_id, expected)))
    other_signer: Signed | None = None
    first_refusal: RemoteError | None = None
    first_outage: Unavailable | None = None
    for signature in presented:
        try:
            verified = yield from _check(site, signature)
        except RemoteError as error:
            first_refusal = first_refusal or error
            continue
        except Unavailable as error:
            first_outage = first_outage or error
            continue
        signer = Signed(verified.owner, verified.key_id, verified)
        if prefer is None or same_id(signer.owner, prefer):
            return signer
        other_signer = other_signer or signer
    # After an outage, the signature that could not be checked may be the one by `prefer`: another signer is no answer.
    if first_outage is None and other_signer is not None:
        return other_signer
    raise first_outage or first_refusal or SignatureError("the request has no signature")


def _check(site: Site, presented: Presented) -> Op[Verified]:
    verified = yield from key_named(site, presented.key_id, lambda remote: check(presented, remote.key))
    if not same_origin(verified.owner, verified.key_id):
        # The key's domain was checked before the key was loaded. Its owner may live on another one.
        _ = yield from check_domain(site, verified.owner)
    return verified


def key_named(site: Site, key_id: str, verify: Callable[[RemoteKey], T]) -> Op[T]:
    """Call ``verify`` with the key named ``key_id``. If that fails with a cached key, fetch the key and try once more.

    Effects: those of `remote_key`, signed by the instance actor, and of `check_domain`. Nothing is fetched from a
    suspended host.

    Raises:
        KeyRefused: The key's server refuses the request. Its status is not the status of our answer.
        RemoteError, Unavailable: As by `remote_key` and ``verify``.
    """
    remote = yield from _load_key(site, key_id)
    try:
        return verify(remote)
    except SignatureError:
        if not remote.cached:
            raise
        # Peers replace keys, even by keys of another type, without notice. A failure with a cached key proves nothing.
        newer = yield from _load_key(site, key_id, refresh=True)
        if newer.cached:
            raise
        return verify(newer)


def _load_key(site: Site, key_id: str, *, refresh: bool = False) -> Op[RemoteKey]:
    if parse_url(key_id).origin.host not in site.cleared_hosts:
        _ = yield from check_domain(site, key_id)
    taken = None if refresh else site.snapshot.take((lookup_key(key_id),))
    lookup_read = None if taken is None else LookupRead(taken[0], (yield from site.snapshot.now()))
    remote: RemoteKey | None = None
    try:
        remote = yield from remote_key(
            key_id,
            policy=site.fetching,
            identity=partial(instance_identity, site),
            refresh=refresh,
            unauthenticated_client=site.unauthenticated_client,
            is_our_outage=is_our_outage,
            lookup_read=lookup_read,
        )
    except Gone as error:
        raise KeyGone(f"key {key_id}: {error}", key_id=key_id) from error
    except RemoteError as error:
        if error.status_hint == 401:
            raise
        # Do not pass on the status of the key's server: a 410 would tell the sender that our inbox is gone.
        raise KeyRefused(f"key {key_id}: {error}") from error
    else:
        return remote
    finally:
        if remote is None or not remote.cached:
            site.snapshot.drop()
