"""Check row 23: an application lives on the events of others, and a person can look at its page."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from apcore.adapters.wsgi import wsgi_app
from apcore.testing.keys import ReusedKeys
from source_pages import Source, SourceWeb

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = PROJECT / "examples" / "events.py"
CHROMIUM = shutil.which("chromium")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=800,600"),
)
ORIGIN = "https://calendar.example"


def events_module() -> Any:
    spec = spec_from_file_location("events", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Town:
    """Three sources of events, and calendars that follow them."""

    def __init__(self, folder: Path) -> None:
        self.web = SourceWeb()
        self.folder = folder
        names = ("town.example", "club.example", "museum.example")
        self.sources = [Source(self.web, name) for name in names]
        # The page shows events of the future, by the real clock.
        self.start = datetime.now(UTC) + timedelta(days=30)

    def announce(self, source: Source, name: str, day: int, **members: Any) -> str:
        starts = (self.start + timedelta(days=day)).isoformat()
        place = {"type": "Place", "name": "Market square"}
        return source.publish("Event", name=name, startTime=starts, location=place, **members)

    def calendar(self) -> tuple[Any, Any]:
        addresses = [self.sources[0].actor, self.sources[1].outbox, self.sources[2].actor]
        return events_module().make_calendar(
            ORIGIN,
            addresses,
            str(self.folder),
            transport=self.web,
            runtime=self.web.runtime,
            signer=ReusedKeys(),
            slots=0,
        )

    def work(self, node: Any, hours: int = 0) -> None:
        _ = node.work(until_idle=True)
        for _ in range(hours * 6):
            self.web.runtime.moment += timedelta(minutes=10)
            _ = node.work(until_idle=True)


def page_of(page: Any) -> str:
    statuses: list[str] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "calendar.example",
        "SERVER_PORT": "443",
        "wsgi.url_scheme": "https",
        "HTTP_HOST": "calendar.example",
        "HTTP_ACCEPT": "text/html",
    }
    body = b"".join(page(environ, lambda status, _headers: statuses.append(status)))
    assert statuses == ["200 OK"]
    return body.decode()


def test_example_is_short() -> None:
    assert len(PROGRAM.read_text(encoding="utf-8").splitlines()) < 80


def test_calendar_shows_the_events_of_its_sources_and_survives_restarts(tmp_path: Path) -> None:
    town = Town(tmp_path)
    _ = town.announce(town.sources[0], "Concert", 2)
    _ = town.announce(town.sources[1], "Chess <night>", 1)
    _ = town.sources[1].publish("Note", content="not an event")
    node, page = town.calendar()
    town.work(node)
    document = page_of(page)
    assert document.index("Chess &lt;night&gt;") < document.index("Concert")
    assert "Market square" in document
    assert "not an event" not in document
    assert "2 events from 3 sources" in document
    node.close()

    _ = town.announce(town.sources[2], "Exhibition", 3)
    node, page = town.calendar()
    requests = sum(len(source.asked()) for source in town.sources)
    town.work(node, hours=3)
    assert "3 events from 3 sources" in page_of(page)
    assert requests
    deletion = town.sources[0].peer.activity("Delete", object=town.sources[0].items[0]["object"]["id"])
    town.sources[0].items[:1] = [deletion]
    town.work(node, hours=24)
    assert "Concert" not in page_of(page)
    node.close()


@contextmanager
def served(app: Any) -> Iterator[str]:
    class Quiet(WSGIRequestHandler):
        def log_message(self, *_args: Any) -> None:
            """Write nothing."""

    server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def take_screenshot(url: str, target: Path, profile: Path) -> str:
    """Open the page in a browser, write a picture of it, and return its document."""
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", f"--screenshot={target}", "--dump-dom", url]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="the browser Chromium is not installed here")
def test_page_is_shown_by_a_browser(tmp_path: Path) -> None:
    town = Town(tmp_path)
    for number, name in enumerate(("Chess night", "Concert in the park", "Flea market", "Opening of the exhibition")):
        _ = town.announce(town.sources[number % 3], name, 2 * number)
    node, page = town.calendar()
    town.work(node)
    picture = tmp_path / "events.png"
    with served(wsgi_app(node, fallback=page, worker=False)) as url:
        document = take_screenshot(url, picture, tmp_path / "profile")
    node.close()
    assert "Concert in the park" in document
    assert "4 events from 3 sources" in document
    assert picture.read_bytes().startswith(b"\x89PNG")


if __name__ == "__main__":  # writes the picture of the documentation
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        town = Town(folder)
        names = ("Chess night", "Concert in the park", "Flea market", "Opening of the exhibition")
        for number, title in enumerate(names):
            _ = town.announce(town.sources[number % 3], title, 2 * number)
        node, page = town.calendar()
        town.work(node)
        with served(wsgi_app(node, fallback=page, worker=False)) as url:
            _ = take_screenshot(url, Path(sys.argv[1]), folder / "profile")
        node.close()
