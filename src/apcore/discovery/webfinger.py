"""WebFinger: from what people write to an actor, and from an actor to what people may write, believed only when both ways agree.

Asking is cheap to answer with a lie: anyone's host may say that ``@ceo@it`` is somebody else's actor, and anyone's actor may call itself what
it likes. So a handle is believed after a round trip. The handle's host, asked about the handle, names the actor; and the actor's own server, asked
about the name that the actor gives itself, names the handle. A host may hand a name on to another one (a short domain for people, a long one
for the machine): the host that is handed to is then asked itself, once, and has to stand by it.

Because an answer is believed only after that round trip, its media type matters little: static hosts serve these files
as ``application/octet-stream``, as ``text/plain`` or as nothing at all, and all of these are tried as JSON. A page
(``text/html``) is refused.

WebFinger is asked over https. Only where the address policy opens plain http (development, closed networks) is that tried second.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from attrs import evolve, frozen

from apcore.discovery.accounts import Acct, parse_acct
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
"""Types that are tried as JSON, beside ``+json``. Static hosts give one of the last three to a file without suffix."""
_LINKS_MAX: Final = 10
"""Actors of one descriptor that are considered. Lemmy names two, a person and a community."""
_AS_TYPE: Final = "https://www.w3.org/ns/activitystreams#type"


@frozen
class VerifiedHandle:
    """A handle, and the actor for whom its host stands by it."""

    acct: Acct
    """As its host spells it."""
    actor: str
    """The actor's id."""


@frozen
class LookupResult:
    """What a lookup found."""

    loaded: LoadedDocument
    acct: Acct | None = None
    """The actor's handle, proved in both directions; None for what is no actor, or has none."""
    doubt: RemoteError | Unavailable | None = None
    """Why there is no handle, where one was to be expected."""

    @property
    def document(self) -> Document:
        """The document itself."""
        return self.loaded.document


def lookup(handle_or_url: str, *, policy: FetchPolicy, identity: Identity | None = None) -> Op[LookupResult]:
    """Find what somebody wrote: ``@alice@example.com``, ``!books@example.com`` (a group), an id, or the address of a profile.

    For a handle, the actor is answered only if the handle is proved. For a URL the document is, and its handle if it is an actor with one. The
    address of a page leads to what its host (WebFinger) or else the page itself (an alternate link) names.

    Asks for: two documents (as `load`), a page (as `alternate_of`) and four WebFinger answers (as `webfinger`) at most.

    Raises:
        RequestError: It is neither a handle nor a URL.
        HandleMismatch: The handle's host and the actor's server do not agree.
        NoActorLink: There is such an account, and no actor.
        ApcoreError: As `webfinger` and `load`.
    """
    if handle_or_url.lower().startswith(("https://", "http://")):
        return (yield from _lookup_url(handle_or_url, policy=policy, identity=identity))
    wants_group = handle_or_url.startswith("!")
    asked = parse_acct(handle_or_url.removeprefix("!"))
    acct, answers = yield from _settled(asked, policy=policy)
    link = _chosen(answers[acct], group=wants_group)
    if link is None:
        raise NoActorLink(f"{acct} is known at {acct.host}, which names no ActivityPub actor for it")
    loaded = yield from load(link, policy=policy, identity=identity)
    if loaded.document.id is None or str(parse_url(loaded.document.id)) != link:
        raise HandleMismatch(f"{acct} names the actor {link}, which says that it is {loaded.document.id}")
    actor = loaded.document.view(Actor)
    confirmed = yield from confirm(actor, policy=policy, known=answers)
    if confirmed.acct != acct:
        raise HandleMismatch(f"{acct} names the actor {link}, whose own server calls it {confirmed.acct}")
    return LookupResult(loaded, confirmed.acct)


def _lookup_url(text: str, *, policy: FetchPolicy, identity: Identity | None) -> Op[LookupResult]:
    url = str(parse_url(text))
    try:
        loaded = yield from load(url, policy=policy, identity=identity)
    except WrongMediaType as not_activitypub:
        # A page: its host may know whose profile it is, or the page itself where else it is.
        link = yield from _behind(url, policy=policy)
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


def _behind(page: str, *, policy: FetchPolicy) -> Op[str | None]:
    """Give the document behind a page, by its host's word or by its own."""
    try:
        link = _chosen((yield from webfinger(page, policy=policy)), group=False)
    except (RemoteError, FetchFailed):
        link = None
    if link is not None:
        return link
    try:
        return (yield from alternate_of(page, policy=policy))
    except (RemoteError, FetchFailed):
        return None


def confirm(actor: Actor, *, policy: FetchPolicy, known: Mapping[Acct, Descriptor] | None = None) -> Op[VerifiedHandle]:
    """Establish the handle of an actor whose document is believed.

    ``known`` are answers that their hosts gave just now. Asks for: two WebFinger answers at most.

    Raises:
        HandleMismatch: It has no name, or the host of its handle does not stand by it.
        ApcoreError: As `webfinger`.
    """
    ident, claimed = _claimed(actor)
    acct, answers = yield from _settled(claimed, policy=policy, known=known)
    if ident not in actor_links(answers[acct]):
        raise HandleMismatch(f"{acct} does not name the actor {ident}, which calls itself {claimed}")
    return VerifiedHandle(acct, ident)


def _claimed(actor: Actor) -> tuple[str, Acct]:
    """Give the actor's id and the handle that it gives itself: FEP-2c59's, or its name at the host of its id."""
    ident = parse_url(actor.document.id or "")
    if not actor.webfinger and not actor.preferred_username:
        raise HandleMismatch(f"the actor {ident} has no preferredUsername, so it has no handle")
    try:
        if actor.webfinger:
            return str(ident), parse_acct(actor.webfinger)
        return str(ident), Acct.at(actor.preferred_username or "", ident.origin)
    except RequestError as error:
        raise HandleMismatch(f"the actor {ident} has a name that no handle can have: {error}") from error


def _settled(
    asked: Acct, *, policy: FetchPolicy, known: Mapping[Acct, Descriptor] | None = None
) -> Op[tuple[Acct, dict[Acct, Descriptor]]]:
    """Ask about an account, and where it is handed on, once more at the host that it is handed to; give its name there, and all answers."""
    answers = dict(known or {})
    descriptor = answers.get(asked) or (yield from webfinger(str(asked), policy=policy))
    answers[asked] = descriptor
    subject = _subject(descriptor, asked)
    if subject == asked:
        return subject, answers
    descriptor = answers.get(subject) or (yield from webfinger(str(subject), policy=policy))
    answers[subject] = descriptor
    settled = _subject(descriptor, subject)
    if settled != subject:
        raise HandleMismatch(f"{asked} is handed on to {subject}, and from there to {settled}")
    return settled, answers


def _subject(descriptor: Descriptor, asked: Acct) -> Acct:
    if descriptor.subject is None:
        return asked
    try:
        return parse_acct(descriptor.subject)
    except RequestError as error:
        # Some old servers answer with the profile's URL, and the account among the aliases.
        if str(asked) in descriptor.aliases:
            return asked
        raise HandleMismatch(f"{asked} is answered about {descriptor.subject[:200]!r}: {error}") from error


# --- links ----------------------------------------------------------------------------------------------------------


def actor_links(descriptor: Descriptor) -> tuple[str, ...]:
    """Give the ids of the actors that a descriptor names, in their order: ``self`` links of an ActivityPub type."""
    return tuple(_links(descriptor))


def _links(descriptor: Descriptor) -> dict[str, DescriptorLink]:
    found: dict[str, DescriptorLink] = {}
    for link in descriptor.linked("self"):
        if link.href is None or not is_activitypub(link.type) or len(found) == _LINKS_MAX:
            continue
        try:
            _ = found.setdefault(str(parse_url(link.href)), link)
        except RequestError:
            continue
    return found


def _chosen(descriptor: Descriptor, *, group: bool) -> str | None:
    """Choose one actor. Where a person and a group share a name (Lemmy), their links say which is which."""
    links = _links(descriptor)
    fitting = (ident for ident, link in links.items() if (link.properties.get(_AS_TYPE) == "Group") == group)
    return next(fitting, next(iter(links), None))


# --- asking ---------------------------------------------------------------------------------------------------------


def webfinger(resource: str, *, policy: FetchPolicy) -> Op[Descriptor]:
    """Ask the host of ``resource``, an account or a URL, what it knows about it. Whether that is so is not decided here.

    Asks for: one fetch (as `fetch`, unsigned); after a 404 two more, of the host-meta and of where that points; where plain http is open, as
    many again if https cannot be had.

    Raises:
        RequestError: ``resource`` is neither an account nor a URL.
        NotFound, Gone, Forbidden, Rejected, PeerFailing: What the host answered instead.
        WrongMediaType, DocumentError: It answered with something that is no descriptor.
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
            return (yield from _asked_at(origin, resource, policy=bounded))
        except FetchFailed:
            continue
    return (yield from _asked_at(origins[-1], resource, policy=bounded))


def _asked_at(origin: str, resource: str, *, policy: FetchPolicy) -> Op[Descriptor]:
    address = f"{origin}/.well-known/webfinger?resource={quote(resource, safe='')}"
    try:
        return (yield from _descriptor_at(address, policy=policy))
    except NotFound:
        elsewhere = yield from _lrdd_address(origin, resource, policy=policy)
        if elsewhere is None or elsewhere == address:
            raise
    return (yield from _descriptor_at(elsewhere, policy=policy))


def _lrdd_address(origin: str, resource: str, *, policy: FetchPolicy) -> Op[str | None]:
    """Ask the host-meta where WebFinger is answered; None if there is none that says so, for whatever reason."""
    try:
        found = yield from fetch(f"{origin}/.well-known/host-meta", policy=policy, accept=_ACCEPT_HOST_META)
        if found.response.status != 200 or found.response.truncated:
            return None
        address = lrdd_address(read_host_meta(found.response.body), resource)
        downgraded = address is not None and parse_url(address).origin.scheme == "http" != found.url.origin.scheme
    except (RemoteError, FetchFailed):
        return None
    return None if downgraded else address


def _descriptor_at(address: str, *, policy: FetchPolicy) -> Op[Descriptor]:
    found = yield from fetch(address, policy=policy, accept=_ACCEPT)
    now = yield from Now()
    check_status(found, address, now=now)
    return _read(found)


def _read(found: FetchedResponse) -> Descriptor:
    """Read an answer as JSON or as an XRD, whichever its media type allows.

    Raises:
        WrongMediaType: It is said to be something else, such as a page or an image.
        DocumentError: It is no descriptor.
    """
    shown = found.response.headers.get("content-type") or ""
    try:
        essence = parse_media_type(shown).essence if shown else ""
    except RequestError as error:
        raise WrongMediaType(f"{found.url} answers with a media type that cannot be read: {error}") from error
    if essence in _XML:
        return read_xrd(found.response.body)
    if essence in _JSON or essence.endswith("+json"):
        return read_jrd(found.response.body)
    raise WrongMediaType(f"{found.url} answers with {shown:.100}, which is no descriptor")


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
