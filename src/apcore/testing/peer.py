"""Simulate an actor on another server, to test your server without sockets: `Peer`.

::

    bob = Peer("https://remote.example/users/bob")
    node = Node(federation, "https://local.example", "memory:", transport=bob.transport, signer=ReusedKeys())
    answer = bob.deliver(node, bob.activity("Follow", object="https://local.example/users/alice"))
    assert answer.status == 202
    node.work(until_idle=True)
    assert bob.received[0].activity["type"] == "Accept"

A peer has a key and signs its deliveries. It serves its actor and other documents of your choice, and stores the
activities that it receives. Peers are on a `PeerNetwork`, which is the `Transport` of the nodes under test; a server
that is not on it has no address. Requests of a node are checked as a careful server would: the signature covers the
required components, and the digest is right. If the sender's own server is on the network (`PeerNetwork.join`), the
signature must also hold under the key that it serves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final, Literal, cast
from urllib.parse import parse_qs, quote

from attrs import field, frozen

from apcore.errors import ApcoreError, ConnectFailed, NameUnresolved, RemoteError, SignatureError
from apcore.federation.serving.serve import Served
from apcore.http import ACTIVITY_JSON, Headers, Origin, Request, Response, Url, parse_url, problem_for
from apcore.node import AsyncNode, Elsewhere, Node
from apcore.signatures import (
    PrivateKey,
    PublicKey,
    SignatureScheme,
    cavage,
    check,
    ld_signature,
    parse_all,
    proofs,
    read_multikey,
    read_pem,
    rfc9421,
)
from apcore.testing.keys import reuse_key
from apcore.vocab import View, to_wire

__all__ = ["Delivered", "Exchange", "Peer", "PeerNetwork"]

_AS2: Final = "https://www.w3.org/ns/activitystreams"
_SECURITY: Final = "https://w3id.org/security/v1"
_MULTIKEY: Final = "https://w3id.org/security/multikey/v1"
_DATA_INTEGRITY: Final = "https://w3id.org/security/data-integrity/v2"


def _system_now() -> datetime:
    return datetime.now(UTC)


@frozen
class Delivered:
    """One activity that arrived at a peer."""

    inbox: str
    """The address that it was sent to."""
    activity: dict[str, Any]
    """As JSON."""
    key_id: str
    """The key of its signature. It is proved only if the sender's server is on the network."""
    request: Request = field(repr=False)


@frozen
class Exchange:
    """One request over the network, and its end: a status, or None if no server answered."""

    method: str
    url: str
    status: int | None


class PeerNetwork:
    """The servers that a node under test can reach: peers, and other nodes. A `Transport` that never waits."""

    checks_addresses: Literal["enforced"] = "enforced"
    never_waits: Final = True

    def __init__(self, *, clock: Callable[[], datetime] = _system_now) -> None:
        """Make an empty network. ``clock`` (in UTC) is the time for making and checking signatures."""
        self.clock: Final = clock
        self.exchanges: Final[list[Exchange]] = []
        """Every request over this network, in order."""
        self.down: Final[set[str]] = set()
        """Origins that do not answer, written like ``https://remote.example``."""
        self._peers: Final[dict[str, list[Peer]]] = {}
        self._nodes: Final[list[Node[Any]]] = []
        self._cached_keys: Final[dict[str, PublicKey]] = {}
        """The last key that was served under each id. As on real servers, it verifies the Delete of its owner."""

    def peer(self, actor: str, /, **options: Any) -> Peer:
        """Make a `Peer` on this network."""
        return Peer(actor, network=self, **options)

    def add(self, peer: Peer) -> None:
        """Add a peer; `Peer` does this itself."""
        self._peers.setdefault(str(peer.origin), []).append(peer)

    def join(self, node: Node[Any], /) -> None:
        """Make a node reachable at its origins, and at the host of its handles.

        Nodes that talk to each other share one network as their transport.
        """
        self._nodes.append(node)

    def send(self, request: Request, /) -> Response:
        """See `Transport.send`.

        Raises:
            NameUnresolved: There is no server at that origin.
            ConnectFailed: The server is down.
        """
        url = parse_url(request.url)
        try:
            response = self._answer(request, url)
        except ApcoreError:
            self.exchanges.append(Exchange(request.method, request.url, None))
            raise
        self.exchanges.append(Exchange(request.method, request.url, response.status))
        return response

    def close(self) -> None:
        """See `Transport.close`: there is nothing to close."""

    def signer_of(self, request: Request) -> str:
        """Return the id of the key that a request is signed with.

        Raises:
            RemoteError: It is not signed as a server requires, or its key is on the network and the signature does not
                hold.
        """
        refusal: RemoteError = SignatureError("no signature holds")
        for presented in parse_all(request, now=self.clock()):
            key = self._published(presented.key_id)
            if key is None:
                return presented.key_id
            try:
                _ = check(presented, key)
            except RemoteError as error:
                refusal = error
            else:
                return presented.key_id
        raise refusal

    def _answer(self, request: Request, url: Url) -> Response:
        origin = str(url.origin)
        if origin in self.down:
            raise ConnectFailed(f"{origin} is down")
        for node in self._nodes:
            if node.origins.has(url.origin) or node.origins.find_by_handle_host(request.url) is not None:
                served = node.handle(request)
                return Response(404) if isinstance(served, Elsewhere) else served
        if origin not in self._peers:
            raise NameUnresolved(f"there is no server at {origin}")
        for peer in self._peers[origin]:
            answer = peer.answer(request)
            if answer is not None:
                return answer
        return Response(404)

    def _published(self, key_id: str) -> PublicKey | None:
        """Return the key that is served under its id; None if its server is not on the network.

        If its actor is gone (410), return the key that was served last.
        """
        url = parse_url(key_id).without_fragment()
        if str(url.origin) not in self._peers and not any(node.origins.has(url.origin) for node in self._nodes):
            return None
        request = Request("GET", str(url), Headers({"Accept": ACTIVITY_JSON}))
        response = self._answer(request, url)
        signing_peers = [peer for peers in self._peers.values() for peer in peers]
        if response.status == 401 and signing_peers:
            # The server requires signed requests (authorised fetch); any peer here can sign.
            response = self._answer(signing_peers[0].sign(request), url)
        if response.status == 410 and key_id in self._cached_keys:
            return self._cached_keys[key_id]
        key = _key_in(json.loads(response.body) if response.status == 200 else {}, key_id)
        if key is None:
            raise SignatureError(f"{url} does not serve the key {key_id}")
        self._cached_keys[key_id] = key
        return key


def _key_in(document: dict[str, Any], key_id: str) -> PublicKey | None:
    """Return the key with this id in an actor's document, or None."""
    for entry in (document.get("publicKey"), *document.get("assertionMethod", ())):
        members = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        if members.get("id") == key_id and "publicKeyPem" in members:
            return read_pem(members["publicKeyPem"], key_id=key_id, owner=members["owner"])
        if members.get("id") == key_id and "publicKeyMultibase" in members:
            return read_multikey(members["publicKeyMultibase"], key_id=key_id, owner=members["controller"])
    return None


class Peer:
    """An actor on another server.

    Args:
        actor: Its id, an absolute URL. Inbox and outbox are under its path. For
            ``https://remote.example/?author=1`` they are under ``/author=1``. The shared inbox is at ``/inbox`` of its
            origin.
        network: The network that it is on; by default a new one.
        type: The actor's type.
        scheme: The scheme of its signatures.
        key: Its key; by default one that is made once per process for this id.
        members: Further members of its actor, or other values for those that it has; None leaves one out.

    Raises:
        RequestError: ``actor`` is not an http or https URL.
    """

    def __init__(
        self,
        actor: str,
        /,
        *,
        network: PeerNetwork | None = None,
        type: str = "Person",  # noqa: A002 - the field's word
        scheme: SignatureScheme = "cavage",
        key: PrivateKey | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        url = parse_url(actor)
        self.actor: Final = actor
        self.origin: Final[Origin] = url.origin
        self._place: Final = _place(url)
        self.inbox: Final = f"{self._place}/inbox"
        self.shared_inbox: Final = f"{url.origin}/inbox"
        self.key_id: Final = f"{actor}#main-key"
        self.proof_key_id: Final = f"{actor}#ed25519-key"
        self.scheme: SignatureScheme = scheme
        self.received: Final[list[Delivered]] = []
        """The activities that were delivered to it, in order, repetitions included."""
        self.outbox: Final[list[Mapping[str, Any]]] = []
        """The content of its outbox, newest first."""
        self.answers: Final[list[int]] = []
        """The statuses of its next responses to deliveries; 202 after the last."""
        self.transport: Final = PeerNetwork() if network is None else network
        self._type = type
        self._members = dict(members or {})
        self._served: dict[str, tuple[int, Mapping[str, Any] | None]] = {}
        self._count = count(1)
        self._key: PrivateKey | None = key
        self.transport.add(self)

    @property
    def key(self) -> PrivateKey:
        """Return its private key, with its id and owner."""
        private_key = reuse_key(self.actor) if self._key is None else self._key
        return private_key.renamed(key_id=self.key_id, owner=self.actor)

    @property
    def proof_key(self) -> PrivateKey:
        """Return the private key for its proofs: Ed25519, listed in its actor's ``assertionMethod``."""
        return reuse_key(self.actor, "ed25519").renamed(key_id=self.proof_key_id, owner=self.actor)

    @property
    def document(self) -> dict[str, Any]:
        """Its actor, as it is served."""
        name = _last_word(parse_url(self.actor)) or self.origin.host
        key = {"id": self.key_id, "owner": self.actor, "publicKeyPem": self.key.public.pem}
        multikey = {
            "id": self.proof_key_id,
            "type": "Multikey",
            "controller": self.actor,
            "publicKeyMultibase": self.proof_key.public.multibase,
        }
        members = {
            "@context": [_AS2, _SECURITY, _MULTIKEY],
            "id": self.actor,
            "type": self._type,
            "preferredUsername": name,
            "inbox": self.inbox,
            "outbox": f"{self._place}/outbox",
            "endpoints": {"sharedInbox": self.shared_inbox},
            "publicKey": key,
            "assertionMethod": [multikey],
        } | self._members
        return {name: value for name, value in members.items() if value is not None}

    # --- sending ------------------------------------------------------------------------------------------------

    def activity(self, type: str, /, **members: Any) -> dict[str, Any]:  # noqa: A002 - the field's word
        """Make an activity of this actor with a new id. ``members`` add to it and override defaults."""
        activity = {
            "@context": _AS2,
            "id": f"{self.actor}#activities/{next(self._count)}",
            "type": type,
            "actor": self.actor,
        }
        return activity | members

    def request(self, activity: Mapping[str, Any] | View | bytes, /, to: str) -> Request:
        """Return the signed POST of an activity to an inbox, so that you can change it or deliver it by other means."""
        if isinstance(activity, bytes):
            body = activity
        else:
            members = to_wire(activity) if isinstance(activity, View) else activity
            body = json.dumps(members, ensure_ascii=False).encode()
        request = Request("POST", to, Headers({"Content-Type": ACTIVITY_JSON}), body)
        return self.sign(request)

    def sign(self, request: Request, /) -> Request:
        """Sign a request with its key, scheme and clock."""
        scheme = rfc9421.sign if self.scheme == "rfc9421" else cavage.sign
        return scheme(request, self.key, now=self.transport.clock())

    def prove(self, activity: Mapping[str, Any] | View, /) -> dict[str, Any]:
        """Return an activity, or any document, with its integrity proof (FEP-8b32). Then any server may deliver it.

        ::

            relay.deliver(node, bob.prove(bob.activity("Like", object=...)))
        """
        members = _with_context(activity, _DATA_INTEGRITY)
        return proofs.create(members, self.proof_key, now=self.transport.clock())

    def ld_sign(self, activity: Mapping[str, Any] | View, /) -> dict[str, Any]:
        """Return an activity with its LD signature (`RsaSignature2017`), as Mastodon's relays send it.

        Its contexts must be bundled ones.
        """
        return ld_signature.create(_with_context(activity, _SECURITY), self.key, now=self.transport.clock())

    def deliver(
        self, node: Node[Any], activity: Mapping[str, Any] | View | bytes, /, *, to: str | None = None
    ) -> Response:
        """Deliver an activity, and return the response. Its effects happen when the node works.

        ``to`` is the identifier of an actor of the node, or the address of an inbox; by default the shared inbox.

        Raises:
            ValueError: The node has no inbox at ``to``.
        """
        return _answered(node.handle(self.request(activity, _inbox_of(node, to))), to)

    async def deliver_async(
        self, node: AsyncNode[Any], activity: Mapping[str, Any] | View | bytes, /, *, to: str | None = None
    ) -> Response:
        """Deliver like `deliver`, to an `AsyncNode`."""
        return _answered(await node.handle(self.request(activity, _inbox_of(node, to))), to)

    # --- serving ----------------------------------------------------------------------------------------------

    def serve(self, uri: str, document: Mapping[str, Any] | View | None, /, *, status: int = 200) -> None:
        """Serve a document at ``uri``, a URL of its origin.

        It may be its own actor's address, or a status without a document.
        """
        members = to_wire(document) if isinstance(document, View) else document
        self._served[uri] = (status, members)

    def answer(self, request: Request, /) -> Response | None:
        """Respond to a request to its origin; None if it has nothing at that URL."""
        url = parse_url(request.url)
        bare = request.url.partition("?")[0]
        if bare in {self.inbox, self.shared_inbox}:
            return self._receive(request, bare)
        if url.path == "/.well-known/webfinger":
            return self._webfinger(url)
        # An address with a query is one of its own; else a query asks for a part of what is there.
        uri = request.url if request.url in {self.actor, *self._served} else bare
        if uri in self._served:
            status, document = self._served[uri]
            return _json(document, status) if document is not None else Response(status)
        if uri == self.actor:
            return _json(self.document)
        if bare == self.document.get("outbox"):
            items = [dict(item) for item in self.outbox]
            members = {"type": "OrderedCollection", "totalItems": len(items), "orderedItems": items}
            return _json({"@context": _AS2, "id": bare} | members)
        return None

    def _receive(self, request: Request, inbox: str) -> Response | None:
        if request.method != "POST":
            return Response(405, {"Allow": "POST"})
        try:
            key_id = self.transport.signer_of(request)
        except RemoteError as error:
            return problem_for(error).response()
        status = self.answers.pop(0) if self.answers else 202
        activity: dict[str, Any] = json.loads(request.body)
        self.received.append(Delivered(inbox, activity, key_id, request))
        return Response(status)

    def _webfinger(self, url: Url) -> Response | None:
        account = f"acct:{self.document.get('preferredUsername')}@{self.origin.host}"
        resource = parse_qs(url.query or "").get("resource", [""])[0]
        if resource not in {account, self.actor}:
            return None
        link = {"rel": "self", "type": ACTIVITY_JSON, "href": self.actor}
        return _json({"subject": account, "links": [link]}, content_type="application/jrd+json")


def _place(actor: Url) -> str:
    """Return the address under which an actor has its inbox and outbox. A query becomes a part of its path."""
    path = "/".join(part for part in (actor.path.rstrip("/"), quote(actor.query or "", safe="=&")) if part)
    return f"{actor.origin}{'' if path.startswith('/') or not path else '/'}{path}"


def _last_word(actor: Url) -> str:
    """Return the last value of the query, or the last part of the path: the name in an actor's id."""
    if actor.query:
        return re.split("[=&/]", actor.query)[-1]
    return actor.path.rstrip("/").rpartition("/")[2].lstrip("@")


def _with_context(activity: Mapping[str, Any] | View, added: str) -> dict[str, Any]:
    members = to_wire(activity) if isinstance(activity, View) else dict(activity)
    context: object = members.get("@context", _AS2)
    contexts = cast("list[object]", context) if isinstance(context, list) else [context]
    return members | {"@context": contexts if added in contexts else [*contexts, added]}


def _inbox_of(node: Node[Any] | AsyncNode[Any], to: str | None) -> str:
    if to is not None and "://" in to:
        return to
    places, origin = node.federation.places, node.origins.pick(None)
    return places.uri(origin, "shared-inbox") if to is None else places.uri(origin, "inbox", identifier=to)


def _answered(served: Served, to: str | None) -> Response:
    if isinstance(served, Response):
        return served
    raise ValueError(f"the node has no inbox at {to!r}: {served.value}")


def _json(members: Mapping[str, Any], status: int = 200, *, content_type: str = ACTIVITY_JSON) -> Response:
    return Response(status, {"Content-Type": content_type}, json.dumps(members, ensure_ascii=False).encode())
