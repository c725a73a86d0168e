"""Finding and being found: WebFinger, host-meta, NodeInfo."""

from apcore.discovery.accounts import Acct, parse_acct, parse_resource
from apcore.discovery.descriptors import JRD_JSON, XRD_XML, Descriptor, Link, jrd, read_jrd, read_xrd
from apcore.discovery.host_meta import host_meta_json, host_meta_xml, read_host_meta
from apcore.discovery.nodeinfo import (
    NODEINFO_LINKS_JSON,
    nodeinfo_document,
    nodeinfo_links,
    nodeinfo_media_type,
)

__all__ = [
    "JRD_JSON",
    "NODEINFO_LINKS_JSON",
    "XRD_XML",
    "Acct",
    "Descriptor",
    "Link",
    "host_meta_json",
    "host_meta_xml",
    "jrd",
    "nodeinfo_document",
    "nodeinfo_links",
    "nodeinfo_media_type",
    "parse_acct",
    "parse_resource",
    "read_host_meta",
    "read_jrd",
    "read_xrd",
]
