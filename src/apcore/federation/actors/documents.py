"""The documents of actors: what the application makes of them, and what is filled in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from apcore.errors import ContractError
from apcore.federation.actors.keys import OwnKey, key_members
from apcore.federation.routes import ACTOR_COLLECTIONS
from apcore.federation.site import Site
from apcore.vocab import View, to_wire

__all__ = ["AS2", "actor_document", "add_id", "instance_document"]

AS2: Final = "https://www.w3.org/ns/activitystreams"
_CONTEXT: Final = [AS2, "https://w3id.org/security/v1", "https://w3id.org/security/multikey/v1"]


def actor_document(site: Site, identifier: str, made: View, keys: Sequence[OwnKey]) -> dict[str, Any]:
    """Give the document of an actor of ours, of which the application's handler made ``made``; what that says itself is kept."""
    places, origin = site.federation.places, site.origin
    filled = {
        "inbox": places.uri(origin, "inbox", identifier=identifier),
        **{name: places.uri(origin, "collection", name, identifier=identifier) for name in ACTOR_COLLECTIONS},
        "endpoints": {"sharedInbox": places.uri(origin, "shared-inbox")},
        **key_members(keys),
    }
    members = add_id(made, site.actor_uri(identifier))
    own: Any = members.pop("@context", AS2)
    contexts: list[Any] = [*own] if isinstance(own, list) else [own]
    merged = [*_CONTEXT, *(each for each in contexts if each not in _CONTEXT)]
    return {"@context": merged} | filled | members


def instance_document(site: Site, keys: Sequence[OwnKey]) -> dict[str, Any]:
    """Give the document of the instance actor, who asks on behalf of the server."""
    uri = site.instance_uri
    inbox = site.federation.places.uri(site.origin, "shared-inbox")
    return {
        "@context": _CONTEXT,
        "id": uri,
        "type": "Application",
        "preferredUsername": site.origin.host,
        "name": site.federation.software_name,
        "inbox": inbox,
        "outbox": f"{uri}#outbox",
        "endpoints": {"sharedInbox": inbox},
        "manuallyApprovesFollowers": True,
        **key_members(keys),
    }


def add_id(made: View, uri: str) -> dict[str, Any]:
    """Give the members of what is served at ``uri``.

    Raises:
        ContractError: It says that its id is another.
    """
    members = to_wire(made)
    said = members.pop("id", uri)
    if said != uri:
        raise ContractError(f"what is served at {uri} has the id {said!r:.200}: an id is where it is served")
    return {"@context": members.pop("@context", AS2), "id": uri, **members}
