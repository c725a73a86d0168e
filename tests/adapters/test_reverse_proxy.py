"""Two sites behind a real nginx federate under their own names, and forged headers reach no document.

The configuration is that of the documentation. ``APCORE_NGINX`` is the path of nginx, if it is not on the PATH.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection
from pathlib import Path
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apcore import Federation, Node
from apcore.adapters.memory import MemoryStore
from apcore.adapters.wsgi import wsgi_app
from apcore.cli.demo.servers import eventually, reserved_ports
from apcore.discovery import lookup
from apcore.http import Headers, Request, Response, parse_url
from apcore.remote import FetchPolicy
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Activity, Note, Person
from markdown_blocks import blocks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "handles-and-domains.md"
BAKERY, GARDEN, HANDLES = "https://bakery.example", "https://social.garden.example", "garden.example"
NAMES = {"bakery.example", "social.garden.example", HANDLES}
IDA, BEN = f"{BAKERY}/people/8", f"{GARDEN}/people/7"
USERNAMES = {"7": "ben", "8": "ida"}
ZOE = "https://remote.example/users/zoe"
EVIL = "evil.example"
NGINX = os.environ.get("APCORE_NGINX") or shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = pytest.mark.skipif(
    NGINX is None, reason="nginx is not installed, and APCORE_NGINX does not name it (Debian: apt install nginx)"
)


@frozen
class Proxy:
    """A connection to nginx under any name."""

    port: int
    context: ssl.SSLContext

    def ask(self, request: Request, *, name: str) -> Response:
        """Send a request to nginx over TLS, with ``name`` in the handshake."""
        url = parse_url(request.url)
        with socket.create_connection(("127.0.0.1", self.port), timeout=150) as raw:
            connection = HTTPSConnection(name, timeout=150)
            connection.sock = self.context.wrap_socket(raw, server_hostname=name)
            headers = request.headers if "host" in request.headers else request.headers.with_set("host", name)
            target = str(url.without_fragment()).removeprefix(str(url.origin))
            connection.request(request.method, target, request.body or None, dict(headers))
            answer = connection.getresponse()
            response = Response(answer.status, Headers(answer.getheaders()), answer.read())
            connection.close()
        return response


class Web(PeerNetwork):
    """A network in which the sites are behind nginx, and another server is in the process of the test."""

    proxy: Proxy

    def send(self, request: Request, /) -> Response:
        host = parse_url(request.url).origin.host
        return self.proxy.ask(request, name=host) if host in NAMES else super().send(request)


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *_arguments: Any) -> None:
        """Write nothing."""


def certificate(directory: Path) -> tuple[Path, Path]:
    """Write a certificate for all sites and its key, and return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in sorted(NAMES)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "site.pem", directory / "site.key"
    paths[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    encryption = serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    return paths


def configuration(directory: Path, port: int, backend_port: int, fields: str) -> str:
    """Return the configuration of the documentation, for these ports and the fields that the proxy writes."""
    [servers] = [block.text for block in blocks(PAGE, "nginx")]
    pem, key = certificate(directory)
    for documented, value in {
        "listen 443": f"listen 127.0.0.1:{port}",
        "/etc/ssl/certs/site.pem": str(pem),
        "/etc/ssl/private/site.key": str(key),
        "127.0.0.1:8000": f"127.0.0.1:{backend_port}",
    }.items():
        assert documented in servers
        servers = servers.replace(documented, value)
    if fields == "forwarded":
        servers, count = re.subn(r"( *proxy_set_header X-Forwarded-[^\n]*\n)+", _FORWARDED, servers)
        assert count == 1
    paths = "\n".join(f"{name}_temp_path {directory}/{name};" for name in _TEMPORARY)
    return (
        f"daemon off; master_process off; pid {directory}/nginx.pid; error_log {directory}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off;\n{paths}\n{servers}}}\n"
    )


_FORWARDED = '        proxy_set_header Forwarded "for=$remote_addr;host=$host;proto=$scheme";\n'
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextmanager
def running_nginx(directory: Path, port: int, backend_port: int, fields: str) -> Generator[None, None, None]:
    config = directory / "nginx.conf"
    config.write_text(configuration(directory, port, backend_port, fields))
    log = directory / "error.log"
    log.touch()
    process = subprocess.Popen([str(NGINX), "-p", str(directory), "-c", str(config), "-e", str(log)])

    def is_up() -> bool | None:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            return True if probe.connect_ex(("127.0.0.1", port)) == 0 else None

    try:
        eventually(is_up, log.read_text)
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


@frozen
class Sites:
    """The two sites of one node behind nginx, and another server."""

    node: Node[None]
    remote: Node[None]
    web: Web
    received: list[tuple[str | None, str]]
    """The actor and the type of each activity that the other server has received."""

    def work(self) -> None:
        """Work on both nodes until nothing is due."""
        for _ in range(3):
            self.node.work(until_idle=True)
            self.remote.work(until_idle=True)


def site_rules() -> Federation[None]:
    rules: Federation[None] = Federation(software="sites/1.0")
    rules.actor("/people/{identifier}")(
        lambda ctx, identifier: Person(preferred_username=USERNAMES[identifier]) if identifier in USERNAMES else None
    )
    rules.handle(lambda ctx, username: next((number for number, name in USERNAMES.items() if name == username), None))
    rules.profile("/@{username}")
    return rules


@pytest.fixture(scope="module", params=["x-forwarded", "forwarded"])
def sites(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Sites, None, None]:
    directory = tmp_path_factory.mktemp("nginx")
    web, received = Web(), []
    options: dict[str, Any] = {"transport": web, "signer": ReusedKeys()}
    node = Node(site_rules(), [BAKERY, GARDEN], MemoryStore(), handle_host={GARDEN: HANDLES}, **options)
    other: Federation[None] = Federation(software="remote/1.0")
    other.actor("/users/{identifier}")(
        lambda ctx, identifier: Person(preferred_username="zoe") if identifier == "zoe" else None
    )
    other.on(Activity)(lambda ctx, activity: received.append((ctx.actor, activity.document.types[0])))
    remote = Node(other, "https://remote.example", MemoryStore(), **options)
    web.join(remote)
    app = wsgi_app(node, worker=False, trust_proxy=request.param)
    with reserved_ports(1) as [port], make_server("127.0.0.1", 0, app, WSGIServer, QuietHandler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            with running_nginx(directory, port, server.server_port, request.param):
                web.proxy = Proxy(port, ssl.create_default_context(cafile=str(directory / "site.pem")))
                yield Sites(node, remote, web, received)
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("text", "acct", "actor"),
    [
        ("@ida@bakery.example", "acct:ida@bakery.example", IDA),
        ("@ben@garden.example", "acct:ben@garden.example", BEN),
        ("@BEN@social.garden.example", "acct:ben@garden.example", BEN),
        (f"{GARDEN}/@ben", "acct:ben@garden.example", BEN),
        (BEN, "acct:ben@garden.example", BEN),
    ],
)
def test_other_server_finds_each_actor_under_its_own_name(sites: Sites, text: str, acct: str, actor: str) -> None:
    result = sites.remote.run(lookup(text, policy=FetchPolicy()))
    assert (str(result.acct), result.document.id) == (acct, actor)


def test_each_site_federates_under_its_own_name(sites: Sites) -> None:
    for actor, identifier, origin in ((IDA, "8", BAKERY), (BEN, "7", GARDEN)):
        sites.remote.follow(actor, by="zoe")
        sites.work()
        assert sites.node.members(f"{actor}/followers").items == (ZOE,)
        sites.received.clear()
        note = sites.node.publish(Note(content="fresh"), by=identifier, to=f"{actor}/followers", origin=origin)
        sites.work()
        assert note.startswith(f"{origin}/")
        assert sites.received == [(actor, "Create")]


PATHS = [
    *("/people/7", "/people/7/outbox", "/people/7/followers", "/people/7/outbox/page/first", "/@ben", "/actor"),
    "/.well-known/webfinger?resource=acct:ben%40garden.example",
    *("/.well-known/host-meta", "/.well-known/host-meta.json", "/.well-known/nodeinfo", "/nodeinfo/2.1"),
]
FORGERIES = {
    "host": {"Host": EVIL},
    "x-forwarded": {"X-Forwarded-Host": EVIL, "X-Forwarded-Proto": "https", "X-Forwarded-For": EVIL},
    "forwarded": {"Forwarded": f"host={EVIL};proto=https;for={EVIL}"},
    "list": {"X-Forwarded-Host": f"{EVIL}, {EVIL}", "Forwarded": f'host={EVIL},host="{EVIL}"'},
    "other": {"X-Original-Host": EVIL, "X-Host": EVIL, "X-Forwarded-Server": EVIL, "X-Rewrite-URL": f"https://{EVIL}/"},
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_host_never_appears_in_a_document(sites: Sites, forgery: str) -> None:
    sites.node.publish(Note(content="fresh"), by="7", to="https://www.w3.org/ns/activitystreams#Public", origin=GARDEN)
    statuses: set[int] = set()
    for path in PATHS:
        headers = Headers({"Accept": "application/activity+json", **FORGERIES[forgery]})
        answer = sites.web.proxy.ask(Request("GET", GARDEN + path, headers), name="social.garden.example")
        statuses.add(answer.status)
        assert EVIL.encode() not in answer.body + repr(answer.headers.pairs).encode(), path
    assert statuses == ({421} if forgery == "host" else {200, 302})


def test_forged_host_is_logged_once_with_both_names(sites: Sites, caplog: pytest.LogCaptureFixture) -> None:
    stranger = f"forged{len(sites.received)}-{id(sites)}.example"
    with caplog.at_level(logging.WARNING, logger="apcore.web"):
        for _ in range(3):
            request = Request("GET", f"{BAKERY}/people/8", Headers({"Host": stranger, "Accept": "*/*"}))
            assert sites.web.proxy.ask(request, name="bakery.example").status == 421
    [line] = [record.getMessage() for record in caplog.records if stranger in record.getMessage()]
    assert BAKERY in line
    assert "trust_proxy is set" in line
