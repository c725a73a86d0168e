"""Look up actors by handle or URL with WebFinger, and verify their handles in both directions.

A WebFinger response proves nothing by itself: any host can claim that ``@ceo@it`` is another server's actor, and any
actor can choose any name. So a handle is verified by a round trip. The handle's host, asked about the handle, names the
actor. And the actor's own server, asked about the actor's own name, names the handle. A host may delegate a name to
another host (a short domain for people, a long one for the machine). Then the other host is asked once, and must
confirm the name.

Since a response counts only after that round trip, its media type matters little. Static hosts serve these files as
``application/octet-stream``, as ``text/plain`` or without a media type, and all of these are read as JSON. A page
(``text/html``) is refused.

WebFinger is asked over https. If the address policy allows plain http (development, closed networks), http is tried
after https.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from attrs import evolve, frozen

from apcore.discovery.accounts import Acct, parse_acct, parse_pasted
from apcore.discovery.descriptors import (
    DESCRIPTOR_BYTES_MAX,
    JRD_JSON,
    XRD_XML,
    Descriptor,
    DescriptorLink,
    read_jrd,
    read_xrd,
)
from apcore.discovery.errors import HandleMismatch, NoActorLink
from apcore.discovery.host_meta import lrdd_address, read_host_meta
from apcore.effects import Now, Op
from apcore.errors import FetchFailed, RemoteError, RequestError, Unavailable
from apcore.http import is_activitypub, parse_media_type, parse_url
from apcore.remote import (
    FetchedResponse,
    FetchPolicy,
    Identity,
    LoadedDocument,
    NotFound,
    WrongMediaType,
    alternate_of,
    check_status,
    fetch,
    load,
)
from apcore.vocab import Actor, Document

__all__ = ["LookupResult", "VerifiedHandle", "actor_links", "confirm", "lookup", "webfinger"]

_ACCEPT: Final = f"{JRD_JSON}, application/json"
_ACCEPT_HOST_META: Final = f"{XRD_XML}, {JRD_JSON}, application/xml;q=0.9"
_XML: Final = frozenset({XRD_XML, "application/xml", "text/xml"})
_JSON: Final = frozenset({"application/json", "text/json", "application/octet-stream", "text/plain", ""})
"""Media types that are read as JSON, besides ``+json``. Static hosts use the last three for a file without a suffix."""
_UNCLEAR_TYPES: Final = frozenset({None, "application/json", "application/ld+json"})
"""The media types of links that may lead to an actor. The actor's own server has to confirm it in any case."""
_LINKS_MAX: Final = 10
"""The number of actors in one descriptor that are considered. Lemmy names two, a person and a community."""
_AS_TYPE: Final = "https://www.w3.org/ns/activitystreams#type"


@frozen
class VerifiedHandle:
    """A handle that its host has confirmed for an actor."""

    acct: Acct
    """The handle in its host's spelling."""
    actor: str
    """The actor's id."""


@frozen
class LookupResult:
    """The document that a lookup found, and the verified handle if it is an actor."""

    loaded: LoadedDocument
    acct: Acct | None = None
    """The actor's verified handle; None if the document is no actor, or the actor has no verified handle."""
    doubt: RemoteError | Unavailable | None = None
    """The reason why an actor's handle could not be verified."""

    @property
    def document(self) -> Document:
        """The document."""
        return self.loaded.document


def lookup(handle_or_url: str, *, policy: FetchPolicy, identity: Identity | None = None) -> Op[LookupResult]:
    """Find a document by a handle (``@alice@example.com``), a group (``!books@example.com``), an id or a profile's URL.

    The text may come from a search field, as a person pasted it; see `parse_pasted`.

    For a handle, the actor is returned only if the handle is verified. For a URL, the document is returned, with its
    handle if it is an actor. The URL of a page leads to the document that its host names (WebFinger), or else to the
    one that the page links to (an alternate link).

    Asks for: at most two documents (as `load`), a page (as `alternate_of`) and four WebFinger answers (as `webfinger`).

    Raises:
        RequestError: The text is neither a handle nor a URL.
        HandleMismatch: The handle's host and the actor's server do not agree.
        NoActorLink: The account exists, but has no ActivityPub actor.
        ApcoreError: As `webfinger` and `load`.
    """
    pasted = parse_pasted(handle_or_url)
    if isinstance(pasted.name, str):
        return (yield from _lookup_url(pasted.name, policy=policy, identity=identity))
    acct, descriptors = yield from _resolve_acct(pasted.name, policy=policy)
    link = _actor_link(descriptors[acct], group=pasted.is_group)
    if link is None:
        raise NoActorLink(f"{acct.host} knows {acct}, but names no ActivityPub actor for it")
    loaded = yield from load(link, policy=policy, identity=identity)
    if loaded.document.id is None or str(parse_url(loaded.document.id)) != link:
        raise HandleMismatch(f"{acct} names the actor {link}, which has the id {loaded.document.id}")
    actor = loaded.document.view(Actor)
    confirmed = yield from confirm(actor, policy=policy, known_descriptors=descriptors)
    if confirmed.acct != acct:
        raise HandleMismatch(f"{acct} names the actor {link}, but the actor's own server names {confirmed.acct}")
    return LookupResult(loaded, confirmed.acct)


def _lookup_url(url: str, *, policy: FetchPolicy, identity: Identity | None) -> Op[LookupResult]:
    try:
        loaded = yield from load(url, policy=policy, identity=identity)
    except WrongMediaType as not_activitypub:
        # The URL is that of a page. Its host may name the actor (WebFinger), or the page may link to the document.
        link = yield from _document_behind(url, policy=policy)
        if link is None:
            raise not_activitypub from None
        loaded = yield from load(link, policy=policy, identity=identity)
    if not loaded.document.is_a(Actor):
        return LookupResult(loaded)
    try:
        confirmed = yield from confirm(loaded.document.view(Actor), policy=policy)
    except (RemoteError, Unavailable) as error:
        return LookupResult(loaded, doubt=error)
    return LookupResult(loaded, confirmed.acct)


def _document_behind(page: str, *, policy: FetchPolicy) -> Op[str | None]:
    """Return the address of the document that a page's host or the page itself names, or None."""
    try:
        link = _actor_link((yield from webfinger(page, policy=policy)), group=False)
    except (RemoteError, FetchFailed):
        link = None
    if link is not None:
        return link
    try:
        return (yield from alternate_of(page, policy=policy))
    except (RemoteError, FetchFailed):
        return None


def confirm(
    actor: Actor, *, policy: FetchPolicy, known_descriptors: Mapping[Acct, Descriptor] | None = None
) -> Op[VerifiedHandle]:
    """Verify the handle of an actor whose document is trusted.

    ``known_descriptors`` holds descriptors that their hosts have just sent. Asks for: at most two WebFinger answers.

    Raises:
        HandleMismatch: The actor has no name, or the host of its handle does not confirm it.
        ApcoreError: As `webfinger`.
    """
    ident, claimed_acct = _claimed_acct(actor)
    acct, descriptors = yield from _resolve_acct(claimed_acct, policy=policy, known_descriptors=known_descriptors)
    if ident not in actor_links(descriptors[acct]):
        raise HandleMismatch(f"{acct} does not name the actor {ident}, which claims the handle {claimed_acct}")
    return VerifiedHandle(acct, ident)


def _claimed_acct(actor: Actor) -> tuple[str, Acct]:
    """Return the actor's id and the handle that it claims: that of FEP-2c59, or its name at the host of its id."""
    ident = parse_url(actor.document.id or "")
    if not actor.webfinger and not actor.preferred_username:
        raise HandleMismatch(f"the actor {ident} has no preferredUsername, so it has no handle")
    try:
        if actor.webfinger:
            return str(ident), parse_acct(actor.webfinger)
        return str(ident), Acct.at(actor.preferred_username or "", ident.origin)
    except RequestError as error:
        raise HandleMismatch(f"the name of the actor {ident} cannot be part of a handle: {error}") from error


def _resolve_acct(
    acct: Acct, *, policy: FetchPolicy, known_descriptors: Mapping[Acct, Descriptor] | None = None
) -> Op[tuple[Acct, dict[Acct, Descriptor]]]:
    """Ask an account's host about it and, if the host delegates it, also the other host, once.

    Return the final name, and the descriptors by name.
    """
    descriptors = dict(known_descriptors or {})
    descriptor = descriptors.get(acct) or (yield from webfinger(str(acct), policy=policy))
    descriptors[acct] = descriptor
    subject = _subject(descriptor, acct)
    if subject == acct:
        return subject, descriptors
    descriptor = descriptors.get(subject) or (yield from webfinger(str(subject), policy=policy))
    descriptors[subject] = descriptor
    final_acct = _subject(descriptor, subject)
    if final_acct != subject:
        raise HandleMismatch(f"{acct} is delegated to {subject}, and from there to {final_acct}")
    return final_acct, descriptors


def _subject(descriptor: Descriptor, acct: Acct) -> Acct:
    if descriptor.subject is None:
        return acct
    try:
        return parse_acct(descriptor.subject)
    except RequestError as error:
        # Some old servers name the profile's URL as the subject, and the account among the aliases.
        if str(acct) in descriptor.aliases:
            return acct
        raise HandleMismatch(f"{acct} is answered with the subject {descriptor.subject[:200]!r}: {error}") from error


# --- links ----------------------------------------------------------------------------------------------------------


def actor_links(descriptor: Descriptor) -> tuple[str, ...]:
    """Return the ids of the actors in a descriptor, in order: the ``self`` links with an ActivityPub media type.

    If there are none, return the ``self`` links without a media type, or with one that hand-written files have.
    """
    return tuple(_links(descriptor))


def _links(descriptor: Descriptor) -> dict[str, DescriptorLink]:
    own_links = descriptor.linked("self")
    typed_links = [link for link in own_links if is_activitypub(link.type)]
    return _by_id(typed_links or [link for link in own_links if link.type in _UNCLEAR_TYPES])


def _by_id(self_links: Sequence[DescriptorLink]) -> dict[str, DescriptorLink]:
    links: dict[str, DescriptorLink] = {}
    for link in self_links:
        if link.href is None or len(links) == _LINKS_MAX:
            continue
        try:
            _ = links.setdefault(str(parse_url(link.href)), link)
        except RequestError:
            continue
    return links


def _actor_link(descriptor: Descriptor, *, group: bool) -> str | None:
    """Return the id of one actor.

    If a person and a group share a name (Lemmy), a property of the links tells them apart. If no actor is of the
    requested kind, return the first one.
    """
    links = _links(descriptor)
    matches = (ident for ident, link in links.items() if (link.properties.get(_AS_TYPE) == "Group") == group)
    return next(matches, next(iter(links), None))


# --- requests -------------------------------------------------------------------------------------------------------


def webfinger(resource: str, *, policy: FetchPolicy) -> Op[Descriptor]:
    """Fetch the descriptor of ``resource``, an account or a URL, from its host. It is not verified here.

    Asks for: one fetch (as `fetch`, unsigned). After a 404 two more: the host-meta, and the address that it names. If
    plain http is allowed and https fails, as many again.

    Raises:
        RequestError: ``resource`` is neither an account nor a URL.
        NotFound, Gone, Forbidden, Rejected, PeerFailing: The host answered with another status than 200.
        WrongMediaType, DocumentError: The response is no descriptor.
        RequestError, LimitExceeded, Refused, FetchFailed: As `fetch`.
    """
    is_url = resource.lower().startswith(("https://", "http://"))
    if is_url:
        origins = [str(parse_url(resource).origin)]
    else:
        acct = parse_acct(resource)
        resource, origins = str(acct), [f"https://{acct.host}"]
        if policy.addresses.plain_http:
            origins.append(f"http://{acct.host}")
    bounded = _bounded(policy)
    for origin in origins[:-1]:
        try:
            return (yield from _descriptor_at(origin, resource, policy=bounded))
        except FetchFailed:
            continue
    return (yield from _descriptor_at(origins[-1], resource, policy=bounded))


def _descriptor_at(origin: str, resource: str, *, policy: FetchPolicy) -> Op[Descriptor]:
    address = f"{origin}/.well-known/webfinger?resource={quote(resource, safe='')}"
    try:
        return (yield from _fetch_descriptor(address, policy=policy))
    except NotFound:
        other_address = yield from _lrdd_address(origin, resource, policy=policy)
        if other_address is None or other_address == address:
            raise
    return (yield from _fetch_descriptor(other_address, policy=policy))


def _lrdd_address(origin: str, resource: str, *, policy: FetchPolicy) -> Op[str | None]:
    """Return the WebFinger address that the host-meta names, or None if there is no usable host-meta."""
    try:
        host_meta = yield from fetch(f"{origin}/.well-known/host-meta", policy=policy, accept=_ACCEPT_HOST_META)
        if host_meta.response.status != 200 or host_meta.response.truncated:
            return None
        address = lrdd_address(read_host_meta(host_meta.response.body), resource)
        is_downgrade = address is not None and parse_url(address).origin.scheme == "http" != host_meta.url.origin.scheme
    except (RemoteError, FetchFailed):
        return None
    return None if is_downgrade else address


def _fetch_descriptor(address: str, *, policy: FetchPolicy) -> Op[Descriptor]:
    fetched = yield from fetch(address, policy=policy, accept=_ACCEPT)
    now = yield from Now()
    check_status(fetched, address, now=now)
    return _read(fetched)


def _read(fetched: FetchedResponse) -> Descriptor:
    """Parse a response as JSON or as an XRD, by its media type.

    Raises:
        WrongMediaType: The media type is another one, such as a page's or an image's.
        DocumentError: The body is no descriptor.
    """
    media_type = fetched.response.headers.get("content-type") or ""
    try:
        essence = parse_media_type(media_type).essence if media_type else ""
    except RequestError as error:
        raise WrongMediaType(f"{fetched.url} answers with a media type that cannot be read: {error}") from error
    if essence in _XML:
        return read_xrd(fetched.response.body)
    if essence in _JSON or essence.endswith("+json"):
        return read_jrd(fetched.response.body)
    raise WrongMediaType(f"{fetched.url} answers with {media_type:.100}, which is no descriptor")


def _bounded(policy: FetchPolicy) -> FetchPolicy:
    limits = policy.limits
    return evolve(
        policy,
        limits=evolve(
            limits,
            body_bytes_max=min(limits.body_bytes_max, DESCRIPTOR_BYTES_MAX),
            decoded_bytes_max=min(limits.decoded_bytes_max, DESCRIPTOR_BYTES_MAX),
        ),
    )
