"""What the SQLite store and queue cost beside bare ``sqlite3``, and how that grows.

    python benchmarks/store.py [--rows 10000] [--batches 40] [--slices 6]

Each operation runs against our store and against the shortest honest program over ``sqlite3`` alone: the same durability, the same facts on disk
(key, value, version; message, due time, lease), prepared statements, one connection. Batches of ten calls (a hundred where they only read) take turns,
and the medians are compared, so that a busy machine disturbs both alike. Rows n, 2n and 4n show growth.

The second table has several threads committing one put each, in slices that take turns: ours share transactions, bare ones (a connection a thread) take
turns at SQLite's lock. It gives commits a second, and the longest that anyone waited.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
import threading
from hashlib import sha256
from itertools import count
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter, time

from apcore.adapters.sqlite import SqliteStore
from apcore.ports import Check, Done, Message, Put, encode_key

VALUE = bytes(range(150))
DOCUMENT = os.urandom(2500)
LANE = "deliver"


def member(number):
    return ("c", "followers-of-alice", "m", sha256(b"%d" % number).hexdigest()[:43])


class Bare:
    """The shortest honest program."""

    def __init__(self, path, synchronous):
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60)
        self.run = self.db.cursor().execute
        self.run("PRAGMA journal_mode = WAL")
        self.run(f"PRAGMA synchronous = {synchronous}")
        self.run("CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, version BLOB, v BLOB)")
        self.run(
            "CREATE TABLE IF NOT EXISTS q (seq INTEGER PRIMARY KEY, id BLOB, lane TEXT, body BLOB, due REAL, token BLOB, attempt INT)"
        )
        self.run("CREATE INDEX IF NOT EXISTS due ON q (lane, due)")

    def load(self, rows):
        self.run("BEGIN IMMEDIATE")
        self.db.executemany("INSERT INTO kv VALUES (?, ?, ?)", ((encode_key(k), bytes(16), v) for k, v in rows))
        self.run("COMMIT")

    def get(self, key):
        return self.run("SELECT v, version FROM kv WHERE k = ?", (encode_key(key),)).fetchone()

    def page(self, prefix, after):
        low, high = encode_key(after), encode_key(prefix) + b"\xff"
        return self.run(
            "SELECT k, v, version FROM kv WHERE k > ? AND k < ? ORDER BY k LIMIT 20", (low, high)
        ).fetchall()

    def put(self, key, value, token):
        self.run("BEGIN IMMEDIATE")
        self.run("INSERT OR REPLACE INTO kv VALUES (?, ?, ?)", (encode_key(key), token, value))
        self.run("COMMIT")

    def claim(self, key, value, token):
        self.run("BEGIN IMMEDIATE")
        encoded = encode_key(key)
        if self.run("SELECT 1 FROM kv WHERE k = ?", (encoded,)).fetchone() is None:
            self.run("INSERT INTO kv VALUES (?, ?, ?)", (encoded, token, value))
            self.run("INSERT INTO q VALUES (NULL, ?, ?, ?, ?, NULL, 0)", (token, LANE, b"body", time()))
        self.run("COMMIT")

    def work(self):
        self.run("BEGIN IMMEDIATE")
        now = time()
        [(seq, _, _)] = self.run(
            "SELECT seq, id, body FROM q WHERE lane = ? AND due <= ? ORDER BY due LIMIT 1", (LANE, now)
        ).fetchall()
        token = os.urandom(16)
        self.run("UPDATE q SET due = ?, token = ?, attempt = attempt + 1 WHERE seq = ?", (now + 60, token, seq))
        self.run("COMMIT")
        self.run("BEGIN IMMEDIATE")
        self.run("DELETE FROM q WHERE seq = ? AND token = ?", (seq, token))
        self.run("COMMIT")

    def close(self):
        self.db.close()


class Ours:
    def __init__(self, path, synchronous):
        self.store = SqliteStore(path, synchronous=synchronous, busy_timeout_s=60)

    def load(self, rows):
        rows = list(rows)
        for at in range(0, len(rows), 100):
            self.store.commit([], [Put(k, v) for k, v in rows[at : at + 100]], token=bytes(16))

    def get(self, key):
        return self.store.get([key])[0]

    def page(self, prefix, after):
        return self.store.scan(prefix, after=after, limit=20)

    def put(self, key, value, token):
        self.store.commit([], [Put(key, value)], token=token)

    def claim(self, key, value, token):
        message = Message(token, LANE, b"body")
        self.store.commit([Check(key, None)], [Put(key, value)], token=token, messages=[message])

    def work(self):
        [leased] = self.store.lease([LANE], limit=1, lease_s=60)
        self.store.settle([Done(leased)])

    def close(self):
        self.store.close()


def timed(job, times):
    start = perf_counter()
    for _ in range(times):
        job()
    return (perf_counter() - start) / times * 1e6


def operations(sides, rows):
    """Give the same job for each side, by name."""
    random = Random(rows)
    fresh = count(10**9)
    prefix = ("c", "followers-of-alice", "m")

    def known():
        return member(random.randrange(rows))

    def document():
        return ("doc", *member(random.randrange(rows // 10))[3:])

    return {
        "get, 150 bytes": [lambda side=side: side.get(known()) for side in sides],
        "get, 2,500 bytes": [lambda side=side: side.get(document()) for side in sides],
        "scan a page of 20": [lambda side=side: side.page(prefix, known()) for side in sides],
        "commit 1 put": [lambda side=side: side.put(known(), VALUE, os.urandom(16)) for side in sides],
        "commit 1 put, 2,500 bytes": [
            lambda side=side: side.put(document(), DOCUMENT, os.urandom(16)) for side in sides
        ],
        "claim and enqueue": [
            lambda side=side: side.claim(member(next(fresh)), VALUE, os.urandom(16)) for side in sides
        ],
        "lease and settle": [lambda side=side: side.work() for side in sides],
    }


def table(directory, rows, batches, synchronous):
    sides = [kind(Path(directory, f"{kind.__name__}-{rows}-{synchronous}.db"), synchronous) for kind in (Bare, Ours)]
    everything = [(member(number), VALUE) for number in range(rows)]
    everything += [(("doc", *member(number)[3:]), DOCUMENT) for number in range(rows // 10)]
    Random(rows).shuffle(everything)
    for side in sides:
        side.load(everything)
    for name, jobs in operations(sides, rows).items():
        found = [[], []]
        for number in range(batches):
            for at in (0, 1) if number % 2 else (1, 0):
                found[at].append(timed(jobs[at], 100 if name.startswith(("get", "scan")) else 10))
        bare, ours = median(found[0]), median(found[1])
        print(f"{synchronous:>6} {rows:>8,}  {name:<26} {bare:9.1f} {ours:9.1f} {ours / bare:7.2f}", flush=True)
    for side in sides:
        side.close()


def throughput(open_side, threads, seconds):
    """Give the commits a second of ``threads`` threads, and the longest wait of any."""
    waits = [[] for _ in range(threads)]
    ready = threading.Barrier(threads)

    def loop(mine, number):
        side = open_side(number)
        numbers = count(number * 10**9)
        ready.wait()
        stop = perf_counter() + seconds
        while (start := perf_counter()) < stop:
            side.put(member(next(numbers)), VALUE, os.urandom(16))
            mine.append(perf_counter() - start)

    workers = [threading.Thread(target=loop, args=(mine, number)) for number, mine in enumerate(waits)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    everything = [wait for mine in waits for wait in mine]
    return len(everything) / seconds, max(everything) * 1e3


def together(directory, slices, synchronous):
    for threads in (1, 2, 4, 8, 16):
        path = Path(directory, f"bare-{threads}-{synchronous}.db")
        bares = [Bare(path, synchronous) for _ in range(threads)]
        ours = Ours(Path(directory, f"ours-{threads}-{synchronous}.db"), synchronous)
        ours.put(("a",), b"", bytes(16))
        found = [[], []]
        for number in range(slices):
            for at in (0, 1) if number % 2 else (1, 0):
                open_side = (lambda number, bares=bares: bares[number]) if at == 0 else (lambda _, ours=ours: ours)
                found[at].append(throughput(open_side, threads, 0.25))
        for side in (*bares, ours):
            side.close()
        bare, ours = (median(rate for rate, _ in side) for side in found)
        waits = [max(wait for _, wait in side) for side in found]
        print(
            f"{synchronous:>6} {threads:>8} {bare:9.0f} {ours:9.0f} {ours / bare:7.2f} {waits[0]:14.1f} {waits[1]:14.1f}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--slices", type=int, default=6)
    options = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}; microseconds a call, medians")
    print(f"{'sync':>6} {'rows':>8}  {'operation':<26} {'bare':>9} {'ours':>9} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as directory:
        for synchronous in ("full", "normal"):
            for factor in (1, 2, 4):
                table(directory, options.rows * factor, options.batches, synchronous)
        print("\ncommits a second, medians; longest wait in ms")
        print(
            f"{'sync':>6} {'threads':>8} {'bare':>9} {'ours':>9} {'gain':>7} {'bare longest':>14} {'ours longest':>14}"
        )
        for synchronous in ("full", "normal"):
            together(directory, options.slices, synchronous)


if __name__ == "__main__":
    main()
