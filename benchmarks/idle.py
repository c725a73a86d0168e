"""Measure idle workers: the processor time of a process that has nothing to do.

    python -m benchmarks.idle [--count 100] [--seconds 10] [--fedify NODE_MODULES] [--against SRC] [--json FILE]

All peers run at the same time, each in a process of its own: `AsyncNode.work` and `Node.work` on one SQLite file each,
`AsyncNode.work` in memory, and Fedify with a started queue where its modules are. The table gives percents of a core.
COUNT messages wait that are due in an hour, then twice and four times as many: waiting messages must cost nothing. The
last column is the time from a commit of another process on the same SQLite file to the start of its handler.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from benchmarks._peers import PeerProcess, fedify_peer, python_peer

from apcore import AsyncNode, Federation, Node
from apcore.adapters.sqlite import SqliteStore
from apcore.federation.wake_ups import DELIVER, lane_of
from apcore.ports import Message

ORIGIN = "https://idle.example"
PROBES = 10
HOUR_S = 3600.0


def waiting_messages(count: int) -> list[Message]:
    body = json.dumps({"to": f"https://peer.example {ORIGIN}", "by": ORIGIN}).encode()
    lane = lane_of(DELIVER, ORIGIN)
    return [Message(os.urandom(16), lane, body, delay_s=HOUR_S, group=str(number)) for number in range(count)]


def serve(store: str, *, blocking: bool) -> None:
    """Run a worker until the standard input ends."""
    federation: Federation[None] = Federation(software="bench/1.0")
    node = Node(federation, ORIGIN, store) if blocking else AsyncNode(federation, ORIGIN, store)

    def stop_at_the_end() -> None:
        while sys.stdin.readline():
            pass
        node.stop()

    Thread(target=stop_at_the_end, daemon=True).start()
    print("ready", flush=True)
    if isinstance(node, Node):
        node.work()
    else:
        asyncio.run(node.work())


def measure_latency(path: Path) -> float:
    """Return the milliseconds until the worker on a file has handled a message of this process."""
    store = SqliteStore(path)
    body = json.dumps({"to": f"https://peer.example {ORIGIN}", "by": ORIGIN}).encode()
    lane = lane_of(DELIVER, ORIGIN)
    delays: list[float] = []
    for number in range(PROBES):
        time.sleep(0.3 + 0.013 * number)
        before = store.depth([lane])
        began = time.perf_counter()
        store.enqueue([Message(os.urandom(16), lane, body, group="probe")])
        while store.depth([lane]) != before:
            time.sleep(0.001)
        delays.append((time.perf_counter() - began) * 1000)
    store.close()
    return median(delays)


def start_peers(place: Path, count: int, modules: Path | None, source: Path | None) -> dict[str, PeerProcess]:
    files = {"apcore, SQLite, async": "async", "apcore, SQLite, threads": "threads"}
    if source is not None:
        files |= {"other checkout, async": "other-async", "other checkout, threads": "other-threads"}
    peers: dict[str, PeerProcess] = {}
    for name, file in files.items():
        path = place / f"{file}.db"
        store = SqliteStore(path)
        messages = waiting_messages(count)
        for start in range(0, count, 100):
            store.enqueue(messages[start : start + 100])
        store.close()
        blocking = ["--blocking"] if file.endswith("threads") else []
        peers[name] = python_peer(
            "benchmarks.idle", "--peer", f"sqlite:///{path}", *blocking, source=source if "other" in file else None
        )
    peers["apcore, memory, async"] = python_peer("benchmarks.idle", "--peer", "memory:")
    fedify = fedify_peer("idle.mjs", modules)
    return peers if fedify is None else {**peers, "Fedify, memory": fedify}


def measure(count: int, seconds: float, modules: Path | None, source: Path | None) -> dict[str, Any]:
    with TemporaryDirectory(prefix="apcore-bench-") as place:
        peers = start_peers(Path(place), count, modules, source)
        time.sleep(2)  # the first reconciliation
        before = {name: peer.cpu_s for name, peer in peers.items()}
        time.sleep(seconds)
        figures: dict[str, dict[str, float | None]] = {
            name: {"percent": (peer.cpu_s - before[name]) / seconds * 100, "rss_mib": peer.resident_mib}
            for name, peer in peers.items()
        }
        for name, file in (("apcore, SQLite, async", "async"), ("apcore, SQLite, threads", "threads")):
            figures[name]["latency_ms"] = measure_latency(Path(place) / f"{file}.db")
        for peer in peers.values():
            peer.end()
    return {"waiting": count, "seconds": seconds, "peers": figures}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure workers that have nothing to do.")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4], help="factors of COUNT")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--fedify", type=Path, metavar="NODE_MODULES")
    parser.add_argument("--against", type=Path, metavar="SRC")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peer", metavar="STORE", help=argparse.SUPPRESS)
    parser.add_argument("--blocking", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer is not None:
        serve(options.peer, blocking=options.blocking)
        return
    tables = []
    for factor in options.sizes:
        table = measure(factor * options.count, options.seconds, options.fedify, options.against)
        tables.append(table)
        print(f"\n{table['waiting']} messages wait that are not due, {options.seconds:g} s")
        print(f"{'':25}{'% of a core':>12}{'RSS MiB':>9}{'latency ms':>12}")
        for name, figures in table["peers"].items():
            latency = figures.get("latency_ms")
            latency_text = "" if latency is None else f"{latency:12.1f}"
            print(f"{name:25}{figures['percent']:12.2f}{figures['rss_mib']:9.0f}{latency_text}", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(tables, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
