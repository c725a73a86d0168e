"""Measure a fan-out: one Create for COUNT followers, each at an origin of its own on loopback.

    python -m benchmarks.fanout [--count 250] [--rounds 3] [--fedify NODE_MODULES] [--against SRC] [--json FILE]
    python -m benchmarks.fanout --profile FILE [--count 250]

The peers take turns, so that a busy machine disturbs all of them alike: apcore on SQLite (FULL), apcore in memory, and
Fedify with ``ParallelMessageQueue(20)`` where its modules are. Beside them, in the same turns, one thread makes bare RSA
signatures. Each peer is a process of its own, and is measured from outside. There is a table for COUNT followers, for
twice and for four times as many. All peers keep their state over the rounds, so a first round, which is not counted,
meets every origin for the first time. ``--against`` adds apcore on SQLite from the ``src`` of another checkout. ``--profile`` writes a profile of one fan-out on SQLite in the form of `pstats`.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks._peers import PeerProcess, Sink, fedify_peer, loopback_host, python_peer

from apcore import AsyncNode, Federation, OpContext, operation
from apcore.collections import Member, put_member
from apcore.effects import Op, commit_batch
from apcore.federation.actors.profiles import Inboxes
from apcore.federation.outbox.records import encode_inboxes
from apcore.http import AddressPolicy
from apcore.signatures import PrivateKey, generate_key
from apcore.vocab import Note, Person

ORIGIN = "http://127.0.0.1:9400"
LIMIT_S = 120.0
SETTLE_S = 0.5
"""The time after the last delivery in which a peer records it. The processor time of this counts."""


# --- apcore's side --------------------------------------------------------------------------------------------------


def make_node(store: str) -> AsyncNode[None]:
    federation: Federation[None] = Federation(software="bench/1.0")

    @federation.actor("/users/{identifier}")
    @operation
    def actor(_ctx: OpContext[None], identifier: str) -> Op[Person]:
        yield from ()
        return Person(name=identifier)

    return AsyncNode(federation, ORIGIN, store, addresses=AddressPolicy(plain_http=True, loopback=True))


def add_follower(number: int, port: int) -> Op[None]:
    actor = f"http://{loopback_host(number)}:{port}/users/u{number}"
    member = Member(actor, encode_inboxes(Inboxes(f"{actor}/inbox")))
    batch = yield from put_member(f"{ORIGIN}/users/alice/followers", member, order=f"{number:08d}")
    yield from commit_batch(batch)


async def send(node: AsyncNode[None]) -> None:
    await node.publish(Note(content=f"<p>{'word ' * 400}</p>"), by="alice", visibility="public")


async def serve(store: str, port: int, count: int) -> None:
    """Run a worker, and send an activity for each line of the standard input."""
    node = make_node(store)
    for number in range(count):
        await node.run(add_follower(number, port))
    worker = asyncio.create_task(node.work())
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        await send(node)
    node.stop()
    await worker
    await node.aclose()


async def profile(count: int, output: Path) -> None:
    """Profile one fan-out to origins that were met before."""
    with TemporaryDirectory(prefix="apcore-bench-") as place:
        sink = Sink()
        node = make_node(f"sqlite:///{place}/fanout.db")
        for number in range(count):
            await node.run(add_follower(number, sink.port))
        await send(node)
        await node.work(until_idle=True)
        await send(node)
        profiler = cProfile.Profile(time.process_time)
        profiler.enable()
        await node.work(until_idle=True)
        profiler.disable()
        profiler.dump_stats(output)
        sink.end()
        await node.aclose()


# --- the comparison -------------------------------------------------------------------------------------------------


def start_peers(
    place: Path, sink: Sink, count: int, modules: Path | None, source: Path | None
) -> dict[str, PeerProcess]:
    arguments = ("--peer", sink.port, "--count", count, "--store")
    peers: dict[str, PeerProcess | None] = {
        "apcore, SQLite": python_peer("benchmarks.fanout", *arguments, f"sqlite:///{place}/this.db"),
        "apcore, memory": python_peer("benchmarks.fanout", *arguments, "memory:"),
        "Fedify, memory": fedify_peer("fanout.mjs", modules, sink.port, count),
    }
    if source is not None:
        store = f"sqlite:///{place}/other.db"
        peers["other checkout"] = python_peer("benchmarks.fanout", *arguments, store, source=source)
    return {name: peer for name, peer in peers.items() if peer is not None}


def fan_out(peer: PeerProcess, sink: Sink, count: int) -> dict[str, float]:
    """Let a peer send one activity, and return deliveries a second and processor milliseconds a delivery."""
    sink.reset()
    cpu_s, began = peer.cpu_s, time.perf_counter()
    peer.tell("send")
    while (delivered := sink.count()) < count:
        if time.perf_counter() - began > LIMIT_S:
            raise SystemExit(f"only {delivered} of {count} deliveries came within {LIMIT_S:g} s")
        time.sleep(0.01)
    took_s = time.perf_counter() - began
    time.sleep(SETTLE_S)
    return {"per_s": count / took_s, "cpu_ms": (peer.cpu_s - cpu_s) / count * 1000, "rss_mib": peer.resident_mib}


def sign_alone(key: PrivateKey, count: int) -> dict[str, float]:
    began, cpu_s = time.perf_counter(), time.process_time()
    for number in range(count):
        key.sign(b"%d" % number)
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_s
    return {"per_s": count / took_s, "cpu_ms": cpu_s / count * 1000, "rss_mib": 0.0}


def compare(count: int, rounds: int, modules: Path | None, source: Path | None) -> dict[str, Any]:
    """Return the medians of all peers, and the medians of the ratios between apcore on SQLite and the others."""
    key = generate_key("rsa-2048", key_id="", owner="")
    figures: dict[str, list[dict[str, float]]] = {}
    with TemporaryDirectory(prefix="apcore-bench-") as place:
        sink = Sink()
        peers = start_peers(Path(place), sink, count, modules, source)
        for number in range(rounds + 1):
            results = {name: fan_out(peer, sink, count) for name, peer in peers.items()}
            results["RSA alone"] = sign_alone(key, count)
            if number:
                for name, result in results.items():
                    figures.setdefault(name, []).append(result)
        for peer in peers.values():
            peer.end()
        sink.end()
    own = figures["apcore, SQLite"]
    ratios = {
        name: {
            "per_s": median(mine["per_s"] / other["per_s"] for mine, other in zip(own, others, strict=True)),
            "cpu_ms": median(mine["cpu_ms"] / other["cpu_ms"] for mine, other in zip(own, others, strict=True)),
        }
        for name, others in figures.items()
    }
    medians = {
        name: {figure: median(result[figure] for result in results) for figure in results[0]}
        for name, results in figures.items()
    }
    return {"count": count, "rounds": rounds, "medians": medians, "sqlite_against": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a fan-out to many origins.")
    parser.add_argument("--count", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4], help="factors of COUNT")
    parser.add_argument("--fedify", type=Path, metavar="NODE_MODULES")
    parser.add_argument("--against", type=Path, metavar="SRC")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--peer", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--store", default="memory:", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer is not None:
        asyncio.run(serve(options.store, options.peer, options.count))
        return
    if options.profile is not None:
        asyncio.run(profile(options.count, options.profile))
        return
    tables = []
    for factor in options.sizes:
        table = compare(factor * options.count, options.rounds, options.fedify, options.against)
        tables.append(table)
        print(f"\n{table['count']} followers at as many origins, medians of {options.rounds} rounds")
        print(f"{'':16}{'per s':>9}{'CPU ms':>9}{'RSS MiB':>9}   SQLite against it: rate, CPU")
        for name, result in table["medians"].items():
            ratio = table["sqlite_against"][name]
            print(
                f"{name:16}{result['per_s']:9.0f}{result['cpu_ms']:9.2f}{result['rss_mib']:9.0f}"
                f"   x {ratio['per_s']:.2f}, x {ratio['cpu_ms']:.2f}",
                flush=True,
            )
    if options.json is not None:
        options.json.write_text(json.dumps(tables, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
