"""Make one HTTP exchange on the loopback interface, and check that requests to private addresses are refused."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final, cast

from typing_extensions import override

from apcore.adapters.h11 import H11Transport
from apcore.adapters.threads import BlockingRuntime
from apcore.cli.step_results import StepFailed, expect
from apcore.drivers import Ports, run
from apcore.effects import Fetch, Op
from apcore.errors import AddressBlocked
from apcore.http import (
    ACTIVITY_JSON,
    LOOPBACK_OPEN,
    PUBLIC_ONLY,
    AddressPolicy,
    Headers,
    Request,
    Response,
    TransportLimits,
)

__all__ = ["exchange_on_loopback", "refuse_private_addresses"]

_BODY: Final = b'{"type":"Note","content":"hello"}'
_LIMITS: Final = TransportLimits(deadline_s=10.0, connect_s=5.0)
_PRIVATE: Final = ("10.0.0.1", "192.168.1.1", "169.254.169.254", "[fd00::1]", "[::ffff:10.0.0.1]")


class _Note(BaseHTTPRequestHandler):
    """Answers every GET with one small document."""

    def do_GET(self) -> None:
        cast("_Server", self.server).requests += 1
        self.send_response(200)
        self.send_header("Content-Type", ACTIVITY_JSON)
        self.send_header("Content-Length", str(len(_BODY)))
        self.end_headers()
        _ = self.wfile.write(_BODY)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the step reports its result itself."""


class _Server(ThreadingHTTPServer):
    requests = 0


@contextmanager
def _serving() -> Generator[_Server]:
    with _Server(("127.0.0.1", 0), _Note) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def _fetch(request: Request) -> Op[Response]:
    return (yield from Fetch(request))


def _get(url: str, addresses: AddressPolicy) -> Response:
    request = Request("GET", url, Headers({"accept": ACTIVITY_JSON}), limits=_LIMITS, addresses=addresses)
    with closing(H11Transport()) as transport:
        return run(_fetch(request), Ports(runtime=BlockingRuntime(), transport=transport))


def _refusal(url: str, addresses: AddressPolicy) -> str:
    try:
        response = _get(url, addresses)
    except AddressBlocked as error:
        return str(error)
    raise StepFailed(f"{url} was not refused: it answered {response.status}")


def exchange_on_loopback(_directory: Path, /) -> str:
    """Fetch one document with a policy that allows loopback, and check that the default policy refuses the server."""
    with _serving() as server:
        url = f"http://127.0.0.1:{server.server_port}/note"
        response = _get(url, LOOPBACK_OPEN)
        expect(response.status == 200, f"the status is {response.status}, not 200")
        expect(response.body == _BODY, f"the body is {response.body!r}")
        _ = _refusal(url, PUBLIC_ONLY)
        expect(server.requests == 1, f"the server saw {server.requests} requests, not 1")
    return f"200 with {len(response.body)} bytes; the default policy refuses the same server"


def refuse_private_addresses(_directory: Path, /) -> str:
    """Check that private and metadata addresses are refused, in several spellings, if only loopback is allowed."""
    for host in _PRIVATE:
        _ = _refusal(f"http://{host}/", LOOPBACK_OPEN)
    return f"refused: {', '.join(_PRIVATE)}"
