"""NodeInfo: which software a server runs, and how many people use it. For statistics and curiosity; decisions need better evidence.

Written as the schemas 2.0 and 2.1 demand. Read as it is found: every member may be missing, or of another kind.

The document of links is where a server could send us anywhere, so it may only point to the host that was asked, or to the one that this host
redirected to.
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
from apcore.http import Origin, Url, parse_origin, parse_url
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
"""The versions that are served."""
NODEINFO_LINKS_JSON: Final = "application/json"
"""What the document of links is served as."""

_SCHEMA: Final = "http://nodeinfo.diaspora.software/ns/schema/"
_VERSIONS: Final[tuple[NodeInfoVersion, ...]] = ("2.1", "2.0")
_READ: Final = ("2.2", "2.1", "2.0", "1.1", "1.0")
"""What is read, the best first."""
_BYTES_MAX: Final = 256 * 1024
_LIMITS: Final = ProcessingLimits(bytes_max=_BYTES_MAX, depth_max=16, nodes_max=5000, array_max=2000)
_NAME: Final = re.compile(r"[a-z0-9-]+")


# --- written --------------------------------------------------------------------------------------------------------


def nodeinfo_media_type(version: NodeInfoVersion) -> str:
    """Give the media type of a document of that version."""
    return f'application/json; profile="{_SCHEMA}{version}#"'


def nodeinfo_links(origin: Origin | str) -> bytes:
    """Write what stands at ``/.well-known/nodeinfo``: the documents are at ``/nodeinfo/2.1`` and ``/nodeinfo/2.0``."""
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
    """Write a NodeInfo document; serve it as `nodeinfo_media_type`. What is None is left out.

    Raises:
        ValueError: Something that the schema does not take: another version, a name outside a-z, 0-9 and -, a negative count.
    """
    if version not in _VERSIONS:
        raise ValueError(f"NodeInfo is written in versions {' and '.join(_VERSIONS)}, not {version!r}")
    if _NAME.fullmatch(software_name) is None:
        raise ValueError(f"the name of a software is in a-z, 0-9 and -, not {software_name!r}")
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
            raise ValueError(f"{name} is a count, at least 0, not {count}")
    return _present(**counts)


# --- read -----------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class NodeInfo:
    """What a server says of itself; whatever it does not say, or says in another kind of value, is None or empty."""

    version: str | None = None
    software_name: str | None = None
    """In lower case, as the schema has it; people put spaces into it all the same."""
    software_version: str | None = None
    protocols: tuple[str, ...] = ()
    open_registrations: bool | None = None
    users: int | None = None
    users_active_month: int | None = None
    users_active_halfyear: int | None = None
    posts: int | None = None
    comments: int | None = None
    members: Mapping[str, Any] = field(repr=False)
    """All of it as received, bounded in size and depth."""

    @property
    def speaks_activitypub(self) -> bool:
        """Whether it names ActivityPub among its protocols."""
        return "activitypub" in self.protocols


def read_nodeinfo(data: bytes) -> NodeInfo:
    """Read a NodeInfo document of any version.

    Raises:
        DocumentError: It is not JSON, or no object.
        LimitExceeded: It is larger than such a document may be.
    """
    members = parse_document(data, limits=_LIMITS, lone_surrogates="replace")
    software, usage = _object(members.get("software")), _object(members.get("usage"))
    users = _object(usage.get("users"))
    name, opened = _text(software.get("name")), members.get("openRegistrations")
    return NodeInfo(
        version=_text(members.get("version")),
        software_name=None if name is None else name.lower(),
        software_version=_text(software.get("version")),
        protocols=_protocols(members.get("protocols")),
        open_registrations=opened if isinstance(opened, bool) else None,
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


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _protocols(value: object) -> tuple[str, ...]:
    """A list, or in 1.x one for each direction."""
    if isinstance(value, dict):
        both = cast("dict[str, Any]", value)
        named = (*_protocols(both.get("inbound")), *_protocols(both.get("outbound")))
        return tuple(dict.fromkeys(named))
    items = cast("list[object]", value) if isinstance(value, list) else []
    return tuple(item for item in items if isinstance(item, str))


def lookup_nodeinfo(origin: Origin | str, *, policy: FetchPolicy) -> Op[NodeInfo]:
    """Ask a server what it is.

    Asks for: two fetches (as `fetch`, unsigned).

    Raises:
        ValueError: ``origin`` is not one.
        NotFound, Gone, Forbidden, Rejected, PeerFailing: What it answered instead.
        NothingUsable: It links to no version that we read.
        PointsElsewhere: What it links to is on another host.
        DocumentError: What it answered is no such document.
        RequestError, LimitExceeded, Refused, FetchFailed: As `fetch`.
    """
    asked = parse_origin(origin) if isinstance(origin, str) else origin
    bounded = _bounded(policy)
    first = yield from _answer(f"{asked}/.well-known/nodeinfo", policy=bounded)
    where = _chosen(read_jrd(first.response.body), first.url)
    own = {asked, first.url.origin}
    if where.origin not in own:
        raise SubjectMismatch(f"{asked} says that its NodeInfo is at {where}")
    second = yield from _answer(str(where), policy=bounded)
    if second.url.origin not in own:
        raise SubjectMismatch(f"{asked} redirects to {second.url} for its NodeInfo")
    return read_nodeinfo(second.response.body)


def _answer(url: str, *, policy: FetchPolicy) -> Op[FetchedResponse]:
    found = yield from fetch(url, policy=policy, accept=NODEINFO_LINKS_JSON)
    now = yield from Now()
    check_status(found, url, now=now)
    return found


def _chosen(links: Descriptor, url: Url) -> Url:
    """Give where the best version that we read is."""
    for version in _READ:
        for link in links.linked(f"{_SCHEMA}{version}"):
            try:
                return parse_url(link.href or "")
            except RequestError:
                continue
    raise NoUsableDocument(f"{url} links to no NodeInfo of version {', '.join(_READ)}")


def _bounded(policy: FetchPolicy) -> FetchPolicy:
    limits = evolve(
        policy.limits,
        body_bytes_max=min(policy.limits.body_bytes_max, _BYTES_MAX),
        decoded_bytes_max=min(policy.limits.decoded_bytes_max, _BYTES_MAX),
    )
    return evolve(policy, limits=limits)
