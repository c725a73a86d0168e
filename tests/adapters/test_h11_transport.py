"""Check the h11 transports beyond the conformance suite: TLS, pools, happy eyeballs, fork, cancellation, resolution."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
from contextlib import contextmanager

import pytest
import trustme
from attrs import evolve

from apcore.adapters.h11 import AsyncH11Transport, H11Transport, PoolBounds, system_resolver
from apcore.adapters.h11.connection_parties import Shared
from apcore.adapters.h11.conversation import Connect, Read, Resolve, Write, converse
from apcore.adapters.h11.pool import Connection, IdlePool, PoolKey
from apcore.adapters.h11.resolver import HOSTS_BYTES_MAX, ResolverThreads, SystemResolver
from apcore.errors import AddressBlocked, ConnectFailed, FetchTimedOut, ProtocolFailed, TlsFailed
from apcore.http import DELIVERY_LIMITS, LOOPBACK_OPEN, PUBLIC_ONLY, AddressPolicy, Origin, Request, TransportLimits
from apcore.testing.loopback import ScriptedServer, answer_with

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LOOPBACK = ("127.0.0.1",)


def resolve_to_loopback(_host):
    return LOOPBACK


class AsyncAsBlocking:
    """Run each exchange of an `AsyncH11Transport` in a loop of its own. Its connections outlive loops."""

    def __init__(self, **options):
        self.transport = AsyncH11Transport(**options)

    @property
    def checks_addresses(self):
        return self.transport.checks_addresses

    def send(self, request):
        return asyncio.run(self.transport.send(request))

    def close(self):
        asyncio.run(self.transport.aclose())


@pytest.fixture(params=[H11Transport, AsyncAsBlocking], ids=["blocking", "asyncio"])
def transport_type(request):
    return request.param


@contextmanager
def open_transport(transport_type, **options):
    transport = transport_type(**{"resolver": resolve_to_loopback, **options})
    try:
        yield transport
    finally:
        transport.close()


def get(server, *, scheme="http", host="peer.example", limits=None, method="GET"):
    return Request(
        method, f"{scheme}://{host}:{server.port}/", limits=limits or TransportLimits(), addresses=LOOPBACK_OPEN
    )


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def client_tls(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def tls_script(authority, script, *names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(names or ("peer.example",))).configure_cert(context)

    def run_over_tls(peer):
        peer.wrap(lambda sock: context.wrap_socket(sock, server_side=True))
        script(peer)

    return run_over_tls


def test_tls_exchanges_share_a_connection(transport_type, authority, client_tls):
    script = tls_script(authority, answer_with(OK, OK))
    with ScriptedServer(script) as server, open_transport(transport_type, tls=client_tls) as transport:
        for _ in range(2):
            assert transport.send(get(server, scheme="https")).body == b"ok"
        assert server.connections == 1


def test_tls_carries_large_bodies_both_ways(transport_type, authority, client_tls):
    body = bytes(range(256)) * 4000

    def echo(peer):
        sent = peer.read_request().body
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(sent), sent))

    with (
        ScriptedServer(tls_script(authority, echo)) as server,
        open_transport(transport_type, tls=client_tls) as transport,
    ):
        assert transport.send(evolve(get(server, scheme="https", method="POST"), body=body)).body == body


@pytest.mark.parametrize("names", [("other.example",), ("*.peer.example",), ("127.0.0.1",)], ids=str)
def test_certificate_for_another_name_is_refused(transport_type, authority, client_tls, names):
    script = tls_script(authority, answer_with(OK), *names)
    with ScriptedServer(script) as server, open_transport(transport_type, tls=client_tls) as transport:
        with pytest.raises(TlsFailed, match=r"peer\.example.*certificate verify failed"):
            transport.send(get(server, scheme="https"))
        assert server.seen == []


def test_unknown_authority_is_refused_by_default(transport_type, authority):
    with (
        ScriptedServer(tls_script(authority, answer_with(OK))) as server,
        open_transport(transport_type) as transport,
        pytest.raises(TlsFailed, match="certificate verify failed"),
    ):
        transport.send(get(server, scheme="https"))


def test_ip_literal_needs_a_certificate_for_that_address(transport_type, authority, client_tls):
    script = tls_script(authority, answer_with(OK), "127.0.0.1")
    with ScriptedServer(script) as server, open_transport(transport_type, tls=client_tls) as transport:
        assert transport.send(get(server, scheme="https", host="127.0.0.1")).body == b"ok"


def test_plain_text_from_a_tls_port_is_a_tls_failure(transport_type, client_tls):
    with (
        ScriptedServer(lambda peer: peer.send(OK * 10)) as server,
        open_transport(transport_type, tls=client_tls) as transport,
        pytest.raises(TlsFailed),
    ):
        transport.send(get(server, scheme="https"))


def test_connection_closed_during_the_handshake_is_a_connection_failure(transport_type, client_tls):
    with (
        ScriptedServer(lambda peer: peer.close()) as server,
        open_transport(transport_type, tls=client_tls) as transport,
        pytest.raises(ConnectFailed, match=r"peer\.example"),
    ):
        transport.send(get(server, scheme="https"))


def test_body_that_ends_without_a_tls_close_counts_as_truncated(transport_type, authority, client_tls):
    # Without Content-Length, only the TLS close marks the end of the body. A bare FIN may come from an attacker.
    script = tls_script(authority, answer_with(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of it"))
    with ScriptedServer(script) as server, open_transport(transport_type, tls=client_tls) as transport:
        with pytest.raises(ProtocolFailed, match="broke off"):
            transport.send(get(server, scheme="https"))
        assert transport.send(get(server, scheme="https", limits=DELIVERY_LIMITS)).truncated


def test_body_that_ends_with_a_tls_close_is_complete(transport_type, authority, client_tls):
    def close_tls(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it")
        peer._sock.unwrap()

    with (
        ScriptedServer(tls_script(authority, close_tls)) as server,
        open_transport(transport_type, tls=client_tls) as transport,
    ):
        assert transport.send(get(server, scheme="https")).body == b"all of it"


# --- pooling ---------------------------------------------------------------------------------------------------------


def test_idle_connections_are_reused_up_to_the_bound(transport_type):
    with (
        ScriptedServer(answer_with(OK, OK, OK)) as server,
        open_transport(transport_type, pool=PoolBounds(idle_max=1)) as transport,
    ):
        for host in ("a.example", "a.example", "b.example", "a.example"):
            assert transport.send(get(server, host=host)).body == b"ok"
        assert server.connections == 3


def test_pool_of_size_zero_keeps_no_connection(transport_type):
    with (
        ScriptedServer(answer_with(OK, OK)) as server,
        open_transport(transport_type, pool=PoolBounds(idle_max=0)) as transport,
    ):
        for _ in range(2):
            transport.send(get(server))
        assert server.connections == 2


@pytest.mark.parametrize("bound", ["idle_max", "idle_per_origin_max", "idle_s"])
def test_negative_pool_bounds_are_refused(bound):
    with pytest.raises(ValueError, match=bound):
        PoolBounds(**{bound: -1})


@pytest.mark.parametrize("threads", [0, 257])
def test_number_of_resolver_threads_outside_its_range_is_refused(transport_type, threads):
    with pytest.raises(ValueError, match="resolver_threads_max"):
        transport_type(resolver_threads_max=threads)


@contextmanager
def socket_pairs(count):
    ends = [socket.socketpair() for _ in range(count)]
    try:
        yield [Connection(client) for client, _ in ends], [server for _, server in ends]
    finally:
        for pair in ends:
            for end in pair:
                end.close()


def key(host="a.example", policy=PUBLIC_ONLY):
    return PoolKey(Origin("https", host, 443), policy)


def is_closed(connection):
    return connection.sock.fileno() == -1


def test_pool_returns_the_newest_connection_of_the_key():
    pool = IdlePool(idle_max=9, idle_per_origin_max=9, idle_s=10)
    with socket_pairs(3) as ((first, second, other), _):
        for connection in (first, second):
            pool.put(key(), connection, 0)
        pool.put(key("b.example"), other, 0)
        assert pool.take(key(policy=LOOPBACK_OPEN), 0) is None
        assert pool.take(PoolKey(Origin("http", "a.example", 443), PUBLIC_ONLY), 0) is None
        assert (pool.take(key(), 0), pool.take(key(), 0), pool.take(key(), 0)) == (second, first, None)
        assert first.reused
        assert len(pool) == 1
        assert "plain" in repr(other)


def test_pool_closes_old_stale_and_surplus_connections():
    pool = IdlePool(idle_max=3, idle_per_origin_max=2, idle_s=10)
    with socket_pairs(6) as ((old, surplus, idle, other, chatty, hung_up), server_ends):
        pool.put(key("z.example"), old, 0)
        for connection in (surplus, idle, hung_up):
            pool.put(key(), connection, 1)
        assert is_closed(surplus)
        pool.put(key("b.example"), other, 11)
        assert is_closed(old)
        server_ends[5].close()
        assert pool.take(key(), 11) is idle
        assert is_closed(hung_up)
        pool.put(key("c.example"), chatty, 11)
        server_ends[4].send(b"an unexpected response")
        assert pool.take(key("c.example"), 11) is None
        assert is_closed(chatty)
        assert pool.take(key("b.example"), 22) is None
        assert is_closed(other)


def test_closed_pool_closes_returned_connections():
    pool = IdlePool(idle_max=3, idle_per_origin_max=2, idle_s=10)
    with socket_pairs(2) as ((idle, late), _):
        pool.put(key(), idle, 0)
        pool.shut()
        pool.put(key(), late, 0)
        assert is_closed(idle)
        assert is_closed(late)


# --- connecting ------------------------------------------------------------------------------------------------------


def steps_of(request, **options):
    shared = Shared(options.get("resolver", resolve_to_loopback), None, PoolBounds(), 1, "test")
    return converse(request, shared.party())


REQUEST = Request("GET", "http://peer.example:8080/", addresses=LOOPBACK_OPEN)


def test_address_families_alternate_and_addresses_are_bounded():
    steps = steps_of(REQUEST)
    assert isinstance(next(steps), Resolve)
    connect = steps.send(["127.0.0.1", "127.0.0.2", "127.0.0.3", "::1", "::ffff:127.0.0.4"])
    assert isinstance(connect, Connect)
    assert connect.addresses == ("127.0.0.1", "::1", "127.0.0.2", "::ffff:127.0.0.4", "127.0.0.3")
    steps.close()
    steps = steps_of(REQUEST)
    next(steps)
    assert len(steps.send([f"127.0.0.{number}" for number in range(1, 200)]).addresses) == 8
    steps.close()


class ConnectedSocket(socket.socket):
    """A socket with a chosen peer name."""

    name = ("127.0.0.1", 8080)

    def getpeername(self):
        if isinstance(self.name, OSError):
            raise self.name
        return self.name


@pytest.mark.hole(24)
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (("10.0.0.1", 8080), AddressBlocked),
        (("127.0.0.2", 8080), AddressBlocked),
        (("::1", 8080, 0, 0), AddressBlocked),
        (("127.0.0.1", 8080, 0, 3), AddressBlocked),
        (("127.0.0.1%eth0", 8080, 0, 0), AddressBlocked),
        ("/run/other.sock", AddressBlocked),
        (b"\0abstract", AddressBlocked),
        (OSError(107, "not connected"), ConnectFailed),
    ],
    ids=str,
)
def test_connection_to_another_address_is_closed_before_the_first_byte(name, kind):
    steps = steps_of(REQUEST)
    next(steps)
    assert isinstance(steps.send(LOOPBACK), Connect)
    sock = ConnectedSocket()
    sock.name = name
    with pytest.raises(kind, match=r"peer\.example:8080"):
        steps.send(sock)
    assert sock.fileno() == -1


def test_connection_to_the_resolved_address_gets_the_request():
    steps = steps_of(REQUEST)
    next(steps)
    steps.send(["::ffff:127.0.0.1"])
    sock = ConnectedSocket()
    sock.name = ("::ffff:127.0.0.1", 8080, 0, 0)
    write = steps.send(sock)
    assert isinstance(write, Write)
    assert isinstance(steps.send(None), Read)
    steps.close()
    assert sock.fileno() == -1


def test_refused_addresses_do_not_delay_the_working_one(transport_type, monkeypatch):
    # A wait for any of the refused addresses would exceed the deadline.
    for driver in ("blocking", "asynchronous"):
        monkeypatch.setattr(f"apcore.adapters.h11.{driver}.ATTEMPT_DELAY_S", 60.0)
    with (
        ScriptedServer(answer_with(OK)) as server,
        open_transport(
            transport_type, resolver=lambda _: [f"127.0.1.{n}" for n in range(1, 8)] + ["127.0.0.1"]
        ) as transport,
    ):
        assert transport.send(get(server, limits=TransportLimits(deadline_s=30))).body == b"ok"


@contextmanager
def silent_address(port):
    """Make 127.0.0.3 silent: a listener with a full queue drops connections."""
    with socket.create_server(("127.0.0.3", port), backlog=0):
        sockets = [socket.socket() for _ in range(4)]
        for sock in sockets:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.3", port))
        try:
            yield
        finally:
            for sock in sockets:
                sock.close()


def test_silent_address_delays_the_next_one_only_briefly(transport_type):
    with (
        ScriptedServer(answer_with(OK)) as server,
        silent_address(server.port),
        open_transport(transport_type, resolver=lambda _: ["127.0.0.3", "::1", "127.0.0.1"]) as transport,
    ):
        assert transport.send(get(server, limits=TransportLimits(connect_s=5, deadline_s=5))).body == b"ok"


def test_silent_address_is_given_up_at_the_connect_limit(transport_type):
    with (
        ScriptedServer(answer_with(OK)) as server,
        silent_address(server.port),
        open_transport(transport_type, resolver=lambda _: ["127.0.0.3"]) as transport,
        pytest.raises(FetchTimedOut, match="not connected within"),
    ):
        transport.send(get(server, limits=TransportLimits(connect_s=0.1)))


def test_response_is_read_although_the_request_was_not_fully_sent():
    steps = steps_of(evolve(REQUEST, method="POST", body=b"x"))
    next(steps)
    steps.send(LOOPBACK)
    with ConnectedSocket() as sock:
        assert isinstance(steps.send(sock), Write)
        assert isinstance(steps.throw(BrokenPipeError()), Read)
        with pytest.raises(StopIteration) as stop:
            steps.send(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        assert stop.value.value.status == 413


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ConnectionResetError(), ConnectFailed), (TimeoutError(), FetchTimedOut)],
    ids=["reset", "timeout"],
)
def test_broken_handshake_is_a_connect_failure_or_timeout(error, kind):
    steps = steps_of(evolve(REQUEST, url="https://peer.example:8080/"))
    next(steps)
    steps.send(LOOPBACK)
    with ConnectedSocket() as sock:
        assert steps.send(sock).data.startswith(b"\x16\x03\x01")
        assert isinstance(steps.send(None), Read)
        with pytest.raises(kind, match=r"peer\.example:8080"):
            steps.throw(error)
        assert sock.fileno() == -1


def test_connecting_has_its_own_time_limit(transport_type):
    answered = threading.Event()
    with (
        ScriptedServer(answer_with(OK)) as server,
        open_transport(transport_type, resolver=lambda _: answered.wait(10) and LOOPBACK) as transport,
    ):
        with pytest.raises(FetchTimedOut, match=r"peer\.example:\d+: not connected within 0\.1 s \(connect_s\)"):
            transport.send(get(server, limits=TransportLimits(connect_s=0.1)))
        answered.set()


def test_bug_in_a_resolver_is_not_reported_as_a_network_failure(transport_type):
    def broken(_):
        raise KeyError("a bug")

    with open_transport(transport_type, resolver=broken) as transport, pytest.raises(KeyError):
        transport.send(REQUEST)


def test_hung_resolution_times_out_and_queued_names_are_withdrawn(transport_type):
    # The only thread hangs: the next name times out too, and is withdrawn from the queue.
    hung = threading.Event()
    resolved_hosts = []

    def resolver(host):
        resolved_hosts.append(host)
        hung.wait(10)
        return LOOPBACK

    with open_transport(transport_type, resolver=resolver, resolver_threads_max=1) as transport:
        for host in ("a.example", "b.example"):
            with pytest.raises(FetchTimedOut):
                transport.send(Request("GET", f"https://{host}/", limits=TransportLimits(deadline_s=0.1)))
        hung.set()
    assert resolved_hosts == ["a.example"]


# --- resolution ------------------------------------------------------------------------------------------------------


def test_localhost_resolves_without_the_system():
    assert system_resolver("localhost") == system_resolver("a.localhost") == ("127.0.0.1", "::1")


def test_qualified_names_are_resolved_absolutely_and_scopes_are_kept(monkeypatch):
    resolved_names = []

    def getaddrinfo(name, port, **_):
        resolved_names.append(name)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 0, 0, 3)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::2%3", 0, 0, 3)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2a00::1", 0, 0, 0)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert system_resolver("peer.example") == ("192.0.2.1", "fe80::1%3", "fe80::2%3", "2a00::1")
    system_resolver("backend")
    assert resolved_names == ["peer.example.", "backend"]


class GlibcNames:
    """A `getaddrinfo` that behaves like that of glibc.

    A name with a final dot goes to the name servers alone, any other to the hosts file and through the search list.
    """

    def __init__(self, hosts, zone, *, search=(), ndots=1):
        self.hosts, self.zone, self.search, self.ndots = hosts, zone, search, ndots
        self.queries = []

    def getaddrinfo(self, name, port, **_):
        for candidate in self._candidates(name):
            if candidate in self.hosts and not name.endswith("."):
                return self._answer(self.hosts[candidate])
            self.queries.append(candidate)
            if candidate in self.zone:
                return self._answer(self.zone[candidate])
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def _candidates(self, name):
        if name.endswith("."):
            return [name[:-1]]
        searched = [f"{name}.{domain}" for domain in self.search]
        return [name, *searched] if name.count(".") >= self.ndots else [*searched, name]

    def _answer(self, address):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))]


ZONE = {
    "public.example": "198.51.100.1",
    "public.example.cluster.local": "10.0.0.66",
    "only.example.cluster.local": "10.0.0.67",
}
NDOTS = {"ndots 1": 1, "ndots 5, as in Kubernetes": 5}


@pytest.mark.parametrize("ndots", NDOTS.values(), ids=NDOTS)
def test_search_list_never_answers_for_a_qualified_name(tmp_path, ndots):
    system = GlibcNames({}, ZONE, search=["cluster.local"], ndots=ndots)
    resolve = SystemResolver(hosts_file=tmp_path / "hosts", getaddrinfo=system.getaddrinfo)
    assert resolve("public.example") == ("198.51.100.1",)
    with pytest.raises(socket.gaierror):
        resolve("only.example")
    assert system.queries == ["public.example", "only.example"]


def test_names_in_the_hosts_file_need_no_query(tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text(
        "# written by Docker\n"
        "127.0.0.1 localhost\n"
        "172.17.0.1\tpeer.example  Other.Example. # extra_hosts\n"
        "nonsense public.example\n"
        "fe80::1%eth0 peer.example\n"
        "2a00::1 peer.example peer.example\n"
        "198.51.100.9\n"
    )
    system = GlibcNames({}, ZONE)
    resolve = SystemResolver(hosts_file=hosts, getaddrinfo=system.getaddrinfo)
    assert resolve("peer.example") == ("172.17.0.1", "fe80::1%eth0", "2a00::1")
    assert resolve("other.example") == resolve("OTHER.example") == ("172.17.0.1",)
    assert system.queries == []
    assert resolve("public.example") == ("198.51.100.1",)


def test_changed_hosts_file_is_read_again(tmp_path):
    hosts = tmp_path / "hosts"
    resolve = SystemResolver(hosts_file=hosts, getaddrinfo=GlibcNames({}, ZONE).getaddrinfo)
    assert resolve("public.example") == ("198.51.100.1",)  # there is no file yet
    for address in ("10.0.0.1", "10.0.0.22"):
        hosts.write_text(f"{address} public.example\n")
        assert resolve("public.example") == (address,)
    hosts.unlink()
    assert resolve("public.example") == ("198.51.100.1",)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00 x\n", b"\x00" * 100, None], ids=["no text", "zeroes", "a directory"]
)
def test_unreadable_hosts_file_is_ignored(tmp_path, content):
    hosts = tmp_path / "hosts"
    if content is None:
        hosts.mkdir()
    else:
        hosts.write_bytes(content)
    resolve = SystemResolver(hosts_file=hosts, getaddrinfo=GlibcNames({}, ZONE).getaddrinfo)
    assert resolve("public.example") == ("198.51.100.1",)


def test_only_the_first_bytes_of_a_long_hosts_file_are_read(tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_bytes(b"10.0.0.1 near.example\n" + b"#" * HOSTS_BYTES_MAX + b"\n10.0.0.2 public.example\n")
    resolve = SystemResolver(hosts_file=hosts, getaddrinfo=GlibcNames({}, ZONE).getaddrinfo)
    assert (resolve("near.example"), resolve("public.example")) == (("10.0.0.1",), ("198.51.100.1",))


def test_name_without_a_dot_is_resolved_by_the_system(tmp_path):
    system = GlibcNames({"backend": "10.0.0.5"}, ZONE)
    resolve = SystemResolver(hosts_file=tmp_path / "hosts", getaddrinfo=system.getaddrinfo)
    assert resolve("backend") == ("10.0.0.5",)


def test_address_from_the_hosts_file_is_checked_by_the_policy(transport_type, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 peer.example\n")
    with (
        ScriptedServer(answer_with(OK)) as server,
        open_transport(transport_type, resolver=SystemResolver(hosts_file=hosts)) as transport,
    ):
        closed = AddressPolicy(plain_http=True, ports={server.port})
        with pytest.raises(AddressBlocked, match="loopback"):
            transport.send(evolve(get(server), addresses=closed))
        assert transport.send(get(server)).status == 200


def test_resolver_threads_start_again_after_closing():
    threads = ResolverThreads(resolve_to_loopback, threads_max=1)
    threads.close()
    for _ in range(2):
        assert threads.submit("x").result(5) == LOOPBACK
        threads.close()


# --- policy and loops ------------------------------------------------------------------------------------------------


def test_transport_declares_that_it_checks_addresses(transport_type):
    with open_transport(transport_type) as transport:
        assert transport.checks_addresses == "enforced"


def test_listed_host_reaches_its_private_address(transport_type):
    policy = AddressPolicy(plain_http=True, hosts={"backend"})
    with ScriptedServer(answer_with(OK)) as server, open_transport(transport_type) as transport:
        assert transport.send(Request("GET", f"http://backend:{server.port}/", addresses=policy)).body == b"ok"


def test_cancellation_closes_the_connection():
    async def main(server):
        transport = AsyncH11Transport(resolver=resolve_to_loopback)
        reached = asyncio.Event()
        loop = asyncio.get_running_loop()
        is_closed = threading.Event()

        def script(peer):
            peer.read_request()
            loop.call_soon_threadsafe(reached.set)
            peer.hold()
            is_closed.set()

        server.script = script
        task = asyncio.create_task(transport.send(get(server)))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(is_closed.wait, 5)
        await transport.aclose()

    with ScriptedServer(answer_with()) as server:
        asyncio.run(main(server))


def test_child_closes_a_transport_whose_lock_was_held_at_the_fork():
    """Fork while another thread holds the lock of the idle pool, and close the transport in the child."""
    program = textwrap.dedent(
        """
        import os, signal, threading
        from apcore.adapters.h11 import H11Transport

        transport = H11Transport(resolver=lambda host: ("127.0.0.1",))
        held, release = threading.Event(), threading.Event()

        def hold():
            with transport._shared._pool._lock:
                held.set()
                release.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        if (child := os.fork()) == 0:
            signal.alarm(20)
            transport.close()
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        release.set()
        thread.join()
        transport.close()
        print(status)
        """
    )
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (completed.stdout, completed.returncode) == ("0\n", 0), completed.stderr


def test_child_after_fork_opens_its_own_connections(transport_type):
    program = textwrap.dedent(
        """
        import asyncio, os, sys
        from apcore.adapters.h11 import AsyncH11Transport, H11Transport
        from apcore.http import LOOPBACK_OPEN, Request

        request = Request("GET", sys.argv[1], addresses=LOOPBACK_OPEN)
        if sys.argv[2] == "H11Transport":
            transport = H11Transport(resolver=lambda host: ("127.0.0.1",))
            send = transport.send
        else:
            transport = AsyncH11Transport(resolver=lambda host: ("127.0.0.1",))
            send = lambda request: asyncio.run(transport.send(request))
        assert send(request).status == 200
        if (child := os.fork()) == 0:
            os._exit(0 if send(request).status == 200 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert send(request).status == 200
        print("done")
        """
    )
    with ScriptedServer(answer_with(OK, OK, OK)) as server:
        url = f"http://peer.example:{server.port}/"
        completed = subprocess.run(
            [sys.executable, "-c", program, url, transport_type.__name__],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (completed.stdout, completed.returncode) == ("done\n", 0), completed.stderr
        # The child opened one connection of its own; the parent reused its connection.
        assert (server.connections, len(server.seen)) == (2, 3)
