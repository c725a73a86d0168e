"""Our own keys: made when they are first needed, kept, and published in both shapes.

Every actor has an RSA key, which everyone verifies, and an Ed25519 key for proofs. What is kept here is public: names, public halves, dates. The
private halves are the signer's, which knows them by name.

Two processes that need a new actor's keys at once both make some; one commit wins, and the other process reads what was committed. The losing
pair stays with the signer, unused and unpublished.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import datetime
from typing import Any, Final

from attrs import field, frozen

from apcore.effects import Get, MakeKey, Now, Op, committed
from apcore.errors import ContractError
from apcore.facts import instant_ms, of_instant_ms, pack, unpack
from apcore.federation.site import Site
from apcore.graph import Identity
from apcore.ports import Check, Entry, Key, KeyKind, MadeKey, Put, digest_part
from apcore.signatures import read_spki

__all__ = ["OwnKey", "instance_identity", "key_members", "own_keys", "signing_key"]

_FRAGMENTS: Final[dict[KeyKind, str]] = {"rsa-2048": "main-key", "ed25519": "ed25519-key"}


@frozen
class OwnKey:
    """A key of an actor of ours."""

    name: str
    """What the signer knows it by."""
    kind: KeyKind
    key_id: str
    owner: str
    public: bytes = field(repr=False)
    created: datetime

    def identity(self, site: Site) -> Identity:
        """Who a request is, that is signed with this key."""
        return Identity(key_name=self.name, key_id=self.key_id, scheme=site.federation.signature_scheme)


def own_keys(actor_uri: str) -> Op[tuple[OwnKey, ...]]:
    """Give the keys of an actor, RSA first; made now if there are none.

    Asks for: one `Get`; the first time also two `MakeKey`, `Now` and one commit. Whoever calls makes sure that there is such an actor.
    """
    key: Key = ("keys", "1", digest_part(actor_uri))
    [entry] = yield from Get((key,))
    if entry is not None:
        return _read(entry, actor_uri)
    made: list[MadeKey] = []
    for kind in _FRAGMENTS:
        pair = yield from MakeKey(kind)
        made.append(pair)
    now = yield from Now()
    members = [
        {"name": pair.name, "kind": pair.kind, "public": b64encode(pair.public).decode(), "created": instant_ms(now)}
        for pair in made
    ]
    _ = yield from committed((Check(key, None),), (Put(key, pack({"actor": actor_uri, "keys": members})),))
    [entry] = yield from Get((key,))
    if entry is None:
        raise ContractError(f"the keys of {actor_uri} were committed and are not there")
    return _read(entry, actor_uri)


def signing_key(actor_uri: str) -> Op[OwnKey]:
    """Give the key that HTTP requests of an actor are signed with: the RSA one. Asks as `own_keys`."""
    keys = yield from own_keys(actor_uri)
    return next(key for key in keys if key.kind == "rsa-2048")


def instance_identity(site: Site) -> Op[Identity]:
    """Give who asks on behalf of a site. Asks as `own_keys`."""
    key = yield from signing_key(site.instance_uri)
    return key.identity(site)


def key_members(keys: tuple[OwnKey, ...]) -> dict[str, Any]:
    """Give the members that publish keys in an actor's document: ``publicKey`` in PEM, ``assertionMethod`` in Multikey (FEP-521a)."""
    members: dict[str, Any] = {}
    for key in keys:
        public = read_spki(key.public, key_id=key.key_id, owner=key.owner)
        if key.kind == "rsa-2048":
            members["publicKey"] = {"id": key.key_id, "owner": key.owner, "publicKeyPem": public.pem}
        else:
            multikey = {
                "id": key.key_id,
                "type": "Multikey",
                "controller": key.owner,
                "publicKeyMultibase": public.multibase,
            }
            members.setdefault("assertionMethod", []).append(multikey)
    return members


def _read(entry: Entry, actor_uri: str) -> tuple[OwnKey, ...]:
    fact = unpack(entry.value)
    keys: list[dict[str, Any]] = fact.members["keys"]
    return tuple(
        OwnKey(
            name=member["name"],
            kind=member["kind"],
            key_id=f"{actor_uri}#{_FRAGMENTS[member['kind']]}",
            owner=actor_uri,
            public=b64decode(member["public"]),
            created=of_instant_ms(member["created"]),
        )
        for member in keys
    )
