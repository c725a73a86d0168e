"""Check the address policy: closed ranges, spellings of hosts, ports, and the options that open some of them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import RequestError
from apcore.http import LOOPBACK_OPEN, PUBLIC_ONLY, AddressPolicy, parse_ip, parse_url
from vector_files import load_json, needs_vectors

ADDRESSES = (load_json("ssrf/addresses.json") or {"cases": []})["cases"]
URLS = (load_json("ssrf/urls.json") or {"cases": []})["cases"]


def url_refusal(text: str, policy: AddressPolicy = PUBLIC_ONLY) -> str | None:
    try:
        origin = parse_url(text).origin
    except RequestError as exc:
        return str(exc)
    return policy.target_refusal(origin.scheme, origin.host, origin.port)


@needs_vectors
def test_address_and_url_vectors_are_complete():
    assert (len(ADDRESSES), len(URLS)) == (31, 20)


@pytest.mark.hole(17, 29, 52)
@pytest.mark.parametrize("case", ADDRESSES, ids=lambda case: case["address"])
def test_address_vectors(case):
    assert (PUBLIC_ONLY.address_refusal(case["address"]) is None) == (case["verdict"] == "allow")


@pytest.mark.hole(17)
@pytest.mark.parametrize("case", URLS, ids=lambda case: case["url"])
def test_url_vectors(case):
    # For "either", this library refuses: single labels, spaces, percent signs in a host.
    assert (url_refusal(case["url"]) is None) == (case["verdict"] == "allow")


# First and last address of each closed block, and its neighbours where those are open.
EDGES = [
    ("0.0.0.0", "0.255.255.255", None, "1.0.0.0"),
    ("10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
    ("100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
    ("127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"),
    ("169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"),
    ("172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
    ("192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"),
    ("192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"),
    ("192.31.196.0", "192.31.196.255", "192.31.195.255", "192.31.197.0"),
    ("192.52.193.0", "192.52.193.255", "192.52.192.255", "192.52.194.0"),
    ("192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"),
    ("192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"),
    ("192.175.48.0", "192.175.48.255", "192.175.47.255", "192.175.49.0"),
    ("198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"),
    ("198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"),
    ("203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"),
    ("224.0.0.0", "255.255.255.255", "223.255.255.255", None),
    ("168.63.129.16", "168.63.129.16", "168.63.129.15", "168.63.129.17"),
    ("::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, "2000::"),
    ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7:ffff::", "2001:db9::"),
    ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:ffff::", "2003::"),
    ("2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "2620:4f:7fff::", "2620:4f:8001::"),
    ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3ffe:ffff::", "3fff:1000::"),
    ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:ffff::", None),
]


@pytest.mark.hole(29, 34, 52)
@pytest.mark.parametrize(("first", "last", "below", "above"), EDGES, ids=[row[0] for row in EDGES])
def test_closed_blocks_end_exactly_at_their_edges(first, last, below, above):
    assert PUBLIC_ONLY.address_refusal(first) is not None
    assert PUBLIC_ONLY.address_refusal(last) is not None
    assert below is None or PUBLIC_ONLY.address_refusal(below) is None
    assert above is None or PUBLIC_ONLY.address_refusal(above) is None


# The name of the range that an operator reads in the log.
NAMES = [
    ("0.0.0.1", "this network"),
    ("10.1.2.3", "private"),
    ("100.64.0.1", "shared address space"),
    ("127.0.0.1", "loopback"),
    ("169.254.1.1", "link-local"),
    ("172.16.0.1", "private"),
    ("192.0.0.1", "protocol assignments"),
    ("192.0.2.1", "documentation"),
    ("192.31.196.1", "AS112"),
    ("192.52.193.1", "AMT"),
    ("192.88.99.1", "6to4 relay"),
    ("192.168.0.1", "private"),
    ("192.175.48.1", "AS112"),
    ("198.18.0.1", "benchmarking"),
    ("198.51.100.1", "documentation"),
    ("203.0.113.1", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.0", "reserved"),
    ("255.255.255.255", "reserved"),
    ("::", "outside 2000::/3"),
    ("::1", "loopback"),
    ("::2", "outside 2000::/3"),
    ("4000::", "outside 2000::/3"),
    ("fbff::", "outside 2000::/3"),
    ("fc00::", "private"),
    ("fdff::", "private"),
    ("fe00::", "outside 2000::/3"),
    ("fe7f::", "outside 2000::/3"),
    ("fe80::", "link-local"),
    ("febf::", "link-local"),
    ("fec0::", "outside 2000::/3"),
    ("feff::", "outside 2000::/3"),
    ("ff00::", "multicast"),
    ("2001::1", "protocol assignments"),
    ("2001:db8::1", "documentation"),
    ("2002::1", "6to4"),
    ("2620:4f:8000::1", "AS112"),
    ("3fff::1", "documentation"),
]


@pytest.mark.parametrize(("address", "name"), NAMES, ids=[row[0] for row in NAMES])
def test_refusal_names_the_range_of_the_address(address, name):
    assert PUBLIC_ONLY.address_refusal(address) == f"address {address} is closed ({name})"


@pytest.mark.hole(29, 50, 52)
@pytest.mark.parametrize("spelling", ["::ffff:{}", "64:ff9b::{}"])
@given(address=st.ip_addresses(v=4))
def test_ipv4_address_in_ipv6_spelling_has_the_same_verdict(spelling, address: IPv4Address):
    plain = PUBLIC_ONLY.address_refusal(str(address))
    assert (PUBLIC_ONLY.address_refusal(spelling.format(address)) is None) == (plain is None)


@given(address=st.ip_addresses(v=4))
def test_relay_addresses_are_closed_for_any_embedded_address(address: IPv4Address):
    packed = address.packed.hex(":", 2)
    for spelling in (f"2002:{packed}::1", f"2001:0:{packed}::", f"::ffff:0:{packed}", f"64:ff9b:1::{packed}"):
        assert PUBLIC_ONLY.address_refusal(spelling) is not None


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("2002::/16", "2002:7f00:1::"),
        ("2001::/32", "2001:0:7f00:1::"),
        ("2001::/32", "2001:0:102:304::80ff:fffe"),  # the client's bits are inverted: 127.0.0.1
        ("::ffff:0:0:0/96", "::ffff:0:127.0.0.1"),
        ("::/96", "::127.0.0.1"),
    ],
)
def test_opened_relay_network_does_not_open_embedded_loopback_addresses(network, address):
    assert AddressPolicy(networks=(network,)).address_refusal(address) == f"address {address} is closed (loopback)"


def test_unspecified_and_loopback_address_hold_no_ipv4_address():
    """Open ``::/96``: by RFC 4291 §2.5.5.1, only ``::`` and ``::1`` hold no IPv4 address."""
    policy = AddressPolicy(networks=("::/96",))
    assert policy.address_refusal("::") is None
    assert policy.address_refusal("::1") is None
    assert policy.address_refusal("::2") == "address ::2 is closed (this network)"


@given(address=st.ip_addresses(v=6))
def test_all_spellings_of_an_ipv6_address_have_one_verdict(address: IPv6Address):
    verdicts = {
        PUBLIC_ONLY.address_refusal(text) is None for text in (str(address), address.exploded, str(address).upper())
    }
    assert len(verdicts) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "127.1",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "127.0.0.1.",
        " 127.0.0.1",
        "1.2.3.4%eth0",
        "fe80::1%1",
        "::1%25lo",
        "1.2.3.256",
        "gopher",
        "::g",
    ],
)
def test_malformed_address_is_refused(text):
    assert parse_ip(text) is None
    assert "is not an address" in (PUBLIC_ONLY.address_refusal(text) or "")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1"])
def test_loopback_policy_opens_loopback_addresses(address):
    assert LOOPBACK_OPEN.address_refusal(address) is None


@pytest.mark.parametrize("address", ["0.0.0.0", "10.0.0.1", "169.254.169.254", "::", "2002:7f00:1::", "fe80::1"])
def test_loopback_policy_opens_nothing_else(address):
    assert LOOPBACK_OPEN.address_refusal(address) is not None


def test_listed_networks_are_open_and_others_stay_closed():
    policy = AddressPolicy(networks=("172.16.0.0/12", "fd00::/8"))
    assert policy.address_refusal("172.17.0.2") is None
    assert policy.address_refusal("::ffff:172.17.0.2") is None
    assert policy.address_refusal("fd12::1") is None
    assert policy.address_refusal("192.168.0.1") == "address 192.168.0.1 is closed (private)"


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"]
)
def test_metadata_services_open_only_if_listed_exactly(address):
    wide = AddressPolicy(networks=("0.0.0.0/0", "::/0"))
    assert wide.address_refusal(address) == f"address {address} is closed (metadata service)"
    assert AddressPolicy(networks=(address,)).address_refusal(address) is None


def test_listed_host_is_open_with_its_private_addresses():
    policy = AddressPolicy(hosts={"Backend"})
    assert policy.target_refusal("https", "backend", 443) is None
    assert policy.address_refusal("10.0.0.7", host="backend") is None
    assert policy.address_refusal("10.0.0.7", host="other.example") is not None
    assert policy.address_refusal("fe80::1%eth0", host="backend") is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hosts": {"[::1]"}}, "exact names"),
        ({"hosts": {"10.0.0.1"}}, "exact names"),
        ({"hosts": {"*.example"}}, "exact names"),
        ({"hosts": {"exämple"}}, "exact names"),
        ({"hosts": {""}}, "exact names"),
        ({"ports": {0}}, "between 1 and 65535"),
        ({"ports": {65536}}, "between 1 and 65535"),
        ({"networks": ("10.0.0.1/8",)}, "has host bits set"),
        ({"networks": ("home",)}, "does not appear to be"),
    ],
)
def test_invalid_policy_is_refused_at_construction(options, message):
    with pytest.raises(ValueError, match=message):
        AddressPolicy(**options)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "a.localhost",
        "printer.local",
        "x.internal",
        "router.home.arpa",
        "home.arpa",
        "x.lan",
        "x.corp",
        "x.onion",
        "x.i2p",
        "intranet",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "127.1",
        "10.1.1",
        "0x7f.1",
        "1.2.3.4.5",
        "example.0x",
        "example.com.",
        "127.0.0.1.",
        "localhost.",
        "",
        ".",
        "a..b",
        "-a.example",
        "a-.example",
        "exa mple.com",
        "a/b.example",
        "*.example.com",
        "a" * 64 + ".example",
        "a." * 127 + "example",
        "EXAMPLE.com",
        "exämple.com",
        "[::1]",
        "::1",
        "[2001:db8::1]",
        "[1.2.3.4]x",
    ],
    ids=lambda host: host[:20] or "empty",
)
def test_forbidden_host_is_refused_before_resolution(host):
    assert PUBLIC_ONLY.host_refusal(host) is not None


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "xn--exmple-cua.com",
        "a_b.example.com",
        "1a.example",
        "93.184.216.34",
        "[2a00:1450:4001:81b::200e]",
        "2a00::1",
    ],
)
def test_public_host_is_allowed(host):
    assert PUBLIC_ONLY.host_refusal(host) is None


# Suffixes that the public DNS does not have. No other rule refuses names below these.
SUFFIXES = [
    "alt",
    "corp",
    "home",
    "home.arpa",
    "i2p",
    "internal",
    "intranet",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "onion",
    "private",
]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_names_below_suffixes_that_are_not_public_are_refused(suffix):
    assert PUBLIC_ONLY.host_refusal(f"www.example.{suffix}") == f"host 'www.example.{suffix}' is not in the public DNS"
    assert PUBLIC_ONLY.host_refusal(f"www.not{suffix}.example") is None


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("", "host of 0 characters"),
        ("a" * 50 + ("." + "b" * 50) * 4, "host of 254 characters"),
        ("example.com.", "ends in a dot"),
        (".example.com", "is not a host name"),
        ("-a.example", "is not a host name"),
        ("example", "is a single label"),
        ("1.0x", "an address in an odd spelling"),
        ("0x7F.1", "is not a host name"),
        ("[10.0.0.1]", "closed (private)"),
        ("10.0.0.1", "closed (private)"),
        ("::1", "closed (loopback)"),
        ("[::1]", "closed (loopback)"),
        ("[example.com]", "is not an address"),
        ("exa:mple", "is not an address"),
    ],
)
def test_refusal_of_a_host_names_the_rule(host, words):
    assert words in (PUBLIC_ONLY.host_refusal(host) or "")


@pytest.mark.parametrize(
    "host",
    [
        "a" * 49 + ("." + "b" * 50) * 4,
        "a" * 63 + ".example",
        "a.b",
        "1.example",
        "x.1a",
        "x.0xg",
        "_dmarc.example",
        "x.y_",
    ],
)
def test_host_at_the_limit_of_the_rules_is_allowed(host):
    assert PUBLIC_ONLY.host_refusal(host) is None


def test_refusal_shows_at_most_eighty_characters_of_a_host():
    assert len(PUBLIC_ONLY.host_refusal("!" * 200) or "") < 110
    assert len(PUBLIC_ONLY.address_refusal("!" * 200) or "") < 140


def test_default_policy_opens_nothing():
    policy = AddressPolicy()
    assert policy.plain_http is False
    assert policy.loopback is False
    assert AddressPolicy(plain_http=True).target_refusal("ftp", "example.com", 80) == "scheme 'ftp' is not open"
    assert AddressPolicy(ports={1, 65535}).ports == {1, 65535}
    assert AddressPolicy(networks=(IPv4Network("10.0.0.0/8"),)).address_refusal("10.1.1.1") is None


def test_policy_may_list_ipv4_and_ipv6_networks():
    policy = AddressPolicy(networks=("10.0.0.0/8", "fd00::/8"))
    assert policy.address_refusal("10.0.0.1") is None
    assert policy.address_refusal("fd00::1") is None
    assert policy.address_refusal("::10.0.0.1") == "address ::10.0.0.1 is closed (outside 2000::/3)"


def test_loopback_policy_opens_localhost():
    assert LOOPBACK_OPEN.target_refusal("http", "localhost", 8000) is None
    assert LOOPBACK_OPEN.host_refusal("a.localhost") is None
    assert LOOPBACK_OPEN.host_refusal("a.local") == "host 'a.local' is not in the public DNS"


@pytest.mark.parametrize(
    ("scheme", "port", "open_"),
    [
        ("https", 443, True),
        ("https", 80, False),
        ("https", 22, False),
        ("https", 0, False),
        ("https", 1023, False),
        ("https", 1024, True),
        ("https", 8443, True),
        ("https", 65535, True),
        ("https", 65536, False),
        ("https", 6379, False),
        ("https", 11211, False),
        ("http", 80, True),
        ("http", 443, False),
    ],
)
def test_common_and_high_ports_are_open(scheme, port, open_):
    policy = AddressPolicy(plain_http=True)
    assert (policy.target_refusal(scheme, "example.com", port) is None) == open_


# Ports above 1023 that browsers refuse (Fetch, "bad port"), and ports of stores that read lines of text.
PORTS_OF_OTHER_SERVICES = {
    1719,
    1720,
    1723,
    2049,
    3306,
    3659,
    4045,
    4190,
    5060,
    5061,
    5432,
    6000,
    6379,
    6566,
    6665,
    6666,
    6667,
    6668,
    6669,
    6679,
    6697,
    10080,
    11211,
}


def test_high_ports_are_open_except_those_of_other_services():
    closed = {port for port in range(1024, 65536) if PUBLIC_ONLY.port_refusal("https", port) is not None}
    assert closed == PORTS_OF_OTHER_SERVICES
    assert [port for port in range(1024) if PUBLIC_ONLY.port_refusal("https", port) is None] == [443]
    assert [port for port in range(1024) if PUBLIC_ONLY.port_refusal("http", port) is None] == [80]


def test_policy_opens_and_closes_ports():
    assert AddressPolicy(ports={81}).port_refusal("https", 81) is None
    assert AddressPolicy(ports={6379}).port_refusal("https", 6379) is None
    assert AddressPolicy(high_ports=False).port_refusal("https", 8443) == "port 8443 is not open for https"


@pytest.mark.parametrize("scheme", ["http", "ftp", "file", "HTTPS", ""])
def test_only_https_is_open_by_default(scheme):
    assert PUBLIC_ONLY.target_refusal(scheme, "example.com", 443) == f"scheme {scheme!r} is not open"


def test_equal_policies_are_equal_keys():
    assert AddressPolicy(networks=("10.0.0.0/8",)) == AddressPolicy(networks=("10.0.0.0/8",))
    assert len({PUBLIC_ONLY, AddressPolicy(), LOOPBACK_OPEN}) == 2
