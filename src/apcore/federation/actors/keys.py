"""Make, store and publish the keys of local actors.

Each actor has an RSA key, which every peer can verify, and an Ed25519 key for proofs. They are made when they are first
needed. The store holds only public data: names, public halves and dates. The signer holds the private halves, and knows
them by name.

The keys of an actor come in generations (`apcore.federation.actors.rotation`). The newest generation signs. Older ones
stay published until they are retired, so that peers can still verify earlier signatures. Each generation has its own
ids (``#main-key``, then ``#main-key-2``), because peers cache keys by id: if an id were given to another key, peers
would refuse our signatures until their cache expires.

``publicKey`` is always one key and never a list: the key that signs. Most servers read only that (Misskey, Pleroma,
Lemmy and Pixelfed read no other shape). All other keys are in ``assertionMethod`` (FEP-521a), older RSA keys too.

An RSA key takes up to half a second to make, and peers decide which actors they request. So at most
`KeyPolicy.made_max` actors of an origin get their keys in one window. The instance actor is not counted. Simultaneous
requests for one actor count once, and within a process they share one pair. Two processes may each make a pair; then
one commit wins, and the other pair is dropped.

Records::

    ("keys", "1", H(actor))               the keys of an actor, oldest first
    ("keys-made", "1", origin, window)    digests of the actors that got keys in a window
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from attrs import field, frozen

from apcore.effects import DropKey, Get, MakeKey, Now, Op, commit
from apcore.errors import ContractError, Unavailable
from apcore.federation.site import Site
from apcore.ports import Check, Entry, KeyKind, Put, StoreKey, digest_part
from apcore.records.format import decode_record, encode_record, from_epoch_ms, to_epoch_ms
from apcore.remote import Identity
from apcore.signatures import read_spki

__all__ = [
    "KeysCapped",
    "OwnKey",
    "StoredKeys",
    "existing_identity",
    "instance_identity",
    "key_members",
    "keys_key",
    "make_generation",
    "own_keys",
    "read_stored_keys",
    "signing_key",
]

_FRAGMENTS: Final[dict[KeyKind, str]] = {"rsa-2048": "main-key", "ed25519": "ed25519-key"}
_ATTEMPTS_MAX: Final = 5
_BUSY_S: Final = 1.0


class KeysCapped(Unavailable):
    """Too many actors got keys in this window; the next ones wait for a later window."""

    reason = "keys-capped"


@frozen
class OwnKey:
    """A key of a local actor."""

    name: str
    """The name of the private key in the signer."""
    kind: KeyKind
    owner: str
    public: bytes = field(repr=False)
    created: datetime
    generation: int = 1
    until: datetime | None = None
    """The time of retirement of a replaced key. Until then it is published, but signs nothing."""

    @property
    def key_id(self) -> str:
        """The id under which peers find the key. No two keys ever share one."""
        number = "" if self.generation == 1 else f"-{self.generation}"
        return f"{self.owner}#{_FRAGMENTS[self.kind]}{number}"

    def identity(self, site: Site) -> Identity:
        """Return the identity of requests that are signed with this key."""
        return Identity(key_name=self.name, key_id=self.key_id, scheme=site.federation.signature_scheme)


@frozen
class StoredKeys:
    """The keys of an actor as stored, including retired keys that are not deleted yet."""

    actor: str
    keys: tuple[OwnKey, ...]
    generation: int
    """The number of the newest generation, even if it is no longer stored."""
    entry: Entry | None = None
    """The entry from which the keys were read; None if they are not stored yet."""

    @property
    def unchanged_check(self) -> Check:
        """The check that the stored keys have not changed since they were read."""
        return Check(keys_key(self.actor), None if self.entry is None else self.entry.version)

    def to_put(self) -> Put:
        """Return the write that stores the keys."""
        keys = [
            {
                "name": key.name,
                "kind": key.kind,
                "public": b64encode(key.public).decode(),
                "created": to_epoch_ms(key.created),
                **({} if key.generation == 1 else {"generation": key.generation}),
                **({} if key.until is None else {"until": to_epoch_ms(key.until)}),
            }
            for key in self.keys
        ]
        newest = self.generation if self.generation > 1 else None
        return Put(keys_key(self.actor), encode_record({"actor": self.actor, "generation": newest, "keys": keys}))

    def published(self, now: datetime) -> tuple[OwnKey, ...]:
        """Return the keys that are not retired: the signing generation first, then older keys from new to old."""
        active = [key for key in self.keys if key.until is None or key.until > now]
        return tuple(sorted(active, key=lambda key: (key.until is not None, -key.generation, key.kind != "rsa-2048")))


def keys_key(actor_uri: str) -> StoreKey:
    """Return the store key of an actor's keys."""
    return ("keys", "1", digest_part(actor_uri))


def read_stored_keys(actor_uri: str) -> Op[StoredKeys | None]:
    """Return the keys of an actor as stored, or None if it never had any.

    Effects: one `Get`.
    """
    [entry] = yield from Get((keys_key(actor_uri),))
    if entry is None:
        return None
    record = decode_record(entry.value)
    members: list[dict[str, Any]] = record.members["keys"]
    keys = tuple(
        OwnKey(
            name=member["name"],
            kind=member["kind"],
            owner=actor_uri,
            public=b64decode(member["public"]),
            created=from_epoch_ms(member["created"]),
            generation=member.get("generation", 1),
            until=None if "until" not in member else from_epoch_ms(member["until"]),
        )
        for member in members
    )
    return StoredKeys(actor_uri, keys, record.number("generation", 1), entry)


def own_keys(site: Site, actor_uri: str) -> Op[tuple[OwnKey, ...]]:
    """Return the published keys of an actor, the signing RSA key first. Make them if the actor has none.

    The caller checks first that the actor exists.

    Effects: one `Get`, and `Now` if a key has been replaced. The first time also those of `make_generation`, and two
    commits.

    Raises:
        KeysCapped: The actor has no keys, and too many actors got keys in this window.
    """
    stored = yield from read_stored_keys(actor_uri)
    if stored is None:
        if actor_uri != site.instance_uri:
            yield from _reserve(site, actor_uri)
        stored = yield from _make_first_keys(actor_uri)
    if all(key.until is None for key in stored.keys):
        return stored.keys
    return stored.published((yield from Now()))


def signing_key(site: Site, actor_uri: str, *, prefer: str | None = None) -> Op[OwnKey]:
    """Return the RSA key with which HTTP requests of an actor are signed.

    If the RSA key named ``prefer`` is still published, return that one. Effects and errors: see `own_keys`.
    """
    keys = yield from own_keys(site, actor_uri)
    rsa_keys = [key for key in keys if key.kind == "rsa-2048"]
    return next((key for key in rsa_keys if key.name == prefer), rsa_keys[0])


def instance_identity(site: Site) -> Op[Identity]:
    """Return the identity of a site's instance actor.

    Effects and errors: see `own_keys`.
    """
    key = yield from signing_key(site, site.instance_uri)
    return key.identity(site)


def existing_identity(site: Site) -> Op[Identity | None]:
    """Return the instance actor's identity, or None if it has no keys, so that it never fetched a document.

    No keys are made. Effects: one `Get`, and `Now` if there are keys.
    """
    existing = yield from read_stored_keys(site.instance_uri)
    if existing is None:
        return None
    published = existing.published((yield from Now()))
    return next((key.identity(site) for key in published if key.kind == "rsa-2048"), None)


def make_generation(actor_uri: str, generation: int) -> Op[tuple[OwnKey, ...]]:
    """Make the keys of a generation, RSA first.

    Simultaneous calls for the first generation of an actor share one pair of each kind.

    Effects: two each of `MakeKey` and `Now`.
    """
    keys: list[OwnKey] = []
    for kind in _FRAGMENTS:
        pair = yield from MakeKey(kind, share=("keys", actor_uri) if generation == 1 else None)
        now = yield from Now()
        keys.append(OwnKey(pair.name, pair.kind, actor_uri, pair.public, now, generation))
    return tuple(keys)


def key_members(keys: Sequence[OwnKey]) -> dict[str, Any]:
    """Return the members of an actor's document that publish its keys.

    The first key is in ``publicKey`` as PEM. The others are in ``assertionMethod`` (FEP-521a).
    """
    first, *others = keys
    members: dict[str, Any] = {
        "publicKey": {"id": first.key_id, "owner": first.owner, "publicKeyPem": _pem(first.public)}
    }
    for key in others:
        multikey = {
            "id": key.key_id,
            "type": "Multikey",
            "controller": key.owner,
            "publicKeyMultibase": _multibase(key.public),
        }
        if key.until is not None:
            multikey["expires"] = key.until.isoformat(timespec="seconds").replace("+00:00", "Z")
        members.setdefault("assertionMethod", []).append(multikey)
    return members


# Parsing a key costs more than the rest of an actor's document. Only local keys enter these caches, never a peer's.
@lru_cache(maxsize=4096)
def _pem(public: bytes) -> str:
    return read_spki(public, key_id="", owner="").pem


@lru_cache(maxsize=4096)
def _multibase(public: bytes) -> str:
    return read_spki(public, key_id="", owner="").multibase


# --- the first generation -------------------------------------------------------------------------------------------


def _make_first_keys(actor_uri: str) -> Op[StoredKeys]:
    new_keys = yield from make_generation(actor_uri, 1)
    candidate = StoredKeys(actor_uri, new_keys, 1)
    version = yield from commit((candidate.unchanged_check,), (candidate.to_put(),))
    if version is not False:
        return candidate
    # Another operation committed first. It may share some of these pairs (`MakeKey.share`), so drop only the others.
    stored = yield from read_stored_keys(actor_uri)
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
        window_key: StoreKey = ("keys-made", "1", str(site.origin), str(int(window)))
        [entry] = yield from Get((window_key,))
        actors: list[str] = [] if entry is None else decode_record(entry.value).members["actors"]
        if actor_digest in actors:
            return
        if len(actors) >= policy.made_max:
            raise KeysCapped(
                f"{len(actors)} actors got keys in this window of {policy.made_window_s:g} s, "
                f"at most {policy.made_max} may (KeyPolicy.made_max)",
                retry_after_s=policy.made_window_s - elapsed_s,
            )
        check = Check(window_key, None if entry is None else entry.version)
        write = Put(window_key, encode_record({"actors": [*actors, actor_digest]}), 2 * policy.made_window_s)
        if (yield from commit((check,), (write,))) is not False:
            return
    raise KeysCapped(
        f"too many actors get keys at once: {_ATTEMPTS_MAX} attempts to count {actor_uri} met another commit",
        retry_after_s=_BUSY_S,
    )
