"""Kill writers at random moments, again and again, and look for every commit that a store had answered True for.

    python tests/crash/kill_writers.py [--kills 200] [--writers 4] [--synchronous full] [--seed N]

Several writers work on one SQLite file at once. Each commits its next number together with an `Add` to one counter and a message, and says the number
when the store answered True. At a random moment one of them is killed (SIGKILL) and another started in its place, in the middle of whatever the file
was going through. In the end three things have to agree: what was said, what the file holds, and what the counter and the queue hold. A commit that was
not acknowledged may be there, at most one a killed writer; then so are its share of the counter and its message.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from threading import Thread

from apcore.adapters.sqlite import open_url
from apcore.ports import LEASE_MAX, SCAN_LIMIT_MAX, Add, AtomicStore, Check, Done, Message, Put

LANE = "written"


def write(url: str, name: str) -> None:
    """Commit numbers under ``name``, and say each once the store has it; until killed."""
    with closing(open_url(url)) as store:
        number = 0
        while True:
            key = ("n", name, f"{number:08}")
            message = Message(os.urandom(16), LANE, f"{name}/{number}".encode())
            writes = [Put(key, b""), Add(("count",), 1)]
            if not store.commit([Check(key, None)], writes, token=os.urandom(16), messages=[message]):
                raise SystemExit(f"{name}: commit {number} is False")
            os.write(sys.stdout.fileno(), b"%d\n" % number)
            number += 1


class Writer:
    """One process that writes, and a thread that listens to it, so that it never waits for a reader."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self.said: list[int] = []
        command = [sys.executable, __file__, "--write", url, name]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._listener = Thread(target=self._listen)
        self._listener.start()

    def kill(self) -> None:
        """In the middle of its writing: one that has said nothing yet is waited for."""
        patience = time.monotonic() + 60
        while not self.said and self._process.poll() is None and time.monotonic() < patience:
            time.sleep(0.005)
        self._process.kill()
        self._listener.join()
        code = self._process.wait()
        if code != -9:
            raise SystemExit(f"{self.name} ended by itself, with {code}")

    def _listen(self) -> None:
        with self._process.stdout as lines:
            self.said.extend(int(line) for line in lines if line.endswith(b"\n"))


def kill_writers(url: str, *, kills: int, writers: int, chance: random.Random) -> list[Writer]:
    """Keep ``writers`` at work, and kill one after another; gives all that ever wrote."""
    started = 0

    def start() -> Writer:
        nonlocal started
        started += 1
        return Writer(url, f"w{started:05}")

    working = [start() for _ in range(writers)]
    ended: list[Writer] = []
    for done in range(kills):
        time.sleep(chance.uniform(0.0, 0.2))
        victim = working.pop(chance.randrange(len(working)))
        victim.kill()
        ended.append(victim)
        if done < kills - writers:
            working.append(start())
        elif not working:
            break
    for rest in working:
        rest.kill()
        ended.append(rest)
    return ended


def wrong(store: AtomicStore, ended: list[Writer]) -> list[str]:
    """Hold what is in the store against what was said; a line for everything that does not fit."""
    found: list[str] = []
    entries = 0
    for writer in ended:
        numbers = [int(key[2]) for key in scanned(store, ("n", writer.name))]
        entries += len(numbers)
        lost = set(writer.said) - set(numbers)
        if lost:
            found.append(f"{writer.name}: {len(lost)} acknowledged commits are gone, the first is {min(lost)}")
        if numbers != list(range(len(numbers))):
            found.append(f"{writer.name}: its numbers have a gap")
        if len(numbers) > len(writer.said) + 1:
            found.append(f"{writer.name}: {len(numbers)} commits, though it only said {len(writer.said)}")
    [counter] = store.get([("count",)])
    counted = int(counter.value) if counter else 0
    if counted != entries:
        found.append(f"the counter says {counted}, and there are {entries} entries")
    messages = drained(store)
    if messages != entries:
        found.append(f"there are {messages} messages, and {entries} entries")
    return found


def scanned(store: AtomicStore, prefix: tuple[str, ...]) -> list[tuple[str, ...]]:
    keys: list[tuple[str, ...]] = []
    while True:
        page = store.scan(prefix, after=keys[-1] if keys else None, limit=SCAN_LIMIT_MAX)
        keys += [entry.key for entry in page]
        if len(page) < SCAN_LIMIT_MAX:
            return keys


def drained(store: AtomicStore) -> int:
    """Take every message out, and count the different ones."""
    bodies: set[bytes] = set()
    while leased := store.lease([LANE], limit=LEASE_MAX, lease_s=60):
        bodies.update(one.message.body for one in leased)
        if store.settle([Done(one) for one in leased]):
            raise SystemExit("a lease was lost that nobody else can have")
    return len(bodies)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", nargs=2, metavar=("URL", "NAME"), help=argparse.SUPPRESS)
    parser.add_argument("--kills", type=int, default=200, metavar="N")
    parser.add_argument("--writers", type=int, default=4, metavar="N")
    parser.add_argument("--synchronous", choices=("full", "normal"), default="full")
    parser.add_argument("--seed", type=int, default=None, metavar="N")
    asked = parser.parse_args()
    if asked.write:
        write(*asked.write)
    if not 1 <= asked.writers <= asked.kills:
        parser.error(f"there are 1 to as many writers as kills, not {asked.writers} for {asked.kills} kills")
    seed = random.randrange(2**32) if asked.seed is None else asked.seed
    with tempfile.TemporaryDirectory(prefix="apcore-crash-") as directory:
        url = f"sqlite:///{Path(directory) / 'crash.db'}?synchronous={asked.synchronous}"
        began = time.monotonic()
        ended = kill_writers(url, kills=asked.kills, writers=asked.writers, chance=random.Random(seed))
        with closing(open_url(url)) as store:
            found = wrong(store, ended)
        said = sum(len(writer.said) for writer in ended)
        print(f"seed {seed}: {len(ended)} kills, {said} acknowledged commits, {time.monotonic() - began:.0f} s")
    for line in found:
        print(f"WRONG: {line}")
    print("every commit that answered True is there" if not found else f"{len(found)} things are wrong")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
