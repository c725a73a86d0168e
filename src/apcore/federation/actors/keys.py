"""Our own keys: made when they are first needed, kept, published, and one day replaced.

Every actor has an RSA key, which everyone verifies, and an Ed25519 key for proofs. What is kept here is public: names, public halves, dates. The
private halves are the signer's, which knows them by name.

Keys of an actor come in generations (`apcore.federation.actors.rotation`). One generation signs; older ones stay published until they are retired, for
whoever checks what was signed before. Every generation has ids of its own (``#main-key``, then ``#main-key-2``), since peers keep keys by their
ids: an id that came to mean another key would make them refuse us until they forget.

``publicKey`` is one key and never a list, the one that signs: that is what most servers read (Misskey, Pleroma, Lemmy and Pixelfed no other shape).
Everything else is in ``assertionMethod`` (FEP-521a), older RSA keys too.

Making an RSA key costs up to half a second, and strangers decide which actors are asked for. So no more than `KeyPolicy.made_max` actors of an origin
get theirs in one window, whoever asks; the instance actor's are not counted. Who asks for the same actor at once counts once, and within a process
only one pair is made. Two processes may both make some; one commit wins, and the losing pair is dropped.

Facts::

    ("keys", "1", H(actor))               the keys of an actor, oldest first
    ("keys-made", "1", origin, window)    whose keys were made in a window, by digest
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
    "KeysKept",
    "OwnKey",
    "existing_identity",
    "instance_identity",
    "kept_keys",
    "key_members",
    "keys_key",
    "make_generation",
    "own_keys",
    "signing_key",
]

_FRAGMENTS: Final[dict[KeyKind, str]] = {"rsa-2048": "main-key", "ed25519": "ed25519-key"}
_ATTEMPTS_MAX: Final = 5
_BUSY_S: Final = 1.0


class KeysCapped(Unavailable):
    """So many actors got their keys in this window that the next have to wait for another one."""

    reason = "keys-capped"


@frozen
class OwnKey:
    """A key of an actor of ours."""

    name: str
    """What the signer knows it by."""
    kind: KeyKind
    owner: str
    public: bytes = field(repr=False)
    created: datetime
    generation: int = 1
    until: datetime | None = None
    """When it is retired, if it has been replaced; it signs nothing any more, and is published until then."""

    @property
    def key_id(self) -> str:
        """Where peers find it. No two keys ever have the same."""
        number = "" if self.generation == 1 else f"-{self.generation}"
        return f"{self.owner}#{_FRAGMENTS[self.kind]}{number}"

    def identity(self, site: Site) -> Identity:
        """Who a request is, that is signed with this key."""
        return Identity(key_name=self.name, key_id=self.key_id, scheme=site.federation.signature_scheme)


@frozen
class KeysKept:
    """The keys of an actor as they are kept, retired ones that nobody has put away yet included."""

    actor: str
    keys: tuple[OwnKey, ...]
    generation: int
    """The newest there ever was."""
    entry: Entry | None = None
    """Where they were read."""

    @property
    def checked(self) -> Check:
        """That they are as they were read."""
        return Check(keys_key(self.actor), None if self.entry is None else self.entry.version)

    def written(self) -> Put:
        """What to write to keep them."""
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
        """Give the keys that count: those that sign first, then older ones, the newest of them first."""
        alive = [key for key in self.keys if key.until is None or key.until > now]
        return tuple(sorted(alive, key=lambda key: (key.until is not None, -key.generation, key.kind != "rsa-2048")))


def keys_key(actor_uri: str) -> StoreKey:
    """Where the keys of an actor are kept."""
    return ("keys", "1", digest_part(actor_uri))


def kept_keys(actor_uri: str) -> Op[KeysKept | None]:
    """Give the keys of an actor as they are kept; None if there never were any. Asks for: one `Get`."""
    [entry] = yield from Get((keys_key(actor_uri),))
    if entry is None:
        return None
    fact = decode_record(entry.value)
    members: list[dict[str, Any]] = fact.members["keys"]
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
    return KeysKept(actor_uri, keys, fact.number("generation", 1), entry)


def own_keys(site: Site, actor_uri: str) -> Op[tuple[OwnKey, ...]]:
    """Give the published keys of an actor, the RSA key that signs first; made now if there are none.

    Asks for: one `Get`, and `Now` if a key has been replaced; the first time also what `make_generation` asks for, and two commits. Whoever calls
    makes sure that there is such an actor.

    Raises:
        KeysCapped: There are none, and too many were made in this window.
    """
    kept = yield from kept_keys(actor_uri)
    if kept is None:
        if actor_uri != site.instance_uri:
            yield from _reserve(site, actor_uri)
        kept = yield from _first_keys(actor_uri)
    if all(key.until is None for key in kept.keys):
        return kept.keys
    return kept.published((yield from Now()))


def signing_key(site: Site, actor_uri: str, *, prefer: str | None = None) -> Op[OwnKey]:
    """Give the key that HTTP requests of an actor are signed with: the RSA one; asks and raises as `own_keys`.

    One with the name ``prefer`` comes first, as long as it is published.
    """
    keys = yield from own_keys(site, actor_uri)
    rsa = [key for key in keys if key.kind == "rsa-2048"]
    return next((key for key in rsa if key.name == prefer), rsa[0])


def instance_identity(site: Site) -> Op[Identity]:
    """Give who asks on behalf of a site. Asks as `own_keys`."""
    key = yield from signing_key(site, site.instance_uri)
    return key.identity(site)


def existing_identity(site: Site) -> Op[Identity | None]:
    """Return the identity that documents are fetched as; None if it never had keys, so that nothing was fetched as it.

    Asks for: one `Get`, and `Now` if there are keys. No keys are made.
    """
    existing = yield from kept_keys(site.instance_uri)
    if existing is None:
        return None
    published = existing.published((yield from Now()))
    return next((key.identity(site) for key in published if key.kind == "rsa-2048"), None)


def make_generation(actor_uri: str, generation: int) -> Op[tuple[OwnKey, ...]]:
    """Make the keys of a generation, RSA first. Asks for: two `MakeKey`, the first generation's shared with whoever asks at once, and `Now`."""
    made: list[OwnKey] = []
    for kind in _FRAGMENTS:
        pair = yield from MakeKey(kind, share=("keys", actor_uri) if generation == 1 else None)
        now = yield from Now()
        made.append(OwnKey(pair.name, pair.kind, actor_uri, pair.public, now, generation))
    return tuple(made)


def key_members(keys: Sequence[OwnKey]) -> dict[str, Any]:
    """Give the members that publish keys in an actor's document: the first in ``publicKey``, as PEM, the others in ``assertionMethod`` (FEP-521a)."""
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


# Parsing a key costs more than all the rest of an actor's document; these are only ever asked for our own.
@lru_cache(maxsize=4096)
def _pem(public: bytes) -> str:
    return read_spki(public, key_id="", owner="").pem


@lru_cache(maxsize=4096)
def _multibase(public: bytes) -> str:
    return read_spki(public, key_id="", owner="").multibase


# --- the first generation -------------------------------------------------------------------------------------------


def _first_keys(actor_uri: str) -> Op[KeysKept]:
    made = yield from make_generation(actor_uri, 1)
    wanted = KeysKept(actor_uri, made, 1)
    version = yield from commit((wanted.checked,), (wanted.written(),))
    if version is not False:
        return wanted
    kept = yield from kept_keys(actor_uri)
    if kept is None:
        raise ContractError(f"the keys of {actor_uri} were committed and are not there")
    # Whoever shared the making with us may have committed a part of what we hold.
    used = {key.name for key in kept.keys}
    for key in made:
        if key.name not in used:
            _ = yield from DropKey(key.name)
    return kept


def _reserve(site: Site, actor_uri: str) -> Op[None]:
    """Count an actor in, before anything expensive is done for it."""
    policy = site.federation.key_policy
    name = digest_part(actor_uri)
    for _ in range(_ATTEMPTS_MAX):
        now = yield from Now()
        window, into_s = divmod(now.timestamp(), policy.made_window_s)
        place: StoreKey = ("keys-made", "1", str(site.origin), str(int(window)))
        [entry] = yield from Get((place,))
        actors: list[str] = [] if entry is None else decode_record(entry.value).members["actors"]
        if name in actors:
            return
        if len(actors) >= policy.made_max:
            raise KeysCapped(
                f"{len(actors)} actors got their keys in {policy.made_window_s:g} s, at most {policy.made_max} do",
                retry_after_s=policy.made_window_s - into_s,
            )
        check = Check(place, None if entry is None else entry.version)
        write = Put(place, encode_record({"actors": [*actors, name]}), 2 * policy.made_window_s)
        if (yield from commit((check,), (write,))) is not False:
            return
    raise KeysCapped("too many actors are to get their keys at once", retry_after_s=_BUSY_S)
