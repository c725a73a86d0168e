"""Read and write NodeInfo: the software of a server, and the number of its users.

Use it for statistics. Decisions need better evidence, since a server can claim anything.

Documents are written as the schemas 2.0 and 2.1 demand. They are read leniently: each member may be missing, or have
another type. The document of links could point anywhere, so a link is followed only to the requested origin, or to the
origin that this one redirected to. A path counts as an address there. So does an ``http`` address of the same host, as
servers behind a proxy write it: it is fetched over ``https``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, Literal, cast

from attrs import evolve, field, frozen

from apcore.discovery.descriptors import Descriptor, DescriptorLink, jrd, read_jrd
from apcore.discovery.errors import NoUsableDocument, SubjectMismatch
from apcore.effects import Now, Op
from apcore.errors import RequestError
from apcore.http import Origin, Url, join_url, parse_origin, parse_url
from apcore.jsonld import ProcessingLimits, parse_document
from apcore.remote import FetchedResponse, FetchPolicy, check_status, fetch

__all__ = [
    "NODEINFO_LINKS_JSON",
    "NodeInfo",
    "NodeInfoVersion",
    "lookup_nodeinfo",
    "nodeinfo_document",
    "nodeinfo_links",
    "nodeinfo_media_type",
    "read_nodeinfo",
]

NodeInfoVersion = Literal["2.0", "2.1"]
"""The versions that are written."""
NODEINFO_LINKS_JSON: Final = "application/json"
"""The media type of the document of links."""

_SCHEMA: Final = "http://nodeinfo.diaspora.software/ns/schema/"
_VERSIONS: Final[tuple[NodeInfoVersion, ...]] = ("2.1", "2.0")
_READ: Final = ("2.2", "2.1", "2.0", "1.1", "1.0")
"""The versions that are read, best first."""
_BYTES_MAX: Final = 256 * 1024
_LIMITS: Final = ProcessingLimits(bytes_max=_BYTES_MAX, depth_max=16, nodes_max=5000, array_max=2000)
_NAME: Final = re.compile(r"[a-z0-9-]+")
_REL: Final = re.compile(r"https?://nodeinfo\.diaspora\.software/ns/schema/([0-9]\.[0-9])[/#]?", re.IGNORECASE)
_OPEN: Final[Mapping[str, bool]] = {"true": True, "1": True, "false": False, "0": False}
"""The words for `openRegistrations` of servers that do not write a boolean."""


# --- writing --------------------------------------------------------------------------------------------------------


def nodeinfo_media_type(version: NodeInfoVersion) -> str:
    """Return the media type of a document of ``version``."""
    return f'application/json; profile="{_SCHEMA}{version}#"'


def nodeinfo_links(origin: Origin | str) -> bytes:
    """Return the document for ``/.well-known/nodeinfo``, with links to ``/nodeinfo/2.1`` and ``/nodeinfo/2.0``."""
    return jrd(
        None,
        links=[DescriptorLink(f"{_SCHEMA}{version}", href=f"{origin}/nodeinfo/{version}") for version in _VERSIONS],
    )


def nodeinfo_document(
    version: NodeInfoVersion,
    software_name: str,
    software_version: str,
    *,
    users: int | None = None,
    users_active_month: int | None = None,
    users_active_halfyear: int | None = None,
    posts: int | None = None,
    comments: int | None = None,
    open_registrations: bool = False,
    repository: str | None = None,
    homepage: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> bytes:
    """Return a NodeInfo document; serve it with `nodeinfo_media_type`. Arguments that are None are left out.

    Raises:
        ValueError: The schema forbids an argument: another version, a name with other characters than a-z, 0-9 and -,
            or a negative count.
    """
    if version not in _VERSIONS:
        raise ValueError(f"NodeInfo is written in versions {' and '.join(_VERSIONS)}, not {version!r}")
    if _NAME.fullmatch(software_name) is None:
        raise ValueError(f"the software name may only contain a-z, 0-9 and -, not {software_name!r}")
    software: dict[str, Any] = {"name": software_name, "version": software_version}
    if version == "2.1":  # the 2.0 schema takes no other members here
        software |= _present(repository=repository, homepage=homepage)
    counts = _counts(total=users, activeMonth=users_active_month, activeHalfyear=users_active_halfyear)
    members: dict[str, Any] = {
        "version": version,
        "software": software,
        "protocols": ["activitypub"],
        "services": {"inbound": [], "outbound": []},
        "openRegistrations": open_registrations,
        "usage": {"users": counts} | _counts(localPosts=posts, localComments=comments),
        "metadata": dict(metadata or {}),
    }
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _counts(**counts: int | None) -> dict[str, Any]:
    for name, count in counts.items():
        if count is not None and count < 0:
            raise ValueError(f"{name} must be 0 or more, not {count}")
    return _present(**counts)


# --- reading --------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class NodeInfo:
    """A server's description of itself. A member that is missing or of another type is None or empty."""

    version: str | None = None
    software_name: str | None = None
    """The name in lower case, as the schema demands. Some names contain spaces nevertheless."""
    software_version: str | None = None
    protocols: tuple[str, ...] = ()
    open_registrations: bool | None = None
    users: int | None = None
    users_active_month: int | None = None
    users_active_halfyear: int | None = None
    posts: int | None = None
    comments: int | None = None
    members: Mapping[str, Any] = field(repr=False)
    """The whole document as received, bounded in size and depth."""

    @property
    def speaks_activitypub(self) -> bool:
        """Whether ActivityPub is among its protocols."""
        return "activitypub" in self.protocols


def read_nodeinfo(data: bytes) -> NodeInfo:
    """Parse a NodeInfo document of any version.

    Raises:
        DocumentError: The data is not JSON, or not an object.
        LimitExceeded: The data exceeds the limits of such a document.
    """
    members = parse_document(data, limits=_LIMITS, lone_surrogates="replace")
    software, usage = _software(members.get("software")), _object(members.get("usage"))
    users = _object(usage.get("users"))
    name = _text(software.get("name"))
    return NodeInfo(
        version=_number_text(members.get("version")),
        software_name=None if name is None else name.lower(),
        software_version=_number_text(software.get("version")),
        protocols=_protocols(members.get("protocols")),
        open_registrations=_flag(members.get("openRegistrations")),
        users=_count(users.get("total")),
        users_active_month=_count(users.get("activeMonth")),
        users_active_halfyear=_count(users.get("activeHalfyear")),
        posts=_count(usage.get("localPosts")),
        comments=_count(usage.get("localComments")),
        members=members,
    )


def _object(value: object) -> dict[str, Any]:
    # PHP writes an empty object as an empty array.
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _software(value: object) -> dict[str, Any]:
    """Read an object with name and version, or one text: ``name``, ``name version`` or ``name/version``."""
    if not isinstance(value, str):
        return _object(value)
    name, _, version = value.strip().replace("/", " ", 1).partition(" ")
    return {"name": name, "version": version.strip()}


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _flag(value: object) -> bool | None:
    return _OPEN.get(str(value).lower()) if isinstance(value, bool | int | str) else None


def _number_text(value: object) -> str | None:
    """Read a version: a text, or a number."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else _text(value)


def _count(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _protocols(value: object) -> tuple[str, ...]:
    """Read a list or, in version 1.x, one list for each direction."""
    if isinstance(value, dict):
        directions = cast("dict[str, Any]", value)
        protocols = (*_protocols(directions.get("inbound")), *_protocols(directions.get("outbound")))
        return tuple(dict.fromkeys(protocols))
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    return tuple(item.lower() for item in items if isinstance(item, str))


def lookup_nodeinfo(origin: Origin | str, *, policy: FetchPolicy) -> Op[NodeInfo]:
    """Fetch the NodeInfo of a server.

    Asks for: two fetches (as `fetch`, unsigned).

    Raises:
        ValueError: ``origin`` is no origin.
        NotFound, Gone, Forbidden, Rejected, PeerFailing: The server answered with another status than 200.
        NoUsableDocument: The server links to no version that apcore reads.
        SubjectMismatch: The server links or redirects to another host.
        DocumentError: The response is no such document.
        RequestError, LimitExceeded, Refused, FetchFailed: As `fetch`.
    """
    requested = parse_origin(origin) if isinstance(origin, str) else origin
    bounded = _bounded(policy)
    links = yield from _fetch_json(f"{requested}/.well-known/nodeinfo", policy=bounded)
    url = _best_link(read_jrd(links.response.body), links.url)
    own_origins = {requested, links.url.origin}
    if url.origin not in own_origins:
        raise SubjectMismatch(f"{requested} links to {url} on another host as its NodeInfo")
    document = yield from _fetch_json(str(url), policy=bounded)
    if document.url.origin not in own_origins:
        raise SubjectMismatch(f"{requested} redirects to {document.url} on another host for its NodeInfo")
    return read_nodeinfo(document.response.body)


def _fetch_json(url: str, *, policy: FetchPolicy) -> Op[FetchedResponse]:
    fetched = yield from fetch(url, policy=policy, accept=NODEINFO_LINKS_JSON)
    now = yield from Now()
    check_status(fetched, url, now=now)
    return fetched


def _best_link(links: Descriptor, url: Url) -> Url:
    """Return the URL of the best version that apcore reads."""
    hrefs: dict[str, list[str]] = {}
    for link in links.links:
        rel = _REL.fullmatch(link.rel)
        if rel is not None and link.href is not None:
            hrefs.setdefault(rel[1], []).append(link.href)
    for href in (href for version in _READ for href in hrefs.get(version, ())):
        try:
            return _secured(join_url(url, href), url)
        except RequestError:
            continue
    raise NoUsableDocument(f"{url} links to no NodeInfo of a version that apcore reads: {', '.join(_READ)}")


def _secured(link: Url, url: Url) -> Url:
    """Return the https address for an http address of the host that was reached over https."""
    names_host = (link.origin.scheme, link.origin.authority) == ("http", url.origin.host)
    if names_host and url.origin.scheme == "https":
        return parse_url(f"{url.origin}{str(link).removeprefix(str(link.origin))}")
    return link


def _bounded(policy: FetchPolicy) -> FetchPolicy:
    limits = evolve(
        policy.limits,
        body_bytes_max=min(policy.limits.body_bytes_max, _BYTES_MAX),
        decoded_bytes_max=min(policy.limits.decoded_bytes_max, _BYTES_MAX),
    )
    return evolve(policy, limits=limits)
