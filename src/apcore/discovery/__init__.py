"""Look up actors and servers, and describe our own: WebFinger, host-meta and NodeInfo."""

from apcore.discovery.accounts import (
    Acct,
    parse_acct,
    parse_resource as parse_resource,
)
from apcore.discovery.descriptors import (
    JRD_JSON as JRD_JSON,
    XRD_XML as XRD_XML,
    Descriptor,
    DescriptorLink,
    jrd as jrd,
    read_jrd as read_jrd,
    read_xrd as read_xrd,
)
from apcore.discovery.errors import (
    HandleMismatch as HandleMismatch,
    NoActorLink as NoActorLink,
    NoUsableDocument as NoUsableDocument,
    SubjectMismatch as SubjectMismatch,
)
from apcore.discovery.host_meta import (
    host_meta_json as host_meta_json,
    host_meta_xml as host_meta_xml,
    read_host_meta as read_host_meta,
)
from apcore.discovery.nodeinfo import (
    NODEINFO_LINKS_JSON as NODEINFO_LINKS_JSON,
    NodeInfo,
    NodeInfoVersion,
    lookup_nodeinfo,
    nodeinfo_document as nodeinfo_document,
    nodeinfo_links as nodeinfo_links,
    nodeinfo_media_type as nodeinfo_media_type,
    read_nodeinfo as read_nodeinfo,
)
from apcore.discovery.webfinger import (
    LookupResult,
    VerifiedHandle,
    actor_links as actor_links,
    confirm,
    lookup,
    webfinger,
)

__all__ = [
    "Acct",
    "Descriptor",
    "DescriptorLink",
    "LookupResult",
    "NodeInfo",
    "NodeInfoVersion",
    "VerifiedHandle",
    "confirm",
    "lookup",
    "lookup_nodeinfo",
    "parse_acct",
    "webfinger",
]
