"""Read and write host-meta (RFC 6415), the document that says where a host answers WebFinger.

It predates WebFinger's fixed address. Some servers still need it: at the fixed address they answer 404.
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
    """Return the host-meta of ``origin`` in XML, for ``/.well-known/host-meta``; serve it as `XRD_XML`."""
    return xrd(_links(origin))


def host_meta_json(origin: Origin | str) -> bytes:
    """Return the host-meta of ``origin`` in JSON, for ``/.well-known/host-meta.json``; serve it as `JRD_JSON`."""
    return jrd(None, links=_links(origin))


def read_host_meta(data: bytes) -> Descriptor:
    """Parse a host-meta in JSON or XML. The content decides, since many are static files without a useful media type.

    Raises:
        DocumentError: The data is neither, or it has a document type.
        LimitExceeded: The data exceeds the limits of a descriptor.
    """
    return read_jrd(data) if data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else read_xrd(data)


def lrdd_address(host_meta: Descriptor, resource: str) -> str | None:
    """Return the host's WebFinger address for ``resource``, or None without a template. JSON is preferred to XML."""
    templates = [link for link in host_meta.linked(_LRDD) if link.template is not None and "{uri}" in link.template]
    templates.sort(key=lambda link: link.type is None or "json" not in link.type)
    for link in templates:
        if link.template is not None:
            return link.template.replace("{uri}", quote(resource, safe=""), 1)
    return None
