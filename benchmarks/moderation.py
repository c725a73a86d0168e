"""What domain rules cost: ``python -m benchmarks.moderation [ROUNDS]``.

The rules of one host are read from a store with 0, n, 2n and 4n rules, in memory and on SQLite. Beside it, in the same
turns, stands a POST to the inbox of a node on each store, which reads the rules once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from apcore import Federation, Node
from apcore.federation.stored_rules import read_stored_rules
from apcore.http import Response
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Like, Person

OURS, BOB = "https://ours.example", "https://remote.example/users/bob"
RULES = 1000


def make_node(store: str, network: PeerNetwork, rules: int) -> Node[None]:
    """Return a node whose store has so many rules for other domains."""
    federation: Federation[None] = Federation()
    federation.actor("/users/{identifier}")(lambda _ctx, identifier: Person(name=identifier))
    federation.on(Like)(lambda _ctx, _like: None)
    node = Node(federation, OURS, store, transport=network, signer=ReusedKeys(), slots=0)
    for number in range(rules):
        node.block_domain(f"{number}.blocked.example")
    return node


def duration_us(job: Callable[[], Any]) -> float:
    started = time.perf_counter()
    job()
    return (time.perf_counter() - started) * 1e6


def main(rounds: int) -> None:
    network = PeerNetwork()
    bob = network.peer(BOB)

    def post(node: Node[None]) -> float:
        activity = bob.activity("Like", object=f"{OURS}/users/alice")
        request = bob.request(activity, f"{OURS}/users/alice/inbox")
        answers: list[object] = []
        post_us = duration_us(lambda: answers.append(node.handle(request)))
        [answer] = answers
        assert isinstance(answer, Response)
        assert answer.status == 202
        return post_us

    with TemporaryDirectory() as folder, ExitStack() as stack:
        nodes: dict[tuple[str, int], Node[None]] = {}
        for rules in (0, RULES, 2 * RULES, 4 * RULES):
            for name, store in (("memory", "memory:"), ("SQLite", f"sqlite:///{Path(folder) / f'{rules}.db'}")):
                nodes[name, rules] = stack.enter_context(make_node(store, network, rules))
        reads: dict[tuple[str, int], list[float]] = {key: [] for key in nodes}
        posts: dict[tuple[str, int], list[float]] = {key: [] for key in nodes}
        for _ in range(rounds):
            for key, node in nodes.items():
                reads[key].append(duration_us(partial(node.run, read_stored_rules(("a.b.remote.example",)))))
                posts[key].append(post(node))
    print("store     rules   read of the rules   POST to an inbox   share")
    for name, rules in sorted(nodes):
        read_us, post_us = median(reads[name, rules]), median(posts[name, rules])
        print(f"{name:<8} {rules:>6} {read_us:>16.0f} µs {post_us:>15.0f} µs {read_us / post_us:>6.1%}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
