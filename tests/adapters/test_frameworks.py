"""Run a federation in front of Django, Starlette and Flask under real servers: each gets its own requests, complete."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "site_server.py"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
BODY = b"name=Ida&bread=rye&" * 5000
PATIENCE_S = 150
"""Time limit for each step, in seconds, generous for a busy machine."""
SERVERS = [
    (server, framework)
    for servers, frameworks in [
        (["uvicorn", "hypercorn"], ["django", "starlette"]),
        (["wsgiref", "werkzeug"], ["django", "flask"]),
    ]
    for server in servers
    for framework in frameworks
]


class Site:
    """A server in a process of its own."""

    def __init__(self, server: str, framework: str, log: Path) -> None:
        self.server, self.framework, self.log = server, framework, log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, SCRIPT, server, framework], stdout=subprocess.PIPE, stderr=errors
            )
        first = self.process.stdout.readline().split()
        assert first, log.read_text()
        self.port = int(first[1])

    def ask(self, method, path, *, accept="text/html,*/*;q=0.8", body=None, chunked=False, content_type=None):
        """Return status, fields and body of an answer."""
        headers = {"Accept": accept}
        if content_type is not None:
            headers["Content-Type"] = content_type
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
            body = iter([body[:7], body[7:]])
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, headers, encode_chunked=chunked)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def state(self) -> dict[str, int]:
        return json.loads(self.ask("GET", "/state")[2])

    def wait_for(self, name: str, count: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self.state()[name] < count:
            assert time.monotonic() < deadline, f"{name} never was {count}"
            time.sleep(0.02)

    def stop(self) -> str:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.process.stdout.close()
        return self.log.read_text()


@pytest.fixture(scope="module", params=SERVERS, ids="-".join)
def site(request, tmp_path_factory):
    running = Site(*request.param, tmp_path_factory.mktemp("site") / "log")
    yield running
    log = running.stop()
    assert "Traceback" not in log, log


def framings(site: Site) -> list[tuple[bytes | None, bool]]:
    """List each body and whether it is sent in chunks. wsgiref and Django's WSGI handler cannot read chunks."""
    chunked = site.server != "wsgiref" and (site.server, site.framework) != ("werkzeug", "django")
    return [(None, False), (b"", False), (BODY, False), *([(BODY, True)] if chunked else [])]


@pytest.mark.parametrize("path", ["/form", "/users/ida"], ids=["at-a-path-of-the-site", "at-a-path-of-the-federation"])
def test_browser_request_reaches_the_site_with_its_complete_body(site, path):
    failures = []
    for method in METHODS:
        for body, chunked in framings(site):
            status, fields, answer = site.ask(method, path, body=body, chunked=chunked)
            expected = {
                "method": method,
                "path": path,
                "size": len(body or b""),
                "sha256": hashlib.sha256(body or b"").hexdigest(),
            }
            echo = None if method == "HEAD" else json.loads(answer)
            if (status, fields["x-site"]) != (200, site.framework) or echo not in (None, expected):
                failures.append((method, chunked, status, answer[:200]))
    assert failures == []


def test_peer_request_reaches_the_federation(site):
    status, fields, body = site.ask("GET", "/users/ida", accept="application/activity+json")
    assert (status, fields["content-type"]) == (200, "application/activity+json")
    assert json.loads(body)["preferredUsername"] == "ida"
    status, fields, body = site.ask("HEAD", "/users/ida", accept="application/activity+json")
    assert (status, fields["content-type"], body) == (200, "application/activity+json", b"")
    status, _, body = site.ask("GET", f"/.well-known/webfinger?resource=acct:ida@127.0.0.1:{site.port}", accept="*/*")
    assert (status, json.loads(body)["links"][0]["rel"]) == (200, "self")


def test_inbox_request_reaches_the_federation_by_every_method(site):
    failures = []
    for method in METHODS:
        for body, chunked in framings(site):
            status, fields, answer = site.ask(
                method, "/users/ida/inbox", body=body, chunked=chunked, content_type="application/activity+json"
            )
            expected = 400 if method == "POST" else 405
            problem = None if method == "HEAD" else json.loads(answer)["status"]
            if status != expected or problem not in (None, expected) or "x-site" in fields:
                failures.append((method, chunked, status, answer[:200]))
    assert failures == []


def test_waiting_browser_is_not_reported_as_disconnected(site):
    for method, body in [("GET", None), ("POST", BODY)]:
        status, fields, _ = site.ask(method, "/users/ida?slow", body=body)
        assert (status, fields["x-site"]) == (200, site.framework)


def test_disconnect_of_a_browser_reaches_the_site(site):
    if site.server not in {"uvicorn", "hypercorn"}:
        pytest.skip("WSGI does not tell")
    state_before = site.state()
    for number in (1, 2):
        with socket.create_connection(("127.0.0.1", site.port)) as client:
            path = ("/users/ida", "/form")[number - 1]
            client.sendall(
                f"GET {path}?wait HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nAccept: text/html\r\n\r\n".encode()
            )
            site.wait_for("waiting", state_before["waiting"] + number)
            assert site.state()["left"] == state_before["left"] + number - 1
        site.wait_for("left", state_before["left"] + number)


def test_client_that_disconnects_in_its_body_causes_no_error(site):
    """Disconnect in a body. The fixture checks the log of the server at the end."""
    head = (
        f"POST /users/ida/inbox HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nContent-Type: application/activity+json\r\n"
    )
    for tail in ("Content-Length: 100\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"):
        if "chunked" in tail and site.server == "wsgiref":
            continue
        with socket.create_connection(("127.0.0.1", site.port)) as client:
            client.sendall((head + tail).encode())
            client.shutdown(socket.SHUT_WR)
        assert site.ask("GET", "/users/ida", accept="application/activity+json")[0] == 200
