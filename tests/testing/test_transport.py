"""Check the transport suite: it catches the faults of faulty transports."""

from __future__ import annotations

import http.client
import socket
from urllib.parse import urlsplit

import pytest
from attrs import evolve

from apcore.adapters.h11 import H11Transport
from apcore.errors import ApcoreError, ConnectFailed, ProtocolFailed
from apcore.http import Headers, Response, join_url, parse_url
from apcore.testing.loopback import ScriptedServer
from apcore.testing.transport import transport_checks


class NaiveTransport:
    """A quick transport on the standard library: no policy, no limits, and a timeout for each read."""

    checks_addresses = "enforced"

    def __init__(self, resolver):
        self.resolver = resolver

    def send(self, request):
        url = urlsplit(request.url)
        addresses = self.resolver(url.hostname)
        connection = http.client.HTTPConnection(addresses[0], url.port, timeout=request.limits.deadline_s)
        try:
            connection.request(request.method, f"{url.path}?{url.query}", request.body, dict(request.headers.pairs))
            answer = connection.getresponse()
            return Response(answer.status, Headers(answer.getheaders()), answer.read(2_000_000))
        except OSError as exc:
            raise ConnectFailed(f"{url.hostname}: {exc}") from exc
        except http.client.HTTPException as exc:
            raise ProtocolFailed(f"{url.hostname}: {exc}") from exc
        finally:
            connection.close()

    def close(self):
        pass


class RedirectingTransport(H11Transport):
    def send(self, request, /):
        response = super().send(request)
        target = response.headers.get("location")
        return super().send(evolve(request, url=str(join_url(parse_url(request.url), target)))) if target else response


class TrustingTransport(H11Transport):
    """Skip the check of addresses."""

    def send(self, request, /):
        return super().send(evolve(request, addresses=evolve(request.addresses, networks=("0.0.0.0/0", "::/0"))))


class RetryingTransport(H11Transport):
    """Try every request twice."""

    def send(self, request, /):
        try:
            response = super().send(request)
        except ApcoreError:
            return super().send(request)
        return super().send(request) if response.status in {408, 429, 503} else response


CHECKS = {check.name: check for check in transport_checks()}


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (
            NaiveTransport,
            [
                *("request_arrives_as_given", "codings_are_undone", "trailers_are_dropped"),
                *("forbidden_addresses_are_refused", "one_forbidden_address_refuses_the_name"),
                *("connections_belong_to_their_policy", "names_without_addresses_fail", "refused_connections_fail"),
                *("bodies_are_bounded", "bombs_do_not_go_off", "heads_are_bounded"),
                *("informational_answers_are_bounded", "deliveries_are_cut", "nonsense_is_a_protocol_failure"),
                *("answers_that_break_off_fail", "nothing_is_injected"),
            ],
        ),
        (RedirectingTransport, ["redirects_are_handed_back"]),
        (
            TrustingTransport,
            [
                *("forbidden_addresses_are_refused", "one_forbidden_address_refuses_the_name"),
                *("rebinding_finds_no_second_question", "connections_belong_to_their_policy"),
            ],
        ),
        (RetryingTransport, ["statuses_never_become_retries", "a_post_is_never_sent_twice"]),
    ],
    ids=["naive", "following", "trusting", "insistent"],
)
def test_faults_of_a_transport_are_caught(make, names):
    for name in names:
        with pytest.raises((AssertionError, ApcoreError, ValueError, OSError, LookupError)):
            CHECKS[name](lambda resolver: make(resolver=resolver))


def test_each_check_has_a_sentence():
    assert len(CHECKS) == len(transport_checks()) == 33
    assert all(check.says.endswith(".") and str(check) == check.name for check in CHECKS.values())


def test_failing_server_script_is_reported():
    def broken(_peer):
        raise KeyError("a bug in the script")

    server = ScriptedServer(broken)
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        assert client.recv(1) == b""
    with pytest.raises(KeyError, match="a bug in the script"):
        server.close()
