"""Build the documents of local actors: members from the application's handler, and members that apcore fills in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from apcore.errors import ContractError
from apcore.federation.actors.handles import handle_of, profile_of
from apcore.federation.actors.key_ring import OwnKey, key_members
from apcore.federation.routes import ACTOR_COLLECTIONS
from apcore.federation.site import Site
from apcore.vocab import Actor, View, to_wire

__all__ = ["AS2", "actor_document", "add_id", "instance_document"]

AS2: Final = "https://www.w3.org/ns/activitystreams"
_WEBFINGER_CONTEXT: Final = "https://purl.archive.org/socialweb/webfinger"
_ASSERTION_METHOD: Final = {"@id": "https://w3id.org/security#assertionMethod", "@type": "@id", "@container": "@set"}
_CONTEXT: Final[list[Any]] = [
    AS2,
    "https://w3id.org/security/v1",
    "https://w3id.org/security/multikey/v1",
    {"assertionMethod": _ASSERTION_METHOD},
]
"""The contexts of an actor.

Without `assertionMethod`, Fedify finds no key for our proofs. The context of DIDs defines it too, but servers that do
not bundle that one (Django ActivityPub Toolkit) would fetch it for each actor.
"""


def actor_document(site: Site, identifier: str, view: View, keys: Sequence[OwnKey]) -> dict[str, Any]:
    """Return the document of a local actor. ``view`` is the result of the application's handler; its members win.

    If the handles have another host than the origin, ``webfinger`` names the handle (FEP-2c59).
    """
    routes, origin = site.federation.places, site.origin
    defaults = {
        "inbox": routes.uri(origin, "inbox", identifier=identifier),
        **{name: routes.uri(origin, "collection", name, identifier=identifier) for name in ACTOR_COLLECTIONS},
        "endpoints": {"sharedInbox": routes.uri(origin, "shared-inbox")},
        **key_members(keys),
        **_name_members(site, identifier, view),
    }
    members = add_id(view, site.actor_uri(identifier))
    view_context: Any = members.pop("@context", AS2)
    contexts: list[Any] = [*view_context] if isinstance(view_context, list) else [view_context]
    own_contexts = [*_CONTEXT, _WEBFINGER_CONTEXT] if "webfinger" in defaults else _CONTEXT
    merged_contexts = [*own_contexts, *(context for context in contexts if context not in own_contexts)]
    return {"@context": merged_contexts} | defaults | members


def _name_members(site: Site, identifier: str, view: View) -> dict[str, str]:
    """Return the address of the actor's profile page, and its handle if other servers could not guess it."""
    actor = Actor.over(view.document)
    profile, acct = profile_of(site, identifier, actor), handle_of(site, identifier, actor)
    members = {} if profile is None else {"url": profile}
    if site.acct_host != site.origin.authority and acct is not None:
        members["webfinger"] = f"{acct.user}@{acct.host}"
    return members


def instance_document(site: Site, keys: Sequence[OwnKey]) -> dict[str, Any]:
    """Return the document of the instance actor, which signs requests on behalf of the server."""
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


def add_id(view: View, uri: str) -> dict[str, Any]:
    """Return the members of a view, with ``uri`` as its id.

    Raises:
        ContractError: The view has another id.
    """
    members = to_wire(view)
    declared_id = members.pop("id", uri)
    if declared_id != uri:
        raise ContractError(
            f"the handler's view for {uri} has the id {declared_id!r:.200}: leave the id out, or set it to {uri}"
        )
    return {"@context": members.pop("@context", AS2), "id": uri, **members}
