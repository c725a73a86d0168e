"""Hold a running server with TLS to RFC 7033 (WebFinger), seen from a client that is not apcore.

The package `feditest` on PyPI is a framework for such tests, and contains none for WebFinger. So the facts are checked
here.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import trustme
from attrs import frozen

from apcore import Federation
from apcore.adapters.wsgi import wsgi_app
from apcore.http import LOOPBACK_OPEN
from apcore.vocab import Person, Tombstone

SELF_TYPE = "application/activity+json"


class QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the overridden method
        """Write no line for a request."""


@frozen
class HttpsAnswer:
    """The answer to one request."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def descriptor(self) -> dict[str, Any]:
        """The body as JSON."""
        descriptor: dict[str, Any] = json.loads(self.body)
        return descriptor


@frozen
class HttpsSite:
    """A running server, and the trust in its certificate."""

    origin: str
    tls: ssl.SSLContext

    @property
    def account(self) -> str:
        """The resource of alice's account."""
        return f"acct:alice@{urlsplit(self.origin).netloc}"

    def request(self, query: str, *, method: str = "GET", accept: str = "application/jrd+json") -> HttpsAnswer:
        """Return the answer to a WebFinger request with a query as it stands."""
        address = urlsplit(self.origin)
        connection = http.client.HTTPSConnection(str(address.hostname), address.port, context=self.tls, timeout=20)
        try:
            connection.request(method, f"/.well-known/webfinger{query}", headers={"Accept": accept})
            response = connection.getresponse()
            return HttpsAnswer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def look_up(self, resource: str, further: str = "") -> HttpsAnswer:
        """Return the answer for a resource, percent-encoded."""
        return self.request(f"?resource={quote(resource, safe='')}{further}")


@pytest.fixture(scope="module")
def site() -> Iterator[HttpsSite]:
    """Serve an actor with TLS on loopback."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(server_tls)
    client_tls = ssl.create_default_context()
    authority.configure_trust(client_tls)
    with make_server("127.0.0.1", 0, lambda environ, start_response: [], handler_class=QuietHandler) as server:
        origin = f"https://localhost:{server.server_port}"
        federation: Federation[None] = Federation(software="test/1.0")
        federation.actor("/users/{identifier}")(
            lambda ctx, identifier: {"alice": Person(name="Alice"), "gone": Tombstone()}.get(identifier)
        )
        server.socket = server_tls.wrap_socket(server.socket, server_side=True)
        server.base_environ["HTTPS"] = "on"
        server.set_app(wsgi_app(federation, origin, "memory:", worker=False, addresses=LOOPBACK_OPEN))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield HttpsSite(origin, client_tls)
        finally:
            server.shutdown()
            thread.join()


# --- the request (4.1, 4.2) -----------------------------------------------------------------------------------------


def test_resource_may_be_percent_encoded_in_full(site: HttpsSite) -> None:
    encoded = "".join(f"%{ord(letter):02X}" for letter in site.account)
    assert site.request(f"?resource={encoded}").descriptor == site.look_up(site.account).descriptor


def test_order_of_parameters_is_free(site: HttpsSite) -> None:
    answer = site.request(f"?rel=self&resource={quote(site.account, safe='')}")
    assert answer.descriptor["subject"] == site.account


def test_unknown_parameters_are_ignored(site: HttpsSite) -> None:
    assert site.look_up(site.account, "&format=xml&x").descriptor == site.look_up(site.account).descriptor


def test_absent_resource_is_400(site: HttpsSite) -> None:
    assert [site.request(query).status for query in ("", "?rel=self")] == [400, 400]


@pytest.mark.parametrize("resource", ["", "nothing", "acct:%ff"])
def test_malformed_resource_is_400(site: HttpsSite, resource: str) -> None:
    assert site.request(f"?resource={quote(resource, safe='%')}").status == 400


def test_second_resource_is_400(site: HttpsSite) -> None:
    assert site.look_up(site.account, f"&resource={quote(site.account, safe='')}").status == 400


def test_unknown_account_is_404(site: HttpsSite) -> None:
    assert site.look_up(site.account.replace("alice", "nobody")).status == 404


def test_account_of_another_host_is_404(site: HttpsSite) -> None:
    assert site.look_up("acct:alice@other.example").status == 404


@pytest.mark.parametrize("resource", ["mailto:alice@localhost", "urn:isbn:9780", "ftp://localhost/alice"])
def test_resource_of_another_scheme_is_404(site: HttpsSite, resource: str) -> None:
    assert site.look_up(resource).status == 404


def test_deleted_account_is_410(site: HttpsSite) -> None:
    assert site.look_up(site.account.replace("alice", "gone")).status == 410


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_methods_than_get_and_head_are_405(site: HttpsSite, method: str) -> None:
    answer = site.request(f"?resource={quote(site.account, safe='')}", method=method)
    assert answer.status == 405
    assert "GET" in (answer.headers["Allow"] or "")


def test_head_has_the_fields_of_get_without_its_body(site: HttpsSite) -> None:
    query = f"?resource={quote(site.account, safe='')}"
    head, get = site.request(query, method="HEAD"), site.request(query)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


# --- the answer (4.2 to 4.4, 5) -------------------------------------------------------------------------------------


def test_answer_is_direct_and_a_jrd_whatever_is_accepted(site: HttpsSite) -> None:
    for accept in ("application/jrd+json", "application/json", "*/*"):
        answer = site.request(f"?resource={quote(site.account, safe='')}", accept=accept)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/jrd+json")


def test_subject_is_the_account_for_each_of_its_resources(site: HttpsSite) -> None:
    for resource in (site.account, f"{site.origin}/users/alice"):
        assert site.look_up(resource).descriptor["subject"] == site.account


def test_members_of_the_descriptor_have_their_types(site: HttpsSite) -> None:
    descriptor = site.look_up(site.account).descriptor
    assert isinstance(descriptor["subject"], str)
    assert all(isinstance(alias, str) for alias in descriptor.get("aliases", []))
    assert all(value is None or isinstance(value, str) for value in descriptor.get("properties", {}).values())
    for link in descriptor["links"]:
        assert isinstance(link["rel"], str)
        assert isinstance(link.get("href", ""), str)


def test_self_link_names_the_actor_on_https(site: HttpsSite) -> None:
    links = [link for link in site.look_up(site.account).descriptor["links"] if link["rel"] == "self"]
    assert links == [{"rel": "self", "type": SELF_TYPE, "href": f"{site.origin}/users/alice"}]


@pytest.mark.parametrize("further", ["&rel=self", "&rel=self&rel=avatar"])
def test_rel_keeps_the_links_of_that_relation(site: HttpsSite, further: str) -> None:
    descriptor = site.look_up(site.account, further).descriptor
    assert descriptor["subject"] == site.account
    assert SELF_TYPE in [link.get("type") for link in descriptor["links"] if link["rel"] == "self"]


def test_every_answer_may_be_read_by_scripts_of_any_origin(site: HttpsSite) -> None:
    answers = [site.look_up(site.account), site.look_up("acct:nobody@localhost"), site.request("")]
    assert [answer.headers["Access-Control-Allow-Origin"] for answer in answers] == ["*"] * 3
