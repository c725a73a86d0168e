"""Look up actors and servers, and describe our own: WebFinger, host-meta and NodeInfo."""

from apcore.discovery.accounts import Acct, parse_acct, parse_resource
from apcore.discovery.descriptors import JRD_JSON, XRD_XML, Descriptor, DescriptorLink, jrd, read_jrd, read_xrd
from apcore.discovery.errors import HandleMismatch, NoActorLink, NoUsableDocument, SubjectMismatch
from apcore.discovery.host_meta import host_meta_json, host_meta_xml, read_host_meta
from apcore.discovery.nodeinfo import (
    NODEINFO_LINKS_JSON,
    NodeInfo,
    NodeInfoVersion,
    lookup_nodeinfo,
    nodeinfo_document,
    nodeinfo_links,
    nodeinfo_media_type,
    read_nodeinfo,
)
from apcore.discovery.webfinger import LookupResult, VerifiedHandle, actor_links, confirm, lookup, webfinger

__all__ = [
    "JRD_JSON",
    "NODEINFO_LINKS_JSON",
    "XRD_XML",
    "Acct",
    "Descriptor",
    "DescriptorLink",
    "HandleMismatch",
    "LookupResult",
    "NoActorLink",
    "NoUsableDocument",
    "NodeInfo",
    "NodeInfoVersion",
    "SubjectMismatch",
    "VerifiedHandle",
    "actor_links",
    "confirm",
    "host_meta_json",
    "host_meta_xml",
    "jrd",
    "lookup",
    "lookup_nodeinfo",
    "nodeinfo_document",
    "nodeinfo_links",
    "nodeinfo_media_type",
    "parse_acct",
    "parse_resource",
    "read_host_meta",
    "read_jrd",
    "read_nodeinfo",
    "read_xrd",
    "webfinger",
]
