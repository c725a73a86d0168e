"""Check descriptors: they are written and read in JSON and XML, and hostile ones are refused."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.discovery import Descriptor, DescriptorLink, jrd, read_host_meta, read_jrd, read_xrd
from apcore.discovery.descriptors import DESCRIPTOR_BYTES_MAX, xrd
from apcore.errors import ApcoreError, DocumentError, LimitExceeded
from vector_files import VECTORS, needs_vectors

XRD = "http://docs.oasis-open.org/ns/xri/xrd-1.0"
DISCOVERY = sorted((VECTORS / "discovery").glob("*")) if VECTORS.is_dir() else []
XML = [path for path in DISCOVERY if path.read_bytes().startswith(b"<?xml")]


# --- vectors --------------------------------------------------------------------------------------------------------


@needs_vectors
def test_descriptor_vectors_are_complete():
    assert (len(DISCOVERY), len(XML)) == (16, 14)


@needs_vectors
@pytest.mark.parametrize("path", XML, ids=[path.name.removeprefix("pleroma-repo__") for path in XML])
def test_xrd_of_the_vectors_is_read(path):
    descriptor = read_xrd(path.read_bytes())
    assert descriptor.links
    if "host_meta" in path.name or "host-meta" in path.name:
        assert "{uri}" in (descriptor.linked("lrdd")[0].template or "")
    else:
        assert descriptor.subject
        assert descriptor.aliases


@needs_vectors
def test_all_members_of_an_xrd_are_read():
    descriptor = read_xrd((VECTORS / "discovery/pleroma-repo__lain_squeet.me_webfinger.xml").read_bytes())
    assert descriptor.subject == "lain@squeet.me"
    assert descriptor.aliases == ("https://squeet.me/profile/lain", "https://squeet.me/profile/lain")
    assert len(descriptor.links) == 14
    assert list(descriptor.properties) == ["http://salmon-protocol.org/ns/magic-key"]
    assert descriptor.linked("http://ostatus.org/schema/1.0/subscribe") == (
        DescriptorLink("http://ostatus.org/schema/1.0/subscribe", template="https://squeet.me/follow?url={uri}"),
    )


@needs_vectors
def test_jrd_of_the_vectors_is_read():
    descriptor = read_jrd((VECTORS / "discovery/pleroma-repo__graf-imposter-webfinger.json").read_bytes())
    assert (descriptor.subject, len(descriptor.links)) == ("acct:graf@poa.st", 7)


# --- writing and reading back ---------------------------------------------------------------------------------------

SELF = DescriptorLink("self", type="application/activity+json", href="https://example.com/users/alice")


def test_jrd_is_written():
    data = jrd("acct:alice@example.com", ["https://example.com/users/alice"], [SELF])
    assert json.loads(data) == {
        "subject": "acct:alice@example.com",
        "aliases": ["https://example.com/users/alice"],
        "links": [{"rel": "self", "type": "application/activity+json", "href": "https://example.com/users/alice"}],
    }


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
links = st.builds(
    DescriptorLink,
    texts,
    type=st.none() | texts,
    href=st.none() | texts,
    template=st.none() | texts,
    properties=st.dictionaries(texts, st.none() | texts, max_size=2),
)


@given(texts, st.lists(texts, max_size=3), st.lists(links, max_size=4))
def test_jrd_reads_back(subject, aliases, given_links):
    assert read_jrd(jrd(subject, aliases, given_links)) == Descriptor(subject, aliases, given_links)


# XML cannot represent these characters in any spelling.
xml_texts = texts.filter(lambda text: "\ufffe" not in text and "\uffff" not in text)
xml_links = st.builds(DescriptorLink, xml_texts, type=st.none() | xml_texts, href=st.none() | xml_texts)


@given(st.lists(xml_links, max_size=4))
def test_xrd_reads_back(given_links):
    assert read_xrd(xrd(given_links)).links == tuple(given_links)


# --- malformed and hostile descriptors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, Descriptor()),
        ({"subject": 3, "aliases": 7, "links": {}, "properties": []}, Descriptor()),
        (
            {"aliases": "x", "links": {"rel": "self", "href": "y"}},
            Descriptor(aliases=["x"], links=[DescriptorLink("self", href="y")]),
        ),
        ({"aliases": ["a", None, 1, "b"]}, Descriptor(aliases=["a", "b"])),
        (
            {"links": [None, {}, {"rel": 1}, {"rel": ""}, {"rel": "self", "href": 7}]},
            Descriptor(links=[DescriptorLink("self")]),
        ),
        ({"properties": {"a": None, "b": "c", "d": 1}}, Descriptor(properties={"a": None, "b": "c"})),
    ],
    ids=["empty", "other-kinds", "without-brackets", "aliases", "links", "properties"],
)
def test_malformed_members_are_left_out(members, expected):
    assert read_jrd(json.dumps(members).encode()) == expected


def test_link_relations_compare_without_case():
    assert Descriptor(links=[SELF]).linked("SELF") == (SELF,)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", DocumentError),
        (b"[]", DocumentError),
        (b"<XRD/>", DocumentError),
        (b'{"subject": "a", "subject": "b"}', DocumentError),
        (b"\xff\xfe{}", DocumentError),
        (b"{" + b" " * DESCRIPTOR_BYTES_MAX + b"}", LimitExceeded),
        (b'{"links": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", LimitExceeded),
        (b'{"links": [' + b",".join([b"{}"] * 501) + b"]}", LimitExceeded),
    ],
    ids=["nothing", "array", "xml", "twice", "utf-16", "bytes", "depth", "links"],
)
def test_malformed_jrd_is_refused(data, error):
    with pytest.raises(error):
        _ = read_jrd(data)


BILLION_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">'
    + b"".join(b'<!ENTITY lol%d "%s">' % (n, b"&lol%d;" % (n - 1) * 10) for n in range(1, 10))
    + b"]><XRD>&lol9;</XRD>"
)
EXTERNAL = (
    b'<?xml version="1.0"?><!DOCTYPE foo [<!ENTITY xxe SYSTEM "file:///etc/passwd">]>'
    b"<XRD xmlns='%s'><Subject>&xxe;</Subject></XRD>" % XRD.encode()
)


@pytest.mark.hole(38)
@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", DocumentError),
        (b"{}", DocumentError),
        (b"<XRD/>", DocumentError),
        (b"<html xmlns='http://www.w3.org/1999/xhtml'/>", DocumentError),
        (f"<XRD xmlns='{XRD}'>".encode(), DocumentError),
        (f"<XRD xmlns='{XRD}'>&xxe;</XRD>".encode(), DocumentError),
        (f"<XRD xmlns='{XRD}'/>".encode("utf-16"), DocumentError),
        (f"<?xml version='1.0' encoding='utf-7'?><XRD xmlns='{XRD}'>\xff</XRD>".encode("latin-1"), DocumentError),
        (BILLION_LAUGHS, DocumentError),
        (EXTERNAL, DocumentError),
        (f"<!DOCTYPE XRD SYSTEM 'https://evil.example/x.dtd'><XRD xmlns='{XRD}'/>".encode(), DocumentError),
        (b"<!DOCTYPE XRD><XRD/>", DocumentError),
        (f"<XRD xmlns='{XRD}'>".encode() + b"<a>" * 100_000, LimitExceeded),
        (f"<XRD xmlns='{XRD}'>".encode() + b"<a>" * 17 + b"</a>" * 17 + b"</XRD>", LimitExceeded),
        (f"<XRD xmlns='{XRD}'>".encode() + b"<a/>" * 2001 + b"</XRD>", LimitExceeded),
        (b" " * (DESCRIPTOR_BYTES_MAX + 1), LimitExceeded),
    ],
    ids=[
        *("nothing", "json", "no-namespace", "html", "unclosed", "entity", "utf-16", "utf-7", "billion-laughs"),
        *("external-entity", "external-dtd", "dtd", "open-depth", "depth", "elements", "bytes"),
    ],
)
def test_malformed_or_hostile_xrd_is_refused(data, error):
    with pytest.raises(error):
        _ = read_xrd(data)


def test_nested_elements_and_other_namespaces_are_ignored():
    descriptor = read_xrd(
        f"<XRD xmlns='{XRD}' xmlns:o='urn:o'><o:Subject>a</o:Subject>"
        "<Link rel='x'><Subject>b</Subject><Link rel='y'/></Link>"
        "<Subject>c</Subject><Subject>d</Subject><Link href='z'/><Link rel=''/></XRD>".encode()
    )
    assert descriptor == Descriptor("c", links=[DescriptorLink("x")])


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda t: f"<XRD xmlns='{XRD}'>{t}</XRD>".encode()))
def test_any_bytes_are_read_or_refused_with_our_error(data):
    for read_descriptor in (read_jrd, read_xrd, read_host_meta):
        with suppress(ApcoreError):
            assert isinstance(read_descriptor(data), Descriptor)
