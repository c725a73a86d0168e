"""Make, store and publish the keys of local actors.

Each actor has an RSA key, which every peer can verify, and an Ed25519 key for proofs. They are made when they are first
needed. The store holds only public data: names, public halves and dates. The signer holds the private halves, and knows
them by name.

An RSA key takes up to half a second to make, and peers decide which actors they request. So at most
`KeyPolicy.made_max` actors of an origin get their keys in one window of `KeyPolicy.made_window_s`. The instance actor
is not counted. Simultaneous requests for one actor count once, and within a process they share one pair. Two processes
may each make a pair; then one commit wins, and the other pair is dropped.
"""

from __future__ import annotations

from typing import Final

from apcore.effects import DropKey, Get, MakeKey, Now, Op, commit
from apcore.errors import ContractError, Unavailable
from apcore.federation.actors.key_ring import KEY_FRAGMENTS, KeyRing, OwnKey, key_ring_key
from apcore.federation.actors.records import KEY_WINDOWS, KeyWindow, KeyWindowKey
from apcore.federation.site import Site
from apcore.ports import Check, digest_part
from apcore.remote import Identity

__all__ = [
    "KeysCapped",
    "existing_identity",
    "instance_identity",
    "make_generation",
    "own_keys",
    "read_key_ring",
    "signing_key",
]

_ATTEMPTS_MAX: Final = 5
_BUSY_S: Final = 1.0


class KeysCapped(Unavailable):
    """Too many actors got keys in this window; the next ones wait for a later window."""

    reason = "keys-capped"


def read_key_ring(actor: str) -> Op[KeyRing | None]:
    """Return the keys of an actor as stored, or None if it never had any.

    Effects: one `Get`.
    """
    [entry] = yield from Get((key_ring_key(actor),))
    return None if entry is None else KeyRing.read(actor, entry)


def own_keys(site: Site, actor_uri: str, *, ring: KeyRing | None = None) -> Op[tuple[OwnKey, ...]]:
    """Return the published keys of an actor, the signing RSA key first. Make them if the actor has none.

    The caller checks first that the actor exists, and may pass the ``ring`` that it has just read.

    Effects: one `Get` without a ring, and `Now` if a key has been replaced. The first time also another `Get` and
    `Now`, those of `make_generation`, and two commits.

    Raises:
        KeysCapped: The actor has no keys, and too many actors got keys in this window.
    """
    ring = ring or (yield from read_key_ring(actor_uri))
    if ring is None:
        if actor_uri != site.instance_uri:
            yield from _reserve(site, actor_uri)
        ring = yield from _make_first_keys(actor_uri)
    if all(key.until is None for key in ring.keys):
        return ring.keys
    return ring.published((yield from Now()))


def signing_key(site: Site, actor_uri: str, *, prefer: str | None = None, ring: KeyRing | None = None) -> Op[OwnKey]:
    """Return the RSA key with which HTTP requests of an actor are signed.

    If the RSA key named ``prefer`` is still published, return that one. Effects: see `own_keys`.

    Raises:
        ContractError: The actor is deleted, and its keys are retired.
        KeysCapped: See `own_keys`.
    """
    keys = yield from own_keys(site, actor_uri, ring=ring)
    rsa_keys = [key for key in keys if key.kind == "rsa-2048"]
    if not rsa_keys:
        raise ContractError(f"{actor_uri} has no key to sign with: it is deleted, and its keys are retired")
    return next((key for key in rsa_keys if key.name == prefer), rsa_keys[0])


def instance_identity(site: Site) -> Op[Identity]:
    """Return the identity of a site's instance actor.

    Effects and errors: see `own_keys`.
    """
    key = yield from signing_key(site, site.instance_uri)
    return key.identity(site)


def existing_identity(site: Site) -> Op[Identity | None]:
    """Return the instance actor's identity, or None if it has no keys.

    No keys are made. Without keys, the instance actor has never fetched a document. Effects: one `Get`, and `Now` if
    there are keys.
    """
    ring = yield from read_key_ring(site.instance_uri)
    if ring is None:
        return None
    published_keys = ring.published((yield from Now()))
    return next((key.identity(site) for key in published_keys if key.kind == "rsa-2048"), None)


def make_generation(actor_uri: str, generation: int) -> Op[tuple[OwnKey, ...]]:
    """Make the keys of a generation, RSA first.

    Simultaneous calls for the first generation of an actor share one pair of each kind.

    Effects: two each of `MakeKey` and `Now`.
    """
    keys: list[OwnKey] = []
    for kind in KEY_FRAGMENTS:
        pair = yield from MakeKey(kind, share=("keys", actor_uri) if generation == 1 else None)
        now = yield from Now()
        keys.append(OwnKey(pair.name, pair.kind, actor_uri, pair.public, now, generation))
    return tuple(keys)


# --- the first generation -------------------------------------------------------------------------------------------


def _make_first_keys(actor_uri: str) -> Op[KeyRing]:
    new_keys = yield from make_generation(actor_uri, 1)
    candidate = KeyRing(actor_uri, new_keys, 1)
    version = yield from commit((candidate.unchanged_check,), (candidate.to_put(),))
    if version is not False:
        return candidate
    # Another operation committed first. It may share some of these pairs (`MakeKey.share`), so drop only the others.
    stored = yield from read_key_ring(actor_uri)
    if stored is None:
        raise ContractError(f"the keys of {actor_uri} were committed, but the store does not return them")
    used_names = {key.name for key in stored.keys}
    for key in new_keys:
        if key.name not in used_names:
            _ = yield from DropKey(key.name)
    return stored


def _reserve(site: Site, actor_uri: str) -> Op[None]:
    """Count an actor in the current window, before any key is made for it."""
    policy = site.federation.key_policy
    actor_digest = digest_part(actor_uri)
    for _ in range(_ATTEMPTS_MAX):
        now = yield from Now()
        window, elapsed_s = divmod(now.timestamp(), policy.made_window_s)
        key = KeyWindowKey.of(site.origin, int(window))
        [entry] = yield from Get((KEY_WINDOWS.key(key),))
        actors = () if entry is None else KEY_WINDOWS.decode(entry.value).actors
        if actor_digest in actors:
            return
        if len(actors) >= policy.made_max:
            raise KeysCapped(
                f"{len(actors)} actors got keys in this window of {policy.made_window_s:g} s, "
                f"at most {policy.made_max} may (KeyPolicy.made_max)",
                retry_after_s=policy.made_window_s - elapsed_s,
            )
        write = KEY_WINDOWS.put(key, KeyWindow(actors=(*actors, actor_digest)), ttl_s=2 * policy.made_window_s)
        check = Check(write.key, None if entry is None else entry.version)
        if (yield from commit((check,), (write,))) is not False:
            return
    raise KeysCapped(
        f"too many actors get keys at once: {_ATTEMPTS_MAX} attempts to count {actor_uri} met another commit",
        retry_after_s=_BUSY_S,
    )
