"""A calendar that lives on the events of others: it follows sources by polling them, and serves a page.

Run it with ``python events.py https://events.example/@town https://other.example/users/club/outbox``. It has no
followers and needs no inbox. Its origin signs the requests, as careful servers demand.
"""

import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from html import escape
from wsgiref.simple_server import make_server

from apcore import Federation, Node
from apcore.adapters.wsgi import wsgi_app
from apcore.vocab import Create, Delete, Event, Person, Place, Update

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Events</title><style>
body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
li {{ list-style: none; border-left: .3rem solid #2a6; margin: 1rem 0; padding: .2rem 1rem }} ul {{ padding: 0 }}
time, small {{ color: #555; display: block }} a {{ color: #175; font-weight: 600 }}</style>
<h1>Events</h1><ul>{items}</ul><small>{count} events from {sources} sources</small></html>"""
ITEM = '<li><time>{starts}</time><a href="{url}">{name}</a><small>{place}</small></li>'


def make_calendar(origin, sources, folder=".", **options):
    """Return a node that follows the sources, and the page of the calendar. Both keep their data in ``folder``."""
    database = f"{folder}/events.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as rows:
        rows.execute("CREATE TABLE IF NOT EXISTS events (id PRIMARY KEY, starts, name, place)")
    federation = Federation(software="calendar/1.0")

    @federation.actor("/users/{identifier}")
    def actor(ctx, identifier):
        return Person(preferred_username="calendar", name="Calendar") if identifier == "calendar" else None

    @federation.on(Create)
    @federation.on(Update)
    def keep(ctx, activity):  # running twice changes nothing
        event = ctx.resolve(activity.object)
        if event.is_a(Event):
            with closing(sqlite3.connect(database, isolation_level=None)) as rows:
                rows.execute("REPLACE INTO events VALUES (?, ?, ?, ?)", row_of(event.view(Event)))

    @federation.on(Delete)
    def forget(ctx, activity):
        with closing(sqlite3.connect(database, isolation_level=None)) as rows:
            rows.execute("DELETE FROM events WHERE id = ?", (activity.object.uri,))

    node = Node(federation, origin, f"sqlite:///{folder}/node.db", **options)
    for source in sources:
        node.subscribe(source, types=[Event, Delete], history=5)  # the second time, nothing changes

    def page(environ, start_response):
        now = datetime.now(UTC).strftime("%Y-%m-%d")
        with closing(sqlite3.connect(database, isolation_level=None)) as rows:
            events = rows.execute(
                "SELECT id, starts, name, place FROM events WHERE starts >= ? ORDER BY starts", (now,)
            )
            items = [
                ITEM.format(url=escape(url), starts=escape(starts), name=escape(name), place=escape(place))
                for url, starts, name, place in events
            ]
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [PAGE.format(items="".join(items), count=len(items), sources=len(sources)).encode()]

    return node, page


def row_of(event):
    place = None if event.location is None else event.location.claimed(Place)
    starts = event.start_time.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if event.start_time else "9999 no date"
    return event.document.id, starts, event.name or "An event", (place and place.name) or ""


if __name__ == "__main__":
    node, page = make_calendar("https://calendar.example", sys.argv[1:])
    make_server("127.0.0.1", 8000, wsgi_app(node, fallback=page, trust_proxy=True)).serve_forever()
