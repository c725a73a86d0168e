"""Kill applications in the middle of their transactions: a row and its post are stored together, or neither is.

Each library has its turn. The server is killed too. ``APCORE_TRANSACTION_KILLS`` sets the kills of each library.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from apcore import Node
from apcore.http import Request
from host_transactions import ASYNC_TRANSACTIONS, TRANSACTIONS
from transaction_writer import ORIGIN, federation

KILLS = int(os.environ.get("APCORE_TRANSACTION_KILLS", "1"))
SCRIPT = Path(__file__).parents[1] / "transaction_writer.py"
PATIENCE_S = 60.0
LIBRARIES = [*((name, "blocking") for name in TRANSACTIONS), *((name, "async") for name in ASYNC_TRANSACTIONS)]


def run_and_kill(arguments, server, random, *, kills_server):
    """Run a writer until it has committed a few transactions, kill it, and return the titles that it reported."""
    with subprocess.Popen([sys.executable, str(SCRIPT), *arguments], stdout=subprocess.PIPE, bufsize=0) as writer:
        reports = b""
        try:
            reports_min = random.randrange(1, 12)
            while reports.count(b"\n") < reports_min:
                assert select.select([writer.stdout], [], [], PATIENCE_S)[0], "the writer commits nothing"
                text = writer.stdout.read(4096)
                assert text, "the writer ended by itself; see standard error"
                reports += text
                if kills_server:
                    server.kill()
                    server.start()
                    kills_server = False
                    reports_min += 3
            select.select([], [], [], random.random() * 0.02)
        finally:
            writer.send_signal(signal.SIGKILL)
        reports += writer.stdout.read()
    return set(reports.decode().split("\n")[:-1])


def read_posts(node):
    """Return the texts of all posts in the outbox of alice."""
    texts, url = [], f"{ORIGIN}/users/alice/outbox"
    while url:
        response = node.handle(Request("GET", url, headers=(("accept", "application/activity+json"),)))
        page = json.loads(response.body)
        texts += [activity["object"]["content"] for activity in page.get("orderedItems", ())]
        url = page.get("first") or page.get("next")
    return texts


@pytest.mark.long
@pytest.mark.parametrize(("library", "kind"), LIBRARIES)
def test_row_and_post_are_stored_together_despite_crashes(library, kind, postgres_server):
    random = Random(f"{library} {kind}")
    url = postgres_server.new_url()
    with closing(postgres_server.open(url)) as store:
        store.prepare()
        table = f"article_{store.settings.schema}"
        with postgres_server.connect(autocommit=True) as connection:
            connection.execute(f"CREATE TABLE {table} (title text)")
        reported = set()
        for number in range(KILLS):
            arguments = [library, kind, url, str(postgres_server.folder), table, f"{number}"]
            kills_server = number == 0 and library == "psycopg"
            reported |= run_and_kill(arguments, postgres_server, random, kills_server=kills_server)
        with Node(federation, ORIGIN, store) as node:
            posts = read_posts(node)
        with postgres_server.connect(autocommit=True) as connection:
            rows = [title for (title,) in connection.execute(f"SELECT title FROM {table}").fetchall()]
    assert sorted(rows) == sorted(posts), "a row without its post, or a post without its row"
    assert len(rows) == len(set(rows))
    assert reported <= set(rows), "a committed transaction is lost"
    sys.stdout.write(f"{len(reported)} transactions reported, {len(rows)} stored\n")
