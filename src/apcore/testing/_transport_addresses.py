"""Check the addresses that a transport connects to."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Final

from apcore.errors import AddressBlocked, ConnectFailed, NameUnresolved
from apcore.http import LOOPBACK_OPEN, AddressPolicy, Request
from apcore.testing._transport_bench import LOCAL, OK, Bench, resolve_to
from apcore.testing.loopback import answer_with

__all__ = ["ADDRESSES"]

# --- addresses ------------------------------------------------------------------------------------------------------


def forbidden_addresses_are_refused(bench: Bench) -> None:
    """The default policy forbids loopback, private, link-local and other special addresses, in every spelling."""
    policy = AddressPolicy(plain_http=True)
    spellings = (
        "127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "::7f00:1", "2002:7f00:1::", "0.0.0.0",  # noqa: S104
        "10.0.0.1", "169.254.169.254",
        "168.63.129.16", "fe80::1", "fd00:ec2::254",
    )  # fmt: skip
    for spelling in spellings:
        bench.addresses = resolve_to((spelling,))
        bench.fails(AddressBlocked, bench.get(addresses=policy))
    assert bench.server.connections == 0, "a connection was made to a forbidden address"


def one_forbidden_address_refuses_the_name(bench: Bench) -> None:
    """A name with an open and a closed address is an attack: there is no connection."""
    for addresses in (
        ("127.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "fe80::1%1"),
        ("127.0.0.1", "nonsense"),
    ):
        bench.addresses = resolve_to(addresses)
        bench.fails(AddressBlocked)
    assert bench.server.connections == 0, "a connection was made although one address is forbidden"


def rebinding_finds_no_second_question(bench: Bench) -> None:
    """A name is resolved once per connection, and the checked address is the one that is connected to."""
    bench.addresses = lambda _: LOCAL if len(bench.resolved_hosts) == 1 else ("10.0.0.1",)
    assert bench.send(bench.get()).body == b"ok"
    assert bench.resolved_hosts == [bench.host], f"the name was resolved {len(bench.resolved_hosts)} times"
    bench.close()
    bench.fails(AddressBlocked)


def urls_are_judged_before_names_are_resolved(bench: Bench) -> None:
    """Schemes, ports and spellings that the policy refuses never reach the resolver."""
    urls = (
        "https://peer.example:22/", "http://peer.example/", "ftp://peer.example/", "file:///etc/passwd",
        "https://2130706433/", "https://0177.0.0.1/",
        "https://127.1/", "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:7f00:1]/",
        "https://localhost/", "https://localhost./",
        "https://x.internal/", "https://intranet/", "https://u:p@peer.example/", "https://peer.example./",
        "peer.example", "//peer.example/",
    )  # fmt: skip
    for url in urls:
        bench.fails(AddressBlocked, Request("GET", url))
    assert bench.resolved_hosts == [], f"resolved {bench.resolved_hosts}"


def connections_belong_to_their_policy(bench: Bench) -> None:
    """A connection that one policy allowed is not reused under another."""
    bench.serve(answer_with(OK, OK))
    assert bench.send(bench.get()).status == 200
    bench.fails(AddressBlocked, bench.get(addresses=AddressPolicy(plain_http=True)))
    assert len(bench.server.seen) == 1, "a request went over a connection that its policy forbids"


def names_without_addresses_fail(bench: Bench) -> None:
    """A resolver that finds nothing, or fails, is `NameUnresolved`."""

    def unknown(_: str) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    for resolver in (unknown, resolve_to(())):
        bench.addresses = resolver
        bench.fails(NameUnresolved)


def refused_connections_fail(bench: Bench) -> None:
    """A refused connection is `ConnectFailed`, after every address was tried."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound until the end, so that no other process listens there
        port = unused.getsockname()[1]
        bench.fails(ConnectFailed, Request("GET", f"http://{bench.host}:{port}/", addresses=LOOPBACK_OPEN))
    bench.addresses = resolve_to(("127.0.0.2", "127.0.0.1"))
    assert bench.send(bench.get()).body == b"ok"


ADDRESSES: Final = (
    forbidden_addresses_are_refused,
    one_forbidden_address_refuses_the_name,
    rebinding_finds_no_second_question,
    urls_are_judged_before_names_are_resolved,
    connections_belong_to_their_policy,
    names_without_addresses_fail,
    refused_connections_fail,
)
