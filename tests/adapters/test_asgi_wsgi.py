"""Check one federation behind ASGI and WSGI: its own requests, those of the site, and the origin."""

import asyncio
import io
import json

import pytest

from apcore.adapters.asgi import asgi_app
from apcore.adapters.memory import MemoryStore
from apcore.adapters.wsgi import wsgi_app
from apcore.errors import ConfigurationError
from apcore.federation import Federation
from apcore.federation.inbox.receive import BODY_BYTES_MAX
from apcore.node import AsyncNode, Node
from apcore.vocab import PUBLIC, Note, Person
from doors import Answer, ServerApp, ask_asgi, ask_server, ask_wsgi

ORIGIN = "https://ours.example"
AP = "application/activity+json"


def federation() -> Federation[None]:
    rules: Federation[None] = Federation(software="test/1.0")
    rules.actor("/users/{identifier}")(lambda ctx, identifier: Person(name="A") if identifier == "ü/x" else None)
    return rules


class AsgiApp:
    ask = staticmethod(ask_asgi)

    def __init__(self, *, site=False, **options) -> None:
        fallback = _asgi_site if site else None
        self.app = asgi_app(federation(), ORIGIN, MemoryStore(), worker=False, fallback=fallback, **options)

    def __call__(self, *request) -> Answer:
        return self.ask(self.app, *request)


async def _asgi_site(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-site", b"yes")]})
    await send({"type": "http.response.body", "body": (await receive())["body"]})


class WsgiApp(AsgiApp):
    ask = staticmethod(ask_wsgi)

    def __init__(self, *, site=False, **options) -> None:
        fallback = _wsgi_site if site else None
        self.app = wsgi_app(federation(), ORIGIN, MemoryStore(), worker=False, fallback=fallback, **options)


def _wsgi_site(environ, start_response):
    start_response("200 OK", [("x-site", "yes")])
    return [environ["wsgi.input"].read()]


class OverServer(AsgiApp):
    ask = staticmethod(ask_server)

    def __init__(self, *, site=False, **options) -> None:
        fallback = _server_site if site else None
        self.app = ServerApp(federation(), ORIGIN, MemoryStore(), fallback=fallback, **options)


def _server_site(handler) -> None:
    body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
    handler.send_response(200)
    handler.send_header("x-site", "yes")
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture(params=[AsgiApp, WsgiApp, OverServer], ids=["asgi", "wsgi", "http.server"])
def app_type(request):
    return request.param


HOST = ("host", "ours.example")
ACTOR = "/users/%C3%BC%2Fx"


def test_actor_is_served_at_its_encoded_path(app_type) -> None:
    answer = app_type()("GET", ACTOR, [HOST, ("accept", AP)])
    assert answer.status == 200
    assert answer.headers["content-type"] == AP
    assert answer.headers["vary"] == "Accept"
    assert json.loads(answer.body)["id"] == ORIGIN + ACTOR


def test_head_and_conditional_requests_send_no_body(app_type) -> None:
    ask = app_type()
    full_response = ask("GET", ACTOR, [HOST])
    head = ask("HEAD", ACTOR, [HOST])
    assert (head.status, head.body) == (200, b"")
    not_modified = ask("GET", ACTOR, [HOST, ("if-none-match", full_response.headers["etag"])])
    assert (not_modified.status, not_modified.body) == (304, b"")


@pytest.mark.parametrize(
    ("method", "target", "headers", "status", "reason"),
    [
        pytest.param("GET", "/elsewhere", [HOST], 404, "not-found", id="not-ours"),
        pytest.param("GET", "/users/nobody", [HOST], 404, "no-such-actor", id="no-such-actor"),
        pytest.param("GET", ACTOR, [HOST, ("accept", "text/html")], 406, "not-acceptable", id="not-acceptable"),
        pytest.param("GET", ACTOR, [("host", "evil.example")], 421, "misdirected", id="other-host"),
        pytest.param("GET", ACTOR, [("host", "a b")], 400, "bad-request", id="bad-host"),
        pytest.param("GET", ACTOR, [], 400, "bad-request", id="no-host"),
        pytest.param("DELETE", ACTOR, [HOST], 405, "method-not-allowed", id="method"),
        pytest.param("GET", "/inbox", [HOST], 405, "method-not-allowed", id="inbox-get"),
        pytest.param(
            "POST", "/inbox", [HOST, ("content-type", "text/plain")], 415, "unsupported-media-type", id="media"
        ),
        pytest.param("POST", "/inbox", [HOST, ("content-type", AP)], 400, "bad-request", id="no-json"),
        pytest.param("POST", "/users/nobody/inbox", [HOST, ("content-type", AP)], 404, "no-such-actor", id="recipient"),
    ],
)
def test_error_is_answered_with_a_problem_document(app_type, method, target, headers, status, reason) -> None:
    answer = app_type()(method, target, headers)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["reason"] == reason
    assert ("allow" in answer.headers) is (status == 405)


def test_body_beyond_the_limit_is_answered_413(app_type) -> None:
    answer = app_type()("POST", "/inbox", [HOST, ("content-type", AP)], b" " * (BODY_BYTES_MAX + 1))
    assert answer.status == 413


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        pytest.param("GET", "/elsewhere", [HOST], id="not-ours"),
        pytest.param("GET", ACTOR, [HOST, ("accept", "text/html,*/*;q=0.8")], id="a-browser"),
        pytest.param("GET", ACTOR, [HOST], id="nothing-asked-for"),
        pytest.param("PUT", "/form", [HOST], id="with-a-body"),
        pytest.param("PUT", ACTOR, [HOST], id="a-form-at-one-of-our-paths"),
    ],
)
def test_site_gets_other_requests_with_their_bodies(app_type, method, target, headers) -> None:
    body = b"a=b" if method == "PUT" else b""
    answer = app_type(site=True)(method, target, headers, body)
    assert answer.headers["x-site"] == "yes"
    assert answer.body == body


@pytest.mark.parametrize("size", [3, BODY_BYTES_MAX + 7], ids=["short", "longer-than-an-inbox-takes"])
def test_site_at_another_host_gets_the_complete_body_at_federation_paths(app_type, size) -> None:
    answer = app_type(site=True)("POST", "/inbox", [("host", "site.example"), ("content-type", AP)], b"x" * size)
    assert answer.headers["x-site"] == "yes"
    assert answer.body == b"x" * size


@pytest.mark.parametrize(("terminated", "reason"), [(True, "not-an-activity"), (False, "bad-request")])
def test_chunked_body_is_read_only_if_the_server_terminates_the_input(terminated, reason) -> None:
    """Require `wsgi.input_terminated`: without it, the end of the body is unknown and nothing is read."""
    app = wsgi_app(federation(), ORIGIN, MemoryStore(), worker=False)
    environ = {
        "REQUEST_METHOD": "POST",
        "wsgi.url_scheme": "https",
        "PATH_INFO": "/inbox",
        "wsgi.input": io.BytesIO(b'{"@context":"https://www.w3.org/ns/activitystreams","type":"Note"}'),
        "wsgi.input_terminated": terminated,
        "HTTP_HOST": "ours.example",
        "CONTENT_TYPE": AP,
    }
    [body] = app(environ, lambda status, fields: None)
    assert json.loads(body)["reason"] == reason


def test_forwarded_host_counts_only_with_trust_proxy(app_type) -> None:
    forwarded = [("host", "backend"), ("x-forwarded-host", "ours.example"), ("x-forwarded-proto", "https")]
    assert app_type()("GET", ACTOR, forwarded).status == 421
    assert app_type(trust_proxy=True)("GET", ACTOR, forwarded).status == 200


@pytest.mark.parametrize(("make_app", "kind"), [(asgi_app, AsyncNode), (wsgi_app, Node)], ids=["asgi", "wsgi"])
def test_application_without_an_origin_is_refused(make_app, kind) -> None:
    """Refuse an application that could serve nothing: a node without an origin can only fetch."""
    for arguments in ((federation(),), (federation(), None), (kind(federation()),)):
        with pytest.raises(
            ConfigurationError, match=rf'{make_app.__name__} needs the origin .* "https://social.example"'
        ):
            make_app(*arguments, worker=False)
    assert make_app(federation(), lambda origin: True, worker=False).node.origins.serves


@pytest.mark.parametrize("make_app", [asgi_app, wsgi_app], ids=["asgi", "wsgi"])
@pytest.mark.parametrize("grace_s", [-1, float("inf"), float("nan")])
def test_invalid_grace_is_refused(make_app, grace_s) -> None:
    with pytest.raises(ConfigurationError, match="grace_s"):
        make_app(federation(), ORIGIN, grace_s=grace_s)


@pytest.mark.parametrize(("length", "body"), [("8", b"half"), ("x", b""), ("-1", b""), ("1" * 21, b"")])
def test_body_that_ends_too_early_is_refused(length, body) -> None:
    app = wsgi_app(federation(), ORIGIN, MemoryStore(), worker=False)
    environ = {
        "REQUEST_METHOD": "POST",
        "wsgi.url_scheme": "https",
        "PATH_INFO": "/inbox",
        "wsgi.input": io.BytesIO(body),
        "HTTP_HOST": "ours.example",
        "CONTENT_TYPE": AP,
        "CONTENT_LENGTH": length,
    }
    statuses = []
    [answer] = app(environ, lambda status, fields: statuses.append(status))
    assert (statuses, json.loads(answer)["reason"]) == (["400 Bad Request"], "bad-request")


def test_unreadable_body_is_a_bad_request() -> None:
    """Raise OSError as servers do for malformed chunks and broken connections."""

    class BrokenInput(io.BytesIO):
        def read(self, size=-1):
            raise OSError("Invalid chunk header")

    app = wsgi_app(federation(), ORIGIN, MemoryStore(), worker=False)
    environ = {
        "REQUEST_METHOD": "POST",
        "wsgi.url_scheme": "https",
        "PATH_INFO": "/inbox",
        "wsgi.input": BrokenInput(),
        "wsgi.input_terminated": True,
        "HTTP_HOST": "ours.example",
        "CONTENT_TYPE": AP,
    }
    statuses = []
    app(environ, lambda status, fields: statuses.append(status))
    assert statuses == ["400 Bad Request"]


def test_client_that_disconnects_in_its_body_gets_no_response() -> None:
    app, sent = asgi_app(federation(), ORIGIN, MemoryStore(), worker=False), []
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive():
        return next(messages)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "https",
        "path": "/inbox",
        "headers": [(b"host", b"ours.example")],
    }
    asyncio.run(app(scope, receive, send))
    assert sent == []


def test_invalid_origin_is_refused_at_construction() -> None:
    with pytest.raises(ConfigurationError, match="origin"):
        asgi_app(federation(), "ours.example")
    with pytest.raises(ConfigurationError, match="origin"):
        wsgi_app(federation(), "ours.example")


def test_lifespan_starts_a_worker_and_closes_the_node(tmp_path) -> None:
    app = asgi_app(federation(), ORIGIN, f"sqlite:///{tmp_path}/a.db")
    steps = iter(["lifespan.startup", "lifespan.shutdown"])
    sent = []

    async def receive():
        return {"type": next(steps)}

    async def send(message) -> None:
        sent.append(message["type"])

    asyncio.run(app({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


class Site:
    """A site that completes, refuses, ignores or fails its lifespan."""

    def __init__(self, manner: str) -> None:
        self.manner = manner
        self.received: list[str] = []

    async def __call__(self, scope, receive, send) -> None:
        if self.manner == "silent":
            return
        if self.manner == "refuses":
            raise ValueError("this site speaks HTTP alone")
        self.received.append((await receive())["type"])
        if self.manner == "refuses-late":
            raise ValueError("this site speaks HTTP alone")
        if self.manner == "fails":
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        await send({"type": "lifespan.startup.complete"})
        self.received.append((await receive())["type"])
        await send({"type": "lifespan.shutdown.complete"})


WHOLE = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@pytest.mark.parametrize(
    ("manner", "sent", "received"),
    [
        ("whole", WHOLE, ["lifespan.startup", "lifespan.shutdown"]),
        ("silent", WHOLE, []),
        ("refuses", WHOLE, []),
        ("refuses-late", WHOLE, ["lifespan.startup"]),
        ("fails", ["lifespan.startup.failed"], ["lifespan.startup"]),
    ],
)
def test_worker_runs_for_any_lifespan_behaviour_of_the_site(manner, sent, received, tmp_path) -> None:
    """Leave a message in the queue: the worker processes it between start-up and shutdown, if both happen."""
    site, responses = Site(manner), []
    url = f"sqlite:///{tmp_path}/a.db"
    rules = federation()
    with Node(rules, ORIGIN, url) as node:
        node.publish(Note(content="hi"), by="ü/x", to=[PUBLIC])
        app = asgi_app(rules, ORIGIN, url, fallback=site)
        steps = iter(["lifespan.startup", "lifespan.shutdown"])

        async def receive():
            step = next(steps)
            if step == "lifespan.shutdown":
                deadline = asyncio.get_running_loop().time() + 20
                while node.ports.queue.depth(["fanout"]).ready:
                    assert asyncio.get_running_loop().time() < deadline, "no worker processes the message"
                    await asyncio.sleep(0.01)
            return {"type": step}

        async def send(message) -> None:
            responses.append(message["type"])

        asyncio.run(app({"type": "lifespan"}, receive, send))
    assert (responses, site.received) == (sent, received)
