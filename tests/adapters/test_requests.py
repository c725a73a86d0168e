"""Check the client address of a request: it comes from the connection, or from a trusted proxy."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from apcore.adapters.asgi import asgi_app
from apcore.adapters.memory import MemoryStore
from apcore.adapters.wsgi import wsgi_app
from apcore.errors import ConfigurationError, RequestError
from apcore.federation import Federation
from apcore.federation.serving.incoming_request import finish_response
from apcore.federation.serving.request_head import RequestHead, build_request, content_length
from apcore.http import Headers, Request, Response
from apcore.remote import Budgets, Rate
from apcore.signatures import cavage
from apcore.testing.keys import ReusedKeys, reuse_key
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Person
from doors import ServerApp, on_wire

FORWARDED = [
    ([], None),
    ([b"8.8.8.8"], "8.8.8.8"),
    ([b"1.1.1.1, 8.8.8.8"], "8.8.8.8"),  # any client may have written the earlier values
    ([b"1.1.1.1", b"9.9.9.9,8.8.8.8"], "8.8.8.8"),
    ([b"8.8.8.8:51234"], "8.8.8.8"),
    ([b"2a00::1"], "2a00::1"),
    ([b"[2a00::1]"], "2a00::1"),
    ([b"[2a00::1]:51234"], "2a00::1"),
    ([b" "], ""),
    ([b"\xff"], "\xff"),
]


def head(headers, *, method="GET", target="/", client=None) -> RequestHead:
    return RequestHead(method=method, scheme="https", target=target, headers=headers, client=client)


@pytest.mark.parametrize(("values", "client"), FORWARDED)
@pytest.mark.parametrize("is_trusted", [True, False])
def test_client_address_comes_from_a_trusted_proxy_only(values, client, is_trusted):
    fields = [(b"Host", b"a.example"), *((b"X-Forwarded-For", value) for value in values)]
    request = build_request(head(fields, client="10.0.0.1"), trust_proxy=is_trusted)
    assert request.client == (client if is_trusted else "10.0.0.1")


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"a.example/users/bob?",
        b"a.example#",
        b"a.example?",
        b"a.example\\b",
        b"u@a.example",
        b"a.example b",
        b"a\xff",
    ],
)
@pytest.mark.parametrize("forwarded", [True, False])
def test_host_with_a_path_or_user_info_is_refused(host, forwarded):
    """Refuse a host that changes the path: a proxy may have checked another path than the one served."""
    fields = [(b"Host", b"a.example"), (b"X-Forwarded-Host", host)] if forwarded else [(b"Host", host)]
    with pytest.raises(RequestError, match="Host"):
        build_request(head(fields, target="/users/alice"), trust_proxy=forwarded)


PROXIED = [(b"Host", b"app:80"), (b"X-Forwarded-Host", b"b.example"), (b"X-Forwarded-Proto", b"http")]


@pytest.mark.parametrize(
    ("values", "url", "client"),
    [
        ([b"host=a.example;proto=https;for=8.8.8.8"], "https://a.example/x", "8.8.8.8"),
        ([b'For="[2a00::1]:4711"; Proto=https ;HOST="a.example:8443"'], "https://a.example:8443/x", "2a00::1"),
        ([b"host=evil.example;for=1.1.1.1, host=a.example"], "https://a.example/x", None),
        ([b"host=evil.example", b"host=a.example"], "https://a.example/x", None),
        ([b'for="a\\",host=evil.example,b";host=evil.example,host=a.example'], "https://a.example/x", None),
        ([b"for=8.8.8.8:99"], "https://app:80/x", "8.8.8.8"),
        ([], "https://app:80/x", None),
    ],
)
def test_last_element_of_forwarded_counts_for_a_proxy_that_writes_it(values, url, client):
    fields = [*PROXIED, *((b"Forwarded", value) for value in values)]
    request = build_request(head(fields, target="/x", client="10.0.0.1"), trust_proxy="forwarded")
    assert (request.url, request.client) == (url, client)


@pytest.mark.parametrize(
    "value",
    [
        b"host",
        b"host=",
        b'host="a.example',
        b"host=a b",
        b"=a",
        b"host=a.example;;",
        b"host=evil.example/, host=a.example",
    ],
)
def test_malformed_forwarded_is_refused(value):
    with pytest.raises(RequestError, match="Forwarded"):
        build_request(head([*PROXIED, (b"Forwarded", value)], target="/x"), trust_proxy="forwarded")


@pytest.mark.parametrize(
    ("trust_proxy", "host"), [(True, "b.example"), ("x-forwarded", "b.example"), (False, "app:80")]
)
def test_forwarded_of_a_client_does_not_count(trust_proxy, host):
    fields = [*PROXIED, (b"Forwarded", b"host=evil.example;proto=https;for=1.1.1.1")]
    request = build_request(head(fields, target="/x"), trust_proxy=trust_proxy)
    assert request.url.partition("://")[2] == f"{host}/x"


@pytest.mark.parametrize("make_app", [asgi_app, wsgi_app])
@pytest.mark.parametrize("trust_proxy", ["Forwarded", "yes", 1, None])
def test_unknown_proxy_fields_are_refused(make_app, trust_proxy):
    with pytest.raises(ConfigurationError, match="trust_proxy is True, False, 'x-forwarded' or 'forwarded'"):
        make_app(federation(), "https://ours.example", MemoryStore(), worker=False, trust_proxy=trust_proxy)


def test_target_with_a_fragment_is_refused():
    with pytest.raises(RequestError, match="path"):
        build_request(head([(b"Host", b"a.example")], target="/a#b"))


@pytest.mark.parametrize("host", [b"a.example", b"a.example:8000", b"[2a00::1]:8000", b"A.example."])
def test_host_may_have_a_port(host):
    assert build_request(head([(b"Host", host)], target="/b?c")).url == f"https://{host.decode()}/b?c"


@pytest.mark.parametrize(
    ("values", "length"), [([], None), ([b"0"], 0), ([b" 12 "], 12), ([b"12", b"12"], 12), ([b"9" * 20], 10**20 - 1)]
)
def test_content_length_is_read(values, length):
    assert content_length(head([(b"Content-Length", value) for value in values])) == length


@pytest.mark.parametrize("values", [[b""], [b"many"], [b"-1"], [b"+1"], [b"1_0"], [b"\xb2"], [b"9" * 21], [b"1", b"2"]])
def test_content_length_that_is_no_number_is_refused(values):
    with pytest.raises(RequestError, match="Content-Length"):
        content_length(head([(b"Content-Length", value) for value in values]))


@pytest.mark.parametrize(
    ("method", "status", "length"),
    [("GET", 200, "4"), ("GET", 404, "4"), ("HEAD", 200, None), ("HEAD", 404, None), ("GET", 304, None)],
)
def test_length_of_an_answer_without_a_body_is_not_sent(method, status, length):
    """Omit the length for HEAD and 304: a cache would take it for the length of the stored document."""
    response = finish_response(Response(status, {"Content-Length": "9"}, b"" if status == 304 else b"body"), method)
    assert response.headers.get("content-length") == length
    assert response.body == (b"body" if length else b"")


def federation() -> Federation[None]:
    """Build a federation with a budget of one key fetch for each client."""
    rules: Federation[None] = Federation(software="test/1.0", budgets=Budgets(client=Rate(1, 0.001)))
    rules.actor("/users/{identifier}")(lambda ctx, identifier: Person(name="A"))
    return rules


def signed_request(number: int) -> Request:
    actor = f"https://h{number}.example{number}/users/x"
    body = {"id": f"{actor}/1", "type": "Like", "actor": actor, "object": "https://ours.example/users/a"}
    request = Request(
        "POST",
        "https://ours.example/inbox",
        Headers({"content-type": "application/activity+json"}),
        json.dumps(body).encode(),
    )
    return cavage.sign(request, reuse_key("x").renamed(key_id=f"{actor}#k", owner=actor), now=datetime.now(UTC))


def over_asgi(app: Any, request: Request, client: str | None) -> bytes:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "https",
        "path": "/inbox",
        "query_string": b"",
        "headers": request.headers.to_wire(),
        "client": None if client is None else (client, 51234),
    }
    asyncio.run(app(scope, receive, send))
    body: bytes = sent[1]["body"]
    return body


def over_wsgi(app: Any, request: Request, client: str | None) -> bytes:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "wsgi.url_scheme": "https",
        "PATH_INFO": "/inbox",
        "wsgi.input": io.BytesIO(request.body),
        "CONTENT_LENGTH": str(len(request.body)),
    }
    environ |= {"HTTP_" + name.upper().replace("-", "_"): value for name, value in request.headers}
    environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE")
    if client is not None:
        environ["REMOTE_ADDR"] = client
    return b"".join(app(environ, lambda status, fields: None))


def over_server(app: Any, request: Request, client: str | None) -> bytes:
    """Send a request over a socket. The client's address is that of the socket, so a proxy has to tell another one."""
    fields = request.headers.to_wire()
    fields += [(b"X-Forwarded-For", b"")] if client is None else [(b"X-Forwarded-For", client.encode())]
    _, _, body = app.serve_one(on_wire("POST", b"/inbox", fields, request.body), scheme="https")
    return body


DOORS = [
    pytest.param(asgi_app, over_asgi, id="asgi"),
    pytest.param(wsgi_app, over_wsgi, id="wsgi"),
    pytest.param(partial(ServerApp, trust_proxy=True), over_server, id="http.server"),
]


@pytest.mark.parametrize(("make_app", "send"), DOORS)
def test_each_client_address_has_its_own_budget(make_app, send):
    app = make_app(
        federation(), "https://ours.example", MemoryStore(), transport=PeerNetwork(), signer=ReusedKeys(), worker=False
    )
    clients = ["8.8.8.8", "8.8.8.8", "9.9.9.9", "9.9.9.9", "2a00::1", "2a00::2", None, None, "10.0.0.1", "10.0.0.1"]
    reasons = [json.loads(send(app, signed_request(number), client))["reason"] for number, client in enumerate(clients)]
    fetched, refused = "key-unavailable", "budget-spent"
    assert reasons == [fetched, refused] * 3 + [fetched] * 4
