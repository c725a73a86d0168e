"""Check host-meta, which names the address at which a host answers WebFinger."""

from __future__ import annotations

import json

import pytest

from apcore.discovery import Descriptor, DescriptorLink, host_meta_json, host_meta_xml, read_host_meta
from apcore.discovery.host_meta import lrdd_address
from apcore.errors import DocumentError
from apcore.http import parse_origin

TEMPLATE = "https://example.com/.well-known/webfinger?resource={uri}"


def test_host_meta_is_written_as_xml():
    assert host_meta_xml("https://example.com").decode().splitlines() == [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0">',
        f'  <Link rel="lrdd" type="application/jrd+json" template="{TEMPLATE}"/>',
        "</XRD>",
    ]


def test_host_meta_is_written_as_json():
    assert json.loads(host_meta_json(parse_origin("https://example.com"))) == {
        "links": [{"rel": "lrdd", "type": "application/jrd+json", "template": TEMPLATE}]
    }


@pytest.mark.parametrize("write", [host_meta_xml, host_meta_json])
@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order-mark"])
def test_host_meta_reads_back(write, prefix):
    descriptor = read_host_meta(prefix + write("https://example.com"))
    assert lrdd_address(descriptor, "acct:a@example.com") == TEMPLATE.replace("{uri}", "acct%3Aa%40example.com")


@pytest.mark.parametrize("data", [b"", b"acct", b"<html>", b"\xff"])
def test_data_that_is_neither_xml_nor_json_is_refused(data):
    with pytest.raises(DocumentError):
        _ = read_host_meta(data)


@pytest.mark.parametrize(
    ("links", "address"),
    [
        ([], None),
        ([DescriptorLink("lrdd")], None),
        ([DescriptorLink("lrdd", template="https://a.example/")], None),
        ([DescriptorLink("lrdd", href="https://a.example/{uri}")], None),
        ([DescriptorLink("self", template="https://a.example/{uri}")], None),
        ([DescriptorLink("lrdd", template="https://a.example/{uri}/{uri}")], "https://a.example/a%26b%2F/{uri}"),
        (
            [
                DescriptorLink("lrdd", template="x:{uri}"),
                DescriptorLink("lrdd", type="application/jrd+json", template="j:{uri}"),
            ],
            "j:a%26b%2F",
        ),
    ],
    ids=["nothing", "bare", "no-place", "href", "another-rel", "once", "json-first"],
)
def test_webfinger_address_comes_from_the_best_lrdd_template(links, address):
    assert lrdd_address(Descriptor(links=links), "a&b/") == address
