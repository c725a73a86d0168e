"""Decide where a request may go: the address policy for names, ports and addresses.

A federated server fetches URLs that strangers choose, so apcore must decide itself which addresses belong to the public
Internet. It does so twice: before the name is resolved (`AddressPolicy.target_refusal`: scheme, spelling of the host,
port), and for every resolved address (`AddressPolicy.address_refusal`). The transport calls the latter again for the
peer that it is connected to. Everything here is a pure function of text. A refusal is a sentence for the log, and None
means allowed.

The tables are apcore's own. The standard library's `is_global` and `is_private` changed their answers between patch
releases, so only its parser is used, which is strict (four decimal parts without leading zeros for IPv4). For IPv6 the
table lists the *open* range: 2000::/3 without a few blocks. A range that is assigned elsewhere later stays closed until
the table is changed.

An address can contain another one. Mapped (::ffff:0:0/96) and NAT64 (64:ff9b::/96) addresses are only another spelling
of an IPv4 address, and are checked as that address: on a network with NAT64 every IPv4 host has one. 6to4, Teredo,
IPv4-compatible and IPv4-translated addresses lead through obsolete relays, and are closed. If an operator opens such a
network, the addresses inside are checked too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

from attrs import field, frozen

__all__ = ["LOOPBACK_OPEN", "PUBLIC_ONLY", "AddressPolicy", "IpAddress", "IpNetwork", "parse_ip"]

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

_CLOSED_V4: Final = tuple(
    (IPv4Network(network), range_name)
    for network, range_name in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared address space"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "AMT"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "AS112"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_OPEN_V6: Final = IPv6Network("2000::/3")
_CLOSED_V6: Final = tuple(
    (IPv6Network(network), range_name)
    for network, range_name in (
        # The first four are outside 2000::/3 and thus closed anyway; an entry here makes a better log line.
        ("::1/128", "loopback"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "protocol assignments"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "AS112"),
        ("3fff::/20", "documentation"),
    )
)
# The addresses at which the host of a virtual machine serves credentials to its guest. One of them is public, and an
# operator who opens the network around another one hardly intends to open it. So each is open only if it is listed
# alone.
_METADATA: Final = frozenset(
    {
        IPv4Address("100.100.100.200"),
        IPv4Address("168.63.129.16"),
        IPv4Address("169.254.169.254"),
        IPv4Address("169.254.170.2"),
        IPv6Address("fd00:ec2::254"),
    }
)
_LOOPBACK_V4: Final = IPv4Network("127.0.0.0/8")
_LOOPBACK_V6: Final = IPv6Address("::1")
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1
_TRANSLATED: Final = IPv6Network("::ffff:0:0:0/96")  # RFC 2765 §2.1
_COMPATIBLE: Final = IPv6Network("::/96")  # RFC 4291 §2.5.5.1

# Names that are not in the public DNS: RFC 6761, 6762, 7686, 8375, 9476, ICANN's .internal, and the inventions of
# routers.
_CLOSED_SUFFIXES: Final = frozenset(
    {
        "alt", "corp", "home", "home.arpa", "i2p", "internal", "intranet", "lan", "local", "localdomain",
        "localhost", "onion", "private",
    }
)  # fmt: skip
_ADDRESS_CHARS_MAX: Final = 45
"""The longest spelling of an address: IPv6 with an IPv4 address at its end."""
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")

_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
# Services above port 1023 that a request could be made to talk to: those that browsers refuse, and stores that read
# text lines.
_NO_HTTP_THERE: Final = frozenset(
    {
        1719, 1720, 1723, 2049, 3306, 3659, 4045, 4190, 5060, 5061, 5432, 6000, 6379, 6566, 6665, 6666, 6667, 6668,
        6669, 6679, 6697,
        10080, 11211,
    }
)  # fmt: skip


def parse_ip(text: str) -> IpAddress | None:
    """Parse an address in its strict spelling, without brackets. Return None if it is invalid or has a zone id."""
    return None if "%" in text or len(text) > _ADDRESS_CHARS_MAX else _parsed_ip(text)


# One exchange looks at the same address up to nine times.
@lru_cache(maxsize=512)
def _parsed_ip(text: str) -> IpAddress | None:
    try:
        return IPv6Address(text) if ":" in text else IPv4Address(text)
    except AddressValueError:
        return None


def _networks(networks: Iterable[str | IpNetwork]) -> tuple[IpNetwork, ...]:
    """Parse CIDR notation. `ValueError` if host bits are set, since that is usually a typing error."""
    return tuple(ip_network(network) if isinstance(network, str) else network for network in networks)


def _hosts(hosts: Iterable[str]) -> frozenset[str]:
    names = frozenset(name.lower() for name in hosts)
    for name in names:
        if not name.isascii() or not name or name.startswith(("[", "*")) or parse_ip(name) is not None:
            raise ValueError(f"hosts takes exact names as A-labels, not {name!r}; addresses go into networks")
    return names


def _ports(numbers: Iterable[int]) -> frozenset[int]:
    ports = frozenset(numbers)
    for port in ports:
        if not 1 <= port <= 65535:
            raise ValueError(f"ports are between 1 and 65535, not {port!r}")
    return ports


@frozen(kw_only=True)
class AddressPolicy:
    """The allowed destinations of requests.

    The default is the public Internet over HTTPS; everything else is opened by name.

    The value travels with each `Request`, and is part of the key under which a transport pools connections: a
    connection that one policy allowed is never reused under another. Invalid networks, hosts and ports are
    `ValueError`.
    """

    plain_http: bool = False
    """Whether `http` URLs may be fetched at all."""
    loopback: bool = False
    """Whether 127.0.0.0/8, ::1, `localhost` and names below it are open, for development and tests."""
    networks: tuple[IpNetwork, ...] = field(default=(), converter=_networks)
    """Networks that are open although they are not public. Strings in CIDR notation are parsed. A metadata service is
    opened only by a network of one address.
    """
    hosts: frozenset[str] = field(default=frozenset(), converter=_hosts)
    """Exact names that the operator trusts: neither their form nor their addresses are checked."""
    high_ports: bool = True
    """Whether ports from 1024 up are open, except those of well-known services that do not speak HTTP."""
    ports: frozenset[int] = field(default=frozenset(), converter=_ports)
    """Further ports that are open, whatever their number."""

    def target_refusal(self, scheme: str, host: str, port: int) -> str | None:
        """Return the reason not to send there, judged by the URL alone; None if it is allowed.

        Args:
            scheme: In lower case.
            host: In lower case, an A-label name or an address; IPv6 with or without brackets.
            port: The effective port.
        """
        if scheme != "https" and not (scheme == "http" and self.plain_http):
            return f"scheme {scheme!r} is not open"
        return self.port_refusal(scheme, port) or self.host_refusal(host)

    def port_refusal(self, scheme: str, port: int) -> str | None:
        """Return the reason why the port is closed; None if it is open."""
        if port == _DEFAULT_PORTS.get(scheme) or port in self.ports:
            return None
        if self.high_ports and 1024 <= port <= 65535 and port not in _NO_HTTP_THERE:
            return None
        return f"port {port} is not open for {scheme}"

    def host_refusal(self, host: str) -> str | None:
        """Return the reason not to resolve or connect to the host, a name or an address; None if it is allowed."""
        if host in self.hosts:
            return None
        if host.startswith("[") or ":" in host:
            return self.address_refusal(host.removeprefix("[").removesuffix("]"))
        if parse_ip(host) is not None:
            return self.address_refusal(host)
        return _name_refusal(host, loopback=self.loopback)

    def address_refusal(self, address: str, *, host: str = "") -> str | None:
        """Return the reason not to connect to this address; None if it is allowed.

        Args:
            address: As the resolver or the socket returned it.
            host: The name that was resolved. A name that the operator trusts opens all its addresses.
        """
        parsed = parse_ip(address)
        if parsed is None:
            # This includes a zone id: it names an interface of this machine, so it cannot come from a public resolver.
            return f"{address[:80]!r} is not an address, or has a zone id"
        if host and host in self.hosts:
            return None
        for held_address in _held_addresses(parsed):
            if (range_name := self._closed(held_address)) is not None:
                return f"address {address} is closed ({range_name})"
        return None

    def _closed(self, address: IpAddress) -> str | None:
        """Return the name of the closed range that contains the address; None if it is open, or was opened."""
        opened = [network for network in self.networks if network.version == address.version and address in network]
        if address in _METADATA:
            alone = any(network.prefixlen == network.max_prefixlen for network in opened)
            return None if alone else "metadata service"
        if opened or (self.loopback and _is_loopback(address)):
            return None
        if isinstance(address, IPv4Address):
            return next((range_name for network, range_name in _CLOSED_V4 if address in network), None)
        closed = next((range_name for network, range_name in _CLOSED_V6 if address in network), None)
        return closed or (None if address in _OPEN_V6 else "outside 2000::/3")


def _is_loopback(address: IpAddress) -> bool:
    return address in _LOOPBACK_V4 if isinstance(address, IPv4Address) else address == _LOOPBACK_V6


def _held_addresses(address: IpAddress) -> Iterator[IpAddress]:
    """Yield every address that must be open for this one to be open.

    These are the address itself, unless it only spells an IPv4 address, and the addresses inside it.
    """
    if isinstance(address, IPv4Address):
        yield address
        return
    packed = address.packed
    if address.ipv4_mapped is not None or address in _NAT64:
        yield IPv4Address(packed[12:])
        return
    yield address
    if packed[:2] == b"\x20\x02":  # 6to4: RFC 3056 §2
        yield IPv4Address(packed[2:6])
    elif packed[:4] == b"\x20\x01\x00\x00":  # Teredo: RFC 4380 §4; the server, and the client with its bits inverted
        yield IPv4Address(packed[4:8])
        yield IPv4Address(bytes(octet ^ 0xFF for octet in packed[12:]))
    elif address in _TRANSLATED or (address in _COMPATIBLE and int(address) > 1):  # :: and ::1 contain no other address
        yield IPv4Address(packed[12:])


def _name_refusal(host: str, *, loopback: bool) -> str | None:
    quoted_host = repr(host[:80])
    if not host or len(host) > 253:
        return f"host of {len(host)} characters is not between 1 and 253"
    if host.endswith("."):
        # An absolute name is another spelling of the same host, with another origin, certificate and block list entry.
        return f"host {quoted_host} ends in a dot"
    labels = host.split(".")
    if any(_LABEL.fullmatch(label) is None for label in labels):
        return f"host {quoted_host} is not a host name"
    if _NUMBER.fullmatch(labels[-1]) is not None:
        # `inet_aton` takes every name that ends in a number for an address: decimal, octal, hexadecimal and short
        # forms.
        return f"host {quoted_host} is an address in an odd spelling"
    if labels[-1] == "localhost" and loopback:
        return None
    if labels[-1] in _CLOSED_SUFFIXES or ".".join(labels[-2:]) in _CLOSED_SUFFIXES:
        return f"host {quoted_host} is not in the public DNS"
    if len(labels) == 1:
        return f"host {quoted_host} is a single label"
    return None


PUBLIC_ONLY: Final = AddressPolicy()
"""The public Internet over HTTPS: the policy of every request that sets no other."""

LOOPBACK_OPEN: Final = AddressPolicy(plain_http=True, loopback=True)
"""The public Internet and this machine, with plain HTTP: for development and tests, never for a node that strangers can
reach.
"""
