"""Check requests for a federation path at another address: they are answered, and explained to the operator."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from apcore.adapters.asgi import asgi_app
from apcore.adapters.memory import MemoryStore
from apcore.adapters.wsgi import wsgi_app
from apcore.federation import Federation
from apcore.federation.origins import bind_origins
from apcore.federation.serving.misdirected import ADDRESSES_MAX, REPEAT_S, MisdirectedLog
from apcore.http import Headers, Request
from apcore.vocab import Person
from doors import ServerApp, ask_asgi, ask_server, ask_wsgi

ORIGIN = "https://bakery.example"
AP = "application/activity+json"
DELIVERY = ("POST", "/people/ida/inbox", [("content-type", AP)])
READING = ("GET", "/people/ida", [("accept", AP)])
APPLICATIONS = [pytest.param(asgi_app, ask_asgi, id="asgi"), pytest.param(wsgi_app, ask_wsgi, id="wsgi")]
DOORS = [*APPLICATIONS, pytest.param(ServerApp, ask_server, id="http.server")]


def federation() -> Federation[None]:
    rules: Federation[None] = Federation(software="test/1.0")
    rules.actor("/people/{identifier}")(lambda ctx, identifier: Person(name="Ida"))
    return rules


@pytest.fixture
def warnings(caplog):
    """Return a function that lists the warnings logged so far."""
    caplog.set_level("WARNING", logger="apcore.web")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "apcore.web"]


def send(make_app, ask, request, host, *, scheme="http", fields=(), **options):
    method, target, headers = request
    app = make_app(federation(), ORIGIN, MemoryStore(), worker=False, **options)
    return ask(app, method, target, [("host", host), *headers, *fields], b"{}", scheme=scheme)


@pytest.mark.parametrize(("make_app", "ask"), DOORS)
@pytest.mark.parametrize(("request_", "status"), [(DELIVERY, 503), (READING, 421)], ids=["delivery", "reading"])
@pytest.mark.parametrize(
    ("host", "scheme"), [("10.0.0.7:8080", "http"), ("bakery.example", "http"), ("bakery.example:444", "https")]
)
def test_misdirected_request_is_refused_and_logged_with_both_origins(
    make_app, ask, request_, status, host, scheme, warnings
):
    """Send requests as behind a proxy that drops Host, ends TLS or uses another port. A 4xx would end a delivery."""
    answer = send(make_app, ask, request_, host, scheme=scheme)
    assert (answer.status, "retry-after" in answer.headers) == (status, status == 503)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert (problem["status"], problem["reason"]) == (status, "misdirected")
    assert "log of this server" in problem["detail"]
    [line] = warnings()
    for part in (f"{scheme}://{host}", ORIGIN, request_[1], "trust_proxy=True"):
        assert part in line


@pytest.mark.parametrize(("make_app", "ask"), DOORS)
def test_response_does_not_disclose_the_origin(make_app, ask):
    for request in (DELIVERY, READING):
        answer = send(make_app, ask, request, "192.0.2.1")
        assert b"bakery" not in answer.body + repr(answer.headers).encode()


@pytest.mark.parametrize(
    ("host", "fields", "options", "hint", "other"),
    [
        ("127.0.0.1:8000", [], {}, 'give the origin "http://127.0.0.1:8000" and addresses=LOOPBACK_OPEN', "came with"),
        ("localhost", [], {}, 'give the origin "http://localhost"', "came with"),
        ("evil.example", [], {}, "pass trust_proxy=True", "give the origin"),
        (
            "app:80",
            [("x-forwarded-host", "bakery.example"), ("x-forwarded-proto", "https")],
            {},
            "came with X-Forwarded-Host 'bakery.example' and X-Forwarded-Proto 'https'",
            "give the origin",
        ),
        ("app:80", [], {"trust_proxy": True}, "trust_proxy is set", "pass trust_proxy"),
    ],
)
@pytest.mark.parametrize(("make_app", "ask"), DOORS)
def test_warning_contains_the_matching_hint(make_app, ask, host, fields, options, hint, other, warnings):
    send(make_app, ask, READING, host, fields=fields, **options)
    [line] = warnings()
    assert hint in line
    assert other not in line


@pytest.mark.parametrize(("make_app", "ask"), DOORS)
def test_warning_with_text_of_a_stranger_is_one_bounded_line(make_app, ask, warnings):
    send(make_app, ask, READING, "h" * 3000, fields=[("x-forwarded-host", "\x9b31m" + "x" * 3000)])
    [line] = warnings()
    assert line.isprintable()
    assert len(line) < 1500
    assert "\\x9b31m" in line


@pytest.mark.parametrize(("make_app", "ask"), DOORS)
def test_unknown_path_is_answered_404_without_a_warning(make_app, ask, warnings):
    answer = send(make_app, ask, ("GET", "/robots.txt", []), "10.0.0.7")
    assert (answer.status, warnings()) == (404, [])


def test_warnings_are_limited_per_address_and_in_number(warnings):
    now_s = 0.0
    requests = MisdirectedLog(bind_origins(ORIGIN))

    def log(host: str) -> None:
        requests.log(Request("GET", f"http://{host}/people/ida", Headers({})), trust_proxy=False, now_s=now_s)

    for _ in range(3):
        log("first.example")
    assert len(warnings()) == 1
    for number in range(10 * ADDRESSES_MAX):
        log(f"h{number}.example")
    assert len(warnings()) == ADDRESSES_MAX
    now_s = REPEAT_S
    log("first.example")
    assert len(warnings()) == ADDRESSES_MAX + 1


def test_an_address_is_logged_once_by_many_threads(warnings):
    requests = MisdirectedLog(bind_origins(ORIGIN))
    start = Barrier(8)

    def log(number: int) -> None:
        start.wait()
        url = f"http://h{number % 2}.example/people/ida"
        requests.log(Request("GET", url, Headers({})), trust_proxy=False, now_s=0.0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(log, range(8)))
    assert len(warnings()) == 2


@pytest.mark.parametrize(
    ("origin", "expected_text"),
    [
        (["https://a.example", "https://b.example"], "https://a.example, https://b.example."),
        ([f"https://{name}.example" for name in "abcde"], "https://c.example and 2 more."),
        (lambda origin: False, "the origins that your function allows."),
    ],
)
def test_warning_shows_every_form_of_configured_origins(origin, expected_text, warnings):
    request = Request("GET", "https://x.example/people/ida", Headers({}))
    MisdirectedLog(bind_origins(origin)).log(request, trust_proxy=False, now_s=0.0)
    [line] = warnings()
    assert expected_text in line


# --- in front of a site that answers at other addresses -------------------------------------------------------------


async def asgi_site(scope, receive, send_):
    await send_({"type": "http.response.start", "status": 299, "headers": []})
    await send_({"type": "http.response.body", "body": b""})


def wsgi_site(environ, start_response):
    start_response("299 Site", [])
    return [b""]


def server_site(handler):
    handler.send_response(299)
    handler.end_headers()


SITES = {asgi_app: asgi_site, wsgi_app: wsgi_site, ServerApp: server_site}


@pytest.mark.parametrize(("make_app", "ask"), DOORS)
@pytest.mark.parametrize(
    ("request_", "is_logged"),
    [
        pytest.param(DELIVERY, True, id="delivery"),
        pytest.param(READING, True, id="reading"),
        pytest.param(("GET", "/people/ida", [("accept", "text/html,*/*")]), False, id="browser"),
        pytest.param(("POST", "/people/ida/inbox", [("content-type", "text/plain")]), False, id="form"),
    ],
)
def test_misdirected_request_goes_to_the_site_and_peers_are_logged(make_app, ask, request_, is_logged, warnings):
    answer = send(make_app, ask, request_, "www.example", fallback=SITES[make_app])
    assert (answer.status, len(warnings())) == (299, is_logged)


@pytest.mark.parametrize(("make_app", "ask"), APPLICATIONS)
def test_second_federation_as_fallback_causes_no_warning(make_app, ask, warnings):
    second = make_app(federation(), "https://second.example", MemoryStore(), worker=False)
    answer = send(make_app, ask, READING, "second.example", scheme="https", fallback=second)
    assert (answer.status, json.loads(answer.body)["id"]) == (200, "https://second.example/people/ida")
    assert warnings() == []
    assert send(make_app, ask, READING, "third.example", scheme="https", fallback=second).status == 421
    [line] = warnings()
    assert "https://second.example" in line
