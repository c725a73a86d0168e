"""A request for a path of ours at another address: answered in words, and explained to the operator."""

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
    """The warnings of the doors so far."""
    caplog.set_level("WARNING", logger="apcore.web")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "apcore.web"]


def send(make, ask, request, host, *, scheme="http", fields=(), **options):
    method, target, headers = request
    app = make(federation(), ORIGIN, MemoryStore(), worker=False, **options)
    return ask(app, method, target, [("host", host), *headers, *fields], b"{}", scheme=scheme)


@pytest.mark.parametrize(("make", "ask"), DOORS)
@pytest.mark.parametrize(("request_", "status"), [(DELIVERY, 503), (READING, 421)], ids=["delivery", "reading"])
@pytest.mark.parametrize(
    ("host", "scheme"), [("10.0.0.7:8080", "http"), ("bakery.example", "http"), ("bakery.example:444", "https")]
)
def test_another_address_is_answered_in_words_and_logged_with_both_names(
    make, ask, request_, status, host, scheme, warnings
):
    """A proxy drops Host, ends TLS, or listens at another port. A 4xx would end a delivery for good."""
    answer = send(make, ask, request_, host, scheme=scheme)
    assert (answer.status, "retry-after" in answer.headers) == (status, status == 503)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert (problem["status"], problem["reason"]) == (status, "misdirected")
    assert "log of this server" in problem["detail"]
    [line] = warnings()
    for part in (f"{scheme}://{host}", ORIGIN, request_[1], "trust_proxy=True"):
        assert part in line


@pytest.mark.parametrize(("make", "ask"), DOORS)
def test_the_answer_does_not_tell_which_site_is_behind_an_address(make, ask):
    for request in (DELIVERY, READING):
        answer = send(make, ask, request, "192.0.2.1")
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
@pytest.mark.parametrize(("make", "ask"), DOORS)
def test_the_hint_is_the_one_that_helps(make, ask, host, fields, options, hint, other, warnings):
    send(make, ask, READING, host, fields=fields, **options)
    [line] = warnings()
    assert hint in line
    assert other not in line


@pytest.mark.parametrize(("make", "ask"), DOORS)
def test_what_a_stranger_writes_stays_on_one_bounded_line(make, ask, warnings):
    send(make, ask, READING, "h" * 3000, fields=[("x-forwarded-host", "\x9b31m" + "x" * 3000)])
    [line] = warnings()
    assert line.isprintable()
    assert len(line) < 1500
    assert "\\x9b31m" in line


@pytest.mark.parametrize(("make", "ask"), DOORS)
def test_a_path_that_is_nobodys_is_a_plain_404(make, ask, warnings):
    answer = send(make, ask, ("GET", "/robots.txt", []), "10.0.0.7")
    assert (answer.status, warnings()) == (404, [])


def test_an_address_is_logged_once_a_minute_and_not_many_of_them(warnings):
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
    ("origin", "shown"),
    [
        (["https://a.example", "https://b.example"], "https://a.example, https://b.example."),
        ([f"https://{name}.example" for name in "abcde"], "https://c.example and 2 more."),
        (lambda origin: False, "the origins that your function allows."),
    ],
)
def test_every_way_of_naming_origins_is_shown(origin, shown, warnings):
    request = Request("GET", "https://x.example/people/ida", Headers({}))
    MisdirectedLog(bind_origins(origin)).log(request, trust_proxy=False, now_s=0.0)
    [line] = warnings()
    assert shown in line


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


@pytest.mark.parametrize(("make", "ask"), DOORS)
@pytest.mark.parametrize(
    ("request_", "is_logged"),
    [
        pytest.param(DELIVERY, True, id="delivery"),
        pytest.param(READING, True, id="reading"),
        pytest.param(("GET", "/people/ida", [("accept", "text/html,*/*")]), False, id="browser"),
        pytest.param(("POST", "/people/ida/inbox", [("content-type", "text/plain")]), False, id="form"),
    ],
)
def test_a_site_gets_what_is_asked_of_it_and_peers_are_logged(make, ask, request_, is_logged, warnings):
    answer = send(make, ask, request_, "www.example", fallback=SITES[make])
    assert (answer.status, len(warnings())) == (299, is_logged)


@pytest.mark.parametrize(("make", "ask"), APPLICATIONS)
def test_two_federations_one_behind_the_other_are_no_mistake(make, ask, warnings):
    second = make(federation(), "https://second.example", MemoryStore(), worker=False)
    answer = send(make, ask, READING, "second.example", scheme="https", fallback=second)
    assert (answer.status, json.loads(answer.body)["id"]) == (200, "https://second.example/people/ida")
    assert warnings() == []
    assert send(make, ask, READING, "third.example", scheme="https", fallback=second).status == 421
    [line] = warnings()
    assert "https://second.example" in line
