"""NodeInfo: which software a server runs, and how many people use it. For statistics and curiosity; decisions need better evidence.

Written as the schemas 2.0 and 2.1 demand. Read as it is found: every member may be missing, or of another kind.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from apcore.discovery.descriptors import Link, jrd
from apcore.http import Origin

__all__ = ["NODEINFO_LINKS_JSON", "NodeInfoVersion", "nodeinfo_document", "nodeinfo_links", "nodeinfo_media_type"]

NodeInfoVersion = Literal["2.0", "2.1"]
"""The versions that are served."""
NODEINFO_LINKS_JSON: Final = "application/json"
"""What the document of links is served as."""

_SCHEMA: Final = "http://nodeinfo.diaspora.software/ns/schema/"
_VERSIONS: Final[tuple[NodeInfoVersion, ...]] = ("2.1", "2.0")
_NAME: Final = re.compile(r"[a-z0-9-]+")


def nodeinfo_media_type(version: NodeInfoVersion) -> str:
    """Give the media type of a document of that version."""
    return f'application/json; profile="{_SCHEMA}{version}#"'


def nodeinfo_links(origin: Origin | str) -> bytes:
    """Write what stands at ``/.well-known/nodeinfo``: the documents are at ``/nodeinfo/2.1`` and ``/nodeinfo/2.0``."""
    return jrd(None, links=[Link(f"{_SCHEMA}{version}", href=f"{origin}/nodeinfo/{version}") for version in _VERSIONS])


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
