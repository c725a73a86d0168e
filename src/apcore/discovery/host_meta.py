"""host-meta (RFC 6415): one document that says where a host answers WebFinger.

It is the old way in, and still the one that some servers take when WebFinger at its fixed address answers 404.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from apcore.discovery.descriptors import JRD_JSON, Descriptor, DescriptorLink, jrd, read_jrd, read_xrd, xrd
from apcore.http import Origin

__all__ = ["host_meta_json", "host_meta_xml", "lrdd_address", "read_host_meta"]

_LRDD: Final = "lrdd"


def _links(origin: Origin | str) -> tuple[DescriptorLink, ...]:
    return (DescriptorLink(_LRDD, type=JRD_JSON, template=f"{origin}/.well-known/webfinger?resource={{uri}}"),)


def host_meta_xml(origin: Origin | str) -> bytes:
    """Write the host-meta of ``origin`` in XML, for ``/.well-known/host-meta``; serve it as `XRD_XML`."""
    return xrd(_links(origin))


def host_meta_json(origin: Origin | str) -> bytes:
    """Write the host-meta of ``origin`` in JSON, for ``/.well-known/host-meta.json``; serve it as `JRD_JSON`."""
    return jrd(None, links=_links(origin))


def read_host_meta(data: bytes) -> Descriptor:
    """Read a host-meta in either spelling: many are files without an extension, and served as whatever.

    Raises:
        DocumentError: It is neither, or it has a document type.
        LimitExceeded: It is larger than a descriptor may be.
    """
    return read_jrd(data) if data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else read_xrd(data)


def lrdd_address(host_meta: Descriptor, resource: str) -> str | None:
    """Give where that host answers about ``resource``: the first usable template, JSON before XML; None if there is none."""
    templates = [link for link in host_meta.linked(_LRDD) if link.template is not None and "{uri}" in link.template]
    templates.sort(key=lambda link: link.type is None or "json" not in link.type)
    for link in templates:
        if link.template is not None:
            return link.template.replace("{uri}", quote(resource, safe=""), 1)
    return None
