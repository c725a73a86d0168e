"""Who stands behind a request: its HTTP signature, the key that it names, and the owner of that key, proved in both directions."""

from __future__ import annotations

from attrs import frozen

from apcore.effects import Now, Op
from apcore.errors import Refused, RemoteError, SignatureError, Unavailable
from apcore.federation.keys import instance_identity
from apcore.federation.moderation import Severity
from apcore.federation.site import Site
from apcore.graph import KeyFound, KeyRefused, remote_key
from apcore.http import Request, parse_url, same_origin
from apcore.signatures import BadSignature, Presented, Verified, check, parse_all

__all__ = ["Authenticated", "NotTheActor", "authenticate", "check_domain"]


class NotTheActor(SignatureError):
    """The signature holds, and is somebody else's than the activity's actor."""

    reason = "not-the-actor"


@frozen
class Authenticated:
    """An actor who is proved to have sent a request."""

    actor: str
    key_id: str
    signature: Verified


def check_domain(site: Site, uri: str) -> Severity | None:
    """Hold the domain rules; answers `Severity.SILENCE` or None.

    Raises:
        Refused: The host of ``uri`` is suspended.
        RequestError: ``uri`` is no address.
    """
    host = parse_url(uri).origin.host
    verdict = site.federation.domain_rules.verdict(host)
    if verdict is Severity.SUSPEND:
        raise Refused(f"{host} is suspended")
    return verdict


def authenticate(site: Site, request: Request, *, actor: str) -> Op[Authenticated]:
    """Establish that ``actor`` sent ``request``.

    Asks for: `Now`; for each signature (at most ``labels_max``) its key, see `remote_key`, once more if it fails with a cached one.

    Raises:
        SignatureError, RequestError: Nothing usable was presented, or nothing of it holds.
        KeyRefused, KeyNotOwned: There is no such key, or it is not believed.
        NotTheActor: What holds is another actor's.
        Refused: The key's host is suspended; nothing was fetched.
        KeyUnavailable: The key cannot be had now.
    """
    now = yield from Now()
    presented = parse_all(request, site.signatures, now=now)
    refusal: RemoteError | None = None
    missing: Unavailable | None = None
    # Those of the actor's own server first: what others have signed on the way, we mostly need not look at.
    for each in sorted(presented, key=lambda each: not same_origin(each.key_id, actor)):
        try:
            verified = yield from _check(site, each)
        except RemoteError as error:
            refusal = refusal or error
            continue
        except Unavailable as error:
            missing = missing or error
            continue
        if verified.owner == actor:
            return Authenticated(actor, verified.key_id, verified)
        refusal = refusal or NotTheActor(
            f"key {verified.key_id} is owned by {verified.owner}, the activity's actor is {actor}"
        )
    raise missing or refusal or SignatureError("no signature was presented")


def _check(site: Site, presented: Presented) -> Op[Verified]:
    _ = check_domain(site, presented.key_id)
    found = yield from _key(site, presented.key_id, anew=False)
    try:
        return check(presented, found.key)
    except BadSignature:
        if not found.cached:
            raise
        # Keys change without notice: with a cached one, one failure proves nothing.
        newer = yield from _key(site, presented.key_id, anew=True)
        if newer.cached:
            raise
        return check(presented, newer.key)


def _key(site: Site, key_id: str, *, anew: bool) -> Op[KeyFound]:
    identity = yield from instance_identity(site)
    try:
        return (yield from remote_key(key_id, policy=site.fetching, identity=identity, anew=anew))
    except RemoteError as error:
        if error.status_hint == 401:
            raise
        # What the key's server answers is not our answer: a 410 would tell the sender that our inbox is gone.
        raise KeyRefused(f"key {key_id}: {error}") from error
