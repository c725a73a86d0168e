"""Measure the CPU time that a document of a stranger takes, in multiples of a fixed computation, and bound it.

Times of this thread alone count, so that a busy machine disturbs little; what it does disturb (caches, clocks) the reference computation suffers as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from apcore.errors import ApcoreError
from apcore.jsonld import DEFAULT_LIMITS, WorkBudget
from apcore.signatures import ld_signature, proofs
from apcore.vocab import read_document

NOW = datetime(2026, 1, 2, tzinfo=UTC)
REFERENCE_MS = 4.5
"""What the reference computation takes on the machine for which the bounds were chosen."""
TRIES = 5


def reference() -> dict[str, object]:
    """Compute something that resembles reading: strings, tuples, a dictionary."""
    entries: dict[str, object] = {}
    for i in range(20_000):
        entries[f"k{i % 997}"] = (i, str(i))
    return entries


def bound_ms(size: int) -> float:
    """Return how long a document of ``size`` bytes may take on that machine: 30 ms up to 10 KB, 3 ms for each KB beyond, 0.6 s in all."""
    return min(600.0, 30.0 + 3.0 * max(0, size - 10_240) / 1024)


def cpu_ms(function: Callable[[], object]) -> float:
    """Return the CPU time of one call, in milliseconds."""
    started = time.thread_time()
    function()
    return (time.thread_time() - started) * 1000


def read(body: bytes) -> str:
    """Read a body as an inbox does before anything is proved; return how that ended.

    Anything but a typed error is a bug and is raised.
    """
    try:
        work = WorkBudget(DEFAULT_LIMITS, len(body))
        document = read_document(body, work=work)
    except ApcoreError as error:
        return error.reason
    ended = "read"
    for scheme in (proofs, ld_signature):
        try:
            scheme.parse(document.tree, now=NOW, work=work)
        except ApcoreError as error:
            ended = f"{ended}, {error.reason}"
    return ended


def excess(body: bytes, handle: Callable[[bytes], object], spent_ms: float) -> float:
    """Return by which factor a body is over its bound, 1 or less if it is not; ``spent_ms`` is what it took once.

    A body that seems to be over is measured again, and the reference with it: the least of each counts.
    """
    bound = bound_ms(len(body))
    if spent_ms <= bound:
        return spent_ms / bound
    references, times = [], [spent_ms]
    for _ in range(TRIES):
        references.append(cpu_ms(reference))
        times.append(cpu_ms(lambda: handle(body)))
    return min(times) / bound / max(1.0, min(references) / REFERENCE_MS)
